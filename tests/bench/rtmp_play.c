/* SPDX-License-Identifier: Apache-2.0
 * rtmp_play.c - N players of an RTMP stream that count what they get, for servers that have no HTTP-FLV.
 *
 *   rtmp_play HOST:PORT APP STREAM VIEWERS SECONDS
 *
 * Each second a line: milliseconds since 1970, players to whom media come, bytes so far. With many players it looks for
 * bytes at intervals, as millrace-load does, so that the server is not charged for waking it.
 * Source: Adobe RTMP specification 1.0, s5.2, s7.2. */
#include "base/random.h"
#include "io/tcp.h"
#include "io/timer.h"
#include "origin/rtmp_chunk.h"
#include "origin/rtmp_handshake.h"
#include "wire/amf0.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 4096, COMMANDS_MAX = 4096, PLAYING_BYTES = 20000, NAP_US = 1500, STARTS_A_TICK = 20, TICK_US = 20000,
       S0_S1 = 1 + RTMP_HANDSHAKE_PART_BYTES, S0_S1_S2 = S0_S1 + RTMP_HANDSHAKE_PART_BYTES };

struct run {
    struct worker *worker;
    struct addr to;
    const char *app, *stream;
    unsigned asked, started, playing, closed;
    uint64_t bytes, end_us;
    struct timer tick, line, nap;
};

struct player {
    struct run *run;
    struct tcp *tcp;
    size_t got;
    uint8_t s0_s1[S0_S1];
};

static void send_command(struct player *p, uint32_t stream_id, const struct writer *body)
{
    uint8_t bytes[COMMANDS_MAX];
    struct writer w = writer_init(bytes, sizeof(bytes));

    rtmp_chunk_write(&w, &(struct rtmp_message){.body = body->start, .len = writer_len(body), .stream_id = stream_id,
                                                .chunk_stream = 3, .type = RTMP_COMMAND_AMF0}, 128);
    if (!w.bad && !body->bad)
        tcp_write(p->tcp, bytes, writer_len(&w));
}

/* All that a player says: C2 is S1, then connect, createStream and play, whatever the server answers. */
static void ask(struct player *p)
{
    uint8_t bytes[COMMANDS_MAX];
    char tc_url[512], at[ADDR_TEXT_CAP];
    struct writer w = writer_init(bytes, sizeof(bytes));

    tcp_write(p->tcp, p->s0_s1 + 1, RTMP_HANDSHAKE_PART_BYTES);
    snprintf(tc_url, sizeof(tc_url), "rtmp://%s/%s", addr_print(&p->run->to, at), p->run->app);
    amf0_write_string(&w, "connect");
    amf0_write_number(&w, 1);
    amf0_write_object_begin(&w);
    amf0_write_member_string(&w, "app", p->run->app);
    amf0_write_member_string(&w, "tcUrl", tc_url);
    amf0_write_end(&w);
    send_command(p, 0, &w);
    w = writer_init(bytes, sizeof(bytes));
    amf0_write_string(&w, "createStream");
    amf0_write_number(&w, 2);
    amf0_write_null(&w);
    send_command(p, 0, &w);
    w = writer_init(bytes, sizeof(bytes));
    amf0_write_string(&w, "play");
    amf0_write_number(&w, 3);
    amf0_write_null(&w);
    amf0_write_string(&w, p->run->stream);
    send_command(p, 1, &w);
}

static void on_open(void *arg)
{
    struct player *p = arg;
    uint8_t c0_c1[S0_S1] = {RTMP_VERSION};

    random_bytes(c0_c1 + 9, sizeof(c0_c1) - 9); /* after version, time and zero */
    tcp_write(p->tcp, c0_c1, sizeof(c0_c1));
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct player *p = arg;
    size_t before = p->got;

    if (before < S0_S1)
        memcpy(p->s0_s1 + before, bytes, len < S0_S1 - before ? len : S0_S1 - before);
    p->got += len;
    p->run->bytes += len;
    if (before < S0_S1_S2 && p->got >= S0_S1_S2)
        ask(p);
    p->run->playing += before < PLAYING_BYTES && p->got >= PLAYING_BYTES;
}

static void on_close(void *arg, int err)
{
    struct player *p = arg;

    (void)err;
    p->run->closed++;
    p->run->playing -= p->got >= PLAYING_BYTES;
    free(p);
}

static const struct tcp_ops ops = {.on_open = on_open, .on_data = on_data, .on_close = on_close};

static void on_tick(struct timer *t, uint64_t now_us)
{
    struct run *r = container_of(t, struct run, tick);

    (void)now_us;
    for (unsigned i = 0; i < STARTS_A_TICK && r->started < r->asked; i++, r->started++) {
        struct player *p = calloc(1, sizeof(*p));
        if (!p || tcp_connect(&p->tcp, r->worker, &r->to, &ops, p)) {
            free(p);
            r->closed++;
            continue;
        }
        p->run = r;
    }
    if (r->started < r->asked)
        timer_start(t, TICK_US);
    else
        timer_start(&r->nap, 1);
}

static void on_nap(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    usleep(NAP_US);
    timer_start(t, 1);
}

static void on_line(struct timer *t, uint64_t now_us)
{
    struct run *r = container_of(t, struct run, line);

    printf("%" PRIu64 " %u %" PRIu64 "\n", worker_unix_us(r->worker) / 1000, r->playing, r->bytes);
    fflush(stdout);
    if (now_us >= r->end_us)
        _exit(r->closed ? 2 : 0); /* the players end with the process */
    timer_start(t, 1000000);
}

int main(int argc, char **argv)
{
    static struct run r;

    if (argc != 6 || addr_parse(&r.to, argv[1])) {
        fprintf(stderr, "rtmp_play HOST:PORT APP STREAM VIEWERS SECONDS\n");
        return 1;
    }
    r.app = argv[2];
    r.stream = argv[3];
    r.asked = (unsigned)strtoul(argv[4], NULL, 10);
    if (worker_create(&r.worker, &(struct worker_cfg){.name = "play"}))
        return 1;
    r.end_us = worker_now_us(r.worker) + strtoull(argv[5], NULL, 10) * 1000000;
    timer_init(&r.tick, r.worker, on_tick);
    timer_init(&r.line, r.worker, on_line);
    timer_init(&r.nap, r.worker, on_nap);
    timer_start(&r.tick, 0);
    timer_start(&r.line, 0);
    worker_run(r.worker);
    return 0;
}
