// SPDX-License-Identifier: Apache-2.0
//
// ending.test.mjs - nodes are told to end in the middle of their work: publishers, viewers, pipes, parked joins and
// questions under way. Each ends by itself, in order, with exit code 0 (Cluster.down asserts it).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { http } from '../lib/http.mjs';
import { publishLive, save } from '../lib/media.mjs';
import { sleep, sourceDir, until } from '../lib/process.mjs';

const OFFER = readFileSync(`${sourceDir}/tests/unit/webrtc/fixtures/chromium_whep.sdp`, 'utf8');
const QUESTIONS = ['api/v1/node', 'api/v1/nodes', 'api/v1/streams', 'api/v1/sessions', 'metrics', 'readyz', 'watch.html'];
const ASKERS = 3; // of each question at each node

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} });
let asking = true;

async function askAgainAndAgain(url) {
    while (asking) await http(url).catch(() => sleep(5));
}

// Sessions that are not there, of either worker, many requests at once: the other one hands them over, also to one that has ended.
function floodSessions(node, protocol) {
    const requests = [0, 1].map((worker) => `DELETE /${protocol}/session/${worker}-nobody HTTP/1.1\r\nHost: x\r\n\r\n`).join('').repeat(20);
    for (let i = 0; i < 24; i++) {
        const socket = net.connect(new URL(cluster.url(node)).port, '127.0.0.1', () => socket.write(requests));
        socket.on('data', (bytes) => asking && bytes.includes('no such session') && socket.writableLength === 0 && socket.write(requests));
        socket.on('error', () => socket.destroy());
    }
}

await cluster.use(test, async (t) => {
    publishLive(cluster, cluster.rtmp('live/test'));
    await cluster.isLive('origin', 'live/test');
    const viewers = ['a', 'b', 'c'].map((name) => save(`${cluster.url('edge')}/live/test.flv`, `${cluster.dir}/${name}.flv`));
    await until('viewers', 10_000, async () => (await cluster.sessions('edge', 'flv')).length === viewers.length);
    for (const node of cluster.names)
        for (const question of QUESTIONS)
            for (let i = 0; i < ASKERS; i++) askAgainAndAgain(`${cluster.url(node)}/${question}`);
    floodSessions('origin', 'whip');
    floodSessions('edge', 'whep');
    const join = (stream) => http(`${cluster.url('edge')}/whep/${stream}`,
        { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: OFFER });
    assert.equal((await join('live/test')).status, 201);
    const parked = join('live/nobody').catch(() => ({ status: 0 }));

    await t.test('all end at once, while they are asked', async () => {
        const ends = await Promise.all([...cluster.nodes.values()].map((node) => node.stop()));
        asking = false;
        assert.deepEqual(ends.map((end) => end.status), [0, 0, 0]);
        for (const viewer of viewers) await viewer;
        assert.ok([0, 409, 503].includes((await parked).status));
    });
});
