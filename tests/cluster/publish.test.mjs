// SPDX-License-Identifier: Apache-2.0
//
// publish.test.mjs - one publisher a name: a second is refused, by RTMP and by WHIP, unless the configuration says
// takeover; a name is free again when its publisher has left.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { farAway } from '../lib/far.mjs';
import { http } from '../lib/http.mjs';
import { probe, publishLive } from '../lib/media.mjs';
import { sourceDir, until } from '../lib/process.mjs';

const OFFER = readFileSync(`${sourceDir}/tests/unit/webrtc/fixtures/chromium_whip.sdp`, 'utf8');

const cluster = await Cluster.up({ origin: {}, 'origin-us': { publish: { takeover: true } }, backbone: {}, edge: {} });

const whip = (origin, stream) => http(`${cluster.url(origin)}/whip/${stream}`,
    { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: OFFER });

// The publishers' sessions on a stream.
async function publishers(origin, stream) {
    return (await cluster.sessions(origin)).filter((s) => s.stream === stream && ['rtmp', 'whip'].includes(s.kind));
}

await cluster.use(test, async (t) => {
    const first = publishLive(cluster, cluster.rtmp('live/one'));
    await cluster.isLive('origin', 'live/one');
    const { epoch } = await cluster.stream('origin', 'live/one');

    await t.test('a second RTMP publisher of a live name gets BadName and ends', async () => {
        const between = await farAway(cluster.port('origin', 'rtmp'), 0); // ffmpeg shows the text only, not the code
        const second = publishLive(cluster, `rtmp://127.0.0.1:${between.port}/live/one`);
        assert.notEqual((await second.ended).status, 0);
        between.stop();
        assert.match(between.said(), /NetStream\.Publish\.BadName/);
        assert.match(second.output(), /publishes this name already/);
        assert.equal((await publishers('origin', 'live/one')).length, 1);
    });

    await t.test('a WHIP publisher of a live name gets 409 as a problem document', async () => {
        const refused = await whip('origin', 'live/one');
        assert.equal(refused.status, 409);
        assert.equal(refused.headers.get('content-type'), 'application/problem+json');
        const problem = JSON.parse(refused.text);
        assert.equal(problem.status, 409);
        assert.ok(problem.detail.length > 10, refused.text);
    });

    await t.test('a name that is live at another origin is refused', async () => {
        const there = publishLive(cluster, cluster.rtmp('live/there', 'origin-us'));
        await cluster.isLive('origin-us', 'live/there');
        const here = publishLive(cluster, cluster.rtmp('live/there'));
        assert.notEqual((await here.ended).status, 0);
        assert.match(here.output(), /publishes this name already/);
        assert.ok(there.running);
        await there.stop('SIGKILL');
    });

    await t.test('an origin with takeover takes a name from another origin, and edges follow', async () => {
        const here = publishLive(cluster, cluster.rtmp('live/moves'));
        await cluster.isLive('origin', 'live/moves');
        await probe(`${cluster.url('edge')}/live/moves.flv`, { seconds: 1 }); // the edge has pulled it
        publishLive(cluster, cluster.rtmp('live/moves', 'origin-us'));
        assert.notEqual((await here.ended).status, 0, 'the first was sent away');
        await cluster.isLive('origin-us', 'live/moves');
        const { epoch: now } = await cluster.stream('origin-us', 'live/moves');
        await until('the edge has the new epoch', 10_000, async () => {
            await http(`${cluster.url('edge')}/live/moves.flv`, { timeout_ms: 300 }).catch(() => {}); // a viewer asks for it
            return (await cluster.stream('edge', 'live/moves'))?.epoch === now;
        });
        assert.ok((await probe(`${cluster.url('edge')}/live/moves.flv`, { seconds: 1 })).frames >= 25);
    });

    await t.test('the first was not disturbed where nobody may take over', async () => {
        const other = publishLive(cluster, cluster.rtmp('live/calm'));
        await cluster.isLive('origin', 'live/calm');
        const before = (await cluster.stream('origin', 'live/calm')).epoch;
        await whip('origin', 'live/calm');
        const seen = await probe(`${cluster.url('edge')}/live/calm.flv`, { seconds: 1 });
        assert.ok(seen.frames >= 25);
        assert.equal((await cluster.stream('origin', 'live/calm')).epoch, before);
        await other.stop('SIGKILL');
    });

    await t.test('with takeover the second publisher replaces the first, and the epoch rises', async () => {
        const url = cluster.rtmp('live/two', 'origin-us');
        const replaced = publishLive(cluster, url);
        await cluster.isLive('origin-us', 'live/two');
        const before = (await cluster.stream('origin-us', 'live/two')).epoch;
        const second = publishLive(cluster, url);
        assert.notEqual((await replaced.ended).status, 0, 'the first was sent away');
        await until('a new epoch', 10_000, async () => {
            const now = await cluster.stream('origin-us', 'live/two');
            return now?.state === 'live' && now.epoch > before;
        });
        assert.ok(second.running);
        assert.equal((await publishers('origin-us', 'live/two')).length, 1);
    });

    await t.test('a name is free when its publisher has left', async () => {
        await first.stop('SIGKILL');
        await until('it is over', 10_000, async () => (await cluster.stream('origin', 'live/one'))?.state !== 'live');
        publishLive(cluster, cluster.rtmp('live/one'));
        await until('live again', 10_000, async () => {
            const now = await cluster.stream('origin', 'live/one');
            return now?.state === 'live' && now.epoch > epoch;
        });
    });
});
