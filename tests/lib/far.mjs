// SPDX-License-Identifier: Apache-2.0
//
// far.mjs - a TCP port that leads to another one, some milliseconds away each way.
import net from 'node:net';

// Copies from one socket to the other, each chunk delay_ms after it came.
function carry(from, to, delay_ms) {
    from.on('data', (chunk) => setTimeout(() => to.writable && to.write(chunk), delay_ms));
    from.on('end', () => setTimeout(() => to.end(), delay_ms));
    from.on('error', () => to.destroy());
    from.on('close', () => setTimeout(() => to.destroy(), delay_ms));
}

// Resolves to {port, stop, said}: a port of this host at which targetPort is found; said() is what came from there.
export function farAway(targetPort, delay_ms) {
    const sockets = new Set();
    const chunks = [];
    const server = net.createServer({ noDelay: true }, (near) => {
        const far = net.connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
        sockets.add(near).add(far);
        carry(near, far, delay_ms);
        carry(far, near, delay_ms);
        far.on('data', (chunk) => chunks.push(chunk));
    });
    const stop = () => {
        sockets.forEach((socket) => socket.destroy());
        server.close();
    };
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({
        port: server.address().port,
        stop,
        said: () => Buffer.concat(chunks).toString('latin1'),
    })));
}
