/* SPDX-License-Identifier: Apache-2.0
 * Recorded streams of each codec with layers, from the origin's inspection to what is left of them for a viewer: what it gets must be
 * decodable by the stream's own dependency descriptors, with numbers that run on. See recorded/. */
#include "origin/whip_media.h"

#include "unit/wire/exact.h"
#include "webrtc/rtp_sender.h"
#include "wire/rtp_ext.h"
#include "wire/rtp_view.h"
#include "wire/rtp_write.h"

#include <stdio.h>

enum { PT = 96, SSRC = 1000, DD_ID = 5, VIEWER_DD_ID = 9, ROUNDS = 2, RECORDS_MAX = 140, PACKETS_MAX = ROUNDS * RECORDS_MAX,
       FRAMES_MAX = 65536 };

struct record {
    bool marker;
    uint16_t seq, dd_len;
    uint32_t ts;
    size_t payload_len;
    uint8_t dd[128], payload[PACKET_PAYLOAD_MAX];
};

/* A recording and what the origin makes of it, played ROUNDS times in a row: so there is a keyframe on the way. */
struct stream {
    enum codec codec;
    size_t n_records, n;
    struct record records[RECORDS_MAX];
    struct packet *packets[PACKETS_MAX];
    struct dd_frame frames[PACKETS_MAX]; /* what the descriptors say; by packet */
    struct whip_media media;
    struct pool *pool;
    struct cache *cache;
};

static const struct {
    const char *name;
    enum codec codec;
    uint8_t spatial, temporal; /* highest */
} recordings[] = {
    {"vp9-l3t3_key", CODEC_VP9, 2, 2}, {"vp9-l3t3", CODEC_VP9, 2, 2},   {"av1-l3t3_key", CODEC_AV1, 2, 2},
    {"av1-l3t3", CODEC_AV1, 2, 2},     {"vp8-l1t3", CODEC_VP8, 0, 2}, {"h264-l1t3", CODEC_H264, 0, 2},
    {"vp8-l1t3-plain", CODEC_VP8, 0, 2}, /* no descriptors; its payloads have picture ids, those above do not */
};
enum { DESCRIBED = 6, H264_L1T3 = 5, VP8_PLAIN = 6 };

/* ---- a recording through the origin -------------------------------------------------------------------------------- */

static size_t unhex(const char *hex, uint8_t *out, size_t cap)
{
    size_t n = 0;
    unsigned byte;

    for (; n < cap && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        out[n] = (uint8_t)byte;
    return n;
}

static void load(struct stream *s, const char *name)
{
    char path[512], line[1024], dd[300], payload[200];

    snprintf(path, sizeof(path), RECORDED "/%s.txt", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        struct record *r = &s->records[s->n_records];
        unsigned marker, seq, ts;
        if (line[0] == '#')
            continue;
        assert_true(s->n_records < RECORDS_MAX);
        assert_int_equal(sscanf(line, "%u %u %u %299s %zu %199s", &marker, &seq, &ts, dd, &r->payload_len, payload), 6);
        assert_true(r->payload_len <= PACKET_PAYLOAD_MAX);
        r->marker = marker;
        r->seq = (uint16_t)seq;
        r->ts = ts;
        r->dd_len = (uint16_t)unhex(dd, r->dd, sizeof(r->dd));
        unhex(payload, r->payload, r->payload_len);
        s->n_records++;
    }
    fclose(f);
}

static void push(void *arg, struct packet *p)
{
    struct stream *s = arg;

    assert_true(s->n < PACKETS_MAX);
    s->packets[s->n++] = p;
    assert_true(cache_push(s->cache, p));
}

static void ignore(void *arg)
{
    (void)arg;
}

static void ignore_rtcp(void *arg, const uint8_t *pkt, size_t len)
{
    (void)arg, (void)pkt, (void)len;
}

static const struct whip_media_ops ops = {.push = push, .on_source = ignore, .send_rtcp = ignore_rtcp};

static void deliver(struct stream *s, const struct record *r, unsigned round, bool with_dd)
{
    const struct record *last = &s->records[s->n_records - 1], *first = s->records;
    uint8_t buf[2000], block[160], dd[128];
    struct rtp_ext_writer w = rtp_ext_writer_init(block, sizeof(block), true);
    uint16_t frames = (uint16_t)((last->dd[1] << 8 | last->dd[2]) - (first->dd[1] << 8 | first->dd[2]) + 1);

    memcpy(dd, r->dd, sizeof(dd));
    uint16_t number = (uint16_t)((unsigned)(dd[1] << 8 | dd[2]) + round * frames);
    dd[1] = (uint8_t)(number >> 8);
    dd[2] = (uint8_t)number;
    if (with_dd)
        rtp_ext_write(&w, DD_ID, dd, (uint8_t)r->dd_len);
    int ext_len = rtp_ext_writer_finish(&w);
    int n = rtp_header_write(buf, sizeof(buf), &(struct rtp_header){
        .ext = with_dd ? block : NULL, .ext_len = with_dd ? (size_t)ext_len : 0, .ext_profile = RTP_EXT_PROFILE_TWO_BYTE,
        .ts_ticks = r->ts + round * (last->ts - first->ts + 6000), .ssrc = SSRC, .seq = (uint16_t)(r->seq + round * s->n_records),
        .pt = PT, .marker = r->marker});
    assert_true(n > 0);
    memcpy(buf + n, r->payload, r->payload_len);
    uint8_t *exact = exact_dup(buf, (size_t)n + r->payload_len);
    whip_media_on_rtp(&s->media, exact, (size_t)n + r->payload_len, 1000000 + s->n * 1000, 1700000000000000 + s->n * 1000);
    free(exact);
}

/* What the descriptors say, by themselves. */
static void read_frames(struct stream *s)
{
    struct dd_structure structure = {0};

    for (size_t i = 0; i < s->n; i++) {
        const struct packet *p = s->packets[i];
        assert_int_equal(p->bytes[0], PACKET_EXT_DEPENDENCY);
        assert_int_equal(dd_parse(&s->frames[i], &structure, p->bytes + 2, p->bytes[1]), CODEC_OK);
    }
}

static struct stream *open_stream(size_t which, bool with_dd)
{
    struct stream *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    load(s, recordings[which].name);
    s->codec = recordings[which].codec;
    assert_int_equal(packet_pool_create(&s->pool, PACKETS_MAX), 0);
    assert_int_equal(cache_create(&s->cache, &(struct cache_cfg){.cap_bytes = 1 << 24, .cap_packets = 4096, .cap_us = 600000000}), 0);
    struct whip_media_cfg cfg = {.ops = &ops, .arg = s, .pool = s->pool, .stream = "live/test", .n_tracks = 1};
    cfg.tracks[0] = (struct whip_track_cfg){
        .facts = {.codec = s->codec, .clock_hz = 90000, .n_layers = 1}, .pt = PT, .ssrc = SSRC};
    cfg.tracks[0].ext_id[RTP_EXT_DEPENDENCY_DESCRIPTOR] = with_dd ? DD_ID : 0;
    whip_media_init(&s->media, &cfg, 1000000);
    for (unsigned round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < s->n_records; i++)
            deliver(s, &s->records[i], round, with_dd);
    assert_int_equal(s->n, ROUNDS * s->n_records);
    if (with_dd)
        read_frames(s);
    return s;
}

static void close_stream(struct stream *s)
{
    for (size_t i = 0; i < s->n; i++)
        packet_unref(&s->packets[i]);
    cache_destroy(&s->cache);
    pool_destroy(&s->pool);
    free(s);
}

/* ---- what the origin sees ------------------------------------------------------------------------------------------------ */

static void layers_and_borders_of_pictures_are_as_the_descriptors_say(void **state)
{
    (void)state;
    for (size_t r = 0; r < DESCRIBED; r++) {
        struct stream *s = open_stream(r, true);
        uint8_t spatial = 0, temporal = 0;
        unsigned keys = 0;
        for (size_t i = 0; i < s->n; i++) {
            const struct packet *p = s->packets[i];
            const struct dd_frame *f = &s->frames[i];
            bool new_picture = i == 0 || s->packets[i - 1]->ts_ticks != p->ts_ticks;
            assert_int_equal(p->spatial, f->frame.spatial_id);
            assert_int_equal(p->temporal, f->frame.temporal_id);
            assert_int_equal(!!(p->flags & PACKET_FRAME_START), new_picture);
            assert_int_equal(!!(p->flags & PACKET_FRAME_END), f->end_of_frame);
            keys += new_picture && p->flags & PACKET_KEYFRAME;
            assert_int_equal(!!(p->flags & PACKET_KEYFRAME), p->ts_ticks == s->packets[i / s->n_records * s->n_records]->ts_ticks);
            spatial = p->spatial > spatial ? p->spatial : spatial;
            temporal = p->temporal > temporal ? p->temporal : temporal;
        }
        assert_int_equal(spatial, recordings[r].spatial);
        assert_int_equal(temporal, recordings[r].temporal);
        assert_int_equal(keys, ROUNDS);
        close_stream(s);
    }
}

static void vp9_payloads_tell_the_same_without_a_descriptor(void **state)
{
    (void)state;
    for (size_t r = 0; r < DESCRIBED; r++) {
        if (recordings[r].codec != CODEC_VP9)
            continue;
        struct stream *told = open_stream(r, true), *seen = open_stream(r, false);
        const uint8_t same = PACKET_FRAME_START | PACKET_FRAME_END | PACKET_KEYFRAME | PACKET_MARKER;
        bool climbs = false;
        for (size_t i = 0; i < told->n; i++) {
            assert_int_equal(seen->packets[i]->spatial, told->packets[i]->spatial);
            assert_int_equal(seen->packets[i]->temporal, told->packets[i]->temporal);
            assert_int_equal(seen->packets[i]->flags & same, told->packets[i]->flags & same);
            climbs |= seen->packets[i]->flags & PACKET_SWITCH_UP;
        }
        assert_true(climbs);
        close_stream(told);
        close_stream(seen);
    }
}

static void vp8_payloads_tell_temporal_layers_and_where_to_go_up(void **state)
{
    static const uint8_t pattern[] = {0, 2, 1, 2};
    struct stream *s = open_stream(VP8_PLAIN, false);
    unsigned picture = 0, syncs[3] = {0};

    (void)state;
    for (size_t i = 0; i < s->n_records; i++) {
        const struct packet *p = s->packets[i];
        picture += i > 0 && p->flags & PACKET_FRAME_START;
        assert_int_equal(p->temporal, pattern[picture % 4]);
        syncs[p->temporal] += p->flags & PACKET_FRAME_START && p->flags & PACKET_LAYER_SYNC;
    }
    assert_int_equal(syncs[0], 0);
    assert_true(syncs[1] > 0 && syncs[2] > 0 && syncs[2] < picture / 2);
    close_stream(s);
}

static void h264_without_a_descriptor_has_what_nothing_refers_to_as_a_layer(void **state)
{
    struct stream *s = open_stream(H264_L1T3, false);
    unsigned unused = 0;

    (void)state;
    for (size_t i = 0; i < s->n; i++) {
        const struct packet *p = s->packets[i];
        assert_int_equal(p->temporal, p->flags & PACKET_DISCARDABLE ? 1 : 0);
        assert_int_equal(!!(p->flags & PACKET_LAYER_SYNC), p->temporal);
        unused += p->temporal;
    }
    assert_in_range(unused, s->n / 3, s->n);
    close_stream(s);
}

/* ---- what the viewer gets ------------------------------------------------------------------------------------------------- */

struct view {
    const struct stream *s;
    struct rtp_out out; /* the last packet */
    struct rtp_sender sender;
    size_t n_sent;
    uint64_t first_number;
    bool taken[PACKETS_MAX], empty[PACKETS_MAX];
    uint64_t index[PACKETS_MAX]; /* by packet */
    bool marker[PACKETS_MAX];
};

static struct view *open_view(struct stream *s)
{
    struct view *w = calloc(1, sizeof(*w));
    struct rtp_sender_cfg cfg = {.ssrc = 1, .rtx_ssrc = 2, .first_seq = 100, .first_rtx_seq = 7, .first_ts = 5, .two_byte_ext = true};

    assert_non_null(w);
    w->s = s;
    cfg.ext_id[RTP_EXT_DEPENDENCY_DESCRIPTOR] = VIEWER_DD_ID;
    rtp_sender_init(&w->sender, &cfg);
    rtp_sender_start(&w->sender, &(struct rtp_start){.epoch = 1, .pt = 96, .rtx_pt = 97, .clock_hz = 90000, .vp8 = s->codec == CODEC_VP8,
                     .first_seq = s->packets[0]->seq, .first_ts = s->packets[0]->ts_ticks}, 0);
    return w;
}

static void close_view(struct view *w)
{
    rtp_sender_fini(&w->sender);
    free(w);
}

static void limit(struct view *w, uint8_t spatial, int8_t temporal)
{
    assert_int_equal(rtp_sender_limit(&w->sender, (struct rtp_level){spatial, temporal}), 0);
}

static void view_packet(struct view *w, size_t i, struct rtp_view *header)
{
    const struct packet *p = w->s->packets[i];
    struct rtp_view v;

    if (!rtp_sender_takes(&w->sender, p))
        return;
    assert_true(rtp_sender_write(&w->sender, p, i * 1000, &w->out));
    assert_int_equal(rtp_view_parse(&v, w->out.hdr, w->out.hdr_len), RTP_OK);
    w->taken[i] = true;
    w->empty[i] = w->out.prefix_len + w->out.payload_len == 0;
    w->index[i] = w->out.index;
    w->marker[i] = v.marker;
    w->n_sent++;
    if (header)
        *header = v;
}

/* Each frame that is shown has all that it refers to; numbers run on; each picture ends with the one marker. */
static void check_view(const struct view *w)
{
    static bool has[FRAMES_MAX];
    const struct stream *s = w->s;
    uint64_t number = 100;

    memset(has, 0, sizeof(has));
    for (size_t i = 0; i < s->n; i++) {
        const struct dd_frame *f = &s->frames[i];
        if (!w->taken[i])
            continue;
        assert_int_equal(w->index[i], number++);
        for (unsigned k = 0; k < f->frame.fdiff_count; k++)
            assert_true(has[(uint16_t)(f->frame_number - f->frame.fdiffs[k])]);
        size_t next = i + 1;
        while (next < s->n && !w->taken[next])
            next++;
        assert_int_equal(w->marker[i], next == s->n ? w->marker[i] : s->packets[next]->ts_ticks != s->packets[i]->ts_ticks);
        assert_int_equal(w->marker[i] && !f->end_of_frame, 0);
        has[f->frame_number] |= f->end_of_frame;
    }
}

static void every_level_can_be_decoded_and_has_no_gap(void **state)
{
    (void)state;
    for (size_t r = 0; r < DESCRIBED; r++) {
        struct stream *s = open_stream(r, true);
        for (uint8_t spatial = 0; spatial <= recordings[r].spatial; spatial++)
            for (int8_t temporal = -1; temporal <= recordings[r].temporal; temporal++) {
                struct view *w = open_view(s);
                limit(w, spatial, temporal);
                for (size_t i = 0; i < s->n; i++) {
                    const struct packet *p = s->packets[i];
                    bool key = temporal < 0 && p->flags & PACKET_KEYFRAME;
                    view_packet(w, i, NULL);
                    assert_int_equal(w->taken[i], p->spatial <= spatial && (p->temporal <= temporal || key));
                }
                check_view(w);
                close_view(w);
            }
        close_stream(s);
    }
}

/* xorshift; the seed is the row. */
static uint32_t draw(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    return *x ^= *x << 5;
}

/* At random, 200 times. Returns how often it went up. */
static unsigned change_levels(struct stream *s)
{
    unsigned ups = 0;

    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct view *w = open_view(s);
        uint32_t x = seed * 2654435761u;
        for (size_t i = 0; i < s->n; i++) {
            struct rtp_level before = rtp_sender_level(&w->sender);
            if (draw(&x) % 8 == 0)
                limit(w, (uint8_t)(draw(&x) % 4), (int8_t)((int)(draw(&x) % 5) - 1));
            view_packet(w, i, NULL);
            struct rtp_level now = rtp_sender_level(&w->sender);
            ups += now.spatial > before.spatial || now.temporal > before.temporal;
            if (now.spatial > before.spatial)
                assert_true(s->packets[i]->flags & PACKET_KEYFRAME);
        }
        check_view(w);
        close_view(w);
    }
    return ups;
}

static void levels_change_only_where_what_follows_can_be_decoded(void **state)
{
    (void)state;
    for (size_t r = 0; r < DESCRIBED; r++) {
        struct stream *s = open_stream(r, true);
        assert_true(change_levels(s) > 400);
        if (s->codec == CODEC_VP9 || s->codec == CODEC_H264) {
            struct stream *plain = open_stream(r, false);
            memcpy(plain->frames, s->frames, sizeof(s->frames));
            assert_true(change_levels(plain) > 200);
            close_stream(plain);
        }
        close_stream(s);
    }
}

/* Packets that come late, of layers that are sent and of others: each has its number, and only once. */
static void late_packets_have_their_numbers(void **state)
{
    (void)state;
    for (size_t r = 0; r < DESCRIBED; r++) {
        struct stream *s = open_stream(r, true);
        unsigned empties = 0, late = 0;
        for (uint32_t seed = 1; seed <= 50; seed++) {
            struct view *w = open_view(s);
            uint32_t x = seed * 2654435761u;
            size_t waits = SIZE_MAX;
            limit(w, 0, 1);
            for (size_t i = 0; i < s->n; i++) {
                if (waits == SIZE_MAX && i > 0 && draw(&x) % 10 == 0 && i + 3 < s->n) {
                    waits = i;
                    continue;
                }
                view_packet(w, i, NULL);
                if (waits != SIZE_MAX && i >= waits + 3) {
                    view_packet(w, waits, NULL);
                    assert_true(w->taken[waits]);
                    late++;
                    empties += w->empty[waits];
                    assert_int_equal(w->empty[waits], s->packets[waits]->spatial > 0 || s->packets[waits]->temporal > 1);
                    waits = SIZE_MAX;
                }
            }
            uint64_t number = 100;
            for (size_t i = 0; i < s->n; i++)
                if (w->taken[i])
                    assert_int_equal(w->index[i], number++); /* in the cluster's order, whenever they came */
                else if (i != waits)
                    assert_true(s->packets[i]->spatial > 0 || s->packets[i]->temporal > 1);
            close_view(w);
        }
        assert_true(empties > 0 && empties < late);
        close_stream(s);
    }
}

static void what_is_asked_for_again_is_what_was_sent(void **state)
{
    (void)state;
    for (size_t r = 0; r < DESCRIBED; r++) {
        struct stream *s = open_stream(r, true);
        struct view *w = open_view(s);
        uint32_t x = 7;
        for (size_t i = 0; i < s->n; i++) {
            if (i % 50 == 0)
                limit(w, (uint8_t)(draw(&x) % 4), (int8_t)(draw(&x) % 3));
            view_packet(w, i, NULL);
        }
        uint64_t now_us = 1000000;
        for (size_t i = 0; i < s->n; i++) {
            struct rtp_out out;
            if (!w->taken[i])
                continue;
            w->sender.budget_bytes = RTP_RESEND_BUDGET_BYTES;
            assert_true(rtp_sender_resend(&w->sender, (uint16_t)w->index[i], s->cache, 1, now_us += 100000, &out));
            assert_int_equal((uint16_t)(out.prefix[0] << 8 | out.prefix[1]), (uint16_t)w->index[i]);
            const struct packet *p = s->packets[i];
            size_t rewritten = out.prefix_len - 2;
            assert_int_equal(out.payload_len + rewritten, p->payload_len);
            assert_ptr_equal(out.payload, packet_payload(p) + rewritten);
        }
        close_view(w);
        close_stream(s);
    }
}

static void vp8_picture_ids_run_on_over_what_is_left_out(void **state)
{
    struct stream *s = open_stream(VP8_PLAIN, false);
    struct view *w = open_view(s);
    uint16_t before = 0;
    unsigned pictures = 0;

    (void)state;
    limit(w, 0, 1);
    for (size_t i = 0; i < s->n_records; i++) {
        const struct packet *p = s->packets[i];
        uint8_t payload[PACKET_PAYLOAD_MAX + 8];
        struct payload_marks m, theirs;
        struct rtp_out out;
        if (i == s->n_records / 2)
            limit(w, 0, 0);
        if (!rtp_sender_takes(&w->sender, p))
            continue;
        assert_true(rtp_sender_write(&w->sender, p, i * 1000, &out));
        memcpy(payload, out.prefix, out.prefix_len);
        memcpy(payload + out.prefix_len, out.payload, out.payload_len);
        assert_int_equal(codec_inspect(CODEC_VP8, payload, out.prefix_len + out.payload_len, &m), CODEC_OK);
        assert_int_equal(codec_inspect(CODEC_VP8, packet_payload(p), p->payload_len, &theirs), CODEC_OK);
        assert_int_equal(m.tl0picidx, theirs.tl0picidx);
        if (pictures > 0)
            assert_int_equal(m.picture_id, (before + (p->flags & PACKET_FRAME_START ? 1 : 0)) & 0x7fff);
        pictures += p->flags & PACKET_FRAME_START ? 1 : 0;
        before = m.picture_id;
    }
    assert_in_range(pictures, 10, s->n_records - 10);
    close_view(w);
    close_stream(s);
}

static void the_descriptor_says_which_targets_are_left(void **state)
{
    (void)state;
    for (size_t r = 0; r < DESCRIBED; r++) {
        struct stream *s = open_stream(r, true);
        struct view *w = open_view(s);
        struct dd_structure structure = {0};
        unsigned told = 0;
        limit(w, 0, 1);
        for (size_t i = 0; i < s->n; i++) {
            struct rtp_view v = {0};
            struct rtp_ext e;
            struct dd_frame f;
            if (i == s->n_records / 2)
                limit(w, 0, 0);
            view_packet(w, i, &v);
            if (!w->taken[i])
                continue;
            assert_true(rtp_ext_find(&e, v.ext_profile, v.ext, v.ext_len, VIEWER_DD_ID));
            assert_int_equal(dd_parse(&f, &structure, e.data, e.len), CODEC_OK);
            assert_memory_equal(&f.frame, &s->frames[i].frame, sizeof(f.frame));
            assert_int_equal(f.frame_number, s->frames[i].frame_number);
            if (!f.has_active_targets)
                continue;
            uint8_t most = (uint8_t)rtp_sender_level(&w->sender).temporal;
            told++;
            for (unsigned t = 0; t < structure.target_count; t++)
                assert_int_equal(f.active_targets >> t & 1, structure.target_spatial[t] == 0 && structure.target_temporal[t] <= most);
        }
        assert_in_range(told, 3, s->n / 2); /* both keyframes, and after the change between them */
        close_view(w);
        close_stream(s);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_and_borders_of_pictures_are_as_the_descriptors_say),
        cmocka_unit_test(vp9_payloads_tell_the_same_without_a_descriptor),
        cmocka_unit_test(vp8_payloads_tell_temporal_layers_and_where_to_go_up),
        cmocka_unit_test(h264_without_a_descriptor_has_what_nothing_refers_to_as_a_layer),
        cmocka_unit_test(every_level_can_be_decoded_and_has_no_gap),
        cmocka_unit_test(levels_change_only_where_what_follows_can_be_decoded),
        cmocka_unit_test(late_packets_have_their_numbers),
        cmocka_unit_test(what_is_asked_for_again_is_what_was_sent),
        cmocka_unit_test(vp8_picture_ids_run_on_over_what_is_left_out),
        cmocka_unit_test(the_descriptor_says_which_targets_are_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
