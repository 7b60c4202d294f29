// SPDX-License-Identifier: Apache-2.0
//
// ipv6.test.mjs - IPv6 from camera to viewer: HTTP, media and pipes, over [::1] and over a unique local address.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, launch, open, pageState, picturesGrow, watch } from '../lib/browser.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { isolated } from '../lib/netns.mjs';
import { must } from '../lib/process.mjs';

const LOCAL = 'fd00:77::1';

if (!isolated) {
    console.log('no network namespaces can be made here');
    process.exit(77);
}
await must('ip', ['addr', 'add', `${LOCAL}/64`, 'dev', 'net0', 'nodad']);
const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: {} }, { start: false });
for (const name of cluster.names) {
    const everywhere = (what) => `[::]:${cluster.port(name, what)}`;
    cluster.writeConfig(name, {
        http: { listen: everywhere('http') },
        pipe: { listen: `[${LOCAL}]:${cluster.port(name, 'pipe')}` },
        ...(name === 'backbone' ? {} : { rtc: { listen: everywhere('rtc'), announce: ['::1', LOCAL] } }),
    });
}
await cluster.start();

// Who the node's sessions of that kind are, by the address of their media.
async function peers(name, kind) {
    return (await cluster.sessions(name, kind)).map((session) => session.media_peer ?? session.peer);
}

await cluster.use(test, async (t) => {
    const browser = await launch(cluster);

    for (const host of ['[::1]', `[${LOCAL}]`]) {
        await t.test(`a camera is published and seen at ${host}`, async () => {
            // A camera is given to pages of this host only, so the page is that of [::1], and the endpoint the other.
            const stream = `live/${host === '[::1]' ? 'loopback' : 'local'}`;
            const query = new URLSearchParams({ stream, size: '640x360', bitrate: '800', endpoint: `${cluster.url('origin', host)}/whip/${stream}` });
            const publisher = await open(browser, `${cluster.url('origin', '[::1]')}/publish.html?${query}`,
                { permissions: ['camera', 'microphone'] });
            await publisher.click('#start');
            await pageState(publisher, 'live');
            const viewer = await watch(browser, cluster, stream, { base: cluster.url('edge', host) });
            await picturesGrow(viewer);
            for (const [name, kind] of [['origin', 'whip'], ['edge', 'whep']]) {
                const [peer, ...others] = await peers(name, kind);
                assert.deepEqual(others, []);
                assert.match(peer, /^\[(::1|fd00:77::1)\]:\d+$/, `${kind} media by IPv6`);
            }
            const [pipe] = await peers('backbone', 'pipe');
            assert.match(pipe, /^\[fd00:77::1\]:\d+$/, 'pipes by IPv6');
            await close(viewer);
            await close(publisher);
        });
    }
});
