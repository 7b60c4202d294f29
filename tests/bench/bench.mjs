// SPDX-License-Identifier: Apache-2.0
//
// bench.mjs - the measurements of tests/bench/run. CPU is that of the server's process, user and system, from /proc, over
// a steady window, divided by what /metrics says was delivered in it: that holds on noisy machines.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { Cluster } from '../lib/cluster.mjs';
import { http, parseMetrics } from '../lib/http.mjs';
import { Background, buildDir, must, run, sleep, until } from '../lib/process.mjs';
import { cpuOfThreads, cpuSeconds, machine, median, quantile, share } from './cpu.mjs';

const OUT = process.env.MILLRACE_BENCH_OUT;
const LOAD = `${buildDir}/tests/load/millrace-load`;
const LIMIT = `${buildDir}/tests/bench/millrace-limit`;
const LIMIT_PIPE = `${buildDir}/tests/bench/millrace-limit-pipe`;
const LIMIT_TCP = `${buildDir}/tests/bench/millrace-limit-tcp`;
const FRAME_BYTES = 10_900; // a frame of MEDIA with the sound beside it: what a viewer by HTTP-FLV is sent at once
const args = process.argv.slice(2);
const quick = args.includes('--quick');
const LONG = ['streams', 'workers', 'overload', 'micro']; // left out by --quick
const chosen = args.filter((arg) => !arg.startsWith('-'));
const WINDOW_S = quick ? 4 : 12;
const MEDIA = '720p30@2.5M';
const KEYFRAME_PACKETS = 47; // of MEDIA
const CORES = availableParallelism(); // and so many workers the edge has
const PAIRS = quick ? 2 : 5; // of the edge's windows and the limit's
const PAIR_WINDOW_S = quick ? 2 : 2.5;
const PAIR_LIMIT_S = 0.6;
const PAIR_SETTLE_S = 1.5; // after a pause

const config = { node: { log: 'warn' } };
const cluster = await Cluster.up({ origin: config, backbone: config, edge: { ...config, relay: { linger_ms: 500 } } });
const figures = [];
const notes = [];
let failed = false;

// ---- reading ----

const nodeCpu = (name) => cpuSeconds(cluster.nodes.get(name).pid);

function rssBytes(name) {
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${cluster.nodes.get(name).pid}/status`, 'utf8'))[1]);
}

// A node that is short of CPU takes its time.
const getMetrics = async (url) => parseMetrics((await http(`${url}/metrics`, { timeout_ms: 30_000 })).text);

// CPU of a node and what a counter grew by in a window.
async function window(node, sample, seconds, tester) {
    const metric = async () => (await getMetrics(cluster.url(node))).get(sample) ?? 0;
    const nodes = [...cluster.nodes.keys()];
    const own = () => nodes.reduce((sum, name) => sum + nodeCpu(name), 0) + (tester ? cpuSeconds(tester.pid) : 0);
    const machine0 = machine(), own0 = own();
    const cpu0 = nodeCpu(node), n0 = await metric();
    await sleep(seconds * 1000);
    const cpu = nodeCpu(node) - cpu0, n = (await metric()) - n0;
    return { cpu_us: cpu * 1e6, n, used: share(machine0, machine(), own() - own0) };
}

// What a reader should know of the windows of a measurement.
function noteOthers(name, windows) {
    const others = Math.max(...windows.map((w) => w.used.others));
    if (others > 0.1) notes.push(`${name}: others took up to ${Math.round(100 * others)}% of the machine`);
    if (windows.some((w) => w.used.idle < 0.03)) notes.push(`${name}: the machine was full`);
}

// ---- loading ----

let loads = 0;

// millrace-load in the background: {process, report()}.
function load(name, more) {
    const json = path.join(cluster.dir, `load-${++loads}.json`);
    const process = cluster.add(new Background(name, LOAD, ['--quiet', '--no-events', '--timeout', '20', '--json', json,
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

// A frame with a stamp has a NAL unit more, so a packet and a message more at each viewer: there is one in two seconds, which tells
// of the others. HTTP-FLV, to which that makes no send more, has one in every frame.
async function publish(stream, count = 1, stampEvery = 61) {
    const publisher = load(`publish-${stream.replace(/\W/g, '')}`, ['--publish-rtmp', cluster.rtmp(`live/${stream}`),
        '--synthetic', MEDIA, '--stamp-every', `${stampEvery}`, '--count', `${count}`, '--duration', '3600']);
    for (let i = 0; i < count; i++) await cluster.isLive('origin', `live/${stream.replace('{n}', i)}`, 20_000);
    return publisher;
}

const whep = (stream) => `${cluster.url('edge')}/whep/live/${stream}`;
const flv = (stream) => `${cluster.url('edge')}/live/${stream}.flv`;

// Viewers that join, and a steady window while they play.
async function steady(name, kind, viewers, more = [], streams = 1, stream = 'test', seconds = WINDOW_S) {
    const ramp = kind === 'flv' ? 1000 : 250;
    const sample = kind === 'flv' ? 'millrace_bytes_sent_total{transport="flv"}' : 'millrace_packets_sent_total{transport="webrtc"}';
    const l = load(name, [`--${kind}`, (kind === 'flv' ? flv : whep)(stream), '--viewers', `${viewers}`, '--ramp', `${ramp}`,
        '--streams', `${streams}`, '--duration', `${seconds + 4}`, '--settle', '3', ...more]);
    await sleep((viewers / ramp + 3) * 1000);
    const w = await window('edge', sample, seconds, l);
    noteOthers(name, [w]);
    const rss = rssBytes('edge');
    return { ...w, rss, report: await ended(name, kind, viewers, l) };
}

// The report of viewers who have left the edge.
async function ended(name, kind, viewers, l) {
    const report = await l.report();
    if (report.viewers.joined < viewers) notes.push(`${name}: only ${report.viewers.joined} of ${viewers} viewers joined`);
    if (report.rtp.lost_after_repair) notes.push(`${name}: ${report.rtp.lost_after_repair} packets lost after repair`);
    if (report.counters.socket_drops) notes.push(`${name}: ${report.counters.socket_drops} datagrams dropped by the load tester itself`);
    await until('the edge has let go', 15_000, async () => (await cluster.metric('edge', `millrace_viewers{kind="${kind}"}`)) === 0);
    return report;
}

const LIMIT_SPREAD_MAX = 1.25;
const limits = []; // each time that it was measured: as fast as it can, and at the pace of pictures
const pacedLimits = [];

async function limitOf(...more) {
    const [us, p50, p99] = (await must(LIMIT, ['--seconds', `${PAIR_LIMIT_S}`, ...more])).stdout.trim().split(' ').map(Number);
    return { us, p50, p99 };
}

const spread = (values) => ({ median: median(values), q1: quantile(values, 0.25), q3: quantile(values, 0.75) });

// WHEP viewers and the limit program. What the machine is like changes within seconds, so what is compared is measured together, and the
// median of the ratios counts. The limit at the pace of pictures, with as many viewers as one worker has, runs in the same seconds as the
// edge's windows: it takes a twentieth of a core, and neither changes the other's figure by more than 3%. The limit that does not rest
// takes turns with the windows, and each is compared with the runs just before and after it. The publisher is stopped meanwhile: beside
// an edge and a tester at work this limit is 1.2 times as high.
async function paired(name, publisher, viewers, { more = [], streams = 1, stream = 'test', workers = CORES, pairs = PAIRS } = {}) {
    const l = load(name, ['--whep', whep(stream), '--viewers', `${viewers}`, '--ramp', '250', '--streams', `${streams}`,
        '--duration', '300', '--settle', '0', ...more]);
    const windows = [], before = [];
    const limitAlone = async () => {
        publisher.process.child.kill('SIGSTOP');
        await sleep(150);
        before.push((await limitOf()).us);
        publisher.process.child.kill('SIGCONT');
    };
    const together = async () => {
        const pid = cluster.nodes.get('edge').pid, sample = 'millrace_packets_sent_total{transport="webrtc"}';
        const running = limitOf('--viewers', `${Math.ceil(viewers / workers)}`, '--rate', '30', '--seconds', `${PAIR_WINDOW_S}`);
        await sleep(400); // it has begun to measure
        const from = cpuOfThreads(pid), w = await window('edge', sample, PAIR_WINDOW_S, l);
        const threads = cpuOfThreads(pid).map((s, i) => s - (from[i] ?? 0));
        return { ...w, us: w.cpu_us / w.n, threads, paced: (await running).us };
    };
    await sleep((viewers / 250 + 1.5) * 1000);
    await limitAlone();
    for (let i = 0; i < pairs; i++) {
        await sleep(PAIR_SETTLE_S * 1000);
        windows.push(await together());
        await limitAlone();
    }
    noteOthers(name, windows);
    const rss = rssBytes('edge');
    await l.process.stop('SIGINT');
    await ended(name, 'whep', viewers, l);
    limits.push(...before);
    pacedLimits.push(...windows.map((w) => w.paced));
    return { us: median(windows.map((w) => w.us)), rss, windows, limit: spread(before), ratio: spread(windows.map((w, i) => 2 * w.us / (before[i] + before[i + 1]))),
        paced: spread(windows.map((w) => w.us / w.paced)) };
}

// A process without a past: what more viewers add to its memory is theirs, not left over from others.
async function freshEdge(more = {}) {
    await cluster.nodes.get('edge').stop();
    cluster.writeConfig('edge', more);
    cluster.startNode('edge');
    await cluster.ready('edge');
    await cluster.isLive('origin', 'live/test');
    await sleep(1000); // the directory tells it of the others
}

// ---- figures ----

// ok unless value is above target; limit: what the target was made of, for the ratio.
function figure(name, value, unit, target = null, limit = null, remark = null) {
    figures.push({ name, value: Math.round(value * 1000) / 1000, unit, target: target && Math.round(target * 1000) / 1000, limit,
        ok: target === null || value <= target });
    const f = figures.at(-1);
    console.log(`${name.padEnd(34)} ${String(f.value).padStart(11)} ${unit.padEnd(9)} ${(target === null ? '' : `<= ${f.target}`).padEnd(12)}`
        + ` ${(remark ?? (limit ? `${(value / limit).toFixed(2)} x limit` : target ? `${(value / target).toFixed(2)} x target` : '')).padEnd(14)} ${target === null ? '' : f.ok ? 'ok' : 'MISSED'}`);
}

// What paired() found: the target is `factor` times the limit, which is what the median of the ratios makes of the figure. The limit is the
// one that does not rest, unless its own runs of this load lie too far apart for a yardstick (others are at work): then it is the other.
function pairedFigure(name, p, factor = null) {
    const text = (r) => `${r.median.toFixed(2)} (${r.q1.toFixed(2)} to ${r.q3.toFixed(2)})`;
    const still = p.limit.q3 <= LIMIT_SPREAD_MAX * p.limit.q1;
    const limit = p.us / (still ? p.ratio : p.paced).median;
    if (!still) notes.push(`${name}: the limit moved between ${p.limit.q1.toFixed(2)} and ${p.limit.q3.toFixed(2)} us, so the limit at the pace of pictures is the yardstick`);
    figure(name, p.us, 'us', factor && factor * limit, limit, `${text(p.ratio)} x limit, ${text(p.paced)} at its pace`);
    Object.assign(figures.at(-1), { ratio: p.ratio, ratio_paced: p.paced });
}

// Busy loops on one core, for who is to be short of CPU there.
function squeeze(core, n, pids) {
    const hogs = Array.from({ length: n }, () => cluster.add(new Background('hog', 'taskset', ['-c', `${core}`, 'sh', '-c', 'while :; do :; done'],
        { log: path.join(cluster.dir, 'hogs.log') })));
    return Promise.all(pids.map((pid) => must('taskset', ['-a', '-cp', `${core}`, `${pid}`])))
        .then(() => async () => {
            await Promise.all(hogs.map((hog) => hog.stop('SIGKILL')));
            await Promise.all(pids.map((pid) => must('taskset', ['-a', '-cp', `0-${availableParallelism() - 1}`, `${pid}`])));
        });
}

const overloadFacts = async () => {
    const metrics = await getMetrics(cluster.url('edge'));
    const sum = (start) => [...metrics].filter(([name]) => name.startsWith(start)).reduce((all, [, value]) => all + value, 0);
    return {
        pressure: Math.max(...[...metrics].filter(([name]) => name.startsWith('millrace_overload_pressure')).map(([, value]) => value)),
        lost: sum('millrace_packets_lost_total{transport="pipe"}') + sum('millrace_packets_dropped_total{where="pull_receive"}'),
        leftOut: sum('millrace_pictures_left_out_total'),
        thinned: sum('millrace_viewers_thinned'),
        refused: sum('millrace_clients_refused_total'),
    };
};

let publisher; // of live/test

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

    async whep() {
        await freshEdge();
        const few = await paired('whep-500', publisher, 500);
        pairedFigure('whep_us_per_packet_500', few, 1.3);
        const many = await paired('whep-1000', publisher, 1000);
        pairedFigure('whep_us_per_packet_1000', many, 1.3);
        figure('whep_viewer_rss_bytes', (many.rss - few.rss) / 500, 'bytes', 24 * 1024);
    },

    // From the publisher's send to the arrival at each of 1,000 viewers, by the kernel's time of the packet, which on loopback is that
    // of the edge's send. The first viewer has the way of two hops; all others wait until those before them have been sent to. The
    // limit is such a queue, too: of the limit program on each core, with keyframes, which sends nothing but pictures and has no hops
    // before it. The tester has the same cores: it decrypts a tenth, and the beginnings of frames.
    async delay() {
        const { report } = await steady('whep-1000-delay', 'whep', 1000, ['--check', '0.1'], 1, 'test', Math.max(WINDOW_S, 7)); // a stamp tells of two seconds
        const queues = await Promise.all(Array.from({ length: CORES }, () => limitOf('--viewers', `${1000 / CORES}`, '--rate', '30',
            '--keyframe', `${KEYFRAME_PACKETS}`, '--seconds', quick ? '2' : '4')));
        const queue = { p50: median(queues.map((q) => q.p50)), p99: median(queues.map((q) => q.p99)) };
        figure('limit_queue_p50_ms', queue.p50, 'ms');
        figure('limit_queue_p99_ms', queue.p99, 'ms');
        figure('relay_delay_p50_ms', report.steady.delay_ms.p50, 'ms', 2, queue.p50);
        figure('relay_delay_p99_ms', report.steady.delay_ms.p99, 'ms', 10, queue.p99);
        figure('relay_delay_first_p50_ms', report.steady.delay_first_ms.p50, 'ms', 2);
        figure('relay_delay_first_p99_ms', report.steady.delay_first_ms.p99, 'ms', 10);
    },

    async cm() {
        pairedFigure('whep_us_per_packet_500_cm', await paired('whep-500-cm', publisher, 500, { more: ['--srtp', 'cm'] }), 2);
    },

    // Several streams cost as one does. The loads come one after the other, so each is taken in limits of its minute: those at the
    // pace of pictures, which move less.
    async streams() {
        const one = await paired('whep-504-1-stream', publisher, 504);
        const several = await publish('many{n}', 8);
        const many = await paired('whep-504-8-streams', several, 504, { streams: 8, stream: 'many{n}' });
        await several.process.stop('SIGINT');
        pairedFigure('whep_us_per_packet_504_1_stream', one);
        pairedFigure('whep_us_per_packet_500_8_streams', many);
        figure('whep_streams_ratio', many.paced.median / one.paced.median, 'x', 1.15);
    },

    // A worker's cost is linear in its viewers; two carry twice one: a packet costs the same, and both have their share.
    async workers() {
        const costs = {};
        await freshEdge({ node: { ...config.node, workers: 1 } });
        for (const viewers of [250, 500, 1000]) {
            costs[viewers] = await paired(`whep-${viewers}-1-worker`, publisher, viewers, { workers: 1, pairs: 3 });
            pairedFigure(`whep_us_per_packet_${viewers}_1_worker`, costs[viewers]);
        }
        figure('whep_linear_ratio', costs[1000].paced.median / costs[250].paced.median, 'x', 1.15);
        await freshEdge({ node: { ...config.node, workers: 2 } });
        const two = await paired('whep-500-2-workers', publisher, 500, { workers: 2, pairs: 3 });
        const used = two.windows.map(({ threads }) => [...threads].sort((a, b) => b - a)).map(([most, next]) => most / (most + next));
        figure('whep_two_workers_ratio', two.paced.median / costs[500].paced.median, 'x', 1.15);
        figure('whep_two_workers_larger_share', median(used), '', 0.6);
    },

    // As configured by default, where a picture waits for the next one, and with flv.hold_ms 0: the difference of the means is what that
    // adds to the delay. Every frame has a stamp: here that makes no send more.
    async flv() {
        const publisher = await publish('flv', 1, 1);
        const play = async (viewers, hold) => {
            const limit = Number((await must(LIMIT_TCP, ['--seconds', quick ? '2' : '4', '--viewers', `${viewers}`,
                '--bytes', `${FRAME_BYTES}`, '--rate', '30'])).stdout);
            const w = await steady(`flv-${viewers}${hold}`, 'flv', viewers, [], 1, 'flv');
            const { mean, p50, p99 } = w.report.steady.delay_ms;
            figure(`flv_limit_us_per_mb_${viewers}${hold}`, limit, 'us/MB');
            figure(`flv_us_per_mb_${viewers}${hold}`, w.cpu_us / (w.n / 1e6), 'us/MB', hold ? null : 700, limit);
            for (const [name, value] of Object.entries({ mean, p50, p99 })) figure(`flv_delay_${name}_ms_${viewers}${hold}`, value, 'ms');
            return { rss: w.rss, delay_ms: mean };
        };
        const both = async (hold) => [await play(500, hold), await play(2000, hold)];
        await freshEdge();
        const [few, many] = await both('');
        figure('flv_viewer_rss_bytes', (many.rss - few.rss) / 1500, 'bytes', 2048);
        if (!quick) {
            await freshEdge({ flv: { hold_ms: 0 } });
            const [fewAtOnce, manyAtOnce] = await both('_no_hold');
            figure('flv_delay_added_ms_500', few.delay_ms - fewAtOnce.delay_ms, 'ms', 20);
            figure('flv_delay_added_ms_2000', many.delay_ms - manyAtOnce.delay_ms, 'ms', 20);
            await freshEdge({ flv: { hold_ms: 40 } }); // as it was
        }
        await publisher.process.stop('SIGINT');
    },

    // Short of CPU, what comes in is read first and viewers are thinned; nothing is lost on the way in, nobody's publisher.
    async overload() {
        await freshEdge();
        const flood = load('overload', ['--whep', whep('test'), '--viewers', '800', '--ramp', '200', '--duration', '21']);
        const publisher = await publish('squeezed');
        const squeezedViewer = load('overload-squeezed', ['--whep', whep('squeezed'), '--viewers', '2', '--duration', '24']);
        await sleep(6000);
        const before = await overloadFacts();
        const release = await squeeze(0, 8, [cluster.nodes.get('edge').pid, cluster.nodes.get('origin').pid]);
        const pressures = [];
        let mostThinned = 0, now;
        for (let i = 0; i < 12; i++) {
            await sleep(1000);
            now = await overloadFacts();
            pressures.push(now.pressure);
            mostThinned = Math.max(mostThinned, now.thinned);
        }
        const late = await load('overload-late', ['--whep', whep('test'), '--viewers', '20', '--duration', '1', '--timeout', '3']).report();
        await release();
        const report = await flood.report();
        await squeezedViewer.report();
        await publisher.process.stop('SIGINT');
        const published = await publisher.report();
        if (Math.max(...pressures) === 0) throw new Error('overload: the edge was not short of CPU');
        figure('overload_publishers_lost', published.publishers.failed, 'publishers', 0);
        figure('overload_ingest_lost', now.lost - before.lost, 'packets', 0);
        figure('overload_pressure_median', median(pressures), 'permille');
        figure('overload_pressure_most', Math.max(...pressures), 'permille');
        figure('overload_viewers_thinned_most', mostThinned, 'of 802');
        figure('overload_pictures_left_out', now.leftOut - before.leftOut, 'pictures');
        figure('overload_refused', late.viewers.failed, 'of 20');
        figure('overload_viewers_dropped', report.viewers.dropped, 'viewers', 0);
    },

    async storm() {
        const playing = load('storm-playing', ['--whep', whep('test'), '--viewers', '100', '--ramp', '100', '--duration', '12']);
        await sleep(3000);
        const crowd = await load('storm', ['--whep', whep('test'), '--viewers', '1000', '--ramp', '500', '--duration', '3']).report();
        const before = await playing.report();
        figure('join_storm_failed', crowd.viewers.failed + crowd.viewers.dropped, 'viewers', 0);
        for (const [cause, count] of Object.entries(crowd.failures)) notes.push(`join storm: ${count} x ${cause}`);
        figure('join_storm_first_keyframe_p95_ms', crowd.first_keyframe_ms.p95, 'ms');
        figure('join_storm_playing_lost', before.rtp.lost_after_repair, 'packets', 0);
        figure('join_storm_playing_freezes', before.freezes, 'freezes', 0);
    },

    // Steps of the way, in nanoseconds: for who works on them, not against a target.
    async micro() {
        for (const program of ['micro_packet', 'micro_srtp'])
            console.log((await must(`${buildDir}/tests/bench/${program}`, quick ? ['100000'] : [])).stdout.trimEnd());
    },

    // A backbone that has played for a while: until then its cache grows, and each packet is the first to use its memory.
    async pipe() {
        for (const streams of quick ? [24] : [24, 96]) {
            const publisher = await publish(`pipe${streams}-{n}`, streams);
            const viewers = load(`pipe-${streams}`, ['--whep', whep(`pipe${streams}-{n}`), '--viewers', `${streams}`, '--streams', `${streams}`,
                '--duration', `${WINDOW_S + 14}`]);
            await sleep(12_000);
            const w = await window('backbone', 'millrace_packets_sent_total{transport="pipe"}', WINDOW_S, viewers);
            noteOthers(`pipe-${streams}`, [w]);
            await viewers.report();
            await publisher.process.stop('SIGINT');
            // What comes to both workers between two looks: they share a thread.
            const limit = Number((await must(LIMIT_PIPE, ['--seconds', quick ? '2' : '4', '--messages', `${streams / 4}`, '--packets', '4', '--rest', '3000'])).stdout);
            const more = streams === 24 ? '' : `_${streams}_streams`;
            figure(`pipe_limit_us_per_packet${more}`, limit, 'us');
            figure(`pipe_us_per_packet${more}`, w.cpu_us / w.n, 'us', 4, limit);
        }
    },
};

async function measure() {
    figure('limit_us_per_packet_4_a_message', (await limitOf('--packets', '4')).us, 'us');
    publisher = await publish('test');
    for (const [name, run] of Object.entries(measurements)) {
        if (chosen.length ? !chosen.includes(name) : quick && LONG.includes(name)) continue;
        await run().catch((error) => {
            failed = true;
            notes.push(`${name}: ended with ${error.message.split('\n')[0]}`);
        });
    }
    await publisher.process.stop('SIGINT');
    if (!limits.length) {
        limits.push((await limitOf()).us);
        pacedLimits.push((await limitOf('--viewers', `${500 / CORES}`, '--rate', '30')).us);
    }
    figure('limit_us_per_packet', median(limits), 'us');
    figure('limit_us_per_packet_paced', median(pacedLimits), 'us');
    const moved = (values) => `between ${quantile(values, 0.25).toFixed(2)} and ${quantile(values, 0.75).toFixed(2)} us`;
    notes.push(`half of the limits were ${moved(limits)}, at the pace of pictures ${moved(pacedLimits)}`);
}

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
