// SPDX-License-Identifier: Apache-2.0
//
// certificates.test.mjs - SIGHUP: certificates of HTTPS and pipes are read again while everything plays on; a bad
// file changes nothing.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { Cluster } from '../lib/cluster.mjs';
import { publishLive } from '../lib/media.mjs';
import { must, sourceDir, until } from '../lib/process.mjs';

const STREAM = 'live/test';
const EDGE = 'edge-tls';

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // the certificates are of the test's own authority
const cluster = await Cluster.up({ origin: {}, backbone: {}, [EDGE]: {} }, { start: false });
cluster.writeConfig(EDGE, { http: { tls_certificate: cluster.certificate(EDGE, 'crt'), tls_key: cluster.certificate(EDGE, 'key') } });
await cluster.start();

// The fingerprints that the edge's workers show: some connections meet every one of them.
async function shown() {
    const found = new Set();
    for (let i = 0; i < 12; i++)
        found.add(await new Promise((resolve, reject) => {
            const socket = tls.connect({ host: '127.0.0.1', port: cluster.port(EDGE, 'http') }, () => {
                resolve(socket.getPeerCertificate().fingerprint256);
                socket.destroy();
            });
            socket.on('error', reject);
        }));
    return found;
}

async function makeAnew(...names) {
    for (const name of names) for (const kind of ['crt', 'key']) rmSync(cluster.certificate(name, kind));
    await must(`${sourceDir}/deploy/make-certs`, [path.join(cluster.dir, 'certs'), ...cluster.names]);
}

function reload(...names) {
    for (const name of names) cluster.nodes.get(name).child.kill('SIGHUP');
}

// An FLV viewer; .bytes grows while it is played to.
async function play(stream) {
    const aborter = new AbortController();
    const viewer = { bytes: 0, ended: false, stop: () => aborter.abort() };
    const { status, body } = await fetch(`${cluster.url(EDGE)}/${stream}.flv`, { signal: aborter.signal });
    assert.equal(status, 200);
    (async () => {
        for await (const chunk of body) viewer.bytes += chunk.length;
    })().catch(() => {}).finally(() => (viewer.ended = true));
    return viewer;
}

async function playsOn(viewer) {
    const before = viewer.bytes;
    await until('more of the stream', 15_000, () => viewer.bytes > before + 100_000);
    assert.equal(viewer.ended, false);
}

await cluster.use(test, async (t) => {
    publishLive(cluster, cluster.rtmp(STREAM));
    await cluster.isLive('origin', STREAM);
    const viewer = await play(STREAM);
    await playsOn(viewer);
    const [first, ...others] = await shown();
    assert.deepEqual(others, []);

    await t.test('new connections meet the new certificate at every worker; who is connected plays on', async () => {
        await makeAnew(EDGE);
        reload(EDGE);
        await until('the new one', 5_000, async () => !(await shown()).has(first));
        assert.equal((await shown()).size, 1);
        await playsOn(viewer);
    });

    await t.test('a file that is no certificate: the log says so, and all stays as it was', async () => {
        const before = await shown();
        writeFileSync(cluster.certificate(EDGE, 'crt'), 'not a certificate\n');
        reload(EDGE);
        await until('the log line', 5_000, () => /certificates stay as they are: http: .*edge-tls\.crt/.test(cluster.nodes.get(EDGE).output()));
        assert.deepEqual(await shown(), before);
        await playsOn(viewer);
    });

    await t.test('another authority for pipes: a node that knows only the new one is let in', async () => {
        await makeAnew('ca', ...cluster.names);
        reload('origin', EDGE);
        await until('both have read them', 5_000, () => ['origin', EDGE].every((name) =>
            /SIGHUP: keys and certificates are read again/.test(cluster.nodes.get(name).output().split('stay as they are').at(-1))));
        await cluster.nodes.get('backbone').stop();
        cluster.startNode('backbone');
        await cluster.ready('backbone');
        await playsOn(viewer);
        publishLive(cluster, cluster.rtmp('live/second'));
        await cluster.isLive('origin', 'live/second');
        const second = await play('live/second');
        await playsOn(second);
        await until('by way of the backbone', 10_000, async () => (await cluster.stream(EDGE, 'live/second'))?.parent === 'backbone');
        second.stop();
    });
    viewer.stop();
});
