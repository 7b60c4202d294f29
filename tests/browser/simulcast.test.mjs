// SPDX-License-Identifier: Apache-2.0
//
// simulcast.test.mjs - a camera in three sizes through origin, backbone and edge: each viewer sees the one it chose, and
// the edge pulls those only that someone sees.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, picturesGrow, received, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { publishLayers } from '../lib/layers.mjs';
import { until } from '../lib/process.mjs';

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: { relay: { linger_ms: 1000 } } });
const SIZES = { q: 240, h: 480, f: 960 }; // widths; of a smaller picture Chromium sends only two

// Little of everything, so that the largest is not given up on a busy machine.
const THREE = [['q', 4, 50_000], ['h', 2, 100_000], ['f', 1, 300_000]]
    .map(([rid, scaleResolutionDownBy, maxBitrate]) => ({ rid, scaleResolutionDownBy, maxBitrate }));

const publishThree = (browser, stream, codec) =>
    publishLayers(browser, cluster, stream, codec, { size: [960, 540], frameRate: 10, sendEncodings: THREE });

// Turns one of the publisher's sizes off, or on again, as a browser does under load.
function turn(page, rid, active) {
    return page.evaluate(async ([name, on]) => {
        const { sender } = globalThis.publishing.video;
        const parameters = sender.getParameters();
        parameters.encodings.find((e) => e.rid === name).active = on;
        await sender.setParameters(parameters);
    }, [rid, active]);
}

const choose = (page, rid) => page.evaluate((name) => globalThis.millrace.player.chooseLayer(name), rid);

// Where a busy machine makes a path look narrow, a step up that did not last puts the next one off, up to 40 s (layer_choice.h).
const CHOICE_MS = 60_000;

function seesWidth(page, width) {
    return until(`a picture ${width} wide`, CHOICE_MS, async () => {
        const { video } = await received(page);
        if (video?.frameWidth !== width) throw new Error(`it is ${video?.frameWidth}: ${JSON.stringify(await cluster.sessions('edge', 'whep'))}`);
        return true;
    });
}

async function wanted(node, stream) {
    const { tracks } = await cluster.stream(node, stream);
    const encodings = tracks.find((t) => t.kind === 'video').encodings;
    return encodings.filter((e) => e.wanted).map((e) => e.rid).join();
}

const wants = (node, stream, rids) => until(`${node} wants ${rids}`, CHOICE_MS, async () => {
    const now = await wanted(node, stream);
    if (now !== rids) throw new Error(`it wants ${now}`);
    return true;
});

await cluster.use(test, async (t) => {
    const browser = await launch(cluster);

    for (const codec of ['VP8', 'H264']) {
        await t.test(`a viewer sees the size that it chose, by ${codec}`, async () => {
            const stream = `live/three-${codec}`;
            const publisher = await publishThree(browser, stream, codec);
            const large = await watch(browser, cluster, stream);
            await seesWidth(large, SIZES.f);
            const known = (await cluster.stream('origin', stream)).tracks.find((track) => track.kind === 'video').encodings;
            assert.deepEqual(known.map((e) => [e.rid, e.width]), Object.entries(SIZES), 'numbered by size');
            await wants('edge', stream, 'f');

            const small = await watch(browser, cluster, stream);
            await picturesGrow(small);
            const layers = await choose(small, 'q');
            assert.equal(layers.chosen, 'q');
            await assert.rejects(choose(small, 'x'), /no such layer/);
            assert.deepEqual(layers.layers.map((l) => l.encodingId), ['q', 'h', 'f']);
            await seesWidth(small, SIZES.q);
            await wants('edge', stream, 'q,f');
            assert.equal((await received(small)).opened, 1, 'in the same session');
            await picturesGrow(small);
            await picturesGrow(large);
            assert.equal((await received(large)).video.frameWidth, SIZES.f, 'the other viewer is not touched');

            await close(large);
            await wants('edge', stream, 'q');
            await choose(small, '');
            await seesWidth(small, SIZES.f);
            await wants('edge', stream, 'f');
            const { video } = await picturesGrow(small);
            // What a busy machine drops is sent again, though browsers count it; a seam in the numbers cannot be.
            const [session] = (await cluster.sessions('edge', 'whep')).filter((s) => s.stream === stream);
            assert.equal(session.nacked_in_vain, 0, `numbers run on over every change: ${video.packetsLost} lost, ${JSON.stringify(session)}`);
            // What a busy machine's sockets drop is asked for, and may come twice; what was here before a layer was left must not.
            const { pipe } = await cluster.stream('edge', stream);
            assert.ok(pipe.duplicates < pipe.packets / 20, JSON.stringify(pipe));
            await close(small);
            await close(publisher);
        });
    }

    await t.test('a size that the publisher stops is replaced, and comes back', async () => {
        const publisher = await publishThree(browser, 'live/stops', 'VP8');
        const viewer = await watch(browser, cluster, 'live/stops');
        await seesWidth(viewer, SIZES.f);
        await turn(publisher, 'f', false);
        await seesWidth(viewer, SIZES.h);
        await picturesGrow(viewer);
        await turn(publisher, 'f', true);
        await seesWidth(viewer, SIZES.f);
        const seen = await picturesGrow(viewer);
        assert.equal(seen.opened, 1, 'all in one session');
        assert.equal((await cluster.stream('edge', 'live/stops')).epochs, 1, 'and one epoch');
        await close(viewer);
        await close(publisher);
    });
});
