/* SPDX-License-Identifier: Apache-2.0
 * codec.h - the codecs that Millrace carries: names, kinds, clocks.
 *
 * Pure tables; any thread.
 *
 * The canonical form of a coded frame, wherever one is handed about (packetise.h, depacketise.h):
 *   H.264, H.265  NAL units, each after its length in 4 bytes
 *   VP8, VP9      the frame as the encoder gives it
 *   AV1           a temporal unit in low-overhead format (every OBU with a size), without temporal delimiters
 *   Opus          one packet
 *   AAC           one raw access unit (no ADTS) */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum codec {
    CODEC_NONE = 0,
    CODEC_H264,
    CODEC_H265,
    CODEC_VP8,
    CODEC_VP9,
    CODEC_AV1,
    CODEC_OPUS,
    CODEC_AAC,
    CODEC_COUNT, /* of coded media */
    CODEC_DATA = 32, /* nothing coded: messages of data channels (webrtc/data_message.h) */
};

enum codec_kind { CODEC_KIND_NONE = 0, CODEC_KIND_AUDIO, CODEC_KIND_VIDEO, CODEC_KIND_DATA };

enum codec_err {
    CODEC_OK = 0,
    CODEC_ERR_SHORT = -1,   /* a declared length passes the end */
    CODEC_ERR_SYNTAX = -2,  /* a value that the codec's specification forbids */
    CODEC_ERR_SUPPORT = -3, /* well-formed, but not handled here (interleaved H.264 modes, ...) */
    CODEC_ERR_ROOM = -4,    /* does not fit the caller's buffer */
    CODEC_ERR_MEMORY = -5,
};

enum codec_kind codec_kind(enum codec c);

/* SDP encoding name as registered ("H264", "opus", "mpeg4-generic"); "data"; "none" for CODEC_NONE. */
const char *codec_name(enum codec c);

/* By SDP encoding name, any case, name_len characters. CODEC_NONE when not known. */
enum codec codec_of_name(const char *name, size_t name_len);

/* FourCC of enhanced RTMP (wire/flv.h) and back; 0 and CODEC_NONE when there is none. */
uint32_t codec_fourcc(enum codec c);
enum codec codec_of_fourcc(uint32_t fourcc);

/* RTP clock, Hz: 90000 for video, 48000 for Opus. For AAC it is the sampling rate, which the
 * AudioSpecificConfig says; 48000 here is only the usual one. */
uint32_t codec_clock_hz(enum codec c);
