/* SPDX-License-Identifier: Apache-2.0 */
#include "node/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS_MAX = 127 /* bytes */ };

struct sample {
    const struct metric *family;
    char labels[LABELS_MAX + 1];
    double value;
};

/* Some dozens of samples, looked up once a scrape: a plain array does. */
struct metrics {
    struct sample *v;
    size_t n, cap;
};

int metrics_create(struct metrics **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : -1;
}

void metrics_destroy(struct metrics **m)
{
    if (*m)
        free((*m)->v);
    free(*m);
    *m = NULL;
}

static struct sample *find(struct metrics *m, const struct metric *family, const char *labels)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->v[i].family->name, family->name) == 0 && strcmp(m->v[i].labels, labels) == 0)
            return &m->v[i];
    if (m->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 64;
        struct sample *v = realloc(m->v, cap * sizeof(*v));
        if (!v)
            return NULL;
        m->v = v;
        m->cap = cap;
    }
    struct sample *s = &m->v[m->n++];
    *s = (struct sample){.family = family};
    strncpy(s->labels, labels, LABELS_MAX);
    return s;
}

void metrics_add(struct metrics *m, const struct metric *family, const char *labels, double value)
{
    struct sample *s = find(m, family, labels);

    if (s)
        s->value += value;
}

void metrics_merge(struct metrics *into, const struct metrics *from)
{
    for (size_t i = 0; i < from->n; i++)
        metrics_add(into, from->v[i].family, from->v[i].labels, from->v[i].value);
}

static void print_family(FILE *f, const struct metrics *m, size_t first)
{
    const struct metric *family = m->v[first].family;

    fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
            family->type == METRIC_COUNTER ? "counter" : "gauge");
    for (size_t i = first; i < m->n; i++) {
        const struct sample *s = &m->v[i];
        if (strcmp(s->family->name, family->name) != 0)
            continue;
        if (s->labels[0])
            fprintf(f, "%s{%s} %.17g\n", family->name, s->labels, s->value);
        else
            fprintf(f, "%s %.17g\n", family->name, s->value);
    }
}

static int is_first(const struct metrics *m, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(m->v[i].family->name, m->v[at].family->name) == 0)
            return 0;
    return 1;
}

char *metrics_print(const struct metrics *m, size_t *len)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, len);

    if (!f)
        return NULL;
    for (size_t i = 0; i < m->n; i++)
        if (is_first(m, i))
            print_family(f, m, i);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
