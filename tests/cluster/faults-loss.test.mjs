// SPDX-License-Identifier: Apache-2.0
//
// faults-loss.test.mjs - the edge is far from its backbone, on a line that loses: what is left of the loss, what repair costs in time, and
// what a viewer sees of a line that is cut, one way or both.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getJson } from '../lib/http.mjs';
import { publishLive } from '../lib/media.mjs';
import { sleep, until } from '../lib/process.mjs';
import { NetCluster, skipWithoutNamespaces } from './net/net.mjs';
import { Watch } from './net/watch.mjs';

skipWithoutNamespaces();

const ONE_WAY_MS = 20;
const RTT_MS = 2 * ONE_WAY_MS;
const LOSS_PPM = 50_000;
const LONG = Boolean(process.env.MILLRACE_LONG);
const MEASURE_MS = LONG ? 300_000 : 8_000;
const MACHINE_MS = 30; // what a loaded machine and a sanitized build add

const directory = { lease_ms: 3000 };
const cluster = await NetCluster.up({
    origin: { directory }, backbone: { directory }, 'backbone-eu-2': { directory, node: { region: 'eu' } }, edge: { directory, relay: { linger_ms: 500 } },
}, { far: ['edge', 'backbone', 'backbone-eu-2'] });

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.floor(values.length * q)];

// What the viewer got behind the moment at which each picture could have come at the earliest, in ms.
async function watchFor(stream, ms) {
    const watch = new Watch(`${cluster.url('edge')}/${stream}.flv`);
    await until('it plays', 10_000, () => watch.pictures > 60);
    watch.lateness = [];
    watch.earliest_ms = Infinity;
    await sleep(ms);
    return watch;
}

await cluster.use(test, async (t) => {
    const stream = 'live/far';
    const publisher = publishLive(cluster, cluster.rtmp(stream), { gop: 30 });
    await cluster.isLive('origin', stream);

    await t.test('40 ms and 5% loss on the pipe: hardly anything is lost for good, and repair takes less than two round trips', async () => {
        await cluster.far('edge').set(`both delay_us=${ONE_WAY_MS * 1000}`);
        const quiet = await (await watchFor(stream, 4_000)).stop();
        await cluster.far('edge').set(`both loss_ppm=${LOSS_PPM}`);
        const watch = await watchFor(stream, MEASURE_MS);
        const { pipe } = await cluster.stream('edge', stream);
        await cluster.far('edge').set('both loss_ppm=0');
        const saw = await watch.stop();
        const residual = pipe.given_up / (pipe.packets + pipe.given_up);
        const late = (q) => Math.round(quantile(saw.lateness, q));
        const usual = (q) => Math.round(quantile(quiet.lateness, q));
        console.log(`# ${pipe.packets} packets: ${pipe.lost} lost, ${pipe.recovered} recovered, ${pipe.given_up} given up (residual ${residual}); `
            + `pictures later than the earliest by p50 ${late(0.5)} p90 ${late(0.9)} p95 ${late(0.95)} p99 ${late(0.99)} ms `
            + `(without loss ${usual(0.5)} ${usual(0.9)} ${usual(0.95)} ${usual(0.99)}); ${saw.gaps} gaps, longest freeze ${saw.freeze_ms} ms`);
        assert.ok(pipe.lost > pipe.packets * LOSS_PPM / 1e6 / 4, 'the line did lose'); // the packets before it did count too
        // Of a short run one packet would be too many: a machine that stalls for a second may cost one.
        assert.ok(pipe.given_up <= (LONG ? 0 : 1) + pipe.packets * 1e-4, `residual loss ${residual}`);
        const quietMachine = usual(0.9) < 60;
        if (!quietMachine) console.log('# the machine is too busy: times are not judged');
        assert.ok(!quietMachine || saw.gaps <= 2, 'steps: a machine that stalls for longer than the muxer waits (400 ms) makes one');
        const repair_ms = pipe.repair_us / pipe.recovered / 1000;
        const slow = pipe.slow_repairs / pipe.recovered;
        console.log(`# a repair took ${repair_ms.toFixed(1)} ms on average, ${pipe.slow_repairs} of ${pipe.recovered} more than two round trips `
            + `(${(slow * 100).toFixed(2)} %); ${pipe.requested} packets were asked for again`);
        assert.ok(!quietMachine || slow < (LONG ? 0.02 : 0.1), `${slow} of the repairs took more than two round trips`);
        assert.ok(!quietMachine || repair_ms < 2 * RTT_MS, `a repair took ${repair_ms} ms`);
        assert.ok(!quietMachine || late(0.5) - usual(0.5) < 2 * RTT_MS + MACHINE_MS, `pictures came ${late(0.5) - usual(0.5)} ms later`);
    });

    await t.test('200 ms, jitter and reordering: nothing is asked for that only comes late, nothing is missed', async () => {
        await cluster.far('edge').set('both delay_us=100000 jitter_us=5000 reorder_ppm=20000');
        const watch = await watchFor(stream, 2_000);
        const before = (await cluster.stream('edge', stream)).pipe;
        await sleep(3000);
        const { pipe } = await cluster.stream('edge', stream);
        await cluster.far('edge').set('both delay_us=0 jitter_us=0 reorder_ppm=0');
        const saw = await watch.stop();
        console.log(`# in 3 s: asked again for ${pipe.requested - before.requested} of ${pipe.packets - before.packets} packets, `
            + `given up ${pipe.given_up - before.given_up}; ${saw.gaps} gaps, longest freeze ${saw.freeze_ms} ms`);
        assert.equal(pipe.given_up, before.given_up);
        assert.equal(saw.gaps, 0);
    });

    for (const [what, command] of [['both ways', 'both cut=1'], ['towards it only', 'ab cut=1'], ['from it only', 'ba cut=1']]) {
        await t.test(`the line of the backbone that feeds the edge is cut ${what}: the edge goes on elsewhere, nothing is missed`, async () => {
            const watch = new Watch(`${cluster.url('edge')}/${stream}.flv`);
            await until('it plays', 10_000, () => watch.pictures > 60);
            const { parent } = await cluster.stream('edge', stream);
            const began = Date.now();
            await cluster.far(parent).set(command);
            await until('the edge has another parent', 5_000, async () => (await cluster.stream('edge', stream)).parent !== parent, 20);
            const took = Date.now() - began;
            const pictures = watch.pictures;
            await until('it plays on', 5_000, () => watch.pictures > pictures + 60);
            await cluster.far(parent).set('both cut=0');
            const saw = await watch.stop();
            console.log(`# ${what}: another parent after ${took} ms; ${saw.pictures} pictures, ${saw.gaps} gaps, longest freeze ${saw.freeze_ms} ms`);
            assert.equal(saw.gaps, 0);
            await until('all is as before', 15_000, async () => !(await cluster.stream('edge', stream))
                && (await getJson(`${cluster.url('edge')}/api/v1/nodes`)).nodes.length === cluster.names.length);
        });
    }
    await publisher.stop('SIGKILL');
});
