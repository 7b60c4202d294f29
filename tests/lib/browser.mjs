// SPDX-License-Identifier: Apache-2.0
//
// browser.mjs - Debian's Chromium under playwright-core, looking at the nodes' own pages.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { buildDir, until } from './process.mjs';

const PROGRAM = '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream=fps=30',
    '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required'];

export const hasChromium = existsSync(PROGRAM);

// A Chromium with an empty profile, closed by cluster.down(). prefix: a command to run it under, see netns.mjs. keepsPages: those that
// are left are kept, as a user's browser does, to be shown again as they were.
export async function launch(cluster, { prefix = [], flags = [], keepsPages = false } = {}) {
    let executablePath = PROGRAM;
    if (prefix.length) {
        executablePath = path.join(cluster.dir, `chromium-${prefix.join('-').replace(/\W+/g, '-')}`);
        writeFileSync(executablePath, `#!/bin/sh\nexec ${prefix.join(' ')} ${PROGRAM} "$@"\n`, { mode: 0o755 });
    }
    const browser = await chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...flags], chromiumSandbox: false,
        ignoreDefaultArgs: keepsPages ? ['--disable-back-forward-cache'] : [] });
    cluster.add({ stop: () => browser.close(), tell: () => tell(browser.contexts().flatMap((context) => context.pages())) });
    return browser;
}

// What pages show and have logged.
export async function tell(pages) {
    const told = await Promise.all(pages.map(async (page) => {
        const late = new Promise((resolve) => setTimeout(() => resolve(`it does not answer\n${page.said?.join('\n')}`), 2_000));
        return `---- ${page.url()}: ${await Promise.race([describe(page).catch((error) => error.message), late])}`;
    }));
    return told.join('\n');
}

// A page in a window of its own, so that none is in the background; what it logs is kept in .said.
// before(page): what to do to it before it loads.
export async function open(browser, url, { width = 1280, height = 900, colorScheme = 'light', permissions = [],
    before = () => {} } = {}) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, permissions, ignoreHTTPSErrors: true });
    const page = await context.newPage();
    page.said = [];
    page.on('console', (m) => page.said.push(`${m.type()}: ${m.text()}`));
    page.on('pageerror', (e) => page.said.push(`error: ${e.message}`));
    await before(page);
    await page.goto(url);
    return page;
}

export async function close(page) {
    await page.context().close();
}

// Where people can look at what the tests saw.
export async function screenshot(page, name) {
    const dir = path.join(buildDir, 'screenshots');
    mkdirSync(dir, { recursive: true });
    await page.screenshot({ path: path.join(dir, `${name}.png`), fullPage: true });
}

// ---- publish.html ----

// Fills the form of publish.html and starts; resolves when it is live.
export async function publish(browser, cluster, stream, { codec = '', origin = 'origin', base, size = '640x360', before } = {}) {
    const query = new URLSearchParams({ stream, codec, size, bitrate: '800' });
    const page = await open(browser, `${base ?? cluster.url(origin)}/publish.html?${query}`,
        { permissions: ['camera', 'microphone'], ...(before && { before }) });
    await page.click('#start');
    await pageState(page, 'live');
    return page;
}

// Waits until the page's badge shows a state: live, waiting, failed ...
export async function pageState(page, state, timeout_ms = 15_000) {
    try {
        await page.waitForSelector(`#state[data-state="${state}"]`, { timeout: timeout_ms });
    } catch {
        throw new Error(`the page is not ${state} but: ${await describe(page)}`);
    }
}

// For who reads why a test failed: what the page shows and logs, and what its connection and its node know.
async function describe(page) {
    const seen = await page.evaluate(() => ['#state', '#notice', '#message'].map((s) => document.querySelector(s)?.innerText).join(' | '));
    const known = await page.evaluate(connectionFacts).catch((error) => ({ error: error.message }));
    return `${seen}\n${Object.entries(known).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`).join('')}${page.said.join('\n')}`;
}

// Runs in the page.
async function connectionFacts() {
    const { player, publisher } = globalThis.millrace ?? {};
    const session = player ?? publisher;
    if (!session) return {};
    const { endpoint, state, media, moving, opened, pc } = session;
    const frames = document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames;
    const facts = { page: { endpoint, state, media, moving, opened, frames, connection: pc?.connectionState, ice: pc?.iceConnectionState } };
    const reports = (await pc?.getStats()) ?? new Map();
    for (const { type, kind, packetsReceived, packetsSent, packetsLost, framesReceived, framesDecoded, keyFramesDecoded, framesEncoded, pliCount,
        nackCount, freezeCount } of reports.values())
        if (['inbound-rtp', 'outbound-rtp'].includes(type))
            facts[`${type} ${kind}`] = { packetsReceived, packetsSent, packetsLost, framesReceived, framesDecoded, keyFramesDecoded, framesEncoded,
                pliCount, nackCount, freezeCount };
    const pair = [...reports.values()].find((r) => r.type === 'candidate-pair' && r.nominated);
    const port = reports.get(pair?.localCandidateId)?.port;
    const ask = async (what) => (await fetch(new URL(`/api/v1/${what}`, endpoint), { signal: AbortSignal.timeout(1500) })).json();
    try {
        const [{ sessions }, { streams }] = await Promise.all([ask('sessions'), ask('streams')]);
        facts['session at the node'] = sessions?.find((s) => s.media_peer?.endsWith(`:${port}`));
        facts['stream at the node'] = streams.find((s) => new URL(endpoint).pathname.includes(s.name));
    } catch (error) {
        facts['the node'] = error.message;
    }
    return facts;
}

// ---- watch.html ----

export async function watch(browser, cluster, stream, { edge = 'edge', via = '', base, ...options } = {}) {
    const query = new URLSearchParams({ stream, ...(via ? { via } : {}) });
    return open(browser, `${base ?? cluster.url(edge)}/watch.html?${query}`, options);
}

// What a page receives now, of its present connection.
export function received(page) {
    return page.evaluate(async () => {
        const found = { frames: 0, audioEnergy: 0, audioSamples: 0, audioLevel: 0, codecs: [], opened: 0 };
        const { player } = globalThis.millrace ?? {};
        const reports = (await player?.pc?.getStats()) ?? new Map();
        found.opened = player?.opened ?? 0;
        found.join_ms = player?.join_ms;
        for (const r of reports.values()) {
            if (r.type !== 'inbound-rtp') continue;
            found.codecs.push(reports.get(r.codecId)?.mimeType);
            if (r.kind === 'video') Object.assign(found, { frames: r.framesDecoded ?? 0, video: r });
            else Object.assign(found, { audioEnergy: r.totalAudioEnergy ?? 0, audioSamples: r.totalSamplesReceived ?? 0,
                audioLevel: r.audioLevel ?? 0, audio: r });
        }
        return found;
    });
}

// Waits until `frames` more pictures are decoded than now.
export async function picturesGrow(page, frames = 20, timeout_ms = 15_000) {
    const before = (await received(page)).frames;
    let now;
    try {
        return await until(`${frames} more pictures than ${before}`, timeout_ms, async () => {
            now = await received(page);
            return now.frames >= before + frames && now;
        });
    } catch (error) {
        throw new Error(`${error.message}: now ${now?.frames}; ${await describe(page)}`);
    }
}

// Turns the sound on as a user does, and waits until some above silence is played.
export async function soundIsHeard(page, timeout_ms = 15_000) {
    if (await page.evaluate(() => document.querySelector('#video').muted)) await page.click('#sound');
    return until('sound is heard', timeout_ms, async () => {
        const now = await received(page);
        if (!(now.audioLevel > 0 && now.audioEnergy > 0)) throw new Error(JSON.stringify(now.audio));
        return now;
    });
}
