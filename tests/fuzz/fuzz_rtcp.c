/* SPDX-License-Identifier: Apache-2.0
 * fuzz_rtcp.c - compound RTCP: every packet through every parser, and feedback written again. */
#include <stdlib.h>

#include "wire/rtcp.h"

static void read_feedback(const struct rtcp_packet *p)
{
    struct rtcp_nack nack;
    struct rtcp_pli pli;
    struct rtcp_fir fir;
    struct rtcp_remb remb;
    uint32_t ssrc;
    uint16_t seq;
    uint8_t command;

    if (rtcp_nack_parse(&nack, p) == RTCP_OK)
        while (rtcp_nack_next(&nack, &seq))
            ;
    (void)!rtcp_pli_parse(&pli, p);
    if (rtcp_fir_parse(&fir, p) == RTCP_OK)
        while (rtcp_fir_next(&fir, &ssrc, &command))
            ;
    if (rtcp_remb_parse(&remb, p) == RTCP_OK)
        while (rtcp_remb_next(&remb, &ssrc))
            ;
}

/* What was read is written; reading that gives the same arrivals. */
static void read_twcc(const struct rtcp_packet *p)
{
    enum { MOST = 2000 };
    static struct rtcp_twcc_arrival list[MOST];
    static uint8_t out[1 << 16];
    struct rtcp_twcc t;
    struct rtcp_twcc_arrival a;
    struct rtcp_twcc_run run = {0};
    size_t count = 0;

    if (rtcp_twcc_parse(&t, p))
        return;
    struct rtcp_twcc many = t;
    for (; rtcp_twcc_next(&t, &a); run.n--, run.seq++) {
        if (run.n == 0 && !rtcp_twcc_next_run(&many, &run))
            abort();
        if (run.seq != a.seq || run.received != a.received || (a.received && run.arrival_us != a.arrival_us))
            abort();
        if (count < MOST)
            list[count++] = a;
    }
    if (run.n > 0 || rtcp_twcc_next_run(&many, &run))
        abort();
    struct writer w = writer_init(out, sizeof(out));
    size_t taken = count ? rtcp_twcc_write(&w, 1, 2, 3, list, count) : 0;
    if (taken == 0)
        return;
    struct rtcp_walk walk = rtcp_walk_init(out, writer_len(&w));
    struct rtcp_packet again;
    if (rtcp_walk_next(&walk, &again) != 1 || rtcp_twcc_parse(&t, &again))
        abort();
    for (size_t i = 0; i < taken; i++)
        if (!rtcp_twcc_next(&t, &a) || a.seq != list[i].seq || a.received != list[i].received)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtcp_walk walk = rtcp_walk_init(data, size);
    struct rtcp_packet p;
    struct rtcp_report report;
    struct rtcp_cname cname;
    struct rtcp_bye bye;

    (void)!rtcp_compound_check(data, size, false);
    while (rtcp_walk_next(&walk, &p) == 1) {
        (void)!rtcp_report_parse(&report, &p);
        (void)!rtcp_sdes_parse(&cname, &p);
        (void)!rtcp_bye_parse(&bye, &p);
        read_feedback(&p);
        read_twcc(&p);
    }
    return 0;
}
