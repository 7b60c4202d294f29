// SPDX-License-Identifier: Apache-2.0
//
// media.test.mjs - what is published is what is played: a file by RTMP, read again as HTTP-FLV at both edges, has
// every picture and all of its sound; one pull feeds all viewers; the end of the publisher is told.
import assert from 'node:assert/strict';
import { get } from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { http } from '../lib/http.mjs';
import { makeFile, probe, publishFile, publishLive, save } from '../lib/media.mjs';
import { must, until } from '../lib/process.mjs';

const SECONDS = 5;
const VIEWERS = 20;

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {}, 'edge-us': {} });
const inDir = (name) => path.join(cluster.dir, name);
const flv = (edge, stream) => `${cluster.url(edge)}/${stream}.flv`;

// Someone who reads a stream: counts its bytes until it leaves.
function view(url) {
    const viewer = { bytes: 0, leave: () => request.destroy() };
    const request = get(url, (response) => response.on('data', (chunk) => (viewer.bytes += chunk.length)).on('error', () => {}));
    request.on('error', () => {});
    return viewer;
}

// One checksum a packet, of the elementary stream as a player gets it.
async function checksums(file, kind) {
    const { stdout } = await must('ffmpeg', ['-v', 'error', '-i', file, '-map', `0:${kind}:0`, '-c', 'copy', '-f', 'framemd5', '-']);
    return stdout.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => line.split(',').at(-1).trim());
}

await cluster.use(test, async (t) => {
    const file = await makeFile(inDir('sent.flv'), { seconds: SECONDS });
    const sent = await probe(file);

    await t.test('every picture and all sound of a file come out at both edges', async () => {
        const publisher = publishFile(cluster, file, cluster.rtmp('live/file'));
        await cluster.isLive('origin', 'live/file');
        const saved = await Promise.all(['edge', 'edge-us'].map((edge) => save(flv(edge, 'live/file'), inDir(`${edge}.flv`))));
        assert.deepEqual(saved.map((s) => s.status), [0, 0], JSON.stringify(saved));
        assert.equal((await publisher.ended).status, 0);
        for (const edge of ['edge', 'edge-us']) {
            const got = await probe(inDir(`${edge}.flv`));
            assert.equal(got.frames, sent.frames, `pictures at ${edge}`);
            assert.ok(Math.abs(got.audioSeconds - sent.audioSeconds) < 0.05, `${got.audioSeconds} s of ${sent.audioSeconds} s at ${edge}`);
            for (const kind of ['v', 'a']) {
                const [before, after] = await Promise.all([checksums(file, kind), checksums(inDir(`${edge}.flv`), kind)]);
                assert.deepEqual(after, before.slice(-after.length), `the very bytes of ${kind} at ${edge}`);
            }
        }
    });

    await t.test('the publisher stops: FLV ends, the API says ended, then nothing is left of it', async () => {
        await until('the origin says so', 5_000, async () => (await cluster.stream('origin', 'live/file'))?.state !== 'live');
        await until('the edge says so', 5_000, async () => (await cluster.stream('edge', 'live/file'))?.state !== 'live');
        assert.equal((await http(flv('edge', 'live/file'))).status, 404);
    });

    await t.test(`one pull at the origin for ${VIEWERS} viewers of an edge`, async () => {
        publishLive(cluster, cluster.rtmp('live/crowd'));
        await cluster.isLive('origin', 'live/crowd');
        const pullsBefore = await cluster.metric('origin', 'millrace_children');
        const viewers = Array.from({ length: VIEWERS }, () => view(flv('edge', 'live/crowd')));
        await until(`${VIEWERS} viewers`, 15_000, async () => (await cluster.stream('edge', 'live/crowd'))?.viewers === VIEWERS);

        assert.equal((await cluster.sessions('origin', 'pipe')).filter((s) => s.stream === 'live/crowd').length, 1);
        assert.equal((await cluster.sessions('backbone', 'pipe')).filter((s) => s.stream === 'live/crowd').length, 1);
        assert.equal((await cluster.stream('origin', 'live/crowd')).children, 1);
        assert.equal(await cluster.metric('origin', 'millrace_children'), pullsBefore + 1);
        assert.equal(await cluster.metric('edge', 'millrace_viewers{kind="flv"}'), VIEWERS);
        await until('bytes for all', 10_000, () => viewers.every((viewer) => viewer.bytes > 200_000));
        viewers.forEach((viewer) => viewer.leave());
        await until('they have left', 10_000, async () => (await cluster.stream('edge', 'live/crowd')).viewers === 0);
    });
});
