/* SPDX-License-Identifier: Apache-2.0
 * transport_ice.c - a transport's addresses: which passed a check, which is nominated, whether the peer still
 * is there; and the checks of a client.
 *
 * Source: RFC 8445 s7.3 (checks received), s8 (nomination), RFC 7675 (consent). */
#include "transport_priv.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECK_FIRST_US = 50000,      /* RFC 8445 s14.2: Ta */
    CHECK_SLOWEST_US = 1600000,  /* while nothing has answered */
    CONSENT_CHECK_US = 5000000,  /* RFC 7675 s5.1: every 5 s, randomised by 0.8 to 1.2 */
    PRIORITY_CHECK = 0x6e7fffff, /* RFC 8445 s7.1.1: as a peer-reflexive candidate, type preference 110 */
};

/* IPv4 as IPv6, so that one key fits all. */
void addr_key(const struct addr *a, uint8_t key[ADDR_KEY_BYTES])
{
    uint16_t port = addr_port(a);

    memset(key, 0, ADDR_KEY_BYTES);
    if (a->sa.sa_family == AF_INET) {
        memset(key + 10, 0xff, 2);
        memcpy(key + 12, &a->v4.sin_addr, 4);
    } else {
        memcpy(key, &a->v6.sin6_addr, 16);
    }
    key[16] = (uint8_t)(port >> 8);
    key[17] = (uint8_t)port;
}

static void local_draw(struct ice_local *l, struct rtc_transport *t)
{
    l->transport = t;
    random_ice(l->ufrag, ICE_UFRAG_BYTES);
    random_ice(l->pwd, ICE_PWD_BYTES);
}

static void local_push(struct ice_local *l)
{
    hash_push(&l->transport->endpoint->by_ufrag, &l->item, l->ufrag, ICE_UFRAG_BYTES);
    l->used = true;
}

static void local_remove(struct ice_local *l)
{
    if (l->used)
        hash_remove(&l->transport->endpoint->by_ufrag, &l->item);
    l->used = false;
}

/* ---- Paths ------------------------------------------------------------------------------------- */

static void forget_address(struct ice_path *p)
{
    struct rtc_endpoint *e = p->transport->endpoint;

    hash_remove(&e->by_addr, &p->item);
    e->by_addr_changes++;
}

static void path_remove(struct ice_path *p)
{
    if (!p->used)
        return;
    if (p->tcp)
        ice_tcp_end(p->tcp);
    else
        forget_address(p);
    p->used = false;
    if (p->transport->path == p)
        p->transport->path = NULL;
}

/* A free one, or the one that was checked longest ago and is not in use. */
static struct ice_path *path_slot(struct rtc_transport *t)
{
    struct ice_path *oldest = NULL;

    for (size_t i = 0; i < ICE_PATHS_MAX; i++) {
        struct ice_path *p = &t->paths[i];

        if (!p->used)
            return p;
        if (p != t->path && (!oldest || p->checked_us < oldest->checked_us))
            oldest = p;
    }
    path_remove(oldest);
    return oldest;
}

void transport_ice_on_lost(struct ice_path *p)
{
    p->used = false;
    if (p->transport->path == p)
        p->transport->path = NULL;
}

/* The path of that address, made when missing; NULL while it is another session's. */
static struct ice_path *path_of(struct rtc_transport *t, const struct addr *from, uint64_t now_us)
{
    uint8_t key[ADDR_KEY_BYTES];

    addr_key(from, key);
    struct hash_item *found = hash_find(&t->endpoint->by_addr, key, sizeof(key));
    if (found) {
        struct ice_path *p = container_of(found, struct ice_path, item);

        if (p->transport == t)
            return p;
        if (!t->client && now_us - p->checked_us < ICE_PATH_SILENT_US)
            return NULL;
        path_remove(p);
    }
    struct ice_path *p = path_slot(t);
    *p = (struct ice_path){.transport = t, .addr = *from, .used = true};
    memcpy(p->key, key, sizeof(key));
    hash_push(&t->endpoint->by_addr, &p->item, p->key, sizeof(p->key));
    t->endpoint->by_addr_changes++;
    return p;
}

/* A connection carries one session. */
static struct ice_path *path_of_tcp(struct rtc_transport *t, const struct ice_source *from)
{
    struct ice_path *p = ice_tcp_path(from->tcp);

    if (p)
        return p->transport == t ? p : NULL;
    p = path_slot(t);
    *p = (struct ice_path){.transport = t, .tcp = from->tcp, .addr = *from->addr, .used = true};
    ice_tcp_set_path(from->tcp, p);
    return p;
}

static void choose_path(struct rtc_transport *t, struct ice_path *p)
{
    if (t->path == p)
        return;
    t->counters.moves += t->nominated;
    t->path = p;
}

/* ---- Checks received --------------------------------------------------------------------------- */

static void check_passed(struct rtc_transport *t, struct ice_path *p, uint64_t now_us)
{
    p->valid = true;
    p->checked_us = now_us;
    t->alive_us = now_us;
    t->leaving_us = 0;
}

/* The client uses the new credentials of a restart: the old ones are void. */
static void restart_done(struct rtc_transport *t)
{
    local_remove(&t->previous);
    t->nominated = false;
}

static void send_reply(struct rtc_endpoint *e, const struct ice_source *to, const uint8_t *reply, size_t len)
{
    if (!to->tcp) {
        udp_send(e->udp, to->addr, reply, len);
        return;
    }
    memcpy(ice_tcp_reserve(to->tcp, len), reply, len);
    (void)ice_tcp_commit(to->tcp, len); /* one that is dropped is counted, and the check comes again */
}

int transport_ice_on_request(struct ice_local *l, const struct ice_view *v, const struct ice_source *from,
                             uint64_t now_us)
{
    struct rtc_transport *t = l->transport;
    uint8_t reply[ICE_REPLY_MAX];
    size_t reply_len;
    int err = ice_request_answer(t->endpoint->ice, v, from->addr, l->pwd, t->client, reply, &reply_len);

    if (reply_len)
        send_reply(t->endpoint, from, reply, reply_len);
    if (err != ICE_OK)
        return err;
    struct ice_path *p = from->tcp ? path_of_tcp(t, from) : path_of(t, from->addr, now_us);
    if (!p)
        return ICE_OK; /* answered, no more: the address is in use */
    t->counters.checks++;
    check_passed(t, p, now_us);
    if (l == &t->local && t->previous.used)
        restart_done(t);
    if (!t->path || (v->use_candidate && !t->client))
        choose_path(t, p);
    t->nominated = t->nominated || v->use_candidate;
    rtc_transport_on_path(t, now_us);
    return ICE_OK;
}

/* ---- Checks sent ------------------------------------------------------------------------------- */

static void forget_checks(struct rtc_transport *t)
{
    for (size_t i = 0; i < t->client->n_pending; i++)
        ice_check_forget(t->endpoint->ice, t->client->pending[i]);
    t->client->n_pending = 0;
}

static void remember_check(struct rtc_transport *t, const uint8_t id[ICE_ID_BYTES])
{
    struct ice_client *c = t->client;

    if (c->n_pending == ICE_PENDING_MAX) {
        ice_check_forget(t->endpoint->ice, c->pending[0]);
        memmove(c->pending[0], c->pending[1], (ICE_PENDING_MAX - 1) * ICE_ID_BYTES);
        c->n_pending--;
    }
    memcpy(c->pending[c->n_pending++], id, ICE_ID_BYTES);
}

static void send_check(struct rtc_transport *t, const struct ice_path *p)
{
    struct ice_client *c = t->client;
    uint8_t bytes[ICE_CHECK_MAX], id[ICE_ID_BYTES];
    struct ice_check check = {.username = c->username, .pwd = c->pwd, .tie_breaker = c->tie_breaker,
                              .priority = PRIORITY_CHECK, .use_candidate = !t->path || t->path == p};
    size_t n = ice_check_write(t->endpoint->ice, &check, bytes, id);

    if (n == 0)
        return; /* too many under way: the next one will do */
    remember_check(t, id);
    udp_send(t->endpoint->udp, &p->addr, bytes, n);
}

/* The candidate whose turn it is, while none has answered. */
static struct ice_path *next_candidate(struct rtc_transport *t)
{
    for (unsigned i = 0; i < ICE_PATHS_MAX; i++) {
        struct ice_path *p = &t->paths[t->client->next_path++ % ICE_PATHS_MAX];

        if (p->used)
            return p;
    }
    return NULL;
}

static uint64_t check_interval_us(struct ice_client *c, bool connected)
{
    uint64_t us = (uint64_t)CHECK_FIRST_US << (c->sent < 5 ? c->sent : 5);

    if (connected)
        return CONSENT_CHECK_US * 8 / 10 + random_u32() % (CONSENT_CHECK_US * 4 / 10);
    return us < CHECK_SLOWEST_US ? us : CHECK_SLOWEST_US;
}

static void on_check_due(struct timer *timer, uint64_t now_us)
{
    struct ice_client *c = container_of(timer, struct ice_client, timer);
    struct rtc_transport *t = c->transport;
    struct ice_path *p = t->path ? t->path : next_candidate(t);

    (void)now_us;
    if (p)
        send_check(t, p);
    timer_start(&c->timer, check_interval_us(c, t->path != NULL));
    c->sent++;
}

int transport_ice_on_response(struct ice_path *p, const struct ice_view *v, uint64_t now_us)
{
    struct rtc_transport *t = p->transport;
    int err = t->client ? ice_response_read(t->endpoint->ice, v) : ICE_ERR_UNMATCHED;

    if (err != ICE_OK)
        return err;
    t->counters.checks++;
    check_passed(t, p, now_us);
    if (!t->path) {
        choose_path(t, p);
        t->nominated = true;
        timer_start(&t->client->timer, check_interval_us(t->client, true));
    }
    rtc_transport_on_path(t, now_us);
    return ICE_OK;
}

/* ---- Life -------------------------------------------------------------------------------------- */

static char *copy_username(const char *theirs, const char *ours)
{
    size_t cap = strlen(theirs) + 1 + strlen(ours) + 1;
    char *s = malloc(cap);

    if (s)
        snprintf(s, cap, "%s:%s", theirs, ours);
    return s;
}

static void client_forget_remote(struct ice_client *c)
{
    free(c->username);
    free(c->pwd);
    c->username = c->pwd = NULL;
}

static int client_set_remote(struct rtc_transport *t, const char *ufrag, const char *pwd)
{
    struct ice_client *c = t->client;

    forget_checks(t); /* they point to the old password */
    client_forget_remote(c);
    c->username = copy_username(ufrag, t->local.ufrag);
    c->pwd = strdup(pwd);
    return c->username && c->pwd ? 0 : -1;
}

void transport_ice_init(struct rtc_transport *t)
{
    local_draw(&t->local, t);
    if (!t->client)
        return;
    timer_init(&t->client->timer, t->endpoint->worker, on_check_due);
    t->client->transport = t;
    t->client->tie_breaker = random_u64();
}

static int client_start(struct rtc_transport *t, const struct rtc_remote *remote)
{
    uint64_t now_us = worker_now_us(t->endpoint->worker);

    if (client_set_remote(t, remote->ufrag, remote->pwd))
        return -1;
    for (size_t i = 0; i < remote->n_candidates && i < ICE_PATHS_MAX; i++)
        (void)path_of(t, &remote->candidates[i], now_us);
    timer_start(&t->client->timer, 0);
    return 0;
}

int transport_ice_start(struct rtc_transport *t, const struct rtc_remote *remote)
{
    if (strlen(remote->ufrag) > ICE_CREDENTIAL_MAX || strlen(remote->pwd) > ICE_CREDENTIAL_MAX)
        return -1;
    if (t->client && client_start(t, remote))
        return -1;
    local_push(&t->local);
    return 0;
}

int rtc_transport_restart_ice(struct rtc_transport *t, const char *ufrag, const char *pwd)
{
    if (strlen(ufrag) > ICE_CREDENTIAL_MAX || strlen(pwd) > ICE_CREDENTIAL_MAX || !t->local.used)
        return -1;
    local_remove(&t->previous);
    local_remove(&t->local);
    t->previous = t->local;
    local_push(&t->previous);
    local_draw(&t->local, t);
    local_push(&t->local);
    return t->client ? client_set_remote(t, ufrag, pwd) : 0;
}

void transport_ice_stop(struct rtc_transport *t)
{
    if (t->client) {
        timer_stop(&t->client->timer);
        forget_checks(t);
        client_forget_remote(t->client);
    }
    local_remove(&t->local);
    local_remove(&t->previous);
    for (size_t i = 0; i < ICE_PATHS_MAX; i++)
        path_remove(&t->paths[i]);
}
