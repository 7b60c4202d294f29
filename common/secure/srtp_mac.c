/* SPDX-License-Identifier: Apache-2.0
 * HMAC-SHA1 for one packet at a time (RFC 2104).
 *
 * OpenSSL's SHA1_* functions are deprecated in 3.x but do what EVP cannot: the states after the key blocks
 * are plain memory, copied for each packet, where EVP_MAC allocates a context a message. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "secure/srtp_priv.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

_Static_assert(sizeof(SHA_CTX) <= sizeof(((struct srtp_mac *)0)->inner), "room for a SHA-1 state");
_Static_assert(_Alignof(SHA_CTX) <= 8, "alignment of a SHA-1 state");

static void keyed(uint8_t *state, const uint8_t key[SRTP_AUTH_KEY_BYTES], uint8_t pad)
{
    uint8_t block[SHA_CBLOCK];
    SHA_CTX sha;

    memset(block, pad, sizeof(block));
    for (int i = 0; i < SRTP_AUTH_KEY_BYTES; i++)
        block[i] ^= key[i];
    SHA1_Init(&sha);
    SHA1_Update(&sha, block, sizeof(block));
    memcpy(state, &sha, sizeof(sha));
    OPENSSL_cleanse(block, sizeof(block));
}

void srtp_mac_init(struct srtp_mac *m, const uint8_t key[SRTP_AUTH_KEY_BYTES])
{
    keyed(m->inner, key, 0x36);
    keyed(m->outer, key, 0x5c);
}

void srtp_mac_run(const struct srtp_mac *m, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                  uint8_t mac[SRTP_SHA1_BYTES])
{
    SHA_CTX sha;

    memcpy(&sha, m->inner, sizeof(sha));
    SHA1_Update(&sha, a, a_len);
    if (b_len)
        SHA1_Update(&sha, b, b_len);
    SHA1_Final(mac, &sha);
    memcpy(&sha, m->outer, sizeof(sha));
    SHA1_Update(&sha, mac, SRTP_SHA1_BYTES);
    SHA1_Final(mac, &sha);
}
