/* SPDX-License-Identifier: Apache-2.0
 * udp_source.c - a reply leaves from the address that its peer sent to.
 *
 * A socket bound to "any" sends from the address that the route suggests: on a host with several (an
 * announced floating one, say) not always the one the peer knows, and its ICE agent or NAT drops
 * the rest. So what IP_PKTINFO told at receiving is kept by peer, and said again at sending.
 * A table of fixed size: who is pushed out of it is answered as if it were not there, until it sends
 * again.
 *
 * To say it costs each message 2 %, and on most hosts the route suggests just that address. So the system is asked for its
 * choice: a socket that is connected to the peer has it. It is asked again every few seconds while the peer sends, since
 * routes change; a peer that was answered from a wrong address in between sends its checks all the more. */
#include "udp_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SETS_LOG2 = 11, SETS = 1 << SETS_LOG2, WAYS = 2, /* a worker's viewers, twice */
    CHECK_US = 4000000, /* a browser's consent checks are 2.5 s apart, others' 5 (RFC 7675 s5.1) */
};

struct source {
    struct addr peer; /* AF_UNSPEC: free */
    struct in6_addr local;
    uint32_t checked_ms; /* when the system was asked */
    bool said;           /* it would choose another address */
};

struct udp_sources {
    int fd;      /* what it is asked with; -1: its choice cannot be known, all are said */
    size_t said; /* of those in the table */
    struct source sets[SETS][WAYS]; /* the newer first */
};

/* ---- The system's choice ----------------------------------------------------------------------------- */

/* Where a route may depend on ports, one socket's says nothing of another's. */
static bool routes_by_ports(const char *policy)
{
    int fd = open(policy, O_RDONLY | O_CLOEXEC);
    char digit = '0';

    if (fd < 0)
        return false; /* a system without such routes */
    bool known = read(fd, &digit, 1) == 1;
    close(fd);
    return !known || digit != '0';
}

static int open_asking(int family)
{
    if (routes_by_ports("/proc/sys/net/ipv4/fib_multipath_hash_policy") ||
        (family == AF_INET6 && routes_by_ports("/proc/sys/net/ipv6/fib_multipath_hash_policy")))
        return -1;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int off = 0;
    if (fd >= 0 && family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)); /* else IPv4's connect fails, and theirs are said */
    return fd;
}

static bool is_systems_choice(int fd, const struct addr *peer, const struct in6_addr *local)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    struct in6_addr chosen = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    struct addr own;
    socklen_t len = sizeof(own);

    if (fd < 0 || connect(fd, &peer->sa, addr_len(peer)) < 0)
        return false;
    int err = getsockname(fd, &own.sa, &len);
    (void)connect(fd, &nobody, sizeof(nobody)); /* gives address and port back */
    if (err < 0)
        return false;
    if (own.sa.sa_family == AF_INET6)
        chosen = own.v6.sin6_addr;
    else
        memcpy(&chosen.s6_addr[12], &own.v4.sin_addr, 4);
    return memcmp(&chosen, local, sizeof(chosen)) == 0;
}

/* ---- The table ------------------------------------------------------------------------------------------ */

struct udp_sources *udp_sources_create(int family)
{
    struct udp_sources *s = calloc(1, sizeof(*s));

    if (s)
        s->fd = open_asking(family);
    return s;
}

void udp_sources_destroy(struct udp_sources **s)
{
    if (*s && (*s)->fd >= 0)
        close((*s)->fd);
    free(*s);
    *s = NULL;
}

static struct source *set_of(struct udp_sources *s, const struct addr *peer)
{
    uint64_t words[3] = {addr_port(peer), 0, 0};

    if (peer->sa.sa_family == AF_INET6)
        memcpy(&words[1], &peer->v6.sin6_addr, 16);
    else
        memcpy(&words[1], &peer->v4.sin_addr, 4);
    uint64_t code = words[0] << 32 ^ words[1] ^ words[2] * 0x9e3779b97f4a7c15;
    code = (code ^ code >> 33) * 0xff51afd7ed558ccd; /* the two constants of MurmurHash3's fmix64 */
    code = (code ^ code >> 33) * 0xc4ceb9fe1a85ec53;
    return s->sets[code >> (64 - SETS_LOG2)];
}

/* The peer's, as the newer of its set; the older is pushed out, unless it is the peer's. */
static struct source *bring_forward(struct udp_sources *s, struct source set[WAYS], const struct addr *peer)
{
    struct source older = set[1];

    if (addr_equal(&set[0].peer, peer))
        return &set[0];
    set[1] = set[0];
    if (!addr_equal(&older.peer, peer)) {
        s->said -= older.said;
        older = (struct source){.peer = *peer};
    }
    set[0] = older;
    return &set[0];
}

void udp_sources_push(struct udp_sources *s, const struct addr *peer, const struct in6_addr *local, uint64_t now_us)
{
    struct source *a = bring_forward(s, set_of(s, peer), peer);
    uint32_t now_ms = (uint32_t)(now_us / 1000);

    if (memcmp(&a->local, local, sizeof(*local)) == 0 && now_ms - a->checked_ms < CHECK_US / 1000)
        return;
    a->local = *local;
    a->checked_ms = now_ms;
    s->said -= a->said;
    a->said = !is_systems_choice(s->fd, peer, local);
    s->said += a->said;
}

void udp_sources_prefetch(struct udp_sources *s, const struct addr *peer)
{
    if (s->said == 0)
        return;
    const uint8_t *set = (const uint8_t *)set_of(s, peer);
    __builtin_prefetch(set);
    __builtin_prefetch(set + sizeof(struct source) - 1);
}

const struct in6_addr *udp_sources_find(struct udp_sources *s, const struct addr *peer)
{
    if (s->said == 0)
        return NULL;
    const struct source *set = set_of(s, peer);
    for (int i = 0; i < WAYS; i++)
        if (addr_equal(&set[i].peer, peer))
            return set[i].said ? &set[i].local : NULL;
    return NULL;
}
