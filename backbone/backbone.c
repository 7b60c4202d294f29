/* SPDX-License-Identifier: Apache-2.0
 * backbone.c - the backbone: from one pipe to many.
 *
 *   origin --pipe/pipe_client--> relay/pull --> router (cache) --+--> pipe/pipe_server --> edge
 *                                                 |              +--> pipe/pipe_server --> another edge
 *                                                 +--> relay/link --> the same stream's router on another worker
 *
 * All of that are the node's own parts (common/node); a backbone adds nothing but its place in the cluster: it pulls and it
 * serves, and with relay.prefetch it pulls before anyone asks (relay/hub).
 */
#include "node/node.h"

static int backbone_open(struct node_worker *w, char error[CONFIG_ERROR_CAP])
{
    (void)w;
    (void)error;
    return 0;
}

static void backbone_close(struct node_worker *w)
{
    (void)w;
}

static void backbone_facts(struct node_worker *w, struct role_facts *out)
{
    (void)w;
    *out = (struct role_facts){0};
}

enum { GATHER_US = 3000 /* what a packet may take longer here at most, and half of it on average, when many streams come */ };

static const struct role backbone_role = {
    .role = NODE_BACKBONE,
    .pulls = true,
    .serves = true,
    .gather_us = GATHER_US,
    .open = backbone_open,
    .close = backbone_close,
    .facts = backbone_facts,
};

int main(int argc, char **argv)
{
    return node_main(argc, argv, &backbone_role);
}
