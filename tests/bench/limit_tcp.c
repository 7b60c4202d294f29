/* SPDX-License-Identifier: Apache-2.0
 * limit_tcp.c - the least that a megabyte to HTTP-FLV viewers can cost on this machine: the kernel alone.
 *
 *   millrace-limit-tcp [--seconds S] [--viewers N] [--bytes N] [--rate HZ]
 *
 * One shared chunk of --bytes (what a stream brings between two flushes) is sent to each of N loopback connections in turn, one sendmsg each,
 * while another thread reads them all, with naps so that the sender is not charged for waking it. --rate: so many rounds a second, as
 * pictures come; by then the processor's caches have forgotten the connections. 0 (the default): one after the other. Prints the CPU time of the sending
 * thread, user and system, in microseconds a megabyte. No loop, no timers, no bookkeeping are in it. */
#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    READ_BYTES = 256 << 10,
    NAP_US = 1500,
    CHUNKS = 16, /* in turn, so that the bytes are not all in the nearest cache */
    ROUNDS_AHEAD = 2,
};

static atomic_bool done;
static _Atomic uint64_t drained_bytes;

/* ---- The other side ---------------------------------------------------------------------------------------- */

static void *drain(void *arg)
{
    static uint8_t bytes[READ_BYTES];
    struct epoll_event events[EVENTS];
    int epoll = *(int *)arg;

    while (!done) {
        int n = epoll_wait(epoll, events, EVENTS, 0);

        for (int i = 0; i < n; i++) {
            ssize_t got = recv(events[i].data.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
            if (got > 0)
                drained_bytes += (uint64_t)got;
        }
        if (n < EVENTS)
            usleep(NAP_US);
    }
    return NULL;
}

static int listening(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)at, &len))
        die("listen");
    return fd;
}

/* A connection: its reading end joins the epoll set, the other is returned. */
static int connection(int listener, const struct sockaddr_in *at, int epoll)
{
    int reader = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if (reader < 0 || connect(reader, (const struct sockaddr *)at, sizeof(*at)))
        die("connect");
    int fd = accept(listener, NULL, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = reader};
    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, reader, &event) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
        die("accept");
    return fd;
}

/* ---- Sending ------------------------------------------------------------------------------------------------- */

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

    while (iov.iov_len > 0) {
        ssize_t n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            die("sendmsg");
        if (n < 0) {
            usleep(200);
            continue;
        }
        iov.iov_base = (uint8_t *)iov.iov_base + n;
        iov.iov_len -= (size_t)n;
    }
}

/* Until the next round is due. */
static void wait_for_round(uint64_t start_ns, size_t round, unsigned rate)
{
    uint64_t due_ns = rate ? start_ns + (uint64_t)round * 1000000000u / rate : 0, now_ns = clock_ns(CLOCK_MONOTONIC);

    if (due_ns > now_ns)
        usleep((useconds_t)((due_ns - now_ns) / 1000));
}

static double measure(const int *fds, size_t n, size_t len, double seconds, unsigned rate)
{
    uint8_t *chunks = calloc(CHUNKS, len);
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC), until_ns = start_ns + (uint64_t)(seconds * 1e9), sent = 0, cpu_ns = 0;

    if (!chunks)
        die("memory");
    drained_bytes = 0;
    for (size_t round = 0; clock_ns(CLOCK_MONOTONIC) < until_ns; round++) {
        uint64_t from_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (size_t i = 0; i < n; i++)
            send_all(fds[i], chunks + round % CHUNKS * len, len);
        cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns;
        sent += n * len;
        while (sent > drained_bytes + ROUNDS_AHEAD * n * len)
            usleep(200);
        wait_for_round(start_ns, round + 1, rate);
    }
    while (sent > drained_bytes)
        usleep(1000);
    free(chunks);
    return (double)cpu_ns / 1e3 / ((double)sent / 1e6);
}

int main(int argc, char **argv)
{
    double seconds = 3;
    size_t n = 500, len = 8192;
    unsigned rate = 0;
    struct sockaddr_in at;
    struct rlimit files;
    pthread_t thread;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
        else if (strcmp(argv[i], "--viewers") == 0 && i + 1 < argc)
            n = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--bytes") == 0 && i + 1 < argc)
            len = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rate") == 0 && i + 1 < argc)
            rate = (unsigned)strtoul(argv[++i], NULL, 10);
        else
            return fprintf(stderr, "usage: millrace-limit-tcp [--seconds S] [--viewers N] [--bytes N] [--rate HZ]\n"), 1;
    }
    if (n < 1 || len < 1)
        return fprintf(stderr, "millrace-limit-tcp: 1 viewer and 1 byte at least\n"), 1;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    int epoll = epoll_create1(0), listener = listening(&at), *fds = calloc(n, sizeof(*fds));
    if (epoll < 0 || !fds)
        die("set-up");
    for (size_t i = 0; i < n; i++)
        fds[i] = connection(listener, &at, epoll);
    if (pthread_create(&thread, NULL, drain, &epoll))
        die("thread");
    (void)measure(fds, n, len, 0.3, 0); /* warm: windows grown */
    printf("%.0f\n", measure(fds, n, len, seconds, rate));
    done = true;
    pthread_join(thread, NULL);
    free(fds);
    return 0;
}
