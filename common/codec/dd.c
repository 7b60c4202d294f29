/* SPDX-License-Identifier: Apache-2.0
 * dd.c - parsing the AV1 dependency descriptor (AV1 RTP specification A.8.2). Pure; any thread. */
#include "codec/dd.h"

#include "codec/bits.h"

enum { MANDATORY_BYTES = 3, SPATIAL_MAX = DD_RESOLUTIONS_MAX - 1, TEMPORAL_MAX = 7 };

/* What the extended fields said, until the frame's own definition is read. */
struct flags {
    bool structure, active_targets, custom_dtis, custom_fdiffs, custom_chains;
};

/* ns(n): a value below n, in as few bits as the lower ones need. */
static uint32_t bits_ns(struct bits *b, uint32_t n)
{
    unsigned w = 0;

    for (uint32_t x = n; x != 0; x >>= 1)
        w++;
    uint32_t m = (1u << w) - n, v = bits_u(b, w - 1);
    return v < m ? v : (v << 1) - m + bits_u1(b);
}

/* template_layers(): the layers of the templates, in rising order. */
static int read_layers(struct bits *b, struct dd_structure *s)
{
    enum { SAME, NEXT_TEMPORAL, NEXT_SPATIAL, NO_MORE };
    unsigned spatial = 0, temporal = 0;
    uint32_t next = SAME;

    do {
        if (s->template_count == DD_TEMPLATES_MAX || spatial > SPATIAL_MAX || temporal > TEMPORAL_MAX)
            return CODEC_ERR_SYNTAX;
        s->templates[s->template_count].spatial_id = (uint8_t)spatial;
        s->templates[s->template_count].temporal_id = (uint8_t)temporal;
        s->template_count++;
        next = bits_u(b, 2);
        temporal = next == NEXT_TEMPORAL ? temporal + 1 : next == NEXT_SPATIAL ? 0 : temporal;
        spatial += next == NEXT_SPATIAL;
    } while (next != NO_MORE && !b->bad);
    return b->bad ? CODEC_ERR_SHORT : CODEC_OK;
}

static void read_dtis(struct bits *b, const struct dd_structure *s, struct dd_template *t)
{
    for (unsigned i = 0; i < s->target_count; i++)
        t->dti[i] = (uint8_t)bits_u(b, 2);
}

/* A template's differences of four bits each, after a flag. */
static int read_template_fdiffs(struct bits *b, struct dd_template *t)
{
    while (bits_u1(b)) {
        if (b->bad || t->fdiff_count == DD_FDIFFS_MAX)
            return CODEC_ERR_SYNTAX;
        t->fdiffs[t->fdiff_count++] = (uint16_t)(bits_u(b, 4) + 1);
    }
    return CODEC_OK;
}

/* A frame's own differences, of 4, 8 or 12 bits. */
static int read_frame_fdiffs(struct bits *b, struct dd_template *t)
{
    uint32_t size;

    t->fdiff_count = 0;
    while ((size = bits_u(b, 2)) != 0) {
        if (t->fdiff_count == DD_FDIFFS_MAX)
            return CODEC_ERR_SYNTAX;
        t->fdiffs[t->fdiff_count++] = (uint16_t)(bits_u(b, 4 * size) + 1);
    }
    return CODEC_OK;
}

static void read_template_chains(struct bits *b, struct dd_structure *s)
{
    s->chain_count = (uint8_t)bits_ns(b, s->target_count + 1u);
    if (s->chain_count == 0)
        return;
    for (unsigned i = 0; i < s->target_count; i++)
        s->target_chain[i] = (uint8_t)bits_ns(b, s->chain_count);
    for (unsigned t = 0; t < s->template_count; t++)
        for (unsigned c = 0; c < s->chain_count; c++)
            s->templates[t].chain_fdiffs[c] = (uint8_t)bits_u(b, 4);
}

/* decode_target_layers(): a target is of the highest layers among the templates that are in it. */
static void derive_target_layers(struct dd_structure *s)
{
    for (unsigned i = 0; i < s->target_count; i++) {
        for (unsigned t = 0; t < s->template_count; t++) {
            const struct dd_template *template = &s->templates[t];
            if (template->dti[i] == DD_NOT_PRESENT)
                continue;
            if (template->spatial_id > s->target_spatial[i])
                s->target_spatial[i] = template->spatial_id;
            if (template->temporal_id > s->target_temporal[i])
                s->target_temporal[i] = template->temporal_id;
        }
    }
}

static void read_resolutions(struct bits *b, struct dd_structure *s)
{
    s->resolution_count = (uint8_t)(s->templates[s->template_count - 1].spatial_id + 1);
    for (unsigned i = 0; i < s->resolution_count; i++) {
        s->widths[i] = (uint16_t)(bits_u(b, 16) + 1);
        s->heights[i] = (uint16_t)(bits_u(b, 16) + 1);
    }
}

/* template_dependency_structure() */
static int read_structure(struct bits *b, struct dd_structure *s)
{
    *s = (struct dd_structure){.valid = true};
    s->template_id_offset = (uint8_t)bits_u(b, 6);
    s->target_count = (uint8_t)(bits_u(b, 5) + 1);
    int err = read_layers(b, s);
    if (err)
        return err;
    for (unsigned t = 0; t < s->template_count; t++)
        read_dtis(b, s, &s->templates[t]);
    for (unsigned t = 0; t < s->template_count && !err; t++)
        err = read_template_fdiffs(b, &s->templates[t]);
    if (err)
        return err;
    read_template_chains(b, s);
    derive_target_layers(s);
    if (bits_u1(b)) /* resolutions_present_flag */
        read_resolutions(b, s);
    return b->bad ? CODEC_ERR_SHORT : CODEC_OK;
}

/* frame_dependency_definition() */
static int read_frame(struct bits *b, const struct dd_structure *s, const struct flags *flags,
                      struct dd_frame *f)
{
    unsigned index = (f->template_id + 64u - s->template_id_offset) % 64;
    int err = CODEC_OK;

    if (index >= s->template_count)
        return CODEC_ERR_SYNTAX; /* of a structure that was lost */
    f->frame = s->templates[index];
    if (flags->custom_dtis)
        read_dtis(b, s, &f->frame);
    if (flags->custom_fdiffs)
        err = read_frame_fdiffs(b, &f->frame);
    for (unsigned c = 0; c < s->chain_count && flags->custom_chains; c++)
        f->frame.chain_fdiffs[c] = (uint8_t)bits_u(b, 8);
    if (f->frame.spatial_id < s->resolution_count) {
        f->width = s->widths[f->frame.spatial_id];
        f->height = s->heights[f->frame.spatial_id];
    }
    return b->bad ? CODEC_ERR_SHORT : err;
}

int dd_parse(struct dd_frame *out, struct dd_structure *structure, const uint8_t *data, size_t len)
{
    struct bits b = bits_init(data, len);
    struct dd_structure fresh;
    const struct dd_structure *s = structure;
    struct dd_frame f = {0};
    struct flags flags = {0};
    int err;

    f.start_of_frame = bits_u1(&b);
    f.end_of_frame = bits_u1(&b);
    f.template_id = (uint8_t)bits_u(&b, 6);
    f.frame_number = (uint16_t)bits_u(&b, 16);
    if (len > MANDATORY_BYTES) {
        flags.structure = bits_u1(&b);
        flags.active_targets = bits_u1(&b);
        flags.custom_dtis = bits_u1(&b);
        flags.custom_fdiffs = bits_u1(&b);
        flags.custom_chains = bits_u1(&b);
    }
    if (b.bad)
        return CODEC_ERR_SHORT;
    if (flags.structure) {
        err = read_structure(&b, &fresh);
        if (err)
            return err;
        s = &fresh;
    }
    if (!s->valid)
        return CODEC_ERR_SUPPORT;
    f.has_structure = flags.structure;
    f.has_active_targets = flags.structure || flags.active_targets;
    f.active_targets = UINT32_MAX >> (32 - s->target_count);
    if (flags.active_targets)
        f.active_targets = bits_u(&b, s->target_count);
    err = read_frame(&b, s, &flags, &f);
    if (err)
        return err;
    *out = f;
    if (flags.structure)
        *structure = fresh;
    return CODEC_OK;
}

/* ---- for those who leave layers out ---- */

bool dd_targets_learn(struct dd_targets *out, const uint8_t *data, size_t len)
{
    struct dd_structure s = {0};
    struct dd_frame f;

    if (len <= MANDATORY_BYTES || !(data[MANDATORY_BYTES] & 0x80) || dd_parse(&f, &s, data, len) != CODEC_OK)
        return false;
    out->count = s.target_count;
    for (unsigned i = 0; i < s.target_count; i++)
        out->layers[i] = (uint8_t)(s.target_spatial[i] << 4 | s.target_temporal[i]);
    return true;
}

uint32_t dd_targets_mask(const struct dd_targets *t, unsigned spatial, unsigned temporal)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < t->count; i++)
        if ((t->layers[i] >> 4) <= spatial && (t->layers[i] & 15) <= temporal)
            mask |= UINT32_C(1) << i;
    return mask;
}

struct bits_out {
    uint8_t *dst;
    size_t cap_bits, n;
};

static void put_bits(struct bits_out *o, uint32_t v, unsigned n)
{
    while (n-- > 0 && o->n < o->cap_bits) {
        uint8_t bit = (uint8_t)(0x80 >> o->n % 8);
        o->dst[o->n / 8] = (uint8_t)(o->n % 8 ? o->dst[o->n / 8] : 0);
        o->dst[o->n / 8] |= v >> n & 1 ? bit : 0;
        o->n++;
    }
}

static size_t bits_read(const struct bits *b, const uint8_t *data)
{
    return (size_t)(b->p - data) * 8 - b->bits_left;
}

size_t dd_restrict(uint8_t *dst, size_t cap, const struct dd_targets *targets, uint32_t mask, const uint8_t *data, size_t len)
{
    struct bits b = bits_init(data, len), copy = b;
    struct bits_out o = {dst, cap * 8, 0};
    struct dd_structure s;
    bool extended = len > MANDATORY_BYTES;

    bits_u(&b, MANDATORY_BYTES * 8);
    bool structure = extended && bits_u1(&b), active = extended && bits_u1(&b);
    uint32_t custom = extended ? bits_u(&b, 3) : 0;
    if (b.bad || targets->count == 0 || (structure && read_structure(&b, &s) != CODEC_OK))
        return 0;
    size_t before = bits_read(&b, data);
    uint32_t theirs = active ? bits_u(&b, targets->count) : UINT32_MAX;
    put_bits(&o, bits_u(&copy, MANDATORY_BYTES * 8), MANDATORY_BYTES * 8);
    put_bits(&o, (uint32_t)structure << 4 | 1u << 3 | custom, 5);
    bits_u(&copy, extended ? 5 : 0);
    for (size_t i = MANDATORY_BYTES * 8 + 5; i < before; i++)
        put_bits(&o, bits_u1(&copy), 1);
    put_bits(&o, theirs & mask, targets->count);
    for (size_t left = len * 8 - bits_read(&b, data); left > 0; left--)
        put_bits(&o, bits_u1(&b), 1);
    return b.bad || o.n == o.cap_bits ? 0 : (o.n + 7) / 8;
}
