/* SPDX-License-Identifier: Apache-2.0
 * offer.c - see offer.h. */
#include "offer.h"

#include "base/random.h"
#include "wire/rtp_ext.h"

#include <stdarg.h>
#include <stdio.h>

struct out {
    char *p;
    size_t cap, len;
    bool bad;
};

PRINTF_LIKE(2, 3) static void line(struct out *o, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(o->p + o->len, o->cap - o->len, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n + 2 >= o->cap - o->len) {
        o->bad = true;
        return;
    }
    o->len += (size_t)n;
    o->p[o->len++] = '\r';
    o->p[o->len++] = '\n';
    o->p[o->len] = '\0';
}

static const struct video_codec {
    unsigned pt;
    const char *name, *fmtp;
} video_codecs[] = {
    {OFFER_PT_H264, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
    {104, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"},
    {106, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"},
    {108, "H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"},
    {96, "VP8", NULL},
    {98, "VP9", "profile-id=0"},
    {45, "AV1", "level-idx=5;profile=0;tier=0"},
};

static void write_codec(struct out *out, const struct offer *o, const struct video_codec *c)
{
    line(out, "a=rtpmap:%u %s/90000", c->pt, c->name);
    if (o->transport_cc)
        line(out, "a=rtcp-fb:%u transport-cc", c->pt);
    line(out, "a=rtcp-fb:%u ccm fir", c->pt);
    line(out, "a=rtcp-fb:%u nack", c->pt);
    line(out, "a=rtcp-fb:%u nack pli", c->pt);
    if (c->fmtp)
        line(out, "a=fmtp:%u %s", c->pt, c->fmtp);
    if (!o->rtx)
        return;
    line(out, "a=rtpmap:%u rtx/90000", c->pt + 1);
    line(out, "a=fmtp:%u apt=%u", c->pt + 1, c->pt);
}

static void write_transport(struct out *out, const struct offer *o, const char *mid)
{
    char host[ADDR_TEXT_CAP];

    line(out, "c=IN IP4 0.0.0.0");
    line(out, "a=rtcp:9 IN IP4 0.0.0.0");
    line(out, "a=ice-ufrag:%s", o->ufrag);
    line(out, "a=ice-pwd:%s", o->pwd);
    line(out, "a=fingerprint:%s", o->fingerprint);
    line(out, "a=setup:actpass");
    line(out, "a=mid:%s", mid);
    line(out, "a=%s", o->publish ? "sendonly" : "recvonly");
    line(out, "a=rtcp-mux");
    line(out, "a=rtcp-rsize");
    line(out, "a=extmap:4 %s", RTP_EXT_URI_MID);
    line(out, "a=extmap:2 %s", RTP_EXT_URI_ABS_SEND_TIME);
    if (o->transport_cc)
        line(out, "a=extmap:3 %s", RTP_EXT_URI_TRANSPORT_CC);
    if (o->candidate) {
        line(out, "a=candidate:1 1 udp 2122260223 %s %u typ host", addr_print_host(o->candidate, host),
             addr_port(o->candidate));
        line(out, "a=end-of-candidates");
    }
}

static void write_sender(struct out *out, const char *track, uint32_t ssrc, uint32_t rtx_ssrc)
{
    line(out, "a=msid:load %s", track);
    if (rtx_ssrc)
        line(out, "a=ssrc-group:FID %u %u", ssrc, rtx_ssrc);
    line(out, "a=ssrc:%u cname:load", ssrc);
    if (rtx_ssrc)
        line(out, "a=ssrc:%u cname:load", rtx_ssrc);
}

static void write_audio(struct out *out, const struct offer *o)
{
    line(out, "m=audio 9 UDP/TLS/RTP/SAVPF %d", OFFER_PT_OPUS);
    write_transport(out, o, "0");
    line(out, "a=rtpmap:%d opus/48000/2", OFFER_PT_OPUS);
    if (o->transport_cc)
        line(out, "a=rtcp-fb:%d transport-cc", OFFER_PT_OPUS);
    line(out, "a=fmtp:%d minptime=10;useinbandfec=1", OFFER_PT_OPUS);
    if (o->publish)
        write_sender(out, "audio", o->audio_ssrc, 0);
}

static void write_video(struct out *out, const struct offer *o)
{
    size_t n = o->publish ? 1 : LEN(video_codecs);
    char pts[128];
    int len = 0;

    for (size_t i = 0; i < n; i++)
        len += snprintf(pts + len, sizeof(pts) - (size_t)len, o->rtx ? " %u %u" : " %u", video_codecs[i].pt,
                        video_codecs[i].pt + 1);
    line(out, "m=video 9 UDP/TLS/RTP/SAVPF%s", pts);
    write_transport(out, o, "1");
    for (size_t i = 0; i < n; i++)
        write_codec(out, o, &video_codecs[i]);
    if (o->publish)
        write_sender(out, "video", o->video_ssrc, o->rtx ? o->rtx_ssrc : 0);
}

int offer_write(char *dst, size_t cap, const struct offer *o)
{
    struct out out = {.p = dst, .cap = cap};

    line(&out, "v=0");
    line(&out, "o=- %llu 2 IN IP4 127.0.0.1", (unsigned long long)(random_u64() >> 2));
    line(&out, "s=-");
    line(&out, "t=0 0");
    line(&out, "a=group:BUNDLE%s%s", o->audio ? " 0" : "", o->video ? " 1" : "");
    line(&out, "a=msid-semantic: WMS *");
    if (o->audio)
        write_audio(&out, o);
    if (o->video)
        write_video(&out, o);
    return out.bad ? -1 : (int)out.len;
}
