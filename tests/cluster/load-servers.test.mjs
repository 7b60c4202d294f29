// SPDX-License-Identifier: Apache-2.0
//
// load-servers.test.mjs - millrace-load against servers of all sorts: behind TLS, behind entry points, with WHEP answers as others
// write them, on lines that lose, that drain, and that die.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { Cluster } from '../lib/cluster.mjs';
import { http } from '../lib/http.mjs';
import { isolated } from '../lib/netns.mjs';
import { Background, buildDir, must, run, until } from '../lib/process.mjs';

const LOAD = `${buildDir}/tests/load/millrace-load`;
const TLS = 'edge-eu'; // has HTTPS
const config = { directory: { lease_ms: 3000 } };
const edge = { ...config, node: { drain_ms: 2000 } };
const cluster = await Cluster.up({ origin: config, backbone: config, edge, [TLS]: edge }, { start: false });
cluster.writeConfig(TLS, { http: { tls_certificate: cluster.certificate(TLS, 'crt'), tls_key: cluster.certificate(TLS, 'key') } });
for (const name of ['edge', TLS]) cluster.writeConfig(name, { http: { announce: cluster.url(name) } }); // as in its certificate
const whep = (name, stream = 'live/test') => `${cluster.url(name)}/whep/${stream}`;
const flv = (name, stream = 'live/test') => `${cluster.url(name)}/${stream}.flv`;
const ca = ['--ca', cluster.certificate('ca', 'crt')];
let runs = 0;

// millrace-load in the background; report() waits for its end.
function start(args) {
    const json = path.join(cluster.dir, `load-${++runs}.json`);
    const process = cluster.add(new Background('load', LOAD, ['--quiet', '--json', json, '--timeout', '20', '--settle', '0', ...args],
        { log: cluster.log(`load-${runs}`) }));
    return {
        async report() {
            const { status } = await process.ended;
            assert.doesNotMatch(process.output(), /AddressSanitizer|LeakSanitizer|runtime error:/);
            assert.notEqual(status, 1, process.output());
            return { status, output: process.output(), ...JSON.parse(readFileSync(json, 'utf8')) };
        },
    };
}

const load = (...args) => start(args).report();
const playing = (name, n) => until(`${n} viewers play at ${name}`, 20_000, async () =>
    (await cluster.sessions(name, 'whep')).filter((s) => s.state === 'live').length >= n);

function assertServed(report, viewers) {
    assert.equal(report.status, 0, report.output);
    assert.deepEqual(report.viewers, { asked: viewers, joined: viewers, failed: 0, cut_off: 0, dropped: 0, left: viewers });
}

// A WHEP server of another make, as far as HTTP and SDP go: it redirects, names its session by a relative path, has no ETag and
// no Link, is no lite agent, and has candidates that are of no use before those that are.
async function otherServer(seen) {
    const candidates = ['1 1 udp 2130706431 fe80::1 9 typ host', '2 1 tcp 2130706431 127.0.0.1 9 typ host tcptype passive',
        '3 1 udp 2130706431 10.99.0.1 9 typ host', '4 1 udp 2130706430 nowhere.local 9 typ host', '5 2 udp 2130706429 127.0.0.1 9 typ host'];
    const sessions = [];
    const server = createServer(async (request, response) => {
        const body = (await request.toArray()).join('');
        seen.push(`${request.method} ${request.url}`);
        if (request.url === '/first') return response.writeHead(307, { Location: `http://127.0.0.1:${server.address().port}/a/second` }).end();
        if (request.url === '/a/second') return response.writeHead(308, { Location: '../b/whep?token=1' }).end();
        if (request.method === 'DELETE') {
            await fetch(sessions[Number(request.url.split('/').at(-1))], { method: 'DELETE' });
            return response.writeHead(200).end();
        }
        const answer = await fetch(whep('edge'), { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body });
        sessions.push(new URL(answer.headers.get('Location'), whep('edge')));
        const sdp = (await answer.text()).replace('a=ice-lite\r\n', '').replaceAll(/a=rtcp-fb:\d+ transport-cc\r\n/g, '')
            .replace('a=candidate:', `${candidates.map((c) => `a=candidate:${c}\r\n`).join('')}a=candidate:`);
        return response.writeHead(answer.status, { 'Content-Type': 'application/sdp', Location: `session/${sessions.length - 1}` }).end(sdp);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server;
}

await cluster.use(test, async (t) => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // this test's own questions to the edge behind TLS
    await cluster.start();
    cluster.add(new Background('publisher', LOAD, ['--quiet', '--publish-rtmp', cluster.rtmp('live/test'),
        '--synthetic', '180p15@200k', '--duration', '600'], { log: cluster.log('publisher') }));
    await cluster.isLive('origin', 'live/test');

    // Side by side, as they wait most of the time.
    async function https() {
        const [trusted, insecure, refused] = await Promise.all([
            load('--whep', whep(TLS), '--viewers', '3', '--flv', flv(TLS), '--viewers', '2', '--duration', '5', ...ca),
            load('--whep', whep(TLS), '--flv', flv(TLS), '--duration', '5', '--insecure'),
            load('--whep', whep(TLS), '--flv', flv(TLS), '--duration', '5')]);
        assertServed(trusted, 5);
        assertServed(insecure, 2);
        assert.equal(refused.status, 2);
        assert.equal(refused.viewers.failed, 2);
        assert.match(Object.keys(refused.failures).join(), /^http: tls: certificate verify failed/);
    }

    // The origin takes no RTMPS itself: as behind a proxy.
    async function rtmps() {
        const [cert, key] = ['crt', 'key'].map((kind) => readFileSync(cluster.certificate(TLS, kind)));
        const proxy = createTlsServer({ cert, key }, (from) => {
            const to = connect(cluster.port('origin', 'rtmp'), '127.0.0.1');
            for (const end of [from, to]) end.on('error', () => {});
            from.pipe(to).pipe(from);
        });
        await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
        const publish = ['--publish-rtmp', `rtmps://127.0.0.1:${proxy.address().port}/live/tls{n}`, '--synthetic', '180p15@200k', '--duration', '5'];
        const [trusted, refused] = await Promise.all([load(...publish, ...ca), load(...publish)]);
        proxy.close();
        assert.equal(trusted.publishers.accepted, 1, trusted.output);
        assert.equal(trusted.publishers.failed, 0, trusted.output);
        assert.equal(refused.publishers.accepted, 0);
        assert.match(Object.keys(refused.failures).join(), /^rtmp: certificate verify failed/);
    }

    async function entryPoints() {
        const entry = `${cluster.url('backbone')}/route/play/live/test`;
        const [report, nobody] = await Promise.all([
            load('--whep', entry, '--viewers', '3', '--whep', `${entry}?to=whep`, '--viewers', '3', '--flv', entry, '--viewers', '2',
                '--duration', '5', ...ca),
            load('--whep', `${cluster.url('backbone')}/route/publish/live/test`, '--duration', '5')]);
        assertServed(report, 8);
        assert.equal(report.counters.redirects, 8);
        assert.equal(nobody.failures['an entry point that names no server'], 1);
    }

    async function anotherMake() {
        const seen = [];
        const server = await otherServer(seen);
        const report = await load('--whep', `http://127.0.0.1:${server.address().port}/first`, '--viewers', '2', '--duration', '5');
        server.close();
        assertServed(report, 2);
        assert.equal(report.counters.redirects, 4);
        assert.equal(report.rtp.lost_after_repair, 0);
        assert.deepEqual([...new Set(seen)].sort(), ['DELETE /b/session/0', 'DELETE /b/session/1', 'POST /a/second', 'POST /b/whep?token=1', 'POST /first']);
        assert.equal(report.counters.events + report.counters.events_failed, 0);
    }

    await t.test('HTTPS and RTMPS with the CA or without a look, and refused by default; entry points by JSON and by 307; a WHEP server of another make',
        () => Promise.all([https(), rtmps(), entryPoints(), anotherMake()]));

    await t.test('what a line loses is asked for again and comes, and transport-cc tells the server', { skip: !isolated }, async () => {
        const ports = [0, 1].map((worker) => cluster.port('edge', 'rtc') + worker).join(', ');
        await must('nft', [`add table inet lossy; add chain inet lossy input { type filter hook input priority 0; }; `
            + `add rule inet lossy input udp sport { ${ports} } numgen random mod 20 0 drop`]);
        const running = start(['--whep', whep('edge'), '--viewers', '10', '--duration', '4']);
        await playing('edge', 10);
        await until('the paths are known', 10_000, async () => {
            const sessions = await cluster.sessions('edge', 'whep');
            return sessions.filter((s) => s.acked_bps > 0).length === 10 && sessions.some((s) => s.retransmitted > 0);
        });
        const report = await running.report().finally(() => must('nft', ['delete table inet lossy']));
        assertServed(report, 10);
        assert.ok(report.rtp.nacks > 20 && report.rtp.nacks < report.rtp.received / 4, `${report.rtp.nacks} of ${report.rtp.received} asked again`);
        assert.ok(report.rtp.recovered > report.rtp.nacks / 2, `${report.rtp.recovered} of ${report.rtp.nacks} came`);
        const video = report.rtp.lost_after_repair - report.rtp.lost_audio; // sound is not asked for again
        assert.ok(video < report.rtp.recovered / 20, `${video} lost for good`);
        assert.equal(report.rtp.bad, 0);
    });

    await t.test('an edge that drains sends its viewers on, and they go without a break', async () => {
        const running = start(['--whep', whep('edge'), '--viewers', '6', '--duration', '5', ...ca]);
        await playing('edge', 6);
        assert.equal((await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'POST' })).status, 200);
        await playing(TLS, 6);
        const report = await running.report();
        assert.equal((await http(`${cluster.url('edge')}/api/v1/drain`, { method: 'DELETE' })).status, 200);
        assertServed(report, 6);
        assert.equal(report.servers_lost.moved, 6);
        assert.equal(report.servers_lost.move_ms.count, 6);
        assert.equal(report.servers_lost.lost, 0);
        assert.equal(report.rtp.lost_after_repair, 0, JSON.stringify(report.rtp));
    });

    await t.test('an edge that dies is left for another, and all are counted', async () => {
        const entry = `${cluster.url('backbone')}/route/play/live/test`;
        const stays = start(['--whep', whep(TLS), '--viewers', '2', '--duration', '8', ...ca]);
        const comes = start(['--whep', whep('edge'), '--viewers', '3', '--flv', flv('edge'), '--viewers', '1', '--whep', entry, '--viewers', '4',
            '--duration', '8', '--reconnect', ...ca]);
        const goes = start(['--whep', whep('edge'), '--viewers', '2', '--flv', flv('edge'), '--viewers', '1', '--duration', '8', ...ca]);
        await playing('edge', 5);
        await until('FLV plays', 10_000, async () => (await cluster.sessions('edge', 'flv')).filter((s) => s.bytes > 0).length === 2);
        const node = cluster.nodes.get('edge');
        node.expected = true;
        await node.stop('SIGKILL');
        cluster.startNode('edge');
        await cluster.ready('edge');
        assertServed(await stays.report(), 2);
        const came = await comes.report();
        assertServed(came, 8);
        assert.ok(came.servers_lost.lost >= 4, `${came.servers_lost.lost} lost theirs`);
        assert.equal(came.servers_lost.reconnected, came.servers_lost.lost);
        const went = await goes.report();
        assert.equal(went.failures['http: connection reset'] ?? went.failures['http: closed by the server'], 1);
        assert.equal(went.servers_lost.reconnected, 0);
    });
});
