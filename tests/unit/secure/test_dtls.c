/* SPDX-License-Identifier: Apache-2.0
 * Two DTLS endpoints over a network that is a list of datagrams, on a virtual clock. OpenSSL reads the time
 * of its retransmission by gettimeofday: this program has its own. */
#include "secure/dtls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum { CLIENT, SERVER, QUEUE_MAX = 256, LATENCY_US = 20000, GIVE_UP_US = 60 * 1000000 };

static uint64_t clock_us = 1700000000ULL * 1000000;

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    (void)tz;
    tv->tv_sec = (time_t)(clock_us / 1000000);
    tv->tv_usec = (suseconds_t)(clock_us % 1000000);
    return 0;
}

struct datagram {
    uint8_t *bytes;
    size_t len;
    uint64_t due_us;
    int to;
};

struct net;

struct end {
    struct net *net;
    struct cert *cert;
    struct dtls_ctx *ctx;
    struct dtls *d;
    int self;
    unsigned sent; /* datagrams */
    char heard[64]; /* records of data, one after the other */
};

struct net {
    struct end end[2];
    struct datagram queue[QUEUE_MAX];
    size_t head, tail;
    uint64_t drop; /* bit n: the n-th datagram sent by either is lost */
    unsigned sent;
};

static void on_send(void *arg, const uint8_t *datagram, size_t len)
{
    struct end *e = arg;
    struct net *net = e->net;

    assert_true(len > 0 && len <= DTLS_MTU);
    assert_true(datagram[0] >= 20 && datagram[0] <= 63);
    e->sent++;
    if (net->sent++ < 64 && net->drop >> (net->sent - 1) & 1)
        return;
    assert_true(net->tail < QUEUE_MAX);
    struct datagram *q = &net->queue[net->tail++];
    *q = (struct datagram){malloc(len), len, clock_us + LATENCY_US, !e->self};
    assert_non_null(q->bytes);
    memcpy(q->bytes, datagram, len);
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct end *e = arg;
    size_t at = strlen(e->heard);

    assert_true(at + len < sizeof(e->heard));
    memcpy(e->heard + at, bytes, len);
    e->heard[at + len] = '\0';
    if (len == 1 && bytes[0] == '?') /* answered from within dtls_feed, as SCTP does */
        assert_true(dtls_write(e->d, (const uint8_t *)"!", 1));
}

static void net_open(struct net *net, const enum srtp_profile *client, const enum srtp_profile *server)
{
    memset(net, 0, sizeof(*net));
    for (int i = 0; i < 2; i++) {
        struct end *e = &net->end[i];
        e->net = net;
        e->self = i;
        assert_int_equal(cert_create_self_signed(&e->cert, i == CLIENT ? "client" : "server"), 0);
        assert_int_equal(dtls_ctx_create(&e->ctx, e->cert, i == CLIENT ? client : server), 0);
    }
    for (int i = 0; i < 2; i++) {
        struct dtls_cfg cfg = {
            .role = i == CLIENT ? DTLS_ACTIVE : DTLS_PASSIVE, .send = on_send, .on_data = on_data, .arg = &net->end[i]};
        assert_int_equal(fingerprint_parse(&cfg.peer, cert_fingerprint(net->end[!i].cert)), 0);
        assert_int_equal(dtls_create(&net->end[i].d, net->end[i].ctx, &cfg), 0);
    }
}

static void net_close(struct net *net)
{
    for (int i = 0; i < 2; i++) {
        dtls_destroy(&net->end[i].d);
        dtls_ctx_destroy(&net->end[i].ctx);
        cert_destroy(&net->end[i].cert);
    }
    for (size_t i = net->head; i < net->tail; i++)
        free(net->queue[i].bytes);
}

/* The next thing that happens: a datagram arrives, or an end wants to be polled. False when nothing will. */
static bool net_step(struct net *net)
{
    uint64_t next_us = net->head < net->tail ? net->queue[net->head].due_us : UINT64_MAX;

    for (int i = 0; i < 2; i++) {
        uint64_t deadline_us = dtls_deadline_us(net->end[i].d);
        if (deadline_us < next_us)
            next_us = deadline_us;
    }
    if (next_us == UINT64_MAX)
        return false;
    if (next_us > clock_us)
        clock_us = next_us;
    if (net->head < net->tail && net->queue[net->head].due_us <= clock_us) {
        struct datagram q = net->queue[net->head++];
        dtls_feed(net->end[q.to].d, q.bytes, q.len, clock_us);
        free(q.bytes);
    }
    for (int i = 0; i < 2; i++)
        dtls_poll(net->end[i].d, clock_us);
    return true;
}

static enum dtls_state state_of(const struct net *net, int end)
{
    return dtls_state(net->end[end].d);
}

static void net_handshake(struct net *net)
{
    uint64_t until_us = clock_us + GIVE_UP_US;

    dtls_start(net->end[CLIENT].d, clock_us);
    dtls_start(net->end[SERVER].d, clock_us);
    while (clock_us < until_us &&
           (state_of(net, CLIENT) == DTLS_HANDSHAKE || state_of(net, SERVER) == DTLS_HANDSHAKE) &&
           net_step(net)) {
    }
}

static void assert_same_keys(struct net *net, enum srtp_profile profile)
{
    struct srtp_master tx[2], rx[2];

    for (int i = 0; i < 2; i++) {
        assert_int_equal(state_of(net, i), DTLS_LIVE);
        assert_string_equal(dtls_error(net->end[i].d), "");
        dtls_keys(net->end[i].d, &tx[i], &rx[i]);
        assert_int_equal(tx[i].profile, profile);
        assert_int_equal(rx[i].profile, profile);
    }
    assert_memory_equal(&tx[CLIENT], &rx[SERVER], sizeof(tx[0]));
    assert_memory_equal(&rx[CLIENT], &tx[SERVER], sizeof(tx[0]));
    assert_memory_not_equal(tx[CLIENT].key, tx[SERVER].key, srtp_key_len(profile));
    assert_memory_not_equal(tx[CLIENT].salt, tx[SERVER].salt, srtp_salt_len(profile));
}

/* ---- Profiles -------------------------------------------------------------------------------- */

#define G128 SRTP_PROFILE_GCM_128
#define G256 SRTP_PROFILE_GCM_256
#define CM80 SRTP_PROFILE_CM_SHA1_80

static void the_servers_preference_decides_the_profile(void **state)
{
    static const struct {
        enum srtp_profile client[4], server[4], chosen;
    } rows[] = {
        {{G128}, {G128, G256, CM80}, G128},
        {{G256}, {G128, G256, CM80}, G256},
        {{CM80}, {G128, G256, CM80}, CM80},
        {{G256, CM80, G128}, {G128, G256, CM80}, G128}, /* Chromium's order */
        {{CM80, G256}, {G128, G256, CM80}, G256},
        {{G128, G256, CM80}, {CM80, G128}, CM80},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct net net;
        net_open(&net, rows[i].client, rows[i].server);
        net_handshake(&net);
        assert_same_keys(&net, rows[i].chosen);
        net_close(&net);
    }
}

static void without_a_common_profile_the_handshake_fails(void **state)
{
    static const enum srtp_profile client[] = {CM80, SRTP_PROFILE_NONE}, server[] = {G128, SRTP_PROFILE_NONE};
    struct net net;

    (void)state;
    net_open(&net, client, server);
    net_handshake(&net);
    assert_int_equal(state_of(&net, SERVER), DTLS_FAILED);
    assert_string_equal(dtls_error(net.end[SERVER].d), "the peer offered none of our SRTP profiles");
    net_close(&net);
}

/* ---- Loss ------------------------------------------------------------------------------------ */

static uint64_t handshake_time_us(uint64_t drop)
{
    struct net net;
    uint64_t from_us = clock_us;

    net_open(&net, NULL, NULL);
    net.drop = drop;
    net_handshake(&net);
    if (state_of(&net, CLIENT) != DTLS_LIVE || state_of(&net, SERVER) != DTLS_LIVE)
        fail_msg("drop %#llx: client %d (%s), server %d (%s)", (unsigned long long)drop,
                 state_of(&net, CLIENT), dtls_error(net.end[CLIENT].d), state_of(&net, SERVER),
                 dtls_error(net.end[SERVER].d));
    assert_same_keys(&net, G128);
    net_close(&net);
    return clock_us - from_us;
}

static void without_loss_it_takes_two_round_trips(void **state)
{
    (void)state;
    assert_int_equal(handshake_time_us(0), 4 * LATENCY_US);
}

static void any_one_datagram_may_be_lost(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        assert_true(handshake_time_us(1ULL << i) < 1000000);
}

static void any_two_datagrams_may_be_lost(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned k = i + 1; k < 10; k++)
            assert_true(handshake_time_us(1ULL << i | 1ULL << k) < 3000000);
    }
}

static void a_peer_that_never_answers_is_given_up(void **state)
{
    struct net net;
    uint64_t from_us = clock_us;

    (void)state;
    net_open(&net, NULL, NULL);
    net.drop = UINT64_MAX;
    dtls_start(net.end[CLIENT].d, clock_us);
    while (state_of(&net, CLIENT) == DTLS_HANDSHAKE && net_step(&net)) {
    }
    assert_int_equal(state_of(&net, CLIENT), DTLS_FAILED);
    assert_string_not_equal(dtls_error(net.end[CLIENT].d), "");
    assert_in_range(clock_us - from_us, 10000000, GIVE_UP_US);
    assert_int_equal(dtls_deadline_us(net.end[CLIENT].d), UINT64_MAX);
    net_close(&net);
}

/* ---- Fingerprints ---------------------------------------------------------------------------- */

static void a_wrong_fingerprint_is_refused_by_either_end(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct net net;
        struct end *e = &net.end[wrong];
        struct dtls_cfg cfg = {
            .role = wrong == CLIENT ? DTLS_ACTIVE : DTLS_PASSIVE, .send = on_send, .arg = e};

        net_open(&net, NULL, NULL);
        dtls_destroy(&e->d);
        assert_int_equal(fingerprint_parse(&cfg.peer, cert_fingerprint(e->cert)), 0); /* its own */
        assert_int_equal(dtls_create(&e->d, e->ctx, &cfg), 0);
        net_handshake(&net);
        assert_int_equal(state_of(&net, wrong), DTLS_FAILED);
        assert_string_equal(dtls_error(e->d),
                            "the peer's certificate does not have the fingerprint of its SDP");
        while (state_of(&net, !wrong) == DTLS_HANDSHAKE && net_step(&net)) {
        }
        assert_int_equal(state_of(&net, !wrong), DTLS_FAILED); /* told by an alert */
        net_close(&net);
    }
}

/* ---- After the handshake --------------------------------------------------------------------- */

static void deliver_all(struct net *net)
{
    while (net->head < net->tail)
        assert_true(net_step(net));
}

static void close_notify_is_seen(void **state)
{
    struct net net;

    (void)state;
    net_open(&net, NULL, NULL);
    net_handshake(&net);
    dtls_close(net.end[CLIENT].d);
    assert_int_equal(state_of(&net, CLIENT), DTLS_CLOSED);
    deliver_all(&net);
    assert_int_equal(state_of(&net, SERVER), DTLS_CLOSED);
    net_close(&net);
}

static void close_notify_after_shrink_is_a_hint(void **state)
{
    struct net net;

    (void)state;
    net_open(&net, NULL, NULL);
    net_handshake(&net);
    dtls_shrink(net.end[SERVER].d);
    assert_int_equal(state_of(&net, SERVER), DTLS_LIVE);
    dtls_close(net.end[CLIENT].d);
    deliver_all(&net);
    assert_int_equal(state_of(&net, SERVER), DTLS_LEAVING);
    dtls_close(net.end[SERVER].d);
    assert_int_equal(state_of(&net, SERVER), DTLS_CLOSED);
    net_close(&net);
}

static void a_shrunk_session_says_goodbye_once(void **state)
{
    struct net net;

    (void)state;
    net_open(&net, NULL, NULL);
    net_handshake(&net);
    unsigned before = net.end[SERVER].sent;
    dtls_shrink(net.end[SERVER].d);
    assert_int_equal(net.end[SERVER].sent, before);
    deliver_all(&net);
    assert_int_equal(state_of(&net, CLIENT), DTLS_LIVE);
    dtls_close(net.end[SERVER].d);
    dtls_close(net.end[SERVER].d);
    assert_int_equal(net.end[SERVER].sent, before + 1);
    deliver_all(&net);
    assert_int_equal(state_of(&net, CLIENT), DTLS_CLOSED); /* authentic */
    net_close(&net);
}

/* The server is live once it has the client's Finished; its own gets lost, and it has been shrunk. */
static void a_lost_last_flight_is_sent_again_after_shrink(void **state)
{
    (void)state;
    for (unsigned losses = 1; losses <= 3; losses++) {
        struct net net;
        net_open(&net, NULL, NULL);
        dtls_start(net.end[CLIENT].d, clock_us);
        while (state_of(&net, SERVER) == DTLS_HANDSHAKE)
            assert_true(net_step(&net));
        dtls_shrink(net.end[SERVER].d);
        assert_int_equal(net.tail - net.head, 1); /* the last flight is one datagram; it is lost */
        free(net.queue[net.head++].bytes);
        unsigned lost = 1;
        while (state_of(&net, CLIENT) == DTLS_HANDSHAKE) {
            assert_true(net_step(&net));
            if (net.head < net.tail && net.queue[net.tail - 1].to == CLIENT && lost < losses) {
                free(net.queue[--net.tail].bytes);
                lost++;
            }
        }
        assert_int_equal(state_of(&net, CLIENT), DTLS_LIVE);
        assert_int_equal(state_of(&net, SERVER), DTLS_LIVE);
        net_close(&net);
    }
}

static void say(struct net *net, int end, const char *text)
{
    assert_true(dtls_write(net->end[end].d, (const uint8_t *)text, strlen(text)));
}

static void a_resting_session_carries_data_and_says_goodbye(void **state)
{
    struct net net;

    (void)state;
    net_open(&net, NULL, NULL);
    net_handshake(&net);
    dtls_rest(net.end[SERVER].d);
    say(&net, CLIENT, "one,");
    say(&net, SERVER, "uno,");
    deliver_all(&net);
    say(&net, CLIENT, "?");
    say(&net, CLIENT, "two");
    say(&net, SERVER, "due");
    deliver_all(&net);
    assert_string_equal(net.end[SERVER].heard, "one,?two");
    assert_string_equal(net.end[CLIENT].heard, "uno,due!");
    dtls_close(net.end[SERVER].d);
    deliver_all(&net);
    assert_int_equal(state_of(&net, CLIENT), DTLS_CLOSED);
    assert_false(dtls_write(net.end[SERVER].d, (const uint8_t *)"late", 4));
    net_close(&net);
}

/* The server's last flight gets lost; it rests when the client's comes again. */
static void a_resting_session_sends_its_last_flight_again(void **state)
{
    struct net net;

    (void)state;
    net_open(&net, NULL, NULL);
    dtls_start(net.end[CLIENT].d, clock_us);
    while (state_of(&net, SERVER) == DTLS_HANDSHAKE)
        assert_true(net_step(&net));
    dtls_rest(net.end[SERVER].d);
    free(net.queue[net.head++].bytes);
    while (state_of(&net, CLIENT) == DTLS_HANDSHAKE)
        assert_true(net_step(&net));
    assert_int_equal(state_of(&net, CLIENT), DTLS_LIVE);
    say(&net, CLIENT, "here");
    deliver_all(&net);
    assert_string_equal(net.end[SERVER].heard, "here");
    net_close(&net);
}

static void a_shrunk_session_does_not_answer_for_ever(void **state)
{
    static const uint8_t finished[13 + 1] = {22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 0};
    struct net net;

    (void)state;
    net_open(&net, NULL, NULL);
    net_handshake(&net);
    dtls_shrink(net.end[SERVER].d);
    unsigned before = net.end[SERVER].sent;
    for (int i = 0; i < 1000; i++)
        dtls_feed(net.end[SERVER].d, finished, sizeof(finished), clock_us);
    assert_in_range(net.end[SERVER].sent - before, 1, 32);
    net_close(&net);
}

/* ---- Bytes from outside ---------------------------------------------------------------------- */

static void noise_changes_nothing(void **state)
{
    struct net net;
    uint32_t x = 12345;

    (void)state;
    net_open(&net, NULL, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 500; i++) {
            size_t len = x % 90;
            uint8_t *bytes = malloc(len + 1);
            for (size_t k = 0; k < len; k++) {
                x = x * 1664525 + 1013904223;
                bytes[k] = (uint8_t)(x >> 24);
            }
            if (len)
                bytes[0] = 0; /* no record type: what a demultiplexer should not even have passed on */
            dtls_feed(net.end[SERVER].d, bytes, len, clock_us);
            free(bytes);
        }
        if (round == 0) {
            net_handshake(&net);
            assert_same_keys(&net, G128);
        } else if (round == 1) {
            dtls_shrink(net.end[SERVER].d);
        }
    }
    assert_int_equal(state_of(&net, SERVER), DTLS_LIVE);
    net_close(&net);
}

/* Every datagram of a real handshake, with every byte in turn made another, and cut at every length: no
 * crash, no over-read, and never live with a peer that is not who it must be. */
static void a_damaged_client_hello_does_not_make_a_session_live(void **state)
{
    struct net net;

    (void)state;
    net_open(&net, NULL, NULL);
    dtls_start(net.end[CLIENT].d, clock_us);
    struct datagram hello = net.queue[net.head];
    for (size_t i = 0; i < 2 * hello.len; i++) {
        struct dtls_cfg cfg = {.role = DTLS_PASSIVE, .send = on_send, .arg = &net.end[SERVER]};
        size_t len = i < hello.len ? hello.len : i - hello.len;
        uint8_t *bytes = malloc(len + !len);
        memcpy(bytes, hello.bytes, len);
        if (i < hello.len)
            bytes[i] ^= 0x55;
        net.drop = UINT64_MAX;
        net.sent = 0;
        dtls_destroy(&net.end[SERVER].d);
        assert_int_equal(fingerprint_parse(&cfg.peer, cert_fingerprint(net.end[CLIENT].cert)), 0);
        assert_int_equal(dtls_create(&net.end[SERVER].d, net.end[SERVER].ctx, &cfg), 0);
        enum dtls_state s = dtls_feed(net.end[SERVER].d, bytes, len, clock_us);
        assert_true(s == DTLS_HANDSHAKE || s == DTLS_FAILED);
        free(bytes);
    }
    net_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_servers_preference_decides_the_profile),
        cmocka_unit_test(without_a_common_profile_the_handshake_fails),
        cmocka_unit_test(without_loss_it_takes_two_round_trips),
        cmocka_unit_test(any_one_datagram_may_be_lost),
        cmocka_unit_test(any_two_datagrams_may_be_lost),
        cmocka_unit_test(a_peer_that_never_answers_is_given_up),
        cmocka_unit_test(a_wrong_fingerprint_is_refused_by_either_end),
        cmocka_unit_test(close_notify_is_seen),
        cmocka_unit_test(close_notify_after_shrink_is_a_hint),
        cmocka_unit_test(a_shrunk_session_says_goodbye_once),
        cmocka_unit_test(a_lost_last_flight_is_sent_again_after_shrink),
        cmocka_unit_test(a_resting_session_carries_data_and_says_goodbye),
        cmocka_unit_test(a_resting_session_sends_its_last_flight_again),
        cmocka_unit_test(a_shrunk_session_does_not_answer_for_ever),
        cmocka_unit_test(noise_changes_nothing),
        cmocka_unit_test(a_damaged_client_hello_does_not_make_a_session_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
