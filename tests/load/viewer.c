/* SPDX-License-Identifier: Apache-2.0
 * viewer.c - what all viewers and publishers have in common; see thread.h. */
#include "thread.h"

#include <jansson.h>
#include <stdio.h>

enum { CUT_OFF_US = 1000000 };

static void retire(struct viewer *v)
{
    struct load_thread *t = v->thread;

    v->closed = true;
    list_remove(&v->link);
    list_push_back(&t->dead, &v->link);
    if (v->replaces)
        v->replaces->replacement = NULL;
    if (v->replacement)
        v->replacement->replaces = NULL;
    v->replaces = v->replacement = NULL;
    if (v->publisher)
        return;
    t->alive--;
    t->playing -= v->joined;
}

static uint64_t waited_us(const struct viewer *v, uint64_t at_us)
{
    return at_us > v->started_us ? at_us - v->started_us : 0;
}

/* In the place of one that plays still, or has lost its server. */
static void take_over(struct viewer *v, uint64_t at_us)
{
    struct tally *tally = &v->thread->tally;
    struct viewer *old = v->replaces;

    if (v->comes_back) {
        tally->reconnects++;
        histogram_push(&tally->reconnect_us, waited_us(v, at_us));
    } else {
        tally->moves++;
        histogram_push(&tally->move_us, waited_us(v, at_us));
    }
    if (!old)
        return;
    retire(old);
    old->ops->close(old, true);
}

void viewer_joined(struct viewer *v, uint64_t at_us)
{
    struct tally *tally = &v->thread->tally;

    if (v->joined)
        return;
    v->joined = true;
    if (v->publisher) {
        tally->publishing++;
        return;
    }
    v->thread->playing++;
    v->media_us = at_us;
    if (v->moved_to || v->comes_back) {
        take_over(v, at_us);
        return;
    }
    tally->joined++;
    histogram_push(&tally->join_us, waited_us(v, at_us));
}

void viewer_keyframe(struct viewer *v, uint64_t at_us)
{
    if (!v->moved_to && !v->comes_back)
        histogram_push(&v->thread->tally.first_keyframe_us, waited_us(v, at_us));
}

/* The server was lost: is another one in this place, or coming? */
static bool comes_again(struct viewer *v)
{
    struct load_thread *t = v->thread;

    t->tally.lost++;
    if (v->replacement) {
        v->replacement->comes_back = true; /* it counts as that from now on */
        return true;
    }
    return t->options->reconnect && !t->ending && viewer_replace(v, NULL);
}

static void count_failure(struct viewer *v)
{
    struct tally *tally = &v->thread->tally;

    if (v->publisher)
        tally->publish_failed++;
    else if (v->joined)
        tally->dropped += !comes_again(v);
    else if (v->replaces)
        tally->moves_failed++;
    else if (v->moved_to || v->comes_back)
        tally->dropped++; /* that one had been lost too */
    else
        tally->failed++;
}

void viewer_failed(struct viewer *v, const char *cause)
{
    if (v->closed)
        return;
    tally_cause_push(&v->thread->tally, cause, 1);
    count_failure(v);
    retire(v);
    v->ops->close(v, true);
}

/* With the detail that a problem's body has (RFC 9457 s3.1). */
static void name_http(char *out, size_t cap, const struct http_answer *a)
{
    json_t *problem = a->status ? json_loadb(a->body, a->body_len, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));

    if (a->status)
        snprintf(out, cap, "http %u%s%s", a->status, detail ? ": " : "", detail ? detail : "");
    else
        snprintf(out, cap, "http: %s", a->error);
    json_decref(problem);
}

void viewer_http_failed(struct viewer *v, const struct http_answer *a)
{
    char cause[TALLY_CAUSE_BYTES];

    name_http(cause, sizeof(cause), a);
    viewer_failed(v, cause);
}

void viewer_refused(struct viewer *v, const struct http_answer *a)
{
    name_http(v->refused, sizeof(v->refused), a);
    v->thread->tally.retries++;
}

void viewer_move(struct viewer *v, const char *url)
{
    if (v->joined && !v->closed && !v->replacement && !v->thread->ending && !viewer_replace(v, url))
        v->thread->tally.moves_failed++;
}

uint64_t viewer_left_us(const struct viewer *v)
{
    uint64_t now_us = worker_now_us(v->thread->worker);
    return v->deadline_us > now_us ? v->deadline_us - now_us : 0;
}

/* It has had no more time than those who joined took, or than a second; where nobody has joined there is nothing to compare with. */
static bool is_cut_off(const struct viewer *v)
{
    const struct histogram *join_us = &v->thread->tally.join_us;
    uint64_t waited = waited_us(v, worker_now_us(v->thread->worker));

    return !v->comes_back && join_us->count && waited <= (join_us->max > CUT_OFF_US ? join_us->max : CUT_OFF_US);
}

static void count_leaving(struct viewer *v)
{
    struct tally *tally = &v->thread->tally;

    if (v->publisher || v->replaces)
        return; /* whose place it is leaves too */
    tally->left += v->joined;
    if (v->joined)
        return;
    if (is_cut_off(v)) {
        tally->cut_off++;
        return;
    }
    if (v->comes_back)
        tally->dropped++;
    else
        tally->failed++;
    char cause[TALLY_CAUSE_BYTES];
    snprintf(cause, sizeof(cause), "%s before the end (%s)", v->comes_back ? "not back" : "no media",
             v->refused[0] ? v->refused : v->ops->awaits(v));
    tally_cause_push(tally, cause, 1);
}

/* As planned; one that was on its way to take its place does not come. */
void viewer_leave(struct viewer *v)
{
    struct viewer *coming = v->replacement;

    if (v->closed)
        return;
    count_leaving(v);
    retire(v);
    v->ops->close(v, true);
    if (coming) {
        retire(coming);
        coming->ops->close(coming, true);
    }
}

int viewer_url(const struct viewer *v, struct url *out, struct addr *to)
{
    char text[URL_BYTES_MAX + 1], authority[URL_HOST_MAX + 10];

    if (v->moved_to) {
        if (url_parse(out, v->moved_to))
            return -1;
        url_authority(out, authority);
        return addr_resolve(to, authority) ? -1 : 0;
    }
    *to = *viewer_to(v);
    url_number(text, sizeof(text), v->group->plan->url, v->stream);
    return url_parse(out, text);
}

const struct addr *viewer_to(const struct viewer *v)
{
    return &v->group->to[v->stream % v->group->n_to];
}

uint64_t viewer_at_us(const struct viewer *v, uint64_t unix_us)
{
    const struct worker *w = v->thread->worker;
    uint64_t ago_us = worker_unix_us(w) - unix_us;

    return ago_us < UINT64_C(60000000) ? worker_now_us(w) - ago_us : worker_now_us(w);
}
