// SPDX-License-Identifier: Apache-2.0
//
// rtmp.test.mjs - ffmpeg by RTMP to a browser by WHEP: H.264 as it is, AAC as Opus; joins that get faster; a
// publisher that goes and comes back under the same session.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, pageState, picturesGrow, received, soundIsHeard, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { farAway } from '../lib/far.mjs';
import { publishLive } from '../lib/media.mjs';
import { until } from '../lib/process.mjs';

const STREAM = 'live/test';
const JOINS = 3; // of each kind; medians are compared

const SYNC_MS = 80; // what EBU R37 allows a programme's sound to be early or late by is 40 and 60 ms, a frame is 33
const AWAY_MS = 150; // each way between edge and backbone, as between continents: more than a busy machine's own noise

const cluster = await Cluster.up({
    origin: {},
    backbone: { relay: { linger_ms: 100 } },
    edge: { relay: { linger_ms: 100 }, rtc: { audio_hold_load: 100 } }, // sound as it comes, however busy the machine is
    'edge-us': { relay: { linger_ms: 100 } },
}, { start: false });
const far = await farAway(cluster.port('backbone', 'pipe'), AWAY_MS, { count: 2 }); // a port a worker
cluster.add(far);
cluster.writeConfig('backbone', { pipe: { announce: `127.0.0.1:${far.port}` } });
await cluster.start();
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// Sound and picture that are played together were captured together: by the sender reports' capture times of both
// (RFC 3550 s6.4.1), which the browser turns into the time of what it plays now.
async function inSync(page) {
    await until(`sound and picture within ${SYNC_MS} ms`, 10_000, async () => {
        const { audio, video } = await received(page);
        const apart_ms = audio.estimatedPlayoutTimestamp - video.estimatedPlayoutTimestamp;
        if (!(Math.abs(apart_ms) <= SYNC_MS)) throw new Error(`${apart_ms} ms apart`);
        return true;
    });
}

// Opens the watch page and resolves to it and the milliseconds to its first picture.
async function join(browser) {
    const page = await watch(browser, cluster, STREAM);
    const { join_ms } = await until('the first picture', 15_000, async () => {
        const now = await received(page);
        return now.join_ms > 0 && now;
    });
    return { page, join_ms };
}

await cluster.use(test, async (t) => {
    const browser = await launch(cluster);
    let publisher = publishLive(cluster, cluster.rtmp(STREAM));
    await cluster.isLive('origin', STREAM);

    await t.test('H.264 is seen, AAC is heard as Opus, made once', async () => {
        const viewer = await watch(browser, cluster, STREAM);
        await picturesGrow(viewer);
        const heard = await soundIsHeard(viewer);
        assert.deepEqual(heard.codecs.sort(), ['audio/opus', 'video/H264']);
        await inSync(viewer);
        const other = await watch(browser, cluster, STREAM, { edge: 'edge-us' });
        await soundIsHeard(other);
        assert.equal(await cluster.metric('origin', 'millrace_transcodes'), 1, 'once for both edges');
        await Promise.all([viewer, other].map(close));
    });

    await t.test('the second viewer of an edge sees its first picture sooner than the first', async () => {
        const cold = [];
        const warm = [];
        for (let i = 0; i < JOINS; i++) {
            await until('the edge has let go of the stream', 10_000, async () => !(await cluster.stream('edge', STREAM)) &&
                !(await cluster.stream('backbone', STREAM)));
            const first = await join(browser);
            const second = await join(browser);
            cold.push(first.join_ms);
            warm.push(second.join_ms);
            await Promise.all([first.page, second.page].map(close));
        }
        console.log(`# first picture after ${Math.round(median(cold))} ms on a cold edge, ${Math.round(median(warm))} ms on a warm one`);
        assert.ok(median(warm) < median(cold), `cold ${cold}, warm ${warm}`);
    });

    await t.test('the publisher is killed and comes back: the same session plays on', async () => {
        const viewer = await watch(browser, cluster, STREAM);
        await picturesGrow(viewer);
        await viewer.evaluate(() => (globalThis.firstPc = globalThis.millrace.player.pc));

        await publisher.stop('SIGKILL');
        await pageState(viewer, 'waiting');
        await viewer.waitForFunction(() => document.querySelector('#message').innerText.includes('publisher is away'));

        publisher = publishLive(cluster, cluster.rtmp(STREAM));
        await pageState(viewer, 'live');
        const now = await picturesGrow(viewer, 45);
        await soundIsHeard(viewer);
        assert.equal(now.opened, 1);
        assert.ok(await viewer.evaluate(() => globalThis.firstPc === globalThis.millrace.player.pc), 'the same connection');
        await close(viewer);
    });
});
