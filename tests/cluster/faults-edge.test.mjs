// SPDX-License-Identifier: Apache-2.0
//
// faults-edge.test.mjs - WebRTC viewers while the backbone that feeds their edge dies or hangs: every frame comes; edges that die or hang: their
// viewers are led to another one; and what a backbone says to who asks for a stream in a ring or from too deep.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { Cluster } from '../lib/cluster.mjs';
import { getJson } from '../lib/http.mjs';
import { Background, buildDir, sleep, until } from '../lib/process.mjs';
import { Watch } from './net/watch.mjs';

const LOAD = `${buildDir}/tests/load/millrace-load`;
const STREAM = 'live/roles';
const LEASE_MS = 2000;
const FRAME_MS = 1000 / 30;
const directory = { lease_ms: LEASE_MS };
const cluster = await Cluster.up({
    origin: { directory }, backbone: { directory }, 'backbone-eu-2': { directory, node: { region: 'eu' } },
    edge: { directory }, 'edge-eu-2': { directory, node: { region: 'eu' } },
});
const signal = (name, what) => cluster.nodes.get(name).child.kill(what);
const known = async () => (await getJson(`${cluster.url('origin')}/api/v1/nodes`)).nodes.map((node) => node.id);
const routed = async () => (await getJson(`${cluster.url('origin')}/route/play/${STREAM}`).catch(() => ({}))).node;

let runs = 0;

// Viewers of millrace-load for a time; .report() is what they saw.
function view(seconds, ...args) {
    const name = `viewers-${++runs}`;
    const json = path.join(cluster.dir, `${name}.json`);
    const run = cluster.add(new Background(name, LOAD, ['--quiet', '--json', json, '--duration', `${seconds}`, '--timeout', '15', ...args],
        { log: cluster.log(name) }));
    return { async report() {
        const { status } = await run.ended;
        assert.notEqual(status, 1, run.output());
        return JSON.parse(readFileSync(json, 'utf8'));
    } };
}

// ---- the pipe's words, by hand (pipe.proto) ----

const varint = (n) => (n < 128 ? [n] : [n % 128 + 128, ...varint(Math.floor(n / 128))]);
const number = (field, n) => [...varint(field * 8), ...varint(n)];
const bytes = (field, v) => [...varint(field * 8 + 2), ...varint(v.length), ...v];
const text = (field, s) => bytes(field, Buffer.from(s));
const fixed32 = (field) => [...varint(field * 8 + 5), 0, 0, 0, 0];
const ENVELOPE = { hello: 1, subscribe: 2, refused: 4 };

// What a backbone refuses with, who asks as `self` by this path. No: it does not refuse.
async function refusal(name, self, { ids, depth }) {
    const socket = tls.connect({ host: '127.0.0.1', port: cluster.port(name, 'pipe'), ca: readFileSync(cluster.certificate('ca', 'crt')),
        cert: readFileSync(cluster.certificate(self, 'crt')), key: readFileSync(cluster.certificate(self, 'key')), checkServerIdentity: () => undefined });
    const send = (kind, message) => {
        const envelope = Buffer.from(bytes(ENVELOPE[kind], message));
        const length = Buffer.alloc(4);
        length.writeUInt32BE(envelope.length);
        socket.write(Buffer.concat([length, envelope]));
    };
    let came = Buffer.alloc(0);
    try {
        return await new Promise((resolve, reject) => {
            socket.on('error', reject);
            socket.on('close', () => reject(new Error('closed')));
            setTimeout(() => reject(new Error('no answer')), 10_000).unref();
            send('hello', [...number(1, 1), ...text(2, self), ...text(3, 'edge'), ...text(4, 'eu')]);
            send('subscribe', [...number(1, 7), ...text(2, STREAM), ...ids.flatMap((id) => text(6, id)), ...fixed32(7), ...number(8, depth)]);
            socket.on('data', (chunk) => {
                came = Buffer.concat([came, chunk]);
                for (; came.length >= 4 && came.length >= 4 + came.readUInt32BE(0); came = came.subarray(4 + came.readUInt32BE(0))) {
                    const kind = came[4] >> 3;
                    if (kind === ENVELOPE.hello) continue;
                    const at = came.indexOf(0x10, 8); // reason = 2
                    resolve(kind === ENVELOPE.refused ? came[at + 1] : 'no');
                }
            });
        });
    } finally {
        socket.destroy();
    }
}

// Until it is repaired a node is dead, or hangs.
async function kill(name) {
    cluster.nodes.get(name).expected = true;
    await cluster.nodes.get(name).stop('SIGKILL');
}

async function restart(name) {
    cluster.startNode(name);
    await cluster.ready(name);
    await until(`all know ${name}`, 10_000, async () => (await known()).length === cluster.names.length);
}

async function parentOf(name) {
    const { parent } = await cluster.stream(name, STREAM);
    assert.match(parent, /^backbone/);
    return parent;
}

async function hasAnother(name, parent) {
    const began = Date.now();
    await until('another parent', 5_000, async () => {
        const now = await cluster.stream(name, STREAM);
        return now.parent && now.parent !== parent;
    }, 20);
    return Date.now() - began;
}

await cluster.use(test, async (t) => {
    cluster.add(new Background('publisher', LOAD, ['--quiet', '--publish-rtmp', cluster.rtmp(STREAM), '--synthetic', '360p30@800k', '--duration', '600'],
        { log: cluster.log('publisher') }));
    await cluster.isLive('origin', STREAM);

    await t.test('the backbone that feeds an edge is killed, the next one hangs: WebRTC viewers are sent every frame', async () => {
        const viewers = view(7, '--whep', `${cluster.url('edge')}/whep/${STREAM}`, '--viewers', '3');
        await until('they play', 15_000, async () => (await cluster.stream('edge', STREAM))?.viewers === 3);
        await sleep(1000);
        const first = await parentOf('edge');
        await kill(first);
        const killed_ms = await hasAnother('edge', first);
        await restart(first);
        const second = await parentOf('edge');
        signal(second, 'SIGSTOP');
        const stopped_ms = await hasAnother('edge', second);
        const { rtp, picture, step_ms: step, freeze_ms: freeze, viewers: people } = await viewers.report();
        signal(second, 'SIGCONT');
        console.log(`# another parent ${killed_ms} ms after kill -9, ${stopped_ms} ms after SIGSTOP; ${people.joined} viewers: ${rtp.received} packets, `
            + `${rtp.lost_after_repair} missing; ${picture.frames} frames, ${picture.breaks} breaks, at most ${step.max} ms from one to the next; `
            + `longest freeze ${freeze.max ?? 0} ms`);
        assert.equal(people.joined, 3);
        assert.equal(rtp.lost_after_repair, 0);
        assert.equal(picture.breaks, 0);
        assert.ok(step.max < FRAME_MS * 1.5, `a step of ${step.max} ms in the frames' timestamps`);
        assert.ok(picture.frames >= 3 * 4 * 30, `${picture.frames} frames`);
    });

    await t.test('a ring, and a chain that is too long, are refused by a backbone', async () => {
        const LOOP = 2;
        const DEPTH = 3;
        assert.equal(await refusal('backbone', 'edge', { ids: ['edge'], depth: 1 }), 'no', 'now it fetches the stream from the origin');
        await cluster.isLive('backbone', STREAM); // and knows which way it comes
        assert.equal(await refusal('backbone', 'edge', { ids: ['backbone', 'edge'], depth: 2 }), LOOP, 'it would take what it gives itself');
        assert.equal(await refusal('backbone', 'edge', { ids: ['origin', 'edge'], depth: 2 }), LOOP, 'the stream comes through who asks');
        assert.equal(await refusal('backbone', 'edge', { ids: ['edge-9', 'edge'], depth: 9 }), DEPTH);
    });

    await t.test('an edge is killed, then the other one hangs: viewers are led to who lives, and nobody to who does not, until it is back', async () => {
        const edges = ['edge', 'edge-eu-2'];
        const entry = `${cluster.url('origin')}/route/play/${STREAM}`;
        const viewers = view(13, '--reconnect', '--whep', `${entry}?to=whep`, '--viewers', '3', '--flv', `${entry}?to=flv`, '--viewers', '3');
        const playing = async (name) => (await cluster.stream(name, STREAM))?.viewers ?? 0;
        await until('all play', 15_000, async () => (await playing(edges[0])) + (await playing(edges[1])) === 6);
        const [gone, other] = (await playing(edges[0])) >= 3 ? edges : [...edges].reverse();
        const outOfRoutes = async (name) => {
            const began = Date.now();
            await until(`${name} is known no more`, LEASE_MS + 3000, async () => !(await known()).includes(name), 20);
            const took = Date.now() - began;
            for (let i = 0; i < 10; i++) assert.notEqual(await routed(), name);
            return took;
        };
        const lost = await playing(gone);
        await kill(gone);
        const killed_ms = await outOfRoutes(gone);
        await until('all play at the other', 10_000, async () => (await playing(other)) === 6);
        await restart(gone);
        signal(other, 'SIGSTOP');
        const stopped_ms = await outOfRoutes(other);
        await until('all play at the first', 10_000, async () => (await playing(gone)) === 6);
        signal(other, 'SIGCONT'); // all its viewers have left, and its parent has given it up
        await until('routes lead to it again', 15_000, async () => (await routed()) === other);
        const watch = new Watch(`${cluster.url(other)}/${STREAM}.flv`);
        await until('it plays there', 10_000, () => watch.pictures > 30);
        const saw = await watch.stop();
        await until('it knows who has left', 30_000, async () => (await playing(other)) === 0 && (await cluster.sessions(other, 'whep')).length === 0);
        const { servers_lost: all, viewers: people, freeze_ms: freeze, picture } = await viewers.report();
        console.log(`# out of routes ${killed_ms} ms after kill -9, ${stopped_ms} ms after SIGSTOP, of a lease of ${LEASE_MS} ms; edges lost ${all.lost} times by 6 viewers, `
            + `who played elsewhere ${all.reconnect_ms.p50} ms later (half of them), ${all.reconnect_ms.max} ms at most; ${picture.frames} frames, `
            + `longest freeze ${freeze.max ?? 0} ms`);
        assert.ok(all.lost >= lost + 6);
        assert.equal(all.reconnected, all.lost);
        assert.equal(people.failed, 0);
        assert.equal(saw.gaps, 0);
    });
});
