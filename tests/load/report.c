/* SPDX-License-Identifier: Apache-2.0
 * report.c - samples, lines, JSON, CSV; see report.h. The page is in report_html.c. */
#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double ms(const struct histogram *h, double percent)
{
    return histogram_percentile(h, percent) / 1000;
}

void report_sample_make(struct report_sample *s, const struct tally *d, double at_s, double seconds, unsigned playing)
{
    *s = (struct report_sample){
        .at_s = at_s, .seconds = seconds, .playing = playing, .joined = d->joined, .failed = d->failed + d->dropped,
        .rtp_received = d->rtp_received, .rtp_lost = d->rtp_lost, .nacks = d->nacks, .bytes = d->bytes,
        .frames = d->frames, .freezes = d->freezes, .socket_drops = d->socket_drops,
        .join_p50_ms = ms(&d->join_us, 50), .join_p95_ms = ms(&d->join_us, 95),
        .keyframe_p50_ms = ms(&d->first_keyframe_us, 50), .keyframe_p95_ms = ms(&d->first_keyframe_us, 95),
        .delay_p50_ms = ms(&d->delay_us, 50), .delay_p95_ms = ms(&d->delay_us, 95), .delay_p99_ms = ms(&d->delay_us, 99),
        .jitter_p95_ms = ms(&d->jitter_us, 95),
    };
}

int report_sample_push(struct report *r, const struct report_sample *s)
{
    if (r->n_samples == r->cap_samples) {
        size_t cap = r->cap_samples ? 2 * r->cap_samples : 256;
        struct report_sample *more = realloc(r->samples, cap * sizeof(*more));
        if (!more)
            return -1;
        r->samples = more;
        r->cap_samples = cap;
    }
    r->samples[r->n_samples++] = *s;
    return 0;
}

void report_fini(struct report *r)
{
    free(r->samples);
    r->samples = NULL;
}

/* ---- The terminal -------------------------------------------------------------------------------------------- */

void report_print_line(const struct report_sample *s, const struct tally *total, bool terminal)
{
    fprintf(stderr,
            "%s%6.1f s  %5u playing  %llu of %llu joined  %llu failed  %7.1f Mbit/s  lost %llu  frozen %llu  delay %.1f / %.1f ms%s",
            terminal ? "\r" : "", s->at_s, s->playing, (unsigned long long)total->joined,
            (unsigned long long)total->asked, (unsigned long long)(total->failed + total->dropped),
            (double)s->bytes * 8 / 1e6 / s->seconds, (unsigned long long)total->rtp_lost,
            (unsigned long long)total->freezes, s->delay_p50_ms, s->delay_p99_ms, terminal ? "   " : "\n");
}

static void print_percentiles(const char *name, const struct histogram *h)
{
    if (h->count)
        printf("  %-24s p50 %8.1f   p95 %8.1f   p99 %8.1f   max %8.1f ms\n", name, ms(h, 50), ms(h, 95), ms(h, 99),
               (double)h->max / 1000);
}

void report_print_end(const struct report *r)
{
    const struct tally *t = &r->total;

    printf("viewers: %llu asked, %llu joined, %llu failed, %llu dropped, %llu cut off by the end\n", (unsigned long long)t->asked,
           (unsigned long long)t->joined, (unsigned long long)t->failed, (unsigned long long)t->dropped,
           (unsigned long long)t->cut_off);
    for (size_t i = 0; i < TALLY_CAUSES_MAX && t->causes[i].name[0]; i++)
        printf("  %llu x %s\n", (unsigned long long)t->causes[i].count, t->causes[i].name);
    print_percentiles("join", &t->join_us);
    print_percentiles("  http", &t->http_us);
    print_percentiles("  ice", &t->ice_us);
    print_percentiles("  dtls", &t->dtls_us);
    print_percentiles("first whole keyframe", &t->first_keyframe_us);
    print_percentiles("delay", &t->delay_us);
    print_percentiles("delay of the first", &t->delay_first_us);
    print_percentiles("jitter", &t->jitter_us);
    if (t->rtp_received)
        printf("rtp: %llu received (%.0f%% checked, %llu bad), %llu lost after repair, %llu recovered, %llu asked again\n",
               (unsigned long long)t->rtp_received, 100.0 * (double)t->rtp_checked / (double)t->rtp_received,
               (unsigned long long)t->rtp_bad, (unsigned long long)t->rtp_lost, (unsigned long long)t->rtp_recovered,
               (unsigned long long)t->nacks);
    printf("picture: %llu frames, %llu breaks, %llu jumps, %llu freezes (%.1f s); %.1f MB\n", (unsigned long long)t->frames,
           (unsigned long long)t->breaks, (unsigned long long)t->jumps, (unsigned long long)t->freezes,
           (double)t->frozen_us / 1e6, (double)t->bytes / 1e6);
    if (t->lost || t->moves || t->moves_failed)
        printf("servers: %llu viewers lost theirs, %llu of them came back; %llu moved to another as told, %llu could not\n",
               (unsigned long long)t->lost, (unsigned long long)t->reconnects, (unsigned long long)t->moves,
               (unsigned long long)t->moves_failed);
    print_percentiles("back again", &t->reconnect_us);
    print_percentiles("moved", &t->move_us);
    if (t->published)
        printf("publishers: %llu of %llu accepted, %llu failed, %llu frames sent, %llu of them late\n",
               (unsigned long long)t->publishing, (unsigned long long)t->published, (unsigned long long)t->publish_failed,
               (unsigned long long)t->publish_frames, (unsigned long long)t->publish_late);
    if (t->socket_drops)
        printf("NOTE: %llu datagrams were lost in this program's own sockets: it was too slow, not the server\n",
               (unsigned long long)t->socket_drops);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static json_t *percentiles(const struct histogram *h)
{
    if (h->count == 0)
        return json_pack("{s:n,s:n,s:n,s:n,s:n,s:i}", "p50", "p95", "p99", "mean", "max", "count", 0);
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:I}", "p50", ms(h, 50), "p95", ms(h, 95), "p99", ms(h, 99), "mean",
                     histogram_mean(h) / 1000, "max", (double)h->max / 1000, "count", (json_int_t)h->count);
}

static json_t *tally_json(const struct tally *t)
{
    json_t *o = json_object(), *causes = json_object(), *raw = json_object();

    for (size_t i = 0; i < TALLY_CAUSES_MAX && t->causes[i].name[0]; i++)
        json_object_set_new(causes, t->causes[i].name, json_integer((json_int_t)t->causes[i].count));
#define X(name) json_object_set_new(raw, #name, json_integer((json_int_t)t->name));
    TALLY_COUNTERS(X)
#undef X
    json_object_set_new(o, "viewers", json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "asked", (json_int_t)t->asked, "joined",
                                                (json_int_t)t->joined, "failed", (json_int_t)t->failed, "cut_off",
                                                (json_int_t)t->cut_off, "dropped", (json_int_t)t->dropped, "left",
                                                (json_int_t)t->left));
    json_object_set_new(o, "failures", causes);
    json_object_set_new(o, "join_ms", percentiles(&t->join_us));
    json_object_set_new(o, "steps_ms", json_pack("{s:o,s:o,s:o}", "http", percentiles(&t->http_us), "ice",
                                                 percentiles(&t->ice_us), "dtls", percentiles(&t->dtls_us)));
    json_object_set_new(o, "first_keyframe_ms", percentiles(&t->first_keyframe_us));
    json_object_set_new(o, "delay_ms", percentiles(&t->delay_us));
    json_object_set_new(o, "delay_first_ms", percentiles(&t->delay_first_us));
    json_object_set_new(o, "jitter_ms", percentiles(&t->jitter_us));
    json_object_set_new(o, "freeze_ms", percentiles(&t->freeze_us));
    json_object_set_new(o, "step_ms", percentiles(&t->step_us));
    json_object_set_new(o, "freezes", json_integer((json_int_t)t->freezes));
    json_object_set_new(o, "bytes", json_integer((json_int_t)t->bytes));
    json_object_set_new(o, "rtp", json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "received", (json_int_t)t->rtp_received,
                                            "lost_after_repair", (json_int_t)t->rtp_lost, "lost_audio", (json_int_t)t->rtp_lost_audio, "recovered",
                                            (json_int_t)t->rtp_recovered, "reordered", (json_int_t)t->rtp_reordered,
                                            "duplicates", (json_int_t)t->rtp_duplicates, "nacks", (json_int_t)t->nacks,
                                            "checked", (json_int_t)t->rtp_checked, "bad", (json_int_t)t->rtp_bad));
    json_object_set_new(o, "picture", json_pack("{s:I,s:I,s:I,s:I}", "frames", (json_int_t)t->frames, "keyframes",
                                                (json_int_t)t->keyframes, "breaks", (json_int_t)t->breaks, "jumps",
                                                (json_int_t)t->jumps));
    json_object_set_new(o, "servers_lost", json_pack("{s:I,s:I,s:I,s:I,s:o,s:o}", "lost", (json_int_t)t->lost, "reconnected",
                                                     (json_int_t)t->reconnects, "moved", (json_int_t)t->moves, "not_moved",
                                                     (json_int_t)t->moves_failed, "reconnect_ms", percentiles(&t->reconnect_us),
                                                     "move_ms", percentiles(&t->move_us)));
    json_object_set_new(o, "publishers", json_pack("{s:I,s:I,s:I,s:I}", "started", (json_int_t)t->published, "accepted",
                                                   (json_int_t)t->publishing, "failed", (json_int_t)t->publish_failed,
                                                   "frames_late", (json_int_t)t->publish_late));
    json_object_set_new(o, "counters", raw);
    return o;
}

static json_t *sample_json(const struct report_sample *s)
{
    return json_pack("{s:f,s:f,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "t", s->at_s, "seconds",
                     s->seconds, "playing", (int)s->playing, "joined", (json_int_t)s->joined, "failed",
                     (json_int_t)s->failed, "rtp", (json_int_t)s->rtp_received, "lost", (json_int_t)s->rtp_lost, "nacks",
                     (json_int_t)s->nacks, "bytes", (json_int_t)s->bytes, "freezes", (json_int_t)s->freezes, "join_p50_ms",
                     s->join_p50_ms, "join_p95_ms", s->join_p95_ms, "keyframe_p50_ms", s->keyframe_p50_ms,
                     "keyframe_p95_ms", s->keyframe_p95_ms, "delay_p50_ms", s->delay_p50_ms, "delay_p95_ms",
                     s->delay_p95_ms, "delay_p99_ms", s->delay_p99_ms, "jitter_p95_ms", s->jitter_p95_ms);
}

char *report_json(const struct report *r)
{
    json_t *o = tally_json(&r->total), *samples = json_array();

    for (size_t i = 0; i < r->n_samples; i++)
        json_array_append_new(samples, sample_json(&r->samples[i]));
    json_object_set_new(o, "command", json_string(r->command));
    json_object_set_new(o, "version", json_string(MILLRACE_VERSION));
    json_object_set_new(o, "seconds", json_real(r->seconds));
    json_object_set_new(o, "threads", json_integer(r->threads));
    json_object_set_new(o, "sockets", json_string(r->socket_mode));
    if (r->steady_s > 0) {
        json_t *steady = tally_json(&r->steady);
        json_object_set_new(steady, "from_s", json_real(r->steady_from_s));
        json_object_set_new(steady, "seconds", json_real(r->steady_s));
        json_object_set_new(o, "steady", steady);
    }
    json_object_set_new(o, "samples", samples);
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(o);
    return text;
}

/* ---- Files --------------------------------------------------------------------------------------------------------- */

static int finish(FILE *f, const char *path)
{
    bool bad = !f || ferror(f);

    if (f && fclose(f))
        bad = true;
    if (bad)
        fprintf(stderr, "millrace-load: %s: cannot be written: %s\n", path, strerror(errno));
    return bad ? -1 : 0;
}

int report_write_json(const struct report *r, const char *path)
{
    char *text = report_json(r);
    FILE *f = text ? fopen(path, "w") : NULL;

    if (f)
        fprintf(f, "%s\n", text);
    free(text);
    return finish(f, path);
}

int report_write_csv(const struct report *r, const char *path)
{
    FILE *f = fopen(path, "w");

    if (!f)
        return finish(f, path);
    fprintf(f, "t_s,playing,joined,failed,rtp_received,rtp_lost,nacks,bytes,frames,freezes,socket_drops,join_p50_ms,"
               "join_p95_ms,keyframe_p50_ms,keyframe_p95_ms,delay_p50_ms,delay_p95_ms,delay_p99_ms,jitter_p95_ms\n");
    for (size_t i = 0; i < r->n_samples; i++) {
        const struct report_sample *s = &r->samples[i];
        fprintf(f, "%.3f,%u,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f\n", s->at_s,
                s->playing, (unsigned long long)s->joined, (unsigned long long)s->failed,
                (unsigned long long)s->rtp_received, (unsigned long long)s->rtp_lost, (unsigned long long)s->nacks,
                (unsigned long long)s->bytes, (unsigned long long)s->frames, (unsigned long long)s->freezes,
                (unsigned long long)s->socket_drops, s->join_p50_ms, s->join_p95_ms, s->keyframe_p50_ms,
                s->keyframe_p95_ms, s->delay_p50_ms, s->delay_p95_ms, s->delay_p99_ms, s->jitter_p95_ms);
    }
    return finish(f, path);
}
