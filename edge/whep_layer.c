/* SPDX-License-Identifier: Apache-2.0
 * whep_layer.c - a viewer's own choice of a simulcast layer: the layer extension of WHEP; see whep_priv.h.
 *
 * <session>/layer: GET tells the layers, POST {"mediaId", "encodingId"} chooses one; without encodingId (or null) the edge
 * chooses again. */
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

static json_t *layer_json(const struct whep_session *s, const struct track *t, uint8_t i)
{
    const struct layer *l = &t->layers[i];
    uint64_t bps = rtc_viewer_layer_bps(s->viewer, i);
    json_t *o = json_pack("{s:s}", "encodingId", l->rid);

    if (l->width)
        json_object_update_new(o, json_pack("{s:i, s:i}", "width", l->width, "height", l->height));
    if (bps)
        json_object_set_new(o, "bitrate", json_integer((json_int_t)bps));
    return o;
}

/* By the video section's mid: its layers from the smallest up, the one that is sent, and the viewer's own choice. */
static json_t *layers_json(const struct whep_session *s)
{
    const struct track *t = rtc_viewer_video(s->viewer);
    const char *chosen = rtc_viewer_layer_choice(s->viewer);
    uint8_t active = rtc_viewer_layer(s->viewer);
    json_t *layers = json_array();

    for (uint8_t i = 0; t && t->n_layers > 1 && i < t->n_layers && i < LAYERS_MAX; i++)
        json_array_append_new(layers, layer_json(s, t, i));
    json_t *video = json_pack("{s:o}", "layers", layers);
    if (json_array_size(layers) > active)
        json_object_set_new(video, "active", json_string(t->layers[active].rid));
    json_object_set_new(video, "chosen", chosen[0] ? json_string(chosen) : json_null());
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

/* 0, or the status of the refusal with *why. */
static int choose(struct whep_session *s, const json_t *body, const char **why)
{
    const json_t *media = json_object_get(body, "mediaId"), *encoding = json_object_get(body, "encodingId");

    *why = "the body must be {\"mediaId\": \"...\", \"encodingId\": \"...\"}";
    if (!json_is_object(body) || (media && !json_is_string(media)) ||
        (encoding && !json_is_string(encoding) && !json_is_null(encoding)))
        return 400;
    *why = "that mediaId is not the video's";
    if (media && strcmp(json_string_value(media), s->video_mid) != 0)
        return 422;
    *why = "the stream has no such layer";
    return rtc_viewer_choose_layer(s->viewer, json_is_string(encoding) ? json_string_value(encoding) : "") ? 0 : 422;
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
