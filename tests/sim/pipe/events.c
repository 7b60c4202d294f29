/* SPDX-License-Identifier: Apache-2.0
 *
 * A binary heap in an array.
 */
#include "events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

uint64_t roll(struct dice *d)
{
    d->state ^= d->state >> 12;
    d->state ^= d->state << 25;
    d->state ^= d->state >> 27;
    return d->state * 0x2545f4914f6cdd1dU;
}

double roll_unit(struct dice *d)
{
    return (double)(roll(d) >> 11) / (double)((uint64_t)1 << 53);
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void events_push(struct events *q, struct event e)
{
    size_t i = q->n++;

    assert_true(q->n < EVENTS_MAX);
    e.order = q->order++;
    for (; i > 0 && before(&e, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = e;
}

struct event events_pop(struct events *q)
{
    struct event top = q->heap[0], last = q->heap[--q->n];
    size_t i = 0;

    for (;;) {
        size_t c = i * 2 + 1;
        if (c + 1 < q->n && before(&q->heap[c + 1], &q->heap[c]))
            c++;
        if (c >= q->n || !before(&q->heap[c], &last))
            break;
        q->heap[i] = q->heap[c];
        i = c;
    }
    q->heap[i] = last;
    return top;
}
