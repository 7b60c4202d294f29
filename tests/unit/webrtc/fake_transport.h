/* SPDX-License-Identifier: Apache-2.0
 * fake_transport.h - a transport without network or keys, in place of webrtc/transport.c and endpoint.c: what is sent
 * is kept, what a peer would do is done by the test. One endpoint a program. */
#pragma once

#include "webrtc/endpoint.h"
#include "webrtc/transport.h"
#include "wire/rtp_view.h"

enum { FAKE_SENT_MAX = 4096, FAKE_TRANSPORT_CC_ID = 3 };

struct fake_rtp {
    uint64_t at_us, index;
    size_t len;           /* bytes before protection */
    struct rtp_view view; /* payload and extensions are not kept */
    int transport_seq;    /* of the extension FAKE_TRANSPORT_CC_ID; -1: none */
    uint64_t mark;        /* first 8 bytes of the payload, RTX's number taken off */
};

struct rtc_transport {
    struct rtc_transport_cfg cfg;
    bool started, connected, keep, tcp, behind;
    bool joins; /* what is sent next leaves in the message before it */
    size_t n_sent, n_rtcp; /* n_sent goes on counting when the table is full */
    struct fake_rtp sent[FAKE_SENT_MAX];
    uint8_t rtcp[64][512];
    size_t rtcp_len[64];
    char ufrag[16];
    uint8_t room[RTC_RTP_MAX]; /* reserved */
    unsigned restarts;
    struct rtc_transport_counters counters;
    void (*on_data)(void *arg, const uint8_t *bytes, size_t len); /* see rtc_transport_carry_data */
    void *data_arg;
    /* Where the test wants data packets; NULL: they are lost. */
    void (*send_data)(void *arg, const uint8_t *bytes, size_t len);
    void *send_data_arg;
    /* Sees each RTP packet; NULL: nobody does. */
    void (*on_rtp)(void *arg, const struct rtc_rtp *p);
    void *rtp_arg;
};

struct rtc_endpoint *fake_endpoint(struct worker *w);
/* What rtc_endpoint_sctp says. */
void fake_endpoint_sctp(struct rtc_sctp_stack *stack);
/* The transport created last; NULL after it was destroyed. */
struct rtc_transport *fake_transport(void);
void fake_connect(struct rtc_transport *t);
void fake_rtcp(struct rtc_transport *t, const uint8_t *pkt, size_t len);
void fake_close(struct rtc_transport *t, enum rtc_close why);
