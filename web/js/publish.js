// SPDX-License-Identifier: Apache-2.0
//
// publish.js - camera or screen to an origin by WHIP.
//
// ?stream=live/mine, &endpoint=URL for another origin than this node or the cluster's first; #token=TOKEN where origins want one.
import { cluster, isStreamName } from './api.js';
import { $, bits, el, fixed, notice, repeat, showNode, tokenOfPage } from './page.js';
import { Stats } from './stats.js';
import { sendableCodecs, WhipPublisher } from './whip.js';

const query = new URLSearchParams(location.search);
const stats = new Stats();
let publisher = null;
let media = null;
let base = location.origin; // of the origin to publish to
let edges = [];

// ---- choices ----

async function listDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    fill($('#camera'), devices.filter((d) => d.kind === 'videoinput'), 'Camera');
    fill($('#microphone'), devices.filter((d) => d.kind === 'audioinput'), 'Microphone');
    $('#microphone').append(el('option', { value: 'none' }, 'No sound'));
}

// Labels are empty until the user has allowed the devices.
function fill(select, devices, name) {
    const chosen = select.value;
    select.replaceChildren(...devices.map((d, i) => el('option', { value: d.deviceId }, d.label || `${name} ${i + 1}`)));
    if (devices.length === 0) select.append(el('option', { value: '' }, 'Default'));
    if ([...select.options].some((option) => option.value === chosen)) select.value = chosen;
}

const source = () => $('input[name=source]:checked').value;

function constraints() {
    const [width, height] = $('#size').value.split('x').map(Number);
    const video = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: Number($('#fps').value) } };
    if (source() === 'camera' && $('#camera').value) video.deviceId = { exact: $('#camera').value };
    const microphone = $('#microphone').value;
    const audio = microphone === 'none' ? false
        : { channelCount: 2, ...(microphone ? { deviceId: { exact: microphone } } : {}) };
    return { video, audio };
}

async function capture() {
    if (!navigator.mediaDevices) {
        throw new Error('This browser gives a camera to pages of HTTPS or of this host only. Open the page by https://, or at 127.0.0.1.');
    }
    const wanted = constraints();
    if (source() === 'camera') return navigator.mediaDevices.getUserMedia(wanted);
    const screen = await navigator.mediaDevices.getDisplayMedia({ video: wanted.video, audio: true });
    screen.getVideoTracks()[0].contentHint = 'detail';
    if (screen.getAudioTracks().length === 0 && wanted.audio) await addMicrophone(screen, wanted.audio);
    return screen;
}

async function addMicrophone(stream, audio) {
    const microphone = await navigator.mediaDevices.getUserMedia({ audio });
    stream.addTrack(microphone.getAudioTracks()[0]);
}

function captureTrouble(error) {
    if (error.name === 'NotAllowedError') return 'The camera, microphone or screen was not allowed to this page.';
    if (error.name === 'NotFoundError') return 'There is no such camera or microphone.';
    if (error.name === 'NotReadableError') return 'The camera is in use by another program.';
    return error.message;
}

// ---- start, stop, mute ----

async function start() {
    const stream = $('#stream').value.trim();
    notice($('#notice'), '');
    if (!isStreamName(stream)) {
        notice($('#notice'), 'A stream is named app/name, like live/mine.', 'bad');
        $('#stream').focus();
        return;
    }
    setBusy(true);
    try {
        media = await capture();
    } catch (error) {
        notice($('#notice'), captureTrouble(error), 'bad');
        setBusy(false);
        return;
    }
    $('#preview').srcObject = media;
    $('#preview').classList.toggle('mirror', source() === 'camera');
    $('#cover').hidden = true;
    media.getVideoTracks()[0]?.addEventListener('ended', stop); // the browser's own "stop sharing"
    listDevices();
    publisher = new WhipPublisher({
        endpoint: $('#endpoint').value || `${base}/whip/${stream}`,
        token: $('#token').value,
        media,
        codec: $('#codec').value,
        bitrate_bps: Number($('#bitrate').value) * 1000,
        data: true,
    });
    globalThis.millrace = { publisher }; // for the console
    publisher.addEventListener('state', showState);
    applyMute();
    publisher.start();
}

function stop() {
    publisher?.stop();
    publisher = null;
    media?.getTracks().forEach((track) => track.stop());
    media = null;
    $('#preview').srcObject = null;
    $('#cover').hidden = false;
    $('#overlay').hidden = true;
    $('#watch').hidden = true;
    $('#say').hidden = true;
    setBadge('idle', 'ready');
    setBusy(false);
}

function say(event) {
    event.preventDefault();
    const words = $('#words').value.trim();
    if (words && publisher?.say(words)) $('#words').value = '';
}

function setBusy(busy) {
    $('#start').hidden = busy;
    $('#stop').hidden = !busy;
    $('#mute').disabled = !busy;
    for (const input of $('#form').elements) if (input.name !== 'mute') input.disabled = busy;
}

function applyMute() {
    const muted = $('#mute').getAttribute('aria-pressed') === 'true';
    media?.getAudioTracks().forEach((track) => (track.enabled = !muted));
    $('#mute').textContent = muted ? 'Unmute microphone' : 'Mute microphone';
}

function toggleMute() {
    const muted = $('#mute').getAttribute('aria-pressed') === 'true';
    $('#mute').setAttribute('aria-pressed', `${!muted}`);
    applyMute();
}

// ---- how it stands ----

function setBadge(state, text) {
    $('#state').dataset.state = state;
    $('#state').textContent = text;
}

function showState() {
    const { state, problem } = publisher ?? {};
    if (state === 'connecting') setBadge(state, 'connecting');
    if (state === 'live') {
        setBadge(state, 'live');
        notice($('#notice'), '');
        $('#say').hidden = false;
        showWatchLink();
    }
    if (state === 'waiting') {
        setBadge(state, 'trying again');
        notice($('#notice'), `${sentence(problem)} Trying again.`, 'warn');
    }
    if (state === 'failed') {
        const text = problem.status === 409 ? `${sentence(problem)} Choose another name, or stop the other publisher.`
            : sentence(problem);
        stop();
        setBadge('failed', 'refused');
        notice($('#notice'), text, 'bad');
    }
}

function sentence(problem) {
    const text = problem.message[0].toUpperCase() + problem.message.slice(1);
    return /[.!?]$/.test(text) ? text : `${text}.`;
}

function showWatchLink() {
    if (edges.length === 0) return;
    $('#watch').href = `${edges[0].url}/watch.html?stream=${encodeURIComponent($('#stream').value.trim())}`;
    $('#watch').hidden = false;
}

async function showFigures() {
    const f = await stats.sample(publisher?.pc ?? null);
    const live = publisher?.state === 'live';
    $('#overlay').hidden = !live;
    if (live) {
        const rows = [
            ['picture', f.width ? `${f.width}×${f.height} ${fixed(f.fps, 'fps')}` : '–'],
            ['codec', f.codecs || '–'],
            ['sent', bits(f.bitrate_bps)],
            ['round trip', fixed(f.rtt_ms, 'ms')],
            ['lost', `${f.lost}`],
            ['limited by', f.limitedBy ?? '–'],
        ];
        $('#overlay').replaceChildren(el('dl', {}, ...rows.flatMap(([k, v]) => [el('dt', {}, k), el('dd', {}, v)])));
    }
}

// The level of what is sent: of the microphone, zero when muted.
async function showLevel() {
    const sender = publisher?.pc?.getSenders().find((s) => s.track?.kind === 'audio');
    let level = 0;
    for (const report of (await sender?.getStats())?.values() ?? [])
        if (report.type === 'media-source') level = report.audioLevel ?? 0;
    const shown = Math.min(100, Math.round(Math.sqrt(level) * 100));
    $('#level').style.width = `${shown}%`;
    $('#level').toggleAttribute('data-high', shown > 90);
    $('#level-text').textContent = publisher ? `${shown} %` : '';
}

// ---- page ----

async function findNodes() {
    const node = await showNode();
    const { nodes } = await cluster().catch(() => ({ nodes: [] }));
    edges = nodes.filter((n) => n.role === 'edge');
    if (node?.role !== 'origin') base = nodes.find((n) => n.role === 'origin')?.url ?? location.origin;
    if (!query.get('endpoint')) showEndpoint();
}

function showEndpoint() {
    $('#endpoint').placeholder = `${base}/whip/${$('#stream').value.trim() || 'app/name'}`;
}

// At the beginning, and when another is put into the page's address: it counts from the next request on.
function takeToken() {
    $('#token').value = tokenOfPage();
    if (publisher) publisher.token = $('#token').value;
}

$('#stream').value = query.get('stream') ?? 'live/mine';
$('#endpoint').value = query.get('endpoint') ?? '';
takeToken();
addEventListener('hashchange', takeToken);
for (const name of sendableCodecs()) $('#codec').append(el('option', { value: name }, name === 'H264' ? 'H.264' : name));
for (const name of ['codec', 'bitrate', 'size', 'fps']) if (query.has(name)) $(`#${name}`).value = query.get(name);
$('#start').addEventListener('click', start);
$('#stop').addEventListener('click', stop);
$('#mute').addEventListener('click', toggleMute);
$('#say').addEventListener('submit', say);
$('#stream').addEventListener('input', showEndpoint);
$('#form').addEventListener('submit', (event) => event.preventDefault());
$('#form').addEventListener('change', () => ($('#camera-field').hidden = source() !== 'camera'));
navigator.mediaDevices?.addEventListener('devicechange', listDevices);
listDevices();
findNodes();
repeat(1000, showFigures);
repeat(150, showLevel);
