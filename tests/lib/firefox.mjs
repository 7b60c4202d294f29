// SPDX-License-Identifier: Apache-2.0
//
// firefox.mjs - Debian's Firefox under puppeteer-core (WebDriver BiDi), looking at the nodes' own pages. What browser.mjs
// has for a page of Chromium (pageState, received, picturesGrow) does for one of Firefox, too.
import { existsSync } from 'node:fs';
import puppeteer from 'puppeteer-core';
import { pageState, tell } from './browser.mjs';

const PROGRAM = '/usr/bin/firefox-esr';
const PREFERENCES = {
    'media.navigator.streams.fake': true, // a camera and a microphone
    'media.navigator.permission.disabled': true,
    'media.autoplay.default': 0,
    'media.peerconnection.ice.loopback': true,
    'media.gmp-manager.updateEnabled': false, // no download of OpenH264
    'media.gmp-provider.enabled': false,
};

export const hasFirefox = existsSync(PROGRAM);

// A Firefox with an empty profile, closed by cluster.down().
export async function launchFirefox(cluster) {
    const browser = await puppeteer.launch({ browser: 'firefox', executablePath: PROGRAM, headless: true,
        extraPrefsFirefox: PREFERENCES });
    cluster.add({ stop: () => browser.close(), tell: async () => tell(await browser.pages()) });
    return browser;
}

export async function openFirefox(browser, url) {
    const page = await browser.newPage();
    page.said = [];
    page.on('console', (m) => page.said.push(`${m.type()}: ${m.text()}`));
    page.on('pageerror', (e) => page.said.push(`error: ${e.message}`));
    await page.goto(url);
    return page;
}

export async function publishFirefox(browser, cluster, stream, codec) {
    const query = new URLSearchParams({ stream, codec, size: '640x360', bitrate: '800' });
    const page = await openFirefox(browser, `${cluster.url('origin')}/publish.html?${query}`);
    await page.click('#start');
    await pageState(page, 'live');
    return page;
}

export async function watchFirefox(browser, cluster, stream) {
    return openFirefox(browser, `${cluster.url('edge')}/watch.html?${new URLSearchParams({ stream })}`);
}
