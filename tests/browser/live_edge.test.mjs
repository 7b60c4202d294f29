// SPDX-License-Identifier: Apache-2.0
//
// live_edge.test.mjs - a start from the cached pictures does not leave a viewer behind live: three seconds after it
// joined in the middle of a group of pictures, it shows each picture within 100 ms of a viewer who is there for long. On a machine that
// stalls a jitter buffer grows for a while: then it is looked at again. One left behind by its start stays so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, picturesGrow, received, watch } from '../lib/browser.mjs';
import { lateness, newest, restartClock, startClock } from '../lib/clock.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { sleep, until } from '../lib/process.mjs';

const STREAM = 'live/test';
const GOP = 120; // pictures: four seconds
const ALLOWED_MS = 100;
const LOOKS = 5; // of a second and a half

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} });

await cluster.use(test, async () => {
    const browser = await launch(cluster);
    publishLive(cluster, cluster.rtmp(STREAM), { gop: GOP });
    await cluster.isLive('origin', STREAM);
    const settled = await watch(browser, cluster, STREAM);
    await picturesGrow(settled, 5 * 30);
    await startClock(settled);

    await until('the middle of a group', 10_000, async () => {
        const at = (await newest(settled)) % GOP;
        return at >= GOP / 2 && at < GOP / 2 + 20;
    }, 20);
    const joined = await watch(browser, cluster, STREAM);
    await picturesGrow(joined, 1);
    await startClock(joined);
    await sleep(3000);
    let late_ms, pictures;
    for (let look = 1; look <= LOOKS && !(late_ms <= ALLOWED_MS && pictures >= 15); look++) {
        await Promise.all([restartClock(settled), restartClock(joined)]);
        await sleep(1500);
        ({ late_ms, pictures } = await lateness(settled, joined));
        console.log(`# look ${look}: ${late_ms?.toFixed(1)} ms behind a viewer who joined long before (${pictures} pictures compared)`);
    }
    const buffers = (await Promise.all([settled, joined].map(received))).map(({ video }) =>
        Math.round((video.jitterBufferTargetDelay / video.jitterBufferEmittedCount) * 1000));
    console.log(`# jitter buffers ${buffers.join(' and ')} ms on average`);
    assert.ok(pictures >= 15, `${pictures} pictures compared`);
    // Ahead is no fault: an old viewer's jitter buffer remembers every hiccup that it met, a new one's none.
    assert.ok(late_ms <= ALLOWED_MS, `${late_ms} ms`);
});
