/* SPDX-License-Identifier: Apache-2.0
 * rtp_ext.h - RTP header extension elements (RFC 8285): iterate, write, and the known ones.
 *
 * Pure; any thread. Ownership: elements borrow the packet's bytes. */
#pragma once

#include "base/reader.h"
#include "base/writer.h"
#include "wire/rtp_view.h"

/* ---- elements ---- */

struct rtp_ext {
    const uint8_t *data;
    uint8_t len; /* bytes; one-byte form 1..16, two-byte form 0..255 */
    uint8_t id;  /* one-byte form 1..14, two-byte form 1..255 */
};

struct rtp_ext_iter {
    struct reader r; /* r.bad after the last element: an element passed the end of the block */
    bool two_byte;
};

/* Iterate ext[0..len) as rtp_view gives it. An ext_profile that is neither form has no elements. */
struct rtp_ext_iter rtp_ext_iter_init(uint16_t ext_profile, const uint8_t *ext, size_t len);

/* The next element, or false at the end. Padding is skipped; id 15 in the one-byte form ends the
 * block (RFC 8285 s4.2). What was read before a damaged element stays valid. */
bool rtp_ext_next(struct rtp_ext_iter *it, struct rtp_ext *out);

/* The first element with this id. false when there is none. */
bool rtp_ext_find(struct rtp_ext *out, uint16_t ext_profile, const uint8_t *ext, size_t len, uint8_t id);

/* ---- writing a block ---- */

struct rtp_ext_writer {
    struct writer w;
    bool two_byte;
    bool bad_value; /* an id or a length that this form cannot carry was given */
};

struct rtp_ext_writer rtp_ext_writer_init(uint8_t *buf, size_t cap, bool two_byte);

/* Append one element. Errors stick and come out of rtp_ext_writer_finish(). */
void rtp_ext_write(struct rtp_ext_writer *w, uint8_t id, const uint8_t *data, size_t len);

/* Pad to a multiple of 4. Returns the block's bytes (0 when nothing was written), RTP_ERR_ROOM or
 * RTP_ERR_VALUE. The block begins at the buffer given to _init; the profile is
 * rtp_ext_writer_profile(). */
MUST_USE int rtp_ext_writer_finish(struct rtp_ext_writer *w);

static inline uint16_t rtp_ext_writer_profile(const struct rtp_ext_writer *w)
{
    return w->two_byte ? RTP_EXT_PROFILE_TWO_BYTE : RTP_EXT_PROFILE_ONE_BYTE;
}

/* ---- the known extensions ---- */

enum rtp_ext_kind {
    RTP_EXT_UNKNOWN = 0,
    RTP_EXT_MID,                   /* RFC 9143 */
    RTP_EXT_RID,                   /* RFC 8852 */
    RTP_EXT_REPAIRED_RID,          /* RFC 8852 */
    RTP_EXT_ABS_SEND_TIME,         /* 6.18 seconds */
    RTP_EXT_TRANSPORT_CC,          /* transport-wide sequence number, 16 bits */
    RTP_EXT_AUDIO_LEVEL,           /* RFC 6464 */
    RTP_EXT_VIDEO_ORIENTATION,     /* 3GPP TS 26.114 */
    RTP_EXT_PLAYOUT_DELAY,         /* min and max, 10 ms units */
    RTP_EXT_ABS_CAPTURE_TIME,      /* NTP time of capture */
    RTP_EXT_DEPENDENCY_DESCRIPTOR, /* AV1 RTP specification, appendix A (codec/dd.h parses it) */
    RTP_EXT_KINDS
};

#define RTP_EXT_URI_MID "urn:ietf:params:rtp-hdrext:sdes:mid"
#define RTP_EXT_URI_RID "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
#define RTP_EXT_URI_REPAIRED_RID "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
#define RTP_EXT_URI_ABS_SEND_TIME "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
#define RTP_EXT_URI_TRANSPORT_CC \
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
#define RTP_EXT_URI_AUDIO_LEVEL "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
#define RTP_EXT_URI_VIDEO_ORIENTATION "urn:3gpp:video-orientation"
#define RTP_EXT_URI_PLAYOUT_DELAY "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
#define RTP_EXT_URI_ABS_CAPTURE_TIME "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
#define RTP_EXT_URI_DEPENDENCY_DESCRIPTOR \
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

/* The URI of a kind (NULL for UNKNOWN), and the kind of a URI of uri_len characters. */
const char *rtp_ext_uri(enum rtp_ext_kind kind);
enum rtp_ext_kind rtp_ext_kind_of_uri(const char *uri, size_t uri_len);

/* Values of the known extensions. Each parse takes data and length of one element and returns
 * false, *out untouched, when the length is wrong. Each write fills dst, whose size is fixed. */

enum {
    RTP_EXT_ABS_SEND_TIME_BYTES = 3,
    RTP_EXT_TRANSPORT_CC_BYTES = 2,
    RTP_EXT_AUDIO_LEVEL_BYTES = 1,
    RTP_EXT_VIDEO_ORIENTATION_BYTES = 1,
    RTP_EXT_PLAYOUT_DELAY_BYTES = 3,
    RTP_EXT_ABS_CAPTURE_TIME_BYTES = 8,
    RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES = 16,
    RTP_EXT_SDES_MAX_BYTES = 16, /* longest mid or rid that fits the one-byte form */
};

/* 24-bit 6.18 fixed point seconds, wrapping each 64 s. */
bool rtp_ext_abs_send_time_parse(uint32_t *out, const uint8_t *data, size_t len);
void rtp_ext_abs_send_time_write(uint8_t dst[RTP_EXT_ABS_SEND_TIME_BYTES], uint64_t now_us);
uint32_t rtp_ext_abs_send_time_of_us(uint64_t now_us);

bool rtp_ext_transport_cc_parse(uint16_t *out, const uint8_t *data, size_t len);
void rtp_ext_transport_cc_write(uint8_t dst[RTP_EXT_TRANSPORT_CC_BYTES], uint16_t seq);

struct rtp_audio_level {
    uint8_t level_dbov; /* 0..127: -dBov; 127 is silence */
    bool voice;
};
bool rtp_ext_audio_level_parse(struct rtp_audio_level *out, const uint8_t *data, size_t len);
void rtp_ext_audio_level_write(uint8_t dst[RTP_EXT_AUDIO_LEVEL_BYTES], const struct rtp_audio_level *v);

struct rtp_video_orientation {
    uint16_t rotation_degrees; /* 0, 90, 180, 270 clockwise, to be applied by the receiver */
    bool flipped;              /* horizontally, before the rotation */
    bool back_camera;
};
bool rtp_ext_video_orientation_parse(struct rtp_video_orientation *out, const uint8_t *data, size_t len);
void rtp_ext_video_orientation_write(uint8_t dst[RTP_EXT_VIDEO_ORIENTATION_BYTES],
                                     const struct rtp_video_orientation *v);

struct rtp_playout_delay {
    uint32_t min_ms, max_ms; /* 0..40950, steps of 10 ms */
};
bool rtp_ext_playout_delay_parse(struct rtp_playout_delay *out, const uint8_t *data, size_t len);
void rtp_ext_playout_delay_write(uint8_t dst[RTP_EXT_PLAYOUT_DELAY_BYTES], const struct rtp_playout_delay *v);

struct rtp_abs_capture_time {
    uint64_t ntp;          /* 32.32 seconds since 1900 */
    int64_t clock_offset;  /* 32.32 seconds; sender's estimate, 0 when absent */
    bool has_clock_offset;
};
bool rtp_ext_abs_capture_time_parse(struct rtp_abs_capture_time *out, const uint8_t *data, size_t len);
/* Returns the bytes written: 8, or 16 with has_clock_offset. */
size_t rtp_ext_abs_capture_time_write(uint8_t dst[RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES],
                                      const struct rtp_abs_capture_time *v);

/* NTP 32.32 (since 1900) <-> microseconds since the Unix epoch (RFC 5905 s6). */
uint64_t ntp_of_unix_us(uint64_t unix_us);
uint64_t ntp_to_unix_us(uint64_t ntp);
