// SPDX-License-Identifier: Apache-2.0
//
// data.test.mjs - a publisher's data channels through origin, backbone and edge to its viewers': what is typed into one page is
// read on the other, and two hundred messages of all sizes come in order, each once, over a pipe that loses packets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NetCluster, skipWithoutNamespaces } from '../cluster/net/net.mjs';
import { close, launch, pageState, picturesGrow, publish, screenshot, watch } from '../lib/browser.mjs';
import { getMetrics } from '../lib/http.mjs';
import { until } from '../lib/process.mjs';

skipWithoutNamespaces();

const LOSS_PPM = 20_000;
const MESSAGES = 200;
const PACE_MS = 10; // 340 kB/s: a third of what a publisher may bring
const SIZES = [1, 20_000, 30, 2, 1_400, 500, 5_000, 300]; // bytes, in turns

const cluster = await NetCluster.up({ origin: {}, backbone: {}, 'backbone-eu-2': { node: { region: 'eu' } }, edge: {} }, { far: ['edge'] });

// What the page hears from now on: {label, text, length, sum} each.
function listen(page) {
    return page.evaluate(() => {
        const before = globalThis.heard;
        globalThis.heard = [];
        if (before) return; // it listens already
        millrace.player.addEventListener('message', ({ detail: { label, data } }) => {
            const text = typeof data === 'string';
            const bytes = text ? new TextEncoder().encode(data) : new Uint8Array(data);
            heard.push({ label, text, length: bytes.length, sum: bytes.reduce((sum, b) => (sum * 31 + b) >>> 0, 7) });
        });
    });
}

// Sends message n of SIZES[n % 8] bytes on channel n % 2, text and bytes in turns of two; resolves to what is to be heard of them.
function sendAll(page) {
    return page.evaluate(async ([n, sizes, pace_ms]) => {
        const { pc } = millrace.publisher;
        globalThis.channels ??= ['captions', 'events'].map((label) => pc.createDataChannel(label, { protocol: 'numbers' }));
        await Promise.all(channels.map((channel) => channel.readyState === 'open' || new Promise((resolve) => (channel.onopen = resolve))));
        const sent = [];
        for (let i = 0; i < n; i++) {
            const bytes = Uint8Array.from({ length: sizes[i % sizes.length] }, (_, k) => 33 + ((i * 7 + k) % 90));
            const text = i % 4 < 2;
            const channel = channels[i % 2];
            channel.send(text ? new TextDecoder().decode(bytes) : bytes);
            await new Promise((resolve) => setTimeout(resolve, pace_ms));
            sent.push({ label: channel.label, text, length: bytes.length, sum: bytes.reduce((sum, b) => (sum * 31 + b) >>> 0, 7) });
        }
        return sent;
    }, [MESSAGES, SIZES, PACE_MS]);
}

// Of the tracks that the publisher sends, at the edge.
async function kinds() {
    const { tracks } = await cluster.stream('edge', 'live/said');
    return tracks.filter((track) => !track.derived).map((track) => track.kind).sort();
}

async function session(node, kind) {
    return (await cluster.sessions(node, kind))[0];
}

await cluster.use(test, async (t) => {
    // A camera is given to secure pages only; these are not of this host.
    const browser = await launch(cluster, { flags: [`--unsafely-treat-insecure-origin-as-secure=${cluster.url('origin')}`] });
    const mute = (page) => page.addInitScript(() => (RTCPeerConnection.prototype.createDataChannel = () => ({})));
    const before = await publish(browser, cluster, 'live/said', { codec: 'VP8', before: mute });
    const viewer = await watch(browser, cluster, 'live/said');
    await picturesGrow(viewer);
    assert.ok(!(await kinds()).includes('data'));
    await close(before);
    const publisher = await publish(browser, cluster, 'live/said', { codec: 'VP8' });

    await t.test('what the publisher types is read over the picture, also by who came when nothing could be said', async () => {
        await until('it is read', 10_000, async () => {
            await publisher.fill('#words', 'Hello, all of you');
            await publisher.click('#say button');
            return viewer.waitForSelector('#said li', { timeout: 1_000 });
        });
        assert.equal(await viewer.innerText('#said li'), 'Hello, all of you');
        assert.equal(await publisher.inputValue('#words'), '');
        await screenshot(viewer, 'watch-said');
        await screenshot(publisher, 'publish-say');
        assert.deepEqual(await kinds(), ['audio', 'data', 'video']);
        assert.equal(await viewer.evaluate(() => millrace.player.opened), 1, 'in the same session');
    });

    // What happens while they are sent; every message must be heard all the same.
    async function allAreHeard(meanwhile) {
        await listen(viewer);
        const [sent] = await Promise.all([sendAll(publisher), meanwhile()]);
        await until('all are heard', 30_000, async () => {
            const n = await viewer.evaluate(() => heard.length);
            if (n < sent.length) throw new Error(`${n} of ${sent.length}; ${JSON.stringify(await session('edge', 'whep'))}`);
            return true;
        });
        const heard = await viewer.evaluate(() => heard);
        for (const label of ['captions', 'events'])
            assert.deepEqual(heard.filter((m) => m.label === label), sent.filter((m) => m.label === label));
        assert.equal(heard.length, sent.length);
        const [whip, whep] = await Promise.all([session('origin', 'whip'), session('edge', 'whep')]);
        assert.ok(whip.data_messages > MESSAGES && whep.data_messages > MESSAGES, JSON.stringify([whip, whep]));
        assert.equal(whep.data_dropped + whep.data_skipped + whip.data_dropped, 0);
        for (const [node, direction, n] of [['origin', 'in', whip.data_messages], ['edge', 'out', whep.data_messages]])
            assert.equal((await getMetrics(cluster.url(node))).get(`millrace_data_messages_total{direction="${direction}"}`), n);
    }

    await t.test(`${MESSAGES} messages on two channels come in their order, each once, while the pipe loses ${LOSS_PPM / 10_000}%`, async () => {
        await allAreHeard(() => cluster.far('edge').set(`both loss_ppm=${LOSS_PPM}`));
        await cluster.far('edge').set('both loss_ppm=0');
        const { pipe } = await cluster.stream('edge', 'live/said');
        assert.ok(pipe.lost > 0, 'the pipe did lose');
    });

    await t.test('and while the backbone that brings them is killed', async () => {
        const { parent } = await cluster.stream('edge', 'live/said');
        await allAreHeard(async () => {
            cluster.nodes.get(parent).expected = true;
            await cluster.nodes.get(parent).stop('SIGKILL');
        });
        assert.notEqual((await cluster.stream('edge', 'live/said')).parent, parent);
    });

    await t.test('a channel that the publisher closes is closed for the viewers', async () => {
        await viewer.evaluate(() => {
            globalThis.closedLabel = new Promise((resolve) => millrace.player.pc.addEventListener('datachannel', ({ channel }) => {
                channel.onclose = () => resolve(channel.label);
            }));
        });
        await publisher.evaluate(async () => {
            const channel = millrace.publisher.pc.createDataChannel('brief');
            await new Promise((resolve) => (channel.onopen = resolve));
            channel.send('soon over');
            setTimeout(() => channel.close(), 500);
        });
        assert.equal(await viewer.evaluate(() => closedLabel), 'brief');
    });

    await pageState(viewer, 'live');
    await Promise.all([publisher, viewer].map(close));
});
