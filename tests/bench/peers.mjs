// SPDX-License-Identifier: Apache-2.0
//
// peers.mjs - the same load against other servers and against the edge: CPU of the server's processes over a steady window, divided by
// what was delivered in it. What cannot be had here is skipped, with the reason.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { Cluster } from '../lib/cluster.mjs';
import { Background, buildDir, must, run, sleep, sourceDir, until } from '../lib/process.mjs';
import { cpuSeconds } from './cpu.mjs';

const LOAD = `${buildDir}/tests/load/millrace-load`;
const PLAY = `${buildDir}/tests/bench/rtmp_play`;
const LIMIT = `${buildDir}/tests/bench/millrace-limit`;
const MEDIASOUP = { server: `${sourceDir}/tests/bench/mediasoup/server.mjs`, worker: process.env.MILLRACE_MEDIASOUP ?? '', log: process.env.MILLRACE_MEDIASOUP_LOG ?? '' };
const args = process.argv.slice(2);
const VIEWERS = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 200);
const chosen = (name) => args.includes(name) || !args.some((arg) => /^[a-z]/.test(arg));
const WINDOW_S = 8;
const HOST = '10.77.0.1'; // tests/lib/netns.mjs; libnice leaves loopback addresses out
const config = { node: { log: 'warn' } };
const cluster = await Cluster.up({ origin: config, backbone: config, edge: config });
const file = (name) => path.join(cluster.dir, name);
const rows = [];

const background = (name, command, argv) => cluster.add(new Background(name, command, argv, { log: file(`${name}.log`) }));
const listens = (port) => until(`port ${port}`, 10_000, async () => (await run('ss', ['-Hltn', `sport = :${port}`])).stdout.trim());
const children = async (pid) => [pid, ...(await run('pgrep', ['-P', `${pid}`])).stdout.trim().split('\n').filter(Boolean).map(Number)];

function row(server, way, value, unit, note = '') {
    rows.push({ server, way, viewers: VIEWERS, value: value === null ? null : Math.round(value * 100) / 100, unit, note });
    const f = rows.at(-1);
    console.log(`${server.padEnd(26)} ${way.padEnd(16)} ${(f.value === null ? 'skipped' : `${f.value} ${unit}`).padStart(22)}  ${note}`);
}

const skip = (server, way, reason) => row(server, way, null, '', reason);

// CPU of pids, in microseconds, and what count() grew by in the window.
async function window(pids, count) {
    const before = await count(), cpu = pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
    await sleep(WINDOW_S * 1000);
    return { cpu_us: 1e6 * (pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0) - cpu), n: (await count()) - before };
}

// ---- the same loads ----

function publish(url) {
    return background(`publisher-${rows.length}`, LOAD, ['--quiet', '--publish-rtmp', url, '--synthetic', '720p30@2.5M', '--stamp-every', '61', '--duration', '600']);
}

async function rtmpPlayers(server, address, app, stream, pids) {
    const player = background(`play-${rows.length}`, PLAY, [address, app, stream, `${VIEWERS}`, `${WINDOW_S + 12}`]);
    const last = () => player.output().trim().split('\n').at(-1).split(' ').map(Number);
    await until('all play', 15_000, () => last()[1] === VIEWERS);
    await sleep(3000);
    const w = await window(await pids(), () => last()[2]);
    const whole = last()[1] === VIEWERS && w.n > VIEWERS * WINDOW_S * 2.0e6 / 8;
    row(server, 'RTMP play', w.cpu_us / (w.n / 1e6), 'us a MB', whole ? '' : `only ${(w.n * 8 / VIEWERS / WINDOW_S / 1e6).toFixed(2)} Mbit/s a viewer`);
    await player.stop('SIGKILL');
}

// By what the load tester got: received(report) of its steady window, against the CPU of the same seconds. ramp: joins a second.
async function viewers(server, way, kind, url, pids, received, unit, more = [], ramp = 100) {
    const json = file(`load-${rows.length}.json`);
    const load = background(`load-${rows.length}`, LOAD, ['--quiet', '--no-events', `--${kind}`, url, '--viewers', `${VIEWERS}`, '--ramp', `${ramp}`,
        '--duration', `${WINDOW_S + 3.5}`, '--settle', '3', '--timeout', '20', '--json', json, ...more]);
    await sleep((VIEWERS / ramp + 3) * 1000);
    const w = await window(await pids(), () => 0);
    await load.ended;
    const report = JSON.parse(readFileSync(json, 'utf8'));
    const n = received(report.steady) / report.steady.seconds * WINDOW_S;
    const note = [report.viewers.joined < VIEWERS && `only ${report.viewers.joined} joined: ${Object.keys(report.failures).join(', ')}`,
        `${Math.round(w.cpu_us / WINDOW_S / 1e4)}% of a core`,
        report.steady.rtp.lost_after_repair && `${(100 * report.steady.rtp.lost_after_repair / packets(report.steady)).toFixed(1)}% lost`,
        report.steady.counters.socket_drops && `${report.steady.counters.socket_drops} by the tester`].filter(Boolean).join('; ');
    row(server, way, report.viewers.joined ? w.cpu_us / n : null, unit, note);
}

const packets = (steady) => steady.rtp.received;
const megabytes = (steady) => steady.bytes / 1e6;

// With AES-128-GCM and transport-cc, without transport-cc, with AES_CM_128_HMAC_SHA1_80.
async function whepWays(server, url, pids, ramp) {
    for (const [way, more] of [['WHEP', ['--srtp', 'gcm']], ['WHEP, no twcc', ['--srtp', 'gcm', '--no-transport-cc']], ['WHEP, AES-CM', ['--srtp', 'cm']]])
        await viewers(server, way, 'whep', url, pids, packets, 'us a packet', more, ramp);
}

// What no server can be below: tests/bench/limit.c.
const limit = async () => Number((await must(LIMIT, ['--seconds', '2'])).stdout);

// RTP from a file to two ports, the sound's RTCP and the picture's each one higher.
async function feed(video, audio) {
    const clip = file('clip.mkv');
    if (!existsSync(clip))
        await must('ffmpeg', ['-v', 'error', '-y', '-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30', '-f', 'lavfi', '-i',
            'sine=frequency=440:sample_rate=48000', '-t', '4', '-pix_fmt', 'yuv420p', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency',
            '-profile:v', 'baseline', '-g', '60', '-b:v', '2500k', '-minrate', '2500k', '-maxrate', '2500k', '-bufsize', '1250k', '-x264-params', 'nal-hrd=cbr:repeat-headers=1',
            '-c:a', 'libopus', '-b:a', '96k', clip]);
    return background(`feed-${rows.length}`, 'ffmpeg', ['-v', 'error', '-nostdin', '-re', '-stream_loop', '-1', '-i', clip,
        '-map', '0:v', '-c', 'copy', '-payload_type', '102', '-ssrc', '1002', '-f', 'rtp', `rtp://127.0.0.1:${video}?pkt_size=1200`,
        '-map', '0:a', '-c', 'copy', '-payload_type', '111', '-ssrc', '1001', '-f', 'rtp', `rtp://127.0.0.1:${audio}`]);
}

// ---- the servers ----

async function millrace() {
    const pids = async () => [cluster.nodes.get('edge').pid];
    const publisher = publish(cluster.rtmp('live/test'));
    await cluster.isLive('origin', 'live/test');
    await whepWays('millrace edge', `${cluster.url('edge')}/whep/live/test`, pids);
    if (chosen('nginx')) await viewers('millrace edge', 'HTTP-FLV', 'flv', `${cluster.url('edge')}/live/test.flv`, pids, megabytes, 'us a MB');
    await publisher.stop('SIGINT');
}

async function nginx() {
    const module = '/usr/lib/nginx/modules/ngx_rtmp_module.so', rtmp = cluster.base + 90;
    if (!existsSync(module)) return skip('nginx-rtmp', 'RTMP play', 'libnginx-mod-rtmp is not installed');
    mkdirSync(file('nginx'), { recursive: true });
    writeFileSync(file('nginx.conf'), `load_module ${module};
user root; worker_processes 1; daemon off; pid ${file('nginx.pid')}; error_log ${file('nginx-error.log')} warn;
events { worker_connections 8192; }
rtmp { server { listen 127.0.0.1:${rtmp}; chunk_size 4096; application live { live on; record off; } } }
`);
    const server = background('nginx', 'nginx', ['-c', file('nginx.conf'), '-p', file('nginx')]);
    await listens(rtmp);
    const publisher = publish(`rtmp://127.0.0.1:${rtmp}/live/test`);
    await sleep(2000);
    await rtmpPlayers('nginx-rtmp', `127.0.0.1:${rtmp}`, 'live', 'test', () => children(server.pid));
    await publisher.stop('SIGINT');
    return server.stop('SIGTERM');
}

// Janus speaks JSON of its own: a WHEP endpoint in front of its streaming plugin, which takes viewers' offers.
function janusGateway(port, janus) {
    const ask = async (path_, body) => (await fetch(`http://127.0.0.1:${janus}/janus${path_}`,
        { method: 'POST', body: JSON.stringify({ transaction: `${Math.random()}`, ...body }) })).json();
    const server = createServer(async (request, response) => {
        const sdp = (await request.toArray()).join('');
        if (request.method === 'DELETE') return response.writeHead(200).end();
        try {
            const session = (await ask('', { janus: 'create' })).data.id;
            const handle = (await ask(`/${session}`, { janus: 'attach', plugin: 'janus.plugin.streaming' })).data.id;
            await ask(`/${session}/${handle}`, { janus: 'message', body: { request: 'watch', id: 1 }, jsep: { type: 'offer', sdp } });
            for (;;) {
                const event = await (await fetch(`http://127.0.0.1:${janus}/janus/${session}?maxev=1`)).json();
                if (event.jsep) return response.writeHead(201, { 'Content-Type': 'application/sdp', Location: `/session/${session}` }).end(event.jsep.sdp);
                if (event.plugindata?.data?.error) throw new Error(event.plugindata.data.error);
                if (event.janus === 'keepalive') throw new Error('no answer');
            }
        } catch (error) {
            return response.writeHead(500, { 'Content-Type': 'text/plain' }).end(error.message);
        }
    });
    return new Promise((resolve) => server.listen(port, HOST, () => resolve(server)));
}

async function janus() {
    if ((await run('which', ['janus'])).status !== 0) return skip('Janus, streaming plugin', 'WebRTC', 'janus is not installed');
    const [http, video, audio, whep] = [91, 92, 94, 96].map((offset) => cluster.base + offset);
    const dir = file('janus'), plugins = (await must('sh', ['-c', 'ls -d /usr/lib/*/janus'])).stdout.trim();
    mkdirSync(`${dir}/plugins`, { recursive: true });
    mkdirSync(`${dir}/transports`);
    await must('ln', ['-s', `${plugins}/plugins/libjanus_streaming.so`, `${dir}/plugins/`]);
    await must('ln', ['-s', `${plugins}/transports/libjanus_http.so`, `${dir}/transports/`]);
    writeFileSync(`${dir}/janus.jcfg`, `general: { configs_folder = "${dir}"; plugins_folder = "${dir}/plugins"; transports_folder = "${dir}/transports";
  loggers_folder = "${dir}/none"; events_folder = "${dir}/none"; debug_level = 2; interface = "${HOST}"; session_timeout = 600; event_loops = 2 }
nat: { nice_debug = false; full_trickle = false }
media: { ipv6 = false }
`);
    writeFileSync(`${dir}/janus.transport.http.jcfg`, `general: { json = "compact"; base_path = "/janus"; http = true; port = ${http}; ip = "127.0.0.1" }\n`);
    writeFileSync(`${dir}/janus.plugin.streaming.jcfg`, `general: { }
test: { type = "rtp"; id = 1; media = (
  { type = "video"; mid = "v"; port = ${video}; pt = 102; codec = "h264"; fmtp = "profile-level-id=42e01f;packetization-mode=1" },
  { type = "audio"; mid = "a"; port = ${audio}; pt = 111; codec = "opus" }) }
`);
    const server = background('janus', 'janus', ['-F', dir, '-C', `${dir}/janus.jcfg`]);
    await listens(http);
    const source = await feed(video, audio);
    const gateway = await janusGateway(whep, http);
    await viewers('Janus, streaming plugin', 'WebRTC', 'whep', `http://${HOST}:${whep}/whep`, async () => [server.pid], packets, 'us a packet', [], 20);
    gateway.closeAllConnections();
    gateway.close();
    await source.stop('SIGKILL');
    return server.stop('SIGKILL');
}

// Its worker is built from the sources in its npm package (tests/bench/mediasoup/build), as many as the edge has workers.
async function mediasoup() {
    if (!existsSync(MEDIASOUP.worker)) {
        const why = existsSync(MEDIASOUP.log) && readFileSync(MEDIASOUP.log, 'utf8').split('\n').find((line) => /error/i.test(line));
        return skip('mediasoup', 'WHEP', `cannot be built: ${(why || 'its worker is not there').trim().slice(0, 100)}`);
    }
    const [http, video, audio, rtc] = [91, 92, 94, 96].map((offset) => cluster.base + offset), workers = availableParallelism();
    const server = cluster.add(new Background('mediasoup', 'node', [MEDIASOUP.server, '--http', `${http}`, '--rtc', `${rtc}`, '--video', `${video}`,
        '--audio', `${audio}`, '--workers', `${workers}`], { log: file('mediasoup.log'), env: { MEDIASOUP_WORKER_BIN: MEDIASOUP.worker } }));
    await listens(http);
    const { pids } = JSON.parse(server.output().split('\n').find((line) => line.startsWith('{')));
    const source = await feed(video, audio);
    await whepWays(`mediasoup, ${workers} workers`, `http://127.0.0.1:${http}/whep`, async () => pids, 20);
    await source.stop('SIGKILL');
    return server.stop('SIGTERM');
}

let failed = false;
try {
    const before = await limit();
    for (const [name, measure] of Object.entries({ millrace, nginx, janus, mediasoup })) {
        if (chosen(name)) await measure().catch((error) => skip(name, '', `failed: ${error.message.split('\n')[0]}`));
    }
    row('limit', 'GCM, sendmmsg', (before + await limit()) / 2, 'us a packet', 'tests/bench/limit.c, mean of before and after');
} catch (error) {
    failed = true;
    console.error(error);
} finally {
    if (args.includes('-v')) cluster.printLogs();
    await cluster.down().catch((error) => { failed = true; console.error(error.message); });
    cluster.remove();
}
mkdirSync(process.env.MILLRACE_BENCH_OUT, { recursive: true });
writeFileSync(path.join(process.env.MILLRACE_BENCH_OUT, 'peers.json'), `${JSON.stringify({ date: new Date().toISOString(), rows }, null, 1)}\n`);
process.exit(failed ? 1 : 0);
