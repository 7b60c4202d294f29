/* SPDX-License-Identifier: Apache-2.0
 * fuzz_rtmp_media.c - audio and video messages into packets: (type, time, 16-bit length, body)*. Packets must be whole
 * and their numbers in order. */
#include <stdlib.h>

#include "origin/rtmp_media.h"

struct publication {
    struct pool *pool;
    uint64_t next_seq[TRACKS_MAX];
    size_t n_tracks;
};

static struct publication publication;

int publish_claim(struct publication **out, struct relay *relay, const char *name, const char *kind,
                  const struct publish_ops *ops, void *arg)
{
    (void)relay;
    (void)name;
    (void)kind;
    (void)ops;
    (void)arg;
    *out = &publication;
    return 0;
}

void publish_start(struct publication *p, const struct track_set *tracks)
{
    if (tracks->n == 0 || tracks->n > TRACKS_MAX)
        abort();
    p->n_tracks = tracks->n;
    memset(p->next_seq, 0, sizeof(p->next_seq)); /* a new epoch: tracks may have changed places */
}

void publish_push(struct publication *p, struct packet *packet)
{
    uint64_t *next = &p->next_seq[packet->track];

    if (packet->track >= p->n_tracks || packet->payload_len == 0 || packet->payload_len > PACKET_PAYLOAD_MAX)
        abort();
    if (packet->seq < *next)
        abort();
    *next = packet->seq + 1;
    packet_unref(&packet);
}

struct pool *publish_pool(struct publication *p)
{
    return p->pool;
}

void publish_close(struct publication **p)
{
    *p = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_init(data, size);
    struct rtmp_media *media;
    uint64_t now_us = 1700000000000000u;

    if (!publication.pool && packet_pool_create(&publication.pool, 1 << 14))
        abort();
    memset(publication.next_seq, 0, sizeof(publication.next_seq));
    publication.n_tracks = 0;
    if (rtmp_media_create(&media, &(struct rtmp_media_cfg){.name = "live/test", .audio_transcode = true}))
        return 0;
    rtmp_media_start(media, &publication);
    while (reader_left(&in) > 0) {
        uint8_t what = reader_u8(&in);
        struct rtmp_message m = {.type = what & 1 ? RTMP_VIDEO : RTMP_AUDIO, .ts_ms = reader_u16(&in)};
        m.len = reader_u16(&in);
        if (m.len > reader_left(&in))
            m.len = reader_left(&in);
        m.body = reader_take(&in, m.len);
        now_us += 20000;
        if (what & 0x80)
            rtmp_media_poll(media);
        if (rtmp_media_push(media, &m, now_us))
            break;
    }
    rtmp_media_destroy(&media);
    return 0;
}
