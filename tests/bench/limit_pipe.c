/* SPDX-License-Identifier: Apache-2.0
 * limit_pipe.c - the least that a packet through a backbone can cost on this machine: the kernel and AES-128-GCM, twice.
 *
 *   millrace-limit-pipe [--seconds S] [--messages N] [--packets N] [--rest US]
 *
 * Every --rest microseconds a feeder sends --messages GSO messages of --packets packets of 1,200 bytes. The thread that is measured
 * rests as long between two looks, takes what has come by recvmmsg (UDP_GRO), decrypts and authenticates each packet, encrypts it
 * under other keys, and sends each message on by sendmmsg (GSO) to a socket that a third thread drains. Prints its CPU time, user and
 * system, in microseconds a packet. No loop, no cache, no bookkeeping are in it. */
#include "limit.h"

#include "secure/srtp_rx.h"
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
    PACKETS_MAX = 50, /* a message */
    MESSAGES_MAX = 64, /* a look */
    MESSAGE_BYTES = 65536,
    HDR_BYTES = 12,
    TAG_BYTES = 16,
    SOCKET_BYTES = 8 << 20,
};

/* Messages on their way in or out. */
struct call {
    struct mmsghdr headers[MESSAGES_MAX];
    struct iovec iov[MESSAGES_MAX];
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control[MESSAGES_MAX];
    uint8_t *bytes; /* MESSAGES_MAX of MESSAGE_BYTES */
};

struct pipe {
    struct srtp_master in, out; /* the keys of both hops */
    struct sockaddr_in at[2];   /* where the forwarder and the sink listen */
    int fds[2];
    size_t messages, packets;
    unsigned rest_us;
};

static atomic_bool done;

static int open_socket(struct sockaddr_in *at)
{
    struct timeval wait = {.tv_usec = 100000};
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, bytes = SOCKET_BYTES;

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) || getsockname(fd, (struct sockaddr *)at, &len))
        die("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
}

static struct call *call_create(void)
{
    struct call *c = calloc(1, sizeof(*c));

    if (!c || !(c->bytes = malloc((size_t)MESSAGES_MAX * MESSAGE_BYTES)))
        die("memory");
    return c;
}

static void call_destroy(struct call *c)
{
    free(c->bytes);
    free(c);
}

/* ---- Sending --------------------------------------------------------------------------------------------------- */

/* The nth message: len bytes, cut every DATAGRAM_BYTES. */
static void push_message(struct call *c, size_t n, const struct sockaddr_in *to, size_t len)
{
    uint16_t segment = DATAGRAM_BYTES;
    struct cmsghdr cmsg = {.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(segment))};
    struct msghdr *h = &c->headers[n].msg_hdr;

    c->iov[n] = (struct iovec){c->bytes + n * MESSAGE_BYTES, len};
    *h = (struct msghdr){.msg_name = (void *)(uintptr_t)to, .msg_namelen = sizeof(*to), .msg_iov = &c->iov[n], .msg_iovlen = 1};
    if (len <= DATAGRAM_BYTES)
        return;
    h->msg_control = c->control[n].bytes;
    h->msg_controllen = CMSG_SPACE(sizeof(segment));
    memcpy(c->control[n].bytes, &cmsg, sizeof(cmsg));
    memcpy(c->control[n].bytes + CMSG_LEN(0), &segment, sizeof(segment));
}

static void send_all(int fd, struct call *c, size_t n)
{
    for (size_t sent = 0; sent < n;) {
        int more = sendmmsg(fd, c->headers + sent, (unsigned)(n - sent), 0);
        if (more < 0)
            die("sendmmsg");
        sent += (size_t)more;
    }
}

static void seal(struct srtp_engine *e, struct srtp_tx *tx, uint64_t index, const uint8_t *payload, uint8_t *dst)
{
    uint8_t hdr[HDR_BYTES] = {0x80, 0, (uint8_t)(index >> 8), (uint8_t)index};

    srtp_tx_protect(e, &(struct srtp_tx_packet){.tx = tx, .index = index, .hdr = hdr, .hdr_len = HDR_BYTES, .payload = payload,
                                                .payload_len = DATAGRAM_BYTES - HDR_BYTES - TAG_BYTES, .dst = dst});
}

static void *feed(void *arg)
{
    struct pipe *p = arg;
    struct call *c = call_create();
    struct srtp_engine *e;
    struct srtp_tx *tx;
    uint8_t payload[DATAGRAM_BYTES] = {0};
    uint64_t index = 0;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || srtp_engine_create(&e, SRTP_BACKEND_BEST) || srtp_tx_create(&tx, e, &p->in))
        die("feeder");
    while (!done) {
        for (size_t i = 0; i < p->messages; i++) {
            for (size_t k = 0; k < p->packets; k++)
                seal(e, tx, index++, payload, c->bytes + i * MESSAGE_BYTES + k * DATAGRAM_BYTES);
            push_message(c, i, &p->at[0], p->packets * DATAGRAM_BYTES);
        }
        send_all(fd, c, p->messages);
        usleep(p->rest_us);
    }
    srtp_tx_destroy(&tx);
    srtp_engine_destroy(&e);
    call_destroy(c);
    close(fd);
    return NULL;
}

/* ---- Receiving -------------------------------------------------------------------------------------------------- */

/* Returns how many messages. */
static size_t receive(int fd, struct call *c, int flags)
{
    for (size_t i = 0; i < MESSAGES_MAX; i++) {
        c->iov[i] = (struct iovec){c->bytes + i * MESSAGE_BYTES, MESSAGE_BYTES};
        c->headers[i].msg_hdr = (struct msghdr){.msg_iov = &c->iov[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, c->headers, MESSAGES_MAX, flags, NULL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        die("recvmmsg");
    return n > 0 ? (size_t)n : 0;
}

static void *drain(void *arg)
{
    struct pipe *p = arg;
    struct call *c = call_create();

    while (!done)
        (void)receive(p->fds[1], c, MSG_WAITFORONE);
    call_destroy(c);
    return NULL;
}

/* ---- What is measured -------------------------------------------------------------------------------------------- */

static double forward(struct pipe *p, struct srtp_engine *e, double seconds)
{
    struct call *in = call_create(), *out = call_create();
    struct srtp_window *window = calloc(1, sizeof(*window));
    struct srtp_rx *rx;
    struct srtp_tx *tx;
    size_t len;
    uint64_t packets = 0, refused = 0, until_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9), index;

    if (!window || srtp_rx_create(&rx, e, &p->in) || srtp_tx_create(&tx, e, &p->out))
        die("keys");
    uint64_t from_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    while (clock_ns(CLOCK_MONOTONIC) < until_ns) {
        size_t n = receive(p->fds[0], in, MSG_DONTWAIT);
        for (size_t i = 0; i < n; i++) {
            uint8_t *at = in->iov[i].iov_base, *to = out->bytes + i * MESSAGE_BYTES;
            for (size_t k = 0; k < in->headers[i].msg_len / DATAGRAM_BYTES; k++, packets++) {
                refused += srtp_rx_unprotect(e, rx, window, at + k * DATAGRAM_BYTES, DATAGRAM_BYTES, &len, &index) != SRTP_OK;
                seal(e, tx, index, at + k * DATAGRAM_BYTES + HDR_BYTES, to + k * DATAGRAM_BYTES);
            }
            push_message(out, i, &p->at[1], in->headers[i].msg_len);
        }
        send_all(p->fds[0], out, n);
        usleep(p->rest_us);
    }
    double us = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns) / 1e3 / (double)(packets ? packets : 1);
    if (refused || !packets)
        fprintf(stderr, "millrace-limit-pipe: %llu of %llu packets were refused\n", (unsigned long long)refused,
                (unsigned long long)packets);
    srtp_rx_destroy(&rx);
    srtp_tx_destroy(&tx);
    free(window);
    call_destroy(in);
    call_destroy(out);
    return refused || !packets ? -1 : us;
}

int main(int argc, char **argv)
{
    struct pipe p = {.messages = 3, .packets = 4, .rest_us = 3000};
    double seconds = 3;
    struct srtp_engine *engine;
    pthread_t feeder, sink;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
        else if (strcmp(argv[i], "--messages") == 0 && i + 1 < argc)
            p.messages = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--packets") == 0 && i + 1 < argc)
            p.packets = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rest") == 0 && i + 1 < argc)
            p.rest_us = (unsigned)strtoul(argv[++i], NULL, 10);
        else
            return fprintf(stderr, "usage: millrace-limit-pipe [--seconds S] [--messages N] [--packets N] [--rest US]\n"), 1;
    }
    if (p.messages < 1 || p.messages > MESSAGES_MAX || p.packets < 1 || p.packets > PACKETS_MAX)
        return fprintf(stderr, "millrace-limit-pipe: 1 to %d messages of 1 to %d packets\n", MESSAGES_MAX, PACKETS_MAX), 1;
    srtp_master_random(&p.in, SRTP_PROFILE_GCM_128);
    srtp_master_random(&p.out, SRTP_PROFILE_GCM_128);
    p.fds[0] = open_socket(&p.at[0]);
    p.fds[1] = open_socket(&p.at[1]);
    if (srtp_engine_create(&engine, SRTP_BACKEND_BEST) || pthread_create(&sink, NULL, drain, &p) ||
        pthread_create(&feeder, NULL, feed, &p))
        die("set-up");
    double us = forward(&p, engine, seconds);
    done = true;
    pthread_join(feeder, NULL);
    pthread_join(sink, NULL);
    srtp_engine_destroy(&engine);
    printf("%.3f\n", us);
    return us < 0;
}
