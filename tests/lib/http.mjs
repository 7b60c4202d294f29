// SPDX-License-Identifier: Apache-2.0
//
// http.mjs - asking nodes over HTTP.
import assert from 'node:assert/strict';
import http1 from 'node:http';

// {status, headers, text}; throws when there is no answer in timeout_ms.
export async function http(url, { timeout_ms = 5_000, ...options } = {}) {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeout_ms), ...options });
    return { status: response.status, headers: response.headers, text: await response.text() };
}

export async function getJson(url, options) {
    const { status, text } = await http(url, options);
    if (status !== 200) throw new Error(`${url}: ${status} ${text}`);
    return JSON.parse(text);
}

// Prometheus text as a Map from 'name{labels}' to number.
export function parseMetrics(text) {
    const samples = new Map();
    for (const line of text.split('\n')) {
        const found = line.match(/^([a-z_]+(?:\{[^}]*\})?) ([-+.\de]+)$/i);
        if (found) samples.set(found[1], Number(found[2]));
    }
    return samples;
}

export async function getMetrics(base) {
    return parseMetrics((await http(`${base}/metrics`)).text);
}

// Server-sent events: .events fills with {event, data} until .request is destroyed.
export function listen(url) {
    const listener = { events: [], text: '' };
    listener.request = http1.get(url, { agent: false }, (response) => {
        assert.equal(response.headers['content-type'], 'text/event-stream');
        response.on('data', (chunk) => {
            listener.text += chunk;
            listener.events = [...listener.text.matchAll(/event: (.*)\ndata: (.*)\n\n/g)].map(([, event, data]) => ({ event, data: JSON.parse(data) }));
        });
        response.on('error', () => {});
    });
    listener.request.on('error', () => {});
    return listener;
}
