// SPDX-License-Identifier: Apache-2.0
//
// run.mjs - running commands from the deploy tests.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const sourceDir = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

// Run a command to its end. Resolves to {status, stdout, stderr, output}, whatever the status;
// status is null when the time was up and the command was killed.
export function run(command, args = [], { timeout_ms = 60_000, env = {}, input = null } = {}) {
    return new Promise((resolve, reject) => {
        const child = spawn(command, args, {
            cwd: sourceDir,
            env: { ...process.env, ...env },
            stdio: [input ?? 'ignore', 'pipe', 'pipe'],
            timeout: timeout_ms,
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
export async function until(what, timeout_ms, check) {
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
        await new Promise((resolve) => setTimeout(resolve, 250));
    }
}
