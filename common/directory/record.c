/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/record.h"

#include "directory.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* protobuf-c's strings are not const. */
static char *borrow(const char *s)
{
    return (char *)(uintptr_t)s;
}

size_t record_write(uint8_t *dst, size_t cap, const struct node_record *n)
{
    Millrace__Directory__NodeRecord m;

    millrace__directory__node_record__init(&m);
    m.id = borrow(n->id);
    m.role = n->role;
    m.region = borrow(n->region);
    m.pipe = borrow(n->pipe);
    m.pipe_workers = n->pipe_workers;
    m.http = borrow(n->http);
    m.started_us = n->started_us;
    m.load_permille = n->load_permille;
    m.viewers = n->viewers;
    m.streams = n->streams;
    m.egress_bps = n->egress_bps;
    m.draining = n->draining;
    m.capacity_viewers = n->capacity_viewers;
    m.capacity_bps = n->capacity_bps;
    m.capacity_permille = n->capacity_permille;
    m.overloaded = n->overloaded;
    m.has_coordinates = n->has_coordinates;
    m.latitude = n->latitude;
    m.longitude = n->longitude;
    if (millrace__directory__node_record__get_packed_size(&m) > cap)
        return 0;
    return millrace__directory__node_record__pack(&m, dst);
}

static bool copy(char *dst, size_t cap, const char *src)
{
    return (size_t)snprintf(dst, cap, "%s", src) < cap;
}

int record_parse(struct node_record *out, const uint8_t *bytes, size_t len)
{
    Millrace__Directory__NodeRecord *m = millrace__directory__node_record__unpack(NULL, len, bytes);
    struct node_record n = {0};

    if (!m)
        return -1;
    bool fits = copy(n.id, sizeof(n.id), m->id) && copy(n.region, sizeof(n.region), m->region) &&
                copy(n.pipe, sizeof(n.pipe), m->pipe) && copy(n.http, sizeof(n.http), m->http) && n.id[0] &&
                m->role >= NODE_ORIGIN && m->role <= NODE_EDGE;
    n.role = (enum node_role)m->role;
    n.pipe_workers = m->pipe_workers;
    n.started_us = m->started_us;
    n.load_permille = m->load_permille;
    n.viewers = m->viewers;
    n.streams = m->streams;
    n.egress_bps = m->egress_bps;
    n.draining = m->draining;
    n.capacity_viewers = m->capacity_viewers;
    n.capacity_bps = m->capacity_bps;
    n.capacity_permille = m->capacity_permille;
    n.overloaded = m->overloaded;
    n.has_coordinates = m->has_coordinates;
    n.latitude = m->latitude;
    n.longitude = m->longitude;
    millrace__directory__node_record__free_unpacked(m, NULL);
    if (!fits)
        return -1;
    *out = n;
    return 0;
}

struct text {
    const char *at, *end;
};

/* The next word of text, into out; false when there is none or it does not fit. */
static bool word(struct text *t, char *out, size_t cap)
{
    const char *space = memchr(t->at, ' ', (size_t)(t->end - t->at));
    size_t n = (size_t)((space ? space : t->end) - t->at);

    if (n == 0 || n >= cap)
        return false;
    memcpy(out, t->at, n);
    out[n] = '\0';
    t->at += n + (space != NULL);
    return true;
}

int event_parse(struct event *out, const char *text, size_t len)
{
    struct event e = {0};
    char kind[16], epoch[24], *end;
    struct text at = {text, text + len};

    if (memchr(text, '\0', len) || !word(&at, kind, sizeof(kind)))
        return -1;
    if (strcmp(kind, "stream") == 0) {
        e.kind = EVENT_STREAM;
        if (!word(&at, e.stream.name, sizeof(e.stream.name)) || !word(&at, e.stream.owner, sizeof(e.stream.owner)) ||
            !word(&at, epoch, sizeof(epoch)))
            return -1;
        e.stream.epoch = strtoull(epoch, &end, 10);
        if (*end || e.stream.epoch == 0)
            return -1;
    } else if (strcmp(kind, "gone") == 0) {
        e.kind = EVENT_GONE;
        if (!word(&at, e.stream.name, sizeof(e.stream.name)))
            return -1;
    } else if (strcmp(kind, "node") == 0 || strcmp(kind, "node-gone") == 0) {
        e.kind = kind[4] ? EVENT_NODE_GONE : EVENT_NODE;
        if (!word(&at, e.node, sizeof(e.node)))
            return -1;
    } else {
        return -1;
    }
    if (at.at != at.end || (e.stream.name[0] && !stream_name_valid(e.stream.name)))
        return -1;
    *out = e;
    return 0;
}
