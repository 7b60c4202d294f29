/* SPDX-License-Identifier: Apache-2.0
 * port.c - shared and own sockets; see port.h. */
#include "port.h"

#include "io/fd_watch.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    MESSAGES = 32,             /* a recvmmsg; each may be a whole frame, put together by GRO */
    MESSAGE_BYTES = 65536,     /* GRO puts no more together; only what comes is touched */
    CALLS_A_TURN = 16,         /* then timers and HTTP have their turn */
    EACH_RECV_BYTES = 1 << 20,
    CONTROL_BYTES = 256,
};

struct port {
    struct worker *worker;
    struct port_cfg cfg;
    struct fd_watch *watch;
    int fd; /* PORT_SHARED; else -1 */
    bool behind;
    struct port_slot **slots; /* PORT_SHARED: by index */
    uint32_t next;
    uint16_t local_port;
    uint32_t dropped; /* the kernel's counter at the last message */
    struct mmsghdr headers[MESSAGES];
    struct iovec iov[MESSAGES];
    struct addr from[MESSAGES];
    uint8_t control[MESSAGES][CONTROL_BYTES] __attribute__((aligned(8)));
    uint8_t *bytes;
};

/* ---- Receiving ----------------------------------------------------------------------------------------- */

/* What the kernel says beside the bytes. */
struct facts {
    uint64_t unix_us;
    uint32_t to;      /* host byte order; 0: not said */
    uint32_t segment; /* 0: one datagram */
    uint32_t dropped;
    bool has_dropped;
};

static struct facts read_facts(struct msghdr *h)
{
    struct facts f = {0};

    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof(t));
            f.unix_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&f.dropped, CMSG_DATA(c), sizeof(f.dropped));
            f.has_dropped = true;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            f.to = ntohl(info.ipi_addr.s_addr);
        } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(c), sizeof(segment));
            f.segment = (uint32_t)segment;
        }
    }
    return f;
}

static void count_drops(struct port *p, uint32_t *seen, const struct facts *f)
{
    if (!f->has_dropped)
        return;
    *p->cfg.drops += f->dropped - *seen; /* it wraps */
    *seen = f->dropped;
}

/* The slot may be closed by what it is given. */
static void deliver(struct port *p, struct port_slot *s, size_t i, const struct facts *f)
{
    uint8_t *at = p->bytes + i * MESSAGE_BYTES;
    size_t left = p->headers[i].msg_len;
    size_t step = f->segment ? f->segment : left;
    uint64_t unix_us = f->unix_us ? f->unix_us : worker_unix_us(p->worker);

    for (; left > 0 && s && s->port; left -= step, at += step) {
        step = step < left ? step : left;
        s->on_datagram(s, at, step, &p->from[i], unix_us);
    }
}

static struct port_slot *slot_of(const struct port *p, uint32_t to)
{
    uint32_t index = to - p->cfg.network;

    return index < p->cfg.count ? p->slots[index] : NULL;
}

static void prepare(struct port *p)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        p->iov[i] = (struct iovec){.iov_base = p->bytes + i * MESSAGE_BYTES, .iov_len = MESSAGE_BYTES};
        p->headers[i].msg_hdr = (struct msghdr){.msg_name = &p->from[i],
                                                .msg_namelen = sizeof(p->from[i]),
                                                .msg_iov = &p->iov[i],
                                                .msg_iovlen = 1,
                                                .msg_control = p->control[i],
                                                .msg_controllen = CONTROL_BYTES};
    }
}

/* one: the slot of its own socket; NULL: the shared one. Returns whether there may be more. */
static bool receive(struct port *p, int fd, struct port_slot *one)
{
    prepare(p);
    int n = recvmmsg(fd, p->headers, MESSAGES, MSG_DONTWAIT, NULL);
    if (n <= 0)
        return n < 0 && errno != EAGAIN && errno != EBADF; /* an ICMP error is read away */
    for (int i = 0; i < n; i++) {
        struct facts f = read_facts(&p->headers[i].msg_hdr);

        count_drops(p, one ? &one->index : &p->dropped, &f);
        deliver(p, one ? one : slot_of(p, f.to), (size_t)i, &f);
        if (one && !one->port)
            return false;
    }
    return n == MESSAGES;
}

static void on_shared_ready(void *arg, int err, bool readable, bool writable)
{
    struct port *p = arg;

    (void)err, (void)readable, (void)writable;
    p->behind = true;
    for (int i = 0; i < CALLS_A_TURN && p->behind; i++)
        p->behind = receive(p, p->fd, NULL);
}

static void on_slot_ready(void *arg, int err, bool readable, bool writable)
{
    struct port_slot *s = arg;

    (void)readable, (void)writable;
    (void)receive(s->port, s->fd, s);
    if (err && s->watch)
        fd_watch_want(s->watch, true, false); /* the error was read; the loop had stopped watching */
}

/* ---- Sockets -------------------------------------------------------------------------------------------- */

static void set_flag(int fd, int level, int name)
{
    int on = 1;
    (void)setsockopt(fd, level, name, &on, sizeof(on));
}

static void set_recv_bytes(int fd, int bytes)
{
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static int open_socket(int family, int recv_bytes)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    set_recv_bytes(fd, recv_bytes);
    set_flag(fd, IPPROTO_UDP, UDP_GRO);
    set_flag(fd, SOL_SOCKET, SO_TIMESTAMPNS);
    set_flag(fd, SOL_SOCKET, SO_RXQ_OVFL);
    return fd;
}

bool port_can_buffer(int bytes)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), got = 0;
    socklen_t len = sizeof(got);

    if (fd < 0)
        return false;
    set_recv_bytes(fd, bytes);
    (void)getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &len);
    close(fd);
    return got >= bytes;
}

static int open_shared(struct port *p)
{
    struct addr any = {.v4 = {.sin_family = AF_INET}};
    socklen_t len = sizeof(any);

    p->slots = calloc(p->cfg.count, sizeof(struct port_slot *));
    p->fd = p->slots ? open_socket(AF_INET, p->cfg.recv_bytes) : -ENOMEM;
    if (p->fd < 0)
        return p->fd;
    set_flag(p->fd, IPPROTO_IP, IP_PKTINFO);
    if (bind(p->fd, &any.sa, sizeof(any.v4)) || getsockname(p->fd, &any.sa, &len))
        return -errno;
    p->local_port = addr_port(&any);
    int err = fd_watch_open(&p->watch, p->worker, p->fd, on_shared_ready, p);
    if (!err)
        fd_watch_want(p->watch, true, false);
    return err;
}

int port_open(struct port **out, struct worker *w, const struct port_cfg *cfg)
{
    struct port *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->worker = w;
    p->cfg = *cfg;
    p->fd = -1;
    p->bytes = malloc((size_t)MESSAGES * MESSAGE_BYTES);
    int err = p->bytes ? 0 : -ENOMEM;
    if (!err && cfg->mode == PORT_SHARED)
        err = open_shared(p);
    if (err) {
        port_close(&p);
        return err;
    }
    *out = p;
    return 0;
}

void port_close(struct port **pp)
{
    struct port *p = *pp;

    *pp = NULL;
    if (!p)
        return;
    fd_watch_close(&p->watch);
    if (p->fd >= 0)
        close(p->fd);
    free(p->slots);
    free(p->bytes);
    free(p);
}

/* ---- Slots ----------------------------------------------------------------------------------------------- */

/* Addresses are used in turn, so that one that was just left is not the next one's at once. */
static int take_address(struct port *p, struct port_slot *s)
{
    for (uint32_t i = 0; i < p->cfg.count; i++) {
        uint32_t index = (p->next + i) % p->cfg.count;

        if (p->slots[index])
            continue;
        p->slots[index] = s;
        p->next = index + 1;
        s->index = index;
        s->local.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(p->local_port),
                                           .sin_addr.s_addr = htonl(p->cfg.network + index)};
        return 0;
    }
    return -EADDRNOTAVAIL;
}

/* Which address leads to the server: the kernel says for a connected socket. */
static void find_local(struct addr *local, const struct addr *toward, uint16_t port)
{
    int fd = socket(toward->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*local);

    if (fd >= 0 && connect(fd, &toward->sa, addr_len(toward)) == 0)
        (void)getsockname(fd, &local->sa, &len);
    if (fd >= 0)
        close(fd);
    addr_set_port(local, port);
}

static int open_own(struct port *p, struct port_slot *s, const struct addr *toward)
{
    struct addr any = {.sa.sa_family = toward->sa.sa_family};
    socklen_t len = sizeof(s->local);

    s->fd = open_socket(toward->sa.sa_family, EACH_RECV_BYTES);
    if (s->fd < 0)
        return s->fd;
    if (bind(s->fd, &any.sa, addr_len(&any)) || getsockname(s->fd, &s->local.sa, &len)) {
        close(s->fd);
        return -errno;
    }
    find_local(&s->local, toward, addr_port(&s->local));
    int err = fd_watch_open(&s->watch, p->worker, s->fd, on_slot_ready, s);
    if (err) {
        close(s->fd);
        return err;
    }
    fd_watch_want(s->watch, true, false);
    return 0;
}

int port_slot_open(struct port *p, struct port_slot *s, const struct addr *toward,
                   void (*on_datagram)(struct port_slot *, uint8_t *, size_t, const struct addr *, uint64_t))
{
    *s = (struct port_slot){.on_datagram = on_datagram, .fd = -1};
    int err = p->cfg.mode == PORT_SHARED ? take_address(p, s) : open_own(p, s, toward);
    if (!err)
        s->port = p;
    return err;
}

bool port_is_one_each(const struct port *p)
{
    return p->cfg.mode == PORT_EACH;
}

bool port_is_behind(const struct port *p)
{
    return p->behind;
}

void port_slot_close(struct port_slot *s)
{
    if (!s->port)
        return;
    if (s->port->cfg.mode == PORT_SHARED) {
        s->port->slots[s->index] = NULL;
    } else {
        fd_watch_close(&s->watch);
        close(s->fd);
    }
    s->port = NULL;
}

void port_slot_send(struct port_slot *s, const struct addr *to, const void *bytes, size_t len)
{
    struct in_pktinfo info = {.ipi_spec_dst = s->local.v4.sin_addr};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(info))];
    } control = {0};
    struct addr dest = *to;
    struct msghdr h = {.msg_name = &dest, .msg_namelen = addr_len(to), .msg_iov = &iov, .msg_iovlen = 1};

    if (!s->port)
        return;
    if (s->port->cfg.mode == PORT_SHARED) {
        h.msg_control = control.bytes;
        h.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        *c = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(info))};
        memcpy(CMSG_DATA(c), &info, sizeof(info));
    }
    (void)sendmsg(s->port->cfg.mode == PORT_SHARED ? s->port->fd : s->fd, &h, MSG_DONTWAIT);
}
