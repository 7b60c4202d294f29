// SPDX-License-Identifier: Apache-2.0
//
// token.mjs - bearer tokens (RFC 7519) by HS256, and the file of their secret.
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

const SECRET = 'a secret of the tests, of 32 bytes or more';

// Writes the key's file into the cluster's folder; for auth.publish_key and auth.play_key.
export function keyFile(cluster, name = 'token.key', secret = SECRET) {
    const file = path.join(cluster.dir, name);
    writeFileSync(file, `${secret}\n`, { mode: 0o600 });
    return file;
}

// A token that is good for a minute; claims go over it.
export function tokenFor(act, stream, claims = {}, secret = SECRET) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const body = { sub: stream, act, exp: Math.floor(Date.now() / 1000) + 60, ...claims };
    const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(body)}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
