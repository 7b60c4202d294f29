// SPDX-License-Identifier: Apache-2.0
//
// room.test.mjs - /room/<app>: two visitors see each other, each through an edge; one leaves, and the other's page shows
// it. And the events below it, read raw.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, open, pageState, screenshot } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { http } from '../lib/http.mjs';
import { until } from '../lib/process.mjs';
import { keyFile, tokenFor } from '../lib/token.mjs';

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} }, { start: false });
const key = keyFile(cluster);
cluster.writeConfig('origin', { auth: { publish_key: key } });
cluster.writeConfig('edge', { auth: { play_key: key } });
await cluster.start();

// Reads /api/v1/streams/events at a node: {events: [[name, data]...], close()}.
async function listen(node, prefix) {
    const aborter = new AbortController();
    const response = await fetch(`${cluster.url(node)}/api/v1/streams/events?prefix=${prefix}`, { signal: aborter.signal });
    const events = [];
    const reading = (async () => {
        let text = '';
        for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
            const whole = (text += chunk).split('\n\n');
            text = whole.pop();
            for (const block of whole) {
                const found = block.match(/^event: (\w+)\ndata: (.*)$/);
                if (found) events.push([found[1], JSON.parse(found[2])]);
            }
        }
    })().catch(() => {});
    return { response, events, close: () => (aborter.abort(), reading) };
}

// What the visitor's page is opened with: to see all, and to publish under that name.
const tokens = (name) => `#token=${tokenFor('play', 'meeting/*')}&publish_token=${tokenFor('publish', `meeting/${name}`)}`;

// A page that was closed may have left without a word: then its name is free some seconds later.
async function enter(browser, node, name) {
    await until(`nobody is ${name}`, 15_000, async () => (await cluster.stream('origin', `meeting/${name}`))?.state !== 'live');
    const page = await open(browser, `${cluster.url(node)}/room/meeting?name=${name}${tokens(name)}`, { permissions: ['camera', 'microphone'] });
    await page.click('#join');
    await pageState(page, 'live');
    return page;
}

// Pictures that the page has decoded of somebody, or -1 without a tile.
function frames(page, name) {
    return page.evaluate((stream) => {
        const video = document.querySelector(`figure[data-stream="${stream}"] video`);
        return video ? video.getVideoPlaybackQuality().totalVideoFrames : -1;
    }, `meeting/${name}`);
}

async function sees(page, name) {
    const before = Math.max(0, await frames(page, name));
    await until(`pictures of ${name}`, 15_000, async () => (await frames(page, name)) > before + 20);
}

await cluster.use(test, async (t) => {
    const browser = await launch(cluster);

    await t.test('two in a room see each other, at whatever node they came in; who leaves is gone', async () => {
        const ann = await enter(browser, 'edge', 'ann');
        const bob = await enter(browser, 'origin', 'bob');
        await sees(ann, 'bob');
        await sees(bob, 'ann');
        assert.equal(await ann.locator('#room figure').count(), 2, 'oneself and the other');
        assert.equal((await cluster.sessions('edge', 'whep')).length, 2, 'both play from the edge');
        await screenshot(ann, 'room');
        await bob.click('#leave');
        await until("bob's tile is gone", 10_000, async () => (await frames(ann, 'bob')) === -1);
        await sees(bob, 'ann'); // who has left looks on
        for (const page of [ann, bob]) assert.deepEqual(page.said.filter((line) => line.startsWith('error')), []);
        await close(bob);
        await close(ann);
    });

    await t.test('a name that somebody has is refused with a word for people', async () => {
        const ann = await enter(browser, 'edge', 'ann');
        const other = await open(browser, `${cluster.url('edge')}/room.html?app=meeting&name=ann${tokens('ann')}`,
            { permissions: ['camera', 'microphone'] });
        await other.click('#join');
        await pageState(other, 'failed');
        assert.match(await other.innerText('#notice'), /has that name/);
        await close(other);
        await close(ann);
    });

    await t.test('without tokens nothing is seen, and with those of another name nothing published', async () => {
        const ann = await enter(browser, 'edge', 'ann');
        const other = await open(browser, `${cluster.url('edge')}/room/meeting?name=eve#publish_token=${tokenFor('publish', 'meeting/bob')}`,
            { permissions: ['camera', 'microphone'] });
        await until('a tile that says why it is empty', 10_000, async () =>
            /wants a token|other streams/.test(await other.evaluate(() => document.querySelector('figure[data-stream="meeting/ann"] .message')?.innerText ?? '')));
        await other.click('#join');
        await pageState(other, 'failed');
        assert.match(await other.innerText('#notice'), /other streams/);
        // A token that is not good yet, then a visitor who makes the page ask again.
        const from = Math.floor(Date.now() / 1000) + 4;
        await other.evaluate((hash) => (location.hash = hash), `#token=${tokenFor('play', 'meeting/*', { nbf: from })}`);
        await until('it is refused for another reason', 10_000, async () =>
            /not valid yet/.test(await other.innerText('figure[data-stream="meeting/ann"] .message')));
        await until('it is good', 10_000, () => Date.now() / 1000 > from);
        const bob = await enter(browser, 'edge', 'bob');
        await sees(other, 'ann');
        await close(bob);
        await close(other);
        await close(ann);
    });

    await t.test('a page that was refused goes on with the token that it is given later', async () => {
        const ann = await enter(browser, 'edge', 'ann');
        const other = await open(browser, `${cluster.url('edge')}/room/meeting?name=eve`);
        await until('a refusal', 10_000, async () => /wants a token/.test(await other.innerText('figure[data-stream="meeting/ann"] .message')));
        await other.evaluate((hash) => (location.hash = hash), tokens('eve'));
        await sees(other, 'ann');
        await close(other);
        await close(ann);
        const publishing = await open(browser, `${cluster.url('origin')}/publish.html?stream=other/cam`, { permissions: ['camera', 'microphone'] });
        await publishing.click('#start');
        await pageState(publishing, 'failed');
        await publishing.evaluate((hash) => (location.hash = hash), `#token=${tokenFor('publish', 'other/*')}`);
        await publishing.click('#start');
        await pageState(publishing, 'live');
        await close(publishing);
    });

    await t.test('a page that could not be told who is here asks again', async () => {
        const ann = await enter(browser, 'edge', 'ann');
        let asked = 0;
        const other = await open(browser, `${cluster.url('edge')}/room/meeting?name=eve${tokens('eve')}`, { before: (page) =>
            page.route('**/api/v1/streams/events*', (route) => (asked++ ? route.continue() : route.fulfill({ status: 503 }))) });
        await until('it has asked', 10_000, () => asked > 0);
        await sees(other, 'ann');
        await close(other);
        await close(ann);
    });

    await t.test('the events: first what is, then what comes and goes, below the prefix alone', async () => {
        const ann = await enter(browser, 'edge', 'ann');
        const all = await Promise.all([listen('backbone', 'meeting/'), listen('edge', 'meeting/'), listen('edge', 'other/')]);
        const [backbone, edge, elsewhere] = all;
        assert.equal(edge.response.headers.get('content-type'), 'text/event-stream');
        assert.equal(edge.response.headers.get('access-control-allow-origin'), '*');
        await until('the state', 5_000, () => all.every(({ events }) => events.some(([event]) => event === 'ready')));
        const names = (listener) => listener.events.map(([event, data]) => (event === 'ready' ? event : `${event} ${data.name}`));
        assert.deepEqual(names(edge), ['published meeting/ann', 'ready']);
        assert.ok(edge.events[0][1].epoch > 0);
        assert.equal(edge.events[0][1].node, 'origin');
        const bob = await enter(browser, 'edge', 'bob');
        await bob.click('#leave'); // of a page that is closed the last request may be lost
        const whole = ['published meeting/ann', 'ready', 'published meeting/bob', 'unpublished meeting/bob'];
        for (const listener of [backbone, edge]) {
            await until('the news', 10_000, () => names(listener).length >= whole.length);
            assert.deepEqual(names(listener), whole);
        }
        assert.deepEqual(names(elsewhere), ['ready']);
        await Promise.all(all.map((listener) => listener.close()));
        await close(bob);
        await close(ann);
    });

    await t.test('listeners come and go without end, and a node takes its bound of them', async () => {
        for (let i = 0; i < 50; i++) await Promise.all(Array.from({ length: 20 }, async () => (await listen('edge', '')).close()));
        const listeners = await Promise.all(Array.from({ length: 100 }, () => listen('edge', 'meeting/')));
        assert.ok(listeners.every(({ response }) => response.status === 200), 'those of before have been let go');
        await Promise.all(listeners.map((listener) => listener.close()));
        assert.equal((await http(`${cluster.url('edge')}/api/v1/streams/events?prefix=${'a'.repeat(2000)}`)).status, 400);
        for (const node of cluster.names) await listen(node, 'meeting/'); // open still when the nodes end, which is to leak nothing
    });
});
