// SPDX-License-Identifier: Apache-2.0
//
// faults-crowd.test.mjs - a thousand viewers at once at a cold edge make one pull; a crowd at a stream that does not exist costs the
// directory next to nothing; a backbone that is flooded with streams stays within its memory.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { getJson, http } from '../lib/http.mjs';
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
    await t.test('a thousand viewers in one second at a cold edge make one pull', async () => {
        const publisher = publish('crowd', '180p15@100k');
        await cluster.isLive('origin', 'live/crowd');
        const json = path.join(cluster.dir, 'crowd.json');
        const result = await run(LOAD, ['--quiet', '--json', json, '--flv', `${cluster.url('edge')}/live/crowd.flv`, '--viewers', `${VIEWERS}`,
            '--ramp', `${VIEWERS}`, '--duration', '5', '--timeout', '30'], { timeout_ms: 60_000 });
        const report = JSON.parse(readFileSync(json, 'utf8'));
        console.log(`# ${report.viewers.joined} of ${report.viewers.asked} joined, p50 ${report.join_ms.p50} p99 ${report.join_ms.p99} ms, `
            + `${report.picture.breaks} breaks, ${report.freezes} freezes`);
        assert.equal(report.viewers.joined, VIEWERS, result.output);
        assert.equal(await cluster.metric('edge', 'millrace_pulls_total'), 1);
        assert.equal(report.picture.breaks, 0);
        await publisher.stop('SIGKILL');
    });

    await t.test('a stream that does not exist is remembered as such for a moment', async () => {
        const before = (await getJson(`${cluster.url('edge')}/api/v1/node`)).directory;
        const began = Date.now();
        const answers = [];
        for (let i = 0; i < 10; i++) // one after the other, as those who try again
            answers.push(...await Promise.all(Array.from({ length: 50 }, () => http(`${cluster.url('edge')}/live/nobody.flv`, { timeout_ms: 20_000 }))));
        const took = Date.now() - began;
        assert.ok(answers.every((a) => a.status === 404));
        const finds = (await getJson(`${cluster.url('edge')}/api/v1/node`)).directory.finds - before.finds;
        console.log(`# ${answers.length} requests in ${took} ms: ${finds} questions to the directory`);
        assert.ok(finds <= 2 + took / 1000, `${finds} questions`);
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
