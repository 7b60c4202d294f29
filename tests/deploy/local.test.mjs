// SPDX-License-Identifier: Apache-2.0
//
// local.test.mjs - deploy/local as a user runs it: up, urls, status, a picture at both edges, down.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { must, run, sourceDir, until } from '../lib/process.mjs';

const BASE_PORT = 24000;
const PROCESSES = ['redis', 'origin', 'backbone', 'edge-eu', 'edge-us', 'publisher'];
const runDir = mkdtempSync(path.join(tmpdir(), 'millrace-local-'));
const local = (...args) => run('deploy/local', [...args, '--base-port', `${BASE_PORT}`, '--run-dir', runDir],
    { timeout_ms: 420_000 });
const parseUrls = (text) => Object.fromEntries(text.trim().split('\n').map((line) => line.split(' ')));

after(async () => {
    await local('down');
    rmSync(runDir, { recursive: true, force: true });
});

// Command lines of processes that name our run dir or, as redis does, our port.
function processesOfOurs() {
    const lines = [];
    const network = readlinkSync('/proc/self/ns/net');
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
        let line = '';
        try {
            if (readlinkSync(`/proc/${pid}/ns/net`) !== network) continue; // another network's ports are not ours
            line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        } catch {
            continue; // it ended meanwhile
        }
        if (line.includes(runDir) || /127\.0\.0\.1:24\d\d\d/.test(line)) lines.push(`${pid} ${line}`);
    }
    return lines;
}

// Listening TCP and bound UDP ports of our range, from the kernel's tables (proc(5)).
function portsOfOurs() {
    const ports = new Set();
    for (const [table, states] of [['tcp', ['0A']], ['tcp6', ['0A']], ['udp', ['07']], ['udp6', ['07']]]) {
        for (const line of readFileSync(`/proc/net/${table}`, 'utf8').trim().split('\n').slice(1)) {
            const [, address, , state] = line.trim().split(/\s+/);
            const port = parseInt(address.split(':')[1], 16);
            if (states.includes(state) && port >= BASE_PORT && port < BASE_PORT + 400) ports.add(port);
        }
    }
    return [...ports].sort();
}

async function nothingIsLeft() {
    assert.deepEqual(processesOfOurs(), []);
    assert.deepEqual(portsOfOurs(), []);
    assert.deepEqual(readdirSync(runDir), ['logs']);
}

// What a player sees of the first seconds: decoded pictures, and the picture's size.
async function probe(url) {
    const { stdout } = await must('ffprobe', ['-v', 'error', '-rw_timeout', '5000000', '-count_frames',
        '-read_intervals', '%+2', '-show_entries', 'stream=codec_name,width,nb_read_frames,sample_rate', '-of', 'json', url],
    { timeout_ms: 30_000 });
    return JSON.parse(stdout).streams;
}

test('up, urls, status, a picture with sound at both edges, down', async () => {
    const up = await local('up');
    assert.equal(up.status, 0, up.output);
    const urls = parseUrls((await local('urls')).stdout);
    assert.deepEqual(parseUrls(up.stdout), urls, 'up prints the URLs');
    for (const name of ['origin.whip', 'origin.rtmp', 'edge-eu.watch', 'edge-eu.whep', 'edge-eu.flv', 'edge-eu.api',
        'edge-us.watch', 'edge-us.whep', 'edge-us.flv', 'edge-us.api', 'backbone.api', 'origin.api']) {
        assert.ok(urls[name], `there is a ${name}`);
    }

    const status = await local('status');
    assert.equal(status.status, 0, status.output);
    for (const name of PROCESSES) assert.match(status.stdout, new RegExp(`^${name} +\\d+ +(ready|running) `, 'm'));

    for (const edge of ['edge-eu', 'edge-us']) {
        const streams = await probe(urls[`${edge}.flv`]);
        const video = streams.find((s) => s.codec_name === 'h264');
        const audio = streams.find((s) => s.codec_name === 'aac');
        assert.equal(video?.width, 1280, JSON.stringify(streams));
        assert.ok(Number(video.nb_read_frames) >= 30, JSON.stringify(streams));
        assert.equal(audio?.sample_rate, '48000', JSON.stringify(streams));
        assert.equal((await fetch(urls[`${edge}.watch`])).status, 200);
        assert.equal((await fetch(`${urls[`${edge}.api`]}/node`).then((r) => r.json())).id, edge);
    }

    const logs = await local('logs', 'edge-eu');
    assert.equal(logs.status, 0, logs.output);
    assert.match(logs.stdout, /node: edge edge-eu: /);
    assert.notEqual((await local('logs', 'nobody')).status, 0);

    const again = await local('up');
    assert.equal(again.status, 0, again.output);
    assert.match(again.stderr, /already up/);

    const down = await local('down');
    assert.equal(down.status, 0, down.output);
    assert.doesNotMatch(down.output, /killed/, 'every process ends when asked to');
    await nothingIsLeft();
    assert.notEqual((await local('status')).status, 0);
});

test('Ctrl-C during up leaves nothing behind', async () => {
    const child = spawn('deploy/local', ['up', '--base-port', `${BASE_PORT}`, '--run-dir', runDir],
        { cwd: sourceDir, detached: true, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await until('the origin is started', 120_000, () => existsSync(`${runDir}/pid/origin`) || child.exitCode !== null);
    assert.equal(child.exitCode, null, 'up still runs');
    process.kill(-child.pid, 'SIGINT'); // as a terminal does: to the whole foreground group
    assert.equal(await ended, 130);
    await nothingIsLeft();
});

test('a node that ends while starting is named with the end of its log', async () => {
    const first = await local('up');
    assert.equal(first.status, 0, first.output);
    const otherDir = mkdtempSync(path.join(tmpdir(), 'millrace-other-'));
    try {
        const second = await run('deploy/local', ['up', '--base-port', `${BASE_PORT}`, '--run-dir', otherDir],
            { timeout_ms: 120_000 });
        assert.equal(second.status, 1, second.output);
        assert.match(second.stderr, /redis ended.*redis\.log/);
        assert.equal((await local('status')).status, 0, 'the first cluster is untouched');
    } finally {
        rmSync(otherDir, { recursive: true, force: true });
    }
});

test('up clears away what a killed cluster left', async () => {
    const pid = Number(readFileSync(`${runDir}/pid/edge-us`, 'utf8').split(' ')[0]);
    process.kill(pid, 'SIGKILL');
    assert.notEqual((await local('status')).status, 0);
    const up = await local('up');
    assert.equal(up.status, 0, up.output);
    assert.match(up.stderr, /left of an earlier cluster/);
    assert.equal((await local('down')).status, 0);
    await nothingIsLeft();
});
