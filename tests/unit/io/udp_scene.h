/* SPDX-License-Identifier: Apache-2.0
 * udp_scene.h - sockets on a loop of their own, and what arrives at them. */
#pragma once

#include "count_alloc.h"
#include "io/udp.h"
#include "loop.h"

#include <errno.h>
#include <string.h>

/* ---- The system's sendmmsg, with trouble on demand ------------------------------------------- */

static struct {
    int err;        /* given instead of sending */
    unsigned times; /* how often */
    bool only_gso;  /* only to calls that begin with a segmented message */
} trouble;

static unsigned sources_said; /* messages with IP_PKTINFO or IPV6_PKTINFO */

int __real_sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags);

int __wrap_sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
    if (trouble.times > 0 && (!trouble.only_gso || v[0].msg_hdr.msg_controllen > 0)) {
        trouble.times--;
        errno = trouble.err;
        return -1;
    }
    for (unsigned i = 0; i < n; i++)
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&v[i].msg_hdr); c; c = CMSG_NXTHDR(&v[i].msg_hdr, c))
            sources_said += (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) ||
                            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO);
    return __real_sendmmsg(fd, v, n, flags);
}

/* ---- A pair of sockets ----------------------------------------------------------------------- */

struct pair {
    struct test_loop loop;
    struct udp_socket *a, *b; /* a sends to b */
    struct addr a_addr, b_addr;
    struct timer step;
    unsigned sent, received, total, turn_count;
    unsigned wrong;
    unsigned heard; /* by a */
    struct addr heard_from;
    size_t allocs_before;
    unsigned warm; /* allocations are counted from this datagram on */
    bool late;     /* bytes are written in on_send */
    struct {
        uint8_t *at;
        unsigned number;
    } unwritten[256];
    size_t n_unwritten;
};

/* Sizes that make runs, ends of runs and changes: 700 of one size, a short one, then many single ones. */
static inline size_t size_of(unsigned i)
{
    return i % 1000 < 700 ? (i % 10 == 9 ? 333 : 1200) : 8 + i * 37 % (UDP_DATAGRAM_MAX - 8);
}

static inline void fill(uint8_t *p, unsigned i, size_t len)
{
    memcpy(p, &i, sizeof(i));
    memset(p + sizeof(i), (int)(i & 0xff), len - sizeof(i));
}

static inline bool intact(const uint8_t *p, size_t len, unsigned want)
{
    unsigned i;

    if (len < sizeof(i))
        return false;
    memcpy(&i, p, sizeof(i));
    if (i != want || len != size_of(i))
        return false;
    for (size_t at = sizeof(i); at < len; at++)
        if (p[at] != (uint8_t)i)
            return false;
    return true;
}

static inline void on_numbered(void *arg, struct udp_datagram *v, size_t n)
{
    struct pair *p = arg;

    assert_in_range(n, 1, UDP_BATCH_MAX);
    for (size_t i = 0; i < n; i++) {
        p->wrong += !intact(v[i].bytes, v[i].len, p->received);
        p->wrong += !addr_equal(&v[i].from, &p->a_addr);
        p->received++;
    }
    if (p->received == p->total)
        worker_stop(p->loop.w);
}

static inline void write_late(void *arg)
{
    struct pair *p = arg;

    for (; p->n_unwritten > 0; p->n_unwritten--) {
        unsigned number = p->unwritten[p->n_unwritten - 1].number;
        fill(p->unwritten[p->n_unwritten - 1].at, number, size_of(number));
    }
}

/* A fan-out's turn: some datagrams, then the receiver's turn. */
static inline void send_some(struct timer *t, uint64_t now_us)
{
    struct pair *p = container_of(t, struct pair, step);

    (void)now_us;
    for (unsigned i = 0; i < p->turn_count && p->sent < p->total; i++, p->sent++) {
        size_t len = size_of(p->sent);

        if (p->sent == p->warm)
            p->allocs_before = count_allocs();
        uint8_t *at = udp_reserve(p->a, &p->b_addr, UDP_DATAGRAM_MAX);
        p->unwritten[p->n_unwritten].at = at;
        p->unwritten[p->n_unwritten++].number = p->sent;
        if (!p->late)
            write_late(p);
        udp_commit(p->a, len);
    }
    if (p->sent < p->total)
        timer_start(t, 0);
}

static inline void on_reply(void *arg, struct udp_datagram *v, size_t n)
{
    struct pair *p = arg;

    p->heard += (unsigned)n;
    p->heard_from = v[n - 1].from;
}

static inline void nothing(void *arg, struct udp_datagram *v, size_t n)
{
    (void)arg;
    (void)v;
    (void)n;
}

static inline void pair_init(struct pair *p, const char *bind_a, const char *bind_b)
{
    struct udp_cfg a = {.on_datagrams = on_reply, .on_send = write_late, .arg = p, .recv_bytes = 1 << 20, .send_bytes = 1 << 20};
    struct udp_cfg b = {.on_datagrams = on_numbered, .arg = p, .recv_bytes = 4 << 20, .send_bytes = 1 << 20};

    *p = (struct pair){.turn_count = 200};
    trouble.times = 0;
    trouble.only_gso = false;
    test_loop_init(&p->loop);
    assert_int_equal(addr_parse(&a.bind, bind_a), 0);
    assert_int_equal(addr_parse(&b.bind, bind_b), 0);
    assert_int_equal(udp_open(&p->a, p->loop.w, &a), 0);
    assert_int_equal(udp_open(&p->b, p->loop.w, &b), 0);
    udp_local(p->a, &p->a_addr);
    udp_local(p->b, &p->b_addr);
    timer_init(&p->step, p->loop.w, send_some);
}

static inline void pair_run(struct pair *p, unsigned total)
{
    p->total = total;
    timer_start(&p->step, 0);
    test_loop_run(&p->loop);
}

static inline void pair_fini(struct pair *p)
{
    udp_close(&p->a);
    udp_close(&p->b);
    assert_null(p->a);
    test_loop_fini(&p->loop);
}
