// SPDX-License-Identifier: Apache-2.0
//
// layers.mjs - a WHIP publisher of several layers, which the nodes' own page is not; and how smoothly a page shows them.
import { open } from './browser.mjs';

// In a page of the origin, that has its rights. globalThis.publishing = {pc, video} in it.
export async function publishLayers(browser, cluster, stream, codec, { size, frameRate, sendEncodings }) {
    const page = await open(browser, `${cluster.url('origin')}/`, { permissions: ['camera', 'microphone'] });
    await page.evaluate(async ([endpoint, name, [width, height], rate, encodings]) => {
        const media = await navigator.mediaDevices.getUserMedia({ video: { width, height, frameRate: rate }, audio: true });
        const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
        const video = pc.addTransceiver(media.getVideoTracks()[0], { direction: 'sendonly', streams: [media], sendEncodings: encodings });
        // A busy machine takes pictures away, not their size, which is what is looked for.
        await video.sender.setParameters({ ...video.sender.getParameters(), degradationPreference: 'maintain-resolution' });
        const codecs = RTCRtpSender.getCapabilities('video').codecs;
        const wanted = codecs.filter((c) => c.mimeType === `video/${name}`);
        video.setCodecPreferences([...wanted, ...codecs.filter((c) => c.mimeType === 'video/rtx')]);
        pc.addTransceiver(media.getAudioTracks()[0], { direction: 'sendonly', streams: [media] });
        await pc.setLocalDescription();
        const answer = await fetch(endpoint, { method: 'POST', headers: { 'Content-Type': 'application/sdp' },
            body: pc.localDescription.sdp });
        if (answer.status !== 201) throw new Error(await answer.text());
        await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
        globalThis.publishing = { pc, video };
    }, [`${cluster.url('origin')}/whip/${stream}`, codec, size, frameRate, sendEncodings]);
    await cluster.isLive('origin', stream);
    return page;
}

// The longest time between two pictures on a watch page since the last call, in ms; the first call begins.
export function longestPause(page) {
    return page.evaluate(() => {
        const video = document.querySelector('video');
        const before = globalThis.longest_ms;
        globalThis.longest_ms = 0;
        if (before !== undefined) return Math.round(Math.max(before, performance.now() - globalThis.shown_ms));
        globalThis.shown_ms = performance.now();
        const onPicture = (now) => {
            globalThis.longest_ms = Math.max(globalThis.longest_ms, now - globalThis.shown_ms);
            globalThis.shown_ms = now;
            video.requestVideoFrameCallback(onPicture);
        };
        video.requestVideoFrameCallback(onPicture);
        return 0;
    });
}
