// SPDX-License-Identifier: Apache-2.0
//
// ice.js - what WHIP and WHEP say of ICE besides offer and answer: servers in Link fields, and restarts by fragments.

// The Link field's STUN and TURN servers as RTCPeerConnection wants them (RFC 9725 s4.6, RFC 8288).
export function iceServersOf(links) {
    const servers = [];
    for (const [, urls, rest] of links.matchAll(/<([^>]*)>((?:\s*;\s*[\w*-]+=(?:"(?:[^"\\]|\\.)*"|[^",;\s]*))*)/g)) {
        const values = Object.fromEntries([...rest.matchAll(/([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))/g)]
            .map(([, name, quoted, plain]) => [name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain]));
        if (values.rel !== 'ice-server') continue;
        const { username, credential } = values;
        servers.push(username === undefined ? { urls } : { urls, username, credential });
    }
    return servers;
}

// The body of a PATCH that restarts ICE: our new credentials, as those of the first m-section (RFC 8840 s9).
export function fragmentOf(sdp) {
    const media = sdp.slice(sdp.indexOf('m='));
    const line = (pattern) => media.match(pattern)?.[0] ?? '';
    return [line(/^a=ice-ufrag:.*$/m), line(/^a=ice-pwd:.*$/m), line(/^m=.*$/m), line(/^a=mid:.*$/m), ''].join('\r\n');
}

// The answer again, with the credentials and candidates that the node's fragment has.
export function answerOf(sdp, fragment) {
    const line = (pattern) => fragment.match(pattern)?.[0];
    const candidates = fragment.match(/^a=candidate:.*$/gm) ?? [];
    let first = true;
    return sdp.split('\r\n').flatMap((text) => {
        if (text.startsWith('a=ice-ufrag:')) return [line(/^a=ice-ufrag:.*$/m)];
        if (text.startsWith('a=ice-pwd:')) return [line(/^a=ice-pwd:.*$/m)];
        if (!text.startsWith('a=candidate:')) return [text];
        if (!first) return [];
        first = false;
        return candidates;
    }).join('\r\n');
}
