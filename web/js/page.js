// SPDX-License-Identifier: Apache-2.0
//
// page.js - what the pages share: elements, figures in words, the header with this node's name.
import { getJson } from './api.js';

export const $ = (selector, root = document) => root.querySelector(selector);

// el('a', {href: '/'}, 'text', child...): an element; text is never read as HTML. Keys are attributes, class
// and data-* too; 'onclick' and the like are listeners; undefined and false leave an attribute out.
export function el(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (value === undefined || value === false) continue;
        if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
        else element.setAttribute(key, value === true ? '' : value);
    }
    element.append(...children.filter((child) => child !== undefined && child !== null));
    return element;
}

// The bearer token that the page was opened with, as #token=... (which stays in the browser) or ?token=...; '' without one.
export function tokenOfPage(name = 'token', { hash, search } = location) {
    return new URLSearchParams(hash.slice(1)).get(name) ?? new URLSearchParams(search).get(name) ?? '';
}

// ---- figures ----

export function bits(bps) {
    if (bps === undefined) return '–';
    if (bps >= 999_500_000) return `${(bps / 1e9).toFixed(2)} Gbit/s`;
    if (bps >= 999_500) return `${(bps / 1e6).toFixed(1)} Mbit/s`;
    return `${Math.round(bps / 1000)} kbit/s`;
}

export function bytes(n) {
    for (const [unit, size] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]])
        if (n >= size) return `${(n / size).toFixed(n >= size * 100 ? 0 : 1)} ${unit}`;
    return `${n} B`;
}

// What a stream carries, without the tracks that are made on demand: "H264 640×360 + AAC".
export function media(tracks = []) {
    const names = { 'mpeg4-generic': 'AAC', opus: 'Opus' };
    return tracks.filter((track) => !track.derived)
        .map((track) => `${names[track.codec] ?? track.codec}${track.size ? ` ${track.size.join('×')}` : ''}`).join(' + ');
}

export function noun(n, one, many = `${one}s`) {
    return n === 1 ? one : many;
}

export function count(n, one, many) {
    return `${n} ${noun(n, one, many)}`;
}

export function fixed(value, unit, digits = 0) {
    return value === undefined || !Number.isFinite(value) ? '–' : `${value.toFixed(digits)} ${unit}`.trim();
}

export function duration(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
    if (d) return `${d} d ${h} h`;
    if (h) return `${h} h ${m} min`;
    return m ? `${m} min ${s % 60} s` : `${s} s`;
}

// ---- page ----

// One that the browser has kept and shows again (back, forward) ended its connections when it was left: it begins anew.
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());

// The header's badge: which node this page came from. Resolves to its facts, or null.
export async function showNode() {
    const badge = $('#node');
    try {
        const node = await getJson('/api/v1/node');
        badge.textContent = [node.id, node.region].filter(Boolean).join(' · ');
        badge.title = `${node.role}, version ${node.version}`;
        badge.dataset.role = node.role;
        return node;
    } catch {
        badge.textContent = 'node not reachable';
        return null;
    }
}

// Says why in a notice, politely to screen readers; an empty text hides it.
export function notice(element, text, kind = 'info') {
    element.textContent = text;
    element.dataset.kind = kind;
    element.hidden = !text;
}

// A button that copies text and says so for a moment.
export function copyButton(text) {
    const button = el('button', { type: 'button', class: 'quiet', 'aria-label': `Copy ${text}` }, 'Copy');
    button.addEventListener('click', async () => {
        try {
            await navigator.clipboard.writeText(text);
            button.textContent = 'Copied';
        } catch {
            button.textContent = 'Not allowed here'; // a page without HTTPS has no clipboard
        }
        setTimeout(() => (button.textContent = 'Copy'), 1500);
    });
    return button;
}

// Call work now and each period_ms while the page is seen; one call at a time.
export function repeat(period_ms, work) {
    let busy = false;
    const turn = async () => {
        if (busy || document.hidden) return;
        busy = true;
        await work().finally(() => (busy = false));
    };
    turn();
    return setInterval(turn, period_ms);
}
