// SPDX-License-Identifier: Apache-2.0
//
// connectivity.test.mjs - viewers whose address changes while they watch, who restart ICE, who are told of TURN servers, and
// whose network carries no UDP.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, picturesGrow, received, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { isolated, Namespace } from '../lib/netns.mjs';
import { until } from '../lib/process.mjs';

const STREAM = 'live/test';
const TURN = { urls: 'turn:10.77.0.1:3478?transport=udp', username: 'user', credential: 'pass"word,\\;' };

if (!isolated) {
    console.log('no network namespaces can be made here');
    process.exit(77);
}
const apart = await Namespace.create(78, { log: '/dev/null', defaultRoute: true }); // before the nodes, which announce what is there
const cluster = await Cluster.up({ origin: {}, backbone: {},
    edge: { rtc: { ice_servers: [Object.values(TURN).join(' ')] } } }, { start: false });
cluster.add({ stop: () => apart.remove() });
await cluster.start();

// The address and protocol of the pair that a page's connection uses.
function nominated(page) {
    return page.evaluate(async () => {
        const reports = await globalThis.millrace.player.pc.getStats();
        const transport = [...reports.values()].find((r) => r.type === 'transport' && r.selectedCandidatePairId);
        const pair = reports.get(transport?.selectedCandidatePairId);
        return pair && { protocol: reports.get(pair.localCandidateId).protocol, remote: reports.get(pair.remoteCandidateId).address };
    });
}

async function leave(viewer) {
    await viewer.evaluate(() => globalThis.millrace.player.stop());
    await until('its session has ended', 5_000, async () => (await cluster.sessions('edge', 'whep')).length === 0);
    await close(viewer);
}

await cluster.use(test, async (t) => {
    publishLive(cluster, cluster.rtmp(STREAM));
    await cluster.isLive('origin', STREAM);

    const browser = await launch(cluster, { prefix: apart.prefix });

    await t.test('a viewer whose address changes watches on in the same session', async () => {
        const viewer = await watch(browser, cluster, STREAM, { base: cluster.url('edge', apart.near) });
        await picturesGrow(viewer);
        const [before] = await cluster.sessions('edge', 'whep');
        assert.match(before.media_peer, /^10\.78\.0\.2:/);
        await apart.move(3);
        await until('the session has moved', 20_000, async () => {
            const [now] = await cluster.sessions('edge', 'whep');
            assert.equal(now.id, before.id);
            return now.media_peer.startsWith('10.78.0.3:') && now.moves > 0;
        });
        await picturesGrow(viewer);
        assert.equal((await received(viewer)).opened, 1);
        await leave(viewer);
    });

    await t.test('a viewer restarts ICE by PATCH and watches on', async () => {
        const viewer = await watch(browser, cluster, STREAM, { base: cluster.url('edge', apart.near) });
        await picturesGrow(viewer);
        const ufrags = await viewer.evaluate(async () => {
            const { player } = globalThis.millrace;
            const ufrag = () => player.pc.remoteDescription.sdp.match(/a=ice-ufrag:(.*)/)[1];
            const first = ufrag();
            await player.restartIce();
            return [first, ufrag()];
        });
        assert.notEqual(ufrags[0], ufrags[1]);
        assert.deepEqual(await viewer.evaluate(() => globalThis.millrace.player.pc.getConfiguration().iceServers.map(
            ({ urls, username, credential }) => ({ urls: [urls].flat()[0], username, credential }))), [TURN]);
        await until('the new pair is in use', 10_000, async () => viewer.evaluate(async () => {
            const reports = [...(await globalThis.millrace.player.pc.getStats()).values()];
            const { selectedCandidatePairId: id, iceState } = reports.find((r) => r.type === 'transport');
            return ['connected', 'completed'].includes(iceState) && reports.find((r) => r.id === id)?.nominated;
        }));
        await picturesGrow(viewer);
        assert.equal((await received(viewer)).opened, 1);
        await leave(viewer);
    });

    await t.test('where no UDP passes, a viewer watches over TCP', async () => {
        await apart.dropUdp();
        const viewer = await watch(browser, cluster, STREAM, { base: cluster.url('edge', apart.near) });
        await picturesGrow(viewer);
        assert.equal((await nominated(viewer)).protocol, 'tcp');
        assert.deepEqual((await cluster.sessions('edge', 'whep')).map((s) => s.transport), ['tcp']);
        await leave(viewer);
    });
});
