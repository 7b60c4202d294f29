// SPDX-License-Identifier: Apache-2.0
//
// ports.mjs - ports that nobody uses, below the range that the kernel gives out by itself.
import dgram from 'node:dgram';
import net from 'node:net';

const FIRST = 20_000;
const BLOCKS = 12; // of 1000 ports

function tcpFree(port) {
    return new Promise((resolve) => {
        const server = net.createServer();
        server.once('error', () => resolve(false));
        server.listen({ port, host: '0.0.0.0', exclusive: true }, () => server.close(() => resolve(true)));
    });
}

function udpFree(port) {
    return new Promise((resolve) => {
        const socket = dgram.createSocket('udp4');
        socket.once('error', () => resolve(false));
        socket.bind({ port, address: '0.0.0.0', exclusive: true }, () => socket.close(() => resolve(true)));
    });
}

// The first port of a block of 1000 in which those at `offsets` are free, TCP and UDP.
export async function freeBlock(offsets) {
    const start = process.pid % BLOCKS;
    for (let i = 0; i < BLOCKS; i++) {
        const base = FIRST + ((start + i) % BLOCKS) * 1000;
        const free = await Promise.all(offsets.flatMap((offset) => [tcpFree(base + offset), udpFree(base + offset)]));
        if (free.every(Boolean)) return base;
    }
    throw new Error('no free ports');
}
