// SPDX-License-Identifier: Apache-2.0
//
// pages.test.mjs - the pages of every node, wide and on a phone, light and dark: no error, nothing wider than the
// screen, and what they tell is true. Screenshots are kept for people. HTTP-FLV in the browser, too.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { close, launch, open, pageState, picturesGrow, screenshot, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { sleep, sourceDir, until } from '../lib/process.mjs';

const STREAM = 'live/test';
const SCREENS = [
    ['wide', { width: 1280, height: 900, colorScheme: 'light' }],
    ['phone', { width: 375, height: 812, colorScheme: 'dark' }],
];

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {}, 'edge-us': {} });

// No script failed, nothing has to be scrolled sideways, and the links at the top are a line of whole words.
async function isSound(page) {
    assert.deepEqual(page.said.filter((line) => line.startsWith('error')), []);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, 'wider than the screen');
    assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth)
        .map((e) => `#${e.id} is wider than its box`)), []);
    const links = await page.evaluate(() => [...document.querySelectorAll('nav a')].map((a) =>
        [a.innerText, a.offsetHeight < 2 * parseFloat(getComputedStyle(a).lineHeight) + 8, a.offsetTop]));
    assert.ok(links.length >= 5 && links.every(([, whole, top]) => whole && top === links[0][2]), `${links}`);
}

await cluster.use(test, async (t) => {
    const browser = await launch(cluster);
    publishLive(cluster, cluster.rtmp(STREAM));
    await cluster.isLive('origin', STREAM);
    const viewer = await watch(browser, cluster, STREAM); // someone for the others to count
    await picturesGrow(viewer);

    for (const [name, screen] of SCREENS) {
        await t.test(`each node's own page (${name})`, async () => {
            for (const node of cluster.names) {
                const page = await open(browser, `${cluster.url(node)}/`, screen);
                await page.waitForFunction((id) => document.querySelector('#title').innerText === id, node);
                await page.waitForFunction((stream) => document.querySelector('#streams').innerText.includes(stream), STREAM);
                for (const other of cluster.names) assert.match(await page.innerText('#nodes'), new RegExp(`^${other}$`, 'm'));
                await isSound(page);
                await screenshot(page, `index-${node}-${name}`);
                await close(page);
            }
        });

        await t.test(`cluster.html (${name})`, async () => {
            const page = await open(browser, `${cluster.url('backbone')}/cluster.html`, screen);
            await page.waitForFunction(() => document.querySelectorAll('.node [data-state=good]').length === 4);
            await until('the way of the stream', 10_000, async () =>
                /origin\s*→\s*backbone\s*→\s*edge/.test(await page.innerText('#streams')));
            await isSound(page);
            await screenshot(page, `cluster-${name}`);
            await close(page);
        });

        await t.test(`watch.html by WebRTC (${name})`, async () => {
            const page = await watch(browser, cluster, STREAM, screen);
            await picturesGrow(page);
            await page.waitForSelector('#overlay:not([hidden]) dl');
            await page.waitForFunction(() => /\d+ fps[\s\S]*watched by\s*[1-9]/.test(document.querySelector('#overlay').innerText));
            await isSound(page);
            await screenshot(page, `watch-${name}`);
            await close(page);
        });

        await t.test(`publish.html before it is used (${name})`, async () => {
            const page = await open(browser, `${cluster.url('origin')}/publish.html`, screen);
            await page.waitForFunction(() => document.querySelector('#node').innerText.startsWith('origin'));
            await isSound(page);
            await screenshot(page, `publish-${name}`);
            await close(page);
        });
    }

    const haveMpegts = existsSync(`${sourceDir}/web/node_modules/mpegts.js/dist/mpegts.js`);
    await t.test('watch.html by HTTP-FLV', { skip: haveMpegts ? false : 'npm ci has not been run in web/' }, async () => {
        const page = await watch(browser, cluster, STREAM, { via: 'flv' });
        await pageState(page, 'live');
        const frames = () => page.evaluate(() => document.querySelector('#video').getVideoPlaybackQuality().totalVideoFrames);
        const before = await frames();
        await until('pictures', 15_000, async () => (await frames()) > before + 45);
        assert.equal((await cluster.sessions('edge', 'flv')).length, 1);
        await isSound(page);
        await screenshot(page, 'watch-flv');
        await close(page);
    });

    await t.test('watch.html by HTTP-FLV where mpegts.js is missing says so', async () => {
        const page = await watch(browser, cluster, 'live/other', { via: 'flv', before: (p) => p.route('**/mpegts.js', (r) => r.abort()) });
        await pageState(page, 'failed');
        assert.match(await page.innerText('#message'), /needs mpegts\.js.*npm ci/s);
        await close(page);
    });

    await t.test('watch.html by HTTP-FLV that is stopped before its player has come stays so, and plays once when it is asked again',
        { skip: haveMpegts ? false : 'npm ci has not been run in web/' }, async () => {
        let arrive;
        const arrived = new Promise((resolve) => (arrive = resolve));
        const page = await watch(browser, cluster, STREAM, { via: 'flv', before: (p) => p.route('**/mpegts.js', async (r) => {
            await arrived;
            await r.continue();
        }) });
        await pageState(page, 'connecting');
        await page.click('#toggle');
        await pageState(page, 'idle');
        arrive();
        await page.waitForFunction(() => globalThis.mpegts);
        await page.waitForFunction(() => performance.now() > 0); // what waited for it has run
        assert.equal(await page.evaluate(() => millrace.player.state), 'idle');
        await page.click('#toggle');
        await pageState(page, 'live');
        assert.equal((await cluster.sessions('edge', 'flv')).length, 1);
        await close(page);
        await until('it has gone', 10_000, async () => (await cluster.sessions('edge', 'flv')).length === 0);
    });

    await t.test('the figures and the viewer are those of the nodes', async () => {
        assert.equal((await cluster.sessions('edge', 'whep')).length, 1, 'those who closed their page are gone');
        await isSound(viewer);
    });

    await t.test('a page that is gone back to plays again', async () => {
        const keeping = await launch(cluster, { keepsPages: true });
        for (const path of [`watch.html?stream=${STREAM}`, 'room/live']) {
            const page = await open(keeping, `${cluster.url('edge')}/${path}`);
            // What is asked while the page is changing may stay without an answer.
            const ask = (question) => Promise.race([page.evaluate(question).catch(() => undefined), sleep(1_000)]);
            let last = Infinity;
            const plays = async () => {
                const frames = await ask(() => document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames);
                const more = frames > last;
                last = frames ?? Infinity;
                return more;
            };
            await until('pictures', 15_000, plays);
            await page.evaluate(() => addEventListener('pageshow', ({ persisted }) => (sessionStorage.kept = persisted)));
            await page.goto(`${cluster.url('edge')}/cluster.html`);
            await page.goBack({ waitUntil: 'commit' });
            await until('it is shown again', 10_000, () => ask(() => sessionStorage.kept === 'true'));
            last = Infinity;
            await until('pictures again', 15_000, plays);
            await close(page);
        }
    });
});
