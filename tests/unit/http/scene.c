/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void scene_init(struct scene *s, const struct http_server_cfg *cfg)
{
    struct http_server_cfg c = cfg ? *cfg : (struct http_server_cfg){0};

    *s = (struct scene){0};
    test_loop_init(&s->loop);
    assert_int_equal(addr_parse(&c.listen, "127.0.0.1:0"), 0);
    assert_int_equal(http_server_open(&s->server, s->loop.w, &c), 0);
    http_server_local(s->server, &s->addr);
}

void scene_fini(struct scene *s)
{
    http_server_close(&s->server);
    assert_null(s->server);
    test_loop_fini(&s->loop);
}

static void on_ready(void *arg, int err, bool readable, bool writable)
{
    struct client *c = arg;
    char bytes[65536];

    (void)readable;
    (void)writable;
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0)
        text_push(&c->got, bytes, (size_t)n);
    if (n == 0 || err || (n < 0 && errno != EAGAIN)) {
        c->ended = true;
        fd_watch_want(c->watch, false, false);
    }
    if (c->ended || (c->stop_at && c->got.len >= c->stop_at))
        worker_stop(c->scene->loop.w);
}

void client_open(struct client *c, struct scene *s)
{
    *c = (struct client){.scene = s, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, &s->addr.sa, addr_len(&s->addr)), 0);
    assert_int_equal(fd_watch_open(&c->watch, s->loop.w, c->fd, on_ready, c), 0);
    fd_watch_want(c->watch, true, false);
    text_push(&c->got, "", 0);
}

void client_send(struct client *c, const char *bytes)
{
    assert_int_equal(send(c->fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
}

void client_end(struct client *c)
{
    shutdown(c->fd, SHUT_WR);
}

void client_read(struct client *c, bool on)
{
    fd_watch_want(c->watch, on, false);
}

void client_run(struct client *c)
{
    c->stop_at = 0;
    while (!c->ended)
        test_loop_run(&c->scene->loop);
}

void client_close(struct client *c)
{
    fd_watch_close(&c->watch);
    close(c->fd);
    text_fini(&c->got);
}

static struct text ask(struct scene *s, const char *bytes, bool end)
{
    struct client c;

    client_open(&c, s);
    client_send(&c, bytes);
    if (end)
        client_end(&c);
    client_run(&c);
    struct text got = c.got;
    c.got = (struct text){0};
    client_close(&c);
    return got;
}

struct text scene_ask(struct scene *s, const char *bytes)
{
    return ask(s, bytes, true);
}

struct text scene_ask_open(struct scene *s, const char *bytes)
{
    return ask(s, bytes, false);
}

const char *statuses(const struct text *t, char out[256])
{
    size_t n = 0;

    out[0] = '\0';
    for (const char *at = t->p; (at = strstr(at, "HTTP/1.1 ")) && n < 250; at += 9)
        n += (size_t)snprintf(out + n, 256 - n, "%s%.3s", n ? " " : "", at + 9);
    return out;
}

const char *body_of(const struct text *t)
{
    const char *end = strstr(t->p, "\r\n\r\n");

    return end ? end + 4 : "";
}
