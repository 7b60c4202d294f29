// SPDX-License-Identifier: Apache-2.0
//
// whip_whep.test.mjs - WHIP (RFC 9725) and WHEP endpoints and sessions as HTTP resources, raw: methods, types, ETags,
// problems, what pages of other origins may read, ICE servers, announced addresses; and a flood of STUN.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { http } from '../lib/http.mjs';
import { publishLive } from '../lib/media.mjs';
import { sourceDir } from '../lib/process.mjs';

const STREAM = 'live/test';
const SDP = 'application/sdp';
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const RTC = {
    announce: ['203.0.113.7', '198.51.100.7', '2001:db8::7'],
    ice_servers: ['stun:stun.example.org', 'turn:turn.example.org:3478?transport=udp ann s"cret'],
};
const LINK = '<stun:stun.example.org>; rel="ice-server", <turn:turn.example.org:3478?transport=udp>; rel="ice-server"; '
    + 'username="ann"; credential="s\\"cret"; credential-type="password"';

const offers = Object.fromEntries(['whip', 'whep'].map((kind) =>
    [kind, readFileSync(`${sourceDir}/tests/unit/webrtc/fixtures/chromium_${kind}.sdp`, 'utf8')]));
const cluster = await Cluster.up({ origin: { rtc: RTC }, backbone: {}, edge: { rtc: RTC } }, { start: false });
const RTC_LISTEN = Object.fromEntries(['origin', 'edge'].map((name) => [name, `[::]:${cluster.port(name, 'rtc')}`]));
for (const name of ['origin', 'edge']) cluster.writeConfig(name, { rtc: { listen: RTC_LISTEN[name] } });
await cluster.start();

function ask(method, url, { type, body, ...headers } = {}) {
    return http(url, { method, body, headers: { ...(type ? { 'Content-Type': type } : {}), ...headers } });
}

function isProblem(response, status) {
    assert.equal(response.status, status, response.text);
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
    const problem = JSON.parse(response.text);
    assert.equal(problem.status, status);
    assert.ok(problem.title && problem.detail && problem.type, response.text);
    assert.equal(response.headers.get('access-control-allow-origin'), '*', 'a page may read why');
}

const isEmpty = (response, status) => assert.deepEqual([response.status, response.text], [status, '']);
const list = (response, field) => (response.headers.get(field) ?? '').toLowerCase().split(/\s*,\s*/);
const credential = (sdp, what) => sdp.match(new RegExp(`^a=ice-${what}:(.*?)\r?$`, 'm'))[1];

function fragment(sdp, { ufrag = credential(sdp, 'ufrag'), pwd = credential(sdp, 'pwd') } = {}) {
    return `a=ice-ufrag:${ufrag}\r\na=ice-pwd:${pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n`
        + 'a=candidate:1 1 udp 2113937151 192.0.2.9 51032 typ host\r\na=candidate:2 1 tcp 1 unknown.local 9 typ weird\r\n';
}

function rss_kb(name) {
    return Number(readFileSync(`/proc/${cluster.nodes.get(name).pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
}

await cluster.use(test, async (t) => {
    publishLive(cluster, cluster.rtmp(STREAM));
    await cluster.isLive('origin', STREAM);

    for (const [kind, node, stream] of [['whip', 'origin', 'live/http'], ['whep', 'edge', STREAM]]) {
        const endpoint = `${cluster.url(node)}/${kind}/${stream}`;
        const offer = offers[kind];

        await t.test(`${kind}: OPTIONS tells what may be posted, and by whom`, async () => {
            const response = await ask('OPTIONS', endpoint, { Origin: 'https://page.example',
                'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type,authorization' });
            isEmpty(response, 200);
            assert.equal(response.headers.get('accept-post'), SDP);
            assert.equal(response.headers.get('access-control-allow-origin'), '*');
            for (const method of ['post', 'get', 'options']) assert.ok(list(response, 'access-control-allow-methods').includes(method));
            for (const field of ['content-type', 'authorization']) assert.ok(list(response, 'access-control-allow-headers').includes(field));
            assert.equal(response.headers.get('link'), LINK);
        });

        await t.test(`${kind}: GET and HEAD on the endpoint have no content, other methods are 405`, async () => {
            isEmpty(await ask('GET', endpoint), 204);
            isEmpty(await ask('HEAD', endpoint), 200);
            const put = await ask('PUT', endpoint, { type: SDP, body: offer });
            isProblem(put, 405);
            assert.ok(list(put, 'allow').includes('post'));
        });

        await t.test(`${kind}: a wrong type is 415, what is no offer 400, a wish that cannot be met 422`, async () => {
            isProblem(await ask('POST', endpoint, { type: 'application/json', body: '{}' }), 415);
            isProblem(await ask('POST', endpoint, { body: Buffer.from(offer) }), 415);
            isProblem(await ask('POST', endpoint, { type: SDP, body: 'v=0\r\n' }), 400);
            isProblem(await ask('POST', endpoint, { type: SDP, body: offer.replace(/^a=ice-pwd:.*\r?\n/gm, '') }), 400);
            isProblem(await ask('POST', endpoint, { type: SDP, body: offer.replace(/^a=rtcp-mux\r?\n/gm, '') }), 422);
            const wrongWay = offer.replace(/^a=(send|recv)only/gm, kind === 'whip' ? 'a=recvonly' : 'a=sendonly');
            isProblem(await ask('POST', endpoint, { type: SDP, body: wrongWay }), 422);
            isProblem(await ask('POST', `${cluster.url(node)}/${kind}/nameless`, { type: SDP, body: offer }), 400);
            assert.equal((await ask('POST', endpoint, { type: SDP, body: 'x'.repeat(200_000) })).status, 413);
        });

        await t.test(`${kind}: a session from 201 to DELETE`, async () => {
            const created = await ask('POST', endpoint, { type: `${SDP}; charset=utf-8`, body: offer, Origin: 'https://page.example' });
            assert.equal(created.status, 201, created.text);
            assert.equal(created.headers.get('content-type'), SDP);
            for (const field of ['location', 'etag', 'link']) assert.ok(list(created, 'access-control-expose-headers').includes(field), field);
            assert.ok(created.headers.get('link').includes(LINK), created.headers.get('link'));
            const etag = created.headers.get('etag');
            assert.match(etag, /^"[^"]+"$/, 'a strong one');
            const session = new URL(created.headers.get('location'), endpoint).href;
            assert.match(session, /-[\w-]{22}$/, '128 bits and more that cannot be guessed');

            const answer = created.text;
            assert.match(answer, /^a=ice-lite\r$/m);
            assert.match(answer, /^a=end-of-candidates\r$/m);
            assert.match(answer, /^a=setup:passive\r$/m);
            assert.match(answer, kind === 'whip' ? /^a=recvonly\r$/m : /^a=sendonly\r$/m);
            const addresses = [...answer.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host/gmi)].map((found) => found[1]);
            assert.deepEqual([...new Set(addresses)], RTC.announce, 'those of the configuration, and no others');

            const patch = (headers) => ask('PATCH', session, { type: FRAGMENT, body: fragment(offer), ...headers });
            isEmpty(await patch({ 'If-Match': etag }), 204);
            isProblem(await patch({}), 428);
            isProblem(await patch({ 'If-Match': '"stale"' }), 412);
            const wrongType = await patch({ 'If-Match': etag, type: SDP });
            isProblem(wrongType, 415);
            assert.equal(wrongType.headers.get('accept-patch'), FRAGMENT);
            const wrongMethod = await ask('GET', session);
            isProblem(wrongMethod, 405);
            for (const method of ['patch', 'delete']) assert.ok(list(wrongMethod, 'allow').includes(method), wrongMethod.headers.get('allow'));
            isProblem(await patch({ 'If-Match': etag, body: 'nonsense' }), 400);
            isEmpty(await patch({ 'If-Match': etag }), 204);

            const bad = await patch({ 'If-Match': '*', body: fragment(offer, { ufrag: 'ab', pwd: 'short' }) });
            isProblem(bad, 400);
            isEmpty(await patch({ 'If-Match': etag }), 204); // a failed restart leaves the session as it was
            const restarted = await patch({ 'If-Match': '*', body: fragment(offer, { ufrag: 'anew', pwd: 'p'.repeat(24) }) });
            assert.equal(restarted.status, 200, restarted.text);
            assert.equal(restarted.headers.get('content-type'), FRAGMENT);
            assert.notEqual(restarted.headers.get('etag'), etag);
            assert.notEqual(credential(restarted.text, 'ufrag'), credential(answer, 'ufrag'));
            assert.notEqual(credential(restarted.text, 'pwd'), credential(answer, 'pwd'));
            isProblem(await patch({ 'If-Match': etag }), 412);
            isEmpty(await patch({ 'If-Match': restarted.headers.get('etag') }), 204);

            const preflight = await ask('OPTIONS', session, { 'Access-Control-Request-Method': 'PATCH' });
            isEmpty(preflight, 200);
            assert.ok(list(preflight, 'accept-patch').includes(FRAGMENT));
            for (const method of ['patch', 'delete']) assert.ok(list(preflight, 'access-control-allow-methods').includes(method));
            assert.ok(list(preflight, 'access-control-allow-headers').includes('if-match'));
            assert.equal((await ask('DELETE', session)).status, 200);
            isProblem(await ask('DELETE', session), 404);
            isProblem(await patch({ 'If-Match': etag }), 404);
            isProblem(await ask('DELETE', `${cluster.url(node)}/${kind}/session/nonsense`), 404);
        });
    }

    await t.test('a name that is taken, and a stream that is not there, are 409 with a time to come back', async () => {
        for (const [url, body] of [[`${cluster.url('origin')}/whip/${STREAM}`, offers.whip], [`${cluster.url('edge')}/whep/live/nobody`, offers.whep]]) {
            const refused = await ask('POST', url, { type: SDP, body });
            isProblem(refused, 409);
            assert.ok(Number(refused.headers.get('retry-after')) >= 1);
            assert.ok(list(refused, 'access-control-expose-headers').includes('retry-after'));
        }
    });

    await t.test('STUN for nobody, valid and not, costs no memory', async () => {
        let made = 0;
        const request = () => { // Binding, USERNAME of nobody, MESSAGE-INTEGRITY, FINGERPRINT; every second of them with a length that is wrong
            const bytes = Buffer.concat([Buffer.from([0, 1, 0, 48, 0x21, 0x12, 0xa4, 0x42]), randomBytes(12),
                Buffer.from([0, 6, 0, 9]), Buffer.from(`${randomBytes(2).toString('hex')}:abcd`), Buffer.alloc(3),
                Buffer.from([0, 8, 0, 20]), randomBytes(20), Buffer.from([0x80, 0x28, 0, 4]), randomBytes(4)]);
            if (made++ % 2) bytes[3] += 4;
            return bytes;
        };
        const sockets = Array.from({ length: 20 }, () => dgram.createSocket('udp4'));
        const flood = async (n) => {
            const port = cluster.port('edge', 'rtc');
            for (let i = 0; i < n; i += 50)
                await Promise.all(Array.from({ length: 50 }, (_, j) =>
                    new Promise((resolve) => sockets[j % 20].send(request(), port + (j % 2), '127.0.0.1', resolve))));
        };
        const refused = () => cluster.metric('edge', 'millrace_bad_input_total{protocol="stun"}');
        const refused_before = await refused();
        await flood(10_000); // what is set up once
        const before_kb = rss_kb('edge');
        await flood(40_000);
        const grown_kb = rss_kb('edge') - before_kb;
        await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.close(resolve))));
        const refused_now = (await refused()) - refused_before;
        assert.ok(refused_now > 0 && refused_now <= 25_000, `${refused_now} counted as malformed: not those that are merely for nobody`);
        assert.ok(grown_kb < 4096, `${grown_kb} KiB more after 40,000 requests`);
        assert.equal((await http(`${cluster.url('edge')}/healthz`)).status, 200);
    });
});
