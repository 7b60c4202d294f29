/* SPDX-License-Identifier: Apache-2.0
 * fuzz_srtp.c - bytes from the network into SRTP and SRTCP unprotection, a finished DTLS session, and a
 * fingerprint of an offer. The first byte picks which. */
#include "secure/cert.h"
#include "secure/dtls.h"
#include "secure/srtp_in.h"
#include "secure/srtp_rx.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct {
    struct srtp_engine *e[2];
    struct srtp_rx *rx[2][3];
    struct srtp_in *in[3];
    struct dtls_ctx *ctx;
    struct cert *cert;
    struct dtls_cfg cfg;
} f;

static void drop(void *arg, const uint8_t *datagram, size_t len)
{
    (void)arg, (void)datagram, (void)len;
}

static void set_up(void)
{
    static const enum srtp_profile profiles[3] = {SRTP_PROFILE_GCM_128, SRTP_PROFILE_GCM_256,
                                                  SRTP_PROFILE_CM_SHA1_80};

    for (int e = 0; e < 2; e++) {
        if (srtp_engine_create(&f.e[e], e ? SRTP_BACKEND_OPENSSL : SRTP_BACKEND_BEST))
            abort();
        for (int p = 0; p < 3; p++) {
            struct srtp_master m = {.profile = profiles[p], .key = {1}};
            if (srtp_rx_create(&f.rx[e][p], f.e[e], &m) ||
                (e == 0 && srtp_in_create(&f.in[p], SRTP_IN_RECEIVE, &m)))
                abort();
        }
    }
    if (cert_create_self_signed(&f.cert, "fuzz") || dtls_ctx_create(&f.ctx, f.cert, NULL) ||
        fingerprint_parse(&f.cfg.peer, cert_fingerprint(f.cert)))
        abort();
    f.cfg.send = drop;
}

static void feed_srtp(unsigned which, uint8_t *pkt, size_t len)
{
    struct srtp_window w;
    size_t plain;

    srtp_window_init(&w, which * 65000u);
    (void)!srtp_rx_unprotect(f.e[which & 1], f.rx[which & 1][which % 3], &w, pkt, len, &plain, NULL);
    (void)!srtp_rx_unprotect_rtcp(f.e[which & 1], f.rx[which & 1][which % 3], pkt, len, &plain);
    (void)!srtp_in_unprotect(f.in[which % 3], pkt, len, &plain);
    (void)!srtp_in_unprotect_rtcp(f.in[which % 3], pkt, len, &plain);
}

static void feed_dtls(const uint8_t *datagram, size_t len)
{
    struct dtls *d;

    if (dtls_create(&d, f.ctx, &f.cfg))
        return;
    if (dtls_feed(d, datagram, len, 0) == DTLS_LIVE)
        abort(); /* nobody gets in with one datagram */
    dtls_destroy(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fingerprint fp;

    if (!f.ctx)
        set_up();
    if (len == 0)
        return 0;
    uint8_t *copy = malloc(len); /* the rest, ended by NUL in the text's case */
    if (!copy)
        return 0;
    memcpy(copy, bytes + 1, len - 1);
    copy[len - 1] = 0;
    if (bytes[0] < 200)
        feed_srtp(bytes[0], copy, len - 1);
    else if (bytes[0] < 230)
        feed_dtls(copy, len - 1);
    else
        (void)!fingerprint_parse(&fp, (const char *)copy);
    free(copy);
    return 0;
}
