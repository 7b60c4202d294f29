/* SPDX-License-Identifier: Apache-2.0
 * rtcp_feedback.c - generic NACK (RFC 4585 s6.2.1), PLI (s6.3.1), FIR (RFC 5104 s4.3.1) and REMB
 * (draft-alvestrand-rmcat-remb-03). Pure; any thread. */
#include "base/seq.h"
#include "wire/rtcp_priv.h"

static const uint8_t remb_name[4] = {'R', 'E', 'M', 'B'};

/* The two SSRCs that begin every feedback packet (RFC 4585 s6.1); the rest is left in *fci. */
static int feedback_begin(const struct rtcp_packet *p, uint8_t type, uint8_t format, struct reader *fci,
                          uint32_t *sender_ssrc, uint32_t *media_ssrc)
{
    if (p->type != type || p->count != format)
        return RTCP_ERR_TYPE;
    *fci = reader_init(p->body, p->body_len);
    *sender_ssrc = reader_u32(fci);
    *media_ssrc = reader_u32(fci);
    return fci->bad ? RTCP_ERR_SHORT : RTCP_OK;
}

static void feedback_write(struct writer *w, uint8_t type, uint8_t format, uint32_t sender_ssrc,
                           uint32_t media_ssrc, size_t fci_bytes)
{
    rtcp_header_write(w, type, format, 8 + fci_bytes);
    writer_u32(w, sender_ssrc);
    writer_u32(w, media_ssrc);
}

/* ---- NACK ---- */

int rtcp_nack_parse(struct rtcp_nack *out, const struct rtcp_packet *p)
{
    struct rtcp_nack n = {0};
    int err = feedback_begin(p, RTCP_RTPFB, RTCP_RTPFB_NACK, &n.fci, &n.sender_ssrc, &n.media_ssrc);

    if (err)
        return err;
    if (reader_left(&n.fci) == 0 || reader_left(&n.fci) % 4 != 0)
        return RTCP_ERR_SHORT;
    *out = n;
    return RTCP_OK;
}

bool rtcp_nack_next(struct rtcp_nack *n, uint16_t *seq)
{
    if (n->blp == 0) {
        if (reader_left(&n->fci) < 4)
            return false;
        n->pid = reader_u16(&n->fci);
        n->blp = reader_u16(&n->fci);
        *seq = n->pid;
        return true;
    }
    unsigned bit = (unsigned)__builtin_ctz(n->blp); /* bit i: packet pid + i + 1 is lost too */
    n->blp &= (uint16_t)(n->blp - 1);
    *seq = (uint16_t)(n->pid + bit + 1);
    return true;
}

/* How many of seqs[0..count) go into one entry that begins with seqs[0]; its mask in *blp. */
static size_t nack_entry(const uint16_t *seqs, size_t count, uint16_t *blp)
{
    size_t n = 1;

    *blp = 0;
    for (; n < count; n++) {
        int ahead = seq16_diff(seqs[n], seqs[0]);
        if (ahead < 0 || ahead > 16)
            break;
        if (ahead > 0)
            *blp |= (uint16_t)(1 << (ahead - 1));
    }
    return n;
}

size_t rtcp_nack_write(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, const uint16_t *seqs,
                       size_t count)
{
    size_t room = rtcp_room(w), entries = 0, taken = 0;
    uint16_t blp;

    while (taken < count && entries < UINT16_MAX - 2 && RTCP_FEEDBACK_BYTES + (entries + 1) * 4 <= room) {
        taken += nack_entry(seqs + taken, count - taken, &blp);
        entries++;
    }
    if (taken == 0) {
        w->bad = true;
        return 0;
    }
    feedback_write(w, RTCP_RTPFB, RTCP_RTPFB_NACK, sender_ssrc, media_ssrc, entries * 4);
    for (size_t at = 0; at < taken;) {
        writer_u16(w, seqs[at]);
        at += nack_entry(seqs + at, taken - at, &blp);
        writer_u16(w, blp);
    }
    return taken;
}

/* ---- PLI and FIR ---- */

int rtcp_pli_parse(struct rtcp_pli *out, const struct rtcp_packet *p)
{
    struct reader fci;
    struct rtcp_pli pli;
    int err = feedback_begin(p, RTCP_PSFB, RTCP_PSFB_PLI, &fci, &pli.sender_ssrc, &pli.media_ssrc);

    if (!err)
        *out = pli;
    return err;
}

void rtcp_pli_write(struct writer *w, const struct rtcp_pli *pli)
{
    feedback_write(w, RTCP_PSFB, RTCP_PSFB_PLI, pli->sender_ssrc, pli->media_ssrc, 0);
}

enum { FIR_ENTRY_BYTES = 8 };

int rtcp_fir_parse(struct rtcp_fir *out, const struct rtcp_packet *p)
{
    struct rtcp_fir f;
    uint32_t unused; /* RFC 5104 s4.3.1.2: the media SSRC of the header is not used */
    int err = feedback_begin(p, RTCP_PSFB, RTCP_PSFB_FIR, &f.fci, &f.sender_ssrc, &unused);

    if (err)
        return err;
    if (reader_left(&f.fci) == 0 || reader_left(&f.fci) % FIR_ENTRY_BYTES != 0)
        return RTCP_ERR_SHORT;
    *out = f;
    return RTCP_OK;
}

bool rtcp_fir_next(struct rtcp_fir *f, uint32_t *media_ssrc, uint8_t *command_seq)
{
    if (reader_left(&f->fci) < FIR_ENTRY_BYTES)
        return false;
    *media_ssrc = reader_u32(&f->fci);
    *command_seq = reader_u8(&f->fci);
    reader_u24(&f->fci); /* reserved */
    return true;
}

void rtcp_fir_write(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t command_seq)
{
    feedback_write(w, RTCP_PSFB, RTCP_PSFB_FIR, sender_ssrc, 0, FIR_ENTRY_BYTES);
    writer_u32(w, media_ssrc);
    writer_u8(w, command_seq);
    writer_u24(w, 0);
}

/* ---- REMB ---- */

int rtcp_remb_parse(struct rtcp_remb *out, const struct rtcp_packet *p)
{
    struct rtcp_remb remb;
    uint32_t unused; /* always 0 */
    int err = feedback_begin(p, RTCP_PSFB, RTCP_PSFB_AFB, &remb.fci, &remb.sender_ssrc, &unused);

    if (err)
        return err;
    const uint8_t *name = reader_take(&remb.fci, sizeof(remb_name));
    uint8_t ssrcs = reader_u8(&remb.fci);
    uint32_t rate = reader_u24(&remb.fci); /* exponent 6 bits, mantissa 18 */
    struct reader list = reader_sub(&remb.fci, (size_t)ssrcs * 4);
    if (!name || memcmp(name, remb_name, sizeof(remb_name)) != 0)
        return RTCP_ERR_TYPE; /* some other application's feedback */
    if (list.bad)
        return RTCP_ERR_SHORT;
    unsigned exponent = rate >> 18;
    uint64_t mantissa = rate & 0x3ffff;
    if (exponent > 46 && mantissa >> (64 - exponent) != 0)
        return RTCP_ERR_VALUE; /* does not fit 64 bits */
    remb.bitrate_bps = mantissa << exponent;
    remb.fci = list;
    *out = remb;
    return RTCP_OK;
}

bool rtcp_remb_next(struct rtcp_remb *r, uint32_t *media_ssrc)
{
    if (reader_left(&r->fci) < 4)
        return false;
    *media_ssrc = reader_u32(&r->fci);
    return true;
}

void rtcp_remb_write(struct writer *w, uint32_t sender_ssrc, uint64_t bitrate_bps, const uint32_t *ssrcs,
                     uint8_t ssrc_count)
{
    uint32_t exponent = 0;

    while (bitrate_bps >> exponent > 0x3ffff)
        exponent++;
    feedback_write(w, RTCP_PSFB, RTCP_PSFB_AFB, sender_ssrc, 0, 8 + (size_t)ssrc_count * 4);
    writer_bytes(w, remb_name, sizeof(remb_name));
    writer_u8(w, ssrc_count);
    writer_u24(w, exponent << 18 | (uint32_t)(bitrate_bps >> exponent));
    for (size_t i = 0; i < ssrc_count; i++)
        writer_u32(w, ssrcs[i]);
}
