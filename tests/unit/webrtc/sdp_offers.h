/* SPDX-License-Identifier: Apache-2.0
 * sdp_offers.h - offers for tests: those of real clients, and one that can be damaged. */
#pragma once

#include "webrtc/sdp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Bytes of exactly this size on the heap, without NUL: a parser that reads one too many is caught. */
static inline char *exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

static inline int parse(struct sdp_offer *o, const char *text)
{
    char *bytes = exact(text, strlen(text));
    int err = sdp_offer_parse(o, bytes, strlen(text));

    free(bytes);
    return err;
}

static inline char *read_fixture(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), FIXTURES "/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 32768);
    assert_non_null(text);
    assert_true(fread(text, 1, 32767, f) > 0);
    fclose(f);
    return text;
}

static inline struct sdp_offer *offer_of(const char *fixture)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    char *text = read_fixture(fixture);

    assert_non_null(o);
    assert_int_equal(parse(o, text), SDP_OK);
    free(text);
    return o;
}

/* ---- An offer that can be damaged --------------------------------------------------------------- */

#define FP \
    "a=fingerprint:sha-256 6A:1F:0C:95:7E:B3:42:D8:21:9C:5A:F0:64:8B:17:3E:" \
    "D5:72:A9:0B:C6:38:E1:4D:90:2F:7B:B4:5C:86:13:EA\r\n"
#define AUDIO \
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n" \
    "a=rtpmap:111 opus/48000/2\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=ssrc:1 cname:x\r\n"
#define VIDEO \
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\n" \
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n" \
    "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rid:a send\r\na=rid:b send\r\na=simulcast:send a;b\r\na=ssrc-group:FID 5 6\r\n"

static const char base[] =
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:abcd\r\n"
    "a=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\n" FP AUDIO VIDEO;

struct damage {
    const char *name, *find, *put;
    int parse_err, check_err, http;
};

static inline char *damaged(const struct damage *d)
{
    const char *at = strstr(base, d->find);
    char *text = malloc(sizeof(base) + strlen(d->put) + 4096);

    assert_non_null(at);
    assert_non_null(text);
    sprintf(text, "%.*s%s%s", (int)(at - base), base, d->put, at + strlen(d->find));
    return text;
}
