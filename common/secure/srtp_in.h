/* SPDX-License-Identifier: Apache-2.0
 * srtp_in.h - SRTP of publishers, through libsrtp2: any SSRC, roll-over guessed, replay refused.
 *
 * One session each way. The sending side serves the RTCP that the origin sends to a publisher, and tests.
 * libsrtp2 keeps state for each SSRC that authenticated, and looks through all of them for each packet; so who has
 * the keys gets no more than SRTP_IN_SOURCES.
 * Thread: the worker's. Source: RFC 3711 s3.3. */
#pragma once

#include "base/compiler.h"
#include "secure/srtp.h"

#include <stddef.h>
#include <stdint.h>

struct srtp_in;

enum { SRTP_IN_SOURCES = 64 /* SSRCs of RTP and RTCP: three layers, sound, their RTX, and twenty encoders that begin anew */ };

enum srtp_in_direction { SRTP_IN_RECEIVE, SRTP_IN_SEND };

/* 0, SRTP_ERR_MEMORY or SRTP_ERR_PROFILE. */
MUST_USE int srtp_in_create(struct srtp_in **out, enum srtp_in_direction direction,
                            const struct srtp_master *master);
void srtp_in_destroy(struct srtp_in **in);

/* In place. SRTP_OK with the shorter length, or an srtp_err (the bytes are then undefined). A further source's packets are
 * refused with SRTP_ERR_FULL. */
MUST_USE int srtp_in_unprotect(struct srtp_in *in, uint8_t *pkt, size_t len, size_t *plain_len);
MUST_USE int srtp_in_unprotect_rtcp(struct srtp_in *in, uint8_t *pkt, size_t len, size_t *plain_len);
/* In place, in a buffer of cap bytes. The longer length or an srtp_err. */
MUST_USE int srtp_in_protect(struct srtp_in *in, uint8_t *pkt, size_t len, size_t cap);
MUST_USE int srtp_in_protect_rtcp(struct srtp_in *in, uint8_t *pkt, size_t len, size_t cap);
