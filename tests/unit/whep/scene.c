/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"
#include "webrtc/resource.h"
#include "unit/router/silent.h"
#include "unit/webrtc/fake_transport.h"
#include "webrtc/sdp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- relay/relay.h: the routers of this fixture --------------------------------------------------------------- */

static struct fixture *F;

struct router *relay_router(struct relay *r, const char *name)
{
    (void)r;
    return router_open(F->routers, name);
}

struct worker *relay_worker(struct relay *r)
{
    (void)r;
    return F->loop.w;
}

/* ---- the fixture ------------------------------------------------------------------------------------------------ */

static bool forward(void *arg, struct http_exchange *x, unsigned index)
{
    struct fixture *f = arg;

    f->forwarded_to = index;
    if (f->can_forward)
        http_reply(x, 299, NULL, NULL, 0);
    return f->can_forward;
}

void load_offer(struct fixture *f)
{
    FILE *file = fopen(FIXTURES "/chromium_whep.sdp", "rb");

    assert_non_null(file);
    f->offer = malloc(SDP_BYTES_MAX);
    assert_non_null(f->offer);
    f->offer_len = fread(f->offer, 1, SDP_BYTES_MAX, file);
    fclose(file);
}

/* A node that takes three viewers. */
static void admit(void *arg, struct http_exchange *x, const char *stream, void (*go)(struct http_exchange *x, void *whep),
                  void *whep)
{
    struct fixture *f = arg;

    assert_true(stream_name_valid(stream));
    if (whep_viewers(f->whep) < 3)
        go(x, whep);
    else
        rtc_http_refuse(x, 503, 7, "full");
}

int set_up(void **state)
{
    struct fixture *f = F = calloc(1, sizeof(*f));
    struct router_set_cfg cfg = {.cache = {.cap_bytes = 1 << 20, .cap_packets = 1024, .cap_us = 10000000},
                                 .linger_us = 10000000, .on_demand = ignore_router, .on_idle = ignore_router};

    assert_non_null(f);
    fake_forget_routes();
    test_loop_init(&f->loop);
    assert_int_equal(router_set_create(&f->routers, f->loop.w, &cfg), 0);
    assert_int_equal(whep_open(&f->whep, &(struct whep_cfg){.endpoint = fake_endpoint(f->loop.w), .index = INDEX, .link = LINK,
                               .grace_us = GRACE_US, .join_us = JOIN_US, .admit = admit, .forward = forward, .arg = f}), 0);
    load_offer(f);
    *state = f;
    return 0;
}

int tear_down(void **state)
{
    struct fixture *f = *state;

    whep_close(&f->whep);
    assert_null(f->whep);
    assert_null(fake_transport());
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    router_set_destroy(&f->routers);
    test_loop_fini(&f->loop);
    free(f->offer);
    free(f);
    return 0;
}

void publish(struct fixture *f, enum codec video, enum codec beside)
{
    static const struct producer_ops ops = {.on_want = ignore_want, .on_keyframe = ignore_keyframe};
    struct router *r = router_open(f->routers, "live/test");
    struct track_set set = {.epoch = ++f->epoch, .n = 2};

    set.v[0] = (struct track){.codec = video, .clock_hz = 90000, .n_layers = 1};
    set.v[1] = (struct track){.codec = beside, .clock_hz = beside == CODEC_OPUS ? 48000 : 90000, .n_layers = 1};
    f->producer = (struct producer){.ops = &ops, .kind = "test"};
    router_publish(r, &f->producer, &set);
    router_ready(&f->producer);
}

struct http_exchange *post(struct fixture *f)
{
    struct http_exchange *x = calloc(1, sizeof(*x));

    assert_non_null(x);
    *x = (struct http_exchange){.method = HTTP_M_POST, .path = "/whep/live/test", .type = "application/sdp", .body = f->offer,
                                .body_len = f->offer_len};
    fake_request(x);
    return x;
}

int request(enum http_method method, const char *path, const char *type, const char *if_match, const char *body,
            struct http_exchange *x)
{
    *x = (struct http_exchange){.method = method, .path = path, .type = type, .if_match = if_match, .body = body,
                                .body_len = body ? strlen(body) : 0};
    fake_request(x);
    assert_true(x->replied);
    return x->status;
}
