// SPDX-License-Identifier: Apache-2.0
//
// drain.test.mjs - an edge drains: its viewers' pages go over to another edge, and the picture hardly stops. An edge hangs or dies: they find
// another one by themselves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, open, pageState, picturesGrow, received, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { getJson, http } from '../lib/http.mjs';
import { longestPause, publishLayers } from '../lib/layers.mjs';
import { publishLive } from '../lib/media.mjs';
import { sleep, until } from '../lib/process.mjs';

const GAP_MS = 1000; // the longest time without a new picture that a viewer may see

const directory = { lease_ms: 3000 };
const cluster = await Cluster.up({
    origin: { directory }, backbone: { directory }, edge: { directory, node: { drain_ms: 6000 } }, 'edge-eu-2': { directory, node: { region: 'eu' } },
});

const allKnown = () => until('every node is known', 10_000, async () =>
    (await getJson(`${cluster.url('origin')}/api/v1/nodes`)).nodes.length === cluster.names.length);

// The page's player, also a room's one.
const playerOf = (page) => page.evaluateHandle(() => globalThis.millrace.player ?? [...globalThis.millrace.tiles.values()][0]?.player);

async function isAt(page, name) {
    const player = await playerOf(page);
    await until(`it is at ${name}`, 20_000, () => player.evaluate((p, port) => new URL(p.endpoint).port === port && !p.moving,
        `${cluster.port(name, 'http')}`));
}

// Pictures are shown, of whatever player.
async function plays(page) {
    const frames = () => page.evaluate(() => document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0);
    const before = await frames();
    await until('pictures are shown', 15_000, async () => {
        const now = await frames();
        return now > 20 && (now < before || now > before + 20); // a new source counts from nothing
    });
}

// The room that the stream is in, of which "edge" is played from.
function room(browser) {
    const http = cluster.url('edge');
    return open(browser, `${cluster.url('origin')}/room/live`, { before: (page) =>
        page.route('**/route/play/**', (route) => route.fulfill({ json: { http } }), { times: 1 }) });
}

await cluster.use(test, async (t) => {
    publishLive(cluster, cluster.rtmp('live/test'));
    await cluster.isLive('origin', 'live/test');
    const browser = await launch(cluster);

    await t.test('the page moves to the other edge while it plays', async () => {
        const page = await watch(browser, cluster, 'live/test');
        await pageState(page, 'live');
        await picturesGrow(page);
        await longestPause(page);
        assert.equal((await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'POST' })).status, 200);
        await isAt(page, 'edge-eu-2');
        await picturesGrow(page);
        await sleep(1000);
        const longest_ms = await longestPause(page);
        console.log(`# the longest time without a new picture: ${longest_ms} ms`);
        assert.ok(longest_ms < GAP_MS, `${longest_ms} ms without a picture`);
        await pageState(page, 'live');
        await until('the draining edge has nobody', 5_000, async () => (await cluster.sessions('edge', 'whep')).length === 0);
        assert.equal((await cluster.sessions('edge-eu-2', 'whep')).length, 1);
        await close(page);
    });

    await t.test('the quality that a viewer chose goes along, in whatever way it comes to another session', async () => {
        await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'DELETE' });
        const publisher = await publishLayers(browser, cluster, 'sizes/test', 'VP8', { size: [640, 360], frameRate: 10, sendEncodings: [
            { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 50_000 }, { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 300_000 }] });
        const page = await watch(browser, cluster, 'sizes/test');
        const sees = (width) => until(`a picture ${width} wide`, 20_000, async () => (await received(page)).video?.frameWidth === width);
        await sees(640);
        await page.evaluate(() => globalThis.millrace.player.chooseLayer('q'));
        await sees(160);
        assert.equal((await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'POST' })).status, 200);
        await isAt(page, 'edge-eu-2');
        const chosen = async () => (await page.evaluate(() => globalThis.millrace.player.layers())).chosen;
        assert.equal(await chosen(), 'q', 'before it was shown');
        await sees(160);
        await until('the menu says so', 5_000, () => page.evaluate(() => document.querySelector('#quality').value === 'q'));

        await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'DELETE' });
        await page.evaluate(() => (globalThis.millrace.player.stop(), globalThis.millrace.player.start()));
        await until('a third session', 15_000, async () => (await received(page)).opened === 3);
        await pageState(page, 'live');
        await until('it is asked for again', 5_000, async () => (await chosen()) === 'q');
        await close(page);
        await close(publisher);
    });

    await t.test('SIGTERM: the edge ends as soon as its viewers have gone', async () => {
        await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'DELETE' });
        const page = await watch(browser, cluster, 'live/test');
        await pageState(page, 'live');
        await picturesGrow(page);
        await sleep(1500); // the node counts its viewers once a second
        const began = Date.now();
        cluster.nodes.get('edge').child.kill('SIGTERM');
        assert.equal((await cluster.nodes.get('edge').ended).status, 0);
        console.log(`# ended ${Date.now() - began} ms after SIGTERM`);
        assert.ok(Date.now() - began < 6000, 'before its deadline');
        await picturesGrow(page);
        await close(page);
    });

    await t.test('an edge hangs, another is killed: pages find one that lives', async () => {
        const back = async (name) => {
            cluster.startNode(name);
            await cluster.ready(name);
            await allKnown();
        };
        await back('edge');
        const page = await watch(browser, cluster, 'live/test');
        const others = [await watch(browser, cluster, 'live/test', { via: 'flv' }), await room(browser)];
        await pageState(page, 'live');
        await picturesGrow(page);
        for (const other of others) await plays(other);
        await longestPause(page);
        cluster.nodes.get('edge').child.kill('SIGSTOP');
        await isAt(page, 'edge-eu-2');
        await pageState(page, 'live');
        await picturesGrow(page);
        console.log(`# SIGSTOP: the longest time without a new picture: ${await longestPause(page)} ms`);
        for (const other of others) {
            await isAt(other, 'edge-eu-2');
            await plays(other);
            await close(other);
        }
        assert.equal((await received(page)).opened, 2, 'it moved once');

        // An edge that hangs takes the request to move there, and says nothing: until it has taken over, nothing changes.
        await page.evaluate((endpoint) => void globalThis.millrace.player.move(endpoint), `${cluster.url('edge')}/whep/live/test`);
        for (const end = Date.now() + 3000; Date.now() < end; await sleep(100))
            assert.deepEqual(await page.evaluate(() => [document.querySelector('#state').dataset.state, globalThis.millrace.player.pc.connectionState]),
                ['live', 'connected']);
        await picturesGrow(page);
        cluster.nodes.get('edge').child.kill('SIGCONT');
        await isAt(page, 'edge');
        await allKnown();

        await longestPause(page);
        cluster.nodes.get('edge').expected = true;
        await cluster.nodes.get('edge').stop('SIGKILL');
        await isAt(page, 'edge-eu-2');
        await pageState(page, 'live');
        await picturesGrow(page);
        console.log(`# kill -9: the longest time without a new picture: ${await longestPause(page)} ms`);
    });
});
