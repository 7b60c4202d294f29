// SPDX-License-Identifier: Apache-2.0
//
// faults-drain.test.mjs - limits, draining, and viewers who are sent to the right edge.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http1 from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { getJson, http, listen } from '../lib/http.mjs';
import { publishLive } from '../lib/media.mjs';
import { sleep, sourceDir, until } from '../lib/process.mjs';
import { Watch } from './net/watch.mjs';

const DRAIN_MS = 4000;
const directory = { lease_ms: 3000 };
const cluster = await Cluster.up({
    origin: { directory }, backbone: { directory }, 'backbone-eu-2': { directory, node: { region: 'eu', drain_ms: DRAIN_MS } },
    edge: { directory, limits: { viewers: 3 }, node: { drain_ms: DRAIN_MS } }, 'edge-eu-2': { directory, node: { region: 'eu' } },
    'edge-us': { directory, route: { redirect: true, ranges: ['127.0.0.0/8=eu'], trusted_proxies: ['127.0.0.1'] } },
});
const offer = readFileSync(path.join(sourceDir, 'tests/unit/webrtc/fixtures/chromium_whep.sdp'), 'utf8');

function whep(name, stream) {
    return http(`${cluster.url(name)}/whep/${stream}`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer, redirect: 'manual' });
}

// The server-sent events of a WHEP session.
async function listenTo(name, joined) {
    const link = joined.headers.get('Link').split(/,\s*(?=<)/).find((field) => field.includes('server-sent-events'));
    const made = await http(`${cluster.url(name)}${link.match(/<([^>]+)>/)[1]}`, { method: 'POST', body: '["reconnect"]',
        headers: { 'Content-Type': 'application/json' } });
    assert.equal(made.status, 201);
    return listen(`${cluster.url(name)}${made.headers.get('Location')}`);
}

// fetch does not let a Host be chosen.
async function statusFor(url, host) {
    const [response] = await once(http1.get(url, { headers: { Host: host } }), 'response');
    response.resume();
    return response.statusCode;
}

function drain(name, method = 'POST', headers = {}) {
    return http(`${cluster.url(name)}/api/v1/drain`, { method, headers });
}

await cluster.use(test, async (t) => {
    const publisher = publishLive(cluster, cluster.rtmp('live/drain'), { gop: 30 });
    await cluster.isLive('origin', 'live/drain');

    await t.test('over its limit of viewers an edge answers 503 with a jittered Retry-After', async () => {
        const joins = [];
        for (let i = 0; i < 3; i++) joins.push(await whep('edge', 'live/drain'));
        assert.deepEqual(joins.map((j) => j.status), [201, 201, 201]);
        const refused = await Promise.all(Array.from({ length: 12 }, () => whep('edge', 'live/drain')));
        assert.deepEqual(refused.map((r) => r.status), Array(12).fill(503));
        assert.ok(new Set(refused.map((r) => r.headers.get('Retry-After'))).size > 1, 'not all at the same time');
        assert.equal((await http(`${cluster.url('edge')}/live/drain.flv`)).status, 503);
        for (const join of joins) await http(new URL(join.headers.get('Location'), cluster.url('edge')), { method: 'DELETE' });
        const again = await until('there is room again', 5_000, async () => {
            const join = await whep('edge', 'live/drain');
            return join.status === 201 && join;
        });
        await http(new URL(again.headers.get('Location'), cluster.url('edge')), { method: 'DELETE' });
    });

    await t.test('a wrong edge sends a viewer on: 307 to one of the region of its address', async () => {
        const sent = await whep('edge-us', 'live/drain');
        assert.equal(sent.status, 307);
        assert.match(sent.headers.get('Location'), new RegExp(`^(${cluster.url('edge')}|${cluster.url('edge-eu-2')})/whep/live/drain$`
            .replace(/127\.0\.0\.1/g, '[0-9.]+')));
        const kept = await http(`${cluster.url('edge-us')}/whep/live/drain`, { method: 'POST', redirect: 'manual', body: offer,
            headers: { 'Content-Type': 'application/sdp', 'X-Forwarded-For': '198.51.100.7' } });
        assert.equal(kept.status, 201, 'of whom nothing is known');
    });

    await t.test('draining by the API: new viewers are refused, present ones told where to go; and it is called back', async () => {
        const joined = await whep('edge', 'live/drain');
        const listener = await listenTo('edge', joined);
        await until('it is told that the publisher is there', 5_000, () => listener.events.some((e) => e.event === 'active'));
        for (const [header, value] of [['X-Forwarded-For', '127.0.0.1'], ['Forwarded', 'for=127.0.0.1'], ['Origin', 'https://elsewhere.example']])
            for (const what of ['drain', 'sessions'])
                assert.equal((await http(`${cluster.url('edge')}/api/v1/${what}`, { method: what === 'drain' ? 'POST' : 'GET', headers: { [header]: value } })).status,
                    401, `${what} by way of a proxy, or of a browser: ${header}`);
        for (const [host, status] of [['elsewhere.example', 401], ['127.elsewhere.example:80', 401], ['localhost:80', 200], ['[::1]:80', 200], ['127.0.0.1', 200]])
            assert.equal(await statusFor(`${cluster.url('edge')}/api/v1/sessions`, host), status, `as ${host}, which leads here`);
        assert.ok((await cluster.sessions('edge', 'whep')).length > 0, 'from this host');
        const began = Date.now();
        assert.equal((await drain('edge')).status, 200);
        assert.equal((await whep('edge', 'live/drain')).status, 503);
        assert.equal((await http(`${cluster.url('edge')}/readyz`)).status, 503);
        for (const name of ['edge-eu-2', 'origin'])
            await until(`${name} knows`, 3_000, async () => (await getJson(`${cluster.url(name)}/api/v1/nodes`)).nodes.find((n) => n.id === 'edge').draining);
        for (let i = 0; i < 5; i++)
            assert.notEqual((await getJson(`${cluster.url('origin')}/route/play/live/drain`)).node, 'edge');
        const { data } = await until('it is sent elsewhere', DRAIN_MS, () => listener.events.find((e) => e.event === 'reconnect'));
        console.log(`# told where to go ${Date.now() - began} ms after the drain began`);
        assert.match(data.url, /\/whep\/live\/drain$/);
        assert.equal((await http(data.url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer })).status, 201);
        assert.equal((await drain('edge', 'DELETE')).status, 200);
        assert.equal((await http(`${cluster.url('edge')}/readyz`)).status, 200);
        const back = await whep('edge', 'live/drain');
        assert.equal(back.status, 201);
        listener.request.destroy();
        for (const join of [joined, back]) await http(new URL(join.headers.get('Location'), cluster.url('edge')), { method: 'DELETE' });
    });

    await t.test('a draining backbone is left by its edges, and no picture is missed', async () => {
        const watch = new Watch(`${cluster.url('edge-eu-2')}/live/drain.flv`);
        await until('it plays', 10_000, () => watch.pictures > 30);
        const parent = (await cluster.stream('edge-eu-2', 'live/drain')).parent;
        assert.equal((await drain(parent)).status, 200);
        const other = await until('another parent', 5_000, async () => {
            const now = await cluster.stream('edge-eu-2', 'live/drain');
            return now.parent && now.parent !== parent && now.parent;
        });
        const pictures = watch.pictures;
        await until('it plays on', 5_000, () => watch.pictures > pictures + 30);
        const saw = await watch.stop();
        console.log(`# ${parent} -> ${other}: ${saw.pictures} pictures, ${saw.gaps} gaps, longest freeze ${saw.freeze_ms} ms`);
        assert.equal(saw.gaps, 0);
        await drain(parent, 'DELETE');
    });

    await t.test('SIGTERM: an edge with viewers drains until its deadline', async () => {
        const node = cluster.nodes.get('edge');
        const watch = new Watch(`${cluster.url('edge')}/live/drain.flv`);
        await until('it plays', 10_000, () => watch.pictures > 30);
        await until('it knows of its viewer', 3_000, async () => (await getJson(`${cluster.url('edge')}/api/v1/node`)).load.viewers === 1);
        const began = Date.now();
        node.child.kill('SIGTERM');
        await until('it drains', 2_000, async () => (await http(`${cluster.url('edge')}/readyz`)).status === 503);
        await sleep(1000);
        assert.ok(node.running, 'it has a viewer');
        const pictures = watch.pictures;
        await sleep(500);
        assert.ok(watch.pictures > pictures, 'who plays on meanwhile');
        assert.equal((await node.ended).status, 0);
        const took = Date.now() - began;
        console.log(`# ended ${took} ms after SIGTERM, deadline ${DRAIN_MS} ms`);
        assert.ok(took >= DRAIN_MS - 100 && took < DRAIN_MS + 3_000);
    });

    await t.test('a draining origin takes no new publisher, and its present ones play on', async () => {
        const before = (await cluster.stream('backbone', 'live/drain'))?.packets ?? 0;
        assert.equal((await drain('origin')).status, 200);
        assert.equal((await http(`${cluster.url('origin')}/whip/live/late`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer })).status, 503);
        const late = publishLive(cluster, cluster.rtmp('live/late'));
        assert.notEqual((await late.ended).status, 0);
        assert.match(late.output(), /draining/);
        const origin = await cluster.stream('origin', 'live/drain');
        assert.equal(origin.state, 'live');
        assert.ok(origin.packets > before);
    });
    await publisher.stop('SIGKILL');
});
