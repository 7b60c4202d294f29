/* SPDX-License-Identifier: Apache-2.0
 * flv.h - FLV file header, tags, and the headers inside video and audio tags (RTMP messages 9 and 8
 * have the same bodies): legacy and enhanced RTMP v2.
 *
 * Pure; any thread. Ownership: parsed structs borrow the bytes.
 * Source: Adobe FLV specification 10.1 annex E; Veovera Enhanced RTMP v2 ("ExVideoTagHeader",
 * "ExAudioTagHeader"). */
#pragma once

#include "base/compiler.h"
#include "base/reader.h"
#include "base/writer.h"

enum flv_err {
    FLV_OK = 0,
    FLV_ERR_SHORT = -1,       /* a header passes the end */
    FLV_ERR_SIGNATURE = -2,   /* not "FLV" version 1 */
    FLV_ERR_CODEC = -3,       /* a codec that is not carried (Sorenson, Speex, ...) */
    FLV_ERR_PACKET_TYPE = -4, /* unknown AVC/AAC/enhanced packet type */
    FLV_ERR_MULTITRACK = -5,  /* enhanced RTMP v2 multitrack: not carried */
    FLV_ERR_MORE = -6,        /* a tag that is not whole yet: read more and try again */
};

#define FLV_FOURCC(a, b, c, d)                                                                               \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

enum flv_fourcc { /* legacy codec ids are mapped to these */
    FLV_AVC1 = FLV_FOURCC('a', 'v', 'c', '1'),
    FLV_HVC1 = FLV_FOURCC('h', 'v', 'c', '1'),
    FLV_AV01 = FLV_FOURCC('a', 'v', '0', '1'),
    FLV_VP09 = FLV_FOURCC('v', 'p', '0', '9'),
    FLV_VP08 = FLV_FOURCC('v', 'p', '0', '8'),
    FLV_MP4A = FLV_FOURCC('m', 'p', '4', 'a'),
    FLV_OPUS = FLV_FOURCC('O', 'p', 'u', 's'),
};

enum flv_tag_type { FLV_TAG_AUDIO = 8, FLV_TAG_VIDEO = 9, FLV_TAG_SCRIPT = 18 };

enum {
    FLV_FILE_HEADER_BYTES = 13, /* with PreviousTagSize0 */
    FLV_TAG_HEADER_BYTES = 11,
    FLV_TAG_TRAILER_BYTES = 4,  /* PreviousTagSize */
    FLV_MEDIA_HEADER_MAX_BYTES = 8, /* flv_video_write and flv_audio_write write at most these */
};

/* ---- file and tags ---- */

/* Returns FLV_OK, FLV_ERR_SHORT or FLV_ERR_SIGNATURE; moves r behind PreviousTagSize0. */
MUST_USE int flv_file_header_parse(struct reader *r, bool *audio, bool *video);
void flv_file_header_write(struct writer *w, bool audio, bool video);

struct flv_tag {
    const uint8_t *body;
    size_t body_len; /* bytes, below 1 << 24 */
    uint32_t ts_ms;  /* decode time */
    uint8_t type;    /* enum flv_tag_type */
};

/* One tag with its trailing PreviousTagSize (whose value is not believed). FLV_ERR_MORE leaves r
 * where it was. */
MUST_USE int flv_tag_parse(struct reader *r, struct flv_tag *out);

/* The 11 bytes before a body of body_len bytes, and the 4 bytes after it. */
void flv_tag_header_write(struct writer *w, enum flv_tag_type type, size_t body_len, uint32_t ts_ms);
void flv_tag_trailer_write(struct writer *w, size_t body_len);

/* ---- bodies ---- */

enum flv_packet {
    FLV_PACKET_SEQUENCE_START, /* data: avcC, hvcC, av1C, vpcC, AudioSpecificConfig, OpusHead */
    FLV_PACKET_FRAME,          /* data: one coded frame */
    FLV_PACKET_SEQUENCE_END,
    FLV_PACKET_METADATA, /* data: AMF0 "colorInfo" */
    FLV_PACKET_OTHER,    /* well-formed, nothing for us in it (command frame, channel layout) */
};

struct flv_media {
    const uint8_t *data;
    size_t data_len;
    uint32_t fourcc; /* enum flv_fourcc */
    int32_t cts_ms;  /* video: presentation minus decode time */
    enum flv_packet packet;
    bool keyframe; /* video */
    bool enhanced; /* came, or is to be written, with a FourCC header */
    bool sound_16bit, sound_stereo; /* legacy audio header only; not to be believed for AAC */
    uint32_t nano_offset; /* enhanced ModEx: added to the presentation time, ns; 0 when absent */
};

/* Parse the body of a video (audio) tag. On an error *out is untouched. An empty body is FLV_ERR_SHORT
 * (encoders send them as keep-alives: the caller may ignore it). */
MUST_USE int flv_video_parse(struct flv_media *out, const uint8_t *body, size_t len);
MUST_USE int flv_audio_parse(struct flv_media *out, const uint8_t *body, size_t len);

/* Write the header that comes before m->data: legacy for avc1 and mp4a unless m->enhanced, enhanced
 * for all else. m->data is not touched. Returns FLV_OK, FLV_ERR_CODEC for a FourCC that is not
 * known, FLV_ERR_PACKET_TYPE for one that cannot be written; FLV_ERR_SHORT when w is full. */
MUST_USE int flv_video_write(struct writer *w, const struct flv_media *m);
MUST_USE int flv_audio_write(struct writer *w, const struct flv_media *m);
