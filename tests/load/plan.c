/* SPDX-License-Identifier: Apache-2.0
 * plan.c - groups, and scenarios in YAML; see plan.h. */
#include "plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { SCENARIO_BYTES_MAX = 1 << 20, DURATION_DEFAULT_S = 30, COUNT_MAX = 1000000 };

void plan_init(struct plan *p)
{
    memset(p, 0, sizeof(*p));
    p->duration_s = DURATION_DEFAULT_S;
}

struct plan_group *plan_group_push(struct plan *p, enum plan_kind kind, const char *url)
{
    if (p->n_groups == PLAN_GROUPS_MAX)
        return NULL;
    struct plan_group *g = &p->groups[p->n_groups++];
    *g = (struct plan_group){.kind = kind, .count = 1, .streams = 1, .start_s = -1, .hold_s = -1, .stamp_every = PLAN_STAMP_EVERY};
    snprintf(g->url, sizeof(g->url), "%s", url);
    return g;
}

/* ---- Numbers ---------------------------------------------------------------------------------------------- */

int plan_number(const char *text, double *out)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || !isfinite(v) || v < 0)
        return -1;
    if (*end == 'k' || *end == 'K')
        v *= 1e3, end++;
    else if (*end == 'M')
        v *= 1e6, end++;
    if (*end != '\0')
        return -1;
    *out = v;
    return 0;
}

int plan_synthetic(const char *text, struct plan_synthetic *out)
{
    struct plan_synthetic s = {0};
    int at = 0;

    if (sscanf(text, "%up%u@%n", &s.height, &s.fps, &at) != 2 || at == 0 || plan_number(text + at, &s.bps))
        return -1;
    if (s.height < 90 || s.height > 2160 || s.height % 2 || s.fps < 1 || s.fps > 120 || s.bps < 10e3 || s.bps > 200e6)
        return -1;
    s.width = (s.height * 16 / 9 + 1) / 2 * 2;
    *out = s;
    return 0;
}

/* ---- Times --------------------------------------------------------------------------------------------------- */

double plan_group_ramped_s(const struct plan_group *g)
{
    return fmax(g->start_s, 0) + (g->ramp > 0 && g->count > 1 ? (g->count - 1) / g->ramp : 0);
}

double plan_ramped_s(const struct plan *p)
{
    double s = 0;

    for (size_t i = 0; i < p->n_groups; i++)
        if (plan_is_viewer(&p->groups[i]))
            s = fmax(s, plan_group_ramped_s(&p->groups[i]));
    return s;
}

double plan_group_end_s(const struct plan *p, const struct plan_group *g)
{
    if (!plan_is_viewer(g) && g->hold_s < 0)
        return plan_end_s(p);
    return g->hold_s < 0 ? plan_ramped_s(p) + p->duration_s : plan_group_ramped_s(g) + g->hold_s;
}

double plan_end_s(const struct plan *p)
{
    double s = 0;
    bool viewers = false;

    for (size_t i = 0; i < p->n_groups; i++)
        if (plan_is_viewer(&p->groups[i])) {
            viewers = true;
            s = fmax(s, plan_group_end_s(p, &p->groups[i]));
        }
    return viewers ? s : p->duration_s;
}

/* ---- Scenarios ------------------------------------------------------------------------------------------------ */

struct scenario {
    struct plan *plan;
    const char *name;
    yaml_document_t doc;
    char *err;
};

static int complain(const struct scenario *s, const yaml_node_t *at, const char *what, const char *which)
{
    snprintf(s->err, PLAN_ERROR_CAP, "%s:%zu: %s%s%s", s->name, at ? at->start_mark.line + 1 : 1, what, which[0] ? ": " : "",
             which);
    return -1;
}

static const char *text_of(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static int read_number(const struct scenario *s, const yaml_node_t *n, double *out)
{
    const char *text = text_of(n);
    return text && plan_number(text, out) == 0 ? 0 : complain(s, n, "a number was expected", text ? text : "");
}

static int read_count(const struct scenario *s, const yaml_node_t *n, unsigned *out)
{
    double v;

    if (read_number(s, n, &v))
        return -1;
    if (v < 1 || v > COUNT_MAX || v != floor(v))
        return complain(s, n, "a whole number from 1 to 1000000 was expected", "");
    *out = (unsigned)v;
    return 0;
}

static int read_text(const struct scenario *s, const yaml_node_t *n, char *out, size_t cap)
{
    const char *text = text_of(n);

    if (!text || strlen(text) >= cap)
        return complain(s, n, "a text was expected, and not so long", "");
    strcpy(out, text);
    return 0;
}

/* A key that both kinds of groups or a surge may have. 1: not one of them. */
static int read_common(const struct scenario *s, struct plan_group *g, const char *key, const yaml_node_t *value)
{
    if (strcmp(key, "ramp") == 0)
        return read_number(s, value, &g->ramp);
    if (strcmp(key, "hold") == 0)
        return read_number(s, value, &g->hold_s);
    if (strcmp(key, "viewers") == 0 || strcmp(key, "count") == 0)
        return read_count(s, value, &g->count);
    return 1;
}

typedef int read_key(const struct scenario *s, struct plan_group *g, const char *key, const yaml_node_t *key_node,
                     const yaml_node_t *value);

/* Whether the key is in the map before this place already. */
static bool is_twice(struct scenario *s, const yaml_node_t *map, const yaml_node_pair_t *at, const char *key)
{
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < at; p++) {
        const char *before = text_of(yaml_document_get_node(&s->doc, p->key));
        if (before && strcmp(before, key) == 0)
            return true;
    }
    return false;
}

static int read_map(struct scenario *s, const yaml_node_t *map, struct plan_group *g, read_key *read)
{
    if (map->type != YAML_MAPPING_NODE)
        return complain(s, map, "keys and values were expected", "");
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key_node = yaml_document_get_node(&s->doc, p->key);
        const yaml_node_t *value = yaml_document_get_node(&s->doc, p->value);
        const char *key = text_of(key_node);

        if (!key)
            return complain(s, key_node, "a key was expected", "");
        if (is_twice(s, map, p, key))
            return complain(s, key_node, "given twice", key);
        if (read(s, g, key, key_node, value))
            return -1;
    }
    return 0;
}

static int read_surge_key(const struct scenario *s, struct plan_group *g, const char *key, const yaml_node_t *key_node,
                          const yaml_node_t *value)
{
    if (strcmp(key, "at") == 0)
        return read_number(s, value, &g->start_s);
    int err = read_common(s, g, key, value);
    return err == 1 ? complain(s, key_node, "unknown key of a surge (at, viewers, ramp, hold)", key) : err;
}

static int read_watch_key(const struct scenario *s, struct plan_group *g, const char *key, const yaml_node_t *key_node,
                          const yaml_node_t *value)
{
    if (strcmp(key, "whep") == 0 || strcmp(key, "flv") == 0) {
        if (g->url[0])
            return complain(s, key_node, "a group is of one kind, this is a second", key);
        g->kind = key[0] == 'w' ? PLAN_WHEP : PLAN_FLV;
        return read_text(s, value, g->url, sizeof(g->url));
    }
    if (strcmp(key, "streams") == 0)
        return read_count(s, value, &g->streams);
    if (strcmp(key, "start") == 0)
        return read_number(s, value, &g->start_s);
    if (strcmp(key, "churn") == 0)
        return read_number(s, value, &g->churn);
    if (strcmp(key, "surge") == 0)
        return 0; /* a group of its own, read when this one is known */
    int err = read_common(s, g, key, value);
    return err == 1 ? complain(s, key_node, "unknown key of a watch group", key) : err;
}

static int read_publish_key(const struct scenario *s, struct plan_group *g, const char *key, const yaml_node_t *key_node,
                            const yaml_node_t *value)
{
    if (strcmp(key, "rtmp") == 0 || strcmp(key, "whip") == 0) {
        if (g->url[0])
            return complain(s, key_node, "a group is of one kind, this is a second", key);
        g->kind = key[0] == 'r' ? PLAN_RTMP : PLAN_WHIP;
        return read_text(s, value, g->url, sizeof(g->url));
    }
    if (strcmp(key, "file") == 0)
        return read_text(s, value, g->source, sizeof(g->source));
    if (strcmp(key, "synthetic") == 0)
        return read_text(s, value, g->synthetic, sizeof(g->synthetic));
    if (strcmp(key, "stamp_every") == 0)
        return read_count(s, value, &g->stamp_every);
    if (strcmp(key, "start") == 0)
        return read_number(s, value, &g->start_s);
    int err = strcmp(key, "viewers") == 0 ? 1 : read_common(s, g, key, value);
    return err == 1 ? complain(s, key_node, "unknown key of a publish group", key) : err;
}

static const yaml_node_t *value_of(struct scenario *s, const yaml_node_t *map, const char *name)
{
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const char *key = text_of(yaml_document_get_node(&s->doc, p->key));

        if (key && strcmp(key, name) == 0)
            return yaml_document_get_node(&s->doc, p->value);
    }
    return NULL;
}

/* As its group, but for what it says itself. */
static int read_surge(struct scenario *s, const yaml_node_t *surge, const struct plan_group *of)
{
    struct plan_group *g = plan_group_push(s->plan, of->kind, of->url);
    if (!g)
        return complain(s, surge, "too many groups", "");
    g->streams = of->streams;
    return read_map(s, surge, g, read_surge_key);
}

/* One, or a list of them. */
static int read_surges(struct scenario *s, const yaml_node_t *map, const struct plan_group *of)
{
    const yaml_node_t *surge = value_of(s, map, "surge");

    if (!surge)
        return 0;
    if (surge->type != YAML_SEQUENCE_NODE)
        return read_surge(s, surge, of);
    for (yaml_node_item_t *i = surge->data.sequence.items.start; i < surge->data.sequence.items.top; i++)
        if (read_surge(s, yaml_document_get_node(&s->doc, *i), of))
            return -1;
    return 0;
}

static int read_groups(struct scenario *s, const yaml_node_t *list, bool watch)
{
    if (list->type != YAML_SEQUENCE_NODE)
        return complain(s, list, "a list was expected", "");
    for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top; i++) {
        const yaml_node_t *map = yaml_document_get_node(&s->doc, *i);
        struct plan_group *g = plan_group_push(s->plan, watch ? PLAN_WHEP : PLAN_RTMP, "");

        if (!g)
            return complain(s, map, "too many groups", "");
        if (read_map(s, map, g, watch ? read_watch_key : read_publish_key))
            return -1;
        if (g->url[0] == '\0')
            return complain(s, map, watch ? "a group needs whep or flv" : "a group needs rtmp or whip", "");
        if (watch && read_surges(s, map, g))
            return -1;
    }
    return 0;
}

static int read_root(struct scenario *s, const yaml_node_t *root)
{
    if (!root || root->type != YAML_MAPPING_NODE)
        return complain(s, root, "publish, watch and duration were expected", "");
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key_node = yaml_document_get_node(&s->doc, p->key);
        const yaml_node_t *value = yaml_document_get_node(&s->doc, p->value);
        const char *key = text_of(key_node);
        int err;

        if (key && is_twice(s, root, p, key))
            err = complain(s, key_node, "given twice", key);
        else if (key && strcmp(key, "duration") == 0)
            err = read_number(s, value, &s->plan->duration_s);
        else if (key && (strcmp(key, "watch") == 0 || strcmp(key, "publish") == 0))
            err = read_groups(s, value, key[0] == 'w');
        else
            err = complain(s, key_node, "unknown key (publish, watch, duration)", key ? key : "");
        if (err)
            return -1;
    }
    return 0;
}

int plan_read(struct plan *p, const char *name, const char *text, size_t len, char err[PLAN_ERROR_CAP])
{
    struct scenario s = {.plan = p, .name = name, .err = err};
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser)) {
        snprintf(err, PLAN_ERROR_CAP, "out of memory");
        return -1;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (!yaml_parser_load(&parser, &s.doc)) {
        snprintf(err, PLAN_ERROR_CAP, "%s:%zu: %s", name, parser.problem_mark.line + 1,
                 parser.problem ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return -1;
    }
    int result = read_root(&s, yaml_document_get_root_node(&s.doc));
    yaml_document_delete(&s.doc);
    yaml_parser_delete(&parser);
    return result;
}

int plan_read_file(struct plan *p, const char *path, char err[PLAN_ERROR_CAP])
{
    FILE *f = fopen(path, "rb");
    char *text = f ? malloc(SCENARIO_BYTES_MAX) : NULL;
    int result = -1;

    snprintf(err, PLAN_ERROR_CAP, "%s: cannot be read", path);
    if (text)
        result = plan_read(p, path, text, fread(text, 1, SCENARIO_BYTES_MAX, f), err);
    free(text);
    if (f)
        fclose(f);
    return result;
}

static int check_group(const struct plan_group *g, char err[PLAN_ERROR_CAP])
{
    bool rtmp = g->kind == PLAN_RTMP;
    struct plan_synthetic synthetic;
    struct url u;
    char url[URL_BYTES_MAX + 1];

    url_number(url, sizeof(url), g->url, 0);
    if (url_parse(&u, url) || (strncmp(u.scheme, "rtmp", 4) == 0) != rtmp)
        snprintf(err, PLAN_ERROR_CAP, "%.256s: not a URL of %s", g->url, rtmp ? "rtmp" : "http");
    else if (!plan_is_viewer(g) && !g->source[0] == !g->synthetic[0])
        snprintf(err, PLAN_ERROR_CAP, "%.256s: a file or synthetic media to publish, one of both", g->url);
    else if (g->synthetic[0] && plan_synthetic(g->synthetic, &synthetic))
        snprintf(err, PLAN_ERROR_CAP, "%s: synthetic media are given as 720p30@2.5M", g->synthetic);
    else
        return 0;
    return -1;
}

void plan_finish(struct plan *p)
{
    double published_s = -PLAN_PUBLISHED_S;

    for (size_t i = 0; i < p->n_groups; i++)
        if (!plan_is_viewer(&p->groups[i]))
            published_s = fmax(published_s, plan_group_ramped_s(&p->groups[i]));
    for (size_t i = 0; i < p->n_groups; i++) {
        struct plan_group *g = &p->groups[i];
        if (g->start_s < 0)
            g->start_s = plan_is_viewer(g) ? published_s + PLAN_PUBLISHED_S : 0;
    }
}

int plan_check(const struct plan *p, char err[PLAN_ERROR_CAP])
{
    if (p->n_groups == 0) {
        snprintf(err, PLAN_ERROR_CAP, "nothing to do: no viewers, no publishers");
        return -1;
    }
    for (size_t i = 0; i < p->n_groups; i++)
        if (check_group(&p->groups[i], err))
            return -1;
    return 0;
}
