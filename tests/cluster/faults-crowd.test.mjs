// SPDX-License-Identifier: Apache-2.0
//
// faults-crowd.test.mjs - a thousand viewers of either kind at once at a cold edge make one pull; a crowd at a stream that does not exist costs the
// directory next to nothing; a backbone that is flooded with streams stays within its memory.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { getJson, getMetrics, http } from '../lib/http.mjs';
import { Background, buildDir, run, sleep, until } from '../lib/process.mjs';

const LOAD = `${buildDir}/tests/load/millrace-load`;
const VIEWERS = 1000;
const BUDGET = 4 << 20; // bytes of a node's caches
const STREAMS = 16; // of 2 Mbit/s: 10 s of them would be 40 MB
const cluster = await Cluster.up({ origin: {}, backbone: { relay: { prefetch: 'all' }, cache: { node_bytes: BUDGET } }, edge: {} });

const publish = (name, kind) => cluster.add(new Background(name, LOAD, ['--quiet', '--publish-rtmp', cluster.rtmp(`live/${name}`),
    '--synthetic', kind, '--duration', '600'], { log: cluster.log(name) }));

async function rss(name) {
    return 1024 * Number(readFileSync(`/proc/${cluster.nodes.get(name).pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
}

await cluster.use(test, async (t) => {
    for (const [kind, where] of [['flv', 'live/flv-crowd.flv'], ['whep', 'whep/live/whep-crowd']])
        await t.test(`a thousand ${kind} viewers in one second at a cold edge make one pull`, async () => {
            const name = `${kind}-crowd`;
            const publisher = publish(name, '180p15@100k');
            await cluster.isLive('backbone', `live/${name}`); // prefetched
            const before = await cluster.metric('edge', 'millrace_pulls_total');
            const json = path.join(cluster.dir, 'crowd.json');
            const result = await run(LOAD, ['--quiet', '--json', json, `--${kind}`, `${cluster.url('edge')}/${where}`, '--viewers', `${VIEWERS}`,
                '--ramp', `${VIEWERS}`, '--duration', '3', '--timeout', '40'], { timeout_ms: 80_000 });
            const report = JSON.parse(readFileSync(json, 'utf8'));
            // A sanitized build takes seconds for a thousand handshakes, and when it is overloaded it lets nobody in: those come again.
            const count = (of) => Object.entries(report.failures).filter(([cause]) => of.test(cause)).reduce((n, [, m]) => n + m, 0);
            const refused = count(/http 503/);
            const slow = count(/^no media before the end \((http|ice|dtls|media)\)/);
            console.log(`# ${report.viewers.joined} of ${report.viewers.asked} joined, ${refused} refused, ${slow + report.viewers.cut_off} not yet, `
                + `p50 ${report.join_ms.p50} p99 ${report.join_ms.p99} ms, ${report.picture.breaks} breaks, ${report.freezes} freezes`);
            assert.equal(report.viewers.joined + refused + slow + report.viewers.cut_off, VIEWERS, result.output);
            assert.ok(report.viewers.joined > VIEWERS / (kind === 'flv' ? 2 : 50), result.output);
            assert.equal(await cluster.metric('edge', 'millrace_pulls_total') - before, 1);
            assert.equal((await cluster.stream('backbone', `live/${name}`)).children, 1);
            assert.equal((await cluster.stream('origin', `live/${name}`)).children, 1);
            if (kind === 'flv') assert.equal(report.picture.breaks, 0);
            await publisher.stop('SIGKILL');
        });

    await t.test('a stream that does not exist is remembered as such for a moment', async () => {
        await until('the edge has come to its breath', 20_000, async () =>
            [...await getMetrics(cluster.url('edge'))].filter(([name]) => name.startsWith('millrace_overload_level')).every(([, level]) => level === 0));
        const before = (await getJson(`${cluster.url('edge')}/api/v1/node`)).directory;
        const log = cluster.log('monitor');
        const monitor = cluster.add(new Background('monitor', 'redis-cli', ['-p', `${cluster.redisPort}`, 'monitor'], { log }));
        await until('redis tells what it is asked', 5_000, () => monitor.output().includes('OK'));
        const began = Date.now();
        const answers = [];
        for (let i = 0; i < 10; i++) // one after the other, as those who try again
            answers.push(...await Promise.all(Array.from({ length: 50 }, () => http(`${cluster.url('edge')}/live/nobody.flv`, { timeout_ms: 20_000 }))));
        const took = Date.now() - began;
        assert.ok(answers.every((a) => a.status === 404));
        const finds = (await getJson(`${cluster.url('edge')}/api/v1/node`)).directory.finds - before.finds;
        console.log(`# ${answers.length} requests in ${took} ms: ${finds} questions to the directory`);
        assert.ok(finds <= 2 + took / 1000, `${finds} questions`);
        await until('redis was asked at all', 5_000, () => monitor.output().includes('live/nobody'));
        const asked = monitor.output().split('\n').filter((line) => line.includes('live/nobody'));
        assert.ok(asked.length <= finds, asked.join('\n'));
        await monitor.stop('SIGKILL');
    });

    await t.test('a backbone that is flooded with streams keeps to its memory, idle streams first', async () => {
        const idle = await rss('backbone');
        const publishers = Array.from({ length: STREAMS }, (_, i) => publish(`flood${i}`, '360p30@2000k'));
        await until('it has them all', 30_000, async () => (await getJson(`${cluster.url('backbone')}/api/v1/streams`)).streams
            .filter((s) => s.name.startsWith('live/flood') && s.state === 'live').length === STREAMS);
        const watched = new AbortController();
        const viewer = fetch(`${cluster.url('edge')}/live/flood0.flv`, { signal: watched.signal }).then(async (response) => {
            for await (const chunk of response.body) void chunk;
        }).catch(() => {});
        await sleep(process.env.MILLRACE_LONG ? 60_000 : 6_000);
        const { streams } = await getJson(`${cluster.url('backbone')}/api/v1/streams`);
        const cached = await cluster.metric('backbone', 'millrace_cache_bytes');
        const bytes = (name) => streams.find((s) => s.name === name).cached_bytes;
        const others = Array.from({ length: STREAMS - 1 }, (_, i) => bytes(`live/flood${i + 1}`)).sort((a, b) => a - b);
        const grown = (await rss('backbone')) - idle;
        console.log(`# ${STREAMS} streams: ${cached} bytes cached of ${BUDGET} allowed, RSS grew by ${grown} bytes; `
            + `the watched stream has ${bytes('live/flood0')}, idle ones ${others[0]} to ${others.at(-1)}`);
        assert.ok(grown < 200 << 20, `RSS grew by ${grown} bytes`); // a sanitized build keeps freed memory for a while
        assert.ok(cached <= BUDGET * 1.05, `${cached} bytes cached`);
        assert.ok(bytes('live/flood0') > others[others.length >> 1], 'idle streams give first');
        watched.abort();
        await viewer;
        for (const publisher of publishers) await publisher.stop('SIGKILL');
    });
});
