// SPDX-License-Identifier: Apache-2.0
//
// netns.mjs FILE - run a test file in a network of its own: loopback, and an interface with an address and
// the default route, so that programs find the network that they expect. No namespace has a name: each
// ends with its last process, so that nothing can be left behind.
//
// Imported, it makes further namespaces for the tests inside, joined to theirs by a cable.
import { spawn, spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { Background, must, until } from './process.mjs';

const ADDRESS = '10.77.0.1';

// How a namespace can be had here: as root, as a user who may map itself to root, or not at all ([]).
function unshareCommand() {
    for (const flags of [['-n'], ['-rn']])
        if (spawnSync('unshare', [...flags, 'ip', 'link', 'set', 'lo', 'up']).status === 0) return ['unshare', ...flags];
    return [];
}

const SET_UP = `
ip link set lo up
ip link add net0 type dummy 2>/dev/null || { ip link add net0 type veth peer name net0x; ip link set net0x up; }
ip addr add ${ADDRESS}/24 dev net0
ip link set net0 up
ip route add default dev net0
exec "$@"`;

function runInside(command) {
    const unshare = unshareCommand();
    const whole = unshare.length ? [...unshare, 'sh', '-c', SET_UP, 'sh', ...command] : command;
    if (!unshare.length) console.log('# no network namespaces here: running in the host\'s network');
    const env = { ...process.env, MILLRACE_NETNS: unshare.length ? 'yes' : '' };
    const child = spawn(whole[0], whole.slice(1), { stdio: 'inherit', env });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('exit', (status, signal) => process.exit(signal ? 1 : status));
}

// Whether the test runs in a namespace of its own, and so may make interfaces.
export const isolated = process.env.MILLRACE_NETNS === 'yes';

// A further namespace, joined to this one by a cable: here .1, there .2 of 10.<net>.0.0/24.
export class Namespace {
    static async create(net, { log, defaultRoute = false }) {
        const ns = new Namespace();
        ns.near = `10.${net}.0.1`;
        ns.far = `10.${net}.0.2`;
        ns.holder = new Background('namespace', 'unshare', ['-n', 'sleep', '3600'], { log });
        await until('the namespace is there', 5_000, async () =>
            (await ns.#inside('readlink', '/proc/self/ns/net')) !== (await must('readlink', ['/proc/self/ns/net'])).stdout);
        await must('ip', ['link', 'add', `cable${net}`, 'type', 'veth', 'peer', 'name', 'net0', 'netns', `${ns.holder.pid}`]);
        await must('ip', ['addr', 'add', `${ns.near}/24`, 'dev', `cable${net}`]);
        await must('ip', ['link', 'set', `cable${net}`, 'up']);
        await ns.#inside('ip', 'link', 'set', 'lo', 'up');
        await ns.#inside('ip', 'addr', 'add', `${ns.far}/24`, 'dev', 'net0');
        await ns.#inside('ip', 'link', 'set', 'net0', 'up');
        if (defaultRoute) await ns.#inside('ip', 'route', 'add', 'default', 'via', ns.near);
        return ns;
    }

    // What to put before a command to run it there.
    get prefix() {
        return ['nsenter', '-t', `${this.holder.pid}`, '-n'];
    }

    async #inside(...command) {
        const [program, ...args] = [...this.prefix, ...command];
        return (await must(program, args)).stdout;
    }

    // Its address becomes 10.<net>.0.<last>: the one before is gone.
    async move(last) {
        const before = this.far;
        this.far = before.replace(/\d+$/, `${last}`);
        await this.#inside('ip', 'addr', 'del', `${before}/24`, 'dev', 'net0');
        await this.#inside('ip', 'addr', 'add', `${this.far}/24`, 'dev', 'net0');
        await this.#inside('ip', 'route', 'replace', 'default', 'via', this.near);
    }

    // From now on no UDP leaves it, nor comes in.
    async dropUdp() {
        for (const hook of ['input', 'output'])
            await this.#inside('nft', `add table inet no_udp; add chain inet no_udp ${hook} { type filter hook ${hook} priority 0; }; ` +
                `add rule inet no_udp ${hook} meta l4proto udp drop`);
    }

    // Until what this resolves to is called it reaches nothing but these ports.
    async reachOnly(...ports) {
        await this.#inside('nft', `add table inet closed; add chain inet closed output { type filter hook output priority 0; }; ` +
            `add rule inet closed output oif != lo meta l4proto { tcp, udp } th dport != { ${ports.join()} } drop`);
        return () => this.#inside('nft', 'delete table inet closed');
    }

    async remove() {
        await this.holder.stop('SIGKILL');
    }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
    runInside([process.execPath, ...process.argv.slice(2)]);
