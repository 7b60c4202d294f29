// SPDX-License-Identifier: Apache-2.0
//
// faults-sentinel.test.mjs - the Redis master dies, Sentinel makes the replica master, and the nodes follow it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { getJson } from '../lib/http.mjs';
import { probe, publishLive } from '../lib/media.mjs';
import { Background, run, until } from '../lib/process.mjs';
import { Watch } from './net/watch.mjs';

if ((await run('sh', ['-c', 'command -v redis-sentinel'])).status !== 0) {
    console.log('redis-sentinel is not installed');
    process.exit(77);
}

const LEASE_MS = 3000;
const directory = { lease_ms: LEASE_MS };
const cluster = await Cluster.up({ origin: { directory }, backbone: { directory }, edge: { directory } }, { redis: false, start: false });
const [replicaPort, sentinelPort] = [cluster.redisPort + 1, cluster.redisPort + 2];

function startReplica() {
    return cluster.add(new Background('replica', 'redis-server', ['--bind', '127.0.0.1', '--port', `${replicaPort}`, '--save', '',
        '--replicaof', '127.0.0.1', `${cluster.redisPort}`, '--repl-diskless-sync-delay', '0', '--dir', cluster.dir,
        '--dbfilename', 'replica.rdb'], { log: cluster.log('replica') }));
}

function startSentinel() {
    const file = path.join(cluster.dir, 'sentinel.conf');
    writeFileSync(file, `port ${sentinelPort}\nbind 127.0.0.1\ndir ${cluster.dir}\n`
        + `sentinel monitor streams 127.0.0.1 ${cluster.redisPort} 1\nsentinel down-after-milliseconds streams 1000\n`
        + 'sentinel failover-timeout streams 5000\n');
    return cluster.add(new Background('sentinel', 'redis-sentinel', [file], { log: cluster.log('sentinel') }));
}

async function redis(port, ...words) {
    return (await run('redis-cli', ['-p', `${port}`, ...words])).stdout.trim();
}

await cluster.use(test, async (t) => {
    await cluster.startRedis();
    startReplica();
    startSentinel();
    await until('the sentinel knows the replica', 15_000, async () =>
        (await redis(sentinelPort, 'sentinel', 'replicas', 'streams')).includes(`${replicaPort}`)
        && (await redis(replicaPort, 'role')).includes('connected'));
    for (const name of cluster.names)
        cluster.writeConfig(name, { redis: { address: '127.0.0.1:1', sentinels: [`127.0.0.1:${sentinelPort}`], master_name: 'streams' } });
    await cluster.start();

    await t.test('the master is killed: viewers see nothing of it, and all are registered at the new one within a lease', async () => {
        publishLive(cluster, cluster.rtmp('live/sentinel'));
        await cluster.isLive('origin', 'live/sentinel');
        const watch = new Watch(`${cluster.url('edge')}/live/sentinel.flv`);
        await until('it plays', 10_000, () => watch.pictures > 30);
        await cluster.redis.stop('SIGKILL');
        await until('the replica is master', 20_000, async () => (await redis(replicaPort, 'role')).startsWith('master'));
        const began = Date.now();
        await until('every node is there again', LEASE_MS + 4_000, async () => {
            for (const name of cluster.names)
                if ((await getJson(`${cluster.url(name)}/api/v1/node`)).directory.state !== 'up') return false;
            return (await redis(replicaPort, 'hget', 'mr:stream:live/sentinel', 'owner')) === 'origin'
                && Number(await redis(replicaPort, 'zscore', 'mr:alive', 'origin')) > Date.now()
                && Number(await redis(replicaPort, 'zscore', 'mr:alive', 'edge')) > Date.now();
        });
        const took = Date.now() - began;
        assert.ok((await probe(`${cluster.url('edge')}/live/sentinel.flv`, { seconds: 1 })).frames > 0, 'a new viewer');
        const saw = await watch.stop();
        console.log(`# all at the new master after ${took} ms; viewer: ${saw.pictures} pictures, ${saw.gaps} gaps, `
            + `longest freeze ${saw.freeze_ms} ms`);
        assert.equal(saw.gaps, 0);
    });
});
