/* SPDX-License-Identifier: Apache-2.0
 * rtcp_twcc.c - transport-wide congestion control feedback
 * (draft-holmer-rmcat-transport-wide-cc-extensions-01 s3.1). Pure; any thread.
 *
 * The packet: base sequence, count, reference time, then chunks that give each sequence number a
 * symbol, then one arrival delta for each received symbol. */
#include "wire/rtcp_priv.h"

enum symbol { /* s3.1.1 */
    SYMBOL_LOST = 0,
    SYMBOL_SMALL = 1, /* delta of one byte, 0..63.75 ms */
    SYMBOL_LARGE = 2, /* delta of two bytes, signed */
};

enum {
    TICK_US = 250,
    TICKS_IN_REFERENCE = 256, /* the reference time counts 64 ms */
    FIXED_BYTES = RTCP_FEEDBACK_BYTES + 8,
    RUN_MAX = 0x1fff, /* 13 bits of run length */
    VECTOR_1BIT = 14, /* symbols of a status vector chunk */
    VECTOR_2BIT = 7,
};

/* ---- chunks: s3.1.3 run length, s3.1.4 status vector ---- */

static uint16_t chunk_symbols(uint16_t chunk)
{
    if (!(chunk & 0x8000))
        return chunk & RUN_MAX;
    return chunk & 0x4000 ? VECTOR_2BIT : VECTOR_1BIT;
}

static unsigned chunk_symbol(unsigned chunk, unsigned i)
{
    if (!(chunk & 0x8000))
        return chunk >> 13 & 3;
    return chunk & 0x4000 ? chunk >> (12 - 2 * i) & 3 : chunk >> (13 - i) & 1;
}

/* ---- parsing ---- */

/* Find where the chunks end: they must cover count symbols. Sums up the bytes of deltas that
 * these ask for. */
static int scan_chunks(struct reader *r, size_t count, size_t *delta_bytes)
{
    *delta_bytes = 0;
    for (size_t seen = 0; seen < count;) {
        uint16_t chunk = reader_u16(r);
        uint16_t symbols = chunk_symbols(chunk);
        if (r->bad)
            return RTCP_ERR_SHORT;
        if (symbols == 0)
            return RTCP_ERR_VALUE; /* an empty run would never reach the count */
        if (chunk < SYMBOL_LARGE << 13) { /* a run of one that has no delta, or a small one */
            size_t n = symbols < count - seen ? symbols : count - seen;
            *delta_bytes += n * (chunk >> 13);
            seen += n;
            continue;
        }
        for (unsigned i = 0; i < symbols && seen < count; i++, seen++) {
            unsigned s = chunk_symbol(chunk, i);
            if (s > SYMBOL_LARGE)
                return RTCP_ERR_VALUE; /* reserved */
            *delta_bytes += s;
        }
    }
    return RTCP_OK;
}

int rtcp_twcc_parse(struct rtcp_twcc *out, const struct rtcp_packet *p)
{
    struct reader r = reader_init(p->body, p->body_len);
    struct rtcp_twcc t = {0};
    size_t delta_bytes;

    if (p->type != RTCP_RTPFB || p->count != RTCP_RTPFB_TWCC)
        return RTCP_ERR_TYPE;
    t.sender_ssrc = reader_u32(&r);
    t.media_ssrc = reader_u32(&r);
    t.base_seq = reader_u16(&r);
    t.status_count = reader_u16(&r);
    t.reference_64ms = (int32_t)(reader_u24(&r) << 8) >> 8;
    t.feedback_count = reader_u8(&r);
    if (r.bad)
        return RTCP_ERR_SHORT;
    t.chunks = r;
    int err = scan_chunks(&r, t.status_count, &delta_bytes);
    if (err)
        return err;
    t.deltas = reader_sub(&r, delta_bytes); /* what is left pads to 32 bits */
    if (t.deltas.bad)
        return RTCP_ERR_SHORT;
    t.at_us = (int64_t)t.reference_64ms * TICKS_IN_REFERENCE * TICK_US;
    *out = t;
    return RTCP_OK;
}

bool rtcp_twcc_next(struct rtcp_twcc *t, struct rtcp_twcc_arrival *out)
{
    if (t->given == t->status_count)
        return false;
    if (t->chunk_used == t->chunk_symbols) {
        t->chunk = reader_u16(&t->chunks);
        t->chunk_symbols = chunk_symbols(t->chunk);
        t->chunk_used = 0;
    }
    unsigned symbol = chunk_symbol(t->chunk, t->chunk_used++);
    if (symbol == SYMBOL_SMALL)
        t->at_us += (int64_t)reader_u8(&t->deltas) * TICK_US;
    else if (symbol == SYMBOL_LARGE)
        t->at_us += (int64_t)(int16_t)reader_u16(&t->deltas) * TICK_US;
    *out = (struct rtcp_twcc_arrival){
        .arrival_us = t->at_us,
        .seq = (uint16_t)(t->base_seq + t->given),
        .received = symbol != SYMBOL_LOST,
    };
    t->given++;
    return true;
}

/* How many of the next symbols, n at most, are this one. */
static unsigned chunk_alike(unsigned chunk, unsigned from, unsigned n, unsigned symbol)
{
    unsigned i = 0;

    if (!(chunk & 0x8000))
        return chunk_symbol(chunk, 0) == symbol ? n : 0;
    while (i < n && chunk_symbol(chunk, from + i) == symbol)
        i++;
    return i;
}

/* How many symbols go on within the chunk as one before them: came at once with it, or not at all. */
static unsigned rest_of_run(const struct rtcp_twcc *t, bool received)
{
    unsigned left = (unsigned)(t->status_count - t->given), in_chunk = (unsigned)(t->chunk_symbols - t->chunk_used);
    unsigned n = chunk_alike(t->chunk, t->chunk_used, left < in_chunk ? left : in_chunk, received ? SYMBOL_SMALL : SYMBOL_LOST);
    unsigned at_once = 0;

    if (!received)
        return n;
    while (at_once < n && t->deltas.p[at_once] == 0) /* parse has seen that they are there */
        at_once++;
    return at_once;
}

bool rtcp_twcc_next_run(struct rtcp_twcc *t, struct rtcp_twcc_run *out)
{
    struct rtcp_twcc_arrival first;

    if (!rtcp_twcc_next(t, &first))
        return false;
    unsigned more = rest_of_run(t, first.received);
    if (first.received)
        t->deltas.p += more;
    t->chunk_used = (uint16_t)(t->chunk_used + more);
    t->given = (uint16_t)(t->given + more);
    *out = (struct rtcp_twcc_run){
        .arrival_us = first.arrival_us,
        .seq = first.seq,
        .n = (uint16_t)(1 + more),
        .received = first.received,
    };
    return true;
}

/* ---- writing ---- */

static int64_t ticks_of(const struct rtcp_twcc_arrival *a)
{
    int64_t us = a->arrival_us;

    return us >= 0 ? us / TICK_US : -((-us + TICK_US - 1) / TICK_US);
}

/* The reference time, that of the first received packet rounded down, in ticks. */
static int64_t reference_ticks(const struct rtcp_twcc_arrival *arrivals, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (arrivals[i].received)
            return (ticks_of(&arrivals[i]) >> 8) * TICKS_IN_REFERENCE;
    return 0;
}

static bool delta_fits(const struct rtcp_twcc_arrival *a, int64_t at_ticks)
{
    int64_t delta = ticks_of(a) - at_ticks;

    return !a->received || (delta >= INT16_MIN && delta <= INT16_MAX);
}

/* The symbol for an arrival whose delta fits; *at_ticks, the last received one's time, moves on. */
static unsigned symbol_of(const struct rtcp_twcc_arrival *a, int64_t *at_ticks)
{
    if (!a->received)
        return SYMBOL_LOST;
    int64_t delta = ticks_of(a) - *at_ticks;
    *at_ticks += delta;
    return delta >= 0 && delta <= UINT8_MAX ? SYMBOL_SMALL : SYMBOL_LARGE;
}

static size_t packet_bytes(size_t chunks, size_t delta_bytes)
{
    return (FIXED_BYTES + chunks * 2 + delta_bytes + 3) & ~(size_t)3;
}

/* How many arrivals go into room bytes: every chunk but the last covers VECTOR_2BIT at least. */
static size_t count_fitting(const struct rtcp_twcc_arrival *a, size_t count, int64_t at_ticks, size_t room)
{
    size_t n = 0, delta_bytes = 0;

    for (; n < count && n < UINT16_MAX && delta_fits(&a[n], at_ticks); n++) {
        delta_bytes += symbol_of(&a[n], &at_ticks);
        if (packet_bytes(n / VECTOR_2BIT + 1, delta_bytes) > room)
            break;
    }
    return n;
}

static size_t run_length(const struct rtcp_twcc_arrival *a, size_t count, int64_t at_ticks)
{
    unsigned first = symbol_of(&a[0], &at_ticks);
    size_t n = 1;

    while (n < count && n < RUN_MAX && symbol_of(&a[n], &at_ticks) == first)
        n++;
    return n;
}

static uint16_t vector_chunk(const struct rtcp_twcc_arrival *a, size_t symbols, int64_t at_ticks,
                             unsigned bits)
{
    unsigned chunk = bits == 2 ? 0xc000 : 0x8000;

    for (unsigned i = 0; i < symbols; i++)
        chunk |= symbol_of(&a[i], &at_ticks) << (bits == 2 ? 12 - 2 * i : 13 - i);
    return (uint16_t)chunk;
}

/* The chunk that covers most of what comes next; *symbols tells how many. A vector must be full unless
 * the packet ends in it. */
static uint16_t next_chunk(const struct rtcp_twcc_arrival *a, size_t count, int64_t at_ticks, size_t *symbols)
{
    size_t run = run_length(a, count, at_ticks), narrow = 0;
    size_t narrow_full = count < VECTOR_1BIT ? count : VECTOR_1BIT;
    size_t wide_full = count < VECTOR_2BIT ? count : VECTOR_2BIT;
    int64_t at = at_ticks;

    while (narrow < narrow_full && symbol_of(&a[narrow], &at) <= SYMBOL_SMALL)
        narrow++;
    *symbols = run;
    if (narrow == narrow_full && narrow > run) {
        *symbols = narrow;
        return vector_chunk(a, narrow, at_ticks, 1);
    }
    if (wide_full > run) {
        *symbols = wide_full;
        return vector_chunk(a, wide_full, at_ticks, 2);
    }
    return (uint16_t)(symbol_of(&a[0], &at_ticks) << 13 | run);
}

/* Write (w not NULL) or only count the chunks for all of the arrivals. */
static size_t put_chunks(struct writer *w, const struct rtcp_twcc_arrival *a, size_t count, int64_t at_ticks)
{
    size_t chunks = 0, symbols;

    for (size_t at = 0; at < count; at += symbols, chunks++) {
        uint16_t chunk = next_chunk(a + at, count - at, at_ticks, &symbols);
        if (w)
            writer_u16(w, chunk);
        for (size_t i = 0; i < symbols; i++)
            symbol_of(&a[at + i], &at_ticks);
    }
    return chunks;
}

static size_t put_deltas(struct writer *w, const struct rtcp_twcc_arrival *a, size_t count, int64_t at_ticks)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t before = at_ticks;
        unsigned s = symbol_of(&a[i], &at_ticks);
        bytes += s; /* a symbol's value is the size of its delta */
        if (w && s == SYMBOL_SMALL)
            writer_u8(w, (uint8_t)(at_ticks - before));
        else if (w && s == SYMBOL_LARGE)
            writer_u16(w, (uint16_t)(at_ticks - before));
    }
    return bytes;
}

size_t rtcp_twcc_write(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t feedback_count,
                       const struct rtcp_twcc_arrival *arrivals, size_t count)
{
    int64_t reference = reference_ticks(arrivals, count);
    size_t taken = count_fitting(arrivals, count, reference, rtcp_room(w));

    if (taken == 0) {
        w->bad = true;
        return 0;
    }
    size_t unpadded = put_chunks(NULL, arrivals, taken, reference) * 2;
    unpadded += put_deltas(NULL, arrivals, taken, reference);
    size_t bytes = (FIXED_BYTES + unpadded + 3) & ~(size_t)3;
    rtcp_header_write(w, RTCP_RTPFB, RTCP_RTPFB_TWCC, bytes - RTCP_HEADER_BYTES);
    writer_u32(w, sender_ssrc);
    writer_u32(w, media_ssrc);
    writer_u16(w, arrivals[0].seq);
    writer_u16(w, (uint16_t)taken);
    writer_u24(w, (uint32_t)(reference / TICKS_IN_REFERENCE) & 0xffffff);
    writer_u8(w, feedback_count);
    put_chunks(w, arrivals, taken, reference);
    put_deltas(w, arrivals, taken, reference);
    for (size_t i = FIXED_BYTES + unpadded; i < bytes; i++)
        writer_u8(w, 0);
    return taken;
}
