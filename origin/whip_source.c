/* SPDX-License-Identifier: Apache-2.0
 * whip_source.c - one incoming RTP stream into packets; see whip_source.h. */
#include "origin/whip_source.h"

#include "base/log.h"
#include "codec/h264.h"

#include <string.h>

_Static_assert(65536 % WHIP_RECENT == 0, "numbers wrap on the ring's border");

/* ---- Life -------------------------------------------------------------------------------------- */

void whip_source_init(struct whip_source *s, const struct whip_track_cfg *cfg, const char *rid, const char *stream,
                      uint64_t now_us)
{
    memset(s, 0, sizeof(*s));
    s->cfg = cfg;
    s->rid = rid;
    s->stream = stream;
    s->keyframe_us = now_us;
}

static void on_give_up(void *arg, uint64_t first, uint64_t last, size_t n)
{
    struct whip_source *s = arg;

    (void)first, (void)last, (void)n;
    s->want_keyframe = s->cfg->pli;
}

void whip_source_start(struct whip_source *s, uint32_t ssrc, struct rtp_clock *clock)
{
    struct rtp_receiver_cfg cfg = {.ssrc = ssrc, .clock_hz = s->cfg->facts.clock_hz, .clock = clock,
                                   .nack = {.on_give_up = on_give_up, .arg = s}, .no_nack = !s->cfg->nack};

    rtp_receiver_init(&s->receiver, &cfg);
    memset(s->recent, 0, sizeof(s->recent));
    memset(s->key_ts, 0, sizeof(s->key_ts));
    s->newest_ts = 0;
    s->dd.valid = false;
    s->mixed_frames = false;
    s->has_source = true;
}

void whip_source_start_rtx(struct whip_source *s, uint32_t ssrc, struct rtp_clock *clock)
{
    struct rtp_receiver_cfg cfg = {
        .ssrc = ssrc, .clock_hz = s->cfg->facts.clock_hz, .clock = clock, .no_nack = true};

    rtp_receiver_init(&s->rtx_receiver, &cfg);
    s->has_rtx_source = true;
}

struct whip_media_counters whip_source_counters(const struct whip_source *s)
{
    struct whip_media_counters c = s->counters;

    if (!s->has_source)
        return c;
    c.lost += rtp_receiver_lost(&s->receiver);
    c.recovered += s->receiver.nack.counters.recovered;
    return c;
}

/* ---- The picture's size ------------------------------------------------------------------------ */

/* The SPS of a single NAL unit packet, or of an aggregate that begins with one (RFC 6184 s5.6, s5.7.1). */
static bool find_sps(const struct rtp_view *v, struct nal *out)
{
    struct reader r = reader_init(v->payload, v->payload_len);
    struct nal whole = {v->payload, v->payload_len};

    if (h264_nal_type(whole) == H264_NAL_STAP_A) {
        reader_take(&r, 1);
        size_t len = reader_u16(&r);
        whole = (struct nal){reader_take(&r, len), len};
        if (r.bad || len == 0)
            return false;
    }
    *out = whole;
    return h264_nal_type(whole) == H264_NAL_SPS;
}

void whip_source_note_size(struct whip_source *s, const struct rtp_view *v, const struct payload_marks *marks)
{
    struct sps_info info;
    struct nal sps;

    if (marks->width && marks->height) {
        s->width = marks->width;
        s->height = marks->height;
    } else if (s->cfg->facts.codec == CODEC_H264 && marks->parameter_sets && find_sps(v, &sps) &&
               h264_sps_parse(&info, sps) == CODEC_OK && info.width <= UINT16_MAX && info.height <= UINT16_MAX) {
        s->width = (uint16_t)info.width;
        s->height = (uint16_t)info.height;
    }
}

/* ---- Where frames begin, and which are keyframes ----------------------------------------------- */

/* For H.264, H.265 and AV1 the payload alone does not tell the first packet of a frame for certain: the
 * packet before it does, by its timestamp. Where that one is missing, the payload's word counts. */
static bool starts_frame(const struct whip_source *s, const struct packet *p, bool may_start)
{
    const struct whip_recent *before = &s->recent[(p->seq - 1) % WHIP_RECENT];

    if (s->cfg->facts.codec == CODEC_VP8 || s->cfg->facts.codec == CODEC_VP9)
        return may_start;
    if (before->seq != p->seq - 1)
        return may_start;
    return before->ts_ticks != p->ts_ticks;
}

/* The marker belongs to the packet's frame; VP9's layer frames end by their own mark (inspect.h). */
static bool ends_frame(const struct whip_source *s, const struct payload_marks *marks, bool marker)
{
    return s->cfg->facts.codec == CODEC_VP9 ? marks->frame_end || marker : marker;
}

static bool of_keyframe(const struct whip_source *s, uint64_t ts_ticks)
{
    for (size_t i = 0; i < WHIP_KEY_FRAMES; i++)
        if (s->key_ts[i] == ts_ticks)
            return true;
    return false;
}

/* Only the first packets of a keyframe tell that it is one; the others are known by the timestamp. */
static bool note_keyframe(struct whip_source *s, uint64_t ts_ticks, bool told, uint64_t now_us)
{
    bool known = of_keyframe(s, ts_ticks);

    if (!told || known)
        return known;
    s->key_ts[s->next_key++ % WHIP_KEY_FRAMES] = ts_ticks;
    s->keyframe_us = now_us;
    s->want_keyframe = false;
    s->counters.keyframes++;
    return true;
}

/* In WebRTC frames come in the order of presentation. */
static void watch_b_frames(struct whip_source *s, uint64_t ts_ticks)
{
    if (ts_ticks >= s->newest_ts) {
        s->newest_ts = ts_ticks;
        return;
    }
    if (s->b_frames)
        return;
    s->b_frames = true;
    log_warn("whip", "the video has B-frames: WebRTC viewers will see it jump; turn them off stream=%s",
             s->stream);
}

/* VP9's U speaks of the layers above its own (RFC 9628 s4.2), VP8's Y and H.265's TSA of their own. */
static uint8_t switch_flag(enum codec codec, const struct payload_marks *marks)
{
    if (!marks->switch_up)
        return 0;
    if (codec == CODEC_VP9)
        return PACKET_SWITCH_UP;
    return marks->temporal_id > 0 ? PACKET_LAYER_SYNC : 0;
}

/* H.264 frames that nothing refers to are a temporal layer of their own, if the packets tell (RFC 6184 s5.3): not where a frame's
 * SEI travels alone and would be left over. */
static void mark_unreferenced(struct whip_source *s, struct packet *p, bool start, bool discardable)
{
    const struct whip_recent *before = &s->recent[(p->seq - 1) % WHIP_RECENT];

    if (s->cfg->facts.codec != CODEC_H264 || !discardable)
        return;
    if (!start && before->seq == p->seq - 1 && !before->discardable)
        s->mixed_frames = true;
    if (s->mixed_frames)
        return;
    p->temporal = 1;
    p->flags |= PACKET_LAYER_SYNC;
}

static void mark_video(struct whip_source *s, struct packet *p,
                       const struct payload_marks *marks, bool late, uint64_t now_us)
{
    bool marker = p->flags & PACKET_MARKER, start = starts_frame(s, p, marks->frame_start);

    p->flags |=
        (uint8_t)((start ? PACKET_FRAME_START : 0) | (ends_frame(s, marks, marker) ? PACKET_FRAME_END : 0) |
                  (note_keyframe(s, p->ts_ticks, marks->keyframe, now_us) ? PACKET_KEYFRAME : 0) |
                  (marks->discardable ? PACKET_DISCARDABLE : 0) | switch_flag(s->cfg->facts.codec, marks));
    p->spatial = marks->spatial_id;
    p->temporal = marks->temporal_id;
    mark_unreferenced(s, p, start, marks->discardable);
    s->counters.frames += start;
    if (start && !late)
        watch_b_frames(s, p->ts_ticks);
}

/* AV1 RTP specification A.4: "switch" for a target means that all of the target's frames after this one can be decoded. */
static bool descriptor_switches_up(const struct whip_source *s, const struct dd_frame *f)
{
    bool any = false;

    for (unsigned i = 0; i < s->dd.target_count; i++) {
        if (s->dd.target_spatial[i] != f->frame.spatial_id || s->dd.target_temporal[i] <= f->frame.temporal_id)
            continue;
        if (f->frame.dti[i] != DD_SWITCH)
            return false;
        any = true;
    }
    return any;
}

/* What the AV1 dependency descriptor says is certain, whatever the codec. Its frames are those of one spatial layer. */
static void mark_by_descriptor(struct whip_source *s, struct packet *p, const struct rtp_ext *ext,
                               uint64_t now_us)
{
    const struct whip_recent *before = &s->recent[(p->seq - 1) % WHIP_RECENT];
    struct dd_frame f;

    if (dd_parse(&f, &s->dd, ext->data, ext->len) != CODEC_OK)
        return; /* no structure yet, or damaged: the payload's word stands */
    bool start = f.start_of_frame && (before->seq == p->seq - 1 ? before->ts_ticks != p->ts_ticks : f.frame.spatial_id == 0);
    p->flags &= (uint8_t)~(PACKET_FRAME_START | PACKET_FRAME_END | PACKET_SWITCH_UP | PACKET_LAYER_SYNC);
    p->flags |= (uint8_t)((start ? PACKET_FRAME_START : 0) | (f.end_of_frame ? PACKET_FRAME_END : 0) |
                          (descriptor_switches_up(s, &f) ? PACKET_SWITCH_UP : 0));
    if (note_keyframe(s, p->ts_ticks, f.has_structure, now_us))
        p->flags |= PACKET_KEYFRAME;
    p->spatial = f.frame.spatial_id;
    p->temporal = f.frame.temporal_id;
}

/* ---- Header extensions ------------------------------------------------------------------------- */

/* What means something beyond this hop, and its id inside the cluster. */
static const struct {
    enum rtp_ext_kind kind;
    enum packet_ext_id id;
} carried[] = {
    {RTP_EXT_AUDIO_LEVEL, PACKET_EXT_AUDIO_LEVEL},
    {RTP_EXT_VIDEO_ORIENTATION, PACKET_EXT_VIDEO_ORIENTATION},
    {RTP_EXT_PLAYOUT_DELAY, PACKET_EXT_PLAYOUT_DELAY},
    {RTP_EXT_DEPENDENCY_DESCRIPTOR, PACKET_EXT_DEPENDENCY},
};

static enum packet_ext_id cluster_id(const struct whip_source *s, uint8_t id)
{
    for (size_t i = 0; i < LEN(carried); i++)
        if (s->cfg->ext_id[carried[i].kind] == id)
            return carried[i].id;
    return 0;
}

/* packet.h: elements as (id, length, data); a set that does not fit is dropped whole. */
static void copy_extensions(const struct whip_source *s, const struct rtp_view *v, struct packet *p)
{
    struct rtp_ext_iter it = rtp_ext_iter_init(v->ext_profile, v->ext, v->ext_len);
    struct writer w = writer_init(p->bytes, PACKET_EXT_MAX);
    struct rtp_ext ext;

    while (v->ext_len && rtp_ext_next(&it, &ext)) {
        enum packet_ext_id id = cluster_id(s, ext.id);

        if (!id)
            continue;
        writer_u8(&w, (uint8_t)id);
        writer_u8(&w, ext.len);
        writer_bytes(&w, ext.data, ext.len);
    }
    p->ext_len = w.bad ? 0 : (uint8_t)writer_len(&w);
}

bool whip_find_extension(const struct whip_track_cfg *cfg, const struct rtp_view *v, enum rtp_ext_kind kind,
                         struct rtp_ext *out)
{
    uint8_t id = cfg->ext_id[kind];

    return id && v->ext_len && rtp_ext_find(out, v->ext_profile, v->ext, v->ext_len, id);
}

/* ---- A packet ---------------------------------------------------------------------------------- */

void whip_source_fill(struct whip_source *s, const struct rtp_view *v, const struct rtp_arrival *a,
                      const struct payload_marks *marks, struct packet *p, uint64_t now_us)
{
    struct rtp_ext descriptor;

    p->seq = a->seq;
    p->ts_ticks = a->ts_ticks;
    p->capture_us = a->capture_us;
    p->track = s->cfg->index;
    p->layer = s->layer;
    p->flags = v->marker ? PACKET_MARKER : 0;
    copy_extensions(s, v, p);
    p->payload_len = (uint16_t)v->payload_len;
    if (v->payload_len)
        memcpy(p->bytes + p->ext_len, v->payload, v->payload_len);
    if (!marks)
        p->flags |= PACKET_PADDING;
    else if (codec_kind(s->cfg->facts.codec) == CODEC_KIND_AUDIO)
        p->flags |= PACKET_FRAME_START | PACKET_FRAME_END | PACKET_KEYFRAME;
    else
        mark_video(s, p, marks, a->late, now_us);
    if (marks && whip_find_extension(s->cfg, v, RTP_EXT_DEPENDENCY_DESCRIPTOR, &descriptor))
        mark_by_descriptor(s, p, &descriptor, now_us);
    s->recent[p->seq % WHIP_RECENT] = (struct whip_recent){
        .seq = p->seq, .ts_ticks = p->ts_ticks, .discardable = p->flags & PACKET_DISCARDABLE};
}
