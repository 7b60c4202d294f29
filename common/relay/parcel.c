/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay_priv.h"

size_t parcel_post(struct relay *from, struct worker *receiver, void (*run)(struct mail *, struct worker *), void *to,
                   struct packet *const *v, size_t n)
{
    size_t posted = 0;

    while (posted < n) {
        struct parcel *p = pool_take(relay_parcels(from));
        if (!p)
            break;
        p->mail.run = run;
        p->to = to;
        p->from = from;
        p->n = n - posted < PARCEL_MAX ? n - posted : PARCEL_MAX;
        for (size_t i = 0; i < p->n; i++)
            p->v[i] = packet_ref(v[posted + i]);
        posted += p->n;
        worker_post(receiver, &p->mail);
    }
    return posted;
}

void parcel_give(struct parcel *p)
{
    for (size_t i = 0; i < p->n; i++)
        packet_unref(&p->v[i]);
    pool_give(relay_parcels(p->from), p);
}
