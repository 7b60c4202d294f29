/* SPDX-License-Identifier: Apache-2.0 */
#include "node/facts.h"

#include <time.h>

void facts_set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

void facts_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, json_string(value));
}

void facts_number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

void facts_address(json_t *object, const char *key, const struct addr *value)
{
    char text[ADDR_TEXT_CAP];

    facts_text(object, key, value && value->sa.sa_family != AF_UNSPEC ? addr_print(value, text) : "");
}

void facts_time(json_t *object, const char *key, uint64_t unix_us)
{
    time_t s = (time_t)(unix_us / 1000000);
    struct tm utc;
    char text[32];

    gmtime_r(&s, &utc);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    facts_text(object, key, text);
}

json_t *facts_session(const char *kind, const char *id, const char *stream, const struct addr *peer, uint64_t started_us)
{
    json_t *o = json_object();

    facts_text(o, "id", id);
    facts_text(o, "kind", kind);
    facts_text(o, "stream", stream);
    facts_address(o, "peer", peer);
    facts_time(o, "started_at", started_us);
    return o;
}
