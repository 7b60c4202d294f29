// SPDX-License-Identifier: Apache-2.0
//
// index.js - what this node is, the streams and nodes it knows, and how to publish and watch.
import { cluster, getJson } from './api.js';
import { $, bits, copyButton, count, duration, el, fixed, media, notice, noun, repeat, showNode } from './page.js';

const PURPOSE = {
    origin: 'An origin: publishers send to it, by WHIP or RTMP.',
    backbone: 'A backbone: it relays and caches streams between origins and edges.',
    edge: 'An edge: viewers watch here, by WHEP or HTTP-FLV.',
};

let howFor = '';

function showFacts(node) {
    document.title = `${node.id} – Millrace`;
    $('#title').textContent = node.id;
    $('#subtitle').textContent = [PURPOSE[node.role], node.region && `Region ${node.region}.`,
        node.draining && 'It is draining: no new work.'].filter(Boolean).join(' ');
    const tiles = [
        [node.load.streams, noun(node.load.streams, 'stream')],
        [node.load.viewers, noun(node.load.viewers, 'viewer')],
        [bits(node.load.egress_bps), 'sent'],
        [fixed(node.load.cpu_permille / 10, '%'), `of ${count(node.workers, 'worker')}`],
        [duration(node.uptime_s), 'running'],
        [node.directory.state, 'directory'],
    ];
    $('#tiles').replaceChildren(...tiles.map(([value, label]) =>
        el('div', { class: 'tile' }, el('b', {}, `${value}`), el('span', {}, label))));
}

function watchLinks(name, nodes) {
    const edges = nodes.filter((node) => node.role === 'edge');
    const query = `stream=${encodeURIComponent(name)}`;
    return edges.map((edge) => el('span', { class: 'row small' },
        el('a', { href: `${edge.url}/watch.html?${query}` }, `Watch at ${edge.id}`),
        el('a', { href: `${edge.url}/watch.html?${query}&via=flv` }, 'FLV')));
}

function streamItem(name, here, nodes) {
    const state = here?.state ?? 'live';
    const facts = here
        ? [media(here.tracks), count(here.viewers, 'viewer'), here.parent ? `from ${here.parent}` : ''].filter(Boolean).join(' · ')
        : 'not on this node now';
    return el('li', {},
        el('div', { class: 'row spread' }, el('b', { class: 'mono' }, name), el('span', { class: 'badge', 'data-state': state }, state)),
        el('span', { class: 'soft small' }, facts),
        ...watchLinks(name, nodes));
}

function showStreams(here, known) {
    const names = new Set([...here.map((s) => s.name), ...known.streams.map((s) => s.name)]);
    const items = [...names].sort().map((name) => streamItem(name, here.find((s) => s.name === name), known.nodes));
    $('#streams').replaceChildren(...(items.length ? items : [el('li', { class: 'empty' }, 'Nobody publishes now.')]));
    $('#streams-note').textContent = `${here.length} here, ${count(known.streams.length, 'stream')} in the cluster`;
}

function showNodes(known) {
    $('#nodes').replaceChildren(...known.nodes.map((node) => el('li', {},
        el('div', { class: 'row spread' },
            el('a', { href: `${node.url}/` }, node.id),
            el('span', { class: 'badge' }, [node.role, node.region].filter(Boolean).join(' · '))),
        el('span', { class: 'soft small number' },
            `${count(node.load.streams, 'stream')}, ${count(node.load.viewers, 'viewer')}, ${bits(node.load.egress_bps)}`))));
}

function command(label, text) {
    return [el('p', { class: 'small soft', style: 'margin:.8rem 0 .25rem' }, label),
        el('div', { class: 'command' }, el('code', {}, text), copyButton(text))];
}

// Written once, and again when the origins or edges change, so that it can be read and copied in peace.
function showHow(nodes) {
    const origin = nodes.find((node) => node.role === 'origin');
    const edge = nodes.find((node) => node.role === 'edge');
    if (howFor === `${origin?.url} ${edge?.url}`) return;
    howFor = `${origin?.url} ${edge?.url}`;
    const parts = [];
    if (origin) {
        parts.push(el('p', {}, el('a', { class: 'button primary', href: `${origin.url}/publish.html?stream=live/mine` },
            'Publish from this browser')));
        parts.push(...command('OBS, service WHIP', `${origin.url}/whip/live/mine`));
    }
    if (edge) parts.push(...command('A player of HTTP-FLV', `ffplay ${edge.url}/live/mine.flv`));
    if (edge) parts.push(...command('A player of WHEP', `${edge.url}/whep/live/mine`));
    $('#how').replaceChildren(...(parts.length ? parts : [el('p', { class: 'empty' }, 'No origin or edge is known yet.')]));
}

async function refresh() {
    try {
        const [node, known, here] = await Promise.all([getJson('/api/v1/node'), cluster(), getJson('/api/v1/streams')]);
        showFacts(node);
        showStreams(here.streams, known);
        showNodes(known);
        showHow(known.nodes);
        const up = node.directory.state === 'up';
        notice($('#notice'), up ? '' : 'The directory (Redis) cannot be reached: what is known goes on playing.', 'warn');
    } catch (problem) {
        notice($('#notice'), `This node does not answer: ${problem.message}`, 'bad');
    }
}

showNode();
repeat(2000, refresh);
