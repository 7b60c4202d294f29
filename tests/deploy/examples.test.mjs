// SPDX-License-Identifier: Apache-2.0
//
// examples.test.mjs - the configuration files that we ship are accepted by the nodes they are for.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { must, run, sourceDir } from './run.mjs';

const buildDir = process.env.MILLRACE_BUILD ?? path.join(sourceDir, 'build/test');
const files = ['deploy/config', 'deploy/compose'].flatMap((dir) =>
    readdirSync(path.join(sourceDir, dir)).map((name) => `${dir}/${name}`));

// origin.example.yaml, edge-eu.yaml: the role is the first word.
const roleOf = (file) => path.basename(file).match(/^[a-z]+/)[0];
const check = (role, file) => run(`${buildDir}/${role}/millrace-${role}`, ['--config', file, '--check']);

// Certificates are only where the files are used.
function withoutCertificates(file) {
    return readFileSync(path.join(sourceDir, file), 'utf8').replace(/^ *(ca|certificate|key): \/.*\n/gm, '');
}

for (const file of files) {
    test(`${file} is a valid configuration of its role`, async () => {
        const dir = mkdtempSync(path.join(tmpdir(), 'millrace-config-'));
        try {
            const copy = path.join(dir, 'node.yaml');
            writeFileSync(copy, withoutCertificates(file));
            const result = await check(roleOf(file), copy);
            assert.equal(result.status, 0, result.output);
        } finally {
            rmSync(dir, { recursive: true });
        }
    });
}

for (const role of ['origin', 'backbone', 'edge']) {
    test(`a wrong key in the ${role}'s file is refused with file, line and column`, async () => {
        const dir = mkdtempSync(path.join(tmpdir(), 'millrace-config-'));
        try {
            const file = path.join(dir, 'wrong.yaml');
            const text = readFileSync(path.join(sourceDir, `deploy/config/${role}.example.yaml`), 'utf8');
            const line = text.split('\n').findIndex((l) => l.startsWith('  region:')) + 1;
            writeFileSync(file, text.replace('  region:', '  regoin:'));
            const result = await check(role, file);
            assert.equal(result.status, 1, result.output);
            assert.match(result.output, new RegExp(`wrong\\.yaml.*\\b${line}\\b`), result.output);
        } finally {
            rmSync(dir, { recursive: true });
        }
    });
}

test('make-certs makes a pair a node under one authority, and a later pair under the same', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'millrace-certs-'));
    try {
        await must('deploy/make-certs', [dir, 'origin', 'edge-eu']);
        const authority = readFileSync(`${dir}/ca.crt`, 'utf8');
        await must('deploy/make-certs', [dir, 'origin', 'edge-us']);
        assert.equal(readFileSync(`${dir}/ca.crt`, 'utf8'), authority);
        for (const node of ['origin', 'edge-eu', 'edge-us']) {
            for (const purpose of ['sslserver', 'sslclient']) {
                await must('openssl', ['verify', '-purpose', purpose, '-CAfile', `${dir}/ca.crt`, `${dir}/${node}.crt`]);
            }
        }
    } finally {
        rmSync(dir, { recursive: true });
    }
});
