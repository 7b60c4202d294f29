/* SPDX-License-Identifier: Apache-2.0 */
#include "udp_priv.h"

#include "worker_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RECV_CALLS_A_TURN = 8,      /* 256 messages; what is left is read in the next turn, after the hooks */
    DENSE_WINDOW_US = 100000,   /* over which it is judged whether much comes, ... */
    DENSE_US = 1000,            /* ... a datagram in so long */
    AFTER_MEDIA_US = 10000,     /* a turn, for what viewers say: a crowd's handshakes must not keep media waiting */
    LOOK_US = 3000,             /* between two looks at what viewers say: hundreds of them speak each millisecond */
    LOOK_SPARING_US = 10000,    /* where no other turn comes in between; a repair leaves 7 ms later at most */
    SPARING_PERMILLE = 50,      /* of its time a worker is busy that is spared wake-ups; down to half of it, as they are less then */
};

/* ---- Receiving ------------------------------------------------------------------------------- */

/* What recvmmsg fills in, and where. Buffers begin at different lines of a page: what is at the same place of 64 KiB each has few places
 * in the processor's caches. */
struct udp_recv {
    struct mmsghdr headers[RECV_MESSAGES];
    struct iovec iov[RECV_MESSAGES];
    struct addr from[RECV_MESSAGES];
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t)) +
                      CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control[RECV_MESSAGES];
    uint8_t bytes[RECV_MESSAGES][RECV_MESSAGE_BYTES + RECV_STAGGER_BYTES]; /* only what arrives is ever touched */
};

static void deliver(struct udp_socket *s)
{
    size_t n = s->in.batched;

    s->in.batched = 0;
    if (n > 0 && !s->closed)
        s->cfg.on_datagrams(s->cfg.arg, s->in.batch, n);
}

/* A message may come in this place again: what the last one has overwritten. */
static void expect(struct udp_recv *c, size_t i)
{
    c->headers[i].msg_hdr.msg_namelen = sizeof(c->from[i]);
    c->headers[i].msg_hdr.msg_controllen = sizeof(c->control[i].bytes);
}

static void push_datagram(struct udp_socket *s, uint8_t *bytes, size_t len, const struct addr *from)
{
    s->counters.received++;
    s->counters.received_bytes += len;
    s->in.batch[s->in.batched++] = (struct udp_datagram){.bytes = bytes, .len = len, .from = *from};
    if (s->in.batched == UDP_BATCH_MAX)
        deliver(s);
}

static void on_overflows(struct udp_socket *s, const struct cmsghdr *c)
{
    uint32_t overflows;

    memcpy(&overflows, CMSG_DATA(c), sizeof(overflows));
    s->counters.dropped_kernel += overflows - s->in.overflows; /* modulo 2^32 */
    s->in.overflows = overflows;
}

/* Where the message was sent to; IPv4 addresses mapped. */
static void on_destination(struct udp_socket *s, const struct cmsghdr *c, const struct addr *from)
{
    struct in6_addr local = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    struct in6_pktinfo v6;
    struct in_pktinfo v4;

    if (c->cmsg_level == IPPROTO_IPV6) {
        memcpy(&v6, CMSG_DATA(c), sizeof(v6));
        local = v6.ipi6_addr;
    } else {
        memcpy(&v4, CMSG_DATA(c), sizeof(v4));
        memcpy(&local.s6_addr[12], &v4.ipi_spec_dst, 4);
    }
    if (!IN6_IS_ADDR_MULTICAST(&local)) /* nobody sends from those */
        udp_sources_push(s->sources, from, &local, worker_now_us(s->worker));
}

/* Returns the size of the datagrams that were merged into this message; 0 when it is one. */
static size_t read_control(struct udp_socket *s, struct msghdr *h, const struct addr *from, bool tells_address)
{
    int segment_bytes = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&segment_bytes, CMSG_DATA(c), sizeof(segment_bytes));
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            on_overflows(s, c);
        } else if (!tells_address) {
            continue;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)) {
            on_destination(s, c, from);
        }
    }
    return segment_bytes > 0 ? (size_t)segment_bytes : 0;
}

static void take_message(struct udp_socket *s, struct udp_recv *c, size_t i)
{
    uint8_t *bytes = c->iov[i].iov_base;
    size_t left = c->headers[i].msg_len;
    bool tells_address = s->sources && (!s->cfg.tells_address || s->cfg.tells_address(bytes, left));
    size_t step = read_control(s, &c->headers[i].msg_hdr, &c->from[i], tells_address);

    addr_unmap(&c->from[i]);
    expect(c, i);
    while (left > 0) {
        size_t len = step && step < left ? step : left;

        push_datagram(s, bytes, len, &c->from[i]);
        bytes += len;
        left -= len;
    }
}

static struct udp_recv *recv_create(void)
{
    struct udp_recv *c = malloc(sizeof(*c));

    for (size_t i = 0; c && i < RECV_MESSAGES; i++) {
        c->iov[i] = (struct iovec){.iov_base = c->bytes[i], .iov_len = RECV_MESSAGE_BYTES};
        c->headers[i].msg_hdr =
            (struct msghdr){.msg_name = &c->from[i], .msg_iov = &c->iov[i], .msg_iovlen = 1, .msg_control = &c->control[i]};
        expect(c, i);
    }
    return c;
}

/* False: there is no more. */
static bool receive_call(struct udp_socket *s)
{
    struct udp_recv *c = s->in.recv;
    int n = recvmmsg(s->fd, c->headers, RECV_MESSAGES, MSG_DONTWAIT, NULL);

    if (n <= 0)
        return errno != EAGAIN; /* an ICMP error of one peer, reported once: what comes behind it is read */
    for (int i = 0; i < n; i++)
        take_message(s, c, (size_t)i);
    deliver(s);
    return n == RECV_MESSAGES;
}

/* Whether much comes: in the last window a datagram a millisecond. */
static bool is_dense(struct udp_socket *s, uint64_t now_us)
{
    struct udp_in *in = &s->in;
    uint64_t passed_us = now_us - in->dense_from_us;

    if (passed_us >= DENSE_WINDOW_US) {
        in->dense = (s->counters.received - in->dense_received) * DENSE_US >= passed_us;
        in->dense_from_us = now_us;
        in->dense_received = s->counters.received;
    }
    return in->dense;
}

/* What comes in the meantime costs one turn instead of many. What comes after a pause waits for nothing, nor does the next where little
 * comes; where many streams come, some in step with each other, more is to come after any pause. */
static void gather(struct udp_socket *s)
{
    uint64_t now_us = worker_now_us(s->worker), since_us = now_us - s->in.looked_us;

    s->in.looked_us = now_us;
    if (s->cfg.gather_us && (is_dense(s, now_us) || since_us < 2 * s->cfg.gather_us))
        worker_rest(s->worker, s->cfg.gather_us);
}

static void receive(struct udp_socket *s)
{
    for (int call = 0; call < RECV_CALLS_A_TURN && !s->closed && receive_call(s); call++)
        ;
}

static void on_look(struct turn_hook *look, uint64_t now_us)
{
    (void)now_us;
    receive(container_of(look, struct udp_socket, in.look));
}

/* The governor hears of what has to wait. */
static void note_unread(struct udp_socket *s, bool more, uint64_t now_us)
{
    if (!more)
        s->in.unread_us = 0;
    else if (!s->in.unread_us)
        s->in.unread_us = now_us;
    s->worker->governor.unread_us = more ? now_us - s->in.unread_us : 0;
}

/* The next look: when another turn comes, but not at once, and at the latest in a turn of its own. */
static void rest(struct udp_socket *s)
{
    uint32_t load_permille = governor_load_permille(&s->worker->governor);

    timer_stop(&s->in.soon);
    timer_stop(&s->in.rest);
    s->in.sparing = governor_is_past(load_permille, SPARING_PERMILLE, s->in.sparing);
    if (!s->in.resting)
        return;
    timer_start(&s->in.soon, LOOK_US);
    timer_start(&s->in.rest, s->in.sparing && !s->in.hurried ? LOOK_SPARING_US : LOOK_US);
}

/* What came is read; for a while nothing more is looked at, unless nothing had come: then the next is read at once. */
static void receive_after_media(struct turn_hook *hook, uint64_t now_us)
{
    struct udp_socket *s = container_of(hook, struct udp_socket, in.hook);
    struct worker *w = s->worker;
    uint64_t from_ns = uv_hrtime(), until_ns = from_ns + UINT64_C(1000) * AFTER_MEDIA_US, before = s->counters.received;
    bool rested = s->in.resting, more = true;

    while (more && !s->closed && uv_hrtime() < until_ns)
        more = receive_call(s);
    w->aside_ns += uv_hrtime() - from_ns;
    note_unread(s, more && !s->closed, now_us);
    if (s->closed)
        return;
    s->in.resting = s->counters.received != before;
    rest(s);
    if (s->in.resting != rested)
        udp_want(s);
}

static void on_soon(struct timer *t, uint64_t now_us)
{
    struct udp_socket *s = container_of(t, struct udp_socket, in.soon);

    (void)now_us;
    worker_arm(s->worker, &s->in.hook);
}

static void on_rested(struct timer *t, uint64_t now_us)
{
    struct udp_socket *s = container_of(t, struct udp_socket, in.rest);

    (void)now_us;
    worker_arm(s->worker, &s->in.hook);
}

void udp_hurry(struct udp_socket *s, bool hurry)
{
    if (hurry && !s->in.hurried && s->in.resting && s->in.rest.due_us > worker_now_us(s->worker) + LOOK_US)
        timer_start(&s->in.rest, LOOK_US);
    s->in.hurried = hurry;
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct udp_socket *s = container_of(handle, struct udp_socket, poll);

    if ((events & UV_READABLE || status < 0) && s->cfg.after_media) {
        worker_arm(s->worker, &s->in.hook);
    } else if (events & UV_READABLE || status < 0) {
        gather(s);
        receive(s);
    }
    if (events & UV_WRITABLE && !s->closed)
        udp_out_on_writable(s);
    if (status < 0 && !s->closed)
        udp_want(s); /* libuv stopped watching at the error, which receive has fetched */
}

void udp_want(struct udp_socket *s)
{
    int events = (s->in.resting ? 0 : UV_READABLE) | (s->out.blocked ? UV_WRITABLE : 0);

    if (s->closed)
        return;
    if (events)
        (void)uv_poll_start(&s->poll, events, on_ready);
    else
        (void)uv_poll_stop(&s->poll);
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* SO_RCVBUFFORCE goes over the system's limit and wants CAP_NET_ADMIN. */
static void set_buffer(int fd, int force, int plain, int bytes)
{
    if (bytes > 0 && setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

static void set_flag(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value)); /* the socket works without each of them */
}

/* IPv4 begins with "don't fragment", since the system draws an IP id for each message otherwise (4 % of what sending to a viewer costs),
 * and ends with it as soon as a datagram may be too long for its path: let_fragment in udp_out.c. With that, and for IPv6, path MTU
 * discovery is off: a forged ICMP message must not shrink it, and a datagram too long for the path is better cut in fragments than lost. */
static void set_options(int fd, bool v6, const struct udp_cfg *cfg)
{
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, cfg->recv_bytes);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, cfg->send_bytes);
    set_flag(fd, IPPROTO_UDP, UDP_GRO, 1);
    set_flag(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    set_flag(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    if (addr_is_any(&cfg->bind))
        set_flag(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
    if (v6) {
        set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
        set_flag(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
    }
}

static int open_fd(const struct udp_cfg *cfg, int *out)
{
    bool v6 = cfg->bind.sa.sa_family == AF_INET6;
    int fd = socket(cfg->bind.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    set_options(fd, v6, cfg);
    if (bind(fd, &cfg->bind.sa, addr_len(&cfg->bind)) < 0) {
        int err = -errno;

        close(fd);
        return err;
    }
    *out = fd;
    return 0;
}

static void free_socket(struct udp_socket *s)
{
    udp_out_fini(s);
    udp_sources_destroy(&s->sources);
    free(s->in.recv);
    free(s);
}

int udp_open(struct udp_socket **out, struct worker *w, const struct udp_cfg *cfg)
{
    struct udp_socket *s = calloc(1, sizeof(*s));
    int err;

    if (!s)
        return -ENOMEM;
    s->worker = w;
    s->cfg = *cfg;
    s->v6 = cfg->bind.sa.sa_family == AF_INET6;
    s->in.recv = recv_create();
    err = s->in.recv ? udp_out_init(s) : -ENOMEM;
    if (!err && addr_is_any(&cfg->bind)) {
        s->sources = udp_sources_create(cfg->bind.sa.sa_family);
        err = s->sources ? 0 : -ENOMEM;
    }
    if (!err)
        err = open_fd(cfg, &s->fd);
    if (err) {
        free_socket(s);
        return err;
    }
    err = uv_poll_init(&w->loop, &s->poll, s->fd);
    if (err) {
        close(s->fd);
        free_socket(s);
        return err;
    }
    s->in.hook = (struct turn_hook){.run = receive_after_media, .stage = TURN_VIEWERS};
    timer_init_lazy(&s->in.soon, w, on_soon);
    timer_init(&s->in.rest, w, on_rested);
    s->in.look = (struct turn_hook){.run = on_look};
    list_init(&s->in.look.link);
    if (!cfg->after_media)
        list_push_back(&w->media, &s->in.look.link);
    udp_want(s);
    *out = s;
    return 0;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free_socket(container_of((uv_poll_t *)handle, struct udp_socket, poll));
}

void udp_close(struct udp_socket **ps)
{
    struct udp_socket *s = *ps;

    if (!s)
        return;
    *ps = NULL;
    udp_out_flush(s);
    s->closed = true;
    worker_disarm(&s->out.hook);
    worker_disarm(&s->in.hook);
    list_remove(&s->in.look.link);
    timer_stop(&s->in.soon);
    timer_stop(&s->in.rest);
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    close(s->fd);
}

void udp_local(const struct udp_socket *s, struct addr *out)
{
    socklen_t len = sizeof(*out);

    memset(out, 0, sizeof(*out));
    (void)getsockname(s->fd, &out->sa, &len);
}

const struct udp_counters *udp_counters(const struct udp_socket *s)
{
    return &s->counters;
}
