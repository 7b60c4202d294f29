/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

enum value_type { TEXT, NUMBER, FLAG, ADDRESS, OFF_OR_ADDRESS, CHOICE, DEGREES, TEXTS, TOKEN_KEY };

enum { ORIGIN = 1 << NODE_ORIGIN, BACKBONE = 1 << NODE_BACKBONE, EDGE = 1 << NODE_EDGE, ALL = ORIGIN | BACKBONE | EDGE };

struct key {
    const char *section, *name;
    unsigned roles;
    enum value_type type;
    size_t offset;
    const char *fallback; /* as it would stand in the file; '|' separates origin|backbone|edge */
    uint64_t min, max;    /* NUMBER; DEGREES: max is the greatest, and its negative the least */
    const char *choices[5]; /* CHOICE: the value is the index */
};

#define AT(field) offsetof(struct config, field)

static const struct key keys[] = {
    {"node", "id", ALL, TEXT, AT(node.id), "", 0, 0, {0}},
    {"node", "region", ALL, TEXT, AT(node.region), "", 0, 0, {0}},
    {"node", "workers", ALL, NUMBER, AT(node.workers), "0", 0, 256, {0}},
    {"node", "log", ALL, CHOICE, AT(node.log), "info", 0, 0, {"debug", "info", "warn", "error"}},
    {"node", "latitude", ALL, DEGREES, AT(node.latitude), "", 0, 90, {0}},
    {"node", "longitude", ALL, DEGREES, AT(node.longitude), "", 0, 180, {0}},
    {"node", "drain_ms", ALL, NUMBER, AT(node.drain_ms), "10000", 0, 3600000, {0}},
    {"http", "listen", ALL, ADDRESS, AT(http.listen), "0.0.0.0:8080|0.0.0.0:8081|0.0.0.0:8082", 0, 0, {0}},
    {"http", "announce", ALL, TEXT, AT(http.announce), "", 0, 0, {0}},
    {"http", "tls_certificate", ALL, TEXT, AT(http.tls_certificate), "", 0, 0, {0}},
    {"http", "tls_key", ALL, TEXT, AT(http.tls_key), "", 0, 0, {0}},
    {"http", "web", ALL, TEXT, AT(http.web), "", 0, 0, {0}},
    {"http", "admin_token", ALL, TEXT, AT(http.admin_token), "", 0, 0, {0}},
    {"rtc", "listen", ORIGIN | EDGE, ADDRESS, AT(rtc.listen), "0.0.0.0:8000||0.0.0.0:8200", 0, 0, {0}},
    {"rtc", "tcp", ORIGIN | EDGE, OFF_OR_ADDRESS, AT(rtc.tcp), "", 0, 0, {0}},
    {"rtc", "announce", ORIGIN | EDGE, TEXTS, AT(rtc.announce), "", 0, 0, {0}},
    {"rtc", "ice_servers", ORIGIN | EDGE, TEXTS, AT(rtc.ice_servers), "", 0, 0, {0}},
    {"rtc", "data", ORIGIN | EDGE, FLAG, AT(rtc.data), "true", 0, 0, {0}},
    {"rtc", "audio_hold_ms", EDGE, NUMBER, AT(rtc.audio_hold_ms), "40", 0, 1000, {0}},
    {"rtc", "audio_hold_load", EDGE, NUMBER, AT(rtc.audio_hold_load), "8", 0, 100, {0}},
    {"flv", "hold_ms", EDGE, NUMBER, AT(flv.hold_ms), "40", 0, 1000, {0}},
    {"flv", "hold_load", EDGE, NUMBER, AT(flv.hold_load), "5", 0, 100, {0}},
    {"rtmp", "listen", ORIGIN, ADDRESS, AT(rtmp.listen), "0.0.0.0:1935", 0, 0, {0}},
    {"auth", "publish_key", ORIGIN, TOKEN_KEY, AT(auth.publish_key), "", 0, 0, {0}},
    {"auth", "play_key", EDGE, TOKEN_KEY, AT(auth.play_key), "", 0, 0, {0}},
    {"pipe", "listen", ALL, ADDRESS, AT(pipe.listen), "0.0.0.0:9000|0.0.0.0:9100|0.0.0.0:9200", 0, 0, {0}},
    {"pipe", "announce", ALL, TEXT, AT(pipe.announce), "", 0, 0, {0}},
    {"pipe", "ca", ALL, TEXT, AT(pipe.ca), "", 0, 0, {0}},
    {"pipe", "certificate", ALL, TEXT, AT(pipe.certificate), "", 0, 0, {0}},
    {"pipe", "key", ALL, TEXT, AT(pipe.key), "", 0, 0, {0}},
    {"redis", "address", ALL, TEXT, AT(redis.address), "127.0.0.1:6379", 0, 0, {0}},
    {"redis", "sentinels", ALL, TEXTS, AT(redis.sentinels), "", 0, 0, {0}},
    {"redis", "master_name", ALL, TEXT, AT(redis.master_name), "mymaster", 0, 0, {0}},
    {"redis", "password", ALL, TEXT, AT(redis.password), "", 0, 0, {0}},
    {"redis", "database", ALL, NUMBER, AT(redis.database), "0", 0, 1 << 20, {0}},
    {"redis", "prefix", ALL, TEXT, AT(redis.prefix), "mr:", 0, 0, {0}},
    {"directory", "lease_ms", ALL, NUMBER, AT(directory.lease_ms), "10000", 1000, 3600000, {0}},
    {"cache", "stream_bytes", ALL, NUMBER, AT(cache.stream_bytes), "33554432", 65536, UINT64_C(1) << 40, {0}},
    {"cache", "node_bytes", ALL, NUMBER, AT(cache.node_bytes), "536870912", 65536, UINT64_C(1) << 44, {0}},
    {"cache", "duration_ms", ALL, NUMBER, AT(cache.duration_ms), "10000", 0, 600000, {0}},
    {"cache", "packets", ALL, NUMBER, AT(cache.packets), "65536", 256, 1 << 24, {0}},
    {"publish", "takeover", ORIGIN, FLAG, AT(publish.takeover), "false", 0, 0, {0}},
    {"publish", "audio_transcode", ORIGIN, FLAG, AT(publish.audio_transcode), "true", 0, 0, {0}},
    {"limits", "viewers", EDGE, NUMBER, AT(limits.viewers), "0", 0, UINT32_MAX, {0}},
    {"limits", "egress_bps", EDGE, NUMBER, AT(limits.egress_bps), "0", 0, UINT64_C(1) << 50, {0}},
    {"limits", "cpu_permille", ORIGIN | EDGE, NUMBER, AT(limits.cpu_permille), "0", 0, 1000, {0}},
    {"route", "ranges", ALL, TEXTS, AT(route.ranges), "", 0, 0, {0}},
    {"route", "mmdb", ALL, TEXT, AT(route.mmdb), "", 0, 0, {0}},
    {"route", "trusted_proxies", ALL, TEXTS, AT(route.trusted_proxies), "", 0, 0, {0}},
    {"route", "redirect", EDGE, FLAG, AT(route.redirect), "false", 0, 0, {0}},
    {"relay", "prefetch", BACKBONE, CHOICE, AT(relay.prefetch), "demand", 0, 0, {"demand", "region", "all"}},
    {"relay", "linger_ms", BACKBONE | EDGE, NUMBER, AT(relay.linger_ms), "10000", 0, 3600000, {0}},
    {"relay", "grace_ms", BACKBONE | EDGE, NUMBER, AT(relay.grace_ms), "30000", 0, 3600000, {0}},
};

/* The place in the file that is being read, for errors. */
struct place {
    const char *path;
    size_t line, column; /* from 1 */
    char *error;
};

static void complain(const struct place *at, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void complain(const struct place *at, const char *fmt, ...)
{
    int n = snprintf(at->error, CONFIG_ERROR_CAP, "%s:%zu:%zu: ", at->path, at->line, at->column);
    va_list args;

    va_start(args, fmt);
    if (n > 0 && n < CONFIG_ERROR_CAP)
        vsnprintf(at->error + n, CONFIG_ERROR_CAP - (size_t)n, fmt, args);
    va_end(args);
}

static void *field(struct config *c, const struct key *k)
{
    return (uint8_t *)c + k->offset;
}

/* ---- Values: 0, or -1 when the text is not one of the type --------------------------------------------- */

static int set_text(config_text *out, const char *text)
{
    if (strlen(text) > CONFIG_TEXT_MAX)
        return -1;
    strcpy(*out, text);
    return 0;
}

static int set_number(uint64_t *out, const struct key *k, const char *text)
{
    char *end;

    errno = 0;
    if (*text < '0' || *text > '9')
        return -1;
    uint64_t v = strtoull(text, &end, 10);
    if (errno || *end || v < k->min || v > k->max)
        return -1;
    *out = v;
    return 0;
}

static int set_flag(bool *out, const char *text)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return -1;
    *out = text[0] == 't';
    return 0;
}

static int set_off_or_address(struct config_off_or_address *out, const char *text)
{
    struct config_off_or_address v = {.off = strcmp(text, "off") == 0};

    if (!v.off && text[0] && addr_parse(&v.at, text))
        return -1;
    *out = v;
    return 0;
}

/* "" is: not given. */
static int set_degrees(struct config_degrees *out, const struct key *k, const char *text)
{
    char *end;
    double v = strtod(text, &end);

    if (*end || v > (double)k->max || v < -(double)k->max)
        return -1;
    *out = (struct config_degrees){.given = text[0] != '\0', .value = v};
    return 0;
}

static int set_choice(uint64_t *out, const struct key *k, const char *text)
{
    for (size_t i = 0; k->choices[i]; i++)
        if (strcmp(k->choices[i], text) == 0) {
            *out = i;
            return 0;
        }
    return -1;
}

static int set_value(struct config *c, const struct key *k, const char *text)
{
    switch (k->type) {
    case TEXT:
    case TOKEN_KEY:
        return set_text(field(c, k), text);
    case NUMBER:
        return set_number(field(c, k), k, text);
    case FLAG:
        return set_flag(field(c, k), text);
    case ADDRESS:
        return addr_parse(field(c, k), text);
    case OFF_OR_ADDRESS:
        return set_off_or_address(field(c, k), text);
    case CHOICE:
        return set_choice(field(c, k), k, text);
    case DEGREES:
        return set_degrees(field(c, k), k, text);
    case TEXTS:
        break;
    }
    return -1;
}

static void expected(const struct key *k, char *out, size_t cap)
{
    size_t n = 0;

    switch (k->type) {
    case TEXT:
    case TOKEN_KEY:
        snprintf(out, cap, "a text of at most %d characters", CONFIG_TEXT_MAX);
        break;
    case NUMBER:
        snprintf(out, cap, "a whole number from %llu to %llu", (unsigned long long)k->min, (unsigned long long)k->max);
        break;
    case FLAG:
        snprintf(out, cap, "true or false");
        break;
    case ADDRESS:
        snprintf(out, cap, "an address and port, as 0.0.0.0:8080 or [::]:8080");
        break;
    case OFF_OR_ADDRESS:
        snprintf(out, cap, "off, or an address as 0.0.0.0:443");
        break;
    case DEGREES:
        snprintf(out, cap, "degrees from -%llu to %llu, as 50.11", (unsigned long long)k->max, (unsigned long long)k->max);
        break;
    case TEXTS:
        snprintf(out, cap, "a list of at most %d texts, as [\"203.0.113.7\"]", CONFIG_LIST_MAX);
        break;
    case CHOICE:
        for (size_t i = 0; k->choices[i] && n < cap; i++)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? ", " : "one of ", k->choices[i]);
        break;
    }
}

/* ---- The file ----------------------------------------------------------------------------------------------- */

static void go_to(struct place *at, const yaml_node_t *node)
{
    at->line = node->start_mark.line + 1;
    at->column = node->start_mark.column + 1;
}

static const struct key *find_key(enum node_role role, const char *section, const char *name)
{
    for (size_t i = 0; i < LEN(keys); i++)
        if ((keys[i].roles & 1u << role) && strcmp(keys[i].section, section) == 0 &&
            (!name || strcmp(keys[i].name, name) == 0))
            return &keys[i];
    return NULL;
}

/* "id, region, ..." of a section, or the sections. */
static void list_keys(enum node_role role, const char *section, char *out, size_t cap)
{
    const char *last = "";
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < LEN(keys) && n < cap; i++) {
        const char *word = section ? keys[i].name : keys[i].section;
        if (!(keys[i].roles & 1u << role) || (section && strcmp(section, keys[i].section) != 0) ||
            strcmp(word, last) == 0)
            continue;
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? ", " : "", word);
        last = word;
    }
}

static const char *scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static int read_list(struct config_list *out, yaml_document_t *doc, const yaml_node_t *node)
{
    out->n = 0;
    if (node->type != YAML_SEQUENCE_NODE)
        return -1;
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        const char *text = scalar(yaml_document_get_node(doc, *i));
        if (!text || out->n == CONFIG_LIST_MAX || set_text(&out->v[out->n++], text) != 0)
            return -1;
    }
    return 0;
}

/* The file is opened here too, so that a wrong one is told with its place, and by --check. */
static int read_token_key(struct config *c, const struct key *k, const char *path, struct place *at)
{
    struct token_key *key;
    char error[TOKEN_ERROR_CAP];

    if (set_text(field(c, k), path) != 0 || token_key_load(&key, path, error) != 0) {
        complain(at, "%s.%s: expected a file with a secret of 32 bytes or a public key in PEM, got '%.256s': %s", k->section, k->name,
                 path, strlen(path) > CONFIG_TEXT_MAX ? "a name too long" : error);
        return -1;
    }
    token_key_free(&key);
    return 0;
}

static int read_value(struct config *c, yaml_document_t *doc, const struct key *k, const yaml_node_t *node,
                      struct place *at)
{
    const char *text = scalar(node);
    char what[256];

    go_to(at, node);
    if (k->type == TOKEN_KEY && text && text[0])
        return read_token_key(c, k, text, at);
    if (k->type == TEXTS ? read_list(field(c, k), doc, node) == 0 : text && set_value(c, k, text) == 0)
        return 0;
    expected(k, what, sizeof(what));
    if (text)
        complain(at, "%s.%s: expected %s, got '%.64s'", k->section, k->name, what, text);
    else
        complain(at, "%s.%s: expected %s", k->section, k->name, what);
    return -1;
}

static bool repeated(yaml_document_t *doc, const yaml_node_t *map, const yaml_node_pair_t *pair)
{
    const char *name = scalar(yaml_document_get_node(doc, pair->key));

    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++)
        if (strcmp(scalar(yaml_document_get_node(doc, p->key)), name) == 0)
            return true;
    return false;
}

/* The name of a mapping's key, checked; NULL after a complaint. section NULL: the top level. */
static const char *read_name(enum node_role role, yaml_document_t *doc, const yaml_node_t *map,
                             const yaml_node_pair_t *pair, const char *section, struct place *at)
{
    const yaml_node_t *key = yaml_document_get_node(doc, pair->key);
    const char *name = scalar(key);
    char known[512];

    go_to(at, key);
    list_keys(role, section, known, sizeof(known));
    if (!name || !find_key(role, section ? section : name, section ? name : NULL)) {
        complain(at, "unknown key '%.64s'%s%s; expected one of: %s", name ? name : "?", section ? " in " : "",
                 section ? section : "", known);
        return NULL;
    }
    if (repeated(doc, map, pair)) {
        complain(at, "'%s' is given twice", name);
        return NULL;
    }
    return name;
}

static int read_section(struct config *c, yaml_document_t *doc, const char *section, const yaml_node_t *node,
                        struct place *at)
{
    go_to(at, node);
    if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
        return 0; /* a section whose keys are all commented out */
    if (node->type != YAML_MAPPING_NODE) {
        complain(at, "%s: expected keys below it, as '%s: { ... }'", section, section);
        return -1;
    }
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const char *name = read_name(c->role, doc, node, p, section, at);
        if (!name ||
            read_value(c, doc, find_key(c->role, section, name), yaml_document_get_node(doc, p->value), at) != 0)
            return -1;
    }
    return 0;
}

static int read_document(struct config *c, yaml_document_t *doc, struct place *at)
{
    const yaml_node_t *root = yaml_document_get_root_node(doc);

    if (!root)
        return 0; /* an empty file: all defaults */
    go_to(at, root);
    if (root->type != YAML_MAPPING_NODE) {
        complain(at, "expected sections, as 'node:' or 'http:'");
        return -1;
    }
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const char *name = read_name(c->role, doc, root, p, NULL, at);
        if (!name || read_section(c, doc, name, yaml_document_get_node(doc, p->value), at) != 0)
            return -1;
    }
    return 0;
}

static int parse(struct config *c, FILE *f, struct place *at)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    int err = -1;

    if (!yaml_parser_initialize(&parser)) {
        complain(at, "out of memory");
        return -1;
    }
    yaml_parser_set_input_file(&parser, f);
    if (yaml_parser_load(&parser, &doc)) {
        err = read_document(c, &doc, at);
        yaml_document_delete(&doc);
    } else {
        at->line = parser.problem_mark.line + 1;
        at->column = parser.problem_mark.column + 1;
        complain(at, "not YAML: %s", parser.problem ? parser.problem : "unreadable");
    }
    yaml_parser_delete(&parser);
    return err;
}

/* ---- Defaults, and what follows from other keys ----------------------------------------------------------------- */

/* The role's part of "origin|backbone|edge", or the whole when there is no '|'. */
static void fallback_of(const struct key *k, enum node_role role, char *out, size_t cap)
{
    const char *p = k->fallback;

    if (strchr(p, '|'))
        for (int skip = (int)role - NODE_ORIGIN; skip > 0; skip--)
            p = strchr(p, '|') + 1;
    snprintf(out, cap, "%.*s", (int)strcspn(p, "|"), p);
}

void config_init(struct config *c, enum node_role role)
{
    char text[CONFIG_TEXT_MAX + 1];

    *c = (struct config){.role = role};
    for (size_t i = 0; i < LEN(keys); i++) {
        if (!(keys[i].roles & 1u << role) || keys[i].type == TEXTS)
            continue;
        fallback_of(&keys[i], role, text, sizeof(text));
        if (set_value(c, &keys[i], text) != 0)
            abort(); /* a default that its own table refuses */
    }
}

static void complete(struct config *c)
{
    char host[128] = "localhost";

    if (c->node.workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        c->node.workers = cores > 0 ? (uint64_t)cores : 1;
    }
    gethostname(host, sizeof(host) - 1);
    if (!c->node.id[0])
        snprintf(c->node.id, NODE_ID_MAX, "%s-%.40s-%u", node_role_name(c->role), host, addr_port(&c->http.listen));
}

/* What the directory's records have room for. */
static int check_lengths(const struct config *c, const char *path, char *error)
{
    if (strlen(c->node.id) > NODE_ID_MAX || strlen(c->node.region) > REGION_MAX ||
        strlen(c->pipe.announce) > NODE_ADDRESS_MAX) {
        snprintf(error, CONFIG_ERROR_CAP, "%s: node.id has at most %d characters, node.region %d, pipe.announce %d", path,
                 NODE_ID_MAX, REGION_MAX, NODE_ADDRESS_MAX);
        return -1;
    }
    return 0;
}

int config_load(struct config *c, enum node_role role, const char *path, char error[CONFIG_ERROR_CAP])
{
    struct place at = {.path = path, .line = 1, .column = 1, .error = error};

    config_init(c, role);
    if (path) {
        FILE *f = fopen(path, "rb");
        if (!f) {
            snprintf(error, CONFIG_ERROR_CAP, "%s: cannot be read: %s", path, strerror(errno));
            return -1;
        }
        int err = parse(c, f, &at);
        fclose(f);
        if (err != 0 || check_lengths(c, path, error) != 0)
            return -1;
    }
    complete(c);
    return 0;
}

int config_token_key(struct token_key **out, const struct config *c, char error[CONFIG_ERROR_CAP])
{
    bool publishes = c->auth.publish_key[0]; /* an origin has this one only, an edge the other */
    const char *path = publishes ? c->auth.publish_key : c->auth.play_key;
    char why[TOKEN_ERROR_CAP];

    *out = NULL;
    if (!path[0] || token_key_load(out, path, why) == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_CAP, "auth.%s: %s: %s", publishes ? "publish_key" : "play_key", path, why);
    return -1;
}
