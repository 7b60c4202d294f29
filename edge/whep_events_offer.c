/* SPDX-License-Identifier: Apache-2.0
 * whep_events_offer.c - how a session's viewer is told of the events: the 201's Link, and the answer to the POST there. */
#include "edge/whep_events.h"

#include <stdio.h>

#define EVENTS WHEP_EVENTS_PREFIX

void whep_events_create(struct http_exchange *x, const char *stream)
{
    char location[sizeof(EVENTS) + STREAM_NAME_MAX];

    snprintf(location, sizeof(location), EVENTS "%s", stream);
    http_reply_header(x, "Location", location);
    http_reply(x, 201, NULL, NULL, 0);
}

void whep_events_add_link(struct http_exchange *x, const char *session_id)
{
    char link[256];

    snprintf(link, sizeof(link),
             "</whep/session/%s/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"" WHEP_EVENTS_NAMES "\"",
             session_id);
    http_reply_header(x, "Link", link);
}
