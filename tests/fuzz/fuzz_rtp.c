/* SPDX-License-Identifier: Apache-2.0
 * fuzz_rtp.c - RTP headers and extension elements; what parses is written again and must read the same. */
#include <stdlib.h>

#include "wire/demux.h"
#include "wire/rtp_ext.h"
#include "wire/rtp_view.h"
#include "wire/rtp_write.h"

static void read_values(const struct rtp_ext *e)
{
    uint32_t send_time;
    uint16_t seq;
    struct rtp_audio_level level;
    struct rtp_video_orientation turn;
    struct rtp_playout_delay delay;
    struct rtp_abs_capture_time capture;

    rtp_ext_abs_send_time_parse(&send_time, e->data, e->len);
    rtp_ext_transport_cc_parse(&seq, e->data, e->len);
    rtp_ext_audio_level_parse(&level, e->data, e->len);
    rtp_ext_video_orientation_parse(&turn, e->data, e->len);
    rtp_ext_playout_delay_parse(&delay, e->data, e->len);
    rtp_ext_abs_capture_time_parse(&capture, e->data, e->len);
    rtp_ext_kind_of_uri((const char *)e->data, e->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtp_view v, back;
    struct rtp_ext e;
    uint8_t out[4096];

    demux_datagram(data, size);
    if (rtp_view_parse(&v, data, size))
        return 0;
    struct rtp_ext_iter it = rtp_ext_iter_init(v.ext_profile, v.ext, v.ext_len);
    struct rtp_ext_writer w = rtp_ext_writer_init(out, sizeof(out), it.two_byte);
    while (rtp_ext_next(&it, &e)) {
        read_values(&e);
        rtp_ext_write(&w, e.id, e.data, e.len);
    }
    int ext_len = rtp_ext_writer_finish(&w);
    if (ext_len < 0 || (size_t)ext_len > v.ext_len)
        abort();
    struct rtp_header h = {.ext = v.ext,
                           .ext_len = v.ext_len,
                           .ts_ticks = v.ts_ticks,
                           .ssrc = v.ssrc,
                           .seq = v.seq,
                           .ext_profile = v.ext_profile,
                           .pt = v.pt,
                           .marker = v.marker};
    int n = rtp_header_write(out, sizeof(out), &h);
    if (n < 0 || rtp_view_parse(&back, out, (size_t)n) || back.seq != v.seq || back.ext_len != v.ext_len)
        abort();
    return 0;
}
