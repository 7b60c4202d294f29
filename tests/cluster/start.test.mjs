// SPDX-License-Identifier: Apache-2.0
//
// start.test.mjs - what stops a start: one clear line and exit code 1. And what does not: Redis away.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { getJson, http } from '../lib/http.mjs';
import { probe, publishLive } from '../lib/media.mjs';
import { buildDir, run, until } from '../lib/process.mjs';

const cluster = await Cluster.up({ origin: {}, edge: {} }, { start: false, redis: false });
const program = (role) => `${buildDir}/${role}/millrace-${role}`;

// Starts a role with a file that has something wrong: exit code 1, one line, and that says `what`.
async function refuses(role, file, what) {
    const { status, output } = await run(program(role), ['--config', file], { timeout_ms: 10_000 });
    assert.equal(status, 1, output);
    const complaints = output.trim().split('\n').filter((line) => !/ (INFO|WARN|DEBUG) /.test(line));
    assert.equal(complaints.length, 1, output);
    assert.match(complaints[0], what);
}

function writeFile(name, text) {
    const file = path.join(cluster.dir, name);
    writeFileSync(file, text);
    return file;
}

// More in the origin's configuration, for as long as body runs.
async function withConfig(more, body) {
    const before = cluster.spec.origin;
    cluster.writeConfig('origin', more);
    try {
        await body();
    } finally {
        cluster.spec.origin = before;
        cluster.writeConfig('origin');
    }
}

// Someone else's listener on a node's port, for as long as body runs.
async function withPortTaken(port, body) {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(port, '0.0.0.0', resolve));
    try {
        await body();
    } finally {
        await new Promise((resolve) => server.close(resolve));
    }
}

await cluster.use(test, async (t) => {
    const file = path.join(cluster.dir, 'origin.yaml');

    for (const what of ['http', 'rtmp', 'pipe']) {
        await t.test(`the port of ${what}.listen in use`, () => withPortTaken(cluster.port('origin', what), () =>
            refuses('origin', file, new RegExp(`${what}\\.listen.*${cluster.port('origin', what)}.*in use`))));
    }

    await t.test('a certificate that is not there', () => withConfig(
        { http: { listen: '127.0.0.1:0', tls_certificate: '/nowhere/node.crt', tls_key: '/nowhere/node.key' } },
        () => refuses('origin', file, /\/nowhere\/node\.crt/)));

    await t.test('the certificate of another node', () => withConfig(
        { pipe: { certificate: cluster.certificate('edge', 'crt'), key: cluster.certificate('edge', 'key') } },
        () => refuses('origin', file, /edge\.crt is the certificate of "edge", and this node is "origin"/)));

    await t.test('a certificate that is none', () => {
        const text = writeFile('text.crt', 'certainly not\n');
        return withConfig({ pipe: { listen: '127.0.0.1:0', ca: text, certificate: text, key: text } },
            () => refuses('origin', file, /text\.crt/));
    });

    await t.test('a key that does not exist, a value of the wrong kind, a file that is not YAML', async () => {
        await refuses('edge', writeFile('key.yaml', 'node:\n  regoin: eu\n'), /key\.yaml:2:3: .*regoin/);
        await refuses('edge', writeFile('value.yaml', 'node:\n  workers: many\n'), /value\.yaml:2:12: node\.workers: expected/);
        await refuses('edge', writeFile('broken.yaml', 'node: {\n'), /broken\.yaml:/);
        await refuses('edge', '/nowhere/edge.yaml', /\/nowhere\/edge\.yaml/);
    });

    await t.test('Redis away at start: alive but not ready, says so once, serves when it comes', async () => {
        execFileSync('prlimit', ['--pid', process.pid, '--nofile=900:']); // as a shell's; the nodes inherit it
        const [origin] = ['origin', 'edge'].map((name) => cluster.startNode(name));
        await until('alive', 20_000, async () => (await http(`${cluster.url('origin')}/healthz`)).status === 200);
        await until('alive', 20_000, async () => (await http(`${cluster.url('edge')}/healthz`)).status === 200);
        assert.equal((await http(`${cluster.url('origin')}/readyz`)).status, 503);
        const [, soft, hard] = readFileSync(`/proc/${origin.pid}/limits`, 'utf8').match(/Max open files +(\d+) +(\d+)/);
        assert.ok(Number(hard) > 900, 'or there is nothing to be seen here');
        assert.equal(soft, hard, 'as many connections as the system allows');
        publishLive(cluster, cluster.rtmp('live/early'));
        await new Promise((resolve) => setTimeout(resolve, 2500)); // several tries of the directory
        const said = origin.output().split('\n').filter((line) => /redis at \S+ is away/.test(line));
        assert.equal(said.length, 1, said.join('\n'));

        await cluster.startRedis();
        await Promise.all(['origin', 'edge'].map((name) => cluster.ready(name)));
        await until('both know of each other', 10_000, async () =>
            (await getJson(`${cluster.url('edge')}/api/v1/nodes`)).nodes.length === 2);
        publishLive(cluster, cluster.rtmp('live/late'));
        await cluster.isLive('origin', 'live/late');
        assert.ok((await probe(`${cluster.url('edge')}/live/late.flv`, { seconds: 1 })).frames >= 25);
    });
});
