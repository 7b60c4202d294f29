// SPDX-License-Identifier: Apache-2.0
//
// load.test.mjs - millrace-load against a real cluster: a hundred viewers of both kinds join, lose nothing, and the
// reports say so; publishers of both kinds from a scenario and from a file; failures are told by cause.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { makeFile } from '../lib/media.mjs';
import { Background, buildDir, run } from '../lib/process.mjs';

const LOAD = `${buildDir}/tests/load/millrace-load`;
const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} });
const file = (name) => path.join(cluster.dir, name);
const whep = (stream) => `${cluster.url('edge')}/whep/${stream}`;
const flv = (stream) => `${cluster.url('edge')}/${stream}.flv`;

async function load(args, { timeout_ms = 90_000 } = {}) {
    const json = file('load.json');
    const result = await run(LOAD, ['--quiet', '--json', json, ...args], { timeout_ms });
    assert.notEqual(result.status, 1, result.output);
    assert.doesNotMatch(result.output, /AddressSanitizer|LeakSanitizer|runtime error:/);
    return { status: result.status, output: result.output, ...JSON.parse(readFileSync(json, 'utf8')) };
}

await cluster.use(test, async (t) => {
    await t.test('fifty WHEP and fifty HTTP-FLV viewers join and lose nothing', async () => {
        cluster.add(new Background('publisher', LOAD, ['--quiet', '--publish-rtmp', cluster.rtmp('live/test'),
            '--synthetic', '180p15@200k', '--duration', '600'], { log: cluster.log('publisher') }));
        await cluster.isLive('origin', 'live/test');
        const report = await load(['--whep', whep('live/test'), '--viewers', '50', '--ramp', '10',
            '--flv', flv('live/test'), '--viewers', '50', '--ramp', '25', '--duration', '6', '--timeout', '30',
            '--csv', file('load.csv'), '--report', file('load.html')]);

        assert.equal(report.status, 0, report.output);
        assert.deepEqual(report.viewers, { asked: 100, joined: 100, failed: 0, cut_off: 0, dropped: 0, left: 100 });
        for (const step of [report.join_ms, report.first_keyframe_ms, report.steps_ms.http]) {
            assert.equal(step.count, 100);
            assert.ok(step.p50 > 0 && step.p50 <= step.p95 && step.p95 <= step.p99 && step.p99 <= step.max);
        }
        assert.equal(report.steps_ms.dtls.count, 50);
        assert.equal(report.rtp.lost_after_repair, 0);
        assert.equal(report.rtp.bad, 0);
        assert.equal(report.rtp.checked, report.rtp.received + report.rtp.duplicates);
        assert.ok(report.rtp.received > 50 * 6 * 60, `${report.rtp.received} packets`);
        assert.equal(report.picture.breaks, 0);
        assert.equal(report.picture.jumps, 0);
        assert.ok(report.picture.frames > 100 * 6 * 14, `${report.picture.frames} frames`);
        assert.ok(report.delay_ms.count > 0 && report.delay_ms.p50 < 1000);
        assert.ok(report.bytes > 0 && report.freezes >= 0);
        assert.ok(report.steady.seconds > 2);
        assert.ok(report.samples.length >= 8);
        assert.equal(readFileSync(file('load.csv'), 'utf8').trim().split('\n').length, report.samples.length + 1);
        assert.doesNotMatch(readFileSync(file('load.html'), 'utf8'), /(src|href)=["']?(https?:)?\/\//);
    });

    await t.test('half of the packets checked, AES-CM, a socket a viewer', async () => {
        const report = await load(['--whep', whep('live/test'), '--viewers', '6', '--duration', '3', '--check', '0.3',
            '--srtp', 'cm', '--own-sockets']);
        assert.equal(report.viewers.joined, 6);
        assert.equal(report.rtp.lost_after_repair, 0);
        assert.equal(report.rtp.bad, 0);
        assert.equal(report.sockets, 'one a viewer');
        assert.ok(report.rtp.checked < report.rtp.received * 0.9 && report.rtp.checked > report.rtp.received * 0.25);
    });

    await t.test('a scenario with WHIP and RTMP publishers, churn and a surge', async () => {
        const clip = await makeFile(file('clip.mp4'), { seconds: 3, gop: 30 });
        writeFileSync(file('scenario.yaml'), `
duration: 5
publish:
  - whip: ${cluster.url('origin')}/whip/live/whip{n}
    synthetic: 180p15@200k
    count: 2
  - rtmp: ${cluster.rtmp('live/file')}
    file: ${clip}
watch:
  - whep: ${whep('live/whip{n}')}
    streams: 2
    viewers: 8
    ramp: 8
    start: 3
    churn: 2
    surge: { at: 5, viewers: 4, hold: 2 }
  - flv: ${flv('live/file')}
    viewers: 4
    start: 3
`);
        const report = await load(['--scenario', file('scenario.yaml')]);
        assert.equal(report.status, 0, report.output);
        assert.equal(report.publishers.accepted, 3);
        assert.ok(report.viewers.asked > 16, 'churn replaced viewers');
        assert.equal(report.viewers.joined + report.viewers.cut_off, report.viewers.asked);
        assert.equal(report.rtp.lost_after_repair, 0);
        assert.ok(report.picture.keyframes > 0);
        assert.ok(report.delay_ms.count > 0);
    });

    await t.test('who is on the way in when the end comes is cut off, and has not failed', async () => {
        // the end comes 4 ms after the last one was started
        const report = await load(['--whep', whep('live/test'), '--viewers', '21', '--ramp', '10', '--duration', '0.004', '--timeout', '30']);
        assert.deepEqual(report.failures, {});
        assert.equal(report.status, 0, report.output);
        const { asked, joined, failed, cut_off: cutOff } = report.viewers;
        assert.deepEqual([asked, failed, joined + cutOff], [21, 0, 21]);
        assert.ok(cutOff > 0 && joined > 0, `${joined} joined, ${cutOff} cut off`);
    });

    await t.test('what fails is told by its cause, with exit code 2', async () => {
        const report = await load(['--flv', flv('live/nothing'), '--viewers', '3',
            '--flv', 'http://127.0.0.1:1/live/test.flv', '--viewers', '2', '--duration', '3', '--timeout', '2']);
        assert.equal(report.status, 2);
        assert.equal(report.viewers.joined, 0);
        assert.equal(report.failures['http: connection refused'], 2);
        assert.equal(Object.values(report.failures).reduce((a, b) => a + b), 5);
    });

    await t.test('a second publisher of a stream is refused', async () => {
        const report = await load(['--publish-rtmp', cluster.rtmp('live/test'), '--synthetic', '180p15@200k', '--duration', '1']);
        assert.equal(report.status, 2);
        assert.equal(report.failures['rtmp: NetStream.Publish.BadName'], 1);
    });
});
