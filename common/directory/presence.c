/* SPDX-License-Identifier: Apache-2.0
 *
 * <prefix>has:<name> is a sorted set of node ids by the unix millisecond until which their word counts. How many watch it is kept in
 * <prefix>viewers:<name> the same way.
 */
#include "directory/directory_priv.h"

#include "directory/scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct present_entry {
    struct hash_item item;
    char name[STREAM_NAME_MAX + 1];
};

static void write_present(struct directory *d, const char *name)
{
    char key[KEY_CAP], until[24], ttl[24];

    key_of(d, "has:", name, key);
    snprintf(until, sizeof(until), "%" PRIu64, worker_unix_us(d->worker) / 1000 + PRESENCE_MS);
    snprintf(ttl, sizeof(ttl), "%d", PRESENCE_MS);
    const char *add[] = {"ZADD", key, until, d->self.id};
    const char *expire[] = {"PEXPIRE", key, ttl};
    redis_conn_command(d->commands, NULL, NULL, LEN(add), add, NULL);
    redis_conn_command(d->commands, NULL, NULL, LEN(expire), expire, NULL);
    d->counters.commands += 2;
}

void directory_set_present(struct directory *d, const char *name, bool present)
{
    struct hash_item *it = hash_find(&d->present, name, strlen(name));
    struct present_entry *e = it ? container_of(it, struct present_entry, item) : NULL;

    if (present == (e != NULL))
        return;
    if (present) {
        e = calloc(1, sizeof(*e));
        if (!e)
            return; /* only a hint */
        strcpy(e->name, name);
        hash_push(&d->present, &e->item, e->name, strlen(e->name));
        write_present(d, name);
        return;
    }
    char key[KEY_CAP];
    const char *rem[] = {"ZREM", key_of(d, "has:", name, key), d->self.id};
    redis_conn_command(d->commands, NULL, NULL, LEN(rem), rem, NULL);
    d->counters.commands++;
    hash_remove(&d->present, &e->item);
    free(e);
}

void presence_renew(struct directory *d, bool all)
{
    uint64_t now_us = worker_now_us(d->worker);

    if (!all && now_us < d->presence_due_us)
        return;
    d->presence_due_us = now_us + PRESENCE_MS * 500;
    hash_for_each(it, &d->present) write_present(d, container_of(it, struct present_entry, item)->name);
}

void presence_clear(struct directory *d)
{
    hash_for_each(it, &d->present) {
        struct present_entry *e = container_of(it, struct present_entry, item);
        hash_remove(&d->present, it);
        free(e);
    }
    hash_fini(&d->present);
}

/* ---- Asking ---- */

struct who_has {
    void (*on_known)(void *arg, const char (*ids)[NODE_ID_MAX + 1], size_t n);
    void *arg;
};

static void on_reply(void *arg, const redisReply *r)
{
    struct who_has *q = arg;
    char ids[PRESENCE_NODES_MAX][NODE_ID_MAX + 1];
    size_t n = 0;

    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i < r->elements && n < PRESENCE_NODES_MAX; i++)
        if (r->element[i]->type == REDIS_REPLY_STRING)
            snprintf(ids[n++], sizeof(ids[0]), "%s", r->element[i]->str);
    q->on_known(q->arg, ids, n);
    free(q);
}

void directory_who_has(struct directory *d, const char *name,
                       void (*on_known)(void *arg, const char (*ids)[NODE_ID_MAX + 1], size_t n), void *arg)
{
    struct who_has *q = malloc(sizeof(*q));
    char key[KEY_CAP], from[24], most[8];

    if (!q) {
        on_known(arg, NULL, 0);
        return;
    }
    *q = (struct who_has){on_known, arg};
    snprintf(from, sizeof(from), "%" PRIu64, worker_unix_us(d->worker) / 1000);
    snprintf(most, sizeof(most), "%d", PRESENCE_NODES_MAX);
    const char *argv[] = {"ZRANGEBYSCORE", key_of(d, "has:", name, key), from, "+inf", "LIMIT", "0", most};
    d->counters.commands++;
    redis_conn_command(d->commands, on_reply, q, LEN(argv), argv, NULL);
}

/* ---- How many watch it ---- */

void directory_set_viewers(struct directory *d, const char *name, uint64_t viewers)
{
    char key[KEY_CAP], value[64], ttl[24];
    const char *set[] = {"HSET", key_of(d, "viewers:", name, key), d->self.id, value};
    const char *expire[] = {"PEXPIRE", key, ttl};
    const char *del[] = {"HDEL", key, d->self.id};

    snprintf(value, sizeof(value), "%" PRIu64 " %" PRIu64, viewers, worker_unix_us(d->worker) / 1000 + VIEWERS_MS);
    snprintf(ttl, sizeof(ttl), "%d", VIEWERS_MS);
    if (viewers) {
        redis_conn_command(d->commands, NULL, NULL, LEN(set), set, NULL);
        redis_conn_command(d->commands, NULL, NULL, LEN(expire), expire, NULL);
    } else {
        redis_conn_command(d->commands, NULL, NULL, LEN(del), del, NULL);
    }
    d->counters.commands += viewers ? 2 : 1;
}

struct viewers_count {
    void (*on_known)(void *arg, uint64_t viewers);
    void *arg;
};

static void on_viewers_reply(void *arg, const redisReply *r)
{
    struct viewers_count *q = arg;

    q->on_known(q->arg, r && r->type == REDIS_REPLY_INTEGER && r->integer > 0 ? (uint64_t)r->integer : 0);
    free(q);
}

void directory_count_viewers(struct directory *d, const char *name, void (*on_known)(void *arg, uint64_t viewers), void *arg)
{
    struct viewers_count *q = malloc(sizeof(*q));
    char key[KEY_CAP], now[24];
    const char *argv[] = {"EVAL", script_viewers, "1", key_of(d, "viewers:", name, key), d->self.id, now};

    if (!q) {
        on_known(arg, 0);
        return;
    }
    *q = (struct viewers_count){on_known, arg};
    snprintf(now, sizeof(now), "%" PRIu64, worker_unix_us(d->worker) / 1000);
    d->counters.commands++;
    redis_conn_command(d->commands, on_viewers_reply, q, LEN(argv), argv, NULL);
}
