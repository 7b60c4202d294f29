/* SPDX-License-Identifier: Apache-2.0
 * micro_packet.c - what the steps of a packet's way cost, in nanoseconds: parsing what comes, the look-up in the cache, rewriting
 * for a viewer, and sending. (Protecting: micro_srtp.c.)
 *
 *   micro_packet [repetitions]   (1,000,000)
 *
 * Each step goes over many packets or viewers in turn, as in fan-out, so that memory is not always in the first-level cache. */
#include "cache/cache.h"
#include "io/timer.h"
#include "io/udp.h"
#include "webrtc/ice.h"
#include "webrtc/rtp_sender.h"
#include "wire/rtcp.h"
#include "wire/rtp_view.h"
#include "wire/rtp_write.h"

#include <netinet/udp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 1150, PACKETS = 2048, FIRST = 4 * PACKETS /* that fill pool and cache before */, VIEWERS = 256, HZ = 90000, A_MESSAGE = 4, RESENDS = 50 /* a viewer: within its budget */, NONCE = 0x9e3779b9 };

static size_t repetitions = 1000000;
static volatile uint64_t sink; /* so that nothing is optimised away */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void row(const char *what, double from_ns, size_t n)
{
    printf("%-58s %8.1f ns\n", what, (now_ns() - from_ns) / (double)n);
}

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "micro_packet: %s failed\n", what);
    exit(1);
}

/* ---- Parsing ------------------------------------------------------------------------------------------------- */

static void parse_rtp(void)
{
    static uint8_t bytes[64][1200];
    static const uint8_t ext[] = {0x31, 0, 1, 0x22, 1, 2, 3, 0};
    struct rtp_header h = {.ext = ext, .ext_len = sizeof(ext), .ext_profile = 0xbede, .pt = 96};
    struct rtp_view v;

    for (size_t i = 0; i < LEN(bytes); i++)
        must(rtp_header_write(bytes[i], sizeof(bytes[i]), &h) > 0, "writing a header");
    double from = now_ns();
    for (size_t i = 0; i < repetitions; i++)
        if (rtp_view_parse(&v, bytes[i % LEN(bytes)], sizeof(bytes[0])) == RTP_OK)
            sink += v.payload_len;
    row("parse RTP, two extensions", from, repetitions);
}

static void parse_rtcp(void)
{
    uint8_t bytes[256];
    uint16_t seqs[] = {5, 6, 9, 40, 41};
    struct writer w = writer_init(bytes, sizeof(bytes));
    struct rtcp_packet p;
    struct rtcp_report r;
    struct rtcp_nack nack;
    uint16_t seq;

    rtcp_report_write(&w, &(struct rtcp_report){.ssrc = 1, .block_count = 2});
    must(rtcp_nack_write(&w, 1, 2, seqs, LEN(seqs)) > 0 && !w.bad, "writing a NACK");
    double from = now_ns();
    for (size_t i = 0; i < repetitions; i++) {
        struct rtcp_walk walk = rtcp_walk_init(bytes, writer_len(&w));
        while (rtcp_walk_next(&walk, &p) == 1) {
            if (p.type == RTCP_RR && rtcp_report_parse(&r, &p) == RTCP_OK)
                sink += r.block_count;
            else if (p.type == RTCP_RTPFB && rtcp_nack_parse(&nack, &p) == RTCP_OK)
                while (rtcp_nack_next(&nack, &seq))
                    sink += seq;
        }
    }
    row("parse RTCP, a report of two blocks and a NACK of five", from, repetitions);
}

static void parse_stun(void)
{
    struct ice_agent *agent;
    struct ice_check check = {.username = "abcdefgh:ijkl", .pwd = "0123456789abcdefghijklmn", .tie_breaker = 1, .priority = 2};
    uint8_t bytes[ICE_CHECK_MAX], id[ICE_ID_BYTES], reply[ICE_REPLY_MAX];
    struct addr from_addr;
    struct ice_view v;
    size_t len, reply_len, n = repetitions / 10;

    must(ice_agent_create(&agent) == 0 && addr_parse(&from_addr, "192.0.2.1:5000") == 0, "an ICE agent");
    len = ice_check_write(agent, &check, bytes, id);
    must(len > 0, "writing a check");
    double from = now_ns();
    for (size_t i = 0; i < repetitions; i++)
        if (ice_view_parse(&v, bytes, len) == ICE_OK)
            sink += v.class;
    row("parse STUN, a binding request", from, repetitions);
    from = now_ns();
    for (size_t i = 0; i < n; i++) {
        must(ice_view_parse(&v, bytes, len) == ICE_OK, "parsing a check");
        must(ice_request_answer(agent, &v, &from_addr, check.pwd, false, reply, &reply_len) == ICE_OK, "answering a check");
    }
    row("authenticate and answer a binding request", from, n);
    ice_check_forget(agent, id);
    ice_agent_destroy(&agent);
}

/* ---- Cache and rewriting ---------------------------------------------------------------------------------------- */

static struct packet *make(struct pool *pool, uint64_t n)
{
    struct packet *p = packet_create(pool);

    must(p, "a packet");
    p->seq = PACKET_SEQ_FIRST + n;
    p->ts_ticks = n / 9 * 3000;
    p->capture_us = n / 9 * 33333;
    p->flags = (uint8_t)((n % 9 == 0 ? PACKET_FRAME_START : 0) | (n % 9 == 8 ? PACKET_FRAME_END | PACKET_MARKER : 0) |
                         (n / 9 % 60 == 0 ? PACKET_KEYFRAME : 0));
    p->payload_len = PAYLOAD;
    return p;
}

static void push(struct cache *c, struct pool *pool, uint64_t n)
{
    struct packet *p = make(pool, n);

    must(cache_push(c, p), "pushing");
    packet_unref(&p);
}

static void look_up(const struct cache *c)
{
    must(cache_find(c, 0, 0, PACKET_SEQ_FIRST + FIRST) && cache_find(c, 0, 0, PACKET_SEQ_FIRST + FIRST + PACKETS - 1), "looking up");
    double from = now_ns();
    for (size_t i = 0; i < repetitions; i++)
        sink += cache_find(c, 0, 0, PACKET_SEQ_FIRST + FIRST + i * NONCE % PACKETS) != NULL;
    row("look up a number in the cache", from, repetitions);
}

static void rewrite(const struct cache *c)
{
    struct rtp_sender *senders = calloc(VIEWERS, sizeof(*senders));
    struct rtp_sender_cfg cfg = {.ssrc = 1, .rtx_ssrc = 2, .ext_id = {[RTP_EXT_TRANSPORT_CC] = 3, [RTP_EXT_ABS_SEND_TIME] = 2}};
    struct rtp_start start = {.epoch = 1, .pt = 96, .rtx_pt = 97, .clock_hz = HZ, .first_seq = PACKET_SEQ_FIRST + FIRST};
    size_t rounds = repetitions / VIEWERS, n = 0;
    struct rtp_out out;

    must(senders, "memory");
    for (size_t v = 0; v < VIEWERS; v++) {
        rtp_sender_init(&senders[v], &cfg);
        rtp_sender_start(&senders[v], &start, 1);
    }
    rounds = rounds < PACKETS ? rounds : PACKETS;
    double from = now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        const struct packet *p = cache_find(c, 0, 0, PACKET_SEQ_FIRST + FIRST + i);
        for (size_t v = 0; v < VIEWERS; v++, n++)
            if (rtp_sender_write(&senders[v], p, 1000 * i, &out))
                sink += out.index;
    }
    row("rewrite for a viewer (number, timestamp, extensions)", from, n);
    from = now_ns();
    n = 0;
    for (size_t i = 0; i < RESENDS; i++)
        for (size_t v = 0; v < VIEWERS; v++, n++)
            must(rtp_sender_resend(&senders[v], (uint16_t)(senders[v].highest - i), c, 1, 60000000, &out), "resending");
    row("answer a NACK from the cache", from, n);
    free(senders);
}

static void cache_and_rewriting(void)
{
    struct cache_cfg cfg = {.cap_bytes = 1 << 26, .cap_packets = 2 * PACKETS, .cap_us = 3600000000};
    struct pool *pool;
    struct cache *c;

    must(packet_pool_create(&pool, 4 * PACKETS) == 0 && cache_create(&c, &cfg) == 0, "a cache");
    for (uint64_t i = 0; i < FIRST; i++)
        push(c, pool, i);
    double from = now_ns();
    for (uint64_t i = 0; i < PACKETS; i++)
        push(c, pool, FIRST + i);
    row("make a packet and push it into the cache", from, PACKETS);
    look_up(c);
    rewrite(c);
    cache_destroy(&c);
    pool_destroy(&pool);
}

/* ---- Sending ------------------------------------------------------------------------------------------------------- */

static void *drain(void *arg)
{
    static uint8_t bytes[65536];

    while (recv(*(int *)arg, bytes, sizeof(bytes), 0) != 1)
        ;
    return NULL;
}

static void ignore(void *arg, struct udp_datagram *v, size_t n)
{
    (void)arg, (void)v, (void)n;
}

struct sending {
    struct udp_socket *udp;
    struct addr to;
    struct timer timer;
    size_t left;
};

/* A turn's worth of datagrams, a message of A_MESSAGE each; the loop sends them at the turn's end. */
static void on_turn(struct timer *t, uint64_t now_us)
{
    struct sending *s = container_of(t, struct sending, timer);

    (void)now_us;
    for (size_t i = 0; i < 128 && s->left; i++, s->left--) {
        size_t len = i % A_MESSAGE == A_MESSAGE - 1 ? PAYLOAD - 100 : PAYLOAD; /* a shorter one ends a message */
        memset(udp_reserve(s->udp, &s->to, len), 0x80, 12);
        udp_commit(s->udp, len);
    }
    if (s->left)
        timer_start(t, 0);
    else
        worker_stop(t->worker);
}

static void send_all(void)
{
    struct worker *w;
    struct addr any;
    socklen_t len = sizeof(any);
    struct sending s = {.left = repetitions / 4};
    struct udp_cfg cfg = {.send_bytes = 4 << 20, .on_datagrams = ignore};
    pthread_t thread;
    size_t n = s.left;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, room = 8 << 20;

    must(addr_parse(&any, "127.0.0.1:0") == 0 && bind(fd, &any.sa, addr_len(&any)) == 0 &&
         getsockname(fd, &s.to.sa, &len) == 0, "a socket");
    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)); /* so that a message stays one */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    cfg.bind = any;
    must(worker_create(&w, &(struct worker_cfg){.name = "micro"}) == 0 && udp_open(&s.udp, w, &cfg) == 0, "a sender");
    must(pthread_create(&thread, NULL, drain, &fd) == 0, "a receiver");
    timer_init(&s.timer, w, on_turn);
    timer_start(&s.timer, 0);
    double from = now_ns();
    worker_run(w);
    row("send, four datagrams a message, to a drained loopback", from, n);
    udp_send(s.udp, &s.to, "", 1);
    udp_close(&s.udp);
    pthread_join(thread, NULL);
    worker_destroy(&w);
    close(fd);
}

int main(int argc, char **argv)
{
    repetitions = argc > 1 ? strtoul(argv[1], NULL, 10) : repetitions;
    parse_rtp();
    parse_rtcp();
    parse_stun();
    cache_and_rewriting();
    send_all();
    return 0;
}
