// SPDX-License-Identifier: Apache-2.0
//
// relay.test.mjs - what nodes do between each other: a backbone that fetches before it is asked, an edge that lets go
// of what nobody watches, and viewers who notice nothing when Redis or their backbone goes away.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { http, listen } from '../lib/http.mjs';
import { makeFile, probe, publishFile, publishLive, save } from '../lib/media.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Watch } from './net/watch.mjs';

const LINGER_MS = 1000;

const cluster = await Cluster.up({
    origin: { directory: { lease_ms: 2000 } },
    backbone: { relay: { prefetch: 'all' }, directory: { lease_ms: 2000 } },
    edge: { relay: { linger_ms: LINGER_MS }, directory: { lease_ms: 2000 } },
});
const flv = (stream) => `${cluster.url('edge')}/${stream}.flv`;

// Publishes a file and saves it at the edge; in the middle of it, does `what`. The viewer must have every picture
// from its first on.
async function nothingIsMissed(name, what) {
    const file = await makeFile(path.join(cluster.dir, `${name}-sent.flv`), { seconds: 7 });
    const saved = path.join(cluster.dir, `${name}-saved.flv`);
    const publisher = publishFile(cluster, file, cluster.rtmp(`live/${name}`));
    await cluster.isLive('origin', `live/${name}`);
    const watching = save(flv(`live/${name}`), saved);
    await until('the edge serves it', 10_000, async () => (await cluster.stream('edge', `live/${name}`))?.viewers === 1);
    await sleep(1500);
    await what();
    const { status, output } = await watching;
    assert.equal(status, 0, output);
    assert.equal((await publisher.ended).status, 0);
    const [sent, got] = [await probe(file), await probe(saved)];
    assert.equal(got.frames, sent.frames, 'pictures');
    assert.ok(Math.abs(got.audioSeconds - sent.audioSeconds) < 0.05, `${got.audioSeconds} s of ${sent.audioSeconds} s of sound`);
}

async function watchMoment(stream) {
    const watch = new Watch(flv(stream));
    await until('it plays', 10_000, () => watch.pictures > 15, 10);
    await watch.stop();
}

await cluster.use(test, async (t) => {
    await t.test('prefetch: all - the backbone has a stream before anyone asks, the edge does not', async () => {
        const publisher = publishLive(cluster, cluster.rtmp('live/early'));
        await cluster.isLive('backbone', 'live/early');
        assert.equal(await cluster.stream('edge', 'live/early'), undefined);
        await publisher.stop('SIGKILL');
    });

    await t.test('an edge keeps a pull for the time it lingers, and no longer', async () => {
        const publisher = publishLive(cluster, cluster.rtmp('live/linger'));
        await cluster.isLive('origin', 'live/linger');
        await watchMoment('live/linger');
        assert.equal((await cluster.stream('edge', 'live/linger')).state, 'live', 'just after the last viewer');
        const pulls = await cluster.metric('edge', 'millrace_pulls_total');
        await watchMoment('live/linger'); // within this program: another one may take longer than the linger to begin
        assert.equal(await cluster.metric('edge', 'millrace_pulls_total'), pulls, 'the next viewer has the same pull');
        await until('it has let go', LINGER_MS + 5_000, async () => !(await cluster.stream('edge', 'live/linger')));
        await until('the backbone sees it', 5_000, async () => (await cluster.stream('backbone', 'live/linger')).children === 0);
        await publisher.stop('SIGKILL');
    });

    await t.test('for who only listens to what is told of a stream no media are fetched', async () => {
        const publisher = publishLive(cluster, cluster.rtmp('live/told'));
        await cluster.isLive('origin', 'live/told');
        const listener = listen(`${cluster.url('edge')}/whep/events/live/told`);
        const packets = async () => (await cluster.stream('edge', 'live/told')).packets;
        await until('it is told', 10_000, () => listener.events.some(({ event }) => event === 'active'));
        await until('nothing comes any more', 10_000, async () => {
            const before = await packets();
            await sleep(500);
            return (await packets()) === before;
        });
        await watchMoment('live/told');
        listener.request.destroy();
        await publisher.stop();
    });

    await t.test('Redis is killed and comes back empty: viewers see nothing of it, all register again', async () => {
        await nothingIsMissed('redis', async () => {
            await cluster.redis.stop('SIGKILL');
            await sleep(1000);
            assert.equal((await http(`${cluster.url('edge')}/healthz`)).status, 200);
            assert.equal((await http(`${cluster.url('edge')}/readyz`)).status, 200, 'what is known goes on being served');
            await cluster.startRedis();
        });
        await until('all are known again', 10_000, async () => {
            const { nodes } = JSON.parse((await http(`${cluster.url('edge')}/api/v1/nodes`)).text);
            return nodes.length === cluster.names.length;
        });
    });

    await t.test('the backbone is killed: the edge goes on from the origin, and nothing is missed', async () => {
        cluster.nodes.get('backbone').expected = true;
        await nothingIsMissed('backbone', async () => {
            assert.equal((await cluster.stream('edge', 'live/backbone')).parent, 'backbone');
            await cluster.nodes.get('backbone').stop('SIGKILL');
            await until('the edge has the origin as parent', 3_000, async () =>
                (await cluster.stream('edge', 'live/backbone')).parent === 'origin');
        });
    });

    await t.test('while nobody can serve a stream, that is tried again and again, and said once', async () => {
        const publisher = publishLive(cluster, cluster.rtmp('live/lost'));
        await cluster.isLive('origin', 'live/lost');
        const watch = new Watch(flv('live/lost'));
        await until('it plays', 10_000, () => watch.pictures > 15, 10);
        cluster.nodes.get('origin').expected = true;
        await cluster.redis.stop('SIGKILL'); // so that the origin is not known to be gone
        await cluster.nodes.get('origin').stop('SIGKILL');
        await publisher.stop();
        const pulls = await cluster.metric('edge', 'millrace_pulls_total');
        await until('it has been tried for some time', 20_000, async () =>
            (await cluster.metric('edge', 'millrace_pulls_total')) > pulls + 12);
        const lines = readFileSync(cluster.log('edge'), 'utf8').split('\n').filter((line) => line.includes('live/lost'));
        assert.ok(lines.length < 10, lines.join('\n'));
        await watch.stop();
    });
});
