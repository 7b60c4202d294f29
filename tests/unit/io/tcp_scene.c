/* SPDX-License-Identifier: Apache-2.0 */
#include "tcp_scene.h"

#include <sys/socket.h>

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 131 >> 3);
}

void side_on_open(void *arg)
{
    ((struct side *)arg)->opens++;
}

void side_on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;

    assert_true(len > 0);
    for (size_t i = 0; i < len; i++)
        s->wrong += bytes[i] != pattern(s->received + i);
    s->received += len;
    if (s->stop_at && s->received >= s->stop_at)
        worker_stop(s->scene->loop.w);
}

void side_on_drain(void *arg)
{
    struct side *s = arg;

    s->drains++;
    if (s->stop_on_drain)
        worker_stop(s->scene->loop.w);
}

void side_on_close(void *arg, int err)
{
    struct side *s = arg;

    s->closes++;
    s->err = err;
    s->t = NULL;
    if (s->stop_on_close)
        worker_stop(s->scene->loop.w);
}

const struct tcp_ops *side_ops(void)
{
    static const struct tcp_ops ops = {side_on_open, side_on_data, side_on_drain, side_on_close};

    return &ops;
}

void scene_on_accept(void *arg, struct tcp *t)
{
    struct scene *s = arg;

    s->server.t = t;
    tcp_set_ops(t, s->server_ops, &s->server);
}

void scene_init(struct scene *s)
{
    *s = (struct scene){.server_ops = side_ops(), .server.scene = s, .client.scene = s};
    test_loop_init(&s->loop);
    assert_int_equal(addr_parse(&s->addr, "127.0.0.1:0"), 0);
    assert_int_equal(tcp_listen(&s->listener, s->loop.w, &s->addr, false, scene_on_accept, s), 0);
    tcp_listener_local(s->listener, &s->addr);
}

void scene_connect(struct scene *s, const struct tcp_ops *ops)
{
    assert_int_equal(tcp_connect(&s->client.t, s->loop.w, &s->addr, ops, &s->client), 0);
}

/* Both ends open. */
void scene_open(struct scene *s)
{
    scene_init(s);
    scene_connect(s, side_ops());
    test_loop_run_for(&s->loop, 2000);
    assert_int_equal(s->client.opens, 1);
    assert_non_null(s->server.t);
}

void scene_fini(struct scene *s)
{
    if (s->server.t)
        tcp_close(s->server.t);
    if (s->client.t)
        tcp_close(s->client.t);
    tcp_listener_close(&s->listener);
    assert_null(s->listener);
    test_loop_fini(&s->loop);
}

void write_pattern(struct tcp *t, size_t from, size_t n)
{
    uint8_t bytes[4096];

    for (size_t at = 0; at < n; at += sizeof(bytes)) {
        size_t len = n - at < sizeof(bytes) ? n - at : sizeof(bytes);

        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(from + at + i);
        tcp_write(t, bytes, len);
    }
}

struct buf *pattern_buf(size_t from, size_t n)
{
    struct buf *b = buf_create(n);

    assert_non_null(b);
    for (size_t i = 0; i < n; i++)
        b->bytes[i] = pattern(from + i);
    b->len = n;
    return b;
}

/* A plain blocking client, for what struct tcp would not do. */
int raw_connect(const struct scene *s)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &s->addr.sa, addr_len(&s->addr)), 0);
    return fd;
}
