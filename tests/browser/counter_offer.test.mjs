// SPDX-License-Identifier: Apache-2.0
//
// counter_offer.test.mjs - a WHEP player without an offer of its own: the edge offers (406), the player answers by PATCH.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, open } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { http } from '../lib/http.mjs';
import { publishLive } from '../lib/media.mjs';
import { until } from '../lib/process.mjs';

const STREAM = 'live/test';
const SDP = { 'Content-Type': 'application/sdp' };

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} });
const endpoint = `${cluster.url('edge')}/whep/${STREAM}`;

function offered(body) {
    return http(endpoint, { method: 'POST', body, headers: body ? SDP : { Accept: 'application/sdp' } });
}

await cluster.use(test, async (t) => {
    publishLive(cluster, cluster.rtmp(STREAM));
    await cluster.isLive('origin', STREAM);
    const browser = await launch(cluster);

    for (const [how, preferred, played] of [['as it comes', '', 'opus'], ['with RED in front', 'audio/red', 'red']]) {
        await t.test(`the edge's own offer is answered by a browser ${how}, and plays`, async () => {
            const page = await open(browser, `${cluster.url('edge')}/`);
            const status = await page.evaluate(async ([url, mimeType]) => {
                const response = await fetch(url, { method: 'POST', headers: { Accept: 'application/sdp' } });
                const pc = (globalThis.pc = new RTCPeerConnection());
                await pc.setRemoteDescription({ type: 'offer', sdp: await response.text() });
                const { codecs } = RTCRtpReceiver.getCapabilities('audio');
                const rank = (codec) => (codec.mimeType === mimeType ? 0 : 1);
                if (mimeType) pc.getTransceivers()[0].setCodecPreferences(codecs.sort((a, b) => rank(a) - rank(b)));
                await pc.setLocalDescription(await pc.createAnswer());
                const session = (globalThis.session = new URL(response.headers.get('Location'), url).href);
                const patched = await fetch(session, { method: 'PATCH', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
                return [response.status, response.headers.get('Content-Type'), patched.status, await patched.text()];
            }, [endpoint, preferred]);
            assert.deepEqual(status, [406, 'application/sdp', 204, '']);
            const inbound = () => page.evaluate(async () => Object.fromEntries([...(await globalThis.pc.getStats()).values()]
                .filter((r) => r.type === 'inbound-rtp').map((r) => [r.kind, r])));
            const { audio } = await until('pictures and sound', 15_000, async () => {
                const now = await inbound();
                return now.video?.framesDecoded > 30 && now.audio?.packetsReceived > 30 && now;
            });
            assert.match(await page.evaluate(() => globalThis.pc.localDescription.sdp),
                new RegExp(`^m=audio 9 UDP/TLS/RTP/SAVPF (\\d+) [^]*^a=rtpmap:\\1 ${played}/48000/2\r$`, 'm'));
            // Of RED's packets most have a part that was here already.
            assert.equal(audio.packetsDiscarded > audio.packetsReceived / 2, played === 'red', JSON.stringify(audio));
            await until('data channels can be opened', 5_000, () => page.evaluate(() => globalThis.pc.sctp.state === 'connected'));
            assert.equal((await cluster.sessions('edge', 'whep')).length, 1);
            assert.equal(await page.evaluate(async () => (await fetch(globalThis.session, { method: 'DELETE' })).status), 200);
            assert.equal((await cluster.sessions('edge', 'whep')).length, 0);
            await close(page);
        });
    }

    await t.test('an offer without a codec of ours gets one in return; an answer that does not fit is refused, and another may follow', async () => {
        const offer = await offered();
        assert.equal(offer.status, 406);
        const foreign = offer.text.replace(/^a=rtpmap:(\d+) .*\/90000/gm, 'a=rtpmap:$1 FOREIGN/90000').replace(/opus/gi, 'foreign')
            .replace(/^a=sendonly/gm, 'a=recvonly').replace(/^a=(fmtp|rtcp-fb|ssrc).*\r\n/gm, '');
        const counter = await offered(foreign);
        assert.equal(counter.status, 406);
        assert.match(counter.text, /^a=setup:actpass\r$/m);
        assert.match(counter.text, /^a=sendonly\r$/m);
        assert.match(counter.text, /^a=rtpmap:\d+ H264\/90000\r$/m);
        const session = new URL(counter.headers.get('location'), endpoint).href;
        const patch = (body, type = SDP['Content-Type']) => http(session, { method: 'PATCH', body, headers: { 'Content-Type': type } });
        const answer = counter.text.replace(/^a=sendonly/gm, 'a=recvonly').replace(/^a=setup:actpass/gm, 'a=setup:active');
        assert.equal((await patch('nonsense')).status, 400);
        assert.equal((await patch(counter.text)).status, 400, 'an answer decides its setup');
        assert.equal((await patch(answer.replace(/H264\/90000/g, 'VP8/90000'))).status, 422, 'not what is played');
        assert.equal((await patch(answer, 'text/plain')).status, 415);
        assert.equal((await patch(answer)).status, 204);
        assert.equal((await patch(answer)).status, 415, 'answered already: only fragments now');
        assert.equal((await http(session, { method: 'DELETE' })).status, 200);
    });

    await t.test('of a stream that nobody publishes there is no offer', async () => {
        const refused = await http(`${cluster.url('edge')}/whep/live/nobody`, { method: 'POST' });
        assert.equal(refused.status, 409);
        assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    });
});
