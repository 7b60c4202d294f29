// SPDX-License-Identifier: Apache-2.0
//
// watch.js - a stream of this edge, by WHEP or, with &via=flv, by HTTP-FLV through mpegts.js.
//
// ?stream=live/test, &endpoint=URL for another WHEP endpoint than this node's own; #token=TOKEN where edges want one.
import { cluster, isStreamName } from './api.js';
import { otherEdge, stateAt } from './edges.js';
import { FlvPlayer } from './flv.js';
import { $, bits, el, fixed, notice, repeat, showNode, tokenOfPage } from './page.js';
import { Stats } from './stats.js';
import { WhepPlayer } from './whep.js';

const query = new URLSearchParams(location.search);
const stream = query.get('stream') ?? '';
const flv = query.get('via') === 'flv';
let token = '';
const video = $('#video');
const stats = new Stats();
let base = location.origin; // of the edge that is played from first
let nodes = []; // of the cluster, as last known: when our edge is gone it cannot tell us
let player = null;

// ---- what is said over the picture ----

function message(title, text = '') {
    const box = $('#message');
    box.hidden = !title;
    $('b', box).textContent = title;
    $('span', box).textContent = text;
}

function setBadge(state, text) {
    $('#state').dataset.state = state;
    $('#state').textContent = text;
}

function waitText() {
    const seconds = Math.max(0, Math.ceil((player.retryAt_ms - performance.now()) / 1000));
    return seconds > 0 ? `Trying again in ${seconds} s.` : 'Trying again.';
}

// ---- another edge, when ours is gone ----

const presentEdge = () => new URL(player.endpoint).origin;
const endpointAt = (edge) => (flv ? `${edge}/${stream}.flv` : `${edge}/whep/${stream}`);
let leaving = false;

async function leaveEdge() {
    if (leaving || query.has('endpoint')) return;
    leaving = true;
    const edge = await otherEdge(nodes, stream, presentEdge());
    if (edge && player.media === 'silent') await player.move(endpointAt(edge));
    else if (edge && player.state !== 'live') player.endpoint = endpointAt(edge);
    leaving = false;
}

function showWaiting() {
    const { status, message: text } = player.problem;
    const nobody = status === 409 || status === 404;
    setBadge('waiting', nobody ? 'not live' : 'reconnecting');
    message(nobody ? `Nobody publishes ${stream} now` : 'The connection is gone',
        nobody ? `It starts here when somebody does. ${waitText()}` : `${text}. ${waitText()}`);
}

function showState() {
    const { state, problem, media } = player;
    if (state === 'idle') {
        setBadge('idle', 'stopped');
        message('Stopped');
    } else if (state === 'connecting') {
        setBadge('connecting', 'connecting');
        message('Connecting …');
    } else if (state === 'waiting') {
        showWaiting();
        if (problem.status === 0) leaveEdge();
    } else if (state === 'failed') {
        setBadge('failed', 'cannot play');
        message(problem.title, problem.detail);
    } else if (media === 'playing') {
        setBadge('live', 'live');
        message('');
    } else if (media === 'silent') {
        showSilence();
    }
    $('#toggle').textContent = ['idle', 'failed'].includes(state) ? 'Play' : 'Stop';
    showUnmute();
}

// Nothing comes on a connection that lives: the edge knows whether the publisher left. What it says counts as long as we play from it.
async function showSilence() {
    const edge = presentEdge();
    setBadge('waiting', 'waiting');
    message('No picture comes', 'Looking for the reason …');
    const known = await stateAt(edge, stream);
    if (player.media !== 'silent' || presentEdge() !== edge) return;
    if (known === null) leaveEdge();
    if (known && known !== 'live') message('The publisher is away', 'It plays on here when they come back.');
    else message('No picture comes', known === null ? 'The edge does not answer.' : 'Waiting for the stream to go on.');
}

function showFigures(f) {
    const rows = [
        ['picture', f.width ? `${f.width}×${f.height}` : '–'],
        ['frames', fixed(f.fps, 'fps')],
        ['codec', f.codecs],
        ['bitrate', bits(f.bitrate_bps)],
        ['round trip', f.rtt_ms === undefined ? undefined : fixed(f.rtt_ms, 'ms')],
        ['packets lost', f.lost],
        ['jitter buffer', f.jitterBuffer_ms === undefined ? undefined : fixed(f.jitterBuffer_ms, 'ms')],
        ['behind newest', f.buffered_s === undefined ? undefined : fixed(f.buffered_s, 's', 1)],
        ['frames dropped', f.framesDropped],
        ['watched by', player.viewers],
        ['joined in', player.join_ms ? fixed(player.join_ms, 'ms') : '–'],
    ];
    const known = rows.filter(([, value]) => value !== undefined && value !== '');
    $('#overlay').replaceChildren(el('dl', {}, ...known.flatMap(([k, v]) => [el('dt', {}, k), el('dd', {}, `${v}`)])));
}

// ---- figures of either player ----

const flvRate = { frames: 0, at_ms: 0 };

function flvFigures() {
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    const now_ms = performance.now();
    const fps = flvRate.at_ms ? ((frames - flvRate.frames) * 1000) / (now_ms - flvRate.at_ms) : undefined;
    Object.assign(flvRate, { frames, at_ms: now_ms });
    return {
        width: video.videoWidth,
        height: video.videoHeight,
        fps,
        codecs: 'HTTP-FLV',
        bitrate_bps: player.figures.speed === undefined ? undefined : player.figures.speed * 8192, // KiB/s
        framesDropped: video.getVideoPlaybackQuality().droppedVideoFrames,
        buffered_s: player.latency_s(),
    };
}

async function refresh() {
    if (!player) return;
    if (player.state === 'waiting') showWaiting();
    if (player.media === 'silent') showSilence();
    const shown = $('#stats').getAttribute('aria-pressed') === 'true';
    const playing = player.state === 'live';
    $('#overlay').hidden = !shown || !playing;
    const figures = flv ? flvFigures() : await stats.sample(player.pc);
    if (playing) showFigures(figures);
}

// ---- controls ----

function showUnmute() {
    const playing = player.state === 'live' && player.media === 'playing';
    $('#unmute').hidden = !video.muted || !playing;
    $('#sound').setAttribute('aria-pressed', `${!video.muted}`);
    $('#sound').textContent = video.muted ? 'Sound on' : 'Sound off';
}

function setMuted(muted) {
    video.muted = muted;
    video.play().catch(() => {}); // nothing to play yet
    showUnmute();
}

function toggleStats() {
    const shown = $('#stats').getAttribute('aria-pressed') !== 'true';
    $('#stats').setAttribute('aria-pressed', `${shown}`);
    $('#overlay').hidden = !shown;
}

// ---- what the publisher says ----

const SAID_MS = 10_000; // a message stays so long
const SAID_MAX = 4;

function showSaid({ detail: { label, data } }) {
    const text = typeof data === 'string' ? data : `${data.byteLength} bytes`;
    const line = el('li', { 'data-label': label }, text.length > 300 ? `${text.slice(0, 300)} …` : text);
    $('#said').append(line);
    while ($('#said').children.length > SAID_MAX) $('#said').firstChild.remove();
    setTimeout(() => line.remove(), SAID_MS);
}

// ---- quality: the sizes and frame rates of a simulcast or scalable stream ----

let qualities = new Map(); // menu value -> layer

function layerName({ width, height, encodingId, spatialLayerId, temporalLayerId }, layers) {
    const size = height ? `${Math.min(width, height)}p` : encodingId ?? `size ${spatialLayerId + 1}`;
    const above = layers.filter((l) => l.spatialLayerId === spatialLayerId && l.temporalLayerId > temporalLayerId).length;
    return above ? `${size}, fewer pictures${above > 1 ? ' still' : ''}` : size; // each temporal layer about doubles them
}

const layerValue = (l) => l.encodingId ?? `${l.maxSpatialLayerId ?? l.spatialLayerId}/${l.maxTemporalLayerId ?? l.temporalLayerId}`;

async function showQuality() {
    const menu = $('#quality');
    if (flv || player.state !== 'live') return;
    const { layers, chosen } = await player.layers().catch(() => ({ layers: [] }));
    qualities = new Map([...layers].reverse().map((l) => [layerValue(l), l]));
    menu.hidden = layers.length < 2;
    menu.replaceChildren(el('option', { value: '' }, 'Quality: auto'),
        ...[...qualities].map(([value, l]) => el('option', { value }, `Quality: ${layerName(l, layers)}`)));
    menu.value = typeof chosen === 'string' ? chosen : chosen ? layerValue(chosen) : '';
}

async function chooseQuality() {
    await player.chooseLayer(qualities.get($('#quality').value) ?? '').catch(() => {});
    showQuality();
}

function play() {
    player = flv
        ? new FlvPlayer({ endpoint: endpointAt(base), token, video })
        : new WhepPlayer({ endpoint: query.get('endpoint') ?? endpointAt(base), token, video, data: true });
    globalThis.millrace = { player }; // for the console
    player.addEventListener('state', showState);
    player.addEventListener('media', showState);
    player.addEventListener('media', showQuality);
    player.addEventListener('moved', showQuality);
    player.addEventListener('message', showSaid);
    player.start();
}

// ---- page ----

function showControls() {
    document.title = `${stream} – Millrace`;
    $('#title').textContent = stream;
    $('#screen').hidden = false;
    $('#controls').hidden = false;
    $('#other').textContent = flv ? 'Watch by WebRTC' : 'Watch by HTTP-FLV';
    takeToken();
    addEventListener('hashchange', takeToken);
    $('#unmute').addEventListener('click', () => setMuted(false));
    $('#sound').addEventListener('click', () => setMuted(!video.muted));
    $('#stats').addEventListener('click', toggleStats);
    $('#quality').addEventListener('change', chooseQuality);
    $('#full').addEventListener('click', () => $('#screen').requestFullscreen?.());
    $('#toggle').addEventListener('click', () => {
        if (['idle', 'failed'].includes(player.state)) player.start();
        else player.stop();
    });
}

// At the beginning, and when another is put into the page's address: a stream that was refused is asked for again.
function takeToken() {
    token = tokenOfPage();
    $('#other').href = `?stream=${encodeURIComponent(stream)}${flv ? '' : '&via=flv'}${token ? `#token=${encodeURIComponent(token)}` : ''}`;
    if (!player) return;
    player.token = token;
    if (player.state === 'failed') player.start();
}

function showLive(known) {
    const others = known.streams.filter((s) => s.name !== stream);
    const link = (s) => el('a', { class: 'mono', href: `?stream=${encodeURIComponent(s.name)}` }, s.name);
    $('#live').replaceChildren(...(others.length ? [el('span', { class: 'soft' }, 'Live now:'), ...others.map(link)] : []));
}

// An edge plays by itself; on another node, the page plays from an edge, its own region's first.
async function findEdge() {
    const node = await showNode();
    const known = await cluster().catch(() => ({ nodes: [], streams: [] }));
    showLive(known);
    nodes = known.nodes;
    if (!node || node.role === 'edge') return;
    const edges = known.nodes.filter((n) => n.role === 'edge');
    base = (edges.find((n) => n.region === node.region) ?? edges[0])?.url ?? location.origin;
}

$('#stream').value = stream;
$('#via').value = flv ? 'flv' : '';
if (stream && !isStreamName(stream)) {
    notice($('#notice'), `“${stream}” is not a stream: they are named app/name, like live/test.`, 'bad');
    findEdge();
} else {
    if (stream) showControls();
    findEdge().then(() => stream && play());
    if (stream) repeat(1000, refresh);
    if (stream) repeat(60_000, () => cluster().then((known) => (nodes = known.nodes), () => {})); // what was known goes on being used
}
