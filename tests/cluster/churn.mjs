// SPDX-License-Identifier: Apache-2.0
//
// churn.mjs ROUNDS - rounds of streams with new names, published by RTMP and WHIP and watched by WHEP and HTTP-FLV through backbone and
// edge. Half of the publishers and viewers end as they should, half by SIGKILL. After each round, when the last session has
// gone, what each node holds is printed. Exit code 1 when a node goes on growing, or keeps a session, a stream or a descriptor.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster } from '../lib/cluster.mjs';
import { getJson } from '../lib/http.mjs';
import { Background, buildDir, must, sleep, until } from '../lib/process.mjs';

const LOAD = `${buildDir}/tests/load/millrace-load`;
const ROUNDS = Number(process.argv[2] ?? 8);
const STREAMS = 3; // of each kind of publisher and manner of ending
const STAY_S = 12;
const GONE_MS = 60_000; // WebRTC sessions without a word end after 30 s
const WARM_ROUNDS = Math.min(3, ROUNDS - 1); // in which pools grow to what a round takes
const GROWTH_MAX = 1.03; // of RSS after that, beside a MiB: the heap's own ups and downs

const VIEWERS = { whep: 80, flv: 50 }; // of each group, and as many again by churn in STAY_S

// A heap a thread, and what is free in each by chance, would hide what is lost; so would packets in caches, of which one round has
// more at a worker than another.
class OneHeap extends Cluster {
    nodeCommand() {
        return ['env', 'MALLOC_ARENA_MAX=1'];
    }
}

// A scenario: its streams are named with what is unique to it. Viewers come when the streams are live.
function scenario(cluster, unique) {
    const name = (kind) => `churn/${kind}-${unique}-{n}`;
    const watchers = (kind, where) => ['rtmp', 'whip'].map((from) => `
  - ${kind}: ${where(name(from))}
    streams: ${STREAMS}
    start: 3
    ramp: ${VIEWERS[kind]}
    viewers: ${VIEWERS[kind]}
    churn: ${VIEWERS[kind] / STAY_S}`).join('');
    return `duration: ${STAY_S}
publish:
  - { rtmp: "${cluster.rtmp(name('rtmp'))}", synthetic: 180p15@200k, count: ${STREAMS} }
  - { whip: "${cluster.url('origin')}/whip/${name('whip')}", synthetic: 180p15@200k, count: ${STREAMS} }
watch:${watchers('whep', (stream) => `${cluster.url('edge')}/whep/${stream}`)}${watchers('flv', (stream) => `${cluster.url('edge')}/${stream}.flv`)}
`;
}

function load(cluster, unique) {
    const file = (ending) => path.join(cluster.dir, `${unique}.${ending}`);
    writeFileSync(file('yaml'), scenario(cluster, unique));
    const process = cluster.add(new Background(unique, LOAD, ['--quiet', '--scenario', file('yaml'), '--json', file('json'), '--timeout', '20'],
        { log: cluster.log(unique) }));
    return { process, report: () => JSON.parse(readFileSync(file('json'), 'utf8')) };
}

// What a node holds.
async function heldBy(cluster, name) {
    const proc = `/proc/${cluster.nodes.get(name).pid}`;
    const [{ sessions }, { streams }] = await Promise.all(['sessions', 'streams'].map((what) => getJson(`${cluster.url(name)}/api/v1/${what}`)));
    return {
        rss_kib: Number(readFileSync(`${proc}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]),
        fds: readdirSync(`${proc}/fd`).length,
        sessions: sessions.length,
        streams: streams.length,
    };
}

async function look(cluster, round) {
    const nodes = {};
    for (const name of cluster.names) nodes[name] = await heldBy(cluster, name);
    const all = (await must('redis-cli', ['-p', `${cluster.redisPort}`, '--scan'])).stdout.trim().split('\n');
    const keys = all.filter((key) => !key.startsWith('mr:epoch:')).length; // a name's last epoch is remembered for a day
    console.log([String(round).padStart(5), ...cluster.names.map((name) => Object.values(nodes[name]).map((n) => String(n).padStart(8)).join('')),
        String(keys).padStart(8)].join('  |'));
    return { nodes, keys };
}

async function emptied(cluster) {
    for (const name of cluster.names)
        await until(`${name} is empty`, GONE_MS, async () => {
            const { sessions, streams } = await heldBy(cluster, name);
            if (sessions || streams) throw new Error(`${sessions} sessions, ${streams} streams`);
            return true;
        }, 1_000);
}

// Resolves to how many joined of those that ended as they should.
async function play(cluster, round) {
    const polite = load(cluster, `polite${round}`), abrupt = load(cluster, `abrupt${round}`);
    await sleep((3 + STAY_S * 0.75) * 1000);
    const held = await heldBy(cluster, 'edge').catch(() => ({ sessions: 'no answer:' })); // told, and nothing hangs on it
    await abrupt.process.stop('SIGKILL');
    const { status } = await polite.process.ended;
    if (status === 1) throw new Error(`millrace-load: ${polite.process.output().slice(-4000)}`); // 2: a busy machine did not serve all
    await emptied(cluster);
    return { peak: held.sessions, ...polite.report().viewers };
}

function judge(looks) {
    const warm = looks[WARM_ROUNDS], last = looks.at(-1);
    const wrong = [];
    for (const [name, now] of Object.entries(last.nodes)) {
        const then = warm.nodes[name];
        if (now.rss_kib > then.rss_kib * GROWTH_MAX + 1024) wrong.push(`${name} grew from ${then.rss_kib} to ${now.rss_kib} KiB`);
        const fds = Math.max(...looks.slice(1, WARM_ROUNDS + 1).map((look) => look.nodes[name].fds));
        if (now.fds > fds) wrong.push(`${name} went from ${fds} to ${now.fds} descriptors`);
    }
    if (last.keys > Math.max(...looks.slice(0, WARM_ROUNDS + 1).map(({ keys }) => keys))) wrong.push(`the directory went from ${warm.keys} to ${last.keys} keys`);
    return wrong;
}

const common = { node: { log: 'info' }, cache: { duration_ms: 1000 } };
const relay = { linger_ms: 1000, grace_ms: 2000 };
const cluster = await Cluster.raise(new OneHeap({ origin: common, backbone: { ...common, relay }, edge: { ...common, relay } }), {});
try {
    console.log(`after round |${cluster.names.map((name) => `${name}: RSS KiB, fds, sessions, streams`).join('  |')}  | keys in Redis`);
    const looks = [await look(cluster, 0)];
    for (let round = 1; round <= ROUNDS; round++) {
        const { peak, asked, joined } = await play(cluster, round);
        looks.push(await look(cluster, round));
        console.log(`       of the polite ${joined} of ${asked} viewers joined; ${peak} sessions at the edge before the others were killed`);
    }
    const wrong = judge(looks);
    console.log(wrong.length ? wrong.join('\n') : `flat since round ${WARM_ROUNDS}`);
    process.exitCode = wrong.length ? 1 : 0;
} catch (error) {
    cluster.printLogs();
    throw error;
} finally {
    await cluster.down();
    cluster.remove();
}
