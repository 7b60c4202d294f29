// SPDX-License-Identifier: Apache-2.0
//
// room.js - a room as in an SFU: the streams below one app. The visitor publishes <app>/<name>; everyone else is
// shown, each pulled through the edge that /route/play names.
//
// /room/<app> or /room.html?app=<app>, &name= for one's own name; #token=TOKEN to play where edges want one, &publish_token=TOKEN to
// publish where origins do; new ones may be put there at any time. Who is here is told by /api/v1/streams/events.
import { cluster, getJson, isStreamName, nodeUrl } from './api.js';
import { otherEdge, stateAt } from './edges.js';
import { $, count, el, notice, repeat, showNode, tokenOfPage } from './page.js';
import { WhepPlayer } from './whep.js';
import { WhipPublisher } from './whip.js';

const query = new URLSearchParams(location.search);
const app = query.get('app') ?? decodeURIComponent(location.pathname.match(/^\/room\/([^/]+)\/?$/)?.[1] ?? '');
const RETRY_MS = 2_000; // from a change of who is here to asking again for who was refused

const tiles = new Map(); // stream -> {element, video, player, epoch}
let token = '';
let publishToken = '';
let nodes = []; // of the cluster, as last known
let publisher = null;
let media = null;
let own = ''; // the stream that we publish
let retry = 0; // timer

// ---- which node ----

// The endpoint at the node that is nearest to us: of an edge to play from, of an origin to publish to.
async function endpoint(what, stream) {
    const [route, path] = what === 'play' ? ['play', 'whep'] : ['publish', 'whip'];
    const node = await getJson(`/route/${route}/${stream}`);
    return `${nodeUrl(node.http)}/${path}/${stream}`;
}

// ---- tiles ----

function tileOf(stream, muted) {
    const video = el('video', { autoplay: true, playsinline: true, 'aria-label': stream });
    video.muted = muted;
    const message = el('div', { class: 'message' }, el('b', {}, 'Connecting …'));
    const label = el('span', { class: 'name' }, stream.slice(app.length + 1));
    return { element: el('figure', { class: 'screen', 'data-stream': stream }, video, message, label), video, message };
}

function say(tile, text) {
    tile.message.hidden = !text;
    $('b', tile.message).textContent = text;
}

function showTile(tile) {
    const { state, media: comes } = tile.player;
    tile.element.dataset.state = state;
    if (state === 'live') say(tile, comes === 'silent' ? 'No picture comes' : '');
    else say(tile, state === 'failed' ? tile.player.problem.message : 'Connecting …');
}

// The edge may be gone, or another may be nearer to what is played by now.
async function routeAnew(tile, stream) {
    const found = await endpoint('play', stream).catch(() => null);
    if (found) tile.player.endpoint = found;
}

// Nothing comes. The publisher may be away; but from an edge that does not answer it would not come back.
async function onSilence({ player }, stream) {
    const edge = new URL(player.endpoint).origin;
    if (await stateAt(edge, stream) !== null) return;
    const other = await otherEdge(nodes, stream, edge);
    if (other && player.media === 'silent') player.move(`${other}/whep/${stream}`);
}

async function addTile(stream, epoch) {
    const tile = { ...tileOf(stream, !publisher), epoch };
    tiles.set(stream, tile);
    $('#room').append(tile.element);
    showCount();
    const url = await endpoint('play', stream).catch(() => `/whep/${stream}`);
    if (tiles.get(stream) !== tile) return; // gone meanwhile
    tile.player = new WhepPlayer({ endpoint: url, token, video: tile.video });
    tile.player.addEventListener('state', () => {
        showTile(tile);
        if (tile.player.state === 'waiting') routeAnew(tile, stream);
    });
    tile.player.addEventListener('media', () => {
        showTile(tile);
        if (tile.player.media === 'silent') onSilence(tile, stream);
    });
    tile.player.start();
}

function removeTile(stream) {
    const tile = tiles.get(stream);
    if (!tile) return;
    tiles.delete(stream);
    tile.player?.stop();
    tile.element.remove();
    showCount();
}

// Those who are not shown because we were refused.
function retryRefused() {
    clearTimeout(retry);
    retry = 0;
    for (const { player } of tiles.values()) if (player?.state === 'failed') player.start();
}

function takeTokens() {
    token = tokenOfPage();
    publishToken = tokenOfPage('publish_token') || token;
    for (const { player } of tiles.values()) if (player) player.token = token;
    if (publisher) publisher.token = publishToken;
    retryRefused();
}

function showCount() {
    const n = tiles.size;
    $('#count').textContent = n ? `${count(n, 'other')} here` : 'Nobody else is here yet.';
}

// ---- who is here ----

// A publisher who comes back keeps the tile: the edge lets its sessions play on.
function onPublished({ name, epoch }) {
    const tile = tiles.get(name);
    if (name === own || !isStreamName(name)) return;
    if (tile) tile.epoch = epoch;
    else addTile(name, epoch);
    retry ||= setTimeout(retryRefused, RETRY_MS);
}

// EventSource opens a lost stream again by itself, and is then told everything anew: who is not named
// until "ready" has left meanwhile.
function listen() {
    const events = new EventSource(`/api/v1/streams/events?prefix=${encodeURIComponent(`${app}/`)}`);
    let told = new Set();
    events.addEventListener('open', () => (told = new Set()));
    events.addEventListener('published', (event) => {
        const stream = JSON.parse(event.data);
        told.add(stream.name);
        onPublished(stream);
    });
    events.addEventListener('ready', () => [...tiles.keys()].filter((name) => !told.has(name)).forEach(removeTile));
    // After an answer that is not 200 (of a node that has all its listeners, or of a proxy before one that begins) it would not come again.
    events.addEventListener('error', () => {
        if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS * (1 + Math.random()));
    });
    events.addEventListener('unpublished', (event) => removeTile(JSON.parse(event.data).name));
    addEventListener('pagehide', () => events.close());
}

// ---- oneself ----

function setBadge(state, text) {
    $('#state').dataset.state = state;
    $('#state').textContent = text;
}

function setJoined(joined) {
    $('#join').hidden = joined;
    $('#leave').hidden = !joined;
    $('#mute').hidden = !joined;
    $('#name').disabled = joined;
}

async function join() {
    const stream = `${app}/${$('#name').value.trim()}`;
    notice($('#notice'), '');
    if (!navigator.mediaDevices) {
        notice($('#notice'), 'This browser gives a camera to pages of HTTPS or of this host only.', 'bad');
        return;
    }
    setJoined(true);
    setBadge('connecting', 'joining');
    try {
        media = await navigator.mediaDevices.getUserMedia({
            video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30 } }, audio: true });
        publisher = new WhipPublisher({ endpoint: await endpoint('publish', stream), token: publishToken, media,
            bitrate_bps: 800_000 });
    } catch (error) {
        leave();
        notice($('#notice'), error.message, 'bad');
        return;
    }
    own = stream;
    showOwn();
    for (const tile of tiles.values()) tile.video.muted = false; // the click allows sound
    publisher.addEventListener('state', showState);
    publisher.start();
}

function showOwn() {
    const { element, video, message } = tileOf(own, true);
    element.id = 'own';
    video.classList.add('mirror');
    video.srcObject = media;
    message.hidden = true;
    $('#room').prepend(element);
}

function leave() {
    publisher?.stop();
    publisher = null;
    own = '';
    media?.getTracks().forEach((track) => track.stop());
    media = null;
    $('#own')?.remove();
    setJoined(false);
    setBadge('idle', 'looking on');
}

function showState() {
    const { state, problem } = publisher ?? {};
    if (state === 'connecting') setBadge(state, 'joining');
    if (state === 'live') setBadge(state, 'live');
    if (state === 'waiting') setBadge(state, 'trying again');
    if (state === 'failed') {
        leave();
        setBadge('failed', 'refused');
        notice($('#notice'), problem.status === 409 ? 'Somebody here has that name: choose another.' : problem.message, 'bad');
    }
}

function toggleMute() {
    const muted = $('#mute').getAttribute('aria-pressed') !== 'true';
    $('#mute').setAttribute('aria-pressed', `${muted}`);
    $('#mute').textContent = muted ? 'Unmute microphone' : 'Mute microphone';
    media?.getAudioTracks().forEach((track) => (track.enabled = !muted));
}

// ---- page ----

function open() {
    document.title = `${app} – Millrace`;
    $('#title').textContent = app;
    $('#controls').hidden = false;
    $('#name').value = query.get('name') ?? `guest-${Math.random().toString(36).slice(2, 6)}`;
    $('#controls').addEventListener('submit', (event) => (event.preventDefault(), join()));
    $('#leave').addEventListener('click', leave);
    $('#mute').addEventListener('click', toggleMute);
    showCount();
    takeTokens();
    addEventListener('hashchange', takeTokens);
    listen();
    repeat(60_000, () => cluster().then((known) => (nodes = known.nodes), () => {})); // what was known goes on being used
    globalThis.millrace = { tiles, get publisher() { return publisher; } }; // for the console
}

showNode();
if (isStreamName(`${app}/name`)) {
    open();
} else {
    if (app) notice($('#notice'), `“${app}” is not a room's name: letters, digits, “-”, “_” and “.”.`, 'bad');
    $('#choose').hidden = false;
    $('#choose').addEventListener('submit', (event) => {
        event.preventDefault();
        location.href = `/room/${encodeURIComponent($('#app').value.trim())}${location.hash}`;
    });
}
