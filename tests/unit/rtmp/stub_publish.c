/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/rtmp/stub_publish.h"

#include <stdlib.h>

#include "codec/depacketise.h"
#include "unit/wire/exact.h"

struct publication {
    struct relay *relay;
    const struct publish_ops *ops;
    void *arg;
    struct timer claimed;
    struct pool *pool;
    struct depacketiser *frames[TRACKS_MAX];
    uint64_t next_seq[TRACKS_MAX];
    struct stub_frame facts; /* of the frame that is under way */
};

static void answer_claim(struct timer *t, uint64_t now_us)
{
    struct publication *p = container_of(t, struct publication, claimed);

    (void)now_us;
    p->ops->on_claimed(p->arg, p->relay->answer);
}

int publish_claim(struct publication **out, struct relay *relay, const char *name, const char *kind,
                  const struct publish_ops *ops, void *arg)
{
    struct publication *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    p->relay = relay;
    p->ops = ops;
    p->arg = arg;
    assert_int_equal(packet_pool_create(&p->pool, 4096), 0);
    relay->claims++;
    relay->open = p;
    snprintf(relay->name, sizeof(relay->name), "%s", name);
    snprintf(relay->kind, sizeof(relay->kind), "%s", kind);
    if (relay->worker) {
        timer_init(&p->claimed, relay->worker, answer_claim);
        timer_start(&p->claimed, 0);
    }
    *out = p;
    return 0;
}

static void on_frame(void *arg, const struct depacketised_frame *f)
{
    struct publication *p = arg;
    struct relay *r = p->relay;
    struct stub_frame frame = p->facts;

    r->broken += f->ts_ticks != frame.ts_ticks;
    frame.data = exact_dup(f->data, f->len);
    frame.len = f->len;
    r->frames = realloc(r->frames, (r->n_frames + 1) * sizeof(*r->frames));
    assert_non_null(r->frames);
    r->frames[r->n_frames++] = frame;
}

static void close_frames(struct publication *p)
{
    for (unsigned i = 0; i < TRACKS_MAX; i++)
        depacketiser_destroy(&p->frames[i]);
}

static void changed(struct relay *r)
{
    if (r->on_change)
        r->on_change(r->arg);
}

void publish_start(struct publication *p, const struct track_set *tracks)
{
    close_frames(p);
    p->relay->starts++;
    p->relay->tracks = *tracks;
    for (unsigned i = 0; i < tracks->n; i++) {
        struct depacketiser_cfg cfg = {
            .codec = tracks->v[i].codec, .max_frame_bytes = 8 << 20, .on_frame = on_frame, .arg = p};
        if (!tracks->v[i].derived)
            assert_int_equal(depacketiser_create(&p->frames[i], &cfg), 0);
    }
    changed(p->relay);
}

static void note_facts(struct publication *p, const struct packet *packet)
{
    if (!(packet->flags & PACKET_FRAME_START))
        return;
    p->facts = (struct stub_frame){
        .track = packet->track,
        .ts_ticks = packet->ts_ticks,
        .capture_us = packet->capture_us,
        .cts_ticks = packet->cts_ticks,
        .keyframe = packet->flags & PACKET_KEYFRAME,
        .discardable = packet->flags & PACKET_DISCARDABLE,
    };
}

void publish_push(struct publication *p, struct packet *packet)
{
    struct relay *r = p->relay;

    assert_true(packet->track < r->tracks.n);
    assert_true(packet->seq >= PACKET_SEQ_FIRST);
    if (r->discards) {
        r->n_packets++;
        packet_unref(&packet);
        return;
    }
    note_facts(p, packet);
    uint64_t *next = &p->next_seq[packet->track];
    r->broken += *next != 0 && packet->seq != *next;
    r->broken += packet->ts_ticks != p->facts.ts_ticks || packet->capture_us != p->facts.capture_us;
    *next = packet->seq + 1;
    r->n_packets++;
    if (packet->payload_len > r->max_payload_bytes)
        r->max_payload_bytes = packet->payload_len;
    size_t before = r->n_frames;
    struct depacketise_packet d = {packet_payload(packet), packet->payload_len, packet->ts_ticks, packet->seq,
                                   packet->flags & PACKET_MARKER};
    r->broken += depacketise_push(p->frames[packet->track], &d) != DEPACKETISE_OK;
    r->broken += (r->n_frames > before) != ((packet->flags & PACKET_FRAME_END) != 0);
    packet_unref(&packet);
}

struct pool *publish_pool(struct publication *p)
{
    return p->pool;
}

void publish_close(struct publication **p)
{
    struct publication *gone = *p;

    *p = NULL;
    if (gone->relay->worker)
        timer_stop(&gone->claimed);
    close_frames(gone);
    pool_destroy(&gone->pool);
    gone->relay->closes++;
    if (gone->relay->open == gone)
        gone->relay->open = NULL;
    changed(gone->relay);
    free(gone);
}

void stub_revoke(struct relay *r, const char *why)
{
    r->open->ops->on_revoked(r->open->arg, why);
}

void stub_relay_fini(struct relay *r)
{
    for (size_t i = 0; i < r->n_frames; i++)
        free(r->frames[i].data);
    free(r->frames);
}
