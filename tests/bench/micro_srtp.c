/* SPDX-License-Identifier: Apache-2.0
 * micro_srtp.c - what protecting a 1,200-byte packet costs: nanoseconds for each backend, profile and way.
 *
 *   micro_srtp [packets]      (200,000)
 *
 * Each packet goes to one of 64 associations in turn, as in fan-out, so keys are not always in the
 * first-level cache. */
#include "secure/srtp_in.h"
#include "secure/srtp_rx.h"
#include "secure/srtp_tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HDR = 20, PAYLOAD = 1180, ROOM = HDR + PAYLOAD + SRTP_TAG_MAX, VIEWERS = 64 };

static uint8_t hdr[HDR] = {0x90, 96, [12] = 0xbe, 0xde, 0, 1};
static uint8_t payload[PAYLOAD];
static uint8_t out[VIEWERS][ROOM];

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void row(const char *engine, enum srtp_profile p, const char *way, double ns, size_t n)
{
    printf("%-18s %-24s %-22s %8.0f ns\n", engine, srtp_profile_name(p), way, ns / (double)n);
}

static struct srtp_tx_packet packet(struct srtp_tx *tx, size_t i)
{
    return (struct srtp_tx_packet){.tx = tx,
                                   .index = i / VIEWERS,
                                   .hdr = hdr,
                                   .payload = payload,
                                   .dst = out[i % VIEWERS],
                                   .hdr_len = HDR,
                                   .payload_len = PAYLOAD};
}

static void set_seq(size_t i)
{
    hdr[2] = (uint8_t)(i >> 8);
    hdr[3] = (uint8_t)i;
}

static void one_by_one(struct srtp_engine *e, struct srtp_tx **tx, enum srtp_profile profile, size_t n)
{
    double from = now_ns();
    for (size_t i = 0; i < n; i++) {
        set_seq(i / VIEWERS);
        struct srtp_tx_packet p = packet(tx[i % VIEWERS], i);
        (void)srtp_tx_protect(e, &p);
    }
    row(srtp_engine_name(e), profile, "protect", now_ns() - from, n);
}

static void batched(struct srtp_engine *e, struct srtp_tx **tx, enum srtp_profile profile, size_t n)
{
    struct srtp_tx_packet p[VIEWERS];
    double from = now_ns();
    for (size_t i = 0; i < n; i += VIEWERS) {
        set_seq(i / VIEWERS);
        for (size_t v = 0; v < VIEWERS; v++)
            p[v] = packet(tx[v], i + v);
        srtp_tx_protect_batch(e, p, VIEWERS);
    }
    row(srtp_engine_name(e), profile, "protect, batch of 64", now_ns() - from, n);
}

static void unprotect(struct srtp_engine *e, struct srtp_tx *tx, struct srtp_rx *rx,
                      enum srtp_profile profile, size_t n)
{
    struct srtp_window w;
    double spent = 0;

    srtp_window_init(&w, 0);
    for (size_t i = 0; i < n; i++) {
        set_seq(i);
        struct srtp_tx_packet p = packet(tx, i);
        p.index = i;
        p.dst = out[0];
        size_t len = srtp_tx_protect(e, &p), plain;
        double from = now_ns();
        if (srtp_rx_unprotect(e, rx, &w, out[0], len, &plain, NULL))
            abort();
        spent += now_ns() - from;
    }
    row(srtp_engine_name(e), profile, "unprotect (with timer)", spent, n);
}

static void run_engine(enum srtp_backend backend, enum srtp_profile profile, size_t n)
{
    struct srtp_engine *e;
    struct srtp_tx *tx[VIEWERS];
    struct srtp_rx *rx;
    struct srtp_master m;

    if (srtp_engine_create(&e, backend)) {
        puts("backend not to be had here");
        return;
    }
    for (size_t v = 0; v < VIEWERS; v++) {
        srtp_master_random(&m, profile);
        if (srtp_tx_create(&tx[v], e, &m))
            abort();
    }
    if (srtp_rx_create(&rx, e, &m))
        abort();
    one_by_one(e, tx, profile, n);
    batched(e, tx, profile, n);
    unprotect(e, tx[VIEWERS - 1], rx, profile, n);
    for (size_t v = 0; v < VIEWERS; v++)
        srtp_tx_destroy(&tx[v]);
    srtp_rx_destroy(&rx);
    srtp_engine_destroy(&e);
}

static void run_libsrtp(enum srtp_profile profile, size_t n)
{
    struct srtp_in *in;
    struct srtp_master m;
    double spent = 0;

    srtp_master_random(&m, profile);
    if (srtp_in_create(&in, SRTP_IN_SEND, &m))
        abort();
    for (size_t i = 0; i < n; i++) {
        set_seq(i);
        memcpy(out[0], hdr, HDR);
        memcpy(out[0] + HDR, payload, PAYLOAD);
        double from = now_ns();
        if (srtp_in_protect(in, out[0], HDR + PAYLOAD, ROOM) < 0)
            abort();
        spent += now_ns() - from;
    }
    row("libsrtp2", profile, "protect (with timer)", spent, n);
    srtp_in_destroy(&in);
}

int main(int argc, char **argv)
{
    static const enum srtp_profile profiles[] = {SRTP_PROFILE_GCM_128, SRTP_PROFILE_GCM_256,
                                                 SRTP_PROFILE_CM_SHA1_80};
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;

    for (size_t i = 0; i < LEN(profiles); i++) {
        run_engine(SRTP_BACKEND_IPSEC_MB, profiles[i], n);
        run_engine(SRTP_BACKEND_OPENSSL, profiles[i], n);
        run_libsrtp(profiles[i], n / 10);
    }
    return 0;
}
