// SPDX-License-Identifier: Apache-2.0
//
// connectivity.test.mjs - viewers whose address changes while they watch, who restart ICE, who reach the edge through a TURN
// server (coturn) only, of which it tells them, and whose network carries no UDP.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, picturesGrow, received, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { isolated, Namespace } from '../lib/netns.mjs';
import { Background, until } from '../lib/process.mjs';

const STREAM = 'live/test';
const TURN_PORT = 3478;
const TURN = { urls: `turn:10.78.0.1:${TURN_PORT}?transport=udp`, username: 'user', credential: 'pass"word,\\;' };

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
        const local = reports.get(pair?.localCandidateId);
        return pair && { protocol: local.protocol, type: local.candidateType, remote: reports.get(pair.remoteCandidateId).address };
    });
}

// RFC 8656, with the long-term credentials that the edge tells of.
function startTurn() {
    cluster.add(new Background('coturn', 'turnserver', ['-n', '--log-file=stdout', '--simple-log', '--lt-cred-mech', '--realm=millrace',
        `--user=${TURN.username}:${TURN.credential}`, `--listening-ip=${apart.near}`, `--relay-ip=${apart.near}`,
        `--listening-port=${TURN_PORT}`, '--no-tls', '--no-dtls', '--no-cli', `--pidfile=${cluster.dir}/coturn.pid`], { log: cluster.log('coturn') }));
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

    await t.test('where no path but that of a TURN server is open, a viewer watches through it', async () => {
        startTurn();
        const open = await apart.reachOnly(TURN_PORT, cluster.port('edge', 'http'));
        const viewer = await watch(browser, cluster, STREAM, { base: cluster.url('edge', apart.near) });
        await picturesGrow(viewer);
        assert.equal((await nominated(viewer)).type, 'relay');
        const [{ media_peer }] = await cluster.sessions('edge', 'whep');
        assert.ok(!media_peer.startsWith(apart.far), media_peer);
        assert.equal((await received(viewer)).opened, 1, 'the restart of ICE was enough');
        await leave(viewer);
        await open();
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
