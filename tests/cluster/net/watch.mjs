// SPDX-License-Identifier: Apache-2.0
//
// watch.mjs - an HTTP-FLV viewer that looks at the times of pictures: when they came, and which they bear.
import http from 'node:http';

const HEADER = 9 + 4;
const TAG = 11;
const VIDEO = 9;

// Watch.ended resolves to {pictures, gaps, freeze_ms}: gaps are steps of the timestamps over gap_ms, or backwards; freeze_ms is the
// longest time without a picture between the first and the last.
export class Watch {
    pictures = 0;
    gaps = 0;
    freeze_ms = 0;
    last_ts = 0;
    lateness = [];
    earliest_ms = Infinity;
    #bytes = Buffer.alloc(0);
    #skip = HEADER;

    constructor(url, { gap_ms = 60 } = {}) {
        this.gap_ms = gap_ms;
        this.ended = new Promise((resolve) => {
            const finish = () => resolve(this);
            this.request = http.get(url, { agent: false }, (response) => {
                this.status = response.statusCode;
                response.on('data', (chunk) => this.#take(chunk));
                response.on('end', finish);
                response.on('error', finish);
            });
            this.request.on('error', finish);
        });
    }

    stop() {
        this.request.destroy();
        return this.ended;
    }

    #take(chunk) {
        this.#bytes = Buffer.concat([this.#bytes, chunk]);
        for (;;) {
            if (this.#bytes.length < this.#skip + TAG + 2) return;
            const tag = this.#bytes.subarray(this.#skip);
            const size = tag.readUIntBE(1, 3);
            if (tag[0] === VIDEO && size > 5 && tag[12] === 1) this.#picture(tag.readUIntBE(4, 3) + tag[7] * 2 ** 24);
            if (this.#bytes.length < this.#skip + TAG + size + 4) return this.#rest(size);
            this.#bytes = this.#bytes.subarray(this.#skip + TAG + size + 4);
            this.#skip = 0;
        }
    }

    // The tag is longer than what is here: its picture has been counted, so the rest is passed over.
    #rest(size) {
        const missing = this.#skip + TAG + size + 4 - this.#bytes.length;
        this.#bytes = Buffer.alloc(0);
        this.#skip = missing;
    }

    #picture(ts) {
        const now = performance.now();
        if (this.pictures++) {
            const step = ts - this.last_ts;
            if (step > this.gap_ms || step < 0) this.gaps++;
            this.freeze_ms = Math.max(this.freeze_ms, Math.round(now - this.came));
        }
        // How much later than the earliest of them, measured against their timestamps, pictures come.
        this.earliest_ms = Math.min(this.earliest_ms, now - ts);
        this.lateness.push(now - ts - this.earliest_ms);
        this.last_ts = ts;
        this.came = now;
    }
}
