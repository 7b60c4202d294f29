// SPDX-License-Identifier: Apache-2.0
//
// faults-origin.test.mjs - an origin dies, its publisher comes back at another one or at the same, and viewers' sessions
// run on; Redis is away, and viewers of known streams are served all the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getJson } from '../lib/http.mjs';
import { probe, publishLive } from '../lib/media.mjs';
import { run, sleep, until } from '../lib/process.mjs';
import { NetCluster, skipWithoutNamespaces } from './net/net.mjs';
import { Watch } from './net/watch.mjs';

skipWithoutNamespaces();

const LEASE_MS = 3000;
const directory = { lease_ms: LEASE_MS };
const cluster = await NetCluster.up({ origin: { directory }, 'origin-eu-2': { directory, node: { region: 'eu' } },
    backbone: { directory }, edge: { directory }, 'edge-eu-2': { directory, node: { region: 'eu' } } });

async function redis(...words) {
    return (await run('redis-cli', ['-h', cluster.redisAddress, '-p', `${cluster.redisPort}`, ...words])).stdout.trim();
}

function epochOf(stream) {
    return redis('hget', `mr:stream:${stream}`, 'epoch').then(Number);
}

// Publishes as an encoder does that tries again until it is let in.
async function publishUntilTaken(stream, origin) {
    const before = await epochOf(stream);
    for (const deadline = Date.now() + 15_000; Date.now() < deadline;) {
        const publisher = publishLive(cluster, cluster.rtmp(stream, origin), { gop: 30 });
        while (publisher.running && (await epochOf(stream)) === before) await sleep(20);
        if (publisher.running) return { publisher, at: Date.now() };
        await sleep(200);
    }
    throw new Error(`${origin} did not take the publisher`);
}

// A viewer plays; `change` ends the publishing and begins another; the viewer's picture must go on in the same response.
async function originFails(name, change) {
    const stream = `live/${name}`;
    const first = publishLive(cluster, cluster.rtmp(stream), { gop: 30 });
    await cluster.isLive('origin', stream);
    const watch = new Watch(`${cluster.url('edge')}/${stream}.flv`, { gap_ms: 100 });
    await until('it plays', 10_000, () => watch.pictures > 45);
    const old = (await cluster.stream('edge', stream)).epoch;
    const { publisher, at, after } = await change(stream, first);
    await until('the edge is told, before a lease ends', LEASE_MS, async () => (await cluster.stream('edge', stream)).epoch > old, 20);
    const took = Date.now() - at;
    await after?.();
    const pictures = watch.pictures;
    await until('the viewer sees the new publishing', 5_000, () => watch.pictures > pictures + 30);
    await publisher.stop('SIGKILL');
    const saw = await watch.stop();
    console.log(`# ${name}: the edge had the new epoch ${took} ms after its registration; viewer: one response, ${saw.pictures} pictures, `
        + `longest freeze ${saw.freeze_ms} ms, ${saw.gaps} steps in its timeline`);
    assert.ok(saw.gaps <= 1, 'one timeline that never goes back');
}

await cluster.use(test, async (t) => {
    await t.test('the same origin is killed and started again', () => originFails('same', async (stream, first) => {
        await cluster.nodes.get('origin').stop('SIGKILL');
        await first.stop('SIGKILL');
        cluster.startNode('origin');
        await cluster.ready('origin');
        return publishUntilTaken(stream, 'origin');
    }));

    await t.test('the origin is stopped for good: another one takes the publisher before the lease ends', () => originFails('other',
        async (stream, first) => {
            cluster.nodes.get('origin').child.kill('SIGSTOP');
            await first.stop('SIGKILL');
            const began = Date.now();
            const taken = await publishUntilTaken(stream, 'origin-eu-2');
            console.log(`# other: taken after ${Date.now() - began} ms of a lease of ${LEASE_MS} ms`);
            assert.equal(await redis('hget', `mr:stream:${stream}`, 'owner'), 'origin-eu-2');
            return { ...taken, async after() {
                await until('its lease has run out', LEASE_MS + 3_000, async () =>
                    !(await getJson(`${cluster.url('edge')}/api/v1/nodes`)).nodes.some((node) => node.id === 'origin'));
                const entry = await redis('hgetall', `mr:stream:${stream}`);
                assert.match(entry, /origin-eu-2/);
                cluster.nodes.get('origin').child.kill('SIGCONT'); // wakes up, and finds its publisher gone: must not touch its successor's entry
                await until('it knows that the stream is not its own', 10_000, async () => (await cluster.stream('origin', stream))?.state !== 'live');
                for (const end = Date.now() + LEASE_MS / 3 + 1000; Date.now() < end; await sleep(50))
                    assert.equal(await redis('hgetall', `mr:stream:${stream}`), entry);
                assert.equal((await cluster.stream('edge', stream)).state, 'live');
            } };
        }));

    await t.test('Redis is killed: viewers play on, new ones are served, and it has everything again within a lease', async () => {
        const stream = 'live/known';
        const publisher = publishLive(cluster, cluster.rtmp(stream), { gop: 30 });
        await cluster.isLive('origin', stream);
        const watch = new Watch(`${cluster.url('edge')}/${stream}.flv`);
        await until('it plays', 10_000, () => watch.pictures > 30);
        await cluster.redis.stop('SIGKILL');
        await sleep(LEASE_MS + 1000); // longer than any record lives
        assert.ok((await probe(`${cluster.url('edge')}/${stream}.flv`, { seconds: 1 })).frames >= 25, 'a new viewer where it plays');
        assert.ok((await probe(`${cluster.url('edge-eu-2')}/${stream}.flv`, { seconds: 1 })).frames >= 25, 'the first viewer of an edge');
        await cluster.startRedis();
        const began = Date.now();
        await until('all is registered', LEASE_MS + 5_000, async () =>
            (await redis('hget', `mr:stream:${stream}`, 'owner')) === 'origin'
            && (await Promise.all(cluster.names.map((name) => redis('hexists', 'mr:records', name)))).every((n) => n === '1'), 50);
        const took = Date.now() - began;
        assert.equal((await getJson(`${cluster.url('edge')}/api/v1/nodes`)).nodes.length, cluster.names.length);
        await publisher.stop('SIGKILL');
        const saw = await watch.stop();
        console.log(`# all registered ${took} ms after Redis was back; viewer: ${saw.pictures} pictures, ${saw.gaps} gaps, `
            + `longest freeze ${saw.freeze_ms} ms`);
        assert.equal(saw.gaps, 0);
        assert.ok(took < LEASE_MS + 2000, `only after ${took} ms`); // the back-off to connect again, and the machine
    });
});
