/* SPDX-License-Identifier: Apache-2.0
 * record.h - node records as they lie in Redis (directory.proto), and the words on the events channel.
 *
 * Pure; any thread. What is read was written by other nodes, of other versions perhaps: lengths and names are checked. */
#pragma once

#include "directory/directory.h"

enum { RECORD_BYTES_MAX = 1024 };

/* Returns the length, or 0 when it does not fit cap. */
size_t record_write(uint8_t *dst, size_t cap, const struct node_record *n);
/* 0, or -1 when the bytes are no record of ours. */
MUST_USE int record_parse(struct node_record *out, const uint8_t *bytes, size_t len);

enum event_kind { EVENT_STREAM = 1, EVENT_GONE, EVENT_NODE, EVENT_NODE_GONE };

/* "stream NAME OWNER EPOCH", "gone NAME", "node ID", "node-gone ID". */
struct event {
    enum event_kind kind;
    struct stream_record stream; /* EVENT_STREAM; EVENT_GONE: only the name */
    char node[NODE_ID_MAX + 1];
};

MUST_USE int event_parse(struct event *out, const char *text, size_t len);
