// SPDX-License-Identifier: Apache-2.0
//
// cluster.js - all nodes that this one knows, each asked itself once a second: load, viewers, and the
// way of every stream from its origin to the edges.
import { cluster, getJson, ROLES } from './api.js';
import { $, bits, count, duration, el, fixed, media, notice, noun, repeat, showNode } from './page.js';

const TITLES = { origin: 'Origins', backbone: 'Backbones', edge: 'Edges' };

// What a node says of itself, or that it does not answer.
async function ask(node) {
    const options = { timeout_ms: 900 };
    try {
        const [facts, { streams }] = await Promise.all([
            getJson(`${node.url}/api/v1/node`, options), getJson(`${node.url}/api/v1/streams`, options)]);
        return { ...node, ...facts, url: node.url, streams, answers: true };
    } catch {
        return { ...node, streams: [], answers: false };
    }
}

// ---- the ways of streams ----

// {parent id: [node]} for one stream.
function childrenOf(nodes, name) {
    const children = new Map();
    for (const node of nodes) {
        const here = node.streams.find((s) => s.name === name);
        if (here?.parent) children.set(here.parent, [...(children.get(here.parent) ?? []), node]);
    }
    return children;
}

// All ways from a node down, each as an array of nodes.
function ways(node, children, seen = new Set()) {
    if (seen.has(node.id)) return [[node]];
    const below = (children.get(node.id) ?? []).flatMap((child) => ways(child, children, new Set([...seen, node.id])));
    return below.length ? below.map((way) => [node, ...way]) : [[node]];
}

function wayElement(way) {
    return el('div', { class: 'path small' }, ...way.flatMap((node, i) => [
        i ? el('span', { class: 'arrow', 'aria-label': 'to' }, '→') : null,
        el('a', { href: `${node.url}/` }, node.id),
    ]));
}

function streamRow(name, nodes, record) {
    const holders = nodes.filter((node) => node.streams.some((s) => s.name === name));
    const root = nodes.find((node) => node.id === record?.owner) ??
        holders.find((node) => !node.streams.find((s) => s.name === name).parent);
    const at = (node) => node?.streams.find((s) => s.name === name);
    const best = at(root) ?? at(holders[0]);
    const state = best?.state ?? 'live';
    const viewers = holders.reduce((sum, node) => sum + at(node).viewers, 0);
    return el('tr', {},
        el('td', {}, el('b', { class: 'mono' }, name), el('div', { class: 'soft small' }, media(best?.tracks))),
        el('td', {}, el('span', { class: 'badge', 'data-state': state }, state)),
        el('td', {}, ...(root ? ways(root, childrenOf(nodes, name)).map(wayElement) : ['–'])),
        el('td', { class: 'number', 'data-of': viewers === 1 ? 'viewer' : 'viewers' }, `${viewers}`));
}

function showStreams(nodes, records) {
    const names = new Set([...records.map((r) => r.name), ...nodes.flatMap((node) => node.streams.map((s) => s.name))]);
    if (names.size === 0) {
        $('#streams').replaceChildren(el('p', { class: 'empty' }, 'Nobody publishes now.'));
        return;
    }
    const heads = [['Stream'], ['State'], ['From the origin to …'], ['Viewers', 'number']];
    const rows = [...names].sort().map((name) => streamRow(name, nodes, records.find((r) => r.name === name)));
    $('#streams').replaceChildren(el('table', {},
        el('thead', {}, el('tr', {}, ...heads.map(([text, kind]) => el('th', { scope: 'col', class: kind }, text)))),
        el('tbody', {}, ...rows)));
}

// ---- nodes ----

function loadMeter(permille) {
    const percent = Math.min(100, permille / 10);
    const bar = el('i', { 'data-high': percent > 80 });
    bar.style.width = `${percent}%`;
    return el('div', {},
        el('div', { class: 'row spread small' }, el('span', { class: 'soft' }, 'CPU'), el('span', { class: 'number' }, fixed(percent, '%'))),
        el('div', { class: 'meter', role: 'img', 'aria-label': `CPU ${fixed(percent, 'percent')}` }, bar));
}

function nodeState(node) {
    if (!node.answers) return el('span', { class: 'badge', 'data-state': 'lost' }, 'no answer');
    if (node.draining) return el('span', { class: 'badge', 'data-state': 'waiting' }, 'draining');
    if (node.directory.state !== 'up') return el('span', { class: 'badge', 'data-state': 'waiting' }, 'no directory');
    return el('span', { class: 'badge', 'data-state': 'good' }, 'up');
}

function streamLine(stream) {
    const parts = [stream.parent && `from ${stream.parent}`, stream.viewers && count(stream.viewers, 'viewer'),
        stream.children && count(stream.children, 'child', 'children'),
        stream.pipe && stream.pipe.given_up && `${stream.pipe.given_up} lost`].filter(Boolean);
    return el('div', { class: 'small' },
        el('span', { class: 'mono' }, stream.name), ' ',
        el('span', { class: 'soft' }, parts.join(' · ') || stream.state));
}

function nodeCard(node) {
    const facts = [count(node.load.streams, 'stream'), count(node.load.viewers, 'viewer'), bits(node.load.egress_bps)];
    return el('article', { class: 'panel node' },
        el('div', { class: 'row spread' }, el('h3', {}, el('a', { href: `${node.url}/` }, node.id)), nodeState(node)),
        el('div', { class: 'row small soft' }, node.region ? el('span', { class: 'badge' }, node.region) : null,
            el('span', {}, node.answers ? `${count(node.workers, 'worker')}, up ${duration(node.uptime_s)}` : node.url)),
        loadMeter(node.load.cpu_permille),
        el('div', { class: 'small number' }, facts.join(' · ')),
        node.streams.length ? el('div', { class: 'streams' }, ...node.streams.map(streamLine)) : null);
}

function showTiers(nodes) {
    $('#tiers').replaceChildren(...ROLES.map((role) => {
        const own = nodes.filter((node) => node.role === role);
        return el('section', { class: 'tier' }, el('h2', {}, TITLES[role]),
            ...(own.length ? own.map(nodeCard) : [el('p', { class: 'empty' }, 'none')]));
    }));
}

function showTiles(nodes, records) {
    const sum = (key) => nodes.reduce((total, node) => total + (node.load[key] ?? 0), 0);
    const regions = new Set(nodes.map((node) => node.region).filter(Boolean));
    const tiles = [[nodes.filter((node) => node.answers).length + ` of ${nodes.length}`, 'nodes answer'],
        [regions.size, noun(regions.size, 'region')], [records.length, `${noun(records.length, 'stream')} live`],
        [sum('viewers'), noun(sum('viewers'), 'viewer')], [bits(sum('egress_bps')), 'sent by all nodes']];
    $('#tiles').replaceChildren(...tiles.map(([value, label]) =>
        el('div', { class: 'tile' }, el('b', {}, `${value}`), el('span', {}, label))));
}

// A browser looks at focus: do not rebuild what the user has the keyboard on.
const inUse = () => $('main').contains(document.activeElement) && document.activeElement !== $('main');

async function refresh() {
    try {
        const known = await cluster();
        const nodes = await Promise.all(known.nodes.map(ask));
        $('#subtitle').textContent = `As ${known.self} knows it; every node is asked itself, once a second.`;
        notice($('#notice'), '');
        $('#fresh').dataset.state = 'live';
        $('#fresh').textContent = new Date().toLocaleTimeString([], { hour12: false });
        if (inUse()) return;
        showTiles(nodes, known.streams);
        showStreams(nodes, known.streams);
        showTiers(nodes);
    } catch (problem) {
        $('#fresh').dataset.state = 'lost';
        $('#fresh').textContent = 'stale';
        notice($('#notice'), `This node does not answer: ${problem.message}`, 'bad');
    }
}

showNode();
repeat(1000, refresh);
