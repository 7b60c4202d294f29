/* SPDX-License-Identifier: Apache-2.0
 * rtcp.c - walking compound RTCP packets; SR, RR, SDES and BYE (RFC 3550 s6). Pure; any thread. */
#include "wire/rtcp.h"

#include "wire/rtcp_priv.h"

struct rtcp_walk rtcp_walk_init(const uint8_t *pkt, size_t len)
{
    return (struct rtcp_walk){reader_init(pkt, len)};
}

/* s6.4.1: the last octet counts the padding, itself included. It ought to be in multiples of four and of a compound's last
 * packet only; browsers fill their transport-wide feedback up to a word with it, several in one compound. */
static int strip_padding(struct rtcp_packet *p)
{
    uint8_t pad = p->body_len ? p->body[p->body_len - 1] : 0;

    if (pad == 0 || pad > p->body_len)
        return RTCP_ERR_PADDING;
    p->body_len -= pad;
    return RTCP_OK;
}

static int end_walk(struct rtcp_walk *walk, int err)
{
    walk->r.p = walk->r.end;
    return err;
}

int rtcp_walk_next(struct rtcp_walk *walk, struct rtcp_packet *out)
{
    struct rtcp_packet p;

    if (reader_left(&walk->r) == 0)
        return 0;
    uint8_t b0 = reader_u8(&walk->r);
    if (b0 >> 6 != 2)
        return end_walk(walk, RTCP_ERR_VERSION);
    p.count = b0 & 0x1f;
    p.type = reader_u8(&walk->r);
    p.body_len = (size_t)reader_u16(&walk->r) * 4;
    p.body = reader_take(&walk->r, p.body_len);
    if (walk->r.bad)
        return end_walk(walk, RTCP_ERR_SHORT);
    if (b0 & 0x20 && strip_padding(&p))
        return end_walk(walk, RTCP_ERR_PADDING);
    *out = p;
    return 1;
}

int rtcp_compound_check(const uint8_t *pkt, size_t len, bool reduced_size)
{
    struct rtcp_walk walk = rtcp_walk_init(pkt, len);
    struct rtcp_packet p;
    int got = rtcp_walk_next(&walk, &p);

    if (got == 0)
        return RTCP_ERR_SHORT;
    if (got > 0 && !reduced_size && p.type != RTCP_SR && p.type != RTCP_RR)
        return RTCP_ERR_FIRST;
    while (got > 0)
        got = rtcp_walk_next(&walk, &p);
    return got;
}

/* ---- reports ---- */

static void read_block(struct reader *r, struct rtcp_report_block *b)
{
    b->ssrc = reader_u32(r);
    uint32_t lost = reader_u32(r);
    b->lost_fraction = (uint8_t)(lost >> 24);
    b->lost_total = (int32_t)(lost << 8) >> 8;
    b->highest_seq = reader_u32(r);
    b->jitter_ticks = reader_u32(r);
    b->lsr = reader_u32(r);
    b->dlsr = reader_u32(r);
}

static void write_block(struct writer *w, const struct rtcp_report_block *b)
{
    enum { LOST_MAX = 0x7fffff };
    int32_t lost = b->lost_total > LOST_MAX ? LOST_MAX : b->lost_total;

    if (lost < -LOST_MAX - 1)
        lost = -LOST_MAX - 1;
    writer_u32(w, b->ssrc);
    writer_u8(w, b->lost_fraction);
    writer_u24(w, (uint32_t)lost & 0xffffff);
    writer_u32(w, b->highest_seq);
    writer_u32(w, b->jitter_ticks);
    writer_u32(w, b->lsr);
    writer_u32(w, b->dlsr);
}

int rtcp_report_parse(struct rtcp_report *out, const struct rtcp_packet *p)
{
    struct reader r = reader_init(p->body, p->body_len);
    struct rtcp_report report = {.sender = p->type == RTCP_SR};

    if (p->type != RTCP_SR && p->type != RTCP_RR)
        return RTCP_ERR_TYPE;
    report.ssrc = reader_u32(&r);
    if (report.sender) {
        report.ntp = reader_u64(&r);
        report.ts_ticks = reader_u32(&r);
        report.packets = reader_u32(&r);
        report.octets = reader_u32(&r);
    }
    report.block_count = p->count; /* five bits: fits blocks[] */
    for (size_t i = 0; i < report.block_count; i++)
        read_block(&r, &report.blocks[i]);
    if (r.bad) /* what follows the blocks is a profile's extension: ignored */
        return RTCP_ERR_SHORT;
    *out = report;
    return RTCP_OK;
}

void rtcp_report_write(struct writer *w, const struct rtcp_report *r)
{
    enum { BLOCK_BYTES = 24, SENDER_BYTES = 20 };
    uint8_t count = r->block_count > RTCP_REPORT_BLOCKS_MAX ? RTCP_REPORT_BLOCKS_MAX : r->block_count;
    size_t body = (r->sender ? 4u + SENDER_BYTES : 4u) + (size_t)count * BLOCK_BYTES;

    rtcp_header_write(w, r->sender ? RTCP_SR : RTCP_RR, count, body);
    writer_u32(w, r->ssrc);
    if (r->sender) {
        writer_u64(w, r->ntp);
        writer_u32(w, r->ts_ticks);
        writer_u32(w, r->packets);
        writer_u32(w, r->octets);
    }
    for (size_t i = 0; i < count; i++)
        write_block(w, &r->blocks[i]);
}

/* ---- SDES ---- */

enum { SDES_END = 0, SDES_CNAME = 1 };

/* s6.5: items of type, length, text; a null octet ends the chunk, which is padded to 32 bits. True: this
 * chunk has a CNAME. */
static bool read_chunk(struct reader *r, struct rtcp_cname *c)
{
    const uint8_t *start = r->p;
    bool found = false;

    c->ssrc = reader_u32(r);
    for (;;) {
        uint8_t item = reader_u8(r);
        if (item == SDES_END) /* also when the bytes are at their end */
            break;
        size_t len = reader_u8(r);
        const uint8_t *text = reader_take(r, len);
        if (item == SDES_CNAME && text && !found) {
            c->name = (const char *)text;
            c->name_len = len;
            found = true;
        }
    }
    reader_take(r, (size_t)(-(r->p - start) & 3));
    return found && !r->bad;
}

int rtcp_sdes_parse(struct rtcp_cname *out, const struct rtcp_packet *p)
{
    struct reader r = reader_init(p->body, p->body_len);
    struct rtcp_cname c = {0};

    if (p->type != RTCP_SDES)
        return RTCP_ERR_TYPE;
    for (unsigned i = 0; i < p->count && !r.bad; i++) {
        if (read_chunk(&r, &c)) {
            *out = c;
            return RTCP_OK;
        }
    }
    return r.bad ? RTCP_ERR_SHORT : RTCP_ERR_VALUE;
}

void rtcp_sdes_write(struct writer *w, const struct rtcp_cname *c)
{
    size_t len = c->name_len > 255 ? 255 : c->name_len;
    size_t items = 2 + len + 1;                 /* type, length, text, end */
    size_t padded = (items + 3) & ~(size_t)3;

    rtcp_header_write(w, RTCP_SDES, 1, 4 + padded);
    writer_u32(w, c->ssrc);
    writer_u8(w, SDES_CNAME);
    writer_u8(w, (uint8_t)len);
    writer_bytes(w, c->name, len);
    for (size_t i = 2 + len; i < padded; i++)
        writer_u8(w, SDES_END);
}

/* ---- BYE ---- */

int rtcp_bye_parse(struct rtcp_bye *out, const struct rtcp_packet *p)
{
    struct reader r = reader_init(p->body, p->body_len);
    struct rtcp_bye bye = {.ssrc_count = p->count};

    if (p->type != RTCP_BYE)
        return RTCP_ERR_TYPE;
    for (size_t i = 0; i < bye.ssrc_count; i++)
        bye.ssrcs[i] = reader_u32(&r);
    if (!r.bad && reader_left(&r) > 0) {
        bye.reason_len = reader_u8(&r);
        bye.reason = (const char *)reader_take(&r, bye.reason_len);
    }
    if (r.bad)
        return RTCP_ERR_SHORT;
    *out = bye;
    return RTCP_OK;
}

void rtcp_bye_write(struct writer *w, const struct rtcp_bye *b)
{
    uint8_t count = b->ssrc_count > LEN(b->ssrcs) ? LEN(b->ssrcs) : b->ssrc_count;
    size_t reason_len = !b->reason ? 0 : b->reason_len > 255 ? 255 : b->reason_len;
    size_t reason_bytes = reason_len ? (1 + reason_len + 3) & ~(size_t)3 : 0;

    rtcp_header_write(w, RTCP_BYE, count, (size_t)count * 4 + reason_bytes);
    for (size_t i = 0; i < count; i++)
        writer_u32(w, b->ssrcs[i]);
    if (reason_len == 0)
        return;
    writer_u8(w, (uint8_t)reason_len);
    writer_bytes(w, b->reason, reason_len);
    for (size_t i = 1 + reason_len; i < reason_bytes; i++)
        writer_u8(w, 0);
}
