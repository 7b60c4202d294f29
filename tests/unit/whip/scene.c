/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fixture *F; /* for the relay's functions */

/* ---- relay/publish.h, relay/relay.h ------------------------------------------------------------ */

int publish_claim(struct publication **out, struct relay *relay, const char *name, const char *kind,
                  const struct publish_ops *ops, void *arg)
{
    struct publication *p = &F->publication;

    (void)relay;
    assert_false(p->open);
    assert_string_equal(kind, "whip");
    *p = (struct publication){.open = true, .ops = ops, .arg = arg};
    snprintf(p->name, sizeof(p->name), "%s", name);
    *out = p;
    return 0;
}

void publish_start(struct publication *p, const struct track_set *tracks)
{
    p->n_starts++;
    p->tracks = *tracks;
}

void publish_push(struct publication *p, struct packet *packet)
{
    assert_true(p->n_starts > 0);
    p->n_packets++;
    if (p->last)
        packet_unref(&p->last);
    p->last = packet;
}

struct pool *publish_pool(struct publication *p)
{
    (void)p;
    return F->pool;
}

void publish_close(struct publication **p)
{
    if (!*p)
        return;
    assert_true((*p)->open);
    (*p)->open = false;
    if ((*p)->last)
        packet_unref(&(*p)->last);
    *p = NULL;
}

unsigned relay_home(const struct relay *r, const char *name)
{
    (void)r, (void)name;
    return F->home;
}

/* ---- The fixture ------------------------------------------------------------------------------- */

static bool forward(void *arg, struct http_exchange *x, unsigned index)
{
    struct fixture *f = arg;

    f->forwarded_to = index;
    if (f->can_forward)
        http_reply(x, 299, NULL, NULL, 0);
    return f->can_forward;
}

void load_offer(struct fixture *f, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), FIXTURES "/%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    free(f->offer);
    f->offer = calloc(1, SDP_BYTES_MAX);
    assert_non_null(f->offer);
    f->offer_len = fread(f->offer, 1, SDP_BYTES_MAX - 1, file);
    fclose(file);
}

int set_up(void **state)
{
    struct fixture *f = F = calloc(1, sizeof(*f));

    assert_non_null(f);
    fake_forget_routes();
    rtc_pair_init(&f->pair);
    f->home = HOME;
    assert_int_equal(packet_pool_create(&f->pool, 64), 0);
    struct whip_cfg cfg = {.endpoint = f->pair.server.endpoint, .index = INDEX, .audio_transcode = true,
                           .publishers_max = 2, .forward = forward, .arg = f};
    assert_int_equal(whip_open(&f->whip, &cfg), 0);
    load_offer(f, "chromium_whip.sdp");
    *state = f;
    return 0;
}

int tear_down(void **state)
{
    struct fixture *f = *state;

    whip_close(&f->whip);
    assert_null(f->whip);
    assert_false(f->publication.open);
    rtc_pair_fini(&f->pair);
    pool_destroy(&f->pool);
    free(f->offer);
    free(f);
    return 0;
}

struct http_exchange *request(enum http_method method, const char *path, const char *type, const char *if_match, const char *body,
                              size_t len)
{
    struct http_exchange *x = calloc(1, sizeof(*x));

    assert_non_null(x);
    *x = (struct http_exchange){
        .method = method, .path = path, .type = type, .if_match = if_match, .body = body, .body_len = len};
    fake_request(x);
    return x;
}

struct http_exchange *post(struct fixture *f)
{
    return request(HTTP_M_POST, "/whip/live/test", "application/sdp", NULL, f->offer, f->offer_len);
}

void claimed(struct fixture *f, enum publish_result result)
{
    struct publication *p = &f->publication;

    assert_true(p->open);
    p->ops->on_claimed(p->arg, result);
}

struct http_exchange *publish(struct fixture *f)
{
    struct http_exchange *x = post(f);

    assert_false(x->replied);
    claimed(f, PUBLISH_OK);
    assert_int_equal(x->status, 201);
    return x;
}
