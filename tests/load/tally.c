/* SPDX-License-Identifier: Apache-2.0
 * tally.c - sums and differences of tallies; see tally.h. */
#include "tally.h"

#include <stdio.h>
#include <string.h>

void tally_cause_push(struct tally *t, const char *name, uint64_t count)
{
    for (size_t i = 0; i < TALLY_CAUSES_MAX; i++) {
        struct tally_cause *c = &t->causes[i];

        if (i == TALLY_CAUSES_MAX - 1)
            name = "other";
        if (c->name[0] == '\0')
            snprintf(c->name, sizeof(c->name), "%s", name);
        if (strncmp(c->name, name, sizeof(c->name) - 1) == 0) {
            c->count += count;
            return;
        }
    }
}

void tally_add(struct tally *t, const struct tally *other)
{
#define X(name) t->name += other->name;
    TALLY_COUNTERS(X)
#undef X
#define X(name) histogram_add(&t->name, &other->name);
    TALLY_HISTOGRAMS(X)
#undef X
    for (size_t i = 0; i < TALLY_CAUSES_MAX && other->causes[i].name[0]; i++)
        tally_cause_push(t, other->causes[i].name, other->causes[i].count);
}

void tally_subtract(struct tally *t, const struct tally *earlier)
{
#define X(name) t->name -= earlier->name;
    TALLY_COUNTERS(X)
#undef X
#define X(name) histogram_subtract(&t->name, &earlier->name);
    TALLY_HISTOGRAMS(X)
#undef X
}
