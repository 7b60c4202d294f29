// SPDX-License-Identifier: Apache-2.0
//
// server.mjs - mediasoup, which is a library, as a WHEP server of one stream: RTP comes in on two ports of 127.0.0.1, viewers POST offers.
// --workers as many workers, of a thread each; the first takes the stream and pipes it to the others, viewers go round.
// Says {"pids": [...]} when it is ready. Payload types and header extensions of an answer are mediasoup's own numbers, not the offer's:
// it chooses them a router, not a viewer.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import * as mediasoup from 'mediasoup';

const { values: cfg } = parseArgs({ options: Object.fromEntries(
    ['http', 'rtc', 'video', 'audio', 'workers'].map((name) => [name, { type: 'string' }])) });
const IP = '127.0.0.1';
const LISTEN = { protocol: 'udp', ip: IP, recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 }; // as far as the system lets it
const BPS = 10_000_000; // as viewers here have: no probing for what they may be sent
const mediaCodecs = [
    { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2, preferredPayloadType: 111 },
    { kind: 'video', mimeType: 'video/H264', clockRate: 90000, preferredPayloadType: 102,
        parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 } },
];
const sources = [
    { port: Number(cfg.audio), kind: 'audio', ssrc: 1001, codec: { mimeType: 'audio/opus', clockRate: 48000, channels: 2, payloadType: 111 } },
    { port: Number(cfg.video), kind: 'video', ssrc: 1002, codec: { ...mediaCodecs[1], preferredPayloadType: undefined, kind: undefined, payloadType: 102 } },
];

// ---- Workers, and the stream in each ----

async function worker(port) {
    const w = await mediasoup.createWorker({ logLevel: 'warn', disableLiburing: true });
    w.on('died', (error) => { console.error(error.message); process.exit(1); });
    return { pid: w.pid, router: await w.createRouter({ mediaCodecs }), rtc: await w.createWebRtcServer({ listenInfos: [{ ...LISTEN, port }] }) };
}

async function ingest(router, { port, kind, ssrc, codec }) {
    const transport = await router.createPlainTransport({ listenInfo: { ...LISTEN, port }, rtcpMux: false,
        rtcpListenInfo: { ...LISTEN, port: port + 1 }, comedia: true });
    return transport.produce({ kind, rtpParameters: { codecs: [codec], encodings: [{ ssrc }] } });
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0)); // mediasoup would only close its workers

const workers = [];
for (let i = 0; i < Number(cfg.workers); i++) workers.push(await worker(Number(cfg.rtc) + i));
const producers = [];
for (const source of sources) {
    const producer = await ingest(workers[0].router, source);
    for (const { router } of workers.slice(1)) await workers[0].router.pipeToRouter({ producerId: producer.id, router, listenInfo: LISTEN });
    producers.push(producer);
}

// ---- SDP (RFC 8866, RFC 8829) ----

const all = (text, pattern) => [...text.matchAll(pattern)];
const one = (text, pattern) => text.match(pattern)?.[1];

// Of what mediasoup can send, that which the offer's section takes.
function capabilities(router, sections) {
    const offered = (kind) => sections.find((s) => s.kind === kind)?.text ?? '';
    return {
        codecs: router.rtpCapabilities.codecs.filter((c) => offered(c.kind).includes(` ${c.mimeType.split('/')[1]}/${c.clockRate}`)).map((c) => ({
            ...c, rtcpFeedback: c.rtcpFeedback.filter((fb) => new RegExp(`^a=rtcp-fb:\\d+ ${fb.type}${fb.parameter ? ` ${fb.parameter}` : ''}\r?$`, 'm').test(offered(c.kind))) })),
        headerExtensions: router.rtpCapabilities.headerExtensions.filter((e) => offered(e.kind).includes(` ${e.uri}`)),
    };
}

function section(transport, { kind, mid, consumer }) {
    const { iceParameters: ice, iceCandidates, dtlsParameters: dtls } = transport;
    const common = ['c=IN IP4 0.0.0.0', `a=mid:${mid}`, `a=ice-ufrag:${ice.usernameFragment}`, `a=ice-pwd:${ice.password}`, 'a=setup:passive',
        ...dtls.fingerprints.filter((f) => f.algorithm === 'sha-256').map((f) => `a=fingerprint:${f.algorithm} ${f.value}`)];
    if (!consumer) return [`m=${kind} 0 UDP/TLS/RTP/SAVPF 0`, ...common, 'a=inactive'];
    const { codecs, headerExtensions, encodings: [{ ssrc, rtx }], rtcp } = consumer.rtpParameters;
    return [`m=${kind} 9 UDP/TLS/RTP/SAVPF ${codecs.map((c) => c.payloadType).join(' ')}`, ...common,
        ...codecs.flatMap((c) => [
            `a=rtpmap:${c.payloadType} ${c.mimeType.split('/')[1]}/${c.clockRate}${c.channels > 1 ? `/${c.channels}` : ''}`,
            ...c.rtcpFeedback.map((fb) => `a=rtcp-fb:${c.payloadType} ${fb.type}${fb.parameter ? ` ${fb.parameter}` : ''}`),
            ...(Object.keys(c.parameters).length ? [`a=fmtp:${c.payloadType} ${Object.entries(c.parameters).map(([k, v]) => `${k}=${v}`).join(';')}`] : [])]),
        ...headerExtensions.map((e) => `a=extmap:${e.id} ${e.uri}`),
        ...(rtx ? [`a=ssrc-group:FID ${ssrc} ${rtx.ssrc}`, `a=ssrc:${rtx.ssrc} cname:${rtcp.cname}`] : []), `a=ssrc:${ssrc} cname:${rtcp.cname}`,
        'a=msid:bench bench', 'a=sendonly', 'a=rtcp-mux', 'a=rtcp-rsize',
        ...iceCandidates.map((c) => `a=candidate:${c.foundation} 1 ${c.protocol} ${c.priority} ${c.address} ${c.port} typ ${c.type}`), 'a=end-of-candidates'];
}

// ---- WHEP ----

const sessions = new Map();
let turn = 0;

async function watch(offer) {
    const { router, rtc } = workers[turn++ % workers.length];
    const sections = offer.split(/^(?=m=)/m).slice(1).map((text) => ({ text, kind: one(text, /^m=(\w+)/), mid: one(text, /^a=mid:(\S+)/m) }));
    const transport = await router.createWebRtcTransport({ webRtcServer: rtc, enableTcp: false, initialAvailableOutgoingBitrate: BPS });
    const fingerprints = all(offer, /^a=fingerprint:(\S+) (\S+)/gm).slice(0, 1).map(([, algorithm, value]) => ({ algorithm: algorithm.toLowerCase(), value }));
    await transport.connect({ dtlsParameters: { role: 'client', fingerprints } });
    const rtpCapabilities = capabilities(router, sections);
    for (const { id, kind } of producers) {
        const s = sections.find((wanted) => wanted.kind === kind);
        if (s) s.consumer = await transport.consume({ producerId: id, rtpCapabilities, mid: s.mid });
    }
    sessions.set(transport.id, transport);
    transport.observer.once('close', () => sessions.delete(transport.id));
    transport.on('dtlsstatechange', (state) => state === 'closed' && transport.close());
    return { id: transport.id, answer: ['v=0', 'o=- 1 1 IN IP4 0.0.0.0', 's=-', 't=0 0', 'a=ice-lite', `a=group:BUNDLE ${sections.map((s) => s.mid).join(' ')}`,
        ...sections.flatMap((s) => section(transport, s)), ''].join('\r\n') };
}

createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    try {
        if (request.method === 'DELETE') {
            sessions.get(request.url.split('/').at(-1))?.close();
            return response.writeHead(200).end();
        }
        const { id, answer } = await watch(body);
        return response.writeHead(201, { 'Content-Type': 'application/sdp', Location: `/session/${id}` }).end(answer);
    } catch (error) {
        console.error(error);
        return response.writeHead(500, { 'Content-Type': 'text/plain' }).end(error.message);
    }
}).listen(Number(cfg.http), IP, () => console.log(JSON.stringify({ pids: workers.map((w) => w.pid) })));
