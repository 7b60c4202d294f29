// SPDX-License-Identifier: Apache-2.0
//
// whip.test.mjs - camera to viewer: publish.html (WHIP) through origin, backbone and edge to watch.html (WHEP).
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { close, launch, open, pageState, picturesGrow, publish, screenshot, soundIsHeard, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { probe } from '../lib/media.mjs';
import { until } from '../lib/process.mjs';
import { keyFile, tokenFor } from '../lib/token.mjs';

// In the page, before it loads: RED in front of all other codecs of sound.
function preferRed() {
    const add = RTCPeerConnection.prototype.addTransceiver;
    RTCPeerConnection.prototype.addTransceiver = function (kind, ...rest) {
        const transceiver = add.call(this, kind, ...rest);
        if (kind !== 'audio') return transceiver;
        const { codecs } = RTCRtpReceiver.getCapabilities('audio');
        const isRed = (c) => c.mimeType === 'audio/red';
        transceiver.setCodecPreferences([...codecs.filter(isRed), ...codecs.filter((c) => !isRed(c))]);
        return transceiver;
    };
}

// As a node that sends players elsewhere, to pages of any origin.
async function redirectTo(target) {
    const server = createServer((request, response) => {
        request.resume();
        response.writeHead(request.method === 'OPTIONS' ? 200 : 307, { Location: target, 'Access-Control-Allow-Origin': '*',
            'Access-Control-Allow-Headers': 'Authorization, Content-Type' });
        response.end();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    cluster.add({ stop: () => server.close() });
    return `http://127.0.0.1:${server.address().port}/`;
}

const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {}, 'edge-key': {} }, { start: false });
cluster.writeConfig('edge-key', { auth: { play_key: keyFile(cluster) } });
await cluster.start();

await cluster.use(test, async (t) => {
    const browser = await launch(cluster);

    for (const codec of ['H264', 'VP8', 'VP9', 'AV1']) {
        await t.test(`a camera by ${codec} and Opus is seen and heard`, async () => {
            const publisher = await publish(browser, cluster, `live/${codec}`, { codec });
            const viewer = await watch(browser, cluster, `live/${codec}`);
            const seen = await picturesGrow(viewer);
            const heard = await soundIsHeard(viewer);
            assert.deepEqual(heard.codecs.sort(), ['audio/opus', `video/${codec}`]);
            assert.equal(seen.opened, 1, 'in one session');
            if (codec === 'H264') {
                await screenshot(publisher, 'publish');
                const { streams } = await probe(`${cluster.url('edge')}/live/H264.flv`, { seconds: 2 });
                assert.deepEqual(streams.map((s) => s.codec_name).sort(), ['aac', 'h264'], 'Opus is AAC in FLV');
            }
            await close(viewer);
            await close(publisher);
        });
    }

    await t.test('a viewer who prefers RED hears the sound by RED', async () => {
        const publisher = await publish(browser, cluster, 'live/red', { codec: 'VP8' });
        const viewer = await watch(browser, cluster, 'live/red', { before: (page) => page.addInitScript(preferRed) });
        await picturesGrow(viewer);
        const { audio } = await soundIsHeard(viewer);
        assert.match(await viewer.evaluate(() => globalThis.millrace.player.pc.remoteDescription.sdp),
            /^m=audio 9 UDP\/TLS\/RTP\/SAVPF (\d+) (\d+)\r\n[^]*^a=rtpmap:\1 red\/48000\/2\r\na=fmtp:\1 \2\/\2\r$/m);
        assert.ok(audio.packetsDiscarded > audio.packetsReceived / 2, // of most packets the part that it has already
            JSON.stringify(audio));
        await close(viewer);
        await close(publisher);
    });

    await t.test('a second publisher of a live name is told so, and the first plays on', async () => {
        const first = await publish(browser, cluster, 'live/taken');
        const second = await open(browser, `${cluster.url('origin')}/publish.html?stream=live/taken`,
            { permissions: ['camera', 'microphone'] });
        await second.click('#start');
        await pageState(second, 'failed');
        assert.match(await second.innerText('#notice'), /publish.*Choose another name/is);
        await screenshot(second, 'publish-refused');
        const viewer = await watch(browser, cluster, 'live/taken');
        await picturesGrow(viewer);
        await Promise.all([first, second, viewer].map(close));
    });

    await t.test('where tokens are wanted, a page plays with one only, after a redirect too', async () => {
        const stream = 'live/token';
        const publisher = await publish(browser, cluster, stream, { codec: 'H264' });
        const page = `${cluster.url('edge-key')}/watch.html?stream=${stream}`;
        const token = tokenFor('play', stream);
        const endpoint = encodeURIComponent(await redirectTo(`${cluster.url('edge-key')}/whep/${stream}`));
        const [none, noneByFlv, sent, byFlv] = await Promise.all(['', '&via=flv', `&endpoint=${endpoint}&token=${token}`,
            `&via=flv#token=${token}`].map((query) => open(browser, page + query)));
        for (const refused of [none, noneByFlv]) {
            await pageState(refused, 'failed');
            assert.match(await refused.innerText('#message'), /token/);
            await refused.evaluate((hash) => (location.hash = hash), `#token=${token}`); // put there later, it counts at once
            await pageState(refused, 'live');
        }
        await pageState(byFlv, 'live');
        await picturesGrow(sent);
        await until('an event', 5_000, () => sent.evaluate(() => globalThis.millrace.player.viewers >= 1));
        await Promise.all([publisher, none, noneByFlv, sent, byFlv].map(close));
    });

    await t.test('a viewer of a name that nobody publishes waits, and plays when somebody does', async () => {
        const viewer = await watch(browser, cluster, 'live/later');
        await pageState(viewer, 'waiting');
        assert.match(await viewer.innerText('#message'), /Nobody publishes live\/later/);
        await screenshot(viewer, 'watch-waiting');
        const publisher = await publish(browser, cluster, 'live/later', { codec: 'VP8' });
        await picturesGrow(viewer);
        await close(publisher);
        await close(viewer);
    });
});
