/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *buf, size_t n)
{
    uint8_t *p = buf;

    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            perror("getrandom");
            abort();
        }
        p += got;
        n -= (size_t)got;
    }
}

uint32_t random_u32(void)
{
    uint32_t v;
    random_bytes(&v, sizeof(v));
    return v;
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof(v));
    return v;
}

static void draw(char *out, size_t n, const char alphabet[64])
{
    random_bytes(out, n);
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[(uint8_t)out[i] & 63];
    out[n] = '\0';
}

static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

void random_token(char *out, size_t n)
{
    char alphabet[64];
    for (size_t i = 0; i < 62; i++)
        alphabet[i] = alnum[i];
    alphabet[62] = '-';
    alphabet[63] = '_';
    draw(out, n, alphabet);
}

void random_ice(char *out, size_t n)
{
    char alphabet[64];
    for (size_t i = 0; i < 62; i++)
        alphabet[i] = alnum[i];
    alphabet[62] = '+';
    alphabet[63] = '/';
    draw(out, n, alphabet);
}
