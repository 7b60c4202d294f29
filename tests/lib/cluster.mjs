// SPDX-License-Identifier: Apache-2.0
//
// cluster.mjs - real nodes and a real redis-server in a folder of their own, for one test file.
//
//   const cluster = await Cluster.up({ origin: {}, backbone: {}, edge: { relay: { linger_ms: 1000 } } });
//   await cluster.use(test, async (t) => { ... });
//
// A node's name is its role, or its role and a region: origin, backbone, edge, edge-us. Its value is
// configuration laid over what is made here.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { getJson, getMetrics, http } from './http.mjs';
import { freeBlock } from './ports.mjs';
import { Background, buildDir, must, run, sourceDir, until } from './process.mjs';

const WORKERS = 2;
const OFFSETS = { http: 10, rtmp: 11, rtc: 20, pipe: 30 }; // of a node's ports in its 100
const READY_MS = 20_000; // a sanitized build on a busy machine

export class Cluster {
    redis = null;
    nodes = new Map(); // name -> Background
    others = []; // publishers and the like, ended by down() first
    notes = []; // what was to be seen when a test failed

    // Starts redis and all nodes, and waits until each is ready. options.redis: false starts none;
    // options.start: false only writes the files.
    static up(spec, options = {}) {
        return Cluster.raise(new Cluster(spec), options);
    }

    // What up() does, for a cluster made already.
    static async raise(cluster, options) {
        try {
            await cluster.#prepare();
            if (options.redis !== false) await cluster.startRedis();
            if (options.start !== false) await cluster.start();
        } catch (error) {
            cluster.printLogs();
            await cluster.down().catch(() => {});
            throw error;
        }
        return cluster;
    }

    constructor(spec) {
        this.spec = spec;
        this.dir = mkdtempSync(path.join(tmpdir(), 'millrace-test-'));
        this.names = Object.keys(spec);
    }

    // ---- names and addresses ----

    port(name, what) {
        return this.base + 100 * (this.names.indexOf(name) + 1) + OFFSETS[what];
    }

    // Where a node listens and is found.
    address() {
        return '127.0.0.1';
    }

    get redisAddress() {
        return '127.0.0.1';
    }

    // What to put before a node's program.
    nodeCommand() {
        return [];
    }

    get redisPort() {
        return this.base;
    }

    // On another address of this host than loopback's, too.
    url(name, host = '127.0.0.1') {
        return `http${this.spec[name].http?.tls_key ? 's' : ''}://${host}:${this.port(name, 'http')}`;
    }

    // The file of a node's certificate ("crt") or key ("key").
    certificate(name, kind) {
        return path.join(this.dir, 'certs', `${name}.${kind}`);
    }

    rtmp(stream, origin = 'origin') {
        return `rtmp://127.0.0.1:${this.port(origin, 'rtmp')}/${stream}`;
    }

    log(name) {
        return path.join(this.dir, `${name}.log`);
    }

    // ---- starting ----

    async #prepare() {
        const offsets = [0, ...this.names.flatMap((_, i) => Object.values(OFFSETS)
            .flatMap((offset) => [0, 1, 2].map((worker) => 100 * (i + 1) + offset + worker)))];
        this.base = await freeBlock([...new Set(offsets)]);
        await must(`${sourceDir}/deploy/make-certs`, [path.join(this.dir, 'certs'), ...this.names]);
        for (const name of this.names) this.writeConfig(name);
    }

    // Writes a node's file, with more configuration laid over what it had; it counts at its next start.
    writeConfig(name, more = {}) {
        this.spec[name] = overlay(this.spec[name], more);
        const config = {
            node: { id: name, region: name.split('-')[1] ?? 'eu', workers: WORKERS, log: 'debug' },
            http: { listen: `0.0.0.0:${this.port(name, 'http')}`, web: `${sourceDir}/web` },
            pipe: {
                listen: `${this.address(name)}:${this.port(name, 'pipe')}`,
                ca: this.certificate('ca', 'crt'),
                certificate: this.certificate(name, 'crt'),
                key: this.certificate(name, 'key'),
            },
            redis: { address: `${this.redisAddress}:${this.redisPort}` },
        };
        if (roleOf(name) !== 'backbone') config.rtc = { listen: `0.0.0.0:${this.port(name, 'rtc')}` };
        if (roleOf(name) === 'origin') config.rtmp = { listen: `0.0.0.0:${this.port(name, 'rtmp')}` };
        const file = path.join(this.dir, `${name}.yaml`);
        writeFileSync(file, toYaml(overlay(config, this.spec[name])));
        return file;
    }

    async startRedis() {
        this.redis = new Background('redis', 'redis-server', ['--bind', this.redisAddress, '--port', `${this.redisPort}`,
            '--protected-mode', 'no', '--save', '', '--appendonly', 'no', '--dir', this.dir], { log: this.log('redis') });
        await until('redis answers', 10_000, async () =>
            (await run('redis-cli', ['-h', this.redisAddress, '-p', `${this.redisPort}`, 'ping'])).stdout.startsWith('PONG'));
    }

    startNode(name) {
        const role = roleOf(name);
        const [program, ...args] = [...this.nodeCommand(name), `${buildDir}/${role}/millrace-${role}`,
            '--config', path.join(this.dir, `${name}.yaml`)];
        const node = new Background(name, program, args, { log: this.log(name) });
        this.nodes.set(name, node);
        return node;
    }

    async ready(name) {
        await until(`${name} is ready`, READY_MS, async () => {
            assert.ok(this.nodes.get(name).running, `${name} ended`);
            return (await http(`${this.url(name)}/readyz`)).status === 200;
        });
    }

    async start() {
        for (const name of this.names) this.startNode(name);
        for (const name of this.names) await this.ready(name);
        // All know of all: else the first viewer might meet an edge that has not heard of the backbone.
        await until('every node knows every node', READY_MS, async () => {
            for (const name of this.names)
                if ((await getJson(`${this.url(name)}/api/v1/nodes`)).nodes.length < this.names.length) return false;
            return true;
        });
    }

    // ---- asking ----

    async stream(name, stream) {
        const { streams } = await getJson(`${this.url(name)}/api/v1/streams`);
        return streams.find((s) => s.name === stream);
    }

    // The header fields by which a node takes us for its operator; none from its own host.
    get operator() {
        return {};
    }

    async sessions(name, kind) {
        const { sessions } = await getJson(`${this.url(name)}/api/v1/sessions`, { headers: this.operator });
        return sessions.filter((s) => !kind || s.kind === kind);
    }

    async metric(name, sample) {
        return (await getMetrics(this.url(name))).get(sample) ?? 0;
    }

    async isLive(name, stream, timeout_ms = 10_000) {
        return until(`${stream} is live at ${name}`, timeout_ms, async () => (await this.stream(name, stream))?.state === 'live');
    }

    // ---- ending ----

    // A process that down() ends first; its tell(), where it has one, says what can be seen of it after a failure.
    add(background) {
        this.others.push(background);
        return background;
    }

    // Runs body as a test of node:test, then down(). Its argument's test() is that of node:test. Whatever fails,
    // what nodes and pages said then and the nodes' logs are shown after it.
    use(test, body) {
        let failed = false;
        const noting = (run) => async (...args) => {
            try {
                return await run(...args);
            } catch (error) {
                failed = true;
                await this.#note(error);
                throw error;
            }
        };
        const whole = noting(async (t) => {
            try {
                await body({ test: (name, ...rest) => t.test(name, ...rest.slice(0, -1), noting(rest.at(-1))) });
            } finally {
                await this.down();
            }
        });
        return test(path.basename(process.argv[1]), whole).then(() => {
            if (failed) this.printLogs();
            this.remove();
        });
    }

    // Each node's streams, sessions and nodes, and what the others have to tell, at the moment of a failure.
    async #note(error) {
        this.notes.push(`---- ${new Date().toISOString()}, load ${loadavg().map((l) => l.toFixed(1)).join(' ')}: ${error.message}`);
        for (const [name, node] of this.nodes)
            for (const what of node.running ? ['streams', 'sessions', 'nodes'] : [])
                this.notes.push(`${name} ${what}: ${await http(`${this.url(name)}/api/v1/${what}`, { headers: this.operator, timeout_ms: 2_000 })
                    .then(({ text }) => text.replace(/\s+/g, ' ').slice(0, 8_000), (failure) => failure.message)}`);
        for (const other of this.others) if (other.tell) this.notes.push(await other.tell());
    }

    printLogs() {
        for (const note of this.notes) console.log(note);
        for (const file of readdirSync(this.dir).filter((name) => name.endsWith('.log'))) {
            const lines = readFileSync(path.join(this.dir, file), 'utf8').trimEnd().split('\n');
            console.log(`---- ${file}${lines.length > 120 ? ` (the last 120 of ${lines.length} lines)` : ''}`);
            console.log(lines.slice(-120).join('\n'));
        }
    }

    // Ends everything. Throws when a node did not end by itself with 0, or a sanitizer found something.
    async down() {
        await Promise.all(this.others.map((other) => other.stop('SIGKILL')));
        const ends = await Promise.all([...this.nodes.values()].map((node) => node.stop()));
        await this.redis?.stop();
        const names = [...this.nodes.keys()];
        const wrong = names.flatMap((name, i) => [
            ...(ends[i].status === 0 || this.nodes.get(name).expected ? [] : [`${name} ended with ${JSON.stringify(ends[i])}`]),
            ...sanitizerReports(this.nodes.get(name).output()).map((line) => `${name}: ${line}`)]);
        if (wrong.length) throw new Error(wrong.join('\n'));
    }

    remove() {
        rmSync(this.dir, { recursive: true, force: true });
    }
}

function roleOf(name) {
    return name.split('-')[0];
}

function overlay(config, more) {
    const whole = { ...config };
    for (const [section, keys] of Object.entries(more ?? {})) whole[section] = { ...whole[section], ...keys };
    return whole;
}

// Two levels are all that there is; JSON's values are YAML's.
function toYaml(config) {
    return Object.entries(config).map(([section, keys]) =>
        `${section}:\n${Object.entries(keys).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`).join('')}`).join('');
}

function sanitizerReports(text) {
    return text.split('\n').filter((line) => /AddressSanitizer|LeakSanitizer|runtime error:|ThreadSanitizer/.test(line));
}
