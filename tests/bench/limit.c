/* SPDX-License-Identifier: Apache-2.0
 * limit.c - the least that a packet to a viewer can cost on this machine: AES-128-GCM, then the kernel.
 *
 *   millrace-limit [--seconds S] [--viewers N] [--packets N] [--rate R] [--cm]
 *
 * Nine packets of 1,200 bytes (a frame of a 2.5 Mbit/s stream) for each viewer in turn, every viewer with keys and an address
 * of its own, are protected into an arena and sent by sendmmsg as GSO messages to a socket on loopback that another
 * thread drains. Prints the CPU time of the sending thread, user and system, in microseconds a packet: what a server's
 * own work is measured against. --packets: of a message, 1 .. 9, for what short ones cost (sound is one a message). --rate: not one round
 * of all viewers after the other but so many a second, as pictures come, to a sink that looks every 1.5 ms as millrace-load does: what the
 * same costs where caches and core have been others' in between. No loop, no timers, no bookkeeping are in it. */
#include "limit.h"

#include "secure/srtp_tx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
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
    UNDER_WAY_BYTES = 2 << 20,
    NAP_US = 1500,
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

static atomic_bool done, naps;
static _Atomic uint64_t drained_bytes;

static void set_buffer(int fd, int force, int plain)
{
    int bytes = SOCKET_BYTES;

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

static double measure(int fd, struct srtp_engine *e, struct viewer *viewers, size_t n, size_t frame, double seconds, double rate)
{
    struct call *c = calloc(1, sizeof(*c));
    uint8_t *payload = calloc(FRAME_PACKETS, DATAGRAM_BYTES);
    uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9), from_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID), index = 0, packets = 0;

    if (!c || !payload || !(c->arena = malloc((size_t)CALL_MESSAGES * FRAME_PACKETS * DATAGRAM_BYTES)))
        die("memory");
    usleep(100000);
    drained_bytes = 0;
    for (uint64_t next_ns = clock_ns(CLOCK_MONOTONIC); clock_ns(CLOCK_MONOTONIC) < until_ns; index += frame) {
        for (size_t i = 0; i < n; i++) {
            push_frame(c, e, &viewers[i], index, payload, frame);
            packets += frame;
            if (c->n < CALL_MESSAGES)
                continue;
            flush(fd, c);
            if (rate == 0)
                wait_for_sink(packets * DATAGRAM_BYTES);
        }
        if (rate == 0)
            continue;
        flush(fd, c);
        wait_for_turn(&next_ns, rate);
    }
    flush(fd, c);
    double us = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns) / 1e3 / (double)packets;
    free(c->arena);
    free(c);
    free(payload);
    return us;
}

int main(int argc, char **argv)
{
    enum srtp_profile profile = SRTP_PROFILE_GCM_128;
    double seconds = 3, rate = 0;
    size_t n = 500, frame = FRAME_PACKETS;
    struct srtp_engine *engine;
    uint16_t port;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cm") == 0)
            profile = SRTP_PROFILE_CM_SHA1_80;
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
        else if (strcmp(argv[i], "--viewers") == 0 && i + 1 < argc)
            n = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--packets") == 0 && i + 1 < argc)
            frame = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rate") == 0 && i + 1 < argc)
            rate = atof(argv[++i]);
        else
            return fprintf(stderr, "usage: millrace-limit [--seconds S] [--viewers N] [--packets N] [--rate R] [--cm]\n"), 1;
    }
    if (frame < 1 || frame > FRAME_PACKETS || n < 1 || rate < 0)
        return fprintf(stderr, "millrace-limit: 1 to 9 packets, 1 viewer at least, no rate below 0\n"), 1;
    struct viewer *viewers = calloc(n ? n : 1, sizeof(*viewers));
    int sink = open_sink(&port), out = socket(AF_INET, SOCK_DGRAM, 0);
    if (!viewers || out < 0 || srtp_engine_create(&engine, SRTP_BACKEND_BEST))
        die("set-up");
    set_buffer(out, SO_SNDBUFFORCE, SO_SNDBUF);
    for (size_t i = 0; i < n; i++) {
        struct srtp_master master;
        srtp_master_random(&master, profile);
        if (srtp_tx_create(&viewers[i].tx, engine, &master))
            die("keys");
        viewers[i].to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port,
                                             .sin_addr.s_addr = htonl((127u << 24) + (65u << 16) + (uint32_t)i)};
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, drain, &sink))
        die("thread");
    naps = rate > 0;
    (void)measure(out, engine, viewers, n, frame, 0.2, rate); /* warm */
    printf("%.3f\n", measure(out, engine, viewers, n, frame, seconds, rate));
    done = true;
    pthread_join(thread, NULL);
    for (size_t i = 0; i < n; i++)
        srtp_tx_destroy(&viewers[i].tx);
    srtp_engine_destroy(&engine);
    free(viewers);
    close(sink);
    close(out);
    return 0;
}
