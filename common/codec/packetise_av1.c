/* SPDX-License-Identifier: Apache-2.0
 * packetise_av1.c - AV1 temporal units into payloads (AV1 RTP specification s4, s5): OBUs without their
 * size fields, up to three elements a packet, cut where a packet is full. One thread at a time. */
#include "codec/av1.h"
#include "codec/packetise_priv.h"

enum {
    AGGREGATION_HEADER_BYTES = 1,
    ELEMENTS_MAX = 3, /* W has two bits and spares the last length; more go into the next packet */
};

/* Where in the temporal unit the next packet begins. */
struct cursor {
    struct reader rest;  /* OBUs after the present one */
    struct av1_obu obu;  /* the present one; payload NULL = none left */
    size_t at;           /* bytes of it sent, header included */
};

/* One packet: OBU elements, as parts of the OBUs without size fields. */
struct plan {
    unsigned count;
    bool continues, goes_on; /* Z, Y */
    struct {
        struct av1_obu obu;
        size_t from, len;
    } elements[ELEMENTS_MAX];
};

static size_t obu_bytes(const struct av1_obu *o)
{
    return o->header_len + o->payload_len;
}

/* The next OBU that is sent (s5: no temporal delimiters, no tile lists). */
static void advance(struct cursor *c)
{
    c->at = 0;
    while (av1_obu_next(&c->rest, &c->obu) == 1)
        if (c->obu.type != AV1_OBU_TEMPORAL_DELIMITER && c->obu.type != AV1_OBU_TILE_LIST)
            return;
    c->obu.payload = NULL;
}

/* s5: OBUs of two layers must not share a packet. */
static bool same_layer(const struct av1_obu *a, const struct av1_obu *b)
{
    return a->header_len == 1 || b->header_len == 1 || a->header[1] == b->header[1];
}

static bool layer_fits(const struct plan *plan, const struct av1_obu *o)
{
    for (unsigned i = 0; i < plan->count; i++)
        if (!same_layer(&plan->elements[i].obu, o))
            return false;
    return true;
}

static void add_element(struct plan *plan, const struct cursor *c, size_t len)
{
    plan->elements[plan->count].obu = c->obu;
    plan->elements[plan->count].from = c->at;
    plan->elements[plan->count].len = len;
    plan->count++;
}

/* Fill one packet of at most `bytes`; the cursor moves behind it. */
static struct plan plan_packet(struct cursor *c, size_t bytes)
{
    size_t room = bytes - AGGREGATION_HEADER_BYTES;
    struct plan plan = {.continues = c->at > 0};

    while (c->obu.payload && plan.count < ELEMENTS_MAX && layer_fits(&plan, &c->obu)) {
        size_t left = obu_bytes(&c->obu) - c->at;
        if (left > room) {
            add_element(&plan, c, room);
            c->at += room;
            plan.goes_on = true;
            break;
        }
        add_element(&plan, c, left);
        advance(c);
        size_t with_length = av1_leb128_bytes((uint32_t)left) + left;
        if (with_length >= room) /* it was the last: only the last one has no length */
            break;
        room -= with_length;
    }
    return plan;
}

static size_t count_packets(struct cursor c, size_t bytes)
{
    size_t count = 0;

    for (; c.obu.payload; count++)
        plan_packet(&c, bytes);
    return count;
}

/* The smallest packet size that needs no more packets than the largest does. */
static size_t equal_size(const struct cursor *c, size_t max_bytes)
{
    size_t count = count_packets(*c, max_bytes);
    size_t low = AGGREGATION_HEADER_BYTES + 8, high = max_bytes; /* high always does */

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (count_packets(*c, mid) <= count)
            high = mid;
        else
            low = mid + 1;
    }
    return high;
}

static struct cursor load(const struct packetiser *p)
{
    struct cursor c = {.rest = p->rest, .at = p->unit_at};

    c.obu = (struct av1_obu){
        .payload = p->unit,
        .payload_len = p->unit_len,
        .header = {p->unit_header[0], p->unit_header[1]},
        .header_len = p->unit_header_len,
    };
    return c;
}

static void store(struct packetiser *p, const struct cursor *c)
{
    p->rest = c->rest;
    p->unit = c->obu.payload;
    p->unit_len = c->obu.payload_len;
    p->unit_header[0] = c->obu.header[0];
    p->unit_header[1] = c->obu.header[1];
    p->unit_header_len = c->obu.header_len;
    p->unit_at = c->at;
    p->done = !c->obu.payload;
}

int packetise_av1_begin(struct packetiser *p)
{
    struct cursor c = {.rest = p->rest};
    struct reader check = p->rest;
    int got;

    while ((got = av1_obu_next(&check, &c.obu)) == 1)
        if (c.obu.payload_len > UINT32_MAX - 2)
            return CODEC_ERR_SYNTAX;
    if (got < 0)
        return got;
    advance(&c);
    p->piece_bytes = equal_size(&c, p->max_bytes);
    store(p, &c);
    return CODEC_OK;
}

/* Bytes [from, from + len) of the OBU with obu_has_size_field cleared. */
static void write_part(struct writer *w, const struct av1_obu *o, size_t from, size_t len)
{
    const uint8_t header[2] = {o->header[0] & 0xfd, o->header[1]};

    for (; len > 0 && from < o->header_len; from++, len--)
        writer_u8(w, header[from]);
    if (len > 0)
        writer_bytes(w, o->payload + (from - o->header_len), len);
}

void packetise_av1_next(struct packetiser *p, struct writer *w)
{
    struct cursor c = load(p);
    struct plan plan = plan_packet(&c, p->piece_bytes);
    bool new_sequence = p->first && p->frame.keyframe;

    writer_u8(w, (uint8_t)((plan.continues ? 0x80 : 0) | (plan.goes_on ? 0x40 : 0) | plan.count << 4 |
                           (new_sequence ? 0x08 : 0)));
    for (unsigned i = 0; i < plan.count; i++) {
        if (i + 1 < plan.count)
            av1_leb128_write(w, (uint32_t)plan.elements[i].len);
        write_part(w, &plan.elements[i].obu, plan.elements[i].from, plan.elements[i].len);
    }
    store(p, &c);
}
