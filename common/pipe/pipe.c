/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe.h"

#include "pipe/pipe_client.h"

const char *pipe_refusal_name(enum pipe_refusal reason)
{
    switch (reason) {
    case PIPE_REFUSED_UNKNOWN: return "unknown";
    case PIPE_REFUSED_LOOP: return "loop";
    case PIPE_REFUSED_DEPTH: return "depth";
    case PIPE_REFUSED_OVERLOADED: return "overloaded";
    case PIPE_REFUSED_DRAINING: return "draining";
    case PIPE_REFUSED_UNREACHABLE: return "unreachable";
    case PIPE_REFUSED_INVALID: return "invalid";
    }
    return "unspecified"; /* a later version's */
}

const char *pipe_lost_name(enum pipe_lost why)
{
    switch (why) {
    case PIPE_LOST_CONNECT: return "connect";
    case PIPE_LOST_CONTROL: return "control";
    case PIPE_LOST_SILENCE: return "silence";
    case PIPE_LOST_MEDIA: return "media";
    case PIPE_LOST_PROTOCOL: return "protocol";
    }
    return "unspecified";
}

void pipe_counters_add(struct pipe_counters *sum, const struct pipe_counters *c)
{
    sum->packets += c->packets;
    sum->bytes += c->bytes;
    sum->retransmitted += c->retransmitted;
    sum->backfilled += c->backfilled;
    sum->requested += c->requested;
    sum->gone += c->gone;
    sum->lost += c->lost;
    sum->recovered += c->recovered;
    sum->repair_us += c->repair_us;
    sum->slow_repairs += c->slow_repairs;
    sum->given_up += c->given_up;
    sum->late += c->late;
    sum->duplicates += c->duplicates;
    sum->stale += c->stale;
    sum->unauthenticated += c->unauthenticated;
    sum->exhausted += c->exhausted;
}
