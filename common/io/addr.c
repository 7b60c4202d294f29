/* SPDX-License-Identifier: Apache-2.0 */
#include "io/addr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Text ------------------------------------------------------------------------------------ */

/* Digits only: strtoul would take signs and blanks. */
static int parse_port(const char *text, uint16_t *out)
{
    unsigned long port = 0;
    size_t n = strspn(text, "0123456789");

    if (n == 0 || n > 5 || text[n])
        return -1;
    port = strtoul(text, NULL, 10);
    if (port > 65535)
        return -1;
    *out = (uint16_t)port;
    return 0;
}

/* Splits "host:port" or "[host]:port". The host is copied without brackets. */
static int split(const char *text, char *host, size_t cap, uint16_t *port)
{
    const char *colon = strrchr(text, ':');

    if (!colon || parse_port(colon + 1, port))
        return -1;
    size_t n = (size_t)(colon - text);
    if (n > 0 && text[0] == '[') {
        if (n < 3 || text[n - 1] != ']')
            return -1;
        text++;
        n -= 2;
    } else if (memchr(text, ':', n)) {
        return -1; /* an IPv6 number wants its brackets */
    }
    if (n >= cap || memchr(text, '[', n) || memchr(text, ']', n))
        return -1;
    memcpy(host, text, n);
    host[n] = '\0';
    return 0;
}

/* "fe80::1%eth0" or "fe80::1%2" */
static int parse_v6(struct sockaddr_in6 *out, char *host)
{
    char *percent = strchr(host, '%');

    if (percent) {
        uint16_t number = 0;

        *percent = '\0';
        out->sin6_scope_id = if_nametoindex(percent + 1);
        if (!out->sin6_scope_id && parse_port(percent + 1, &number) == 0)
            out->sin6_scope_id = number;
        if (!out->sin6_scope_id)
            return -1;
    }
    out->sin6_family = AF_INET6;
    return inet_pton(AF_INET6, host, &out->sin6_addr) == 1 ? 0 : -1;
}

int addr_parse(struct addr *out, const char *text)
{
    char host[ADDR_TEXT_CAP];
    uint16_t port;
    struct addr a;

    memset(&a, 0, sizeof(a)); /* padding too: addresses are hashed and compared as bytes by some */
    if (split(text, host, sizeof(host), &port))
        return -1;
    if (text[0] == '[') {
        if (parse_v6(&a.v6, host))
            return -1;
    } else {
        a.v4.sin_family = AF_INET;
        if (host[0] && inet_pton(AF_INET, host, &a.v4.sin_addr) != 1)
            return -1;
    }
    addr_set_port(&a, port);
    *out = a;
    return 0;
}

int addr_resolve(struct addr *out, const char *text)
{
    char host[256]; /* RFC 1035 2.3.4: names have 255 octets at most */
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found;
    uint16_t port;

    if (addr_parse(out, text) == 0)
        return 0;
    if (split(text, host, sizeof(host), &port) || !host[0] || getaddrinfo(host, NULL, &want, &found))
        return -1;
    memset(out, 0, sizeof(*out));
    if (found->ai_addrlen <= sizeof(*out))
        memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    addr_set_port(out, port);
    return out->sa.sa_family == AF_INET || out->sa.sa_family == AF_INET6 ? 0 : -1;
}

const char *addr_print_host(const struct addr *a, char out[ADDR_TEXT_CAP])
{
    out[0] = '\0';
    if (a->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->v4.sin_addr, out, ADDR_TEXT_CAP);
    } else if (a->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, out, ADDR_TEXT_CAP);
        size_t n = strlen(out);
        if (a->v6.sin6_scope_id)
            snprintf(out + n, ADDR_TEXT_CAP - n, "%%%u", (unsigned)a->v6.sin6_scope_id);
    }
    return out;
}

const char *addr_print(const struct addr *a, char out[ADDR_TEXT_CAP])
{
    char host[ADDR_TEXT_CAP];
    unsigned port = addr_port(a);

    addr_print_host(a, host);
    /* The longest is 45 characters of IPv6, '%' and 10 of scope, and 8 of brackets, colon and port. */
    snprintf(out, ADDR_TEXT_CAP, a->sa.sa_family == AF_INET6 ? "[%.55s]:%u" : "%.55s:%u", host, port);
    return out;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

socklen_t addr_len(const struct addr *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : a->sa.sa_family == AF_INET ? sizeof(a->v4) : 0;
}

uint16_t addr_port(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET6)
        return ntohs(a->v6.sin6_port);
    return a->sa.sa_family == AF_INET ? ntohs(a->v4.sin_port) : 0;
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET6)
        a->v6.sin6_port = htons(port);
    else if (a->sa.sa_family == AF_INET)
        a->v4.sin_port = htons(port);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    if (a->sa.sa_family == AF_INET6)
        return a->v6.sin6_port == b->v6.sin6_port && a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
               memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
    return true;
}

bool addr_is_any(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
    return a->sa.sa_family == AF_INET && a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool addr_is_loopback(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    return a->sa.sa_family == AF_INET && ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

void addr_unmap(struct addr *a)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};

    if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        return;
    v4.sin_port = a->v6.sin6_port;
    memcpy(&v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
    memset(a, 0, sizeof(*a));
    a->v4 = v4;
}

/* ---- Interfaces ------------------------------------------------------------------------------ */

static bool usable(const struct ifaddrs *i)
{
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
        return false;
    if (i->ifa_addr->sa_family == AF_INET)
        return true;
    if (i->ifa_addr->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 v6;
    memcpy(&v6, i->ifa_addr, sizeof(v6));
    return !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
}

size_t addr_interfaces(struct addr *out, size_t cap)
{
    struct ifaddrs *all;
    size_t n = 0;

    if (getifaddrs(&all))
        return 0;
    for (struct ifaddrs *i = all; i && n < cap; i = i->ifa_next) {
        if (!usable(i))
            continue;
        memset(&out[n], 0, sizeof(out[n]));
        memcpy(&out[n], i->ifa_addr,
               i->ifa_addr->sa_family == AF_INET ? sizeof(out[n].v4) : sizeof(out[n].v6));
        n++;
    }
    freeifaddrs(all);
    return n;
}
