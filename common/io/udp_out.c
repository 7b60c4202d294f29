/* SPDX-License-Identifier: Apache-2.0
 * udp_out.c - gathers datagrams in an arena and sends them, many by one system call.
 *
 * Why GSO: on the machine it was measured on, a datagram costs 5.7-6.4 us by sendto, 4.1-5.3 by
 * sendmmsg, 1.6-1.8 by sendmmsg of messages that the kernel cuts into nine (UDP_SEGMENT). */
#include "udp_priv.h"

#include "base/log.h"
#include "worker_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARENA_BYTES = 1 << 20, /* bounds what waits for a full socket: 3 s of a 2.5 Mbit/s stream */
    MESSAGES = 1024,
    UNFRAGMENTED_BYTES = 1280 - 28, /* less than any path carries: IPv6's least MTU */
    EARLY_BYTES = 256 << 10, /* sent before the turn ends: what was written is still in the cache */
};

_Static_assert(EARLY_BYTES + UDP_DATAGRAM_MAX <= ARENA_BYTES, "below it there is room");

static void on_turn_flush(struct turn_hook *hook, uint64_t now_us)
{
    (void)now_us;
    udp_out_flush(container_of(hook, struct udp_socket, out.hook));
}

int udp_out_init(struct udp_socket *s)
{
    s->out.arena = malloc(ARENA_BYTES);
    s->out.messages = calloc(MESSAGES, sizeof(*s->out.messages));
    s->out.hook = (struct turn_hook){.run = on_turn_flush, .stage = TURN_FLUSH};
    s->out.gso = s->out.unfragmented = true;
    return s->out.arena && s->out.messages ? 0 : -ENOMEM;
}

void udp_out_fini(struct udp_socket *s)
{
    free(s->out.arena);
    free(s->out.messages);
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* One sendmmsg call in the making. */
struct call {
    struct mmsghdr headers[CALL_MESSAGES];
    struct iovec iov[CALL_MESSAGES];
    struct out_message *of[CALL_MESSAGES];
    size_t n;
    /* As the kernel wants control messages aligned. */
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control[CALL_MESSAGES];
};

static void push_control(struct msghdr *h, int level, int type, const void *data, size_t len)
{
    struct cmsghdr c = {.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(len)};
    uint8_t *at = (uint8_t *)h->msg_control + h->msg_controllen;

    memcpy(at, &c, sizeof(c));
    memcpy(at + CMSG_LEN(0), data, len);
    h->msg_controllen += CMSG_SPACE(len);
}

/* The address the peer sent to, where the system would choose another. */
static void push_source(const struct udp_socket *s, struct msghdr *h, const struct addr *to)
{
    const struct in6_addr *local = udp_sources_find(s->sources, to);
    struct in6_pktinfo v6 = {0};
    struct in_pktinfo v4 = {0};

    if (local && s->v6) {
        v6.ipi6_addr = *local;
        push_control(h, IPPROTO_IPV6, IPV6_PKTINFO, &v6, sizeof(v6));
    } else if (local) {
        memcpy(&v4.ipi_spec_dst, &local->s6_addr[12], sizeof(v4.ipi_spec_dst));
        push_control(h, IPPROTO_IP, IP_PKTINFO, &v4, sizeof(v4));
    }
}

static void call_push(struct call *c, const struct udp_socket *s, struct out_message *m, uint32_t offset,
                      uint32_t len)
{
    size_t i = c->n++;
    struct msghdr *h = &c->headers[i].msg_hdr;

    c->of[i] = m;
    c->iov[i] = (struct iovec){.iov_base = s->out.arena + m->at + offset, .iov_len = len};
    *h = (struct msghdr){.msg_name = &m->to,
                         .msg_namelen = addr_len(&m->to),
                         .msg_iov = &c->iov[i],
                         .msg_iovlen = 1,
                         .msg_control = c->control[i].bytes};
    if (len > m->segment_bytes)
        push_control(h, IPPROTO_UDP, UDP_SEGMENT, &m->segment_bytes, sizeof(m->segment_bytes));
    if (s->sources)
        push_source(s, h, &m->to);
}

/* As many messages as a call takes; a message goes whole by GSO, else datagram by datagram. */
static void call_fill(struct call *c, struct udp_socket *s)
{
    struct udp_out *out = &s->out;

    c->n = 0;
    for (size_t i = out->head; i < out->tail && c->n < CALL_MESSAGES; i++) {
        struct out_message *m = &out->messages[i];
        uint32_t step = out->gso && !m->plain ? MESSAGE_BYTES_MAX : m->segment_bytes;

        for (uint32_t at = m->sent; at < m->len && c->n < CALL_MESSAGES; at += step)
            call_push(c, s, m, at, m->len - at < step ? m->len - at : step);
    }
}

static uint64_t datagrams_in(const struct call *c, size_t i)
{
    return (c->iov[i].iov_len + c->of[i]->segment_bytes - 1) / c->of[i]->segment_bytes;
}

/* The first message's next bytes are done with, sent or dropped. */
static void step_past(struct udp_out *out, struct out_message *m, size_t len)
{
    m->sent += (uint32_t)len;
    if (m->sent == m->len)
        out->head++;
}

static void on_sent(struct udp_socket *s, const struct call *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s->counters.sent += datagrams_in(c, i);
        s->counters.sent_bytes += c->iov[i].iov_len;
        step_past(&s->out, c->of[i], c->iov[i].iov_len);
    }
    s->counters.send_messages += n;
}

/* A datagram is longer than every path carries, or a path is known (by its device, or ICMP) that carries less than what is sent: from now on they
 * may be cut, and what the system was told of paths counts no more. */
static void let_fragment(struct udp_socket *s, const char *why)
{
    const int omit = IP_PMTUDISC_OMIT;

    s->out.unfragmented = false;
    (void)setsockopt(s->fd, IPPROTO_IP, IP_MTU_DISCOVER, &omit, sizeof(omit));
    log_debug("udp", "datagrams may be cut in fragments: %s", why);
}

/* The system refuses the call's first message. GSO is given up for the socket when a device cannot
 * do it (EIO: no checksum offload), for one message when its path cannot (a segment over the MTU);
 * otherwise the message is dropped: the trouble of one peer is not another's. */
static void on_refused(struct udp_socket *s, const struct call *c, int err)
{
    bool segmented = c->iov[0].iov_len > c->of[0]->segment_bytes;

    if (s->out.unfragmented && (err == EMSGSIZE || (segmented && err == EINVAL))) {
        let_fragment(s, "a path is too narrow");
    } else if (segmented && err == EIO) {
        s->out.gso = false;
        log_info("udp", "no segmentation offload on this path: sending datagram by datagram");
    } else if (segmented && (err == EINVAL || err == EMSGSIZE)) {
        c->of[0]->plain = true;
    } else {
        s->counters.dropped_error += datagrams_in(c, 0);
        step_past(&s->out, c->of[0], c->iov[0].iov_len);
    }
}

static void finish_writing(struct udp_socket *s)
{
    if (s->cfg.on_send && s->out.head < s->out.tail)
        s->cfg.on_send(s->cfg.arg);
}

void udp_out_flush(struct udp_socket *s)
{
    struct udp_out *out = &s->out;
    struct call c;

    finish_writing(s);
    out->open = NULL;
    while (out->head < out->tail && !out->blocked) {
        call_fill(&c, s);
        int n = sendmmsg(s->fd, c.headers, (unsigned)c.n, MSG_DONTWAIT);
        s->counters.send_calls++;
        if (n > 0) {
            on_sent(s, &c, (size_t)n);
        } else if (errno == EAGAIN) {
            out->blocked = true;
            udp_want(s);
        } else if (errno != EINTR) {
            on_refused(s, &c, errno);
        }
    }
    if (out->head == out->tail) {
        out->head = out->tail = 0;
        out->used_bytes = 0;
    }
}

void udp_out_on_writable(struct udp_socket *s)
{
    s->out.blocked = false;
    udp_out_flush(s);
    if (!s->out.blocked)
        udp_want(s);
}

/* ---- Gathering ------------------------------------------------------------------------------- */

/* A datagram a viewer and packet comes by udp_reserve and udp_commit: what only a message's first one needs stays out of their way (noinline). */

/* What was sent while the rest waited leaves its room to the rest. */
static void compact(struct udp_out *out)
{
    size_t n = out->tail - out->head;
    uint32_t shift = n ? out->messages[out->head].at : (uint32_t)out->used_bytes;

    if (out->head == 0)
        return;
    memmove(out->arena, out->arena + shift, out->used_bytes - shift);
    memmove(out->messages, out->messages + out->head, n * sizeof(*out->messages));
    for (size_t i = 0; i < n; i++)
        out->messages[i].at -= shift;
    out->head = 0;
    out->tail = n;
    out->used_bytes -= shift;
}

static bool has_room(const struct udp_out *out, size_t cap_bytes)
{
    return ARENA_BYTES - out->used_bytes >= cap_bytes && out->tail < MESSAGES;
}

static bool make_room(struct udp_socket *s, size_t cap_bytes)
{
    if (has_room(&s->out, cap_bytes))
        return true;
    udp_out_flush(s);
    if (!has_room(&s->out, cap_bytes))
        compact(&s->out);
    return has_room(&s->out, cap_bytes);
}

/* A socket of IPv6 reaches IPv4 by mapped addresses. */
static struct addr as_socket_wants(const struct udp_socket *s, const struct addr *to)
{
    struct addr mapped;

    if (!s->v6 || to->sa.sa_family != AF_INET)
        return *to;
    memset(&mapped, 0, sizeof(mapped));
    mapped.v6.sin6_family = AF_INET6;
    mapped.v6.sin6_port = to->v4.sin_port;
    mapped.v6.sin6_addr.s6_addr[10] = mapped.v6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&mapped.v6.sin6_addr.s6_addr[12], &to->v4.sin_addr, 4);
    return mapped;
}

__attribute__((noinline)) static bool equals_as_wanted(const struct udp_socket *s, const struct addr *theirs, const struct addr *to)
{
    struct addr wanted = as_socket_wants(s, to);

    return addr_equal(theirs, &wanted);
}

static inline bool goes_to(const struct udp_socket *s, const struct out_message *m, const struct addr *to)
{
    uint64_t theirs, ours;

    memcpy(&theirs, to, sizeof(theirs)); /* IPv4: family, port and address, all that counts */
    memcpy(&ours, &m->to, sizeof(ours));
    if (to->sa.sa_family == AF_INET && !s->v6)
        return theirs == ours;
    return equals_as_wanted(s, &m->to, to);
}

/* To the last message's address: most datagrams follow one of their frame. */
static bool goes_again(const struct udp_socket *s, const struct addr *to)
{
    const struct udp_out *out = &s->out;

    return out->tail != out->head && goes_to(s, &out->messages[out->tail - 1], to);
}

/* Appends to the message before when the kernel can cut it off again. */
static bool joins(const struct udp_out *out, size_t len)
{
    const struct out_message *m = &out->messages[out->tail - 1];

    return !m->ended && !m->sent && len <= m->segment_bytes && m->count < SEGMENTS_MAX &&
           m->len + len <= MESSAGE_BYTES_MAX;
}

bool udp_joins(const struct udp_socket *s, const struct addr *to, size_t len)
{
    return goes_again(s, to) && joins(&s->out, len);
}

__attribute__((noinline)) static uint8_t *reserve_elsewhere(struct udp_socket *s, const struct addr *to, size_t cap_bytes)
{
    struct udp_out *out = &s->out;

    if (out->used_bytes >= EARLY_BYTES && !out->blocked && !s->closed && !udp_joins(s, to, 1))
        udp_out_flush(s); /* between two messages: one that is cut here would be two */
    out->reserved = !s->closed && make_room(s, cap_bytes) ? out->arena + out->used_bytes : out->scratch;
    out->again = goes_again(s, to);
    if (!out->again)
        out->to = as_socket_wants(s, to);
    return out->reserved;
}

uint8_t *udp_reserve(struct udp_socket *s, const struct addr *to, size_t cap_bytes)
{
    struct udp_out *out = &s->out;

    assert(cap_bytes <= UDP_DATAGRAM_MAX && !out->reserved);
    out->reserved_cap = cap_bytes;
    if (!out->open || !goes_to(s, out->open, to))
        return reserve_elsewhere(s, to, cap_bytes);
    out->again = true;
    out->reserved = out->arena + out->used_bytes;
    return out->reserved;
}

/* Behind the message's other datagrams. It stays open while another one of its size would fit, too. */
static inline void append(struct udp_out *out, struct out_message *m, size_t len)
{
    m->len += (uint32_t)len;
    m->count++;
    out->used_bytes += len;
    m->ended = len < m->segment_bytes;
    if (m->ended || m->count == SEGMENTS_MAX || m->len + len > MESSAGE_BYTES_MAX || out->used_bytes >= EARLY_BYTES)
        out->open = NULL;
}

__attribute__((noinline)) static void begin_message(struct udp_socket *s, size_t len)
{
    struct udp_out *out = &s->out;

    out->messages[out->tail] = (struct out_message){.to = out->again ? out->messages[out->tail - 1].to : out->to,
                                                    .at = (uint32_t)out->used_bytes,
                                                    .len = (uint32_t)len,
                                                    .segment_bytes = (uint16_t)len,
                                                    .count = 1};
    if (s->sources)
        udp_sources_prefetch(s->sources, &out->messages[out->tail].to);
    if (out->unfragmented && len > UNFRAGMENTED_BYTES)
        let_fragment(s, "a long one is sent");
    out->open = out->used_bytes + len < EARLY_BYTES ? &out->messages[out->tail] : NULL;
    out->tail++;
    out->used_bytes += len;
    worker_arm(s->worker, &out->hook);
}

__attribute__((noinline)) static void commit_elsewhere(struct udp_socket *s, size_t len, bool dropped)
{
    struct udp_out *out = &s->out;

    if (len == 0)
        return;
    if (dropped)
        s->counters.dropped_full++;
    else if (out->again && joins(out, len))
        append(out, &out->messages[out->tail - 1], len);
    else
        begin_message(s, len);
}

void udp_commit(struct udp_socket *s, size_t len)
{
    struct udp_out *out = &s->out;
    struct out_message *m = out->open;
    bool dropped = out->reserved == out->scratch;

    assert(out->reserved && len <= out->reserved_cap);
    out->reserved = NULL;
    if (m && out->again && len > 0 && len <= m->segment_bytes)
        append(out, m, len);
    else
        commit_elsewhere(s, len, dropped);
}

void udp_send(struct udp_socket *s, const struct addr *to, const void *bytes, size_t len)
{
    if (len > UDP_DATAGRAM_MAX) {
        s->counters.dropped_error++;
        return;
    }
    memcpy(udp_reserve(s, to, len), bytes, len);
    udp_commit(s, len);
}
