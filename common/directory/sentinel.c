/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/sentinel.h"

#include "io/addr.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

static bool read_answer(const redisReply *r, char *address, size_t cap)
{
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_STRING)
        return false;
    const char *host = r->element[0]->str;
    int n = snprintf(address, cap, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, r->element[1]->str);

    return n > 0 && (size_t)n < cap;
}

static int ask(const char *sentinel, const char *master_name, char *address, size_t cap)
{
    const struct timeval patience = {.tv_usec = SENTINEL_ASK_MS * 1000};
    char host[ADDR_TEXT_CAP];
    struct addr at;

    if (addr_resolve(&at, sentinel) != 0)
        return -1;
    redisContext *c = redisConnectWithTimeout(addr_print_host(&at, host), addr_port(&at), patience);
    if (!c)
        return -1;
    redisReply *r = NULL;
    if (!c->err && redisSetTimeout(c, patience) == REDIS_OK)
        r = redisCommand(c, "SENTINEL get-master-addr-by-name %s", master_name);
    bool found = read_answer(r, address, cap);
    if (r)
        freeReplyObject(r);
    redisFree(c);
    return found ? 0 : -1;
}

int sentinels_find_master(const struct sentinels *s, char *address, size_t cap)
{
    for (size_t i = 0; i < s->n; i++)
        if (ask(s->address[i], s->master_name, address, cap) == 0)
            return 0;
    return -1;
}
