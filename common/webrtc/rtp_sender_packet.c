/* SPDX-License-Identifier: Apache-2.0
 * rtp_sender_packet.c - one packet in its viewer's terms: header extensions, VP8's descriptor, marker; see rtp_sender.h. */
#include "webrtc/rtp_sender_priv.h"

#include <endian.h>
#include <string.h>

enum {
    PLAYOUT_MAX_MS = 10000,
    ONE_BYTE_MAX = 16, /* bytes of an element in the one-byte form */
    VP8_DESCRIPTOR_MAX = 6, /* bytes: RFC 7741 s4.2 */
    PLAIN_WORDS = 5,       /* fixed header, extension's, transport-wide number; two more with the capture time */
};

_Static_assert(RTP_NEXT_HEADER_MAX + RTX_OSN_BYTES + PACKET_PAYLOAD_MAX <= RTP_OUT_MAX, "extensions fit beside any payload");

static bool is_empty(const struct rtp_segment *g, const struct packet *p)
{
    return g->cut && !rtp_cut_shows(g->cut, p);
}

static bool has_marker(const struct rtp_segment *g, const struct packet *p)
{
    return g->cut ? rtp_cut_ends_picture(g->cut, p) : (p->flags & PACKET_MARKER) != 0;
}

/* ---- headers ------------------------------------------------------------------------------------------------ */

static enum rtp_ext_kind kind_of_canonical(uint8_t id)
{
    switch (id) {
    case PACKET_EXT_AUDIO_LEVEL: return RTP_EXT_AUDIO_LEVEL;
    case PACKET_EXT_VIDEO_ORIENTATION: return RTP_EXT_VIDEO_ORIENTATION;
    case PACKET_EXT_PLAYOUT_DELAY: return RTP_EXT_PLAYOUT_DELAY;
    case PACKET_EXT_DEPENDENCY: return RTP_EXT_DEPENDENCY_DESCRIPTOR;
    default: return RTP_EXT_UNKNOWN;
    }
}

/* The packet's canonical elements (id, length, data)*, one at a time. */
static bool next_element(struct reader *r, struct rtp_ext *e)
{
    if (reader_left(r) == 0)
        return false;
    e->id = reader_u8(r);
    e->len = reader_u8(r);
    e->data = reader_take(r, e->len);
    return !r->bad;
}

static bool fits_one_byte(const struct rtp_ext *e, uint8_t id)
{
    return e->len >= 1 && e->len <= ONE_BYTE_MAX && id <= 14;
}

/* Whether an element needs the two-byte form, which is then used for all of the packet. */
static bool needs_two_byte(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p)
{
    struct reader r = reader_init(p->bytes, p->ext_len);
    struct rtp_ext e;

    while (s->cfg.two_byte_ext && next_element(&r, &e)) {
        uint8_t id = s->cfg.ext_id[kind_of_canonical(e.id)];
        if (g->cut && e.id == PACKET_EXT_DEPENDENCY)
            e.len = (uint8_t)(e.len + DD_RESTRICT_MORE);
        if (id && e.len > 0 && !fits_one_byte(&e, id))
            return true;
    }
    return false;
}

/* What we have to say of the packet's time: when it was captured, with each frame; the least delay to play with, with
 * each keyframe (receivers keep it) unless the publisher says one. */
static void write_own_elements(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p,
                               bool has_playout, struct rtp_ext_writer *w)
{
    uint8_t capture_id = s->cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME], playout_id = s->cfg.ext_id[RTP_EXT_PLAYOUT_DELAY];
    uint8_t value[RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES];

    if (!(p->flags & PACKET_FRAME_START))
        return;
    if (capture_id) {
        struct rtp_abs_capture_time at = {.ntp = ntp_of_unix_us(p->capture_us)};
        rtp_ext_write(w, capture_id, value, rtp_ext_abs_capture_time_write(value, &at));
    }
    if (playout_id && g->playout_ms && (p->flags & PACKET_KEYFRAME) && !has_playout) {
        rtp_ext_playout_delay_write(value, &(struct rtp_playout_delay){g->playout_ms, PLAYOUT_MAX_MS});
        rtp_ext_write(w, playout_id, value, RTP_EXT_PLAYOUT_DELAY_BYTES);
    }
}

static void write_stamps(const struct rtp_sender *s, struct rtp_ext_writer *w)
{
    uint8_t seq[RTP_EXT_TRANSPORT_CC_BYTES], time[RTP_EXT_ABS_SEND_TIME_BYTES];

    if (s->cfg.ext_id[RTP_EXT_TRANSPORT_CC]) {
        rtp_ext_transport_cc_write(seq, s->transport_seq);
        rtp_ext_write(w, s->cfg.ext_id[RTP_EXT_TRANSPORT_CC], seq, sizeof(seq));
    }
    if (s->cfg.ext_id[RTP_EXT_ABS_SEND_TIME]) {
        rtp_ext_abs_send_time_write(time, s->send_us);
        rtp_ext_write(w, s->cfg.ext_id[RTP_EXT_ABS_SEND_TIME], time, sizeof(time));
    }
}

/* The bytes of a finished block, or 0 when it does not fit beside the payload. */
static size_t fitting(const struct packet *p, struct rtp_ext_writer *w, uint16_t *profile)
{
    int len = rtp_ext_writer_finish(w);

    if (len <= 0 || (size_t)len + RTP_HEADER_BYTES + 4 + RTX_OSN_BYTES + p->payload_len > RTP_OUT_MAX)
        return 0;
    *profile = rtp_ext_writer_profile(w);
    return (size_t)len;
}

/* The dependency descriptor with what is left of the layers, where it has to say so. */
static void tell_targets(const struct rtp_segment *g, const struct packet *p, struct rtp_ext *e, bool two_byte,
                         uint8_t *dst, size_t cap)
{
    size_t len = rtp_cut_descriptor(g->cut, p, e->data, e->len, dst, cap);

    if (len == 0 || (!two_byte && len > ONE_BYTE_MAX))
        return;
    e->data = dst;
    e->len = (uint8_t)len;
}

/* The extension block of p in the viewer's ids. But for its stamps it depends on segment and packet alone, so
 * that a packet that is sent again is the same. Returns its bytes, 0 for none. */
static size_t write_extensions(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p,
                               uint8_t *block, size_t cap, uint16_t *profile)
{
    struct reader r = reader_init(p->bytes, p->ext_len);
    bool has_playout = false, stamped = rtp_sender_stamps(s);
    uint8_t targets[PACKET_EXT_MAX];
    struct rtp_ext e;

    if (p->ext_len == 0 && !(p->flags & PACKET_FRAME_START) && !stamped)
        return 0;
    struct rtp_ext_writer w = rtp_ext_writer_init(block, cap, needs_two_byte(s, g, p));
    if (stamped)
        write_stamps(s, &w);
    while (next_element(&r, &e)) {
        uint8_t id = s->cfg.ext_id[kind_of_canonical(e.id)];
        has_playout |= e.id == PACKET_EXT_PLAYOUT_DELAY;
        if (g->cut && e.id == PACKET_EXT_DEPENDENCY)
            tell_targets(g, p, &e, w.two_byte, targets, sizeof(targets));
        if (id && (w.two_byte || fits_one_byte(&e, id)))
            rtp_ext_write(&w, id, e.data, e.len);
    }
    write_own_elements(s, g, p, has_playout, &w);
    size_t len = fitting(p, &w, profile);
    if (len > 0 || !stamped)
        return len; /* 0: the medium goes before what describes it */
    w = rtp_ext_writer_init(block, cap, false);
    write_stamps(s, &w);
    return fitting(p, &w, profile);
}

/* ---- VP8's descriptor ------------------------------------------------------------------------------------------- */

bool rtp_sender_vp8_marks(const struct packet *p, struct payload_marks *m)
{
    return p->payload_len > 0 && codec_inspect(CODEC_VP8, packet_payload(p), p->payload_len, m) == CODEC_OK;
}

/* Gapless too. */
static uint16_t vp8_picture_id(const struct rtp_segment *g, const struct payload_marks *m)
{
    uint16_t out = g->cut ? rtp_cut_pictures_before(g->cut, m->picture_id, m->picture_id_bits) : 0;

    return (uint16_t)(m->picture_id + g->picture_id_offset - out) & 0x7fff;
}

/* Offsets of the segment by its first packet, and what was sent last. */
void rtp_sender_follow_vp8(struct rtp_sender *s, const struct packet *p, bool newest)
{
    struct rtp_segment *g = &s->now;
    struct payload_marks m;

    if (!g->vp8 || (g->vp8_known && !(newest && p->flags & PACKET_FRAME_START)) || !rtp_sender_vp8_marks(p, &m))
        return;
    if (!g->vp8_known && s->sent_vp8) {
        g->picture_id_offset = (s->picture_id + 1 - m.picture_id) & 0x7fff;
        g->tl0picidx_offset = (uint8_t)(s->tl0picidx + 1 - m.tl0picidx);
        g->keyidx_offset = (s->keyidx + 1 - m.keyidx) & 0x1f;
    }
    g->vp8_known = s->sent_vp8 = true;
    rtp_sender_judge(s);
    if (!newest)
        return;
    s->picture_id = vp8_picture_id(g, &m);
    s->tl0picidx = (uint8_t)(m.tl0picidx + g->tl0picidx_offset);
    s->keyidx = (m.keyidx + g->keyidx_offset) & 0x1f;
}

static void rewrite_vp8(const struct rtp_segment *g, const struct payload_marks *m, uint8_t *d)
{
    uint16_t id = vp8_picture_id(g, m);

    if (m->picture_id_bits == 15) {
        d[m->picture_id_at] = (uint8_t)(0x80 | id >> 8);
        d[m->picture_id_at + 1] = (uint8_t)id;
    } else if (m->picture_id_bits == 7) {
        d[m->picture_id_at] = id & 0x7f;
    }
    if (m->tl0picidx_at)
        d[m->tl0picidx_at] = (uint8_t)(m->tl0picidx + g->tl0picidx_offset);
    if (m->keyidx_at)
        d[m->keyidx_at] = (uint8_t)((d[m->keyidx_at] & 0xe0) | ((m->keyidx + g->keyidx_offset) & 0x1f));
}

/* The payload in the viewer's counters: the descriptor as a prefix, the shared bytes untouched after it. */
static void write_payload(const struct rtp_segment *g, const struct packet *p, struct rtp_out *out)
{
    bool moved = g->picture_id_offset || g->tl0picidx_offset || g->keyidx_offset || g->cut;
    struct payload_marks m;

    out->prefix_len = 0;
    out->payload = packet_payload(p);
    out->payload_len = is_empty(g, p) ? 0 : p->payload_len;
    if (out->payload_len == 0 || !g->vp8 || !moved || !rtp_sender_vp8_marks(p, &m) || m.header_bytes > VP8_DESCRIPTOR_MAX)
        return;
    memcpy(out->prefix, out->payload, m.header_bytes);
    rewrite_vp8(g, &m, out->prefix);
    out->prefix_len = m.header_bytes;
    out->payload += m.header_bytes;
    out->payload_len -= m.header_bytes;
}

/* ---- RED -------------------------------------------------------------------------------------------------------- */

static uint64_t ticks_between(const struct rtp_segment *g, const struct packet *before, const struct packet *p)
{
    return rtp_segment_ts(g, p->ts_ticks) - rtp_segment_ts(g, before->ts_ticks);
}

bool rtp_sender_red_carries(const struct rtp_segment *g, const struct packet *p, const struct packet *before,
                            const struct rtp_out *out)
{
    if (!before || before->seq + 1 != p->seq || before->seq < g->first_seq || p->payload_len == 0)
        return false;
    uint64_t ticks = ticks_between(g, before, p);
    return ticks > 0 && ticks <= RED_TS_BEFORE_MAX && before->payload_len > 0 && before->payload_len <= RED_LEN_MAX &&
           out->hdr_len + RED_HEADERS_BYTES + before->payload_len + p->payload_len <= RTP_OUT_MAX;
}

void rtp_sender_wrap_red(const struct rtp_segment *g, const struct packet *p, const struct packet *before, struct rtp_out *out)
{
    struct red_block block;

    if (p->payload_len == 0)
        return; /* it only keeps its number */
    if (before)
        block = (struct red_block){packet_payload(before), before->payload_len, (uint16_t)ticks_between(g, before, p), g->pt};
    out->prefix_len = red_write_front(out->prefix, before ? &block : NULL, g->pt);
}

/* ---- the common case ---------------------------------------------------------------------------------------- */

void rtp_sender_judge(struct rtp_sender *s)
{
    struct rtp_segment *g = &s->now;
    bool as_it_came = !g->vp8 || (g->vp8_known && g->picture_id_offset == 0 && g->tl0picidx_offset == 0 && g->keyidx_offset == 0);

    g->plain = as_it_came && !g->cut && !g->red_pt && s->cfg.ext_id[RTP_EXT_TRANSPORT_CC] && !s->cfg.ext_id[RTP_EXT_ABS_SEND_TIME];
}

size_t rtp_sender_write_plain(const struct rtp_sender *s, const struct packet *p, uint16_t seq, uint32_t ts_ticks, bool padded,
                              uint8_t *dst)
{
    const uint32_t first = padded ? 0xb0000000u : 0x90000000u; /* version 2, an extension */
    bool marker = p->flags & PACKET_MARKER;
    uint8_t capture_id = p->flags & PACKET_FRAME_START ? s->cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME] : 0;
    uint32_t number = (uint32_t)s->cfg.ext_id[RTP_EXT_TRANSPORT_CC] << 28 | (RTP_EXT_TRANSPORT_CC_BYTES - 1) << 24 |
                      (uint32_t)s->transport_seq << 8;
    uint32_t words[RTP_NEXT_HEADER_MAX / 4] = {
        htobe32(first | (uint32_t)marker << 23 | (uint32_t)s->now.pt << 16 | seq),
        htobe32(ts_ticks),
        htobe32(s->cfg.ssrc),
        htobe32((uint32_t)RTP_EXT_PROFILE_ONE_BYTE << 16 | 1),
        htobe32(number),
    };
    size_t len = PLAIN_WORDS * sizeof(words[0]);

    if (capture_id) {
        uint64_t ntp = ntp_of_unix_us(p->capture_us);
        words[3] = htobe32((uint32_t)RTP_EXT_PROFILE_ONE_BYTE << 16 | 3);
        words[4] = htobe32(number | (uint32_t)capture_id << 4 | (RTP_EXT_ABS_CAPTURE_TIME_BYTES - 1));
        words[5] = htobe32((uint32_t)(ntp >> 32));
        words[6] = htobe32((uint32_t)ntp);
        len = sizeof(words);
    }
    memcpy(dst, words, sizeof(words));
    return len;
}

/* ---- packets ------------------------------------------------------------------------------------------------------ */

/* Everything but number, SSRC and payload type, which an RTX packet has of its own. */
bool rtp_sender_write_packet(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p,
                             struct rtp_header *h, struct rtp_out *out)
{
    uint8_t block[PACKET_EXT_MAX + 20];

    h->ts_ticks = (uint32_t)rtp_segment_ts(g, p->ts_ticks);
    h->marker = has_marker(g, p);
    h->ext_len = write_extensions(s, g, p, block, sizeof(block), &h->ext_profile);
    h->ext = h->ext_len ? block : NULL;
    out->numbered = h->ext_len && s->cfg.ext_id[RTP_EXT_TRANSPORT_CC];
    int len = rtp_header_write(out->hdr, sizeof(out->hdr), h);
    if (len < 0)
        return false;
    out->hdr_len = (size_t)len;
    write_payload(g, p, out);
    return true;
}
