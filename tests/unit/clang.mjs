// SPDX-License-Identifier: Apache-2.0
//
// clang.mjs BUILD_DIR - clang reads every source of the build, benchmarks and fuzzers too, with the flags gcc is given, and warns of nothing.
import { spawnSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const AT_ONCE = 2; // of a core's halves, as every unit test
const commands = JSON.parse(readFileSync(path.join(process.argv[2], 'compile_commands.json')));

if (spawnSync('clang', ['--version']).error) {
    console.log('skipped: no clang');
    process.exit(77);
}

// The same command for the shell, of the other compiler; it writes nothing, and need not know how gcc optimizes.
function read({ command, directory }) {
    const flags = command.slice(command.indexOf(' -'));
    return new Promise((resolve) => {
        const clang = spawn('sh', ['-c', `exec clang -fsyntax-only -Wno-ignored-optimization-argument ${flags}`], { cwd: directory, stdio: 'inherit' });
        clang.on('close', (code) => resolve(code === 0));
    });
}

let wrong = 0;
const left = [...commands];
async function readSome() {
    for (let entry = left.pop(); entry; entry = left.pop()) if (!(await read(entry))) wrong++;
}
await Promise.all(Array.from({ length: AT_ONCE }, readSome));
console.log(`${commands.length} sources, ${wrong} of which clang does not take`);
process.exitCode = commands.length > 0 && wrong === 0 ? 0 : 1;
