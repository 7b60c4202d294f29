/* SPDX-License-Identifier: Apache-2.0
 * udp_source.c - a reply leaves from the address that its peer sent to.
 *
 * A socket bound to "any" sends from the address that the route suggests: on a host with several (an
 * announced floating one, say) not always the one the peer knows, and its ICE agent or NAT drops
 * the rest. So what IP_PKTINFO told at receiving is kept by peer, and said again at sending.
 * A table of fixed size: who is pushed out of it is answered as if it were not there, until it sends
 * again. */
#include "udp_priv.h"

#include <stdlib.h>
#include <string.h>

enum { SETS_LOG2 = 11, SETS = 1 << SETS_LOG2, WAYS = 2 }; /* a worker's viewers, twice */

struct source {
    struct addr peer; /* AF_UNSPEC: free */
    struct in6_addr local;
};

struct udp_sources {
    struct source sets[SETS][WAYS]; /* the newer first */
};

struct udp_sources *udp_sources_create(void)
{
    return calloc(1, sizeof(struct udp_sources));
}

void udp_sources_destroy(struct udp_sources **s)
{
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

void udp_sources_push(struct udp_sources *s, const struct addr *peer, const struct in6_addr *local)
{
    struct source *set = set_of(s, peer);

    if (!addr_equal(&set[0].peer, peer)) {
        set[1] = set[0]; /* pushes the older out, or swaps with it */
        set[0].peer = *peer;
    }
    set[0].local = *local;
}

void udp_sources_prefetch(struct udp_sources *s, const struct addr *peer)
{
    const uint8_t *set = (const uint8_t *)set_of(s, peer);

    __builtin_prefetch(set);
    __builtin_prefetch(set + sizeof(struct source) - 1);
}

const struct in6_addr *udp_sources_find(struct udp_sources *s, const struct addr *peer)
{
    const struct source *set = set_of(s, peer);

    for (int i = 0; i < WAYS; i++)
        if (addr_equal(&set[i].peer, peer))
            return &set[i].local;
    return NULL;
}
