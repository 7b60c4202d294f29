// SPDX-License-Identifier: Apache-2.0
//
// session.js - what WHIP (RFC 9725) and WHEP clients have in common: one HTTP session with one
// RTCPeerConnection at a time, opened again with growing pauses when it is lost.
//
// Events: 'state', after which .state, .problem and .retryAt_ms say how it stands:
//   idle -> connecting -> live -> (lost) waiting -> connecting ...     stop() leads back to idle
//                     \-> failed: refused, and trying again would not help
import { answerOf, fragmentOf, iceServersOf } from './ice.js';
import { Problem, request } from './api.js';

const DIRECT_MS = 2_000; // for a connection without the servers of the answer's Link field; then with them
const UNWELL_MS = 1_000; // a connection that is disconnected for so long is given new addresses
const CONNECT_MS = 12_000; // from the answer to a connected transport: ICE and DTLS, with their own retransmissions
const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 8_000;

export class Session extends EventTarget {
    state = 'idle';
    problem = null;
    retryAt_ms = 0; // performance.now() of the next try, while waiting
    pc = null;
    opened = 0; // sessions so far
    moving = false; // a second session is being opened that will take the place of the present one

    #wanted = null; // AbortController of the time from start() to stop()
    #resource = null; // {url, etag, links} of the HTTP session
    #iceServers = []; // once told
    #losses = 0; // since media last came
    #onMoved = () => {};

    constructor({ endpoint, token = '' }) {
        super();
        this.endpoint = new URL(endpoint, location.href).href;
        this.token = token;
        addEventListener('pagehide', () => this.stop());
    }

    // ---- for those who extend this ----

    prepare() {} // (pc): add transceivers
    mungeOffer(sdp) {
        return sdp;
    }
    async takeOver() {} // when the session that it moves to can carry media: resolves once it is in use
    retries() { // (problem): whether to try again after it
        return true;
    }

    // ---- for pages ----

    start() {
        if (this.#wanted) return;
        this.#wanted = new AbortController();
        this.#losses = 0;
        this.#run(this.#wanted.signal);
    }

    stop() {
        this.#wanted?.abort();
        this.#wanted = null;
        this.#close();
        this.#enter('idle');
    }

    // The URL that the session's answer gave for a relation (RFC 8288); null: none.
    link(relation) {
        for (const [, target, rest] of this.#resource?.links.matchAll(/<([^>]*)>([^<]*)/g) ?? [])
            if (rest.includes(`rel="${relation}"`)) return new URL(target, this.#resource.url).href;
        return null;
    }

    authorization() {
        return this.token ? { Authorization: `Bearer ${this.token}` } : {};
    }

    // ---- the life of sessions ----

    async #run(signal) {
        while (!signal.aborted) {
            try {
                this.#enter('connecting');
                const { lost } = await this.#open(signal);
                this.#losses = 0;
                this.#enter('live');
                await this.#outlive(lost);
            } catch (error) {
                if (signal.aborted) return;
                this.#close();
                const problem = error instanceof Problem ? error : new Problem({ title: error.message });
                if (!this.retries(problem)) {
                    this.#wanted = null;
                    this.#enter('failed', problem);
                    return;
                }
                await this.#pause(signal, problem);
            }
        }
    }

    // Rejects when the session is lost that media comes by: the first one, or the one that it moved to.
    async #outlive(lost) {
        for (;;) {
            const moved = new Promise((resolve) => (this.#onMoved = resolve));
            ({ lost } = await Promise.race([lost, moved]));
        }
    }

    // Goes over to another endpoint. The present session plays on until the new one has taken over, and for good when that fails.
    async move(endpoint) {
        if (this.state !== 'live' || this.moving) return;
        const signal = this.#wanted.signal;
        const old = { pc: this.pc, resource: this.#resource, endpoint: this.endpoint };
        this.moving = true;
        this.endpoint = endpoint;
        this.#resource = null;
        try {
            const { lost } = await this.#open(signal);
            await this.takeOver();
            this.#onMoved({ lost });
            this.#drop(old);
        } catch (error) {
            if (signal.aborted) {
                this.#drop(old);
                return;
            }
            console.warn(`could not move to ${endpoint}: ${error.message}`);
            this.#close();
            this.pc = old.pc;
            this.#resource = old.resource;
            this.endpoint = old.endpoint;
        } finally {
            this.moving = false;
        }
    }

    // Resolves, when media can flow, to {lost}: a promise that rejects when the session is lost.
    async #open(signal) {
        const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: this.#iceServers });
        this.pc = pc;
        this.prepare(pc);
        const offer = await pc.createOffer();
        await pc.setLocalDescription({ type: 'offer', sdp: this.mungeOffer(offer.sdp) });
        // The nodes are ICE-lite and find us by our own checks, so candidates need not be waited for.
        const response = await request(this.endpoint, {
            method: 'POST',
            headers: { 'Content-Type': 'application/sdp', ...this.authorization() },
            body: pc.localDescription.sdp,
            signal: AbortSignal.any ? AbortSignal.any([signal, AbortSignal.timeout(15_000)]) : signal,
        });
        const location = response.headers.get('Location');
        if (!location) throw new Problem({ title: 'the answer names no session (Location)' });
        this.#resource = { url: new URL(location, response.url).href, etag: response.headers.get('ETag'),
            links: response.headers.get('Link') ?? '' };
        this.opened++;
        const known = this.#iceServers.length > 0;
        this.#iceServers = iceServersOf(this.#resource.links);
        pc.setConfiguration({ ...pc.getConfiguration(), iceServers: this.#iceServers }); // for the next gathering
        await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
        this.#watchOver(pc, !known && this.#iceServers.length > 0);
        return this.#connected(pc, signal);
    }

    // New credentials and addresses, on both sides, for the present connection (RFC 9725 s4.3.3). The old ones hold until
    // the new ones work.
    async restartIce(pc = this.pc) {
        const resource = this.#resource;
        const answer = pc.remoteDescription;
        const offer = await pc.createOffer({ iceRestart: true });
        await pc.setLocalDescription({ type: 'offer', sdp: this.mungeOffer(offer.sdp) });
        const response = await request(resource.url, {
            method: 'PATCH',
            headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*', ...this.authorization() },
            body: fragmentOf(pc.localDescription.sdp),
        });
        resource.etag = response.headers.get('ETag');
        await pc.setRemoteDescription({ type: 'answer', sdp: answerOf(answer.sdp, await response.text()) });
    }

    // A connection that does not come about directly is tried again by the servers that the node named; one that is lost,
    // as when a phone leaves its Wi-Fi, from whatever address there is now.
    #watchOver(pc, relays) {
        let timer = 0;
        const later = (pause_ms) => {
            clearTimeout(timer);
            timer = setTimeout(() => this.restartIce(pc).catch((error) => console.warn(`no ICE restart: ${error.message}`)), pause_ms);
        };
        pc.addEventListener('connectionstatechange', () => {
            if (pc.connectionState !== 'connecting') clearTimeout(timer);
            if (pc === this.pc && pc.connectionState === 'disconnected') later(UNWELL_MS);
        });
        if (relays) later(DIRECT_MS);
    }

    #connected(pc, signal) {
        return new Promise((resolve, reject) => {
            let lose;
            const lost = new Promise((_, rejectLost) => (lose = rejectLost));
            lost.catch(() => {}); // it may be lost before anyone waits
            const timer = setTimeout(() => end('no media connection: is UDP blocked on the way?'), CONNECT_MS);
            const end = (title) => {
                clearTimeout(timer);
                reject(new Problem({ title }));
                lose(new Problem({ title }));
            };
            const look = () => {
                if (pc.connectionState === 'connected') {
                    clearTimeout(timer);
                    resolve({ lost });
                } else if (['failed', 'closed'].includes(pc.connectionState)) {
                    end('the connection was lost');
                }
            };
            pc.addEventListener('connectionstatechange', look);
            signal.addEventListener('abort', () => end('stopped'), { once: true });
            look();
        });
    }

    // The server's Retry-After goes before our own pauses; ours are jittered, so that a crowd spreads.
    async #pause(signal, problem) {
        const own_ms = Math.min(PAUSE_MIN_MS * 2 ** this.#losses++, PAUSE_MAX_MS) * (0.75 + Math.random() / 2);
        const pause_ms = problem.retryAfter_s ? problem.retryAfter_s * 1000 : own_ms;
        this.retryAt_ms = performance.now() + pause_ms;
        this.#enter('waiting', problem);
        await new Promise((resolve) => {
            const timer = setTimeout(resolve, pause_ms);
            signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
        });
    }

    #close() {
        const present = { pc: this.pc, resource: this.#resource };
        this.pc = null;
        this.#resource = null;
        this.#drop(present);
    }

    #drop({ pc, resource }) {
        pc?.close();
        if (!resource) return;
        // keepalive: the request outlives the page. What it is answered changes nothing for us.
        fetch(resource.url, { method: 'DELETE', keepalive: true, headers: this.authorization() }).catch(() => {});
    }

    #enter(state, problem = null) {
        this.state = state;
        this.problem = problem;
        this.dispatchEvent(new Event('state'));
    }
}
