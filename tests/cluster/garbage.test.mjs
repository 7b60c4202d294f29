// SPDX-License-Identifier: Apache-2.0
//
// garbage.test.mjs - bytes that are no protocol, thrown at every port while a viewer watches: each is refused and
// counted, and the viewer gets every picture.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { getMetrics, http } from '../lib/http.mjs';
import { makeFile, probe, publishFile, save } from '../lib/media.mjs';
import { sleep } from '../lib/process.mjs';

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} });

// Sends bytes to a TCP port and waits until the other side closes; after wait_ms we do.
function throwTcp(port, bytes, wait_ms = 1500) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
        let answer = Buffer.alloc(0);
        const timer = setTimeout(() => socket.destroy(), wait_ms);
        socket.on('data', (chunk) => (answer = Buffer.concat([answer, chunk])));
        socket.on('error', () => {});
        socket.on('close', () => (clearTimeout(timer), resolve(answer.toString('latin1'))));
    });
}

async function throwUdp(port, packets) {
    const socket = dgram.createSocket('udp4');
    for (const packet of packets) await new Promise((resolve) => socket.send(packet, port, '127.0.0.1', resolve));
    await new Promise((resolve) => socket.close(resolve));
}

const HTTP_GARBAGE = [
    'GARBAGE\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n',
    'POST /whep/live/test HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello',
    `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(20_000)}\r\n`,
    randomBytes(5000),
];

// A STUN binding request's header, the type's low bits and all lengths wrong in turn (RFC 8489 s5).
const UDP_GARBAGE = [
    Buffer.alloc(0), Buffer.from([0]), randomBytes(1500), Buffer.from([22, 254, 253, 0, 0]),
    Buffer.concat([Buffer.from([0, 1, 255, 255, 0x21, 0x12, 0xa4, 0x42]), randomBytes(12)]),
    Buffer.concat([Buffer.from([0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42]), randomBytes(12), Buffer.from([0, 6, 255, 255, 1, 2, 3, 4])]),
    Buffer.concat([Buffer.from([0x80, 96]), randomBytes(40)]), Buffer.concat([Buffer.from([0x80, 200, 0xff, 0xff]), randomBytes(40)]),
    ...Array.from({ length: 200 }, (_, i) => randomBytes(1 + ((i * 37) % 1400))),
];

// Version 3 and 1536 bytes, as a handshake, then nonsense as chunks (RTMP 1.0 s5.2).
const RTMP_GARBAGE = [
    randomBytes(4000),
    Buffer.concat([Buffer.from([3]), Buffer.alloc(1536), Buffer.alloc(1536), Buffer.alloc(3000, 0xff)]),
    Buffer.concat([Buffer.from([3]), Buffer.alloc(1536), Buffer.alloc(1536),
        Buffer.from([3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0]), Buffer.alloc(200, 2)]),
    Buffer.concat([Buffer.from([3]), Buffer.alloc(1536), Buffer.alloc(1536),
        Buffer.from([3, 0, 0, 0, 0, 0, 20, 20, 0, 0, 0, 0]), Buffer.alloc(20, 0x0a)]),
];

// millrace_bad_input_total of a node, all protocols or one.
async function badInput(node, protocol) {
    let sum = 0;
    for (const [sample, value] of await getMetrics(cluster.url(node)))
        if (sample.startsWith('millrace_bad_input_total') && (!protocol || sample.includes(`"${protocol}"`))) sum += value;
    return sum;
}

await cluster.use(test, async (t) => {
    const file = await makeFile(path.join(cluster.dir, 'sent.flv'), { seconds: 16 });
    publishFile(cluster, file, cluster.rtmp('live/test'));
    await cluster.isLive('origin', 'live/test');
    const saved = path.join(cluster.dir, 'saved.flv');
    const watching = save(`${cluster.url('edge')}/live/test.flv`, saved);
    const strangersBefore = await badInput('edge', 'ice-tcp');
    const silent = throwTcp(cluster.port('edge', 'rtc'), Buffer.from([0, 2, 64, 0]), 30_000); // a packet of nothing known
    const silentSince_ms = Date.now();

    await t.test('HTTP', async () => {
        for (const node of cluster.names) {
            const before = await badInput(node, 'http');
            const answers = await Promise.all(HTTP_GARBAGE.map((bytes) => throwTcp(cluster.port(node, 'http'), bytes)));
            answers.forEach((answer, i) => assert.match(answer, /^HTTP\/1\.1 4\d\d |^$/, `${HTTP_GARBAGE[i]}`.slice(0, 60)));
            assert.equal(await badInput(node, 'http') - before, HTTP_GARBAGE.length, node);
        }
    });

    await t.test('session descriptions', async () => {
        const before = await badInput('edge', 'whep');
        const post = (base, type, body) => http(base, { method: 'POST', headers: { 'Content-Type': type }, body });
        for (const base of [`${cluster.url('edge')}/whep/live/test`, `${cluster.url('origin')}/whip/live/other`]) {
            assert.equal((await post(base, 'text/plain', 'v=0')).status, 415);
            for (const body of ['', 'v=0\r\n', 'not SDP at all', `v=0\r\n${'a=x\r\n'.repeat(3000)}`, 'v=0\r\nm=video 9 RTP/AVP 0\r\n'])
                assert.ok([400, 413, 422].includes((await post(base, 'application/sdp', body)).status), body.slice(0, 40));
        }
        assert.ok(await badInput('edge', 'whep') > before);
    });

    await t.test('RTMP', async () => {
        const before = await badInput('origin', 'rtmp');
        await Promise.all(RTMP_GARBAGE.map((bytes) => throwTcp(cluster.port('origin', 'rtmp'), bytes)));
        assert.ok(await badInput('origin', 'rtmp') >= before + RTMP_GARBAGE.length - 1);
    });

    await t.test('TCP of pipes', async () => {
        await Promise.all(['origin', 'backbone'].flatMap((node) => [randomBytes(2000), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(300, 22)]
            .map((bytes) => throwTcp(cluster.port(node, 'pipe'), bytes))));
    });

    await t.test('UDP of WebRTC and of pipes', async () => {
        const before = await badInput('edge', 'stun');
        for (const [node, what] of [['origin', 'rtc'], ['edge', 'rtc'], ['origin', 'pipe'], ['backbone', 'pipe'], ['edge', 'pipe']])
            for (const worker of [0, 1]) await throwUdp(cluster.port(node, what) + worker, UDP_GARBAGE);
        await sleep(300);
        assert.ok(await badInput('edge', 'stun') > before);
    });

    await t.test('TCP of WebRTC', async () => {
        await Promise.all(Array.from({ length: 10 }, () => throwTcp(cluster.port('edge', 'rtc'),
            Buffer.concat([Buffer.from([0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]), randomBytes(12), Buffer.from([0xff, 0xff])]))));
        await silent;
        assert.ok(Date.now() - silentSince_ms > 9_000, 'who says nothing that we know is closed, but not at once');
        assert.equal(await badInput('edge', 'ice-tcp') - strangersBefore, 11);
    });

    await t.test('the viewer saw nothing of it', async () => {
        const { status, output } = await watching;
        assert.equal(status, 0, output);
        const [sent, got] = [await probe(file), await probe(saved)];
        assert.equal(got.frames, sent.frames);
        for (const node of cluster.names) assert.equal((await http(`${cluster.url(node)}/readyz`)).status, 200, node);
    });
});
