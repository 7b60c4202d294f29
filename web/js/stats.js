// SPDX-License-Identifier: Apache-2.0
//
// stats.js - getStats() of a connection as a few figures, rates over the time since the last look.

export class Stats {
    #pc = null;
    #last = null;

    // Figures of what pc receives or, when it sends, of what it sends; a figure that is not known is undefined.
    async sample(pc) {
        if (pc !== this.#pc) this.#last = null;
        this.#pc = pc;
        if (!pc) return {};
        const reports = [...(await pc.getStats()).values()];
        const sums = sumUp(reports);
        const last = this.#last;
        this.#last = sums;
        return { ...sums.figures, ...(last ? rates(sums, last) : {}) };
    }
}

function find(reports, type, kind) {
    return reports.find((r) => r.type === type && (!kind || r.kind === kind));
}

function sumUp(reports) {
    const video = find(reports, 'inbound-rtp', 'video') ?? find(reports, 'outbound-rtp', 'video') ?? {};
    const audio = find(reports, 'inbound-rtp', 'audio') ?? find(reports, 'outbound-rtp', 'audio') ?? {};
    const remote = find(reports, 'remote-inbound-rtp', 'video') ?? find(reports, 'remote-inbound-rtp') ?? {};
    const pair = reports.find((r) => r.type === 'candidate-pair' && r.nominated && r.state === 'succeeded') ?? {};
    const codecOf = (rtp) => reports.find((r) => r.id === rtp.codecId)?.mimeType.split('/')[1].replace('opus', 'Opus');

    return {
        time_ms: video.timestamp ?? audio.timestamp ?? 0,
        bytes: (video.bytesReceived ?? video.bytesSent ?? 0) + (audio.bytesReceived ?? audio.bytesSent ?? 0),
        jitterDelay_s: video.jitterBufferDelay,
        jitterCount: video.jitterBufferEmittedCount,
        figures: {
            width: video.frameWidth,
            height: video.frameHeight,
            fps: video.framesPerSecond,
            codecs: [codecOf(video), codecOf(audio)].filter(Boolean).join(' + '),
            frames: video.framesDecoded ?? video.framesEncoded,
            framesDropped: video.framesDropped,
            freezes: video.freezeCount,
            lost: (video.packetsLost ?? remote.packetsLost ?? 0) + (audio.packetsLost ?? 0),
            nacks: video.nackCount,
            keyframesAsked: video.pliCount,
            audioLevel: audio.audioLevel,
            limitedBy: video.qualityLimitationReason,
            rtt_ms: ms(pair.currentRoundTripTime ?? remote.roundTripTime),
        },
    };
}

function rates(now, last) {
    const elapsed_s = (now.time_ms - last.time_ms) / 1000;
    const emitted = now.jitterCount - last.jitterCount;

    return {
        bitrate_bps: elapsed_s > 0 ? Math.max(0, ((now.bytes - last.bytes) * 8) / elapsed_s) : undefined,
        jitterBuffer_ms: emitted > 0 ? ms((now.jitterDelay_s - last.jitterDelay_s) / emitted) : undefined,
    };
}

function ms(seconds) {
    return seconds === undefined ? undefined : seconds * 1000;
}
