/* SPDX-License-Identifier: Apache-2.0
 * whep_layer.c - a viewer's own choice of layers: the layer extension of WHEP; see whep_priv.h.
 *
 * <session>/layer: GET tells the layers, simulcast's by encodingId, scalable ones by spatialLayerId and temporalLayerId. POST
 * {"mediaId", "encodingId", "maxSpatialLayerId", "maxTemporalLayerId"} (or without max) chooses: that one and none better; what is
 * left out, or null, the edge chooses. */
#include "edge/whep_priv.h"

#include "webrtc/layer_choice.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json"

void whep_layer_link(const struct whep_session *s, struct http_exchange *x)
{
    char link[RTC_ID_CAP + 96];

    snprintf(link, sizeof(link), "</whep/session/%s" WHEP_LAYER_PATH ">; rel=\"urn:ietf:params:whep:ext:core:layer\"",
             s->resource.id);
    http_reply_header(x, "Link", link);
}

/* ---- GET ---------------------------------------------------------------------------------------- */

static json_t *layer_json(const struct track *t, const struct rtc_layer *l)
{
    json_t *o = t->n_layers > 1 ? json_pack("{s:s}", "encodingId", t->layers[l->row].rid)
                                : json_pack("{s:i, s:i}", "spatialLayerId", l->row, "temporalLayerId", l->temporal);

    if (l->width)
        json_object_update_new(o, json_pack("{s:i, s:i}", "width", l->width, "height", l->height));
    if (l->bps)
        json_object_set_new(o, "bitrate", json_integer((json_int_t)l->bps));
    return o;
}

static json_t *active_json(const struct whep_session *s, const struct track *t, const struct rtc_layer *best)
{
    struct rtp_level level = rtc_viewer_level(s->viewer);
    uint8_t layer = rtc_viewer_layer(s->viewer);

    if (t->n_layers > 1)
        return json_string(layer < t->n_layers ? t->layers[layer].rid : "");
    if (level.temporal < 0)
        return json_null(); /* keyframes only */
    return json_pack("{s:i, s:i}", "spatialLayerId", level.spatial < best->row ? level.spatial : best->row, "temporalLayerId",
                     level.temporal < best->temporal ? level.temporal : best->temporal);
}

static void set_id(json_t *o, const char *key, int id)
{
    if (id >= 0)
        json_object_set_new(o, key, json_integer(id));
}

static json_t *chosen_json(const struct rtc_layer_wish *wish, bool simulcast)
{
    if (simulcast)
        return wish->rid[0] ? json_string(wish->rid) : json_null();
    if (wish->spatial < 0 && wish->temporal < 0)
        return json_null();
    json_t *o = json_object();
    set_id(o, "maxSpatialLayerId", wish->spatial);
    set_id(o, "maxTemporalLayerId", wish->temporal);
    return o;
}

/* By the video section's mid: its layers from the smallest up, what is sent, and the viewer's own choice. */
static json_t *layers_json(const struct whep_session *s)
{
    const struct track *t = rtc_viewer_video(s->viewer);
    struct rtc_layer known[RTC_LAYERS_MAX];
    size_t n = t ? rtc_viewer_layers(s->viewer, known, LEN(known)) : 0;
    json_t *layers = json_array(), *video = json_pack("{s:o}", "layers", layers);

    for (size_t i = 0; n > 1 && i < n; i++)
        json_array_append_new(layers, layer_json(t, &known[i]));
    if (n > 1)
        json_object_set_new(video, "active", active_json(s, t, &known[n - 1]));
    json_object_set_new(video, "chosen", chosen_json(rtc_viewer_layer_wish(s->viewer), t && t->n_layers > 1));
    json_t *all = json_object();
    json_object_set_new(all, s->video_mid, video);
    return all;
}

static void tell(const struct whep_session *s, struct http_exchange *x)
{
    json_t *all = layers_json(s);
    char *text = json_dumps(all, JSON_COMPACT);

    if (text)
        http_reply(x, 200, JSON_TYPE, text, strlen(text));
    else
        http_problem(x, 503, "out of memory");
    free(text);
    json_decref(all);
}

/* ---- POST --------------------------------------------------------------------------------------- */

/* An id by either of its names; false when it is none. */
static bool read_id(const json_t *body, const char *name, const char *max_name, int8_t *out)
{
    const json_t *id = json_object_get(body, max_name);

    *out = LAYER_ANY;
    if (!id || json_is_null(id))
        id = json_object_get(body, name);
    if (!id || json_is_null(id))
        return true;
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > RTP_LEVEL_ALL)
        return false;
    *out = (int8_t)json_integer_value(id);
    return true;
}

/* 0, or the status of the refusal with *why. */
static int choose(struct whep_session *s, const json_t *body, const char **why)
{
    const json_t *media = json_object_get(body, "mediaId"), *encoding = json_object_get(body, "encodingId");
    struct rtc_layer_wish wish = {0};

    *why = "the body must be {\"mediaId\": \"...\", \"encodingId\": \"...\", \"maxSpatialLayerId\": 0, \"maxTemporalLayerId\": 0}";
    if (!json_is_object(body) || (media && !json_is_string(media)) ||
        (encoding && !json_is_string(encoding) && !json_is_null(encoding)) ||
        !read_id(body, "spatialLayerId", "maxSpatialLayerId", &wish.spatial) ||
        !read_id(body, "temporalLayerId", "maxTemporalLayerId", &wish.temporal))
        return 400;
    *why = "that mediaId is not the video's";
    if (media && strcmp(json_string_value(media), s->video_mid) != 0)
        return 422;
    *why = "the stream has no such layer";
    if (json_is_string(encoding) && json_string_length(encoding) > RID_MAX)
        return 422;
    snprintf(wish.rid, sizeof(wish.rid), "%s", json_is_string(encoding) ? json_string_value(encoding) : "");
    return rtc_viewer_choose_layer(s->viewer, &wish) ? 0 : 422;
}

void whep_layer_on_request(struct whep_session *s, struct http_exchange *x)
{
    const char *why;
    size_t len;

    if (http_method(x) == HTTP_M_GET || http_method(x) == HTTP_M_HEAD) {
        tell(s, x);
        return;
    }
    if (!rtc_http_has_type(x, JSON_TYPE)) {
        rtc_http_refuse(x, 415, 0, "the body must be " JSON_TYPE);
        return;
    }
    const uint8_t *bytes = http_body(x, &len);
    json_t *body = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, NULL);
    int status = choose(s, body, &why);
    if (status)
        rtc_http_refuse(x, status, 0, why);
    else
        tell(s, x);
    json_decref(body);
}
