/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp_command.h"

#include <stdio.h>
#include <string.h>

#include "wire/flv.h"

static const struct {
    const char *name;
    enum rtmp_command_kind kind;
} commands[] = {
    {"connect", RTMP_CMD_CONNECT},
    {"releaseStream", RTMP_CMD_RELEASE_STREAM},
    {"FCPublish", RTMP_CMD_FC_PUBLISH},
    {"createStream", RTMP_CMD_CREATE_STREAM},
    {"publish", RTMP_CMD_PUBLISH},
    {"FCUnpublish", RTMP_CMD_FC_UNPUBLISH},
    {"closeStream", RTMP_CMD_CLOSE_STREAM},
    {"deleteStream", RTMP_CMD_DELETE_STREAM},
    {"play", RTMP_CMD_PLAY},
    {"play2", RTMP_CMD_PLAY},
};

static enum rtmp_command_kind kind_of(struct amf0_str name)
{
    for (size_t i = 0; i < LEN(commands); i++)
        if (amf0_str_is(name, commands[i].name))
            return commands[i].kind;
    return RTMP_CMD_OTHER;
}

/* ---- connect --------------------------------------------------------------------------------- */

static void take_connect_member(struct rtmp_command *c, const struct amf0_value *v)
{
    if (amf0_str_is(v->key, "fourCcList") || amf0_str_is(v->key, "videoFourCcInfoMap"))
        c->enhanced = true;
    if (v->type != AMF0_STRING)
        return;
    if (amf0_str_is(v->key, "app"))
        c->app = v->string;
    else if (amf0_str_is(v->key, "tcUrl"))
        c->tc_url = v->string;
    else if (amf0_str_is(v->key, "flashVer"))
        c->flash_ver = v->string;
}

/* The command object. What follows it, if anything, is the application's and of no interest. */
static int parse_connect(struct rtmp_command *c, struct amf0_reader *a)
{
    struct amf0_value v;
    int got = amf0_next(a, &v);

    if (got < 0)
        return got;
    if (got == 0 || v.type != AMF0_OBJECT)
        return AMF0_ERR_TYPE;
    while ((got = amf0_next(a, &v)) == 1 && !(v.type == AMF0_END && v.depth == 0))
        if (v.depth == 1)
            take_connect_member(c, &v);
    return got < 0 ? got : got == 0 ? AMF0_ERR_SHORT : AMF0_OK;
}

/* ---- commands of a stream: (name, transaction, null, key, ...) ------------------------------- */

static int parse_key(struct rtmp_command *c, struct amf0_reader *a)
{
    struct amf0_value object;
    int got = amf0_next(a, &object);

    if (got == 1)
        got = amf0_skip(a, &object);
    if (got < 0)
        return got;
    return amf0_next_string(a, &c->key);
}

int rtmp_command_parse(struct rtmp_command *out, const uint8_t *body, size_t len)
{
    struct amf0_reader a = amf0_reader_init(body, len);
    struct rtmp_command c = {0};
    int err = amf0_next_string(&a, &c.name);

    if (err)
        return err;
    c.kind = kind_of(c.name);
    if (c.kind != RTMP_CMD_OTHER)
        err = amf0_next_number(&a, &c.transaction);
    if (!err && c.kind == RTMP_CMD_CONNECT)
        err = parse_connect(&c, &a);
    if (!err && (c.kind == RTMP_CMD_PUBLISH || c.kind == RTMP_CMD_PLAY))
        err = parse_key(&c, &a);
    if (err)
        return err;
    *out = c;
    return AMF0_OK;
}

/* ---- onMetaData ------------------------------------------------------------------------------ */

static void take_metadata_member(struct rtmp_metadata *m, const struct amf0_value *v)
{
    bool named = v->type == AMF0_NUMBER || v->type == AMF0_STRING;

    if (amf0_str_is(v->key, "videocodecid"))
        m->video = named;
    else if (amf0_str_is(v->key, "audiocodecid"))
        m->audio = named;
    else if (amf0_str_is(v->key, "encoder") && v->type == AMF0_STRING)
        m->encoder = v->string;
    if (v->type != AMF0_NUMBER)
        return;
    if (amf0_str_is(v->key, "width"))
        m->width = v->number;
    else if (amf0_str_is(v->key, "height"))
        m->height = v->number;
    else if (amf0_str_is(v->key, "framerate"))
        m->frame_rate = v->number;
}

int rtmp_metadata_parse(struct rtmp_metadata *out, const uint8_t *body, size_t len)
{
    struct amf0_reader a = amf0_reader_init(body, len);
    struct rtmp_metadata m = {0};
    struct amf0_str name;
    struct amf0_value v;
    int got = amf0_next_string(&a, &name);

    if (got == AMF0_OK && amf0_str_is(name, "@setDataFrame"))
        got = amf0_next_string(&a, &name);
    if (got < 0)
        return got;
    m.known = amf0_str_is(name, "onMetaData");
    while (m.known && (got = amf0_next(&a, &v)) == 1)
        if (v.depth == 1)
            take_metadata_member(&m, &v);
    if (got < 0)
        return got;
    *out = m;
    return AMF0_OK;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Cuts "?query" off s and returns the query. */
static struct amf0_str cut_query(struct amf0_str *s)
{
    const char *mark = s->len ? memchr(s->p, '?', s->len) : NULL;
    struct amf0_str query = {0};

    if (mark) {
        query = (struct amf0_str){mark + 1, s->len - (size_t)(mark + 1 - s->p)};
        s->len = (size_t)(mark - s->p);
    }
    return query;
}

static struct amf0_str trim_slashes(struct amf0_str s)
{
    while (s.len && s.p[0] == '/') {
        s.p++;
        s.len--;
    }
    while (s.len && s.p[s.len - 1] == '/')
        s.len--;
    return s;
}

static void append(struct writer *w, const char *between, struct amf0_str s)
{
    if (s.len == 0)
        return;
    if (writer_len(w) > 0)
        writer_bytes(w, between, 1);
    writer_bytes(w, s.p, s.len);
}

bool rtmp_stream_name(struct amf0_str app, struct amf0_str key, char name[STREAM_NAME_MAX + 1],
                      char params[RTMP_PARAMS_MAX])
{
    struct amf0_str app_query = cut_query(&app), key_query = cut_query(&key);
    struct writer n = writer_init(name, STREAM_NAME_MAX + 1), q = writer_init(params, RTMP_PARAMS_MAX);

    append(&n, "/", trim_slashes(app));
    append(&n, "/", trim_slashes(key));
    writer_u8(&n, '\0');
    append(&q, "&", app_query);
    append(&q, "&", key_query);
    writer_u8(&q, '\0');
    return !n.bad && !q.bad && !memchr(name, '\0', writer_len(&n) - 1);
}

void rtmp_param(const char *params, const char *name, char out[RTMP_PARAMS_MAX])
{
    size_t name_len = strlen(name);

    out[0] = '\0';
    for (size_t len; *params; params += len + (params[len] == '&')) {
        len = strcspn(params, "&");
        if (len <= name_len || strncmp(params, name, name_len) != 0 || params[name_len] != '=')
            continue;
        snprintf(out, RTMP_PARAMS_MAX, "%.*s", (int)(len - name_len - 1), params + name_len + 1);
        return;
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void write_info(struct writer *w, const char *level, const char *code, const char *description)
{
    amf0_write_object_begin(w);
    amf0_write_member_string(w, "level", level);
    amf0_write_member_string(w, "code", code);
    amf0_write_member_string(w, "description", description);
}

/* Enhanced RTMP v2: FourCcInfoMask CanForward; a relay neither decodes nor encodes. */
enum { FOURCC_CAN_FORWARD = 4 };

static void write_fourcc_map(struct writer *w, const char *key, const uint32_t *fourccs, size_t n)
{
    amf0_write_key(w, key);
    amf0_write_object_begin(w);
    for (size_t i = 0; i < n; i++) {
        const char text[] = {(char)(fourccs[i] >> 24), (char)(fourccs[i] >> 16), (char)(fourccs[i] >> 8),
                             (char)fourccs[i], '\0'};
        amf0_write_member_number(w, text, FOURCC_CAN_FORWARD);
    }
    amf0_write_end(w);
}

static void write_fourccs(struct writer *w)
{
    static const uint32_t video[] = {FLV_AVC1, FLV_HVC1, FLV_AV01, FLV_VP09},
                          audio[] = {FLV_OPUS, FLV_MP4A};
    static const char *const all[] = {"avc1", "hvc1", "av01", "vp09", "Opus", "mp4a"};

    amf0_write_key(w, "fourCcList");
    amf0_write_strict_array_begin(w, LEN(all));
    for (size_t i = 0; i < LEN(all); i++)
        amf0_write_string(w, all[i]);
    write_fourcc_map(w, "videoFourCcInfoMap", video, LEN(video));
    write_fourcc_map(w, "audioFourCcInfoMap", audio, LEN(audio));
}

void rtmp_connect_result_write(struct writer *w, double transaction, bool enhanced)
{
    amf0_write_string(w, "_result");
    amf0_write_number(w, transaction);
    amf0_write_object_begin(w);
    amf0_write_member_string(w, "fmsVer",
                             "FMS/3,0,1,123"); /* encoders look for "FMS/" and a version of 3 */
    amf0_write_member_number(w, "capabilities", 31);
    if (enhanced)
        write_fourccs(w);
    amf0_write_end(w);
    write_info(w, "status", "NetConnection.Connect.Success", "Connected.");
    amf0_write_member_number(w, "objectEncoding", 0); /* AMF0, whatever the client can do besides */
    amf0_write_end(w);
}

void rtmp_connect_error_write(struct writer *w, double transaction, const char *code,
                              const char *description)
{
    amf0_write_string(w, "_error");
    amf0_write_number(w, transaction);
    amf0_write_null(w);
    write_info(w, "error", code, description);
    amf0_write_end(w);
}

void rtmp_result_write(struct writer *w, double transaction)
{
    amf0_write_string(w, "_result");
    amf0_write_number(w, transaction);
    amf0_write_null(w);
    amf0_write_undefined(w);
}

void rtmp_stream_id_write(struct writer *w, double transaction, uint32_t stream_id)
{
    amf0_write_string(w, "_result");
    amf0_write_number(w, transaction);
    amf0_write_null(w);
    amf0_write_number(w, stream_id);
}

void rtmp_status_write(struct writer *w, const char *level, const char *code, const char *description)
{
    amf0_write_string(w, "onStatus");
    amf0_write_number(w, 0);
    amf0_write_null(w);
    write_info(w, level, code, description);
    amf0_write_end(w);
}
