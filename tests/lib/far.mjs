// SPDX-License-Identifier: Apache-2.0
//
// far.mjs - TCP ports that lead to others, some milliseconds away each way.
import net from 'node:net';
import { freeBlock } from './ports.mjs';

// Copies from one socket to the other, each chunk delay_ms after it came.
function carry(from, to, delay_ms) {
    from.on('data', (chunk) => setTimeout(() => to.writable && to.write(chunk), delay_ms));
    from.on('end', () => setTimeout(() => to.end(), delay_ms));
    from.on('error', () => to.destroy());
    from.on('close', () => setTimeout(() => to.destroy(), delay_ms));
}

// Resolves to {port, stop, said}: a port of this host at which targetPort is found, and at the following ones those that follow it,
// `count` in all; said() is what came from there.
export async function farAway(targetPort, delay_ms, { count = 1 } = {}) {
    const offsets = Array.from({ length: count }, (_, i) => i);
    const sockets = new Set();
    const chunks = [];
    const port = await freeBlock(offsets);
    const servers = offsets.map((offset) => net.createServer({ noDelay: true }, (near) => {
        const far = net.connect({ port: targetPort + offset, host: '127.0.0.1', noDelay: true });
        sockets.add(near).add(far);
        carry(near, far, delay_ms);
        carry(far, near, delay_ms);
        far.on('data', (chunk) => chunks.push(chunk));
    }));
    await Promise.all(servers.map((server, i) => new Promise((resolve) => server.listen(port + i, '127.0.0.1', resolve))));
    return {
        port,
        stop() {
            sockets.forEach((socket) => socket.destroy());
            servers.forEach((server) => server.close());
        },
        said: () => Buffer.concat(chunks).toString('latin1'),
    };
}
