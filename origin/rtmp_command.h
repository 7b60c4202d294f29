/* SPDX-License-Identifier: Apache-2.0
 * rtmp_command.h - the commands of a publishing client, and what is said back.
 *
 * Pure; any thread. Ownership: strings of a parsed command borrow the message's bytes.
 * Source: Adobe RTMP specification 1.0, s7.2 (NetConnection and NetStream commands); Veovera
 * Enhanced RTMP v2, "Enhancing NetConnection connect Command"; releaseStream, FCPublish and FCUnpublish
 * as encoders send them (in no specification). */
#pragma once

#include "base/compiler.h"
#include "base/writer.h"
#include "media/track.h"
#include "wire/amf0.h"

enum rtmp_command_kind {
    RTMP_CMD_OTHER = 0, /* well-formed; nothing for us to do */
    RTMP_CMD_CONNECT,
    RTMP_CMD_RELEASE_STREAM,
    RTMP_CMD_FC_PUBLISH,
    RTMP_CMD_CREATE_STREAM,
    RTMP_CMD_PUBLISH,
    RTMP_CMD_FC_UNPUBLISH,
    RTMP_CMD_CLOSE_STREAM,
    RTMP_CMD_DELETE_STREAM,
    RTMP_CMD_PLAY,
};

struct rtmp_command {
    enum rtmp_command_kind kind;
    double transaction;
    struct amf0_str name;                   /* of the command */
    struct amf0_str app, tc_url, flash_ver; /* connect */
    struct amf0_str key; /* publish, play, releaseStream, FC...: stream key with its query */
    bool enhanced;       /* connect: the client told FourCCs, so it knows enhanced RTMP */
};

/* Body of a message of type 20 (or 17 behind its first byte). AMF0_OK or an amf0_err. */
MUST_USE int rtmp_command_parse(struct rtmp_command *out, const uint8_t *body, size_t len);

/* What onMetaData (or @setDataFrame) says that matters here. */
struct rtmp_metadata {
    bool known;        /* it was onMetaData */
    bool video, audio; /* an id or name of a codec was given */
    double width, height, frame_rate;
    struct amf0_str encoder;
};

/* Body of a message of type 18 (or 15 behind its first byte). AMF0_OK or an amf0_err. */
MUST_USE int rtmp_metadata_parse(struct rtmp_metadata *out, const uint8_t *body, size_t len);

/* ---- Names ----------------------------------------------------------------------------------- */

enum { RTMP_PARAMS_MAX = 2048 /* bytes of a kept query, NUL included: a signed token fits */ };

/* "app/name" of connect's app and publish's key: queries are cut off and put into params ("a=1&b=2"),
 * slashes at the ends are dropped. false when it does not fit; whether the name is a good one is for
 * stream_name_valid to say. */
bool rtmp_stream_name(struct amf0_str app, struct amf0_str key, char name[STREAM_NAME_MAX + 1],
                      char params[RTMP_PARAMS_MAX]);

/* The value of the first parameter of that name, as it stands there; "" when there is none. */
void rtmp_param(const char *params, const char *name, char out[RTMP_PARAMS_MAX]);

/* ---- Answers: bodies of command messages; w->bad when they do not fit ------------------------ */

/* _result of connect; with the FourCCs that can be published when the client asked (enhanced). */
void rtmp_connect_result_write(struct writer *w, double transaction, bool enhanced);
/* _error of connect and its reason. */
void rtmp_connect_error_write(struct writer *w, double transaction, const char *code,
                              const char *description);
/* _result (transaction, null, undefined). */
void rtmp_result_write(struct writer *w, double transaction);
/* _result of createStream. */
void rtmp_stream_id_write(struct writer *w, double transaction, uint32_t stream_id);
/* onStatus: level is "status" or "error", code is "NetStream.Publish.Start" and the like. */
void rtmp_status_write(struct writer *w, const char *level, const char *code, const char *description);
