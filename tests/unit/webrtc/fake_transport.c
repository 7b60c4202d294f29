/* SPDX-License-Identifier: Apache-2.0
 * fake_transport.c - see fake_transport.h. */
#include "fake_transport.h"

#include "io/worker.h"
#include "wire/rtp_ext.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rtc_endpoint {
    struct worker *w;
    struct rtc_sctp_stack *sctp;
};

static struct rtc_endpoint endpoint;
static struct rtc_transport *last;
static struct addr candidate;

struct rtc_endpoint *fake_endpoint(struct worker *w)
{
    endpoint.w = w;
    if (addr_parse(&candidate, "127.0.0.1:8000") < 0)
        abort();
    return &endpoint;
}

void fake_endpoint_sctp(struct rtc_sctp_stack *stack)
{
    endpoint.sctp = stack;
}

struct rtc_sctp_stack *rtc_endpoint_sctp(const struct rtc_endpoint *e)
{
    return e->sctp;
}

void rtc_transport_carry_data(struct rtc_transport *t, void (*on_data)(void *arg, const uint8_t *bytes, size_t len), void *arg)
{
    t->on_data = on_data;
    t->data_arg = arg;
}

bool rtc_transport_send_data(struct rtc_transport *t, const uint8_t *bytes, size_t len)
{
    if (t->connected && t->send_data)
        t->send_data(t->send_data_arg, bytes, len);
    return t->connected;
}

struct rtc_transport *fake_transport(void)
{
    return last;
}

void fake_connect(struct rtc_transport *t)
{
    t->connected = true;
    t->cfg.ops->on_connected(t->cfg.arg);
}

void fake_rtcp(struct rtc_transport *t, const uint8_t *pkt, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);

    memcpy(exact, pkt, len);
    t->cfg.ops->on_rtcp(t->cfg.arg, exact, len, worker_now_us(endpoint.w));
    free(exact);
}

void fake_close(struct rtc_transport *t, enum rtc_close why)
{
    t->connected = false;
    t->cfg.ops->on_closed(t->cfg.arg, why, "");
}

/* ---- webrtc/endpoint.h -------------------------------------------------------------------------------------- */

struct worker *rtc_endpoint_worker(const struct rtc_endpoint *e)
{
    return e->w;
}

const struct addr *rtc_endpoint_candidates(const struct rtc_endpoint *e, size_t *n)
{
    (void)e;
    *n = 1;
    return &candidate;
}

const struct addr *rtc_endpoint_tcp_candidates(const struct rtc_endpoint *e, size_t *n)
{
    (void)e;
    *n = 0;
    return NULL;
}

const char *rtc_endpoint_fingerprint(const struct rtc_endpoint *e)
{
    (void)e;
    return "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";
}

/* ---- webrtc/transport.h ------------------------------------------------------------------------------------- */

int rtc_transport_create(struct rtc_transport **out, struct rtc_endpoint *e, const struct rtc_transport_cfg *cfg)
{
    struct rtc_transport *t = calloc(1, sizeof(*t));

    (void)e;
    if (!t)
        return -1;
    t->cfg = *cfg;
    strcpy(t->ufrag, "oursufrg");
    *out = last = t;
    return 0;
}

int rtc_transport_start(struct rtc_transport *t, const struct rtc_remote *remote)
{
    assert(!t->started && remote->ufrag[0] && remote->pwd[0]);
    t->started = true;
    return 0;
}

void rtc_transport_destroy(struct rtc_transport **t)
{
    if (last == *t)
        last = NULL;
    free(*t);
    *t = NULL;
}

int rtc_transport_restart_ice(struct rtc_transport *t, const char *ufrag, const char *pwd)
{
    (void)pwd;
    assert(ufrag[0]);
    snprintf(t->ufrag, sizeof(t->ufrag), "again%u", ++t->restarts);
    return 0;
}

static size_t assemble(uint8_t *d, const struct rtc_rtp *p)
{
    memcpy(d, p->hdr, p->hdr_len);
    memcpy(d + p->hdr_len, p->payload, p->payload_len);
    return p->hdr_len + p->payload_len;
}

size_t rtc_transport_send_rtp(struct rtc_transport *t, const struct rtc_rtp *p)
{
    size_t len = p->hdr_len + p->prefix_len + p->payload_len;
    uint8_t d[RTC_RTP_MAX];

    assert(len <= RTC_RTP_MAX && (p->prefix_len == 0) == (p->prefix == NULL));
    if (!t->connected) {
        t->counters.send_refused++;
        return 0;
    }
    t->counters.rtp_out++;
    if (t->n_sent < FAKE_SENT_MAX) {
        struct fake_rtp *f = &t->sent[t->n_sent];
        int err = rtp_view_parse(&f->view, d, assemble(d, p));
        assert(err == RTP_OK);
        (void)err;
        struct rtp_ext ext;
        f->transport_seq = -1;
        if (rtp_ext_find(&ext, f->view.ext_profile, f->view.ext, f->view.ext_len, FAKE_TRANSPORT_CC_ID) && ext.len == 2)
            f->transport_seq = ext.data[0] << 8 | ext.data[1];
        f->at_us = worker_now_us(endpoint.w);
        f->index = p->index;
        f->len = len;
        memcpy(&f->mark, f->view.payload, p->payload_len >= sizeof(f->mark) ? sizeof(f->mark) : 0);
        f->view.payload = f->view.ext = NULL;
    }
    t->n_sent++;
    if (t->on_rtp)
        t->on_rtp(t->rtp_arg, p);
    return len;
}

uint8_t *rtc_transport_reserve_rtp(struct rtc_transport *t, size_t plain_len)
{
    assert(plain_len <= RTC_RTP_MAX);
    return t->connected ? t->room : NULL;
}

size_t rtc_transport_commit_rtp(struct rtc_transport *t, const struct rtc_rtp *p, size_t pad_len)
{
    struct rtc_rtp padded = *p;
    uint8_t *body = t->room + p->hdr_len;

    assert(p->hdr == t->room && p->prefix_len == 0 && pad_len <= 255);
    memcpy(body, p->payload, p->payload_len);
    if (pad_len) {
        memset(body + p->payload_len, 0, pad_len - 1);
        body[p->payload_len + pad_len - 1] = (uint8_t)pad_len;
    }
    padded.payload = body;
    padded.payload_len += pad_len;
    return rtc_transport_send_rtp(t, &padded);
}

void rtc_transport_prefetch(const struct rtc_transport *t, unsigned ahead)
{
    (void)t;
    (void)ahead;
}

size_t rtc_transport_send_rtcp(struct rtc_transport *t, const uint8_t *pkt, size_t len)
{
    assert(len <= sizeof(t->rtcp[0]));
    if (!t->connected)
        return 0;
    memcpy(t->rtcp[t->n_rtcp % 64], pkt, len);
    t->rtcp_len[t->n_rtcp++ % 64] = len;
    return len;
}

const char *rtc_transport_ufrag(const struct rtc_transport *t)
{
    return t->ufrag;
}

const char *rtc_transport_pwd(const struct rtc_transport *t)
{
    (void)t;
    return "ourspasswordourspassword";
}

bool rtc_transport_connected(const struct rtc_transport *t)
{
    return t->connected;
}

bool rtc_transport_peer(const struct rtc_transport *t, struct addr *out)
{
    *out = candidate;
    return t->connected;
}

bool rtc_transport_tcp(const struct rtc_transport *t)
{
    return t->tcp;
}

bool rtc_transport_rtcp_joins(const struct rtc_transport *t, size_t len)
{
    assert(len <= sizeof(t->rtcp[0]));
    return t->joins;
}

bool rtc_transport_behind(const struct rtc_transport *t)
{
    return t->behind;
}

const char *rtc_transport_profile(const struct rtc_transport *t)
{
    return t->connected ? "AEAD_AES_128_GCM" : "";
}

struct rtc_endpoint *rtc_transport_endpoint(const struct rtc_transport *t)
{
    (void)t;
    return &endpoint;
}

const struct rtc_transport_counters *rtc_transport_counters(const struct rtc_transport *t)
{
    return &t->counters;
}

const char *rtc_close_name(enum rtc_close why)
{
    (void)why;
    return "closed";
}
