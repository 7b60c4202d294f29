// SPDX-License-Identifier: Apache-2.0
//
// firefox.test.mjs - Firefox publishes and watches: VP8, VP9, Opus; and each of the two browsers sees the other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, picturesGrow, publish, soundIsHeard, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { hasFirefox, launchFirefox, publishFirefox, watchFirefox } from '../lib/firefox.mjs';
import { until } from '../lib/process.mjs';

if (!hasFirefox) {
    console.log('no firefox-esr here');
    process.exit(77);
}
const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} });

// What one page says on its data channel is read on the others; of either browser.
async function reads(publisher, viewers, words) {
    await until('it is read', 10_000, async () => {
        await publisher.evaluate((text) => millrace.publisher.say(text), words);
        const read = await Promise.all(viewers.map((viewer) => viewer.evaluate(() => document.querySelector('#said li')?.textContent)));
        return read.every((text) => text === words);
    });
}

await cluster.use(test, async (t) => {
    const [firefox, chromium] = await Promise.all([launchFirefox(cluster), launch(cluster)]);

    for (const codec of ['VP8', 'VP9']) {
        await t.test(`Firefox publishes ${codec} and Opus, and Firefox and Chromium watch`, async () => {
            const publisher = await publishFirefox(firefox, cluster, `live/${codec}`, codec);
            const [own, other] = await Promise.all([watchFirefox(firefox, cluster, `live/${codec}`),
                watch(chromium, cluster, `live/${codec}`)]);
            for (const viewer of [own, other]) {
                const seen = await picturesGrow(viewer);
                assert.equal(seen.opened, 1, 'in one session');
                assert.deepEqual((await soundIsHeard(viewer)).codecs.sort(), ['audio/opus', `video/${codec}`]);
            }
            await reads(publisher, [own, other], `this is ${codec}`);
            await Promise.all([own.close(), close(other), publisher.close()]);
        });
    }

    await t.test('Firefox watches what Chromium publishes', async () => {
        const publisher = await publish(chromium, cluster, 'live/chromium', { codec: 'VP8' });
        const viewer = await watchFirefox(firefox, cluster, 'live/chromium');
        await picturesGrow(viewer);
        await soundIsHeard(viewer);
        await reads(publisher, [viewer], 'hello, Firefox');
        await Promise.all([viewer.close(), close(publisher)]);
    });
});
