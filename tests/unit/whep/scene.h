/* SPDX-License-Identifier: Apache-2.0
 * A worker's WHEP for tests: a real router, while HTTP, transport and relay are the test's. */
#pragma once

#include "fake_http.h"

#include "edge/whep.h"
#include "router/router.h"
#include "unit/io/loop.h"

#define LINK "<stun:stun.example.org>; rel=\"ice-server\""

enum { INDEX = 3, GRACE_US = 60000, JOIN_US = 80000 };

struct fixture {
    struct test_loop loop;
    struct router_set *routers;
    struct producer producer;
    struct whep *whep;
    uint64_t epoch;
    unsigned forwarded_to;
    bool can_forward;
    char *offer; /* of a browser */
    size_t offer_len;
};

int set_up(void **state);
int tear_down(void **state);
#define IN_FIXTURE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

/* The offer of a browser, anew. Free the old one before. */
void load_offer(struct fixture *f);

/* live/test is published, or published again: a video track, and one of Opus or data. */
void publish(struct fixture *f, enum codec video, enum codec beside);

/* The offer to live/test, answered or not yet; to be freed. */
struct http_exchange *post(struct fixture *f);

/* Any other request, answered into *x. Returns the status. */
int request(enum http_method method, const char *path, const char *type, const char *if_match, const char *body,
            struct http_exchange *x);
