// SPDX-License-Identifier: Apache-2.0
//
// api.js - HTTP as the nodes speak it: problem documents (RFC 9457), /api/v1, addresses of nodes.

// What went wrong with a request, in words for people. status is 0 when there was no answer at all; url is where it came from
// after redirects.
export class Problem extends Error {
    constructor({ status = 0, title = '', detail = '', retryAfter_s = 0, url = '' }) {
        super(detail || title || `HTTP ${status}`);
        Object.assign(this, { name: 'Problem', status, title, detail, retryAfter_s, url });
    }
}

// An answer that is not 2xx as a Problem; the body need not be a problem document.
export async function problemOf(response) {
    const retryAfter_s = Number(response.headers.get('Retry-After')) || 0;
    let body = {};
    try {
        body = await response.json();
    } catch {
        // a proxy's page, or nothing
    }
    const { title = response.statusText, detail = '' } = body;
    return new Problem({ status: response.status, title, detail, retryAfter_s, url: response.url });
}

// As fetch, but an answer that is not 2xx, none in timeout_ms, or none at all throws a Problem.
export async function request(url, { timeout_ms = 10_000, ...options } = {}) {
    let response;
    try {
        response = await fetch(url, { signal: AbortSignal.timeout(timeout_ms), ...options });
    } catch (error) {
        if (error.name === 'AbortError') throw error;
        const late = error.name === 'TimeoutError';
        throw new Problem({ title: `${new URL(url, location.href).host} ${late ? 'does not answer' : 'cannot be reached'}` });
    }
    if (!response.ok) throw await problemOf(response);
    return response;
}

export async function getJson(url, options) {
    return (await request(url, { cache: 'no-store', ...options })).json();
}

// What another node announces as its address, as seen from here: a node that listens on all addresses,
// or on this host only, is taken to be at the host that the page came from.
export function nodeUrl(announced, page = location) {
    try {
        const url = new URL(announced);
        if (['0.0.0.0', '[::]', '127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)) url.hostname = page.hostname;
        return url.origin;
    } catch {
        return '';
    }
}

// The cluster as this node knows it: {self, nodes: [{..., url}], streams: [{name, owner, epoch}]}.
export async function cluster(base = '') {
    const found = await getJson(`${base}/api/v1/nodes`);
    for (const node of found.nodes) node.url = node.id === found.self ? location.origin : nodeUrl(node.addresses.http);
    found.nodes.sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role) || a.id.localeCompare(b.id));
    return found;
}

export const ROLES = ['origin', 'backbone', 'edge'];

// "app/name" or deeper, of the characters that the nodes accept.
export function isStreamName(name) {
    return /^[\w-][\w.-]*(\/[\w-][\w.-]*)+$/.test(name);
}
