/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/flv_mux.h"

#include <stdlib.h>

#include "codec/depacketise.h"
#include "edge/flv_config.h"
#include "edge/flv_timeline.h"
#include "media/reorder.h"
#include "wire/amf0.h"
#include "wire/flv.h"

enum {
    VIDEO,
    AUDIO,
    MEDIA,
    OUT_FIRST_BYTES = 64 << 10,
    OUT_FLUSH_BYTES = 256 << 10, /* a chunk is not much longer: a cached GOP is muxed in one go */
    SEQUENCE_MAX_BYTES = FLV_CONFIG_MAX + 64, /* a tag */
    META_MAX_BYTES = 512,
    PICTURE_PAUSE_MS = 1000, /* pictures of more distance say nothing of the next */
    INTERVAL_WEIGHT_LOG2 = 3,
    VIDEO_SILENT_US = 3000000, /* audio goes out without a picture when none has come for so long */
};

/* What depacketising forgets about a frame. */
struct frame_facts {
    uint64_t ts_ticks, capture_us;
    int32_t cts_ticks;
};

struct mux_track {
    struct flv_mux *mux;
    bool present;
    unsigned index, layer; /* in the stream's track set */
    struct track facts;
    struct reorder order;
    struct depacketiser *frames;
    struct flv_timeline timeline;
    struct flv_config config;
    struct frame_facts newest, before; /* a packet of the next frame may be what ends a frame */
};

struct flv_mux {
    struct flv_mux_cfg cfg;
    struct mux_track tracks[MEDIA];
    bool begun;              /* base_us is set */
    bool new_epoch;          /* no frame of it was written yet */
    bool key_seen;           /* of the present video track and layer */
    bool sound_runs;         /* another layer of the same epoch: sound goes on meanwhile */
    uint64_t epoch;
    uint64_t base_us;        /* unix time of the FLV's time 0 */
    uint64_t first_audio_us; /* capture time of the first audio held back for want of a picture; 0: none */
    uint8_t *out;            /* tags since the last chunk */
    size_t out_len, out_cap;
    bool out_key;
    unsigned out_pictures;
    uint32_t out_from_ms, out_to_ms;
    uint32_t picture_ms;  /* time of the newest picture */
    uint64_t interval_us; /* from one to the next, a mean; 0: not known */
    unsigned serial;
    struct http_piece head; /* made when asked for; none: not made, or out of date */
    struct flv_mux_counters counters;
};

static void on_frame(void *arg, const struct depacketised_frame *f);

int flv_mux_create(struct flv_mux **out, const struct flv_mux_cfg *cfg)
{
    struct flv_mux *m = calloc(1, sizeof(*m));

    *out = m;
    if (!m)
        return -1;
    m->cfg = *cfg;
    for (unsigned i = 0; i < MEDIA; i++) {
        m->tracks[i].mux = m;
        reorder_init(&m->tracks[i].order, cfg->reorder_wait_us);
    }
    return 0;
}

void flv_mux_destroy(struct flv_mux **m)
{
    if (!*m)
        return;
    for (unsigned i = 0; i < MEDIA; i++) {
        reorder_fini(&(*m)->tracks[i].order);
        depacketiser_destroy(&(*m)->tracks[i].frames);
    }
    buf_unref(&(*m)->head.framed);
    free((*m)->out);
    free(*m);
    *m = NULL;
}

/* ---- Tracks ---------------------------------------------------------------------------------- */

static int find_audio(const struct track_set *set, enum codec codec, bool derived)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->v[i].codec == codec && set->v[i].derived == derived)
            return (int)i;
    return -1;
}

void flv_mux_choose(const struct track_set *set, int *video, int *audio)
{
    *video = track_set_video(set);
    *audio = find_audio(set, CODEC_AAC, false);
    if (*audio < 0)
        *audio = find_audio(set, CODEC_AAC, true);
    if (*audio < 0)
        *audio = find_audio(set, CODEC_OPUS, false);
}

static int set_track(struct flv_mux *m, unsigned medium, const struct track *t, unsigned index,
                     unsigned layer)
{
    struct mux_track *x = &m->tracks[medium];
    struct depacketiser_cfg cfg = {
        .codec = t->codec, .max_frame_bytes = 8 << 20, .on_frame = on_frame, .arg = x};

    if (codec_fourcc(t->codec) == 0)
        return -1;
    if (x->frames && x->facts.codec != t->codec)
        depacketiser_destroy(&x->frames);
    if (x->frames)
        depacketiser_reset(x->frames);
    else if (depacketiser_create(&x->frames, &cfg))
        return -1;
    reorder_reset(&x->order);
    if (medium == VIDEO && x->facts.codec != t->codec)
        x->config.len = 0;
    if (medium == AUDIO && flv_config_of_audio(&x->config, t))
        return -1;
    x->timeline.clock_hz = t->clock_hz;
    x->timeline.anchored = false;
    x->facts = *t;
    x->index = index;
    x->layer = layer;
    x->present = true;
    return 0;
}

int flv_mux_tracks(struct flv_mux *m, const struct track_set *set, int video, unsigned layer, int audio)
{
    int err = 0;

    flv_mux_flush(m);
    m->sound_runs = set->epoch == m->epoch && (m->sound_runs || (m->begun && !m->new_epoch));
    m->epoch = set->epoch;
    m->new_epoch = true;
    m->key_seen = false;
    m->first_audio_us = 0;
    m->serial++;
    buf_unref(&m->head.framed);
    for (unsigned i = 0; i < MEDIA; i++)
        m->tracks[i].present = false;
    if (video >= 0)
        err = set_track(m, VIDEO, &set->v[video], (unsigned)video, layer);
    if (!err && audio >= 0)
        err = set_track(m, AUDIO, &set->v[audio], (unsigned)audio, 0);
    return err;
}

static struct mux_track *track_of(struct flv_mux *m, unsigned track, unsigned layer)
{
    for (unsigned i = 0; i < MEDIA; i++)
        if (m->tracks[i].present && m->tracks[i].index == track && m->tracks[i].layer == layer)
            return &m->tracks[i];
    return NULL;
}

void flv_mux_start(struct flv_mux *m, unsigned track, uint64_t seq)
{
    for (unsigned i = 0; i < MEDIA; i++)
        if (m->tracks[i].present && m->tracks[i].index == track)
            reorder_start(&m->tracks[i].order, seq);
}

/* ---- Tags ------------------------------------------------------------------------------------ */

static bool out_reserve(struct flv_mux *m, size_t bytes)
{
    size_t cap = m->out_cap ? m->out_cap : OUT_FIRST_BYTES;

    if (m->out_len + bytes <= m->out_cap)
        return true;
    while (cap < m->out_len + bytes)
        cap *= 2;
    uint8_t *grown = realloc(m->out, cap);
    if (!grown)
        return false;
    m->out = grown;
    m->out_cap = cap;
    return true;
}

static int media_header_write(struct writer *w, unsigned medium, const struct flv_media *v)
{
    return medium == VIDEO ? flv_video_write(w, v) : flv_audio_write(w, v);
}

/* One tag of a track. codec: whose in-band sets are left out; CODEC_NONE copies data as it is. */
static void tag_write(struct writer *w, unsigned medium, const struct flv_media *v, enum codec codec,
                      uint32_t ts_ms)
{
    uint8_t *at = w->p;

    flv_tag_header_write(w, medium == VIDEO ? FLV_TAG_VIDEO : FLV_TAG_AUDIO, 0, ts_ms);
    uint8_t *body = w->p;
    if (media_header_write(w, medium, v))
        w->bad = true;
    flv_frame_write(w, codec, v->data, v->data_len);
    if (w->bad)
        return;
    /* How long the body is, is only known now. */
    size_t body_len = (size_t)(w->p - body);
    struct writer again = writer_init(at, FLV_TAG_HEADER_BYTES);
    flv_tag_header_write(&again, medium == VIDEO ? FLV_TAG_VIDEO : FLV_TAG_AUDIO, body_len, ts_ms);
    flv_tag_trailer_write(w, body_len);
}

static struct flv_media media_of(const struct mux_track *x)
{
    return (struct flv_media){
        .fourcc = codec_fourcc(x->facts.codec),
        .enhanced = x->facts.codec != CODEC_H264 && x->facts.codec != CODEC_AAC,
        .sound_16bit = true, /* E.4.2.1: AAC is always said to be 44.1 kHz, 16 bit, stereo */
        .sound_stereo = true,
    };
}

static void sequence_write(struct writer *w, const struct flv_mux *m, unsigned medium, uint32_t ts_ms)
{
    const struct mux_track *x = &m->tracks[medium];
    struct flv_media v = media_of(x);

    if (!x->present || x->config.len == 0)
        return;
    v.packet = FLV_PACKET_SEQUENCE_START;
    v.keyframe = medium == VIDEO;
    v.data = x->config.record;
    v.data_len = x->config.len;
    tag_write(w, medium, &v, CODEC_NONE, ts_ms);
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

static bool is_alone(const struct flv_mux *m)
{
    return m->tracks[VIDEO].present && m->key_seen && m->out_pictures == 0 &&
           (int32_t)(m->out_from_ms - m->picture_ms) > VIDEO_SILENT_US / 1000;
}

void flv_mux_flush(struct flv_mux *m)
{
    if (m->out_len == 0)
        return;
    struct flv_chunk chunk = {
        .from_ms = m->out_from_ms, .to_ms = m->out_to_ms, .key = m->out_key || !m->key_seen, .alone = is_alone(m)};
    if (http_piece_create(&chunk.piece, m->out, m->out_len) == 0) {
        m->counters.chunks++;
        m->counters.bytes += m->out_len;
        m->cfg.on_chunk(m->cfg.arg, &chunk);
    }
    m->out_len = 0;
    m->out_key = false;
    m->out_pictures = 0;
}

struct flv_gathered flv_mux_gathered(const struct flv_mux *m)
{
    return (struct flv_gathered){m->out_len, m->out_pictures, m->out_key, m->interval_us};
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* Nothing goes out before the first keyframe; audio alone when there has been no picture for long. */
static bool must_wait(struct flv_mux *m, unsigned medium, bool keyframe, uint64_t capture_us)
{
    if (!m->tracks[VIDEO].present || m->key_seen)
        return false;
    if (medium == VIDEO)
        return !keyframe;
    if (m->sound_runs)
        return false;
    if (m->first_audio_us == 0)
        m->first_audio_us = capture_us;
    return capture_us - m->first_audio_us < VIDEO_SILENT_US;
}

/* A keyframe: its parameter sets, and a chunk of its own. false: no player could begin with it. */
static bool begin_key(struct flv_mux *m, struct mux_track *x, const struct depacketised_frame *f)
{
    flv_mux_flush(m); /* with the old sequence header still in force */
    int changed = flv_config_of_keyframe(&x->config, x->facts.codec, f->data, f->len);
    if (changed < 0 || x->config.len == 0)
        return false;
    m->out_key = m->key_seen = true;
    if (changed) {
        m->serial++;
        buf_unref(&m->head.framed);
    }
    return true;
}

static void count_picture(struct flv_mux *m, uint32_t dts_ms)
{
    uint32_t since_ms = dts_ms - m->picture_ms;

    m->out_pictures++;
    m->counters.video_frames++;
    m->picture_ms = dts_ms;
    if (since_ms > PICTURE_PAUSE_MS)
        m->interval_us = 0;
    else if (m->interval_us == 0)
        m->interval_us = since_ms * (uint64_t)1000;
    else
        m->interval_us += (since_ms * (uint64_t)1000 >> INTERVAL_WEIGHT_LOG2) - (m->interval_us >> INTERVAL_WEIGHT_LOG2);
}

static void write_frame(struct flv_mux *m, struct mux_track *x, const struct depacketised_frame *f,
                        struct flv_time time)
{
    unsigned medium = x == &m->tracks[VIDEO] ? VIDEO : AUDIO;
    struct flv_media v = media_of(x);

    if (!out_reserve(m, f->len + FLV_TAG_HEADER_BYTES + FLV_MEDIA_HEADER_MAX_BYTES + FLV_TAG_TRAILER_BYTES))
        return;
    v.packet = FLV_PACKET_FRAME;
    v.data = f->data;
    v.data_len = f->len;
    v.cts_ms = time.cts_ms;
    v.keyframe = f->keyframe;
    struct writer w = writer_init(m->out + m->out_len, m->out_cap - m->out_len);
    tag_write(&w, medium, &v, x->facts.codec, time.dts_ms);
    if (w.bad)
        return;
    if (m->out_len == 0)
        m->out_from_ms = time.dts_ms;
    m->out_len += writer_len(&w);
    m->out_to_ms = time.dts_ms;
    if (medium == VIDEO)
        count_picture(m, time.dts_ms);
    else
        m->counters.audio_frames++;
    if (m->out_len > OUT_FLUSH_BYTES)
        flv_mux_flush(m);
}

/* The first frame of all decides where time 0 is; the first of a new epoch, whether its capture times go on
 * from those before (another origin may have another clock). */
static void begin_epoch(struct flv_mux *m, const struct mux_track *x, const struct frame_facts *first)
{
    uint64_t cts_us = (uint64_t)((int64_t)first->cts_ticks * 1000000 / x->facts.clock_hz);
    uint64_t dts_us = first->capture_us - cts_us, shift_us = 0;

    if (!m->begun)
        m->base_us = dts_us - FLV_FIRST_MS * 1000;
    uint64_t next_us = m->base_us + m->out_to_ms * (uint64_t)1000;
    int64_t on_us = (int64_t)(dts_us - next_us);
    if (m->begun && (on_us < -FLV_JUMP_US || on_us > FLV_EPOCH_GAP_MS * 1000))
        shift_us = next_us + FLV_STEP_US - dts_us;
    for (unsigned i = 0; i < MEDIA; i++)
        m->tracks[i].timeline.shift_us = shift_us;
    m->begun = true;
    m->new_epoch = false;
}

static void on_frame(void *arg, const struct depacketised_frame *f)
{
    struct mux_track *x = arg;
    struct flv_mux *m = x->mux;
    unsigned medium = x == &m->tracks[VIDEO] ? VIDEO : AUDIO;
    const struct frame_facts *facts = x->newest.ts_ticks == f->ts_ticks ? &x->newest : &x->before;

    if (must_wait(m, medium, f->keyframe, facts->capture_us))
        return;
    if (medium == VIDEO && f->keyframe && !begin_key(m, x, f)) {
        m->counters.damaged_frames++;
        return;
    }
    if (m->new_epoch)
        begin_epoch(m, x, facts);
    flv_timeline_us(&x->timeline, f->ts_ticks, facts->capture_us);
    write_frame(m, x, f, flv_timeline_push(&x->timeline, f->ts_ticks, facts->cts_ticks, m->base_us));
}

/* ---- Packets --------------------------------------------------------------------------------- */

static void take_ordered(struct flv_mux *m, struct mux_track *x, const struct packet *p)
{
    struct depacketise_packet d = {
        .payload = packet_payload(p),
        .len = p->flags & PACKET_PADDING ? 0 : p->payload_len,
        .ts_ticks = p->ts_ticks,
        .seq = p->seq,
        .marker = p->flags & PACKET_MARKER,
    };

    if (p->ts_ticks != x->newest.ts_ticks && d.len > 0) {
        x->before = x->newest;
        x->newest = (struct frame_facts){p->ts_ticks, p->capture_us, p->cts_ticks};
    }
    int err = depacketise_push(x->frames, &d);
    m->counters.damaged_frames += err == DEPACKETISE_DAMAGED || err == DEPACKETISE_TOO_BIG;
}

static void drain(struct flv_mux *m, struct mux_track *x, uint64_t now_us)
{
    struct packet *p;

    while ((p = reorder_pop(&x->order, now_us))) {
        take_ordered(m, x, p);
        packet_unref(&p);
    }
}

void flv_mux_push(struct flv_mux *m, const struct packet *p, uint64_t now_us)
{
    struct mux_track *x = track_of(m, p->track, p->layer);

    if (!x)
        return;
    reorder_push(&x->order, p);
    drain(m, x, now_us);
}

void flv_mux_poll(struct flv_mux *m, uint64_t now_us)
{
    for (unsigned i = 0; i < MEDIA; i++)
        if (m->tracks[i].present && now_us >= reorder_due_us(&m->tracks[i].order))
            drain(m, &m->tracks[i], now_us);
}

/* ---- Heads ----------------------------------------------------------------------------------- */

static void metadata_write(struct writer *w, const struct flv_mux *m)
{
    const struct track *v = &m->tracks[VIDEO].facts, *a = &m->tracks[AUDIO].facts;
    uint8_t bytes[META_MAX_BYTES];
    struct writer meta = writer_init(bytes, sizeof(bytes));

    amf0_write_string(&meta, "onMetaData");
    amf0_write_ecma_array_begin(&meta, 0); /* the count is a hint only */
    amf0_write_member_string(&meta, "encoder", "Millrace " MILLRACE_VERSION);
    if (m->tracks[VIDEO].present) {
        if (v->layers[m->tracks[VIDEO].layer].width) {
            amf0_write_member_number(&meta, "width", v->layers[m->tracks[VIDEO].layer].width);
            amf0_write_member_number(&meta, "height", v->layers[m->tracks[VIDEO].layer].height);
        }
        amf0_write_member_number(&meta, "videocodecid",
                                 v->codec == CODEC_H264 ? 7 : codec_fourcc(v->codec));
    }
    if (m->tracks[AUDIO].present) {
        amf0_write_member_number(&meta, "audiocodecid",
                                 a->codec == CODEC_AAC ? 10 : codec_fourcc(a->codec));
        amf0_write_member_number(&meta, "audiosamplerate", a->clock_hz);
        amf0_write_member_boolean(&meta, "stereo", a->channels == 2);
    }
    amf0_write_end(&meta);
    if (meta.bad)
        return;
    flv_tag_header_write(w, FLV_TAG_SCRIPT, writer_len(&meta), 0);
    writer_bytes(w, bytes, writer_len(&meta));
    flv_tag_trailer_write(w, writer_len(&meta));
}

static bool heads_known(const struct flv_mux *m)
{
    const struct mux_track *v = &m->tracks[VIDEO];

    return m->begun && (!v->present || v->config.len > 0 || !m->key_seen);
}

static int make_head(const struct flv_mux *m, bool whole, uint32_t ts_ms, struct http_piece *out)
{
    uint8_t bytes[2 * SEQUENCE_MAX_BYTES + META_MAX_BYTES + 64];
    struct writer w = writer_init(bytes, sizeof(bytes));

    if (whole) {
        flv_file_header_write(&w, m->tracks[AUDIO].present, m->tracks[VIDEO].present);
        metadata_write(&w, m);
    }
    sequence_write(&w, m, VIDEO, ts_ms);
    sequence_write(&w, m, AUDIO, ts_ms);
    return w.bad || writer_len(&w) == 0 ? -1 : http_piece_create(out, bytes, writer_len(&w));
}

const struct http_piece *flv_mux_head(struct flv_mux *m)
{
    if (!m->head.framed && heads_known(m) && make_head(m, true, 0, &m->head))
        m->head.framed = NULL;
    return m->head.framed ? &m->head : NULL;
}

int flv_mux_sequence(struct flv_mux *m, uint32_t ts_ms, struct http_piece *out)
{
    return heads_known(m) ? make_head(m, false, ts_ms, out) : -1;
}

unsigned flv_mux_serial(const struct flv_mux *m)
{
    return m->serial;
}

struct flv_mux_counters flv_mux_counters(const struct flv_mux *m)
{
    struct flv_mux_counters c = m->counters;

    c.lost_packets = m->tracks[VIDEO].order.lost + m->tracks[AUDIO].order.lost;
    c.resyncs = m->tracks[VIDEO].timeline.resyncs + m->tracks[AUDIO].timeline.resyncs;
    return c;
}
