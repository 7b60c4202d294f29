// SPDX-License-Identifier: Apache-2.0
//
// whip.js - a WHIP publisher (RFC 9725): a MediaStream to an origin.
import { Session } from './session.js';

export class WhipPublisher extends Session {
    #media;
    #codec;
    #bitrate_bps;
    #wasLive = false;
    #data;
    #chat = null; // RTCDataChannel

    // codec: 'H264', 'VP8', 'VP9', 'AV1' or '' for the browser's own order. bitrate_bps: of the video, at most.
    // data: a data channel "chat" goes along, see say().
    constructor({ endpoint, token, media, codec = '', bitrate_bps = 2_500_000, data = false }) {
        super({ endpoint, token });
        this.#media = media;
        this.#codec = codec;
        this.#bitrate_bps = bitrate_bps;
        this.#data = data;
        this.addEventListener('state', () => (this.#wasLive ||= this.state === 'live'));
    }

    prepare(pc) {
        this.#chat = this.#data ? pc.createDataChannel('chat') : null;
        for (const track of this.#media.getTracks()) {
            const video = track.kind === 'video';
            const transceiver = pc.addTransceiver(track, {
                direction: 'sendonly',
                streams: [this.#media],
                sendEncodings: video ? [{ maxBitrate: this.#bitrate_bps }] : [{}],
            });
            if (video && this.#codec) transceiver.setCodecPreferences(codecsFor(this.#codec));
        }
    }

    // Sends a message (a string, or bytes) to all viewers. False: there is no channel, or not yet.
    say(message) {
        if (this.#chat?.readyState !== 'open') return false;
        this.#chat.send(message);
        return true;
    }

    // Without stereo=1 in both descriptions a browser makes one channel of two.
    mungeOffer(sdp) {
        return sdp.replace(/(a=fmtp:\d+ minptime=10;useinbandfec=1)(?!;stereo)/g, '$1;stereo=1');
    }

    // A name that another publisher has, or a refused offer, is for the user to change. Once live, the
    // conflict may be with our own session that the origin has not given up yet.
    retries(problem) {
        if (problem.status === 503) return true;
        return this.#wasLive && [0, 409].includes(problem.status);
    }
}

// The codecs of that name, and those that repair them.
export function codecsFor(name) {
    const all = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
    const helpers = /\/(rtx|red|ulpfec|flexfec-03)$/i;
    const chosen = all.filter((codec) => codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`);
    // Packetization mode 1 fragments large frames; mode 0 cannot carry them.
    chosen.sort((a, b) => mode1(b) - mode1(a));
    return [...chosen, ...all.filter((codec) => helpers.test(codec.mimeType))];
}

function mode1(codec) {
    return /packetization-mode=1/.test(codec.sdpFmtpLine ?? '') ? 1 : 0;
}

// The names that this browser can send.
export function sendableCodecs() {
    const all = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
    return ['H264', 'VP8', 'VP9', 'AV1'].filter((name) =>
        all.some((codec) => codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`));
}
