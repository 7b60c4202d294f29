/* SPDX-License-Identifier: Apache-2.0
 * assoc.c - see assoc.h. */
#include "assoc.h"

#include "base/random.h"
#include "wire/demux.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECK_FIRST_US = 50000, /* RFC 8445 s14.2: Ta; then doubled each time */
    CHECK_SLOWEST_US = 800000,
    CONSENT_US = 5000000, /* RFC 7675 s5.1: 0.8 to 1.2 of it */
    PRIORITY_CHECK = 0x6e7fffff, /* RFC 8445 s7.1.1: as a peer-reflexive candidate */
};

static void fail(struct assoc *a, const char *cause)
{
    a->ops->on_failed(a, cause);
}

/* ---- DTLS ------------------------------------------------------------------------------------------------ */

static void on_dtls_send(void *arg, const uint8_t *datagram, size_t len)
{
    struct assoc *a = arg;
    port_slot_send(&a->slot, &a->candidates[a->path], datagram, len);
}

static int take_keys(struct assoc *a)
{
    struct srtp_master tx, rx;

    dtls_keys(a->dtls, &tx, &rx);
    if (srtp_rx_create(&a->rx, a->shared->srtp, &rx) || srtp_tx_create(&a->tx, a->shared->srtp, &tx))
        return -1;
    dtls_shrink(a->dtls);
    return 0;
}

static void after_dtls(struct assoc *a, enum dtls_state state)
{
    char cause[64];
    uint64_t deadline_us = dtls_deadline_us(a->dtls), now_us = worker_now_us(a->shared->worker);

    if (state == DTLS_FAILED) {
        snprintf(cause, sizeof(cause), "dtls: %s", dtls_error(a->dtls));
        fail(a, cause);
        return;
    }
    if (state == DTLS_CLOSED || state == DTLS_LEAVING) {
        fail(a, "dtls: closed by the server");
        return;
    }
    if (deadline_us == UINT64_MAX)
        timer_stop(&a->dtls_timer);
    else
        timer_start(&a->dtls_timer, deadline_us > now_us ? deadline_us - now_us : 0);
    if (state != DTLS_LIVE || a->tx)
        return;
    if (take_keys(a))
        fail(a, "dtls: no keys");
    else
        a->ops->on_connected(a);
}

static void on_dtls_due(struct timer *t, uint64_t now_us)
{
    struct assoc *a = container_of(t, struct assoc, dtls_timer);
    after_dtls(a, dtls_poll(a->dtls, now_us));
}

static int make_dtls(struct assoc *a)
{
    struct dtls_cfg cfg = {.role = a->role, .peer = a->fingerprint, .send = on_dtls_send, .arg = a};
    return a->dtls ? 0 : dtls_create(&a->dtls, a->shared->dtls, &cfg);
}

/* ---- Checks ------------------------------------------------------------------------------------------------ */

static void forget_oldest(struct assoc *a)
{
    ice_check_forget(a->ice, a->pending[0]);
    memmove(a->pending[0], a->pending[1], (ASSOC_PENDING_MAX - 1) * ICE_ID_BYTES);
    a->n_pending--;
}

static void send_check(struct assoc *a, size_t candidate)
{
    uint8_t bytes[ICE_CHECK_MAX], id[ICE_ID_BYTES];
    struct ice_check check = {.username = a->username, .pwd = a->remote_pwd, .tie_breaker = a->tie_breaker,
                              .priority = PRIORITY_CHECK, .use_candidate = true};

    if (a->n_pending == ASSOC_PENDING_MAX)
        forget_oldest(a);
    size_t n = ice_check_write(a->ice, &check, bytes, id);
    if (n == 0)
        return; /* too many under way: the next one will do */
    memcpy(a->pending[a->n_pending++], id, ICE_ID_BYTES);
    port_slot_send(&a->slot, &a->candidates[candidate], bytes, n);
}

static uint64_t check_interval_us(const struct assoc *a)
{
    uint64_t us = (uint64_t)CHECK_FIRST_US << (a->sent < 5 ? a->sent : 5);

    if (a->path >= 0)
        return CONSENT_US * 8 / 10 + random_u32() % (CONSENT_US * 4 / 10);
    return us < CHECK_SLOWEST_US ? us : CHECK_SLOWEST_US;
}

/* One candidate after the other, until one has answered. */
static void on_check_due(struct timer *t, uint64_t now_us)
{
    struct assoc *a = container_of(t, struct assoc, check_timer);

    if (a->path >= 0 && now_us - a->answered_us > RTC_CONSENT_US) {
        fail(a, "consent lost");
        return;
    }
    send_check(a, a->path >= 0 ? (size_t)a->path : a->sent % a->n_candidates);
    a->sent++;
    timer_start(&a->check_timer, check_interval_us(a));
}

static int candidate_of(const struct assoc *a, const struct addr *from)
{
    for (size_t i = 0; i < a->n_candidates; i++)
        if (addr_equal(&a->candidates[i], from))
            return (int)i;
    return -1;
}

static void path_found(struct assoc *a, int candidate, uint64_t now_us)
{
    a->path = candidate;
    timer_start(&a->check_timer, check_interval_us(a));
    if (make_dtls(a)) {
        fail(a, "dtls: no memory");
        return;
    }
    a->ops->on_ice(a);
    after_dtls(a, dtls_start(a->dtls, now_us));
}

static void on_stun(struct assoc *a, const uint8_t *bytes, size_t len, const struct addr *from)
{
    uint64_t now_us = worker_now_us(a->shared->worker);
    uint8_t reply[ICE_REPLY_MAX];
    struct ice_view v;
    size_t reply_len;

    if (ice_view_parse(&v, bytes, len) != ICE_OK)
        return;
    if (v.class == ICE_REQUEST) { /* a full agent checks too */
        int err = ice_request_answer(a->ice, &v, from, a->pwd, true, reply, &reply_len);
        if (reply_len)
            port_slot_send(&a->slot, from, reply, reply_len);
        (void)err; /* our own checks decide */
        return;
    }
    int candidate = candidate_of(a, from);
    if (v.class == ICE_INDICATION || candidate < 0 || ice_response_read(a->ice, &v) != ICE_OK)
        return;
    a->answered_us = now_us;
    if (a->path < 0)
        path_found(a, candidate, now_us);
}

/* ---- Datagrams ---------------------------------------------------------------------------------------------- */

static void on_rtcp(struct assoc *a, uint8_t *bytes, size_t len, uint64_t unix_us)
{
    size_t plain_len;

    if (a->rx && srtp_rx_unprotect_rtcp(a->shared->srtp, a->rx, bytes, len, &plain_len) == SRTP_OK)
        a->ops->on_rtcp(a, bytes, plain_len, unix_us);
}

static void on_datagram(struct port_slot *slot, uint8_t *bytes, size_t len, const struct addr *from, uint64_t unix_us)
{
    struct assoc *a = container_of(slot, struct assoc, slot);

    switch (demux_datagram(bytes, len)) {
    case DEMUX_RTP:
        if (a->rx) /* before the keys are here it would be lost in a browser too: it comes again by NACK */
            a->ops->on_rtp(a, bytes, len, unix_us);
        return;
    case DEMUX_RTCP:
        on_rtcp(a, bytes, len, unix_us);
        return;
    case DEMUX_STUN:
        on_stun(a, bytes, len, from);
        return;
    case DEMUX_DTLS:
        if (a->path >= 0)
            after_dtls(a, dtls_feed(a->dtls, bytes, len, worker_now_us(a->shared->worker)));
        return;
    default:
        return;
    }
}

/* ---- Life ----------------------------------------------------------------------------------------------------- */

int assoc_open(struct assoc *a, struct assoc_shared *shared, struct ice_agent *ice, const struct addr *toward,
               const struct assoc_ops *ops)
{
    *a = (struct assoc){.ops = ops, .shared = shared, .ice = ice, .path = -1, .tie_breaker = random_u64()};
    random_ice(a->ufrag, ICE_UFRAG_BYTES);
    random_ice(a->pwd, ICE_PWD_BYTES);
    timer_init(&a->check_timer, shared->worker, on_check_due);
    timer_init(&a->dtls_timer, shared->worker, on_dtls_due);
    return port_slot_open(shared->port, &a->slot, toward, on_datagram);
}

int assoc_turn(struct assoc *a, const struct addr *toward)
{
    if (!port_is_one_each(a->shared->port))
        return -EAFNOSUPPORT;
    port_slot_close(&a->slot);
    return port_slot_open(a->shared->port, &a->slot, toward, on_datagram);
}

int assoc_start(struct assoc *a, const struct rtc_remote *remote)
{
    size_t cap = strlen(remote->ufrag) + 1 + ICE_UFRAG_BYTES + 1;

    a->username = malloc(cap);
    a->remote_pwd = strdup(remote->pwd);
    if (!a->username || !a->remote_pwd || remote->n_candidates == 0)
        return -1;
    snprintf(a->username, cap, "%s:%s", remote->ufrag, a->ufrag);
    for (size_t i = 0; i < remote->n_candidates && a->n_candidates < ASSOC_CANDIDATES_MAX; i++)
        a->candidates[a->n_candidates++] = remote->candidates[i];
    a->role = remote->role;
    a->fingerprint = remote->fingerprint;
    timer_start(&a->check_timer, 0);
    return 0;
}

void assoc_close(struct assoc *a)
{
    timer_stop(&a->check_timer);
    timer_stop(&a->dtls_timer);
    while (a->n_pending)
        forget_oldest(a);
    dtls_destroy(&a->dtls);
    srtp_tx_destroy(&a->tx);
    srtp_rx_destroy(&a->rx);
    port_slot_close(&a->slot);
    free(a->username);
    free(a->remote_pwd);
    a->username = a->remote_pwd = NULL;
}

bool assoc_connected(const struct assoc *a)
{
    return a->tx != NULL;
}

void assoc_send_rtcp(struct assoc *a, uint8_t *bytes, size_t len, size_t cap)
{
    int n = a->tx ? srtp_tx_protect_rtcp(a->shared->srtp, a->tx, bytes, len, cap) : -1;

    if (n > 0)
        port_slot_send(&a->slot, &a->candidates[a->path], bytes, (size_t)n);
}
