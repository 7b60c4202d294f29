/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp_media.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "origin/transcode_tracks.h"

enum { VIDEO, AUDIO, MEDIA };

/* A frame that waits for the announcement. */
struct held {
    struct list link;
    unsigned medium;
    struct rtmp_frame frame; /* data points behind this struct */
    uint8_t bytes[];
};

struct rtmp_media {
    struct rtmp_media_cfg cfg;
    struct publication *publication; /* NULL until the claim is granted */
    struct rtmp_clock clock;
    struct rtmp_track tracks[MEDIA];
    bool expected[MEDIA]; /* onMetaData says so, or says nothing */
    bool frame_seen[MEDIA];
    bool waiting, wait_asked, wait_over;
    bool announced;
    bool b_frames;
    unsigned changes; /* announcements anew, less those that time has forgiven */
    uint64_t forgiven_us;
    struct list held;
    size_t held_bytes, held_frames;
    uint64_t held_dropped;
};

int rtmp_media_create(struct rtmp_media **out, const struct rtmp_media_cfg *cfg)
{
    struct rtmp_media *m = calloc(1, sizeof(*m));

    *out = m;
    if (!m)
        return RTMP_MEDIA_ERR_MEMORY;
    m->cfg = *cfg;
    list_init(&m->held);
    for (unsigned i = 0; i < MEDIA; i++) {
        rtmp_track_init(&m->tracks[i]);
        m->expected[i] = true;
    }
    return RTMP_MEDIA_OK;
}

static void held_drop(struct rtmp_media *m, struct held *h)
{
    list_remove(&h->link);
    m->held_bytes -= h->frame.len;
    m->held_frames--;
    free(h);
}

void rtmp_media_destroy(struct rtmp_media **m)
{
    if (!*m)
        return;
    list_for_each(it, &(*m)->held)
        held_drop(*m, container_of(it, struct held, link));
    for (unsigned i = 0; i < MEDIA; i++)
        rtmp_track_fini(&(*m)->tracks[i]);
    free(*m);
    *m = NULL;
}

/* ---- Announcing ------------------------------------------------------------------------------ */

static void announce(struct rtmp_media *m)
{
    struct track_set set = {0};

    for (unsigned i = 0; i < MEDIA; i++) {
        struct rtmp_track *t = &m->tracks[i];
        if (!t->configured)
            continue;
        t->index = (uint8_t)set.n;
        t->facts.b_frames = i == VIDEO && m->b_frames;
        set.v[set.n++] = t->facts;
    }
    m->announced = true;
    if (m->cfg.audio_transcode)
        transcode_derive_tracks(&set);
    log_info("rtmp", "publishing stream=%s video=%s %ux%u audio=%s %u Hz%s", m->cfg.name,
             codec_name(m->tracks[VIDEO].facts.codec), m->tracks[VIDEO].facts.layers[0].width,
             m->tracks[VIDEO].facts.layers[0].height, codec_name(m->tracks[AUDIO].facts.codec),
             m->tracks[AUDIO].facts.clock_hz,
             m->b_frames ? ": has B-frames, WebRTC viewers will see it jump" : "");
    publish_start(m->publication, &set);
}

static bool complete(const struct rtmp_media *m)
{
    bool all = true, any = false;

    for (unsigned i = 0; i < MEDIA; i++) {
        bool known = m->tracks[i].configured && (i == AUDIO || m->frame_seen[i]);
        all &= known || !m->expected[i];
        any |= m->tracks[i].configured;
    }
    return any && (all || m->wait_over);
}

static void send_frame(struct rtmp_media *m, unsigned medium, const struct rtmp_frame *f)
{
    if (rtmp_track_push(&m->tracks[medium], f, &m->clock, m->publication))
        LOG_LIMITED("rtmp", "damaged frame left out stream=%s codec=%s bytes=%zu", m->cfg.name,
                    codec_name(m->tracks[medium].facts.codec), f->len);
}

/* Announces when it is time to, then lets the held frames go. */
static void settle(struct rtmp_media *m)
{
    if (!m->publication || m->announced || !complete(m))
        return;
    announce(m);
    list_for_each(it, &m->held) {
        struct held *h = container_of(it, struct held, link);
        if (m->tracks[h->medium].configured)
            send_frame(m, h->medium, &h->frame);
        else
            m->held_dropped++;
        held_drop(m, h);
    }
}

void rtmp_media_start(struct rtmp_media *m, struct publication *p)
{
    m->publication = p;
    settle(m);
}

void rtmp_media_metadata(struct rtmp_media *m, const struct rtmp_metadata *metadata)
{
    if (!metadata->known || (!metadata->video && !metadata->audio))
        return; /* says nothing: both may come */
    m->expected[VIDEO] = metadata->video;
    m->expected[AUDIO] = metadata->audio;
}

bool rtmp_media_waits(struct rtmp_media *m)
{
    bool ask = m->waiting && !m->wait_asked;

    m->wait_asked |= ask;
    return ask;
}

void rtmp_media_poll(struct rtmp_media *m)
{
    m->wait_over = true;
    settle(m);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static int hold(struct rtmp_media *m, unsigned medium, const struct rtmp_frame *f)
{
    if (m->held_bytes + f->len > RTMP_HELD_MAX_BYTES || m->held_frames == RTMP_HELD_MAX_FRAMES) {
        m->held_dropped++;
        return RTMP_MEDIA_OK;
    }
    struct held *h = malloc(sizeof(*h) + f->len);
    if (!h)
        return RTMP_MEDIA_ERR_MEMORY;
    h->medium = medium;
    h->frame = *f;
    h->frame.data = h->bytes;
    memcpy(h->bytes, f->data, f->len);
    list_push_back(&m->held, &h->link);
    m->held_bytes += f->len;
    m->held_frames++;
    return RTMP_MEDIA_OK;
}

static bool same_record(const struct track *a, const struct track *b)
{
    return a->config_len == b->config_len && (a->config_len == 0 || memcmp(a->config, b->config, a->config_len) == 0);
}

/* Video's parameters go in-band; another codec, clock or configuration of audio, or a track more, is another set of tracks. */
static bool is_another(const struct track *before, const struct track *now)
{
    return before->codec != now->codec || before->clock_hz != now->clock_hz ||
           (codec_kind(now->codec) == CODEC_KIND_AUDIO && !same_record(before, now));
}

static int announce_anew(struct rtmp_media *m, uint64_t unix_us)
{
    uint64_t passed = (unix_us - m->forgiven_us) / RTMP_CHANGE_US;

    if (passed) {
        m->changes = passed < m->changes ? m->changes - (unsigned)passed : 0;
        m->forgiven_us = unix_us;
    }
    if (m->changes++ == RTMP_CHANGES_MAX)
        return RTMP_MEDIA_ERR_RESTLESS;
    announce(m);
    return RTMP_MEDIA_OK;
}

static int configure(struct rtmp_media *m, unsigned medium, const struct flv_media *v, uint64_t unix_us)
{
    struct rtmp_track *t = &m->tracks[medium];
    const struct track before = t->facts;
    int err = rtmp_track_configure(t, v);

    if (err)
        return err == CODEC_ERR_SUPPORT  ? RTMP_MEDIA_ERR_CODEC
               : err == CODEC_ERR_MEMORY ? RTMP_MEDIA_ERR_MEMORY
                                         : RTMP_MEDIA_ERR_SYNTAX;
    return m->announced && is_another(&before, &t->facts) ? announce_anew(m, unix_us) : RTMP_MEDIA_OK;
}

static void note_reordering(struct rtmp_media *m, const struct rtmp_frame *f)
{
    if (m->b_frames || !rtmp_frame_reordered(f))
        return;
    m->b_frames = true;
    if (m->announced)
        log_warn("rtmp",
                 "B-frames begin in the middle of the stream, WebRTC viewers will see it jump stream=%s",
                 m->cfg.name);
}

/* Only frames move the clock: encoders send sequence headers with time 0, whatever frames begin with. */
static int take_frame(struct rtmp_media *m, unsigned medium, const struct flv_media *v, uint32_t ts_ms,
                      uint64_t unix_us)
{
    struct rtmp_frame f = {
        .data = v->data,
        .len = v->data_len,
        .media_ms = rtmp_clock_push(&m->clock, ts_ms, unix_us),
        .cts_ms = v->cts_ms,
        .nano_offset = v->nano_offset,
        .keyframe = v->keyframe,
    };

    if (f.len == 0)
        return RTMP_MEDIA_OK;
    if (medium == VIDEO)
        note_reordering(m, &f);
    m->frame_seen[medium] = true;
    if (m->announced) {
        send_frame(m, medium, &f);
        return RTMP_MEDIA_OK;
    }
    int err = hold(m, medium, &f);
    settle(m);
    return err;
}

static int media_err(int flv)
{
    switch (flv) {
    case FLV_ERR_CODEC:
    case FLV_ERR_PACKET_TYPE:
    case FLV_ERR_MULTITRACK:
        return RTMP_MEDIA_ERR_CODEC;
    default:
        return RTMP_MEDIA_ERR_SYNTAX;
    }
}

int rtmp_media_push(struct rtmp_media *m, const struct rtmp_message *msg, uint64_t unix_us)
{
    unsigned medium = msg->type == RTMP_VIDEO ? VIDEO : AUDIO;
    struct flv_media v;

    if (msg->len == 0)
        return RTMP_MEDIA_OK; /* a keep-alive of some encoders */
    int err = medium == VIDEO ? flv_video_parse(&v, msg->body, msg->len)
                              : flv_audio_parse(&v, msg->body, msg->len);
    if (err)
        return media_err(err);
    m->waiting = true;
    m->expected[medium] = true;
    bool headerless = v.fourcc == FLV_VP09 || v.fourcc == FLV_OPUS;
    bool fresh =
        !m->tracks[medium].configured || m->tracks[medium].facts.codec != codec_of_fourcc(v.fourcc);
    if (v.packet == FLV_PACKET_SEQUENCE_START || (v.packet == FLV_PACKET_FRAME && headerless && fresh))
        err = configure(m, medium, &v, unix_us);
    if (err)
        return err;
    if (v.packet == FLV_PACKET_FRAME && m->tracks[medium].facts.codec == codec_of_fourcc(v.fourcc))
        return take_frame(m, medium, &v, msg->ts_ms, unix_us);
    m->held_dropped += v.packet == FLV_PACKET_FRAME; /* its sequence header never came */
    settle(m);
    return RTMP_MEDIA_OK;
}

/* ---- Statistics ------------------------------------------------------------------------------ */

void rtmp_media_facts(const struct rtmp_media *m, struct rtmp_media_facts *out)
{
    const struct rtmp_track *v = &m->tracks[VIDEO], *a = &m->tracks[AUDIO];

    *out = (struct rtmp_media_facts){
        .announced = m->announced,
        .video_codec = v->facts.codec,
        .audio_codec = a->facts.codec,
        .width = v->facts.layers[0].width,
        .height = v->facts.layers[0].height,
        .b_frames = m->b_frames,
        .video_frames = v->frames,
        .video_keyframes = v->keyframes,
        .audio_frames = a->frames,
        .packets = v->packets + a->packets,
        .bytes = v->bytes + a->bytes,
        .dropped_frames = v->dropped_frames + a->dropped_frames + m->held_dropped,
        .clock_jumps = m->clock.jumps,
        .clock_reanchors = m->clock.reanchors,
        .audio_resyncs = a->audio_clock.resyncs,
    };
}
