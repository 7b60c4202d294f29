// SPDX-License-Identifier: Apache-2.0
//
// network.test.mjs - viewers whose offers tell little: candidates by .local names, or none at all for want of a
// default route. The nodes are ICE-lite and need none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, open, pageState, picturesGrow, publish, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { isolated, Namespace } from '../lib/netns.mjs';

const STREAM = 'live/test';
const CABLE = 78;

if (!isolated) {
    console.log('no network namespaces can be made here');
    process.exit(77);
}
const apart = await Namespace.create(CABLE, { log: '/dev/null' }); // before the nodes, which announce what is there
const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {}, 'origin-tls': {} }, { start: false });
cluster.add({ stop: () => apart.remove() });
cluster.writeConfig('origin-tls', {
    http: { tls_certificate: cluster.certificate('origin-tls', 'crt'), tls_key: cluster.certificate('origin-tls', 'key') } });
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // the test's own questions; the certificate is of the test's authority
await cluster.start();

// The candidates in the page's offer once it has gathered all.
async function candidates(page) {
    await page.waitForFunction(() => globalThis.millrace?.player.pc?.iceGatheringState === 'complete');
    return page.evaluate(() => globalThis.millrace.player.pc.localDescription.sdp.match(/^a=candidate:.*$/gm) ?? []);
}

await cluster.use(test, async (t) => {
    publishLive(cluster, cluster.rtmp(STREAM));
    await cluster.isLive('origin', STREAM);

    await t.test('candidates by .local names', async () => {
        const browser = await launch(cluster);
        const viewer = await watch(browser, cluster, STREAM);
        await picturesGrow(viewer);
        assert.match((await candidates(viewer)).join('\n'), /\.local /);
    });

    await t.test('no default route, no candidates', async () => {
        const browser = await launch(cluster, { prefix: apart.prefix });
        const base = cluster.url('edge', apart.near);
        const viewer = await watch(browser, cluster, STREAM, { base });
        await picturesGrow(viewer);
        assert.deepEqual(await candidates(viewer), []);
    });

    await t.test('a page without HTTPS says why it has no camera', async () => {
        const browser = await launch(cluster, { prefix: apart.prefix });
        const page = await open(browser, `${cluster.url('origin', apart.near)}/publish.html`);
        await page.click('#start');
        await page.waitForSelector('#notice:not([hidden])');
        assert.match(await page.innerText('#notice'), /HTTPS/);
        await pageState(page, 'idle');
    });

    await t.test('by HTTPS another host may publish, too', async () => {
        const browser = await launch(cluster, { prefix: apart.prefix });
        const base = cluster.url('origin-tls', apart.near);
        await publish(browser, cluster, 'live/secure', { base });
        const viewer = await watch(await launch(cluster), cluster, 'live/secure');
        await picturesGrow(viewer);
        assert.equal((await cluster.stream('edge', 'live/secure')).state, 'live');
    });
});
