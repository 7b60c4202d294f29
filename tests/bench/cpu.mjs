// SPDX-License-Identifier: Apache-2.0
//
// cpu.mjs - what a process and the machine have used, and how windows are summed up.
import { readFileSync, readdirSync } from 'node:fs';
import { must } from '../lib/process.mjs';

const TICKS_A_SECOND = Number((await must('getconf', ['CLK_TCK'])).stdout);

const fromTicks = (path) => {
    const fields = readFileSync(path, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
};

// Of one thread, user and system: the scheduler's own count, in nanoseconds. /proc/PID/stat is made of the same count, but cut to ticks of
// 10 ms, user and system each: 3% of what 500 viewers take in two seconds.
function threadSeconds(path) {
    const ns = Number(readFileSync(`${path}/schedstat`, 'utf8').split(' ')[0]);
    return ns ? ns / 1e9 : fromTicks(`${path}/stat`); // 0: a kernel that does not count there
}

// Of each thread of a process; of one that has ended meanwhile: none.
export function cpuOfThreads(pid) {
    try {
        return readdirSync(`/proc/${pid}/task`).map((task) => threadSeconds(`/proc/${pid}/task/${task}`));
    } catch (error) {
        if (error.code === 'ENOENT' || error.code === 'ESRCH') return [];
        throw error;
    }
}

export const cpuSeconds = (pid) => cpuOfThreads(pid).reduce((sum, s) => sum + s, 0);

// How much of the machine is idle, and how much others took, between two readings of it: figures of time (not those of CPU) mean little
// when the latter is much.
export const machine = () => readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1).map(Number);

export function share(before, after, own_s) {
    const total = after.reduce((a, b) => a + b, 0) - before.reduce((a, b) => a + b, 0);
    const idle = after[3] + after[4] - before[3] - before[4];
    return { idle: idle / total, others: Math.max(0, (total - idle) / total - own_s * TICKS_A_SECOND / total) };
}

// Between the two nearest where it falls between two.
export function quantile(values, q) {
    const sorted = [...values].sort((a, b) => a - b), at = q * (sorted.length - 1), low = Math.floor(at);
    return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low);
}

export const median = (values) => quantile(values, 0.5);
