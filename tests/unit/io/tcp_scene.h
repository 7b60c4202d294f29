/* SPDX-License-Identifier: Apache-2.0
 * tcp_scene.h - a listener and a connection to it on one loop, and what happens to both ends. */
#pragma once

#include "io/tcp.h"
#include "loop.h"

/* One end of a connection, and what happened to it. */
struct side {
    struct tcp *t;
    struct scene *scene;
    unsigned opens, drains, closes;
    int err;
    size_t received;
    unsigned wrong; /* bytes that are not the pattern */
    size_t stop_at; /* stop the loop when so much is received */
    bool stop_on_close, stop_on_drain;
};

struct scene {
    struct test_loop loop;
    struct tcp_listener *listener;
    struct addr addr;
    struct side server, client;
    const struct tcp_ops *server_ops;
    unsigned left;
};

/* Count what comes and check that it is the pattern. */
void side_on_open(void *arg);
void side_on_data(void *arg, const uint8_t *bytes, size_t len);
void side_on_drain(void *arg);
void side_on_close(void *arg, int err);
/* The four of them. */
const struct tcp_ops *side_ops(void);

void scene_init(struct scene *s);
void scene_on_accept(void *arg, struct tcp *t);
void scene_connect(struct scene *s, const struct tcp_ops *ops);
/* Both ends open. */
void scene_open(struct scene *s);
void scene_fini(struct scene *s);

void write_pattern(struct tcp *t, size_t from, size_t n);
struct buf *pattern_buf(size_t from, size_t n);
/* A plain blocking client, for what struct tcp would not do. */
int raw_connect(const struct scene *s);
