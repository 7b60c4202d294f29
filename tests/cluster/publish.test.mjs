// SPDX-License-Identifier: Apache-2.0
//
// publish.test.mjs - one publisher a name: a second is refused, by RTMP and by WHIP, unless the configuration says
// takeover; a name is free again when its publisher has left. Who has no token, where one is wanted, neither publishes nor plays.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { farAway } from '../lib/far.mjs';
import { http, listen } from '../lib/http.mjs';
import { probe, publishLive } from '../lib/media.mjs';
import { sourceDir, until } from '../lib/process.mjs';
import { keyFile, tokenFor } from '../lib/token.mjs';

const offer = (kind) => readFileSync(`${sourceDir}/tests/unit/webrtc/fixtures/chromium_${kind}.sdp`, 'utf8');
const OFFER = offer('whip');

const cluster = await Cluster.up({ origin: {}, 'origin-us': { publish: { takeover: true } }, 'origin-key': {}, backbone: {}, edge: {},
    'edge-key': {} }, { start: false });
cluster.writeConfig('origin-key', { auth: { publish_key: keyFile(cluster) } });
cluster.writeConfig('edge-key', { auth: { play_key: keyFile(cluster, 'play.key') } });
await cluster.start();

const whip = (origin, stream) => http(`${cluster.url(origin)}/whip/${stream}`,
    { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: OFFER });

// The publishers' sessions on a stream.
async function publishers(origin, stream) {
    return (await cluster.sessions(origin)).filter((s) => s.stream === stream && ['rtmp', 'whip'].includes(s.kind));
}

// A request with this token, or none.
const ask = (method, url, token, { type, body } = {}) => http(url, { method, body, headers: {
    ...(type ? { 'Content-Type': type } : {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) } });

// 401 or 403 as RFC 6750 wants it, and readable for a page of another origin.
function isRefusal({ status, headers, text }, expected, error = null) {
    assert.equal(status, expected, text);
    assert.equal(headers.get('www-authenticate'), error ? `Bearer error="${error}"` : 'Bearer');
    assert.equal(headers.get('content-type'), 'application/problem+json');
    assert.equal(headers.get('access-control-allow-origin'), '*');
    assert.ok(JSON.parse(text).detail, text);
}

// The endpoint and then the session: nothing but OPTIONS goes without a token.
async function wantsToken(kind, url, act, stream) {
    const post = (token) => ask('POST', url, token, { type: 'application/sdp', body: offer(kind) });
    for (const method of ['GET', 'HEAD']) assert.equal((await ask(method, url)).status, 401, method);
    const preflight = await ask('OPTIONS', url);
    assert.equal(preflight.status, 200);
    assert.match(preflight.headers.get('access-control-allow-headers'), /Authorization/);
    isRefusal(await post(''), 401);
    isRefusal(await post('nonsense'), 401, 'invalid_token');
    isRefusal(await post(tokenFor(act, stream, { exp: 1 })), 401, 'invalid_token');
    isRefusal(await post(tokenFor(act, 'other/*')), 403, 'insufficient_scope');
    isRefusal(await post(tokenFor(act === 'play' ? 'publish' : 'play', stream)), 403, 'insufficient_scope');
    const good = tokenFor(act, stream);
    const created = await post(good);
    assert.equal(created.status, 201, created.text);
    const session = new URL(created.headers.get('location'), url).href;
    isRefusal(await ask('PATCH', session, '', { type: 'application/trickle-ice-sdpfrag', body: '' }), 401);
    isRefusal(await ask('DELETE', session), 401);
    isRefusal(await ask('DELETE', session, tokenFor(act, 'other/*')), 403, 'insufficient_scope');
    return { session, good };
}

// Who has begun a session may end it when the token has expired, and do nothing else.
async function endsThoughExpired(kind, url, act, stream) {
    const brief = tokenFor(act, stream, { exp: Math.floor(Date.now() / 1000) + 4 });
    const created = await ask('POST', url, brief, { type: 'application/sdp', body: offer(kind) });
    assert.equal(created.status, 201, created.text);
    const session = new URL(created.headers.get('location'), url).href;
    await until('the token has expired', 15_000, async () =>
        (await ask('PATCH', session, brief, { type: 'application/trickle-ice-sdpfrag', body: '' })).status === 401);
    isRefusal(await ask('DELETE', session, tokenFor(act, stream, { exp: 1 })), 401, 'invalid_token');
    assert.equal((await ask('DELETE', session, brief)).status, 200);
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

    await t.test('where tokens are wanted, nobody publishes without', async () => {
        const stream = 'live/key';
        const { session, good } = await wantsToken('whip', `${cluster.url('origin-key')}/whip/${stream}`, 'publish', stream);
        assert.equal((await ask('DELETE', session, good)).status, 200);
        await endsThoughExpired('whip', `${cluster.url('origin-key')}/whip/${stream}`, 'publish', stream);
        const between = await farAway(cluster.port('origin-key', 'rtmp'), 0);
        for (const query of ['', '?token=nonsense', `?token=${tokenFor('play', stream)}`]) {
            const refused = publishLive(cluster, `rtmp://127.0.0.1:${between.port}/${stream}${query}`);
            assert.notEqual((await refused.ended).status, 0, query);
            assert.match(refused.output(), /token/i);
        }
        between.stop();
        assert.equal(between.said().match(/NetStream\.Publish\.Unauthorized/g).length, 3);
        publishLive(cluster, `${cluster.rtmp(stream, 'origin-key')}?token=${tokenFor('publish', 'live/*')}`);
        await cluster.isLive('origin-key', stream);
    });

    await t.test('where tokens are wanted, nobody plays without', async () => {
        const stream = 'live/key';
        const edge = cluster.url('edge-key');
        const { session, good } = await wantsToken('whep', `${edge}/whep/${stream}`, 'play', stream);
        isRefusal(await ask('GET', `${session}/layer`), 401);
        assert.equal((await ask('GET', `${session}/layer`, good)).status, 200);
        isRefusal(await ask('POST', `${session}/events`), 401);
        const { status, headers } = await ask('POST', `${session}/events`, good, { type: 'application/json', body: '["active"]' });
        assert.equal(status, 201);
        const events = new URL(headers.get('location'), edge).href;
        isRefusal(await ask('GET', events), 401);
        const listener = listen(`${events}?token=${good}`);
        await until('an event', 5_000, () => listener.events.some(({ event }) => event === 'active'));
        listener.request.destroy();
        isRefusal(await ask('DELETE', events), 401);
        assert.equal((await ask('DELETE', session, good)).status, 200);
        await endsThoughExpired('whep', `${edge}/whep/${stream}`, 'play', stream);

        const flv = `${edge}/${stream}.flv`;
        isRefusal(await ask('GET', flv), 401);
        isRefusal(await ask('GET', `${flv}?token=${tokenFor('publish', stream)}`), 403, 'insufficient_scope');
        assert.match((await ask('OPTIONS', flv)).headers.get('access-control-allow-headers'), /Authorization/);
        assert.ok((await probe(`${flv}?token=${good}`, { seconds: 1 })).frames >= 25);
        assert.equal(await cluster.metric('edge-key', 'millrace_join_failures_total{kind="flv",cause="token"}'), 2);
    });

    await t.test('after SIGHUP a new key counts; sessions of before go on', async () => {
        const stream = 'live/key';
        const url = `${cluster.url('edge-key')}/whep/${stream}`;
        const post = (token) => ask('POST', url, token, { type: 'application/sdp', body: offer('whep') });
        const reload = async (secret, word) => {
            keyFile(cluster, 'play.key', secret);
            const said = () => cluster.nodes.get('edge-key').output().split(word).length;
            const before = said();
            cluster.nodes.get('edge-key').child.kill('SIGHUP');
            await until(word, 5_000, () => said() > before);
        };
        const old = tokenFor('play', stream);
        const created = await post(old);
        assert.equal(created.status, 201, created.text);
        const session = new URL(created.headers.get('location'), url).href;

        await reload('too short', 'SIGHUP: keys and certificates stay as they are: auth.play_key: ');
        assert.equal((await ask('GET', `${session}/layer`, old)).status, 200);
        assert.equal((await ask('DELETE', new URL((await post(old)).headers.get('location'), url).href, old)).status, 200);

        const renew = async (secret) => { // resolves to a token by it
            await reload(secret, 'SIGHUP: keys and certificates are read again');
            const fresh = tokenFor('play', stream, {}, secret);
            await until('all workers have it', 5_000, async () =>
                (await Promise.all(Array.from({ length: 8 }, () => ask('HEAD', url, fresh)))).every(({ status }) => status !== 401));
            return fresh;
        };
        const other = tokenFor('play', 'live/*'); // by the same key as old
        const fresh = await renew('another secret of the tests, long enough');
        isRefusal(await post(old), 401, 'invalid_token');
        const second = await post(fresh);
        assert.equal(second.status, 201, second.text);
        for (const token of [old, other]) assert.equal((await ask('GET', `${session}/layer`, token)).status, 200);
        assert.equal((await ask('DELETE', new URL(second.headers.get('location'), url).href, fresh)).status, 200);

        await renew('a third secret, and long enough it is, too');
        assert.equal((await ask('GET', `${session}/layer`, old)).status, 200, 'the token that the session was begun with');
        isRefusal(await ask('GET', `${session}/layer`, other), 401, 'invalid_token');
        assert.equal((await ask('DELETE', session, old)).status, 200);
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
