// SPDX-License-Identifier: Apache-2.0
//
// bench.mjs - the measurements of tests/bench/run. CPU is that of the server's process, user and system, from /proc, over
// a steady window, divided by what /metrics says was delivered in it: that holds on noisy machines.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster } from '../lib/cluster.mjs';
import { getMetrics } from '../lib/http.mjs';
import { Background, buildDir, must, run, sleep, until } from '../lib/process.mjs';

const OUT = process.env.MILLRACE_BENCH_OUT;
const LOAD = `${buildDir}/tests/load/millrace-load`;
const LIMIT = `${buildDir}/tests/bench/millrace-limit`;
const LIMIT_TCP = `${buildDir}/tests/bench/millrace-limit-tcp`;
const FRAME_BYTES = 10_900; // a frame of MEDIA with the sound beside it: what a viewer by HTTP-FLV is sent at once
const args = process.argv.slice(2);
const quick = args.includes('--quick');
const chosen = args.filter((arg) => !arg.startsWith('-'));
const WINDOW_S = quick ? 5 : 12;
const MEDIA = '720p30@2.5M';
const TICKS_A_SECOND = Number((await must('getconf', ['CLK_TCK'])).stdout);

const config = { node: { log: 'warn' } };
const cluster = await Cluster.up({ origin: config, backbone: config, edge: { ...config, relay: { linger_ms: 500 } } });
const figures = [];
const notes = [];

// ---- reading ----

function cpuSeconds(name) {
    const fields = readFileSync(`/proc/${cluster.nodes.get(name).pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

function rssBytes(name) {
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${cluster.nodes.get(name).pid}/status`, 'utf8'))[1]);
}

const cpuTotal = () => readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1).map(Number);

// How much of the machine others took: figures of time (not those of CPU) mean little when it is much.
function share(before, after, own_s) {
    const total = after.reduce((a, b) => a + b, 0) - before.reduce((a, b) => a + b, 0);
    const idle = after[3] + after[4] - before[3] - before[4];
    return { idle: idle / total, others: Math.max(0, (total - idle) / total - own_s * TICKS_A_SECOND / total) };
}

const processCpu = (pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
};

// CPU of a node and what a counter grew by in a window.
async function window(node, sample, seconds, tester) {
    const metric = async () => (await getMetrics(cluster.url(node))).get(sample) ?? 0;
    const nodes = [...cluster.nodes.keys()];
    const own = () => nodes.reduce((sum, name) => sum + cpuSeconds(name), 0) + (tester ? processCpu(tester.pid) : 0);
    const machine = cpuTotal(), own0 = own();
    const cpu0 = cpuSeconds(node), n0 = await metric();
    await sleep(seconds * 1000);
    const cpu = cpuSeconds(node) - cpu0, n = (await metric()) - n0;
    const used = share(machine, cpuTotal(), own() - own0);
    if (used.others > 0.1) notes.push(`others took ${Math.round(100 * used.others)}% of the machine while ${sample} was measured`);
    if (used.idle < 0.03) notes.push(`the machine was full while ${sample} was measured`);
    return { cpu_us: cpu * 1e6, n };
}

// ---- loading ----

let loads = 0;

// millrace-load in the background: {process, report()}.
function load(name, more) {
    const json = path.join(cluster.dir, `load-${++loads}.json`);
    const process = cluster.add(new Background(name, LOAD, ['--quiet', '--timeout', '20', '--json', json,
        '--report', path.join(OUT, `${name}.html`), ...more], { log: path.join(cluster.dir, `load-${loads}.log`) }));
    return {
        process,
        pid: process.pid,
        async report() {
            await process.ended;
            if (process.end.status === 1) throw new Error(process.output());
            return JSON.parse(readFileSync(json, 'utf8'));
        },
    };
}

async function publish(stream, count = 1, media = MEDIA) {
    const publisher = load(`publish-${stream.replace(/\W/g, '')}`, ['--publish-rtmp', cluster.rtmp(`live/${stream}`),
        '--synthetic', media, '--count', `${count}`, '--duration', '3600']);
    for (let i = 0; i < count; i++) await cluster.isLive('origin', `live/${stream.replace('{n}', i)}`, 20_000);
    return publisher;
}

const whep = (stream) => `${cluster.url('edge')}/whep/live/${stream}`;
const flv = (stream) => `${cluster.url('edge')}/live/${stream}.flv`;

// Viewers that join, and a steady window while they play.
async function steady(name, kind, viewers, more = [], streams = 1, stream = 'test') {
    const ramp = kind === 'flv' ? 1000 : 250;
    const sample = kind === 'flv' ? 'millrace_bytes_sent_total{transport="flv"}' : 'millrace_packets_sent_total{transport="webrtc"}';
    const l = load(name, [`--${kind}`, (kind === 'flv' ? flv : whep)(stream), '--viewers', `${viewers}`, '--ramp', `${ramp}`,
        '--streams', `${streams}`, '--duration', `${WINDOW_S + 5}`, '--settle', '3', ...more]);
    await sleep((viewers / ramp + 3) * 1000);
    const w = await window('edge', sample, WINDOW_S, l);
    const rss = rssBytes('edge');
    const report = await l.report();
    if (report.viewers.joined < viewers) notes.push(`${name}: only ${report.viewers.joined} of ${viewers} viewers joined`);
    if (report.rtp.lost_after_repair) notes.push(`${name}: ${report.rtp.lost_after_repair} packets lost after repair`);
    if (report.counters.socket_drops) notes.push(`${name}: ${report.counters.socket_drops} datagrams dropped by the load tester itself`);
    await until('the edge has let go', 15_000, async () => (await cluster.metric('edge', `millrace_viewers{kind="${kind}"}`)) === 0);
    return { ...w, rss, report };
}

// A process without a past: what more viewers add to its memory is theirs, not left over from others.
async function freshEdge() {
    await cluster.nodes.get('edge').stop();
    cluster.startNode('edge');
    await cluster.ready('edge');
    await cluster.isLive('origin', 'live/test');
    await sleep(1000); // the directory tells it of the others
}

// ---- figures ----

// ok unless value is above target; limit: what the target was made of, for the ratio.
function figure(name, value, unit, target = null, limit = null) {
    figures.push({ name, value: Math.round(value * 1000) / 1000, unit, target: target && Math.round(target * 1000) / 1000, limit,
        ok: target === null || value <= target });
    const f = figures.at(-1);
    console.log(`${name.padEnd(34)} ${String(f.value).padStart(11)} ${unit.padEnd(9)} ${(target === null ? '' : `<= ${f.target}`).padEnd(12)}`
        + ` ${(limit ? `${(value / limit).toFixed(2)} x limit` : target ? `${(value / target).toFixed(2)} x target` : '').padEnd(14)} ${target === null ? '' : f.ok ? 'ok' : 'MISSED'}`);
}

async function limitOf(...more) {
    return Number((await must(LIMIT, ['--seconds', quick ? '2' : '4', ...more])).stdout);
}

const measurements = {
    async join() {
        const holder = load('holder', ['--whep', whep('test'), '--flv', flv('test'), '--duration', quick ? '9' : '14']);
        await sleep(1500);
        const n = quick ? 20 : 40;
        const warm = await load('join-warm', ['--whep', whep('test'), '--viewers', `${n}`, '--ramp', '8', '--duration', '1']).report();
        const warmFlv = await load('join-warm-flv', ['--flv', flv('test'), '--viewers', `${n}`, '--ramp', '8', '--duration', '1']).report();
        await holder.report();
        figure('whep_first_keyframe_warm_ms', warm.first_keyframe_ms.p50, 'ms', 60);
        figure('flv_first_keyframe_warm_ms', warmFlv.first_keyframe_ms.p50, 'ms', 3);
        const streams = quick ? 8 : 16; // each is cold once
        const publisher = await publish('cold{n}', streams);
        const cold = await load('join-cold', ['--whep', whep('cold{n}'), '--viewers', `${streams}`, '--streams', `${streams}`,
            '--ramp', '4', '--duration', '1']).report();
        await sleep(1500);
        const coldFlv = await load('join-cold-flv', ['--flv', flv('cold{n}'), '--viewers', `${streams}`, '--streams', `${streams}`,
            '--ramp', '4', '--duration', '1']).report();
        await publisher.process.stop('SIGINT');
        figure('whep_first_keyframe_cold_ms', cold.first_keyframe_ms.p50, 'ms', warm.first_keyframe_ms.p50 + 30);
        figure('flv_first_keyframe_cold_ms', coldFlv.first_keyframe_ms.p50, 'ms', warmFlv.first_keyframe_ms.p50 + 30);
    },

    async whep(limit) {
        await freshEdge();
        const few = await steady('whep-500', 'whep', 500);
        figure('whep_us_per_packet_500', few.cpu_us / few.n, 'us', 1.3 * limit, limit);
        const many = await steady('whep-1000', 'whep', 1000);
        figure('whep_us_per_packet_1000', many.cpu_us / many.n, 'us', 1.3 * limit, limit);
        figure('whep_viewer_rss_bytes', (many.rss - few.rss) / 500, 'bytes', 24 * 1024);
        figure('relay_delay_p50_ms', many.report.steady.delay_ms.p50, 'ms', 2);
        figure('relay_delay_p99_ms', many.report.steady.delay_ms.p99, 'ms', 10);
    },

    async cm(limit) {
        const w = await steady('whep-500-cm', 'whep', 500, ['--srtp', 'cm']);
        figure('whep_us_per_packet_500_cm', w.cpu_us / w.n, 'us', 2 * limit, limit);
    },

    async streams(limit) {
        const publisher = await publish('many{n}', 8);
        const w = await steady('whep-500-8-streams', 'whep', 504, [], 8, 'many{n}');
        await publisher.process.stop('SIGINT');
        const one = figures.find((f) => f.name === 'whep_us_per_packet_500');
        figure('whep_us_per_packet_500_8_streams', w.cpu_us / w.n, 'us', one ? 1.15 * one.value : null, limit);
    },

    async flv() {
        await freshEdge();
        let few = null;
        for (const viewers of [500, 2000]) {
            const limit = Number((await must(LIMIT_TCP, ['--seconds', quick ? '2' : '4', '--viewers', `${viewers}`,
                '--bytes', `${FRAME_BYTES}`])).stdout);
            if (!few) figure('flv_limit_us_per_mb', limit, 'us/MB', null, limit);
            const w = await steady(`flv-${viewers}`, 'flv', viewers);
            figure(`flv_us_per_mb_${viewers}`, w.cpu_us / (w.n / 1e6), 'us/MB', 700, limit);
            if (few) figure('flv_viewer_rss_bytes', (w.rss - few.rss) / 1500, 'bytes', 2048);
            else figure('flv_delay_p50_ms', w.report.steady.delay_ms.p50, 'ms', 20);
            few ??= w;
        }
    },

    async storm() {
        const playing = load('storm-playing', ['--whep', whep('test'), '--viewers', '100', '--ramp', '100', '--duration', '12']);
        await sleep(3000);
        const crowd = await load('storm', ['--whep', whep('test'), '--viewers', '1000', '--ramp', '500', '--duration', '3']).report();
        const before = await playing.report();
        figure('join_storm_failed', crowd.viewers.failed + crowd.viewers.dropped, 'viewers', 0);
        figure('join_storm_first_keyframe_p95_ms', crowd.first_keyframe_ms.p95, 'ms');
        figure('join_storm_playing_lost', before.rtp.lost_after_repair, 'packets', 0);
        figure('join_storm_playing_freezes', before.freezes, 'freezes', 0);
    },

    async pipe() {
        const streams = quick ? 16 : 24;
        const publisher = await publish('pipe{n}', streams);
        const viewers = load('pipe', ['--whep', whep('pipe{n}'), '--viewers', `${streams}`, '--streams', `${streams}`,
            '--duration', `${WINDOW_S + 6}`]);
        await sleep(3000);
        const w = await window('backbone', 'millrace_packets_sent_total{transport="pipe"}', WINDOW_S, viewers);
        await viewers.report();
        await publisher.process.stop('SIGINT');
        figure('pipe_us_per_packet', w.cpu_us / w.n, 'us', 4);
    },
};

async function measure() {
    const limit = await limitOf();
    figure('limit_us_per_packet', limit, 'us', null, limit);
    figure('limit_us_per_packet_4_a_message', await limitOf('--packets', '4'), 'us', null, limit);
    const publisher = await publish('test');
    for (const [name, run] of Object.entries(measurements)) {
        if (chosen.length ? !chosen.includes(name) : quick && name === 'streams') continue;
        await run(limit);
    }
    await publisher.process.stop('SIGINT');
    const again = await limitOf();
    if (Math.abs(again - limit) > 0.15 * limit) notes.push(`the limit was ${limit} us at the beginning, ${again} us at the end`);
}

let failed = false;
try {
    await measure();
} catch (error) {
    failed = true;
    console.error(error.message);
    cluster.printLogs();
} finally {
    await cluster.down().catch((error) => { failed = true; console.error(error.message); });
    cluster.remove();
}
for (const note of new Set(notes)) console.log(`note: ${note}`);
const cpu = /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
writeFileSync(path.join(OUT, 'bench.json'), `${JSON.stringify({ date: new Date().toISOString(), cpu, quick, figures, notes: [...new Set(notes)] }, null, 1)}\n`);
console.log(`${figures.filter((f) => f.target !== null && f.ok).length} of ${figures.filter((f) => f.target !== null).length} targets met; ${OUT}/bench.json`);
process.exit(failed ? 1 : 0);
