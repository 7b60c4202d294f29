// SPDX-License-Identifier: Apache-2.0
//
// flv.js - an HTTP-FLV player: mpegts.js into a <video>, with the same states and 'media' events as whep.js.
import { Problem } from './api.js';

const SCRIPT = 'node_modules/mpegts.js/dist/mpegts.js';
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 8_000;
const LOOK_MS = 500;
const SILENT_MS = 2_000;
const CONNECT_MS = 12_000; // to the first picture

export class FlvPlayer extends EventTarget {
    state = 'idle';
    media = 'none';
    problem = null;
    retryAt_ms = 0;
    join_ms = 0;
    figures = {};

    #video;
    #player = null;
    #turns = 0; // starts and stops
    #timer = 0;
    #looks = 0; // interval
    #end_s = 0; // of what has come
    #moved_ms = 0;
    #losses = 0;
    #began_ms = 0;

    // endpoint: the URL of the stream; a change counts from the next try on. token: for the Authorization field; '': none.
    constructor({ endpoint, token = '', video }) {
        super();
        this.endpoint = new URL(endpoint, location.href).href;
        this.token = token;
        this.#video = video;
        addEventListener('pagehide', () => this.stop());
    }

    // Plays from another URL, at once.
    async move(endpoint) {
        if (this.state !== 'live') return;
        this.endpoint = endpoint;
        this.#close();
        this.#open();
    }

    async start() {
        const turn = ++this.#turns;
        this.#losses = 0;
        this.#enter('connecting');
        const problem = await loadScript().then(() => null, () => new Problem({
            title: 'HTTP-FLV needs mpegts.js, which this node does not have',
            detail: 'run npm ci in its web folder, or watch by WebRTC',
        }));
        if (turn !== this.#turns) return; // stopped meanwhile
        if (problem) this.#enter('failed', problem);
        else if (globalThis.mpegts.isSupported()) this.#open();
        else this.#enter('failed', new Problem({ title: 'This browser has no Media Source Extensions, which HTTP-FLV needs' }));
    }

    stop() {
        this.#turns++;
        clearTimeout(this.#timer);
        this.#close();
        this.#enter('idle');
    }

    latency_s() {
        const { buffered, currentTime } = this.#video;
        return buffered.length ? buffered.end(buffered.length - 1) - currentTime : undefined;
    }

    #open() {
        const { mpegts } = globalThis;
        this.#enter('connecting');
        this.#began_ms = performance.now();
        this.join_ms = 0;
        const player = mpegts.createPlayer({ type: 'flv', isLive: true, url: this.endpoint }, {
            enableWorker: false,
            enableStashBuffer: false,
            liveSync: true,
            liveSyncMaxLatency: 1.5,
            liveSyncTargetLatency: 0.8,
            autoCleanupSourceBuffer: true,
            headers: this.token ? { Authorization: `Bearer ${this.token}` } : undefined,
        });
        this.#player = player;
        player.on(mpegts.Events.ERROR, (type, detail, info) => this.#lose(info?.code, info?.msg ?? detail));
        player.on(mpegts.Events.LOADING_COMPLETE, () => this.#lose(404, 'the stream ended'));
        player.on(mpegts.Events.STATISTICS_INFO, (info) => (this.figures = info));
        player.attachMediaElement(this.#video);
        player.load();
        player.play()?.catch(() => {}); // a later play() or the end of loading replaces it
        this.#video.requestVideoFrameCallback(() => this.#onPicture(player));
        this.#moved_ms = performance.now();
        this.#looks = setInterval(() => this.#look(), LOOK_MS);
    }

    // Whether anything has come since: a node that hangs leaves its connections open.
    #look() {
        const { buffered } = this.#video;
        const end_s = buffered.length ? buffered.end(buffered.length - 1) : 0;
        const now_ms = performance.now();
        if (end_s !== this.#end_s) this.#moved_ms = now_ms;
        this.#end_s = end_s;
        const still_ms = now_ms - this.#moved_ms;
        if (this.state === 'live') this.#setMedia(still_ms < SILENT_MS ? 'playing' : 'silent');
        else if (still_ms > CONNECT_MS) this.#lose(0, 'no picture came');
    }

    #onPicture(player) {
        if (player !== this.#player) return;
        this.join_ms = performance.now() - this.#began_ms;
        this.#losses = 0;
        this.#enter('live');
        this.#setMedia('playing');
    }

    #setMedia(media) {
        if (media === this.media) return;
        this.media = media;
        this.dispatchEvent(new Event('media'));
    }

    // mpegts.js tells a status, but not the problem's text.
    #lose(status, title) {
        if (!this.#player) return;
        this.#close();
        if ([401, 403].includes(status)) {
            const detail = this.token ? 'The token is not good for this stream.' : 'This stream wants a token.';
            this.#enter('failed', new Problem({ status, title, detail }));
            return;
        }
        const pause_ms = Math.min(PAUSE_MIN_MS * 2 ** this.#losses++, PAUSE_MAX_MS) * (0.75 + Math.random() / 2);
        this.retryAt_ms = performance.now() + pause_ms;
        const code = typeof status === 'number' && status >= 400 ? status : 0;
        this.#enter('waiting', new Problem({ status: code, title }));
        this.#timer = setTimeout(() => this.#open(), pause_ms);
    }

    #close() {
        clearInterval(this.#looks);
        const player = this.#player;
        this.#player = null;
        player?.destroy();
        this.figures = {};
    }

    #enter(state, problem = null) {
        this.state = state;
        this.problem = problem;
        this.media = 'none';
        this.dispatchEvent(new Event('state'));
    }
}

function loadScript() {
    if (globalThis.mpegts) return Promise.resolve();
    return new Promise((resolve, reject) => {
        const script = document.createElement('script');
        Object.assign(script, { src: SCRIPT, onload: resolve, onerror: reject });
        document.head.append(script);
    }).then(() => {
        if (!globalThis.mpegts) throw new Error('not mpegts.js');
        globalThis.mpegts.LoggingControl.enableAll = false;
    });
}
