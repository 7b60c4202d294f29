// SPDX-License-Identifier: Apache-2.0
//
// edges.js - when the edge that one plays from is gone or hangs: whether it answers, and which other one does.
import { getJson, nodeUrl } from './api.js';

const ASK_MS = 2_000;
const TRIES = 3; // nodes that are asked; a crowd that lost its edge asks different ones

// The state of a stream at an edge, '' when it has none of that name; null: the edge does not answer.
export async function stateAt(edge, stream) {
    const known = await getJson(`${edge}/api/v1/streams?prefix=${encodeURIComponent(stream)}`, { timeout_ms: ASK_MS }).catch(() => null);
    return known && (known.streams.find((s) => s.name === stream)?.state ?? '');
}

// The URL of an edge that answers: of one that a route leads to or, as long as routes lead to the lost one, of one of those that we
// know. '': there is none.
export async function otherEdge(nodes, stream, lost) {
    const others = shuffled(nodes.filter((n) => n.url && n.url !== lost));
    const edges = others.filter((n) => n.role === 'edge' && !n.draining).map((n) => n.url);
    const routed = await routeOf(others.slice(0, TRIES), stream);
    for (const edge of [routed, ...edges].filter((url) => url && url !== lost).slice(0, TRIES))
        if (await stateAt(edge, stream) !== null) return edge;
    return '';
}

async function routeOf(nodes, stream) {
    for (const node of nodes) {
        const found = await getJson(`${node.url}/route/play/${stream}`, { timeout_ms: ASK_MS }).catch(() => null);
        if (found) return nodeUrl(found.http);
    }
    return '';
}

function shuffled(list) {
    return list.map((item) => [Math.random(), item]).sort(([a], [b]) => a - b).map(([, item]) => item);
}
