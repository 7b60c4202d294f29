// SPDX-License-Identifier: Apache-2.0
//
// layers.test.mjs - scalable video (VP9 and AV1, L3T3_KEY) and simulcast through origin, backbone and edge: a viewer behind a
// bottleneck gets a smaller picture, without a pause, while another one sees the largest; without the bottleneck it climbs back.
import assert from 'node:assert/strict';
import os from 'node:os';
import { test } from 'node:test';
import { close, launch, picturesGrow, received, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { longestPause, publishLayers } from '../lib/layers.mjs';
import { isolated, Namespace } from '../lib/netns.mjs';
import { must, until } from '../lib/process.mjs';

const CABLE = 79;
const WIDTHS = [240, 480, 960];
const LONGEST_PAUSE_MS = 1000;
const SCALABLE = [{ scalabilityMode: 'L3T3_KEY', maxBitrate: 1_500_000 }];
const KINDS = { VP9: SCALABLE, AV1: SCALABLE, VP8: [['q', 4, 80_000], ['h', 2, 450_000], ['f', 1, 1_000_000]]
    .map(([rid, scaleResolutionDownBy, maxBitrate]) => ({ rid, scaleResolutionDownBy, maxBitrate })) };
const NARROW = ['tbf', 'rate', '400kbit', 'burst', '8kb', 'latency', '200ms'];

if (!isolated) {
    console.log('no network namespaces can be made here');
    process.exit(77);
}
const apart = await Namespace.create(CABLE, { log: '/dev/null' }); // before the nodes, which announce what is there
const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} });
cluster.add({ stop: () => apart.remove() });

const narrow = () => must('tc', ['qdisc', 'replace', 'dev', `cable${CABLE}`, 'root', ...NARROW]);
const widen = () => must('tc', ['qdisc', 'replace', 'dev', `cable${CABLE}`, 'root', 'pfifo']);

// A machine with more to do than two programs a core takes longer for everything, encoding a keyframe too.
const slowness = () => Math.max(1, os.loadavg()[0] / (2 * os.cpus().length));

function seesWidth(page, width, timeout_ms) {
    return until(`a picture ${width} wide`, timeout_ms, async () => {
        const { video } = await received(page);
        if (video?.frameWidth !== width) throw new Error(`it is ${video?.frameWidth}: ${JSON.stringify(await cluster.sessions('edge', 'whep'))}`);
        return video;
    });
}

// A picture that fits: of scalable video the middle one may, where the encoder needs little for it.
function seesLess(page, timeout_ms) {
    return until('a smaller picture', timeout_ms, async () => {
        const { video } = await received(page);
        if (!(video?.frameWidth < WIDTHS.at(-1))) throw new Error(`it is ${video?.frameWidth}: ${JSON.stringify(await cluster.sessions('edge', 'whep'))}`);
        return video;
    });
}

// By the layer extension, as the page's menu does.
async function choosesLeast(page) {
    const { layers } = await page.evaluate(() => globalThis.millrace.player.layers());
    assert.deepEqual([...new Set(layers.map((l) => l.width))], WIDTHS);
    await page.evaluate((least) => globalThis.millrace.player.chooseLayer(least), layers[0]);
    await seesWidth(page, WIDTHS[0], 10_000);
}

await cluster.use(test, async (t) => {
    const browser = await launch(cluster);
    const far = await launch(cluster, { prefix: apart.prefix });

    for (const [codec, sendEncodings] of Object.entries(KINDS)) {
        await t.test(`a viewer behind 400 kbit/s, by ${codec}`, async () => {
            const stream = `live/${codec}`;
            const publisher = await publishLayers(browser, cluster, stream, codec, { size: [960, 540], frameRate: 15, sendEncodings });
            const wide = await watch(browser, cluster, stream);
            await widen();
            await seesWidth(wide, WIDTHS.at(-1), 20_000);
            const poor = await watch(far, cluster, stream, { base: cluster.url('edge', apart.near) });
            await seesWidth(poor, WIDTHS.at(-1), 20_000);

            await picturesGrow(poor, 30); // its path is known
            await longestPause(poor);
            await longestPause(wide);
            await narrow();
            await (codec === 'VP8' ? seesWidth(poor, WIDTHS[0], 30_000) : seesLess(poor, 30_000));
            await picturesGrow(poor, 30, 30_000);
            assert.equal((await received(wide)).video.frameWidth, WIDTHS.at(-1), 'the other viewer is not touched');
            const pauses = [await longestPause(poor), await longestPause(wide)];
            console.log(`# ${codec}: longest pauses ${pauses} ms`);
            assert.ok(pauses[0] - pauses[1] < LONGEST_PAUSE_MS * slowness(), `no pause of a second, but for what the machine itself makes: ${pauses}`);

            await widen();
            const video = await seesWidth(poor, WIDTHS.at(-1), 40_000);
            assert.equal((await received(poor)).opened, 1, 'all in one session');
            console.log(`# ${codec}: ${video.packetsLost} lost, ${video.freezeCount} freezes`);
            await choosesLeast(poor);
            await close(wide);
            await close(poor);
            await close(publisher);
        });
    }
});
