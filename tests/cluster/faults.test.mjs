// SPDX-License-Identifier: Apache-2.0
//
// faults.test.mjs - nodes die, hang and are cut off while people watch: what a viewer saw of it.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { getJson } from '../lib/http.mjs';
import { makeFile, probe, publishFile, save } from '../lib/media.mjs';
import { sleep, until } from '../lib/process.mjs';
import { NetCluster, skipWithoutNamespaces } from './net/net.mjs';
import { Watch } from './net/watch.mjs';

skipWithoutNamespaces();

const directory = { lease_ms: 3000 };
const cluster = await NetCluster.up({
    origin: { directory }, 'backbone': { directory }, 'backbone-eu-2': { directory, node: { region: 'eu' } },
    edge: { directory },
});

// Publishes a file and saves it at the edge; in the middle of it, `what` happens to the edge's parent. The viewer must have every
// picture from its first on. Says what the viewer saw.
async function parentFails(name, what, { repair }) {
    const stream = `live/${name}`;
    const file = await makeFile(path.join(cluster.dir, `${name}.flv`), { seconds: 7 });
    const saved = path.join(cluster.dir, `${name}-saved.flv`);
    const publisher = publishFile(cluster, file, cluster.rtmp(stream));
    await cluster.isLive('origin', stream);
    const watch = new Watch(`${cluster.url('edge')}/${stream}.flv`);
    const watching = save(`${cluster.url('edge')}/${stream}.flv`, saved);
    await until('the edge serves it', 10_000, async () => (await cluster.stream('edge', stream))?.viewers === 2);
    await sleep(1500);
    const parent = (await cluster.stream('edge', stream)).parent;
    assert.match(parent, /^backbone/);
    const began = Date.now();
    await what(parent);
    await until('the edge has another parent', 5_000, async () => {
        const now = await cluster.stream('edge', stream);
        return now.parent && now.parent !== parent && now.state === 'live';
    }, 20);
    const took = Date.now() - began;
    const { nodes } = await getJson(`${cluster.url('edge')}/api/v1/nodes`);
    const { status, output } = await watching;
    assert.equal(status, 0, output);
    assert.equal((await publisher.ended).status, 0);
    const saw = await watch.ended;
    const [sent, got] = [await probe(file), await probe(saved)];
    console.log(`# ${name}: new parent after ${took} ms; viewer: ${got.frames} of ${sent.frames} pictures, `
        + `gaps in time ${saw.gaps}, longest freeze ${saw.freeze_ms} ms`);
    await repair(parent);
    assert.equal(got.frames, sent.frames, 'pictures');
    assert.equal(saw.gaps, 0, 'no gap in the timestamps of the pictures');
    assert.ok(Math.abs(got.audioSeconds - sent.audioSeconds) < 0.05, `${got.audioSeconds} s of ${sent.audioSeconds} s of sound`);
    // Found by its silence, not by the end of its lease.
    assert.ok(nodes.some((node) => node.id === parent), `the directory had dropped ${parent} when, after ${took} ms, the edge did`);
}

await cluster.use(test, async (t) => {
    await t.test('kill -9 of the backbone that feeds an edge: no picture is missed', () => parentFails('killed',
        async (parent) => {
            cluster.nodes.get(parent).expected = true;
            await cluster.nodes.get(parent).stop('SIGKILL');
        }, {
            repair: async (parent) => {
                cluster.startNode(parent);
                await cluster.ready(parent);
            },
        }));

    await t.test('SIGSTOP of the backbone that feeds an edge: no picture is missed, behind a cold backbone too', () => parentFails('stopped',
        async (parent) => cluster.nodes.get(parent).child.kill('SIGSTOP'), {
            repair: async (parent) => cluster.nodes.get(parent).child.kill('SIGCONT'),
        }));
});
