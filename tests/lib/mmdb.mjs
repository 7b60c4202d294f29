// SPDX-License-Identifier: Apache-2.0
//
// mmdb.mjs - writes small files in MaxMind DB format 2.0, whatever fields their records have.
import { writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';

const RECORD_BITS = 24;
const [MAP, STRING, DOUBLE, UINT16, UINT32] = [7, 2, 3, 5, 6];
const EXTENDED = { uint64: 9, array: 11 };

function field(type, size, payload) {
    const head = type > 7 ? [size, type - 7] : [(type << 5) | size];
    if (size > 28) throw new Error('a field of this size is not needed here');
    return Buffer.concat([Buffer.from(head), payload]);
}

function unsigned(type, value) {
    const bytes = [];
    for (let v = BigInt(value); v; v >>= 8n) bytes.unshift(Number(v & 255n));
    return field(type, bytes.length, Buffer.from(bytes));
}

// Strings, numbers (as doubles) and maps of them.
function encode(value) {
    if (typeof value === 'string') return field(STRING, Buffer.byteLength(value), Buffer.from(value));
    if (typeof value === 'number') {
        const double = Buffer.alloc(8);
        double.writeDoubleBE(value);
        return field(DOUBLE, 8, double);
    }
    return map(Object.entries(value).map(([key, v]) => [key, encode(v)]));
}

function map(entries) {
    return field(MAP, entries.length, Buffer.concat(entries.flatMap(([key, bytes]) => [encode(key), bytes])));
}

// The bits of "10.1.0.0/16" or "2001:db8::/32" in a tree of IPv6, where IPv4 is ::/96.
function bitsOf(range) {
    const [address, length] = range.split('/');
    const groups = isIPv6(address) ? expand(address) : [0, 0, 0, 0, 0, 0, ...quads(address)];
    const bits = groups.map((g) => g.toString(2).padStart(16, '0')).join('');
    return bits.slice(0, Number(length) + (isIPv6(address) ? 0 : 96));
}

function quads(address) {
    const [a, b, c, d] = address.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
}

function expand(address) {
    const [head, tail = ''] = address.split('::');
    const parse = (text) => text.split(':').filter(Boolean).map((g) => parseInt(g, 16));
    const [front, back] = [parse(head), parse(tail)];
    return [...front, ...Array(8 - front.length - back.length).fill(0), ...back];
}

// Each range of the file with its record: {'198.51.100.0/24': {country: {iso_code: 'DE'}}, ...}. Ranges do not overlap.
export function writeMmdb(file, ranges) {
    const nodes = [[null, null]];
    const data = [];
    let size = 0;
    for (const [range, record] of Object.entries(ranges)) {
        const bits = bitsOf(range);
        let at = 0;
        for (const bit of bits.slice(0, -1)) {
            if (nodes[at][bit] === null) nodes[at][bit] = { node: nodes.push([null, null]) - 1 };
            at = nodes[at][bit].node;
        }
        nodes[at][bits.at(-1)] = { data: size };
        data.push(encode(record));
        size += data.at(-1).length;
    }
    // A record of the tree: a node, or (the number of nodes) nothing, or beyond that and 16 an offset into the data.
    const pointer = (to) => (to === null ? nodes.length : to.node ?? nodes.length + 16 + to.data);
    const tree = Buffer.alloc(nodes.length * 6);
    nodes.forEach(([left, right], i) => {
        tree.writeUIntBE(pointer(left), i * 6, 3);
        tree.writeUIntBE(pointer(right), i * 6 + 3, 3);
    });
    const metadata = map([
        ['node_count', unsigned(UINT32, nodes.length)],
        ['record_size', unsigned(UINT16, RECORD_BITS)],
        ['ip_version', unsigned(UINT16, 6)],
        ['database_type', encode('Test')],
        ['languages', field(EXTENDED.array, 0, Buffer.alloc(0))],
        ['binary_format_major_version', unsigned(UINT16, 2)],
        ['binary_format_minor_version', unsigned(UINT16, 0)],
        ['build_epoch', unsigned(EXTENDED.uint64, 1)],
        ['description', map([])],
    ]);
    writeFileSync(file, Buffer.concat([tree, Buffer.alloc(16), ...data, Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'), metadata]));
    return file;
}
