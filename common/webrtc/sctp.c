/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/sctp.h"

#include "io/timer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <usrsctp.h>

enum {
    TICK_US = 10000,      /* the library's timers are of 10 ms at best */
    IDLE_TICKS = 200,     /* after the last association: what it still has to tidy up */
    FINISH_TRIES = 100,
    COMMON_HEADER_BYTES = 12, /* RFC 9260 s3.1; the library's MTU is without it */
    PCB_TABLE = 16,       /* buckets an association; 256 would be 2 KiB */
    RTO_MIN_MS = 200, RTO_INITIAL_MS = 500, RTO_MAX_MS = 5000, /* its own are for the 1980s' internet: 1, 1 and 60 s */
    SACK_DELAY_MS = 20,
    NOTIFICATION_MAX = 512, /* bytes; those that we ask for are far below */
};

struct rtc_sctp_stack {
    pthread_mutex_t lock; /* around every call of the library */
    struct worker *main;
    struct timer timer;
    struct mail wake;     /* to main: start the timer; under way while .ticking and the timer is not */
    bool ticking;         /* under the lock */
    unsigned idle_ticks;  /* main's */
    uint64_t ticked_us;   /* main's */
    _Atomic size_t alive;
};

/* What the library knows an association by, its AF_CONN address. It outlives the association while packets for it are in
 * the mail. */
struct port {
    _Atomic unsigned refs;
    struct worker *worker;
    pthread_t thread;
    struct rtc_sctp *owner; /* NULL: gone. The owner's thread only */
};

struct rtc_sctp {
    struct rtc_sctp_cfg cfg;
    struct port *port;
    struct socket *socket;
    bool up, down, paused, refused, destroyed;
    bool skipping;     /* the rest of a message that is too long */
    unsigned depth;    /* callbacks that are running */
    struct rtc_sctp_counters counters;
    size_t have;       /* of a message that comes in parts */
    uint8_t *buf;      /* message_max bytes, and NOTIFICATION_MAX behind them */
};

/* ---- Packets out --------------------------------------------------------------------------------- */

struct parcel {
    struct mail mail;
    struct port *port;
    size_t len;
    uint8_t bytes[];
};

static void unref(struct port *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        free(p);
}

static void send_own(struct port *p, const uint8_t *bytes, size_t len)
{
    struct rtc_sctp *a = p->owner;

    if (!a)
        return;
    a->counters.packets_out++;
    a->cfg.ops->send(a->cfg.arg, bytes, len);
}

static void run_parcel(struct mail *m, struct worker *w)
{
    struct parcel *parcel = container_of(m, struct parcel, mail);

    (void)w;
    send_own(parcel->port, parcel->bytes, parcel->len);
    unref(parcel->port);
    free(parcel);
}

/* The library has a packet to send. From its timers on main this may be another worker's: without memory for the mail it is
 * lost like any other, and sent again. */
static int on_output(void *addr, void *bytes, size_t len, uint8_t tos, uint8_t set_df)
{
    struct port *p = addr;

    (void)tos, (void)set_df;
    if (pthread_equal(p->thread, pthread_self())) {
        send_own(p, bytes, len);
        return 0;
    }
    struct parcel *parcel = malloc(sizeof(*parcel) + len);
    if (!parcel)
        return ENOBUFS;
    *parcel = (struct parcel){.mail.run = run_parcel, .port = p, .len = len};
    memcpy(parcel->bytes, bytes, len);
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    worker_post(p->worker, &parcel->mail);
    return 0;
}

/* ---- The stack ----------------------------------------------------------------------------------- */

static void on_tick(struct timer *t, uint64_t now_us)
{
    struct rtc_sctp_stack *s = container_of(t, struct rtc_sctp_stack, timer);
    uint64_t passed_ms = (now_us - s->ticked_us) / 1000;

    s->ticked_us += passed_ms * 1000;
    pthread_mutex_lock(&s->lock);
    usrsctp_handle_timers((uint32_t)passed_ms);
    s->idle_ticks = rtc_sctp_stack_alive(s) ? 0 : s->idle_ticks + 1; /* one that opens now is counted, or finds .ticking false */
    s->ticking = s->idle_ticks < IDLE_TICKS;
    bool again = s->ticking;
    pthread_mutex_unlock(&s->lock);
    if (again)
        timer_start(&s->timer, TICK_US);
}

static void run_wake(struct mail *m, struct worker *w)
{
    struct rtc_sctp_stack *s = container_of(m, struct rtc_sctp_stack, wake);

    s->idle_ticks = 0;
    s->ticked_us = worker_now_us(w);
    timer_start(&s->timer, TICK_US);
}

/* Under the lock. */
static void keep_ticking(struct rtc_sctp_stack *s)
{
    if (s->ticking)
        return;
    s->ticking = true;
    worker_post(s->main, &s->wake);
}

static void set_defaults(void)
{
    usrsctp_sysctl_set_sctp_blackhole(2); /* strangers are not answered: there are none behind DTLS */
    usrsctp_sysctl_set_sctp_ecn_enable(0);
    usrsctp_sysctl_set_sctp_asconf_enable(0); /* RFC 8831 s6.2: one address */
    usrsctp_sysctl_set_sctp_auto_asconf(0);
    usrsctp_sysctl_set_sctp_auth_enable(0);
    usrsctp_sysctl_set_sctp_rto_min_default(RTO_MIN_MS);
    usrsctp_sysctl_set_sctp_rto_initial_default(RTO_INITIAL_MS);
    usrsctp_sysctl_set_sctp_rto_max_default(RTO_MAX_MS);
    usrsctp_sysctl_set_sctp_init_rto_max_default(RTO_MAX_MS);
    usrsctp_sysctl_set_sctp_delayed_sack_time_default(SACK_DELAY_MS);
}

int rtc_sctp_stack_open(struct rtc_sctp_stack **out, struct worker *main)
{
    struct rtc_sctp_stack *s = calloc(1, sizeof(*s));

    if (!s || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        return -1;
    }
    s->main = main;
    s->wake.run = run_wake;
    timer_init(&s->timer, main, on_tick);
    usrsctp_tunable_set_sctp_pcbtblsize(PCB_TABLE); /* before it begins; the others after */
    usrsctp_init_nothreads(0, on_output, NULL);
    set_defaults();
    *out = s;
    return 0;
}

void rtc_sctp_stack_close(struct rtc_sctp_stack **stack)
{
    struct rtc_sctp_stack *s = *stack;

    *stack = NULL;
    if (!s)
        return;
    assert(rtc_sctp_stack_alive(s) == 0);
    timer_stop(&s->timer);
    for (int i = 0; i < FINISH_TRIES && usrsctp_finish() != 0; i++)
        usrsctp_handle_timers(TICK_US / 1000); /* something is still being tidied up */
    pthread_mutex_destroy(&s->lock);
    free(s);
}

size_t rtc_sctp_stack_alive(const struct rtc_sctp_stack *s)
{
    return atomic_load_explicit(&s->alive, memory_order_relaxed);
}

/* ---- Life ---------------------------------------------------------------------------------------- */

static struct sockaddr_conn address(struct port *p, uint16_t port)
{
    return (struct sockaddr_conn){
        .sconn_family = AF_CONN, .sconn_port = (uint16_t)(port << 8 | port >> 8), .sconn_addr = p};
}

static bool set_option(struct socket *so, int level, int name, const void *value, size_t len)
{
    return usrsctp_setsockopt(so, level, name, value, (socklen_t)len) == 0;
}

static bool set_flag(struct socket *so, int name, uint32_t on)
{
    return set_option(so, IPPROTO_SCTP, name, &on, sizeof(on));
}

static bool subscribe(struct socket *so, uint16_t type)
{
    struct sctp_event event = {.se_assoc_id = SCTP_ALL_ASSOC, .se_type = type, .se_on = 1};

    return set_option(so, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof(event));
}

static bool set_options(struct socket *so, const struct rtc_sctp_cfg *cfg)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int recv_bytes = (int)cfg->recv_bytes, send_bytes = (int)cfg->send_bytes;
    struct sctp_assoc_value resets = {.assoc_id = SCTP_ALL_ASSOC, .assoc_value = SCTP_ENABLE_RESET_STREAM_REQ};
    struct sctp_initmsg init = {.sinit_num_ostreams = RTC_SCTP_STREAMS, .sinit_max_instreams = RTC_SCTP_STREAMS};

    return usrsctp_set_non_blocking(so, 1) == 0 &&
           set_option(so, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) &&
           set_option(so, SOL_SOCKET, SO_RCVBUF, &recv_bytes, sizeof(recv_bytes)) &&
           set_option(so, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes)) &&
           set_option(so, IPPROTO_SCTP, SCTP_ENABLE_STREAM_RESET, &resets, sizeof(resets)) &&
           set_option(so, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)) && set_flag(so, SCTP_NODELAY, 1) &&
           set_flag(so, SCTP_RECVRCVINFO, 1) && set_flag(so, SCTP_FRAGMENT_INTERLEAVE, 0) &&
           subscribe(so, SCTP_ASSOC_CHANGE) && subscribe(so, SCTP_STREAM_RESET_EVENT);
}

/* RFC 8261 s5: no path MTU discovery of its own below DTLS. */
static bool connect_socket(struct rtc_sctp *a)
{
    struct sockaddr_conn local = address(a->port, SCTP_PORT_DEFAULT), remote = address(a->port, a->cfg.port);
    struct sctp_paddrparams path = {.spp_flags = SPP_PMTUD_DISABLE, .spp_pathmtu = RTC_SCTP_PACKET_MAX - COMMON_HEADER_BYTES};

    if (usrsctp_bind(a->socket, (struct sockaddr *)&local, sizeof(local)) != 0)
        return false;
    if (usrsctp_connect(a->socket, (struct sockaddr *)&remote, sizeof(remote)) != 0 && errno != EINPROGRESS)
        return false;
    memcpy(&path.spp_address, &remote, sizeof(remote));
    return set_option(a->socket, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path));
}

static bool open_socket(struct rtc_sctp *a)
{
    struct rtc_sctp_stack *s = a->cfg.stack;
    bool open = false;

    pthread_mutex_lock(&s->lock);
    keep_ticking(s);
    usrsctp_register_address(a->port);
    a->socket = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    if (a->socket)
        open = set_options(a->socket, &a->cfg) && connect_socket(a);
    pthread_mutex_unlock(&s->lock);
    return open;
}

static void close_socket(struct rtc_sctp *a)
{
    struct rtc_sctp_stack *s = a->cfg.stack;

    pthread_mutex_lock(&s->lock);
    if (a->socket)
        usrsctp_close(a->socket); /* says ABORT */
    usrsctp_deregister_address(a->port);
    pthread_mutex_unlock(&s->lock);
    a->socket = NULL;
    a->port->owner = NULL;
    unref(a->port);
}

static void free_association(struct rtc_sctp *a)
{
    free(a->buf);
    free(a);
}

void rtc_sctp_destroy(struct rtc_sctp **association)
{
    struct rtc_sctp *a = *association;

    *association = NULL;
    if (!a)
        return;
    close_socket(a);
    atomic_fetch_sub_explicit(&a->cfg.stack->alive, 1, memory_order_relaxed);
    a->destroyed = a->down = true;
    if (a->depth == 0)
        free_association(a);
}

int rtc_sctp_create(struct rtc_sctp **out, const struct rtc_sctp_cfg *cfg)
{
    struct rtc_sctp *a = calloc(1, sizeof(*a));
    struct port *p = calloc(1, sizeof(*p));

    if (a)
        a->buf = malloc(cfg->message_max + NOTIFICATION_MAX);
    if (!a || !p || !a->buf) {
        free(p);
        if (a)
            free_association(a);
        return -1;
    }
    *p = (struct port){.refs = 1, .worker = cfg->worker, .thread = pthread_self(), .owner = a};
    a->cfg = *cfg;
    a->port = p;
    atomic_fetch_add_explicit(&cfg->stack->alive, 1, memory_order_relaxed);
    if (!open_socket(a)) {
        rtc_sctp_destroy(&a);
        return -1;
    }
    *out = a;
    return 0;
}

/* Around callbacks. False: the association is gone. */
static bool leave(struct rtc_sctp *a)
{
    bool alive = !a->destroyed;

    if (--a->depth == 0 && !alive)
        free_association(a);
    return alive;
}

/* ---- What comes in ------------------------------------------------------------------------------- */

static void on_change(struct rtc_sctp *a, const struct sctp_assoc_change *c)
{
    if (c->sac_state == SCTP_COMM_UP && !a->up) {
        a->up = true;
        a->cfg.ops->on_up(a->cfg.arg);
    } else if ((c->sac_state == SCTP_COMM_LOST || c->sac_state == SCTP_CANT_STR_ASSOC ||
                c->sac_state == SCTP_SHUTDOWN_COMP) && !a->down) {
        a->down = true;
        a->cfg.ops->on_down(a->cfg.arg);
    }
}

static void on_resets(struct rtc_sctp *a, const uint8_t *bytes, size_t len)
{
    struct sctp_stream_reset_event e;
    uint16_t streams[RTC_SCTP_STREAMS];
    size_t n = 0;

    memcpy(&e, bytes, sizeof(e));
    if (!(e.strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN) || e.strreset_flags & SCTP_STREAM_RESET_DENIED)
        return;
    for (size_t at = sizeof(e); at + sizeof(uint16_t) <= len && n < RTC_SCTP_STREAMS; at += sizeof(uint16_t))
        memcpy(&streams[n++], bytes + at, sizeof(uint16_t));
    for (size_t i = 0; i < n && !a->destroyed; i++)
        a->cfg.ops->on_reset(a->cfg.arg, streams[i]);
}

/* The library's own word; it is no input from outside. */
static void on_notification(struct rtc_sctp *a, const uint8_t *bytes, size_t len)
{
    union sctp_notification n = {0};

    memcpy(&n, bytes, len < sizeof(n) ? len : sizeof(n));
    if (n.sn_header.sn_type == SCTP_ASSOC_CHANGE && len >= sizeof(n.sn_assoc_change))
        on_change(a, &n.sn_assoc_change);
    else if (n.sn_header.sn_type == SCTP_STREAM_RESET_EVENT && len >= sizeof(n.sn_strreset_event))
        on_resets(a, bytes, len);
}

/* One part of what waits, behind what is there already. Bytes, or negative: nothing waits. */
static ssize_t take(struct rtc_sctp *a, struct sctp_rcvinfo *info, int *flags)
{
    struct sockaddr_conn from;
    socklen_t from_len = sizeof(from), info_len = sizeof(*info);
    unsigned int info_type = SCTP_RECVV_NOINFO;

    *flags = 0;
    pthread_mutex_lock(&a->cfg.stack->lock);
    ssize_t n = usrsctp_recvv(a->socket, a->buf + a->have, a->cfg.message_max + NOTIFICATION_MAX - a->have,
                              (struct sockaddr *)&from, &from_len, info, &info_len, &info_type, flags);
    pthread_mutex_unlock(&a->cfg.stack->lock);
    if (n > 0 && !(*flags & MSG_NOTIFICATION) && info_type != SCTP_RECVV_RCVINFO)
        a->skipping = true; /* of what stream it is nobody knows: cannot be */
    return n;
}

/* False: nothing waits. */
static bool read_part(struct rtc_sctp *a)
{
    struct sctp_rcvinfo info = {0};
    int flags;
    ssize_t n = take(a, &info, &flags);

    if (n <= 0)
        return false;
    if (flags & MSG_NOTIFICATION) {
        on_notification(a, a->buf + a->have, (size_t)n);
        return true;
    }
    a->have += (size_t)n;
    if (a->have > a->cfg.message_max)
        a->skipping = true;
    if (a->skipping)
        a->have = 0;
    if (!(flags & MSG_EOR))
        return true;
    size_t len = a->have;
    a->have = 0;
    a->counters.oversize += a->skipping;
    if (!a->skipping)
        a->cfg.ops->on_message(a->cfg.arg, info.rcv_sid, ntohl(info.rcv_ppid), a->buf, len);
    a->skipping = false;
    return true;
}

static void read_all(struct rtc_sctp *a)
{
    while (!a->destroyed && !a->paused && !a->down && read_part(a))
        ;
}

void rtc_sctp_feed(struct rtc_sctp *a, const uint8_t *packet, size_t len)
{
    if (a->down)
        return;
    a->counters.packets_in++;
    pthread_mutex_lock(&a->cfg.stack->lock);
    usrsctp_conninput(a->port, packet, len, 0);
    pthread_mutex_unlock(&a->cfg.stack->lock);
    a->depth++;
    read_all(a);
    if (!a->destroyed && !a->down && a->refused) {
        a->refused = false;
        a->cfg.ops->on_room(a->cfg.arg);
    }
    leave(a);
}

void rtc_sctp_pause(struct rtc_sctp *a, bool paused)
{
    bool resumes = a->paused && !paused;

    a->paused = paused;
    if (!resumes || a->depth)
        return; /* who reads already goes on */
    a->depth++;
    read_all(a);
    leave(a);
}

/* ---- What goes out ------------------------------------------------------------------------------- */

static struct sctp_sendv_spa sending(const struct rtc_sctp_message *m)
{
    struct sctp_sendv_spa s = {
        .sendv_flags = SCTP_SEND_SNDINFO_VALID,
        .sendv_sndinfo = {.snd_sid = m->stream,
                          .snd_ppid = htonl(m->ppid),
                          .snd_flags = (uint16_t)(SCTP_EOR | (m->unordered ? SCTP_UNORDERED : 0))},
    };

    if (m->retransmits >= 0)
        s.sendv_prinfo = (struct sctp_prinfo){.pr_policy = SCTP_PR_SCTP_RTX, .pr_value = (uint32_t)m->retransmits};
    else if (m->lifetime_ms >= 0)
        s.sendv_prinfo = (struct sctp_prinfo){.pr_policy = SCTP_PR_SCTP_TTL, .pr_value = (uint32_t)m->lifetime_ms};
    if (m->retransmits >= 0 || m->lifetime_ms >= 0)
        s.sendv_flags |= SCTP_SEND_PRINFO_VALID;
    return s;
}

int rtc_sctp_send(struct rtc_sctp *a, const struct rtc_sctp_message *m)
{
    struct sctp_sendv_spa how = sending(m);

    assert(m->len > 0);
    if (!a->up || a->down)
        return RTC_SCTP_DOWN;
    pthread_mutex_lock(&a->cfg.stack->lock);
    ssize_t n = usrsctp_sendv(a->socket, m->bytes, m->len, NULL, 0, &how, sizeof(how), SCTP_SENDV_SPA, 0);
    int err = n < 0 ? errno : 0;
    pthread_mutex_unlock(&a->cfg.stack->lock);
    if (err == EWOULDBLOCK || err == EAGAIN || err == ENOBUFS) {
        a->refused = true;
        return RTC_SCTP_FULL;
    }
    return err ? RTC_SCTP_DOWN : RTC_SCTP_OK;
}

void rtc_sctp_reset(struct rtc_sctp *a, uint16_t stream)
{
    union {
        struct sctp_reset_streams head;
        uint8_t bytes[sizeof(struct sctp_reset_streams) + sizeof(uint16_t)];
    } r = {.head = {.srs_assoc_id = SCTP_ALL_ASSOC, .srs_flags = SCTP_STREAM_RESET_OUTGOING, .srs_number_streams = 1}};

    memcpy(r.bytes + sizeof(r.head), &stream, sizeof(stream));
    if (!a->up || a->down)
        return;
    pthread_mutex_lock(&a->cfg.stack->lock);
    (void)set_option(a->socket, IPPROTO_SCTP, SCTP_RESET_STREAMS, &r, sizeof(r.bytes)); /* one under way: it says no */
    pthread_mutex_unlock(&a->cfg.stack->lock);
}

/* ---- Facts --------------------------------------------------------------------------------------- */

bool rtc_sctp_up(const struct rtc_sctp *a)
{
    return a->up && !a->down;
}

const struct rtc_sctp_counters *rtc_sctp_counters(const struct rtc_sctp *a)
{
    return &a->counters;
}
