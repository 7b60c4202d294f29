/* SPDX-License-Identifier: Apache-2.0 */
#include "media/packet.h"

#include <string.h>

int packet_pool_create(struct pool **out, size_t cap)
{
    return pool_create(out, sizeof(struct packet), cap);
}

struct packet *packet_create(struct pool *pool)
{
    struct packet *p = pool_take(pool);

    if (!p)
        return NULL;
    memset(p, 0, offsetof(struct packet, bytes));
    atomic_init(&p->refs, 1);
    p->pool = pool;
    return p;
}
