/* SPDX-License-Identifier: Apache-2.0
 * facts.h - how roles put what they know into /api/v1/sessions and /metrics.
 *
 * Any thread. A value that cannot be stored (no memory) is left out. */
#pragma once

#include "io/addr.h"
#include "node/metrics.h"

#include <jansson.h>
#include <stdint.h>

/* A session's object with what all kinds have: id, kind, stream, peer, started_at. New reference. */
json_t *facts_session(const char *kind, const char *id, const char *stream, const struct addr *peer, uint64_t started_us);
/* Takes over value; NULL: no memory, the key is left out. */
void facts_set(json_t *object, const char *key, json_t *value);
void facts_text(json_t *object, const char *key, const char *value);
void facts_number(json_t *object, const char *key, uint64_t value);
/* "" for an empty address. */
void facts_address(json_t *object, const char *key, const struct addr *value);
/* ISO 8601, UTC. */
void facts_time(json_t *object, const char *key, uint64_t unix_us);

/* Families that several parts of a node add to; labels say which. */
static const struct metric metric_packets_received = {"millrace_packets_received_total", "Media packets taken in", METRIC_COUNTER};
static const struct metric metric_bytes_received = {"millrace_bytes_received_total", "Their payload bytes", METRIC_COUNTER};
static const struct metric metric_packets_sent = {"millrace_packets_sent_total", "Media packets sent", METRIC_COUNTER};
static const struct metric metric_bytes_sent = {"millrace_bytes_sent_total", "Their bytes", METRIC_COUNTER};
static const struct metric metric_lost = {"millrace_packets_lost_total", "Packets that never came", METRIC_COUNTER};
static const struct metric metric_recovered = {"millrace_packets_recovered_total", "Lost packets that came after all",
                                        METRIC_COUNTER};
static const struct metric metric_retransmitted = {"millrace_packets_retransmitted_total", "Packets sent again", METRIC_COUNTER};
static const struct metric metric_dropped = {"millrace_packets_dropped_total", "Packets dropped for want of room",
                                      METRIC_COUNTER};
static const struct metric metric_bad_input = {"millrace_bad_input_total", "Input that broke its protocol's rules",
                                        METRIC_COUNTER};
