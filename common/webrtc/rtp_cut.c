/* SPDX-License-Identifier: Apache-2.0
 * rtp_cut.c - see rtp_cut.h. */
#include "webrtc/rtp_cut.h"

#include "base/reader.h"

#include <string.h>

_Static_assert((RTP_CUT_WORDS & (RTP_CUT_WORDS - 1)) == 0 && (RTP_CUT_CHANGES & (RTP_CUT_CHANGES - 1)) == 0, "slots by mask");
_Static_assert(RTP_CUT_PICTURES == 64, "a bit of one word each");

void rtp_cut_init(struct rtp_cut *c, uint64_t newest, struct rtp_level level)
{
    memset(c, 0, sizeof(*c));
    c->newest = newest;
    c->target = level;
    for (size_t i = 0; i < RTP_CUT_CHANGES; i++)
        c->changes[i].seq = UINT64_MAX;
    c->changes[c->next++] = (struct rtp_cut_change){0, level};
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

/* Everything up to seq is settled: sent, until it is said otherwise. */
static void settle(struct rtp_cut *c, uint64_t seq)
{
    uint64_t word = c->newest / 64, last = seq / 64;

    if (last - word > RTP_CUT_WORDS)
        word = last - RTP_CUT_WORDS;
    while (word < last) {
        word++;
        c->out[word % RTP_CUT_WORDS] = 0;
        c->before[word % RTP_CUT_WORDS] = (uint32_t)c->total;
    }
    c->newest = seq;
}

static uint64_t before_word(const struct rtp_cut *c, uint64_t word)
{
    return c->total - (uint32_t)((uint32_t)c->total - c->before[word % RTP_CUT_WORDS]);
}

bool rtp_cut_before(const struct rtp_cut *c, uint64_t seq, uint64_t *out)
{
    uint64_t word = seq / 64;

    if (seq > c->newest) {
        *out = c->total;
        return true;
    }
    if (c->newest / 64 - word >= RTP_CUT_WORDS)
        return false;
    uint64_t earlier = c->out[word % RTP_CUT_WORDS] & ((UINT64_C(1) << seq % 64) - 1);
    *out = before_word(c, word) + (unsigned)__builtin_popcountll(earlier);
    return true;
}

bool rtp_cut_seq(const struct rtp_cut *c, uint64_t n, uint64_t *seq)
{
    uint64_t word = c->newest / 64, left = RTP_CUT_WORDS;

    while (left > 0 && (int64_t)(n - (word * 64 - before_word(c, word))) < 0) {
        word--;
        left--;
    }
    if (left == 0)
        return false;
    uint64_t at = word * 64 - before_word(c, word), out = c->out[word % RTP_CUT_WORDS];
    for (unsigned i = 0; i < 64 && word * 64 + i <= c->newest; i++) {
        if (out >> i & 1)
            continue;
        if (at++ == n) {
            *seq = word * 64 + i;
            return true;
        }
    }
    return false;
}

/* ---- levels ------------------------------------------------------------------------------------------------ */

static struct rtp_level level_at(const struct rtp_cut *c, uint64_t seq)
{
    struct rtp_level level = rtp_cut_level(c);

    for (unsigned i = 1; i <= RTP_CUT_CHANGES; i++) {
        const struct rtp_cut_change *change = &c->changes[(c->next + RTP_CUT_CHANGES - i) % RTP_CUT_CHANGES];
        if (change->seq == UINT64_MAX)
            break; /* there were not so many */
        level = change->level;
        if (change->seq <= seq)
            break;
    }
    return level;
}

/* Where the picture that begins here lets the level go. */
static struct rtp_level next_level(const struct rtp_cut *c, const struct packet *p)
{
    struct rtp_level level = rtp_cut_level(c), to = c->target;
    bool starts = p->flags & PACKET_FRAME_START;

    if (starts && p->flags & PACKET_KEYFRAME)
        return to;
    level.spatial = to.spatial < level.spatial ? to.spatial : level.spatial;
    if (to.temporal <= level.temporal) {
        level.temporal = to.temporal;
    } else if (starts && level.temporal >= 0) {
        if (p->flags & PACKET_SWITCH_UP && p->temporal <= level.temporal)
            level.temporal = to.temporal;
        else if (p->flags & PACKET_LAYER_SYNC && p->temporal == level.temporal + 1)
            level.temporal++;
    }
    return level;
}

static void follow(struct rtp_cut *c, const struct packet *p)
{
    struct rtp_level level = rtp_cut_level(c), next;
    bool begins = c->begun ? p->ts_ticks != c->ts_ticks : p->flags & PACKET_FRAME_START;

    c->begun = true;
    c->ts_ticks = p->ts_ticks;
    if (!begins)
        return;
    next = next_level(c, p);
    if (next.spatial == level.spatial && next.temporal == level.temporal)
        return;
    c->changes[c->next] = (struct rtp_cut_change){p->seq, next};
    c->next = (uint8_t)((c->next + 1) % RTP_CUT_CHANGES);
}

static bool level_shows(struct rtp_level level, const struct packet *p)
{
    if (p->flags & PACKET_PADDING || p->spatial > level.spatial)
        return false;
    if (level.temporal == RTP_LEVEL_KEYFRAMES)
        return p->flags & PACKET_KEYFRAME;
    return p->temporal <= level.temporal;
}

/* It was left out, and has no number. */
static bool is_out(const struct rtp_cut *c, uint64_t seq)
{
    return c->newest / 64 - seq / 64 < RTP_CUT_WORDS && c->out[seq / 64 % RTP_CUT_WORDS] >> seq % 64 & 1;
}

bool rtp_cut_push(struct rtp_cut *c, const struct packet *p)
{
    const uint8_t begins = PACKET_KEYFRAME | PACKET_FRAME_START;

    if (p->seq <= c->newest)
        return !is_out(c, p->seq);
    settle(c, p->seq);
    if (!(p->flags & PACKET_PADDING))
        follow(c, p);
    if ((p->flags & begins) == begins)
        rtp_cut_learn(c, p);
    if (level_shows(rtp_cut_level(c), p))
        return true;
    c->out[p->seq / 64 % RTP_CUT_WORDS] |= UINT64_C(1) << p->seq % 64;
    c->total++;
    c->skipped += p->flags & PACKET_FRAME_START ? 1 : 0;
    return false;
}

bool rtp_cut_shows(const struct rtp_cut *c, const struct packet *p)
{
    return level_shows(level_at(c, p->seq), p);
}

bool rtp_cut_ends_picture(const struct rtp_cut *c, const struct packet *p)
{
    return p->flags & PACKET_MARKER || (p->flags & PACKET_FRAME_END && p->spatial == level_at(c, p->seq).spatial);
}

static bool is_all(struct rtp_level level)
{
    return level.spatial == RTP_LEVEL_ALL && level.temporal == RTP_LEVEL_ALL;
}

bool rtp_cut_is_idle(const struct rtp_cut *c)
{
    const struct rtp_cut_change *last = &c->changes[(c->next + RTP_CUT_CHANGES - 1) % RTP_CUT_CHANGES];
    uint32_t long_ago = c->before[(c->newest / 64 + 1) % RTP_CUT_WORDS]; /* before the oldest word */

    return is_all(last->level) && is_all(c->target) && last->seq <= rtp_cut_since(c) && long_ago == (uint32_t)c->total && c->recent_out == 0;
}

/* ---- VP8's picture ids ----------------------------------------------------------------------------------------- */

static uint16_t id_mask(unsigned bits)
{
    return (uint16_t)((1u << bits) - 1);
}

void rtp_cut_on_picture(struct rtp_cut *c, uint16_t picture_id, unsigned bits, bool left_out)
{
    uint16_t step = (uint16_t)(picture_id - c->picture_id) & id_mask(bits);

    if (bits == 0 || (c->has_picture && (step == 0 || step > id_mask(bits) / 2)))
        return;
    c->recent_out = c->has_picture && step < RTP_CUT_PICTURES ? c->recent_out << step : 0;
    c->recent_out |= left_out;
    c->pictures_out = (uint16_t)(c->pictures_out + left_out);
    c->picture_id = picture_id;
    c->has_picture = true;
}

uint16_t rtp_cut_pictures_before(const struct rtp_cut *c, uint16_t picture_id, unsigned bits)
{
    uint16_t back = (uint16_t)(c->picture_id - picture_id) & id_mask(bits);

    if (!c->has_picture || back > id_mask(bits) / 2)
        return c->pictures_out;
    uint64_t since = back + 1u < RTP_CUT_PICTURES ? c->recent_out & ((UINT64_C(2) << back) - 1) : c->recent_out;
    return (uint16_t)(c->pictures_out - __builtin_popcountll(since));
}

/* ---- the dependency descriptor ------------------------------------------------------------------------------------ */

/* NULL: the packet has none. */
static const uint8_t *find_descriptor(const struct packet *p, size_t *out_len)
{
    struct reader r = reader_init(p->bytes, p->ext_len);

    while (reader_left(&r) > 0) {
        uint8_t id = reader_u8(&r), len = reader_u8(&r);
        const uint8_t *data = reader_take(&r, len);
        *out_len = len;
        if (data && id == PACKET_EXT_DEPENDENCY)
            return data;
    }
    return NULL;
}

void rtp_cut_learn(struct rtp_cut *c, const struct packet *p)
{
    size_t len;
    const uint8_t *data = find_descriptor(p, &len);

    if (data)
        dd_targets_learn(&c->targets, data, len);
}

bool packet_dependency_structure(const struct packet *p, struct dd_structure *out)
{
    struct dd_frame f;
    size_t len;
    const uint8_t *data = find_descriptor(p, &len);

    return data && dd_parse(&f, out, data, len) == CODEC_OK && f.has_structure;
}

/* The pictures after a change tell it, as the first may be left out. */
static bool tells_change(const struct rtp_cut *c, const struct packet *p)
{
    for (size_t i = 0; i < RTP_CUT_CHANGES && p->flags & PACKET_FRAME_START; i++)
        if (c->changes[i].seq > 0 && p->seq >= c->changes[i].seq && p->seq - c->changes[i].seq < RTP_CUT_TELLS)
            return true;
    return false;
}

size_t rtp_cut_descriptor(const struct rtp_cut *c, const struct packet *p, const uint8_t *data, size_t len, uint8_t *dst,
                          size_t cap)
{
    const uint8_t STRUCTURE = 0x80; /* in byte 3, A.8.2: all targets come, if nothing more is said */
    struct rtp_level level = level_at(c, p->seq);

    if (!tells_change(c, p) && (is_all(level) || len < 4 || !(data[3] & STRUCTURE)))
        return 0;
    unsigned temporal = level.temporal > 0 ? (unsigned)level.temporal : 0;
    return dd_restrict(dst, cap, &c->targets, dd_targets_mask(&c->targets, level.spatial, temporal), data, len);
}
