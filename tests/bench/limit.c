/* SPDX-License-Identifier: Apache-2.0
 * limit.c - the least that a packet to a viewer can cost on this machine: AES-128-GCM, then the kernel.
 *
 *   millrace-limit [--seconds S] [--viewers N] [--packets N] [--rate R] [--keyframe N] [--cm]
 *
 * Nine packets of 1,200 bytes (a frame of a 2.5 Mbit/s stream) for each viewer in turn, every viewer with keys and an address
 * of its own, are protected into an arena and sent by sendmmsg as GSO messages to a socket on loopback that another
 * thread drains. Prints the CPU time of the sending thread, user and system, in microseconds a packet: what a server's
 * own work is measured against. --packets: of a message, 1 .. 9, for what short ones cost (sound is one a message). --rate: not one
 * round of all viewers after the other but so many a second, as pictures come, to a sink that looks every 8 ms and does not interrupt
 * who is at work, as millrace-load: what the same costs where caches and core have been others' in between. Then it also prints
 * milliseconds, p50 and p99, from when a picture was due to when a viewer's first message had been sent: the queue of viewers who are
 * served one after the other. --keyframe: of 60 pictures one has so many packets, and viewers get a message of it at a time.
 * No loop, no timers, no bookkeeping are in it. */
#include "limit.h"

#include "secure/srtp_tx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    DATAGRAM_BYTES = 1200,
    FRAME_PACKETS = 9,
    CALL_MESSAGES = 24, /* a sendmmsg: 256 KiB, which is still in the cache when it is sent */
    HDR_BYTES = 12,
    DRAIN_MESSAGES = 32,
    DRAIN_BYTES = 65536,
    SOCKET_BYTES = 16 << 20,
    RESTED_SOCKET_BYTES = 64 << 20, /* of a sink that naps */
    UNDER_WAY_BYTES = 2 << 20,
    NAP_US = 8000,
    KEYFRAME_EVERY = 60,
};

/* What is asked for. */
struct plan {
    enum srtp_profile profile;
    size_t viewers, packets, keyframe; /* of a message; of a keyframe, 0: there are none */
    double seconds, rate;              /* rate 0: one round after the other */
};

struct viewer {
    struct srtp_tx *tx;
    struct sockaddr_in to;
};

struct call {
    struct mmsghdr headers[CALL_MESSAGES];
    struct iovec iov[CALL_MESSAGES];
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control[CALL_MESSAGES];
    uint8_t *arena;
    size_t n;
};

/* When viewers were served, after the picture was due. */
struct queue {
    uint32_t *waits_us;
    size_t n, cap;
};

static atomic_bool done, naps;
static _Atomic uint64_t drained_bytes;

static void set_buffer(int fd, int force, int plain)
{
    int bytes = naps ? RESTED_SOCKET_BYTES : SOCKET_BYTES;

    if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof(bytes)))
        (void)setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

/* ---- The other side ---------------------------------------------------------------------------------------- */

static void *drain(void *arg)
{
    int fd = *(int *)arg;
    static uint8_t bytes[DRAIN_MESSAGES][DRAIN_BYTES];
    struct mmsghdr headers[DRAIN_MESSAGES];
    struct iovec iov[DRAIN_MESSAGES];

    if (naps) /* as millrace-load does */
        (void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    while (!done) {
        for (size_t i = 0; i < DRAIN_MESSAGES; i++) {
            iov[i] = (struct iovec){bytes[i], DRAIN_BYTES};
            headers[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
        }
        int n = recvmmsg(fd, headers, DRAIN_MESSAGES, naps ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            die("recvmmsg");
        for (int i = 0; i < n; i++)
            drained_bytes += headers[i].msg_len;
        if (n < DRAIN_MESSAGES && naps)
            usleep(NAP_US);
    }
    return NULL;
}

static int open_sink(uint16_t *port)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct timeval wait = {.tv_usec = 100000};
    socklen_t len = sizeof(any);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;

    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || getsockname(fd, (struct sockaddr *)&any, &len))
        die("socket");
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    *port = any.sin_port;
    return fd;
}

/* ---- Sending ------------------------------------------------------------------------------------------------- */

/* What is under way stays below what the sink can hold: a datagram that is dropped would cost less than one that is
 * delivered. */
static void wait_for_sink(uint64_t sent_bytes)
{
    for (int i = 0; i < 100 && sent_bytes > drained_bytes + UNDER_WAY_BYTES; i++)
        usleep(200);
    if (sent_bytes > drained_bytes + UNDER_WAY_BYTES)
        drained_bytes = sent_bytes; /* it was lost after all */
}

static void flush(int fd, struct call *c)
{
    for (size_t sent = 0; sent < c->n;) {
        int n = sendmmsg(fd, c->headers + sent, (unsigned)(c->n - sent), 0);
        if (n < 0)
            die("sendmmsg");
        sent += (size_t)n;
    }
    c->n = 0;
}

/* A frame of one viewer as one message. */
static void push_frame(struct call *c, struct srtp_engine *e, struct viewer *v, uint64_t index, const uint8_t *payload,
                       size_t n)
{
    uint8_t hdrs[FRAME_PACKETS][HDR_BYTES], *at = c->arena + c->n * FRAME_PACKETS * DATAGRAM_BYTES;
    struct srtp_tx_packet packets[FRAME_PACKETS];
    size_t tag = srtp_tx_tag_len(v->tx);
    struct msghdr *h = &c->headers[c->n].msg_hdr;
    uint16_t segment = DATAGRAM_BYTES;
    struct cmsghdr cmsg = {.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(segment))};

    for (size_t i = 0; i < n; i++) {
        memset(hdrs[i], 0, HDR_BYTES);
        hdrs[i][0] = 0x80;
        hdrs[i][2] = (uint8_t)((index + i) >> 8);
        hdrs[i][3] = (uint8_t)(index + i);
        packets[i] = (struct srtp_tx_packet){.tx = v->tx, .index = index + i, .hdr = hdrs[i], .hdr_len = HDR_BYTES,
                                             .payload = payload + i * DATAGRAM_BYTES,
                                             .payload_len = (uint16_t)(DATAGRAM_BYTES - HDR_BYTES - tag),
                                             .dst = at + i * DATAGRAM_BYTES};
    }
    srtp_tx_protect_batch(e, packets, n);
    c->iov[c->n] = (struct iovec){at, n * DATAGRAM_BYTES};
    *h = (struct msghdr){.msg_name = &v->to, .msg_namelen = sizeof(v->to), .msg_iov = &c->iov[c->n], .msg_iovlen = 1,
                         .msg_control = c->control[c->n].bytes, .msg_controllen = sizeof(c->control[c->n].bytes)};
    memcpy(c->control[c->n].bytes, &cmsg, sizeof(cmsg));
    memcpy(c->control[c->n].bytes + CMSG_LEN(0), &segment, sizeof(segment));
    c->n++;
}

/* Until the next round is due; one that is late waits for nothing, and is not made up for. */
static void wait_for_turn(uint64_t *next_ns, double rate)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

    *next_ns += (uint64_t)(1e9 / rate);
    if (*next_ns > now_ns)
        usleep((useconds_t)((*next_ns - now_ns) / 1000));
    else
        *next_ns = now_ns;
}

static void push_waits(struct queue *q, size_t n, uint64_t due_ns)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

    for (size_t i = 0; i < n && q->n < q->cap; i++)
        q->waits_us[q->n++] = (uint32_t)((now_ns > due_ns ? now_ns - due_ns : 0) / 1000);
}

struct sender {
    int fd;
    struct srtp_engine *engine;
    struct viewer *viewers;
    struct call *call;
    uint8_t *payload;
    uint64_t index, packets;
    struct queue queue;
};

/* A message to each viewer. due_ns 0: nobody asks how long they waited. */
static void serve_all(struct sender *s, const struct plan *p, size_t packets, uint64_t due_ns)
{
    struct call *c = s->call;

    for (size_t i = 0; i < p->viewers; i++) {
        push_frame(c, s->engine, &s->viewers[i], s->index, s->payload, packets);
        s->packets += packets;
        if (c->n < CALL_MESSAGES && i + 1 < p->viewers)
            continue;
        size_t n = c->n;
        flush(s->fd, c);
        if (due_ns)
            push_waits(&s->queue, n, due_ns);
        if (p->rate == 0)
            wait_for_sink(s->packets * DATAGRAM_BYTES);
    }
    s->index += packets;
}

/* Returns microseconds of CPU a packet. */
static double measure(struct sender *s, const struct plan *p, double seconds)
{
    uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9), from_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t next_ns;

    usleep(100000);
    drained_bytes = 0;
    s->packets = s->queue.n = 0;
    next_ns = clock_ns(CLOCK_MONOTONIC);
    for (unsigned round = 0; clock_ns(CLOCK_MONOTONIC) < until_ns; round++) {
        size_t left = p->keyframe && round % KEYFRAME_EVERY == KEYFRAME_EVERY / 2 ? p->keyframe : p->packets;

        for (uint64_t due_ns = p->rate > 0 ? next_ns : 0; left > 0; due_ns = 0) {
            size_t n = left < p->packets ? left : p->packets;
            serve_all(s, p, n, due_ns);
            left -= n;
        }
        if (p->rate > 0)
            wait_for_turn(&next_ns, p->rate);
    }
    return (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns) / 1e3 / (double)s->packets;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void print(double us, struct queue *q)
{
    qsort(q->waits_us, q->n, sizeof(*q->waits_us), by_value);
    if (q->n)
        printf("%.3f %.3f %.3f\n", us, q->waits_us[q->n / 2] / 1e3, q->waits_us[q->n * 99 / 100] / 1e3);
    else
        printf("%.3f\n", us);
}

static void open_viewers(struct sender *s, const struct plan *p, uint16_t port)
{
    s->viewers = calloc(p->viewers, sizeof(*s->viewers));
    s->fd = socket(AF_INET, SOCK_DGRAM, 0);
    s->call = calloc(1, sizeof(*s->call));
    s->payload = calloc(FRAME_PACKETS, DATAGRAM_BYTES);
    s->queue.cap = (size_t)(p->seconds * p->rate + 1) * p->viewers;
    s->queue.waits_us = calloc(s->queue.cap, sizeof(*s->queue.waits_us));
    if (!s->viewers || s->fd < 0 || !s->call || !s->payload || !s->queue.waits_us || srtp_engine_create(&s->engine, SRTP_BACKEND_BEST))
        die("set-up");
    if (!(s->call->arena = malloc((size_t)CALL_MESSAGES * FRAME_PACKETS * DATAGRAM_BYTES)))
        die("memory");
    set_buffer(s->fd, SO_SNDBUFFORCE, SO_SNDBUF);
    for (size_t i = 0; i < p->viewers; i++) {
        struct srtp_master master;
        srtp_master_random(&master, p->profile);
        if (srtp_tx_create(&s->viewers[i].tx, s->engine, &master))
            die("keys");
        s->viewers[i].to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port,
                                                .sin_addr.s_addr = htonl((127u << 24) + (65u << 16) + (uint32_t)i)};
    }
}

static void close_viewers(struct sender *s, const struct plan *p)
{
    for (size_t i = 0; i < p->viewers; i++)
        srtp_tx_destroy(&s->viewers[i].tx);
    srtp_engine_destroy(&s->engine);
    close(s->fd);
    free(s->viewers);
    free(s->call->arena);
    free(s->call);
    free(s->payload);
    free(s->queue.waits_us);
}

static int read_plan(struct plan *p, int argc, char **argv)
{
    *p = (struct plan){.profile = SRTP_PROFILE_GCM_128, .viewers = 500, .packets = FRAME_PACKETS, .seconds = 3};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cm") == 0)
            p->profile = SRTP_PROFILE_CM_SHA1_80;
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            p->seconds = atof(argv[++i]);
        else if (strcmp(argv[i], "--viewers") == 0 && i + 1 < argc)
            p->viewers = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--packets") == 0 && i + 1 < argc)
            p->packets = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--keyframe") == 0 && i + 1 < argc)
            p->keyframe = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rate") == 0 && i + 1 < argc)
            p->rate = atof(argv[++i]);
        else
            return fprintf(stderr, "usage: millrace-limit [--seconds S] [--viewers N] [--packets N] [--rate R] [--keyframe N] [--cm]\n"), -1;
    }
    if (p->packets < 1 || p->packets > FRAME_PACKETS || p->viewers < 1 || p->rate < 0 || !(p->seconds > 0 && p->seconds < 3600))
        return fprintf(stderr, "millrace-limit: 1 to 9 packets, 1 viewer at least, no rate below 0, less than an hour\n"), -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct sender s = {0};
    struct plan plan;
    pthread_t thread;
    uint16_t port;

    if (read_plan(&plan, argc, argv))
        return 1;
    naps = plan.rate > 0;
    int sink = open_sink(&port);
    open_viewers(&s, &plan, port);
    if (pthread_create(&thread, NULL, drain, &sink))
        die("thread");
    (void)measure(&s, &plan, 0.2); /* warm */
    double us = measure(&s, &plan, plan.seconds);
    print(us, &s.queue);
    done = true;
    pthread_join(thread, NULL);
    close_viewers(&s, &plan);
    close(sink);
    return 0;
}
