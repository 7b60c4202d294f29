// SPDX-License-Identifier: Apache-2.0
//
// topology.test.mjs - two regions: one copy of a stream crosses between them, whoever watches and whatever prefetches; a backbone
// that prefetches its own region's streams leaves others' alone; backbones that each take the other for the way to the owner are no ring.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { must, sleep, until } from '../lib/process.mjs';
import { Watch } from './net/watch.mjs';

const STREAM = 'live/wide';
const cluster = await Cluster.up({
    origin: {}, backbone: { relay: { prefetch: 'region' } }, 'backbone-us': { relay: { prefetch: 'region' } }, 'backbone-us-2': {},
    'edge-us': {}, 'edge-us-2': {}, edge: {},
});
const backbones = ['backbone-us', 'backbone-us-2'];
const parentOf = async (name) => (await cluster.stream(name, STREAM))?.parent;

const redis = (...words) => must('redis-cli', ['-p', `${cluster.redisPort}`, ...words]);

// A node that one directory knows is alive in another (or the same), for an hour.
function keepNode(from, to, id) {
    return redis('eval', `local from, to, id, t = ARGV[1], ARGV[2], ARGV[3], redis.call('TIME')
        redis.call('SET', to .. 'version', string.format('%.0f', t[1] * 1000000), 'NX')
        redis.call('HSET', to .. 'records', id, redis.call('HGET', from .. 'records', id))
        redis.call('ZADD', to .. 'alive', t[1] * 1000 + 3600000, id)
        redis.call('ZADD', to .. 'changes', redis.call('INCR', to .. 'version'), id)`, '0', from, to, id);
}

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

    // Nodes that know the same choose so that there is no ring; these know of two directories: in one the owner lives in `us`, in
    // the other in `eu`.
    await t.test('two backbones that ask each other: the second is refused, and goes to the owner', async () => {
        const ring = 'live/ring';
        await cluster.nodes.get('backbone-us-2').stop();
        for (const name of ['origin', 'backbone-us']) {
            cluster.nodes.get(name).expected = true;
            await cluster.nodes.get(name).stop('SIGKILL');
            cluster.writeConfig(name, { redis: { prefix: 'apart:' } });
        }
        await keepNode('mr:', 'mr:', 'backbone-us');
        await keepNode('mr:', 'apart:', 'backbone');
        await redis('hset', `mr:stream:${ring}`, 'owner', 'edge-us', 'epoch', '1', 'lease', '10000');
        for (const name of ['origin', 'backbone-us']) cluster.startNode(name);
        for (const name of ['origin', 'backbone-us']) await cluster.ready(name);
        publishLive(cluster, cluster.rtmp(ring), { gop: 30 });
        await cluster.isLive('origin', ring);

        const watch = new Watch(`${cluster.url('edge')}/${ring}.flv`);
        await until('it plays', 15_000, () => watch.pictures > 30);
        const parents = await Promise.all(['edge', 'backbone', 'backbone-us'].map(async (name) => (await cluster.stream(name, ring)).parent));
        assert.deepEqual(parents, ['backbone', 'backbone-us', 'origin']);
        assert.match(cluster.nodes.get('backbone-us').output(), new RegExp(`${ring}: refused by backbone: .*loop`));
        await watch.stop();
    });
});
