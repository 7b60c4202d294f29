/* SPDX-License-Identifier: Apache-2.0 */
#include "io/cidr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t *bytes_of(const struct addr *a, unsigned *bits)
{
    bool v4 = a->sa.sa_family == AF_INET;

    *bits = v4 ? 32 : 128;
    return v4 ? (const uint8_t *)&a->v4.sin_addr : (const uint8_t *)&a->v6.sin6_addr;
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff00 >> rest);

    return memcmp(a, b, bits / 8) == 0 && (rest == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

static bool zero_behind(const uint8_t *net, unsigned bits, unsigned all)
{
    for (unsigned i = bits; i < all; i++)
        if (net[i / 8] & (0x80 >> i % 8))
            return false;
    return true;
}

int cidr_parse(struct cidr *out, const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len);
    size_t host_len = slash ? (size_t)(slash - text) : len;
    char host[ADDR_TEXT_CAP], number[4], *end;
    struct cidr c;
    unsigned all;

    if (host_len == 0 || host_len + 4 > sizeof(host))
        return -1;
    bool v6 = memchr(text, ':', host_len) != NULL;
    snprintf(host, sizeof(host), v6 ? "[%.*s]:0" : "%.*s:0", (int)host_len, text);
    if (addr_parse(&c.net, host) != 0)
        return -1;
    const uint8_t *net = bytes_of(&c.net, &all);
    c.bits = all;
    if (slash) {
        size_t n = len - host_len - 1;
        if (n == 0 || n >= sizeof(number) || slash[1] < '0' || slash[1] > '9')
            return -1;
        memcpy(number, slash + 1, n);
        number[n] = '\0';
        c.bits = (unsigned)strtoul(number, &end, 10);
        if (*end || c.bits > all)
            return -1;
    }
    if (!zero_behind(net, c.bits, all))
        return -1;
    *out = c;
    return 0;
}

bool cidr_match(const struct cidr *c, const struct addr *a)
{
    struct addr plain = *a;
    unsigned all;

    addr_unmap(&plain);
    if (plain.sa.sa_family != c->net.sa.sa_family)
        return false;
    return same_prefix(bytes_of(&plain, &all), bytes_of(&c->net, &all), c->bits);
}
