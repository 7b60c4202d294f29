// SPDX-License-Identifier: Apache-2.0
//
// examples.test.mjs - the configuration files that we ship are accepted by the nodes they are for.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { must, run, sourceDir } from '../lib/process.mjs';

const buildDir = process.env.MILLRACE_BUILD ?? path.join(sourceDir, 'build/test');
const files = ['deploy/config', 'deploy/compose'].flatMap((dir) =>
    readdirSync(path.join(sourceDir, dir)).map((name) => `${dir}/${name}`));

// origin.example.yaml, edge-eu.yaml: the role is the first word.
const roleOf = (file) => path.basename(file).match(/^[a-z]+/)[0];

// Certificates are only where the files are used.
function withoutCertificates(file) {
    return readFileSync(path.join(sourceDir, file), 'utf8').replace(/^ *(ca|certificate|key): \/.*\n/gm, '');
}

// A file of this text, as a node sees it: status and output of --check.
async function checkText(role, text) {
    const dir = mkdtempSync(path.join(tmpdir(), 'millrace-config-'));
    try {
        writeFileSync(path.join(dir, 'node.yaml'), text);
        return await run(`${buildDir}/${role}/millrace-${role}`, ['--config', path.join(dir, 'node.yaml'), '--check']);
    } finally {
        rmSync(dir, { recursive: true });
    }
}

// A refused key is answered with all that are known in its place.
async function knownKeys(role, text) {
    const { status, output } = await checkText(role, text);
    assert.equal(status, 1, output);
    return output.match(/expected one of: (.*)/)[1].split(', ').sort();
}

for (const file of files) {
    test(`${file} is a valid configuration of its role`, async () => {
        const result = await checkText(roleOf(file), withoutCertificates(file));
        assert.equal(result.status, 0, result.output);
    });
}

for (const role of ['origin', 'backbone', 'edge']) {
    const example = readFileSync(path.join(sourceDir, `deploy/config/${role}.example.yaml`), 'utf8');

    test(`a wrong key in the ${role}'s file is refused with file, line and column`, async () => {
        const line = example.split('\n').findIndex((l) => l.startsWith('  region:')) + 1;
        const { status, output } = await checkText(role, example.replace('  region:', '  regoin:'));
        assert.equal(status, 1, output);
        assert.match(output, new RegExp(`node\\.yaml:${line}:3: .*regoin`));
    });

    test(`the ${role}'s example names every key that it knows`, async () => {
        const sections = example.split(/^(?=[a-z]+:)/m).slice(1);
        assert.deepEqual(sections.map((text) => text.match(/^[a-z]+/)[0]).sort(), await knownKeys(role, 'x: 1\n'));
        for (const text of sections) {
            const name = text.match(/^[a-z]+/)[0];
            const keys = [...text.matchAll(/^  ([a-z_]+):/gm)].map((match) => match[1]);
            assert.deepEqual(keys.sort(), await knownKeys(role, `${name}:\n  x: 1\n`), name);
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
