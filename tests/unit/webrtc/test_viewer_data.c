/* SPDX-License-Identifier: Apache-2.0
 * test_viewer_data.c - packets of a data track to a viewer's channels: in order, whole, once; what is missing is skipped, and
 * a viewer that is too slow loses the oldest. */
#include "unit/webrtc/data_pair.h"

#include "webrtc/data_message.h"
#include "webrtc/viewer_data.h"

struct fixture {
    struct data_pair pair;
    struct pool *pool;
    struct viewer_data *d;
    uint64_t seq, now_us;
    uint32_t message_max;
};

static size_t expected; /* messages that the far end hears before it stops */

static bool up(const struct data_pair *p)
{
    return p->far.up;
}

static bool heard_enough(const struct data_pair *p)
{
    return p->far.n_heard >= expected;
}

static void run_until_heard(struct fixture *f, size_t n)
{
    expected = n;
    data_pair_run(&f->pair, heard_enough);
    assert_int_equal(f->pair.far.n_heard, n);
}

static void open_viewer(struct fixture *f, uint32_t message_max)
{
    *f = (struct fixture){.seq = PACKET_SEQ_FIRST, .message_max = message_max};
    data_pair_init(&f->pair);
    assert_int_equal(packet_pool_create(&f->pool, 4096), 0);
    struct viewer_data_cfg cfg = {.transport = f->pair.transport, .worker = f->pair.loop.w, .port = SCTP_PORT_DEFAULT,
                                  .message_max = message_max};
    assert_int_equal(viewer_data_create(&f->d, &cfg), 0);
    f->now_us = worker_now_us(f->pair.loop.w);
    viewer_data_start(f->d);
}

static void close_viewer(struct fixture *f)
{
    viewer_data_destroy(&f->d);
    data_pair_fini(&f->pair);
    pool_destroy(&f->pool);
}

static struct packet *make(struct fixture *f, uint8_t flags, const void *bytes, size_t len)
{
    struct packet *p = packet_create(f->pool);

    assert_non_null(p);
    assert_true(len <= PACKET_PAYLOAD_MAX);
    p->seq = f->seq++;
    p->flags = flags;
    p->payload_len = (uint16_t)len;
    if (len)
        memcpy(p->bytes, bytes, len);
    return p;
}

static void push(struct fixture *f, struct packet *p)
{
    viewer_data_push(f->d, p, f->now_us);
    packet_unref(&p);
}

/* The packets of a message into v; how many. */
static size_t cut(struct fixture *f, struct packet **v, const struct data_header *h, const uint8_t *bytes)
{
    uint8_t payload[PACKET_PAYLOAD_MAX];
    size_t n = 0, at = 0, head_len = data_header_write(payload, h);

    do {
        size_t left = h->len - at, room = sizeof(payload) - head_len, len = left < room ? left : room;

        if (len)
            memcpy(payload + head_len, bytes + at, len);
        at += len;
        v[n] = make(f, (uint8_t)((n == 0 ? PACKET_FRAME_START : 0) | (at == h->len ? PACKET_FRAME_END : 0)), payload, head_len + len);
        head_len = 0;
        n++;
    } while (at < h->len);
    return n;
}

static struct data_header header(const char *label, const char *protocol, enum data_kind kind, size_t len)
{
    return (struct data_header){.kind = kind, .channel = 4, .len = (uint32_t)len,
                                .open = {.label = (const uint8_t *)label, .label_len = strlen(label),
                                         .protocol = (const uint8_t *)protocol, .protocol_len = strlen(protocol)}};
}

static void push_message(struct fixture *f, const char *label, enum data_kind kind, const void *bytes, size_t len)
{
    struct data_header h = header(label, "", kind, len);
    struct packet *v[64];
    size_t n = cut(f, v, &h, bytes);

    for (size_t i = 0; i < n; i++)
        push(f, v[i]);
}

static void push_text(struct fixture *f, const char *label, const char *text)
{
    push_message(f, label, DATA_STRING, text, strlen(text));
}

static struct viewer_data_counters counters_of(const struct fixture *f)
{
    struct viewer_data_counters c;

    viewer_data_counters(f->d, &c);
    return c;
}

/* ---- Channels ------------------------------------------------------------------------------------ */

static void a_channel_is_opened_to_the_viewer_before_its_first_message(void **state)
{
    struct fixture f;
    struct data_header h = header("captions", "text/vtt", DATA_STRING, 5);
    struct packet *v[1];

    (void)state;
    open_viewer(&f, 65536);
    h.open.unordered = true;
    h.open.reliability = DCEP_RETRANSMITS;
    h.open.limit = 3;
    assert_int_equal(cut(&f, v, &h, (const uint8_t *)"hello"), 1);
    push(&f, v[0]); /* before the association is up: it waits */
    run_until_heard(&f, 2);
    assert_far_opened(&f.pair, 0, 1, "captions", "text/vtt"); /* odd: we are the DTLS server */
    struct dcep_message m;
    assert_int_equal(dcep_parse(&m, f.pair.far.heard[0].bytes, f.pair.far.heard[0].len), DCEP_OK);
    assert_true(m.open.unordered && m.open.reliability == DCEP_RETRANSMITS && m.open.limit == 3);
    assert_far_heard(&f.pair, 1, 1, PPID_STRING, "hello", 5);
    push_text(&f, "events", "goal");
    push_message(&f, "events", DATA_BINARY, "\0\1\2", 3);
    push_text(&f, "events", "");
    push_message(&f, "events", DATA_BINARY, "", 0);
    run_until_heard(&f, 7);
    assert_far_opened(&f.pair, 2, 3, "events", "");
    assert_far_heard(&f.pair, 3, 3, PPID_STRING, "goal", 4);
    assert_far_heard(&f.pair, 4, 3, PPID_BINARY, "\0\1\2", 3);
    assert_far_heard(&f.pair, 5, 3, PPID_STRING_EMPTY, "\0", 1);
    assert_far_heard(&f.pair, 6, 3, PPID_BINARY_EMPTY, "\0", 1);
    assert_int_equal(counters_of(&f).sent, 5);
    assert_int_equal(counters_of(&f).bytes, 12);
    close_viewer(&f);
}

static void a_channel_of_the_viewers_own_is_used_when_it_has_the_label(void **state)
{
    struct fixture f;

    (void)state;
    open_viewer(&f, 65536);
    data_pair_run(&f.pair, up);
    far_open(&f.pair, 2, "chat");
    run_until_heard(&f, 1);
    assert_far_heard(&f.pair, 0, 2, PPID_DCEP, "\2", 1); /* ACK */
    push_text(&f, "chat", "hi");
    far_send(&f.pair, 2, PPID_STRING, "hello back", 10);
    run_until_heard(&f, 2);
    assert_far_heard(&f.pair, 1, 2, PPID_STRING, "hi", 2);
    assert_int_equal(counters_of(&f).received, 1);
    viewer_data_reset(f.d); /* a new epoch: another publisher, the same label */
    f.seq += 1000;
    push_text(&f, "chat", "again");
    run_until_heard(&f, 3);
    assert_far_heard(&f.pair, 2, 2, PPID_STRING, "again", 5);
    close_viewer(&f);
}

static void a_negotiated_channel_keeps_its_number(void **state)
{
    struct fixture f;
    struct data_header h = {.kind = DATA_STRING, .negotiated = true, .channel = 7, .len = 2};
    struct packet *v[1];

    (void)state;
    open_viewer(&f, 65536);
    data_pair_run(&f.pair, up);
    cut(&f, v, &h, (const uint8_t *)"ok");
    push(&f, v[0]);
    run_until_heard(&f, 1);
    assert_far_heard(&f.pair, 0, 7, PPID_STRING, "ok", 2);
    h.channel = 40000; /* beyond the streams that there are */
    cut(&f, v, &h, (const uint8_t *)"no");
    push(&f, v[0]);
    assert_int_equal(counters_of(&f).dropped, 1);
    close_viewer(&f);
}

static bool far_reset(const struct data_pair *p)
{
    return p->far.n_resets == 1;
}

static void what_the_publisher_closes_is_closed(void **state)
{
    struct fixture f;

    (void)state;
    open_viewer(&f, 65536);
    push_text(&f, "brief", "x");
    push_message(&f, "never opened", DATA_CLOSE, NULL, 0);
    push_message(&f, "brief", DATA_CLOSE, NULL, 0);
    data_pair_run(&f.pair, far_reset);
    assert_int_equal(f.pair.far.resets[0], 1);
    assert_int_equal(counters_of(&f).sent, 1);
    assert_int_equal(counters_of(&f).dropped + counters_of(&f).skipped, 0);
    close_viewer(&f);
}

/* ---- Order and loss ------------------------------------------------------------------------------ */

static void packets_come_in_any_order_and_messages_in_theirs(void **state)
{
    static const size_t sizes[] = {1, 20000, 1400, 65536, 3, 5000};
    struct fixture f;
    struct packet *v[128];
    uint8_t *bytes = malloc(65536);
    size_t n = 0;

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < 65536; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    open_viewer(&f, 65536);
    push_text(&f, "a", "first");
    for (size_t i = 0; i < LEN(sizes); i++) {
        struct data_header h = header("a", "", DATA_BINARY, sizes[i]);
        n += cut(&f, v + n, &h, bytes);
    }
    for (size_t i = 0; i < n; i += 2) { /* by twos, the later first, and each one twice */
        if (i + 1 < n) {
            viewer_data_push(f.d, v[i + 1], f.now_us);
            push(&f, v[i + 1]);
        }
        viewer_data_push(f.d, v[i], f.now_us);
        push(&f, v[i]);
    }
    run_until_heard(&f, 2 + LEN(sizes));
    assert_far_heard(&f.pair, 1, 1, PPID_STRING, "first", 5);
    for (size_t i = 0; i < LEN(sizes); i++)
        assert_far_heard(&f.pair, 2 + i, 1, PPID_BINARY, bytes, sizes[i]);
    assert_int_equal(counters_of(&f).skipped + counters_of(&f).dropped, 0);
    free(bytes);
    close_viewer(&f);
}

/* Of seven packets - two of each of three messages, and padding - one is lost: which messages are heard? */
static void a_message_with_a_missing_packet_is_skipped_and_no_other(void **state)
{
    static const char *const heard[] = {"23", "23", "13", "13", "12", "12", "123"};
    uint8_t bytes[2000];

    (void)state;
    for (size_t lost = 0; lost < LEN(heard); lost++) {
        struct fixture f;
        struct packet *v[8];
        size_t n = 0;

        open_viewer(&f, 65536);
        push_text(&f, "a", "0");
        for (size_t m = 0; m < 3; m++) {
            struct data_header h = header("a", "", DATA_BINARY, sizeof(bytes));
            memset(bytes, '1' + (int)m, sizeof(bytes));
            n += cut(&f, v + n, &h, bytes);
        }
        v[n++] = make(&f, PACKET_PADDING, NULL, 0);
        assert_int_equal(n, LEN(heard));
        for (size_t i = 0; i < n; i++) {
            if (i == lost)
                packet_unref(&v[i]);
            else
                push(&f, v[i]);
        }
        f.now_us += VIEWER_DATA_WAIT_US;
        push(&f, make(&f, PACKET_PADDING, NULL, 0));
        push_text(&f, "a", "9");
        run_until_heard(&f, 3 + strlen(heard[lost]));
        for (size_t i = 0; heard[lost][i]; i++) {
            memset(bytes, heard[lost][i], sizeof(bytes));
            assert_far_heard(&f.pair, 2 + i, 1, PPID_BINARY, bytes, sizeof(bytes));
        }
        assert_int_equal(counters_of(&f).skipped, lost < 6 && lost % 2 == 1 ? 1 : 0); /* without its beginning nobody knows of it */
        close_viewer(&f);
    }
}

static void who_joins_within_a_message_hears_the_next(void **state)
{
    struct fixture f;
    struct packet *v[8];
    uint8_t bytes[4000] = {0};
    struct data_header h = header("a", "", DATA_BINARY, sizeof(bytes));

    (void)state;
    open_viewer(&f, 65536);
    size_t n = cut(&f, v, &h, bytes);
    packet_unref(&v[0]);
    for (size_t i = 1; i < n; i++)
        push(&f, v[i]);
    push_text(&f, "a", "next");
    run_until_heard(&f, 2);
    assert_far_heard(&f.pair, 1, 1, PPID_STRING, "next", 4);
    close_viewer(&f);
}

static void malformed_and_too_long_messages_are_counted(void **state)
{
    struct fixture f;
    uint8_t bytes[1000] = {0}, payload[PACKET_PAYLOAD_MAX];
    struct data_header h = header("a", "", DATA_BINARY, 10);

    (void)state;
    open_viewer(&f, 500);
    data_pair_run(&f.pair, up);
    push(&f, make(&f, PACKET_FRAME_START | PACKET_FRAME_END, "no header", 9));
    size_t len = data_header_write(payload, &h);
    memset(payload + len, 0, 11);
    push(&f, make(&f, PACKET_FRAME_START | PACKET_FRAME_END, payload, len + 9));  /* less than it says */
    push(&f, make(&f, PACKET_FRAME_START | PACKET_FRAME_END, payload, len + 11)); /* more */
    push(&f, make(&f, PACKET_FRAME_START | PACKET_FRAME_END, payload, len - 1));  /* a header cut short */
    assert_int_equal(counters_of(&f).skipped, 4);
    push_message(&f, "a", DATA_BINARY, bytes, 501); /* the viewer takes 500 */
    assert_int_equal(counters_of(&f).dropped, 1);
    push(&f, make(&f, PACKET_FRAME_START, payload, len)); /* and more packets than any message has */
    for (int i = 0; i < VIEWER_DATA_QUEUE; i++)
        push(&f, make(&f, 0, bytes, 1));
    assert_int_equal(counters_of(&f).skipped, 5);
    push_message(&f, "a", DATA_BINARY, bytes, 500);
    run_until_heard(&f, 2);
    assert_far_heard(&f.pair, 1, 1, PPID_BINARY, bytes, 500);
    close_viewer(&f);
}

/* ---- A viewer that is too slow --------------------------------------------------------------------- */

static void a_slow_viewer_loses_the_oldest(void **state)
{
    enum { MESSAGES = 900 };
    struct fixture f;
    uint8_t bytes[1300];

    (void)state;
    open_viewer(&f, 65536);
    push_text(&f, "a", "begin");
    run_until_heard(&f, 2);
    for (uint32_t i = 0; i < MESSAGES; i++) { /* nothing is carried meanwhile: association and queue fill up */
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, &i, sizeof(i));
        push_message(&f, "a", DATA_BINARY, bytes, sizeof(bytes));
    }
    uint64_t dropped = counters_of(&f).dropped;
    assert_in_range(dropped, 100, MESSAGES - VIEWER_DATA_QUEUE);
    run_until_heard(&f, 2 + MESSAGES - dropped);
    uint32_t before = 0, number, gaps = 0;
    for (size_t i = 2; i < f.pair.far.n_heard; i++) {
        memcpy(&number, f.pair.far.heard[i].bytes, sizeof(number));
        assert_true(i == 2 || number > before);
        gaps += i > 2 && number != before + 1;
        before = number;
    }
    assert_int_equal(gaps, 1); /* what was under way already, then the newest */
    assert_int_equal(before, MESSAGES - 1);
    close_viewer(&f);
}

/* ---- The header ---------------------------------------------------------------------------------- */

static void headers_come_back_as_they_were_and_no_prefix_does(void **state)
{
    uint8_t bytes[DATA_HEADER_MAX];

    (void)state;
    for (int kind = 0; kind < DATA_KINDS; kind++) {
        struct data_header h = header("label", "protocol", (enum data_kind)kind, 65536), got;
        size_t len = 0;

        h.channel = 65535;
        h.negotiated = kind == 1;
        h.open.unordered = kind == 2;
        h.open.reliability = (enum dcep_reliability)kind;
        h.open.limit = UINT32_MAX;
        size_t written = data_header_write(bytes, &h);
        for (size_t n = 0; n < written; n++) {
            uint8_t *exact = malloc(n ? n : 1);
            memcpy(exact, bytes, n);
            assert_int_equal(data_header_parse(&got, &len, exact, n), DATA_ERR_SHORT);
            free(exact);
        }
        assert_int_equal(data_header_parse(&got, &len, bytes, written), DATA_OK);
        assert_int_equal(len, written);
        assert_int_equal(got.kind, h.kind);
        assert_int_equal(got.negotiated, h.negotiated);
        assert_int_equal(got.channel, h.channel);
        assert_int_equal(got.len, h.len);
        assert_int_equal(got.open.unordered, h.open.unordered);
        assert_int_equal(got.open.reliability, h.open.reliability);
        assert_int_equal(got.open.limit, h.open.limit);
        assert_int_equal(got.open.label_len, 5);
        assert_memory_equal(got.open.label, "label", 5);
        assert_int_equal(got.open.protocol_len, 8);
        assert_memory_equal(got.open.protocol, "protocol", 8);
    }
    static const struct {
        const char *what;
        size_t at;
        uint8_t value;
    } damages[] = {{"another version", 0, 0x20}, {"no such kind", 0, 0x13}, {"no such channel type", 1, 3},
                   {"a message too long", 8, 1}, {"a label too long", 12, DCEP_NAME_MAX + 1}};
    struct data_header h = header("l", "p", DATA_STRING, 1), got;
    uint8_t padded[300] = {0};
    size_t len;
    for (size_t i = 0; i < LEN(damages); i++) {
        print_message("%s\n", damages[i].what);
        data_header_write(padded, &h);
        padded[damages[i].at] = damages[i].value;
        assert_int_equal(data_header_parse(&got, &len, padded, sizeof(padded)), DATA_ERR_VALUE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_is_opened_to_the_viewer_before_its_first_message),
        cmocka_unit_test(a_channel_of_the_viewers_own_is_used_when_it_has_the_label),
        cmocka_unit_test(a_negotiated_channel_keeps_its_number),
        cmocka_unit_test(what_the_publisher_closes_is_closed),
        cmocka_unit_test(packets_come_in_any_order_and_messages_in_theirs),
        cmocka_unit_test(a_message_with_a_missing_packet_is_skipped_and_no_other),
        cmocka_unit_test(who_joins_within_a_message_hears_the_next),
        cmocka_unit_test(malformed_and_too_long_messages_are_counted),
        cmocka_unit_test(a_slow_viewer_loses_the_oldest),
        cmocka_unit_test(headers_come_back_as_they_were_and_no_prefix_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
