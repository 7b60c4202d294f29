/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/transcode.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/depacketise.h"
#include "codec/packetise.h"
#include "io/job.h"
#include "media/reorder.h"
#include "origin/transcode_audio.h"
#include "origin/transcode_tracks.h"

enum {
    BATCH_FRAMES = 256, /* 5 s: of a publisher that sends faster than it plays; else one or two */
    BATCH_BYTES = 128 << 10,
    OUT_FRAMES = 2 * BATCH_FRAMES, /* Opus frames are a little shorter than AAC's; silence makes more */
    REORDER_WAIT_US = 200000,      /* for a lost packet of a WHIP publisher */
};

struct coded {
    uint64_t ts_ticks, capture_us;
    size_t at, len; /* in the batch's bytes */
};

struct coded_list {
    size_t n, bytes_len;
    struct coded v[OUT_FRAMES];
    uint8_t bytes[BATCH_BYTES];
};

/* What a job works on: nobody else touches it meanwhile. */
struct step {
    struct job job;
    struct transcode *owner;
    struct transcode_audio *engine; /* made in the pool too */
    bool warming;                   /* this job makes a new engine and nothing else */
    const struct coded *now;        /* the frame being transcoded */
    struct coded_list in, out;
    uint64_t damaged_frames, dropped_frames;
    int failed; /* a transcode_audio_err that will not go away */
};

enum phase {
    IDLE,    /* nobody wants the derived track */
    WARMING, /* the engine is being made: what comes meanwhile is left out, so that the track begins live
              * and evenly, not with a run of the past */
    GOING,
    BROKEN, /* it cannot be made; tried again when somebody new wants it */
};

struct transcode {
    struct worker *worker;
    struct router *router;
    struct pool *pool;
    struct track source, derived;
    unsigned source_index, derived_index;
    struct consumer consumer;
    struct producer producer;
    struct timer apply; /* a changed want is acted upon outside of the router's call */
    enum phase phase;
    bool wanted, busy, closed; /* busy: a job is under way */
    struct reorder order;
    struct depacketiser *frames;
    uint64_t frame_capture_us; /* of the packet that is being depacketised */
    struct packetiser packetiser;
    uint64_t next_seq;
    struct coded_list gathered; /* for the next job */
    struct step step;
    struct transcode_counters counters;
};

/* ---- In the pool ----------------------------------------------------------------------------- */

static bool list_push(struct coded_list *l, const uint8_t *data, size_t len, uint64_t ts_ticks,
                      uint64_t capture_us, size_t cap)
{
    if (l->n == cap || len > BATCH_BYTES - l->bytes_len)
        return false;
    memcpy(l->bytes + l->bytes_len, data, len);
    l->v[l->n++] = (struct coded){ts_ticks, capture_us, l->bytes_len, len};
    l->bytes_len += len;
    return true;
}

static void on_encoded(void *arg, const uint8_t *data, size_t len, uint64_t ts48_ticks)
{
    struct step *s = arg;
    int64_t after = (int64_t)(ts48_ticks - transcode_audio_ts48(s->engine, s->now->ts_ticks));
    uint64_t capture_us = s->now->capture_us + (uint64_t)(after * 1000000 / TRANSCODE_CLOCK_HZ);

    if (!list_push(&s->out, data, len, ts48_ticks, capture_us, OUT_FRAMES))
        s->dropped_frames++;
}

static int make_engine(struct step *s)
{
    const struct transcode *t = s->owner; /* its tracks do not change */
    struct transcode_audio_cfg cfg = {
        .from = t->source.codec,
        .to = t->derived.codec,
        .clock_hz = t->source.clock_hz,
        .config = t->source.config,
        .config_len = t->source.config_len,
        .on_frame = on_encoded,
        .arg = s,
    };

    transcode_audio_destroy(&s->engine);
    return transcode_audio_create(&s->engine, &cfg);
}

static void run_step(struct job *job)
{
    struct step *s = container_of(job, struct step, job);

    s->failed = s->warming ? make_engine(s) : TRANSCODE_OK;
    for (size_t i = 0; !s->failed && i < s->in.n; i++) {
        s->now = &s->in.v[i];
        int err = transcode_audio_push(s->engine, s->in.bytes + s->now->at, s->now->len, s->now->ts_ticks);
        if (err == TRANSCODE_ERR_FRAME)
            s->damaged_frames++;
        else
            s->failed = err;
    }
}

/* ---- Back on the worker ---------------------------------------------------------------------- */

static void send_frame(struct transcode *t, const struct coded *c, const uint8_t *data)
{
    struct packetise_frame frame = {.data = data, .len = c->len, .keyframe = true};
    int flags = PACKET_FRAME_START | PACKET_KEYFRAME;
    bool last = false;

    if (packetise_begin(&t->packetiser, &frame))
        return;
    while (!last) {
        struct packet *p = packet_create(t->pool);
        uint64_t seq = t->next_seq++;
        if (!p) {
            t->counters.dropped_frames++;
            return;
        }
        p->payload_len = (uint16_t)packetise_next(&t->packetiser, p->bytes, PACKET_PAYLOAD_MAX, &last);
        p->seq = seq;
        p->ts_ticks = c->ts_ticks;
        p->capture_us = c->capture_us;
        p->track = (uint8_t)t->derived_index;
        if (last)
            flags |= PACKET_FRAME_END | (t->derived.codec == CODEC_OPUS ? 0 : PACKET_MARKER);
        p->flags = (uint8_t)flags;
        flags &= ~PACKET_FRAME_START;
        last |= p->payload_len == 0;
        t->counters.packets_out++;
        router_push(t->router, p);
    }
}

static void start_step(struct transcode *t);

static void transcode_free(struct transcode *t)
{
    transcode_audio_destroy(&t->step.engine);
    depacketiser_destroy(&t->frames);
    reorder_fini(&t->order);
    free(t);
}

static void note_step(struct transcode *t)
{
    struct step *s = &t->step;

    t->counters.damaged_frames += s->damaged_frames;
    t->counters.dropped_frames += s->dropped_frames;
    s->damaged_frames = s->dropped_frames = 0;
    if (s->engine) {
        t->counters.resets = transcode_audio_resets(s->engine);
        t->counters.silence_ticks = transcode_audio_silence(s->engine);
    }
    if (s->failed)
        log_error("transcode", "%s to %s does not work (%d) stream=%s", codec_name(t->source.codec),
                  codec_name(t->derived.codec), s->failed, router_name(t->router));
    if (s->failed && t->phase != IDLE)
        t->phase = BROKEN;
    else if (s->warming && t->phase == WARMING)
        t->phase = GOING;
}

static void on_step_done(struct job *job)
{
    struct transcode *t = container_of(job, struct step, job)->owner;

    t->busy = false;
    if (t->closed) {
        transcode_free(t);
        return;
    }
    note_step(t);
    for (size_t i = 0; t->phase == GOING && i < t->step.out.n; i++)
        send_frame(t, &t->step.out.v[i], t->step.out.bytes + t->step.out.v[i].at);
    start_step(t);
}

static bool something_to_do(const struct transcode *t)
{
    return t->phase == WARMING || (t->phase == GOING && t->gathered.n > 0);
}

/* The next job, when none is under way. */
static void start_step(struct transcode *t)
{
    struct step *s = &t->step;

    if (t->busy || !something_to_do(t))
        return;
    s->warming = t->phase == WARMING; /* then nothing is gathered */
    s->in.n = t->gathered.n;
    s->in.bytes_len = t->gathered.bytes_len;
    memcpy(s->in.v, t->gathered.v, t->gathered.n * sizeof(s->in.v[0]));
    memcpy(s->in.bytes, t->gathered.bytes, t->gathered.bytes_len);
    t->gathered.n = t->gathered.bytes_len = 0;
    s->out.n = s->out.bytes_len = 0;
    if (job_start(t->worker, &s->job))
        t->counters.dropped_frames += s->in.n;
    else
        t->busy = true;
}

/* ---- The source ------------------------------------------------------------------------------ */

static void on_source_frame(void *arg, const struct depacketised_frame *f)
{
    struct transcode *t = arg;

    if (t->phase != GOING)
        return;
    t->counters.frames_in++;
    if (!list_push(&t->gathered, f->data, f->len, f->ts_ticks, t->frame_capture_us, BATCH_FRAMES))
        t->counters.dropped_frames++;
}

static void take_ordered(struct transcode *t, const struct packet *p)
{
    struct depacketise_packet d = {
        .payload = packet_payload(p),
        .len = p->flags & PACKET_PADDING ? 0 : p->payload_len,
        .ts_ticks = p->ts_ticks,
        .seq = p->seq,
        .marker = p->flags & PACKET_MARKER,
    };

    t->frame_capture_us = p->capture_us;
    int err = depacketise_push(t->frames, &d);
    t->counters.damaged_frames += err == DEPACKETISE_DAMAGED;
}

static void on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct transcode *t = container_of(c, struct transcode, consumer);
    uint64_t now_us = worker_now_us(t->worker);
    struct packet *p;

    if (t->phase == IDLE)
        return;
    for (size_t i = 0; i < b->n; i++) {
        if (b->v[i]->track != t->source_index)
            continue;
        reorder_push(&t->order, b->v[i]);
        while ((p = reorder_pop(&t->order, now_us))) {
            take_ordered(t, p);
            packet_unref(&p);
        }
    }
    start_step(t);
}

static void on_tracks(struct consumer *c, const struct track_set *tracks)
{
    (void)c; /* made for one epoch: whoever opened it closes it at the next */
    (void)tracks;
}

static void on_end(struct consumer *c, enum stream_end why)
{
    (void)c;
    (void)why;
}

static const struct consumer_ops consumer_ops = {
    .on_tracks = on_tracks, .on_packets = on_packets, .on_end = on_end};

/* ---- Wants ----------------------------------------------------------------------------------- */

static void apply_want(struct timer *timer, uint64_t now_us)
{
    struct transcode *t = container_of(timer, struct transcode, apply);

    (void)now_us;
    if (t->wanted == (t->phase != IDLE))
        return;
    t->phase = t->wanted ? WARMING : IDLE;
    t->gathered.n = t->gathered.bytes_len = 0;
    log_info("transcode", "%s to %s %s stream=%s", codec_name(t->source.codec),
             codec_name(t->derived.codec), t->wanted ? "starts" : "stops, nobody wants it",
             router_name(t->router));
    consumer_want(&t->consumer, t->wanted ? want_bit(t->source_index, 0) : 0);
    if (!t->wanted)
        return;
    t->counters.starts++;
    reorder_reset(&t->order);
    depacketiser_reset(t->frames);
    start_step(t);
}

static void on_want(struct producer *p, uint64_t want)
{
    struct transcode *t = container_of(p, struct transcode, producer);

    t->wanted = (want & want_track(t->derived_index)) != 0;
    if (t->wanted != (t->phase != IDLE))
        timer_start(&t->apply, 0);
}

static void on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p; /* every frame of audio is one */
    (void)track;
    (void)layer;
}

static const struct producer_ops producer_ops = {.on_want = on_want, .on_keyframe = on_keyframe};

/* ---- Life ------------------------------------------------------------------------------------ */

static int prepare(struct transcode *t)
{
    struct depacketiser_cfg frames = {.codec = t->source.codec, .on_frame = on_source_frame, .arg = t};

    reorder_init(&t->order, REORDER_WAIT_US);
    if (packetiser_init(&t->packetiser, &(struct packetiser_cfg){.codec = t->derived.codec}))
        return -1;
    return depacketiser_create(&t->frames, &frames) ? -1 : 0;
}

int transcode_open(struct transcode **out, const struct transcode_cfg *cfg)
{
    const struct track_set *tracks = router_tracks(cfg->router);
    struct transcode *t = calloc(1, sizeof(*t));

    *out = NULL;
    if (!t)
        return -1;
    t->router = cfg->router;
    t->worker = router_worker(cfg->router);
    t->pool = cfg->pool;
    t->source_index = cfg->source;
    t->derived_index = cfg->derived;
    t->source = tracks->v[cfg->source];
    t->derived = tracks->v[cfg->derived];
    t->next_seq = PACKET_SEQ_FIRST;
    t->step.owner = t;
    t->step.job = (struct job){.run = run_step, .on_done = on_step_done};
    t->consumer = (struct consumer){.ops = &consumer_ops, .kind = "transcode"};
    t->producer = (struct producer){.ops = &producer_ops, .kind = "transcode"};
    timer_init(&t->apply, t->worker, apply_want);
    if (prepare(t)) {
        transcode_free(t);
        return -1;
    }
    router_attach(t->router, &t->consumer, 0);
    router_add_producer(t->router, &t->producer);
    *out = t;
    return 0;
}

void transcode_close(struct transcode **t)
{
    struct transcode *gone = *t;

    *t = NULL;
    if (!gone)
        return;
    timer_stop(&gone->apply);
    router_unpublish(&gone->producer, STREAM_UNPUBLISHED, true);
    router_detach(&gone->consumer);
    gone->closed = true;
    if (!gone->busy)
        transcode_free(gone);
}

bool transcode_running(const struct transcode *t)
{
    return t->phase == GOING;
}

void transcode_counters(const struct transcode *t, struct transcode_counters *out)
{
    *out = t->counters;
    out->frames_waiting = t->gathered.n + (t->busy ? t->step.in.n : 0);
}
