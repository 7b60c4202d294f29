// SPDX-License-Identifier: Apache-2.0
//
// process.mjs - running commands from tests: to their end, or in the background until told to stop.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export { sleep };
export const sourceDir = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const buildDir = process.env.MILLRACE_BUILD ?? `${sourceDir}/build/test`;

// Run a command to its end. Resolves to {status, stdout, stderr, output}, whatever the status;
// status is null when the time was up and the command was killed.
export function run(command, args = [], { timeout_ms = 60_000, env = {}, cwd = sourceDir, input = null } = {}) {
    return new Promise((resolve, reject) => {
        const child = spawn(command, args, {
            cwd,
            env: { ...process.env, ...env },
            stdio: [input === null ? 'ignore' : 'pipe', 'pipe', 'pipe'],
            timeout: timeout_ms,
            killSignal: 'SIGKILL',
        });
        const result = { status: null, stdout: '', stderr: '', output: '' };
        const keep = (name) => (chunk) => {
            result[name] += chunk;
            result.output += chunk;
        };
        child.stdout.on('data', keep('stdout'));
        child.stderr.on('data', keep('stderr'));
        child.on('error', reject);
        child.on('close', (status) => resolve({ ...result, status }));
        if (input !== null) child.stdin.end(input);
    });
}

// As run, but anything but status 0 is an error that shows what the command said.
export async function must(command, args = [], options = {}) {
    const result = await run(command, args, options);
    if (result.status !== 0) {
        throw new Error(`${command} ${args.join(' ')}: status ${result.status}\n${result.output.slice(-6000)}`);
    }
    return result;
}

// Call check() until it returns something true; it may throw meanwhile.
export async function until(what, timeout_ms, check, period_ms = 100) {
    const deadline = Date.now() + timeout_ms;
    let last = '';
    for (;;) {
        try {
            const value = await check();
            if (value) return value;
        } catch (error) {
            last = `: ${error.message}`;
        }
        if (Date.now() > deadline) throw new Error(`${what}: not within ${timeout_ms} ms${last}`);
        await sleep(period_ms);
    }
}

const alive = new Set();

// Whatever way the test ends, its processes end with it.
process.once('exit', () => alive.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

// A process in the background; what it writes goes to a log file.
export class Background {
    constructor(name, command, args, { log, env = {}, cwd = sourceDir } = {}) {
        const fd = openSync(log, 'a');
        this.name = name;
        this.log = log;
        this.child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', fd, fd] });
        closeSync(fd);
        this.pid = this.child.pid;
        alive.add(this.child);
        // {status, signal} of its end
        this.ended = new Promise((resolve) => {
            this.child.once('error', (error) => resolve({ status: null, signal: null, error }));
            this.child.once('exit', (status, signal) => resolve({ status, signal }));
        }).then((end) => {
            alive.delete(this.child);
            return (this.end = end);
        });
    }

    get running() {
        return !this.end;
    }

    output() {
        return readFileSync(this.log, 'utf8');
    }

    // Ask it to end; kill it when it has not after timeout_ms. Resolves to {status, signal}.
    async stop(signal = 'SIGTERM', timeout_ms = 15_000) {
        if (this.running) this.child.kill(signal);
        const timer = setTimeout(() => this.child.kill('SIGKILL'), timeout_ms);
        await this.ended;
        clearTimeout(timer);
        return this.end;
    }
}
