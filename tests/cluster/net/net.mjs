// SPDX-License-Identifier: Apache-2.0
//
// net.mjs - a cluster whose nodes have a network namespace each, joined by a bridge; some of them far away.
//
//   const cluster = await NetCluster.up({ origin: {}, backbone: {}, edge: {} }, { far: ['edge'] });
//   await cluster.far('edge').set('both delay_us=20000 loss_ppm=50000');
//
// Redis is at 10.60.0.1, where the test runs; node i at 10.60.0.(i + 2). A far node's cable is far_link.c's.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Cluster } from '../../lib/cluster.mjs';
import { isolated } from '../../lib/netns.mjs';
import { Background, buildDir, must, run, until } from '../../lib/process.mjs';

const HERE = '10.60.0.1';

// Without namespaces of our own there is nothing to build a network of.
export function skipWithoutNamespaces() {
    if (isolated) return;
    console.log('no network namespaces can be made here');
    process.exit(77);
}

class FarLink {
    // a: this end, a device in our namespace; b: in the namespace of pid.
    static async open(nearDevice, pid, farDevice) {
        const link = new FarLink();
        link.child = spawn(`${buildDir}/tests/cluster/net/far_link`, ['-', nearDevice, `/proc/${pid}/ns/net`, farDevice],
            { stdio: ['pipe', 'pipe', 'inherit'] });
        link.lines = createInterface({ input: link.child.stdout })[Symbol.asyncIterator]();
        await link.lines.next();
        return link;
    }

    // "both delay_us=20000", "ab cut=1" (towards the node), "ba cut=1" (from it): see far_link.c.
    async set(command) {
        this.child.stdin.write(`${command}\n`);
        await this.lines.next();
    }

    close() {
        this.child.kill('SIGKILL');
    }
}

const ADMIN_TOKEN = 'of-the-tests'; // nodes are not of this host

export class NetCluster extends Cluster {
    holders = new Map(); // node -> Background that keeps its namespace
    links = new Map();   // node -> FarLink

    static async up(spec, { far = [], ...options } = {}) {
        const cluster = new NetCluster(spec);
        cluster.farNames = far;
        try {
            await cluster.#wire();
        } catch (error) {
            await cluster.down().catch(() => {});
            throw error;
        }
        return Cluster.raise(cluster, options);
    }

    address(name) {
        return `10.60.0.${this.names.indexOf(name) + 2}`;
    }

    get operator() {
        return { Authorization: `Bearer ${ADMIN_TOKEN}` };
    }

    writeConfig(name, more = {}) {
        return super.writeConfig(name, { http: { admin_token: ADMIN_TOKEN }, ...more });
    }

    get redisAddress() {
        return HERE;
    }

    url(name) {
        return `http://${this.address(name)}:${this.port(name, 'http')}`;
    }

    rtmp(stream, origin = 'origin') {
        return `rtmp://${this.address(origin)}:${this.port(origin, 'rtmp')}/${stream}`;
    }

    far(name) {
        return this.links.get(name);
    }

    // What to put before a command to run it where the node is.
    at(name) {
        return ['nsenter', '-t', `${this.holders.get(name).pid}`, '-n'];
    }

    nodeCommand(name) {
        return this.at(name);
    }

    // A viewer on the node's own machine, whatever its cable does.
    localUrl(name) {
        return `http://127.0.0.1:${this.port(name, 'http')}`;
    }

    async #wire() {
        await must('ip', ['link', 'add', 'br0', 'type', 'bridge']);
        await must('ip', ['addr', 'add', `${HERE}/24`, 'dev', 'br0']);
        await must('ip', ['link', 'set', 'br0', 'up']);
        for (const name of this.names) await this.#place(name);
    }

    async #place(name) {
        const holder = new Background(`${name}'s network`, 'unshare', ['-n', 'sleep', '3600'], { log: this.log('network') });
        const i = this.names.indexOf(name);
        this.holders.set(name, holder);
        const ours = (await must('readlink', ['/proc/self/ns/net'])).stdout;
        await until(`${name} has a network`, 5_000, async () =>
            (await run('readlink', [`/proc/${holder.pid}/ns/net`])).stdout.startsWith('net:')
            && (await run('readlink', [`/proc/${holder.pid}/ns/net`])).stdout !== ours, 20);
        if (this.farNames.includes(name)) this.links.set(name, await FarLink.open(`port${i}`, holder.pid, 'net0'));
        else await must('ip', ['link', 'add', `port${i}`, 'type', 'veth', 'peer', 'name', 'net0', 'netns', `${holder.pid}`]);
        await must('ip', ['link', 'set', `port${i}`, 'master', 'br0', 'up']);
        const inside = async (...command) => must(this.at(name)[0], [...this.at(name).slice(1), ...command]);
        await inside('ip', 'link', 'set', 'lo', 'up');
        await inside('ip', 'addr', 'add', `${this.address(name)}/24`, 'dev', 'net0');
        await inside('ip', 'link', 'set', 'net0', 'up');
        await inside('ip', 'route', 'add', 'default', 'via', HERE);
    }

    async down() {
        try {
            await super.down();
        } finally {
            for (const link of this.links.values()) link.close();
            await Promise.all([...this.holders.values()].map((holder) => holder.stop('SIGKILL')));
        }
    }
}
