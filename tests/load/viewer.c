/* SPDX-License-Identifier: Apache-2.0
 * viewer.c - what all viewers and publishers have in common; see thread.h. */
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>

static void retire(struct viewer *v)
{
    struct load_thread *t = v->thread;

    v->closed = true;
    list_remove(&v->link);
    list_push_back(&t->dead, &v->link);
    if (v->publisher)
        return;
    t->alive--;
    t->playing -= v->joined;
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
    tally->joined++;
    v->thread->playing++;
    histogram_push(&tally->join_us, at_us > v->started_us ? at_us - v->started_us : 0);
}

void viewer_keyframe(struct viewer *v, uint64_t at_us)
{
    histogram_push(&v->thread->tally.first_keyframe_us, at_us > v->started_us ? at_us - v->started_us : 0);
}

void viewer_failed(struct viewer *v, const char *cause)
{
    struct tally *tally = &v->thread->tally;

    if (v->closed)
        return;
    tally_cause_push(tally, cause, 1);
    if (v->publisher)
        tally->publish_failed++;
    else if (v->joined)
        tally->dropped++;
    else
        tally->failed++;
    retire(v);
    v->ops->close(v, true);
}

void viewer_http_failed(struct viewer *v, const struct http_answer *a)
{
    char cause[96];

    if (a->status)
        snprintf(cause, sizeof(cause), "http %u", a->status);
    else
        snprintf(cause, sizeof(cause), "http: %s", a->error);
    viewer_failed(v, cause);
}

uint64_t viewer_left_us(const struct viewer *v)
{
    uint64_t now_us = worker_now_us(v->thread->worker);
    return v->deadline_us > now_us ? v->deadline_us - now_us : 0;
}


void viewer_leave(struct viewer *v)
{
    if (v->closed)
        return;
    if (!v->publisher && v->joined) {
        v->thread->tally.left++;
    } else if (!v->publisher) {
        v->thread->tally.failed++;
        tally_cause_push(&v->thread->tally, "no media before the end", 1);
    }
    retire(v);
    v->ops->close(v, true);
}

int viewer_url(const struct viewer *v, struct url *out)
{
    char text[URL_BYTES_MAX + 1];

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
