// SPDX-License-Identifier: Apache-2.0
//
// whep.js - a WHEP player (IETF draft-ietf-wish-whep): a stream of an edge into a <video>.
//
// Besides the session's own states it tells when nothing comes on a live session: 'media' events, after
// which .media is 'none' (nothing came yet), 'playing' or 'silent' (the publisher is away, or the network is).
// With data: 'message' events, whose .detail is {label, data}: what the publisher says on its data channels.
import { getJson, nodeUrl, request } from './api.js';
import { Session } from './session.js';

const LAYER = 'urn:ietf:params:whep:ext:core:layer';
const LOOK_MS = 500;
const SILENT_MS = 2_000;
const FIRST_PICTURE_MS = 8_000;
const EVENTS = 'urn:ietf:params:whep:ext:core:server-sent-events';

export class WhepPlayer extends Session {
    media = 'none';
    viewers = undefined; // of the stream, wherever they watch; undefined: not known
    join_ms = 0; // from start() or the last loss to the first picture

    #video;
    #data;
    #stream = new MediaStream(); // of the newest connection
    #looks = 0; // interval
    #bytes = 0;
    #moved_ms = 0;
    #began_ms = 0;
    #events = null; // EventSource
    #wish = ''; // the layer that was chosen, as chooseLayer takes it; sessions that follow are asked for it, too

    constructor({ endpoint, token, video, data = false }) {
        super({ endpoint, token });
        this.#video = video;
        this.#data = data;
        this.addEventListener('state', () => this.#onState());
        this.addEventListener('moved', () => this.#onMoved());
    }

    prepare(pc, moving) {
        this.#stream = new MediaStream();
        offerDescriptor(pc.addTransceiver('video', { direction: 'recvonly' }));
        pc.addTransceiver('audio', { direction: 'recvonly' });
        pc.addEventListener('track', ({ track }) => this.#stream.addTrack(track));
        if (this.#data) { // the edge opens what the publisher has; without one of ours there were none in the offer
            this.#hear(pc, pc.createDataChannel('chat'));
            pc.addEventListener('datachannel', ({ channel }) => this.#hear(pc, channel));
        }
        if (moving) return; // takeOver() shows it
        this.#video.srcObject = this.#stream;
        this.#video.requestVideoFrameCallback?.(() => {
            this.join_ms = performance.now() - this.#began_ms;
        });
    }

    // Of a session that is to take over nothing is heard yet: the present one says the same.
    #hear(pc, channel) {
        channel.binaryType = 'arraybuffer';
        channel.addEventListener('message', ({ data }) => {
            if (pc !== this.pc) return;
            this.dispatchEvent(new CustomEvent('message', { detail: { label: channel.label, data } }));
        });
    }

    // The new session's first picture is waited for out of sight, so that the present one stays until then.
    async takeOver(session) {
        const wish = this.#wish;
        await this.#chooseAgain(session);
        const hidden = document.createElement('video');
        hidden.muted = true;
        hidden.srcObject = this.#stream;
        try {
            await Promise.all([hidden.play(), new Promise((resolve, reject) => {
                setTimeout(() => reject(new Error('no picture came')), FIRST_PICTURE_MS);
                if (hidden.requestVideoFrameCallback) hidden.requestVideoFrameCallback(resolve);
                else hidden.addEventListener('timeupdate', resolve, { once: true });
            })]);
            this.#video.srcObject = this.#stream;
        } finally {
            hidden.srcObject = null;
        }
        if (this.#wish !== wish) await this.#chooseAgain(session);
    }

    // What was known is of the session before: this one's picture is there.
    #onMoved() {
        this.#listen();
        this.#bytes = 0;
        this.#moved_ms = performance.now();
        this.#setMedia('playing');
    }

    // What the edge has to say while it plays (draft-ietf-wish-whep, server-sent events): where to go when it drains, how many
    // watch.
    async #listen() {
        this.#events?.close();
        this.#events = null;
        const offered = this.link(EVENTS);
        if (!offered) return;
        try {
            const response = await request(offered, { method: 'POST', body: '["reconnect", "viewercount"]',
                headers: { 'Content-Type': 'application/json', ...this.authorization() } });
            if (this.state !== 'live') return;
            const url = new URL(response.headers.get('Location'), offered);
            if (this.token) url.searchParams.set('token', this.token); // an EventSource cannot send a field
            const events = new EventSource(url);
            this.#events = events;
            events.addEventListener('viewercount', ({ data }) => {
                this.viewers = JSON.parse(data).viewercount;
            });
            events.addEventListener('reconnect', ({ data }) => this.move(this.#reachable(JSON.parse(data).url)));
        } catch (error) {
            console.warn(`no events of this session: ${error.message}`); // it plays without
        }
    }

    #reachable(url) {
        return nodeUrl(url) + new URL(url).pathname;
    }

    // Without stereo=1 a browser makes one channel of an Opus track's two.
    mungeOffer(sdp) {
        return sdp.replace(/(a=fmtp:\d+ minptime=10;useinbandfec=1)(?!;stereo)/g, '$1;stereo=1');
    }

    // Streams come and nodes recover; only what is wrong with our own request stays wrong.
    retries(problem) {
        return ![400, 401, 403, 406, 415, 422].includes(problem.status);
    }

    // What the stream comes in, from the least up: {layers: [{encodingId, width, height, bitrate}], active, chosen}, or with
    // {spatialLayerId, temporalLayerId} for encodingId. None when there is one only, or the server cannot tell.
    async layers() {
        return this.#layerRequest({});
    }

    // Choose one of them, or by its encodingId; '' leaves it to the server again. Holds until another is chosen, in sessions that follow too.
    async chooseLayer(layer) {
        const known = await this.#choose(layer);
        this.#wish = layer;
        return known;
    }

    // In a session; in the present one when none is given.
    #choose(layer, session) {
        const mediaId = (session ?? this).pc?.getTransceivers().find((t) => t.receiver.track.kind === 'video')?.mid;
        const { encodingId = null, spatialLayerId, temporalLayerId } = typeof layer === 'string' ? { encodingId: layer || null } : layer;
        return this.#layerRequest({
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ mediaId, encodingId, maxSpatialLayerId: spatialLayerId, maxTemporalLayerId: temporalLayerId }),
        }, session);
    }

    // As in the session before. A server that has no such layer chooses by itself.
    async #chooseAgain(session) {
        if (!this.#wish) return;
        await this.#choose(this.#wish, session).catch((error) => console.warn(`the quality is the server's choice: ${error.message}`));
    }

    async #layerRequest({ headers, ...options }, session) {
        const url = this.link(LAYER, session);
        const none = { layers: [], chosen: null };
        if (!url) return none;
        const known = await getJson(url, { ...options, headers: { ...headers, ...this.authorization() } });
        return Object.values(known)[0] ?? none;
    }

    #onState() {
        clearInterval(this.#looks);
        this.#events?.close();
        this.#events = null;
        this.viewers = undefined;
        if (this.state === 'connecting') {
            this.#began_ms = performance.now();
            this.join_ms = 0;
        }
        if (this.state === 'live') {
            this.#chooseAgain();
            this.#listen();
            this.#bytes = 0;
            this.#moved_ms = performance.now();
            this.#looks = setInterval(() => this.#look(), LOOK_MS);
        }
        this.#setMedia('none');
    }

    async #look() {
        const pc = this.pc;
        let bytes = 0;

        for (const report of (await pc?.getStats())?.values() ?? [])
            if (report.type === 'inbound-rtp') bytes += report.bytesReceived;
        if (pc !== this.pc || this.state !== 'live') return;
        const now_ms = performance.now();
        if (bytes !== this.#bytes) this.#moved_ms = now_ms;
        this.#bytes = bytes;
        if (now_ms - this.#moved_ms < SILENT_MS) this.#setMedia(bytes > 0 ? 'playing' : 'none');
        else this.#setMedia('silent');
    }

    #setMedia(media) {
        if (media === this.media) return;
        this.media = media;
        this.dispatchEvent(new Event('media'));
    }
}

// Chromium does not offer the dependency descriptor unless told to; AV1's spatial layers are not told apart without it.
function offerDescriptor(transceiver) {
    const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
    const descriptor = extensions.find(({ uri }) => uri.includes('dependency-descriptor'));
    if (!descriptor) return;
    descriptor.direction = 'sendrecv';
    transceiver.setHeaderExtensionsToNegotiate(extensions);
}
