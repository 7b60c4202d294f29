// SPDX-License-Identifier: Apache-2.0
//
// images.test.mjs - builds the images of deploy/Dockerfile and plays a stream through deploy/compose.yml.
//
// Touches no docker of the user's: starts a dockerd of its own, first beside the host's network
// without a bridge to build (packages are fetched), then in a network namespace to run the cluster.
// No image registry is needed: debian:bookworm-slim is made from Debian's packages. Layers are
// kept in the build folder for the next run.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { must, run, sourceDir, until } from '../lib/process.mjs';

const BASE = 'debian:bookworm-slim';
const PROJECT = 'millrace-test';
const buildDir = process.env.MILLRACE_BUILD ?? path.join(sourceDir, 'build/test');
const layersDir = path.join(buildDir, 'docker');
const workDir = mkdtempSync(path.join(tmpdir(), 'millrace-docker-'));
const namespace = `millrace-${process.pid}`;
const inNamespace = ['nsenter', `--net=/run/netns/${namespace}`];
const socket = `unix://${workDir}/docker.sock`;
const dockerEnv = { DOCKER_HOST: socket, DOCKER_CONFIG: workDir };
// Debian's own client can do BuildKit; another one in the path may lack the plugin for it.
const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';
// Where this host reaches the npm registry by authorities of its own, the base image knows them too.
const authorities = process.env.NODE_EXTRA_CA_CERTS;
const trust = {
    bootstrap: authorities ? [`--customize-hook=copy-in "${authorities}" /etc`] : [],
    import: authorities ? ['--change', `ENV NODE_EXTRA_CA_CERTS=/etc/${path.basename(authorities)}`] : [],
};

let daemon = null;
let composed = false;

async function reasonToSkip() {
    if (process.getuid() !== 0) return 'not root: cannot start a dockerd';
    for (const tool of ['dockerd', 'docker', 'ip', 'nsenter', 'mmdebstrap', 'ffprobe']) {
        if ((await run('which', [tool])).status !== 0) return `${tool} is not installed`;
    }
    if (!(await composeCommand())) return 'neither "docker compose" nor docker-compose is installed';
    return null;
}

async function composeCommand() {
    if ((await run('docker', ['compose', 'version'])).status === 0) return ['docker', 'compose'];
    if ((await run('which', ['docker-compose'])).status === 0) return ['docker-compose'];
    return null;
}

// Returns null when the daemon answers, else why it does not.
async function startDaemon(prefix = []) {
    const log = openSync(path.join(workDir, 'dockerd.log'), 'a');
    const args = [
        ...prefix, 'dockerd', '--host', socket, '--data-root', layersDir, '--exec-root', `${workDir}/exec`,
        '--pidfile', `${workDir}/docker.pid`, '--config-file', `${workDir}/daemon.json`, '--storage-driver', 'overlay2',
        '--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false',
    ];
    daemon = spawn(args[0], args.slice(1), { stdio: ['ignore', log, log] });
    closeSync(log);
    const started = daemon;
    try {
        await until('dockerd answers', 30_000, async () => {
            if (started.exitCode !== null) return true;
            return (await docker('info')).status === 0;
        });
    } catch (error) {
        return error.message;
    }
    return started.exitCode === null ? null : daemonLog();
}

function daemonLog() {
    return readFileSync(path.join(workDir, 'dockerd.log'), 'utf8').trim().split('\n').slice(-3).join(' / ');
}

async function stopDaemon() {
    if (!daemon || daemon.exitCode !== null) return;
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    const timer = setTimeout(() => daemon.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(timer);
    daemon = null;
}

const docker = (...args) => run(client, args, { env: dockerEnv, timeout_ms: 60_000 });

async function compose(...args) {
    const [command, ...rest] = [...inNamespace, ...(await composeCommand())];
    return must(command, [...rest, '-f', 'deploy/compose.yml', '-p', PROJECT, ...args], {
        env: dockerEnv,
        timeout_ms: 120_000,
    });
}

// What the registry's image of that name is: a minimal system without documentation, whose dpkg
// does not wait for the disk.
async function makeBase() {
    if ((await docker('image', 'inspect', BASE)).status === 0) return;
    const archive = path.join(workDir, 'base.tar');
    const options = ['force-unsafe-io', ...['doc', 'man', 'info', 'locale', 'lintian'].map((d) => `path-exclude=/usr/share/${d}/*`)];
    await must('mmdebstrap', ['--quiet', '--variant=minbase', ...options.map((o) => `--dpkgopt=${o}`),
        ...trust.bootstrap, 'bookworm', archive],
        { timeout_ms: 180_000 });
    await must(client, ['import', ...trust.import, archive, BASE], { env: dockerEnv, timeout_ms: 120_000 });
    rmSync(archive);
}

// BuildKit runs stages side by side and leaves out those that the target does not need; the
// older builder, one stage after the other, gives the same images.
async function buildImage(target, tag) {
    const args = ['build', '--force-rm', '--network=host', '-f', 'deploy/Dockerfile', '--target', target, '-t', tag, '.'];
    const build = (kit) => run(client, args, { env: { ...dockerEnv, DOCKER_BUILDKIT: kit }, timeout_ms: 600_000 });
    let result = await build('1');
    if (/buildx component is missing/.test(result.output)) result = await build('0');
    if (result.status !== 0) throw new Error(`image ${target}: status ${result.status}\n${result.output.slice(-6000)}`);
}

// Frames decoded from a URL inside the namespace of the cluster, from the first seconds of it.
async function framesOf(url) {
    const [command, ...rest] = inNamespace;
    const result = await run(command, [...rest, 'ffprobe', '-v', 'error', '-rw_timeout', '5000000',
        '-select_streams', 'v', '-count_frames', '-read_intervals', '%+2', '-show_entries',
        'stream=nb_read_frames,width', '-of', 'json', url], { timeout_ms: 20_000 });
    const stream = result.status === 0 ? JSON.parse(result.stdout).streams[0] : null;
    return stream?.width === 1280 ? Number(stream.nb_read_frames) : 0;
}

async function containers() {
    const ids = (await docker('ps', '-q')).stdout.trim().split('\n');
    return JSON.parse((await docker('inspect', ...ids)).stdout);
}

function step(what) {
    console.log(`# ${new Date().toISOString()} ${what}`);
}

const reason = await reasonToSkip();
if (reason) skip(reason);

function skip(why) {
    console.log(`skipped: ${why}`);
    rmSync(workDir, { recursive: true, force: true });
    process.exit(77);
}

mkdirSync(layersDir, { recursive: true });
writeFileSync(path.join(workDir, 'daemon.json'), '{}'); // not the host's
const broken = await startDaemon();
if (broken) {
    await stopDaemon();
    skip(`no dockerd can be run here: ${broken}`);
}

// Namespaces of containers stay mounted below the daemon's folder.
async function removeWorkDir() {
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n').map((line) => line.split(' ')[1] ?? '');
    for (const mount of mounts.filter((m) => m.startsWith(`${workDir}/`)).reverse()) await run('umount', [mount]);
    rmSync(workDir, { recursive: true, force: true });
}

after(async () => {
    if (daemon && composed) await compose('down', '-v', '-t', '5').catch((error) => console.log(error.message));
    await stopDaemon();
    await run('ip', ['netns', 'delete', namespace]);
    await removeWorkDir();
});

async function build() {
    step('making the base image');
    await makeBase();
    step('building the images');
    await Promise.all([
        buildImage('redis', 'millrace-redis'),
        buildImage('sample', 'millrace-sample'),
        buildImage('node', 'millrace'),
    ]);
    for (const role of ['origin', 'backbone', 'edge']) {
        const { stdout } = await must(client, ['run', '--rm', '--network=host', 'millrace', `millrace-${role}`, '--version'],
            { env: dockerEnv });
        assert.match(stdout, /\d+\.\d+\.\d+/);
    }
}

async function bringUp() {
    step('starting the cluster in a network namespace');
    await stopDaemon();
    await must('ip', ['netns', 'add', namespace]);
    await must('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
    assert.equal(await startDaemon(inNamespace), null);
    composed = true;
    await compose('up', '-d', '--no-build');
}

async function play() {
    step('playing at both edges');
    for (const port of [8082, 8083]) {
        const url = `http://127.0.0.1:${port}/live/test.flv`;
        await until(`the picture at ${url}`, 60_000, async () => (await framesOf(url)) > 30);
    }
}

async function checkContainers() {
    step('checking health and users');
    const names = await until('six healthy containers', 40_000, async () => {
        const all = await containers();
        const well = all.filter((c) => (c.State.Health?.Status ?? 'healthy') === 'healthy');
        return well.length === 6 && well.map((c) => c.Config.Labels['com.docker.compose.service']).sort();
    });
    assert.deepEqual(names, ['backbone', 'edge-eu', 'edge-us', 'origin', 'publisher', 'redis']);
    for (const container of await containers()) {
        const { stdout } = await docker('exec', container.Id, 'id', '-u');
        assert.match(stdout, /^[1-9][0-9]*\n$/, `${container.Name} runs as an ordinary user`);
        assert.equal(container.RestartCount, 0, `${container.Name} did not restart`);
    }
}

async function tearDown() {
    step('taking the cluster down');
    await compose('down', '-v', '-t', '5');
    composed = false;
    const ours = ['-q', '--filter', `label=com.docker.compose.project=${PROJECT}`];
    assert.equal((await docker('ps', '-a', ...ours)).stdout, '');
    assert.equal((await docker('volume', 'ls', ...ours)).stdout, '');
}

test('the images build, and the composed cluster plays the sample stream at both edges', async () => {
    await build();
    await bringUp();
    try {
        await play();
        await checkContainers();
    } catch (error) {
        console.log((await compose('logs', '--tail', '30')).output);
        throw error;
    }
    await tearDown();
});
