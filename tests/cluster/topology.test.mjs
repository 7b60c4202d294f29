// SPDX-License-Identifier: Apache-2.0
//
// topology.test.mjs - two regions: one copy of a stream crosses between them, whoever watches and whatever prefetches; a backbone
// that prefetches its own region's streams leaves others' alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Watch } from './net/watch.mjs';

const STREAM = 'live/wide';
const cluster = await Cluster.up({
    origin: {}, backbone: { relay: { prefetch: 'region' } }, 'backbone-us': { relay: { prefetch: 'region' } }, 'backbone-us-2': {},
    'edge-us': {}, 'edge-us-2': {}, edge: {},
});
const backbones = ['backbone-us', 'backbone-us-2'];
const parentOf = async (name) => (await cluster.stream(name, STREAM))?.parent;

await cluster.use(test, async (t) => {
    const publisher = publishLive(cluster, cluster.rtmp(STREAM), { gop: 30 });
    await cluster.isLive('origin', STREAM);

    await t.test('prefetch: region - the backbone of the owner\'s region has the stream at once, that of another region has not', async () => {
        await cluster.isLive('backbone', STREAM);
        await sleep(500);
        assert.equal(await cluster.stream('backbone-us', STREAM), undefined);
    });

    await t.test('one copy crosses: edge - backbone - backbone - origin', async () => {
        const watches = ['edge-us', 'edge-us-2', 'edge'].map((name) => new Watch(`${cluster.url(name)}/${STREAM}.flv`));
        await until('all play', 15_000, () => watches.every((w) => w.pictures > 30));
        const first = await parentOf('edge-us');
        assert.ok(backbones.includes(first));
        assert.equal(await parentOf('edge-us-2'), first, 'edges of a region choose alike');
        assert.equal(await parentOf(first), 'backbone', 'across the sea to the region of the owner');
        assert.equal(await parentOf('backbone'), 'origin');
        assert.equal((await cluster.stream('origin', STREAM)).children, 1);
        assert.equal((await cluster.stream('backbone', STREAM)).children, 2, 'its own edge and one backbone abroad');

        const other = backbones.find((name) => name !== first);
        cluster.writeConfig(other, { relay: { prefetch: 'all' } });
        await cluster.nodes.get(other).stop();
        cluster.startNode(other);
        await cluster.ready(other);
        await cluster.isLive(other, STREAM);
        assert.equal(await parentOf(other), first, 'one that prefetches asks the one that has it');
        assert.equal((await cluster.stream('backbone', STREAM)).children, 2);
        const saw = await Promise.all(watches.map((w) => w.stop()));
        console.log(`# viewers saw ${saw.map((w) => w.gaps).join(', ')} gaps; longest freezes ${saw.map((w) => w.freeze_ms).join(', ')} ms`);
        assert.ok(saw.every((w) => w.gaps === 0));
    });
    await publisher.stop('SIGKILL');
});
