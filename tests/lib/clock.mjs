// SPDX-License-Identifier: Apache-2.0
//
// clock.mjs - which numbered picture (media.mjs, publishLive) a page shows, and when.
//
// Both pages of a comparison run on one host, so the difference of the times at which they show the same picture
// is the difference of their delays.

// From now on the page notes each picture: number -> time shown (ms since 1970).
export function startClock(page) {
    return page.evaluate(() => {
        const BITS = 16;
        const video = document.querySelector('#video');
        const canvas = new OffscreenCanvas(BITS, 1);
        const context = canvas.getContext('2d', { willReadFrequently: true });
        const shown = (globalThis.shown = new Map());

        // One pixel a block: the middle of each of the 16, at the height of the strip's middle.
        const read = () => {
            const block = video.videoWidth / BITS;
            const middle = (video.videoHeight * 16) / 360;
            for (let i = 0; i < BITS; i++) context.drawImage(video, (i + 0.5) * block, middle, 1, 1, i, 0, 1, 1);
            const { data } = context.getImageData(0, 0, BITS, 1);
            let number = 0;
            for (let i = 0; i < BITS; i++) number += data[i * 4] > 127 ? 2 ** i : 0;
            return number;
        };
        const onPicture = (_now, picture) => {
            shown.set(read(), performance.timeOrigin + picture.presentationTime);
            video.requestVideoFrameCallback(onPicture);
        };
        video.requestVideoFrameCallback(onPicture);
    });
}

// The newest picture's number.
export function newest(page) {
    return page.evaluate(() => [...globalThis.shown.keys()].at(-1) ?? -1);
}

// Forget what was shown so far.
export function restartClock(page) {
    return page.evaluate(() => globalThis.shown.clear());
}

// How many milliseconds later than `first` the page `second` shows the pictures that both have shown:
// {late_ms: the median, pictures: how many}.
export async function lateness(first, second) {
    const [a, b] = await Promise.all([first, second].map((page) => page.evaluate(() => [...globalThis.shown])));
    const times = new Map(a);
    const late = b.filter(([number]) => times.has(number)).map(([number, at]) => at - times.get(number)).sort((x, y) => x - y);
    return { late_ms: late[Math.floor(late.length / 2)], pictures: late.length };
}
