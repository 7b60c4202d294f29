// SPDX-License-Identifier: Apache-2.0
//
// session.js - what WHIP (RFC 9725) and WHEP clients have in common: one HTTP session with one
// RTCPeerConnection at a time, opened again with growing pauses when it is lost.
//
// Events: 'state', after which .state, .problem and .retryAt_ms say how it stands:
//   idle -> connecting -> live -> (lost) waiting -> connecting ...     stop() leads back to idle
//                     \-> failed: refused, and trying again would not help
// and 'moved', when move() has led to another endpoint.
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
    opened = 0; // sessions so far
    moving = false; // a second session is being opened that will take the place of the present one

    #wanted = null; // AbortController of the time from start() to stop()
    #present = null; // the session that media comes by, see #begin
    #move = null; // a promise of its end, while moving
    #iceServers = []; // once told
    #losses = 0; // since media last came

    constructor({ endpoint, token = '' }) {
        super();
        this.endpoint = new URL(endpoint, location.href).href;
        this.token = token;
        addEventListener('pagehide', () => this.stop());
    }

    // The present session's; that of one it moves to only when that has taken over.
    get pc() {
        return this.#present?.pc ?? null;
    }

    // ---- for those who extend this ----

    prepare() {} // (pc, moving): add transceivers; moving: for a session that may take over
    mungeOffer(sdp) {
        return sdp;
    }
    async takeOver() {} // (session): when the one that it moves to can carry media; resolves once it is in use
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

    // The URL that a session's answer gave for a relation (RFC 8288); null: none.
    link(relation, session = this.#present) {
        for (const [, target, rest] of session?.links.matchAll(/<([^>]*)>([^<]*)/g) ?? [])
            if (rest.includes(`rel="${relation}"`)) return new URL(target, session.url).href;
        return null;
    }

    authorization() {
        return this.token ? { Authorization: `Bearer ${this.token}` } : {};
    }

    // ---- the life of sessions ----

    async #run(signal) {
        while (!signal.aborted) {
            this.#enter('connecting');
            const session = this.#begin(this.endpoint);
            this.#present = session;
            try {
                await this.#open(session, signal);
                this.#losses = 0;
                this.#enter('live');
                await this.#outlive(signal);
            } catch (error) {
                this.#drop(session);
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

    // Rejects when the present session is lost: the first one, or one that it moved to.
    async #outlive(signal) {
        for (;;) {
            const session = this.#present;
            try {
                await session.lost;
            } catch (problem) {
                await this.#move; // one that is under way may lead out of it
                if (signal.aborted || this.#present === session) throw problem;
            }
        }
    }

    // Goes over to another endpoint. The present session plays on until the new one has taken over, and for good when that fails.
    move(endpoint) {
        if (this.state !== 'live' || this.moving) return this.#move;
        this.moving = true;
        this.#move = this.#moveTo(endpoint, this.#wanted.signal).finally(() => {
            this.moving = false;
            this.#move = null;
        });
        return this.#move;
    }

    async #moveTo(endpoint, signal) {
        const old = this.#present;
        const next = this.#begin(endpoint);
        try {
            await this.#open(next, signal);
            await Promise.race([this.takeOver(next), next.lost]);
        } catch (error) {
            this.#drop(next);
            if (!signal.aborted) console.warn(`could not move to ${endpoint}: ${error.message}`);
            return;
        }
        this.#present = next;
        this.endpoint = endpoint;
        this.#drop(old);
        old.lose(new Problem({ title: 'moved' }));
        this.dispatchEvent(new Event('moved'));
    }

    // A session: its connection, what its HTTP answer said, and a promise that rejects when it is lost, as lose(problem) makes it.
    #begin(endpoint) {
        const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: this.#iceServers });
        const session = { pc, endpoint, url: '', etag: null, links: '' };
        session.lost = new Promise((_, reject) => (session.lose = reject));
        session.lost.catch(() => {}); // it may be lost before anyone waits
        return session;
    }

    // Resolves when media can flow.
    async #open(session, signal) {
        const { pc } = session;
        this.prepare(pc, session !== this.#present);
        const offer = await pc.createOffer();
        await pc.setLocalDescription({ type: 'offer', sdp: this.mungeOffer(offer.sdp) });
        // The nodes are ICE-lite and find us by our own checks, so candidates need not be waited for.
        const response = await this.#post(session.endpoint, pc.localDescription.sdp, signal);
        const location = response.headers.get('Location');
        if (!location) throw new Problem({ title: 'the answer names no session (Location)' });
        Object.assign(session, { url: new URL(location, response.url).href, etag: response.headers.get('ETag'),
            links: response.headers.get('Link') ?? '' });
        this.opened++;
        const known = this.#iceServers.length > 0;
        this.#iceServers = iceServersOf(session.links);
        pc.setConfiguration({ ...pc.getConfiguration(), iceServers: this.#iceServers }); // for the next gathering
        await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
        this.#watchOver(session, !known && this.#iceServers.length > 0);
        await this.#connected(session, signal);
    }

    // A browser that is redirected to another node leaves the Authorization field behind: asked for it there, we ask again there.
    async #post(endpoint, sdp, signal) {
        const options = {
            method: 'POST',
            headers: { 'Content-Type': 'application/sdp', ...this.authorization() },
            body: sdp,
            signal: AbortSignal.any ? AbortSignal.any([signal, AbortSignal.timeout(15_000)]) : signal,
        };
        try {
            return await request(endpoint, options);
        } catch (problem) {
            if (problem.status !== 401 || !this.token || new URL(problem.url).origin === new URL(endpoint).origin) throw problem;
            return request(problem.url, options);
        }
    }

    // New credentials and addresses, on both sides, for the present connection (RFC 9725 s4.3.3). The old ones hold until
    // the new ones work.
    async restartIce(session = this.#present) {
        const { pc } = session;
        const answer = pc.remoteDescription;
        const offer = await pc.createOffer({ iceRestart: true });
        await pc.setLocalDescription({ type: 'offer', sdp: this.mungeOffer(offer.sdp) });
        const response = await request(session.url, {
            method: 'PATCH',
            headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*', ...this.authorization() },
            body: fragmentOf(pc.localDescription.sdp),
        });
        session.etag = response.headers.get('ETag');
        await pc.setRemoteDescription({ type: 'answer', sdp: answerOf(answer.sdp, await response.text()) });
    }

    // A connection that does not come about directly is tried again by the servers that the node named; one that is lost,
    // as when a phone leaves its Wi-Fi, from whatever address there is now.
    #watchOver(session, relays) {
        const { pc } = session;
        let timer = 0;
        const later = (pause_ms) => {
            clearTimeout(timer);
            timer = setTimeout(() => this.restartIce(session).catch((error) => console.warn(`no ICE restart: ${error.message}`)), pause_ms);
        };
        pc.addEventListener('connectionstatechange', () => {
            if (pc.connectionState !== 'connecting') clearTimeout(timer);
            if (session === this.#present && pc.connectionState === 'disconnected') later(UNWELL_MS);
        });
        if (relays) later(DIRECT_MS);
    }

    #connected({ pc, lose }, signal) {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => end('no media connection: is UDP blocked on the way?'), CONNECT_MS);
            const end = (title) => {
                clearTimeout(timer);
                reject(new Problem({ title }));
                lose(new Problem({ title }));
            };
            const look = () => {
                if (pc.connectionState === 'connected') {
                    clearTimeout(timer);
                    resolve();
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
        this.#drop(this.#present);
        this.#present = null;
    }

    #drop(session) {
        session?.pc.close();
        if (!session?.url) return;
        // keepalive: the request outlives the page. What it is answered changes nothing for us.
        fetch(session.url, { method: 'DELETE', keepalive: true, headers: this.authorization() }).catch(() => {});
        session.url = '';
    }

    #enter(state, problem = null) {
        this.state = state;
        this.problem = problem;
        this.dispatchEvent(new Event('state'));
    }
}
