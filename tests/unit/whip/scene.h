/* SPDX-License-Identifier: Apache-2.0
 * scene.h - WHIP between the test's own HTTP and relay, with WebRTC that is real on both ends. */
#pragma once

#include "origin/whip.h"
#include "relay/publish.h"
#include "unit/webrtc/rtc_pair.h"
#include "unit/whep/fake_http.h"

enum { INDEX = 3, HOME = 3 };

/* The one that there is, as the test wants it. */
struct publication {
    bool open;
    char name[STREAM_NAME_MAX + 1];
    const struct publish_ops *ops;
    void *arg;
    size_t n_starts, n_packets;
    struct track_set tracks;
    struct packet *last;
};

struct fixture {
    struct rtc_pair pair;
    struct whip *whip;
    struct publication publication;
    struct pool *pool;
    unsigned home; /* of every stream */
    unsigned forwarded_to;
    bool can_forward;
    char *offer;
    size_t offer_len;
};

int set_up(void **state);
int tear_down(void **state);
/* From now on the file of that name is what post() offers. */
void load_offer(struct fixture *f, const char *name);
/* The replies are the caller's, for free(). */
struct http_exchange *request(enum http_method method, const char *path, const char *type, const char *if_match, const char *body,
                              size_t len);
struct http_exchange *post(struct fixture *f);
/* The relay's answer to the claim. */
void claimed(struct fixture *f, enum publish_result result);
/* A session that has its answer. */
struct http_exchange *publish(struct fixture *f);
