/* SPDX-License-Identifier: Apache-2.0
 * test_whip_data.c - what a publisher says on its data channels, as packets: their headers, order and bounds. */
#include "unit/webrtc/data_pair.h"

#include "origin/whip_data.h"
#include "webrtc/data_message.h"

enum { TRACK = 2, PACKETS_MAX = 4096 };

struct fixture {
    struct data_pair pair;
    struct pool *pool;
    struct whip_data *d;
    size_t n;
    struct packet *packets[PACKETS_MAX];
};

static struct fixture *F; /* for the conditions of data_pair_run, which have no argument */
static size_t expected;

static bool up(const struct data_pair *p)
{
    return p->far.up;
}

static size_t messages(void)
{
    size_t n = 0;

    for (size_t i = 0; i < F->n; i++)
        n += (F->packets[i]->flags & PACKET_FRAME_END) != 0;
    return n;
}

static bool enough(const struct data_pair *p)
{
    (void)p;
    return messages() >= expected;
}

static void run_until(struct fixture *f, size_t n)
{
    expected = n;
    data_pair_run(&f->pair, enough);
    assert_int_equal(messages(), n);
}

static void push(void *arg, struct packet *p)
{
    struct fixture *f = arg;

    assert_true(f->n < PACKETS_MAX);
    f->packets[f->n++] = p;
}

static void open_publisher(struct fixture *f, size_t pool)
{
    struct sdp_media section = {.sctp_port = SCTP_PORT_DEFAULT, .message_max = 262144};

    memset(f, 0, sizeof(*f));
    F = f;
    data_pair_init(&f->pair);
    assert_int_equal(packet_pool_create(&f->pool, pool), 0);
    struct whip_data_cfg cfg = {.transport = f->pair.transport, .worker = f->pair.loop.w, .offered = &section,
                                .pool = f->pool, .track = TRACK, .push = push, .arg = f};
    assert_int_equal(whip_data_create(&f->d, &cfg), 0);
    whip_data_start(f->d);
}

static void close_publisher(struct fixture *f)
{
    whip_data_destroy(&f->d);
    for (size_t i = 0; i < f->n; i++)
        packet_unref(&f->packets[i]);
    data_pair_fini(&f->pair);
    pool_destroy(&f->pool);
    free(f);
}

static struct fixture *new_publisher(size_t pool)
{
    struct fixture *f = malloc(sizeof(*f));

    assert_non_null(f);
    open_publisher(f, pool);
    return f;
}

static struct whip_data_counters counters_of(const struct fixture *f)
{
    struct whip_data_counters c;

    whip_data_counters(f->d, &c);
    return c;
}

/* The message that begins with packet *at, which moves behind it; its bytes into out. */
static struct data_header read_message(const struct fixture *f, size_t *at, uint8_t out[DATA_MESSAGE_MAX])
{
    struct data_header h;
    size_t head_len, n = 0;

    while (*at < f->n && f->packets[*at]->flags & PACKET_PADDING)
        ++*at;
    assert_true(*at < f->n);
    const struct packet *p = f->packets[*at];
    assert_true(p->flags & PACKET_FRAME_START);
    assert_int_equal(data_header_parse(&h, &head_len, packet_payload(p), p->payload_len), DATA_OK);
    for (;; ++*at, head_len = 0) {
        p = f->packets[*at];
        assert_int_equal(p->track, TRACK);
        assert_int_equal(p->layer, 0);
        assert_int_equal(p->seq, PACKET_SEQ_FIRST + *at);
        assert_int_equal(!(p->flags & PACKET_FRAME_START), n > 0);
        size_t len = p->payload_len - head_len;
        assert_true(n + len <= DATA_MESSAGE_MAX);
        if (len)
            memcpy(out + n, packet_payload(p) + head_len, len);
        n += len;
        if (p->flags & PACKET_FRAME_END)
            break;
        assert_int_equal(p->payload_len, PACKET_PAYLOAD_MAX);
    }
    ++*at;
    assert_int_equal(n, h.len);
    return h;
}

static void messages_become_packets_with_their_channels_name(void **state)
{
    static const size_t sizes[] = {1, 1000, 1382, 1383, 20000, 65536};
    struct fixture *f = new_publisher(4096);
    uint8_t *bytes = malloc(DATA_MESSAGE_MAX), *got = malloc(DATA_MESSAGE_MAX);
    size_t at = 0;

    (void)state;
    assert_true(bytes && got);
    for (size_t i = 0; i < DATA_MESSAGE_MAX; i++)
        bytes[i] = (uint8_t)(i * 13 >> 2);
    data_pair_run(&f->pair, up);
    far_open(&f->pair, 2, "captions");
    far_send(&f->pair, 2, PPID_STRING, "hello", 5);
    far_send(&f->pair, 2, PPID_STRING_EMPTY, "\0", 1);
    far_send(&f->pair, 3, PPID_BINARY, "\1", 1); /* negotiated */
    while (data_pair_carry(&f->pair))
        ;
    assert_int_equal(f->n, 0); /* not announced yet */
    whip_data_ready(f->d);
    run_until(f, 3);
    struct data_header h = read_message(f, &at, got);
    assert_int_equal(h.kind, DATA_STRING);
    assert_int_equal(h.channel, 2);
    assert_false(h.negotiated);
    assert_int_equal(h.open.label_len, 8);
    assert_memory_equal(h.open.label, "captions", 8);
    assert_int_equal(h.len, 5);
    assert_memory_equal(got, "hello", 5);
    h = read_message(f, &at, got);
    assert_int_equal(h.kind, DATA_STRING);
    assert_int_equal(h.len, 0);
    h = read_message(f, &at, got);
    assert_int_equal(h.kind, DATA_BINARY);
    assert_true(h.negotiated);
    assert_int_equal(h.channel, 3);
    assert_int_equal(h.open.label_len, 0);
    assert_far_heard(&f->pair, 0, 2, PPID_DCEP, "\2", 1);

    for (size_t i = 0; i < LEN(sizes); i++)
        far_send(&f->pair, 2, PPID_BINARY, bytes, sizes[i]);
    run_until(f, 3 + LEN(sizes));
    for (size_t i = 0; i < LEN(sizes); i++) {
        h = read_message(f, &at, got);
        assert_int_equal(h.len, sizes[i]);
        assert_memory_equal(got, bytes, sizes[i]);
    }
    assert_int_equal(counters_of(f).messages, 3 + LEN(sizes));
    assert_int_equal(counters_of(f).dropped + counters_of(f).bad + counters_of(f).throttled, 0);
    free(bytes);
    free(got);
    close_publisher(f);
}

static bool two_paddings_behind(const struct data_pair *p)
{
    (void)p;
    return F->n >= 3 && F->packets[F->n - 1]->flags & PACKET_PADDING && F->packets[F->n - 2]->flags & PACKET_PADDING &&
           messages() == 1;
}

static void a_last_message_is_followed_by_padding(void **state)
{
    struct fixture *f = new_publisher(64);

    (void)state;
    data_pair_run(&f->pair, up);
    whip_data_ready(f->d);
    far_open(&f->pair, 0, "chat");
    far_send(&f->pair, 0, PPID_STRING, "bye", 3);
    data_pair_run(&f->pair, two_paddings_behind);
    for (size_t i = 0; i < f->n; i++)
        assert_int_equal(f->packets[i]->seq, PACKET_SEQ_FIRST + i);
    assert_int_equal(f->packets[f->n - 1]->payload_len, 0);
    assert_true(f->packets[f->n - 1]->capture_us - f->packets[f->n - 2]->capture_us >= 100000);
    close_publisher(f);
}

static void a_closed_channel_is_told(void **state)
{
    struct fixture *f = new_publisher(64);
    uint8_t *got = malloc(DATA_MESSAGE_MAX);
    size_t at = 0;

    (void)state;
    assert_non_null(got);
    data_pair_run(&f->pair, up);
    whip_data_ready(f->d);
    far_open(&f->pair, 4, "brief");
    far_send(&f->pair, 4, PPID_STRING, "x", 1);
    run_until(f, 1);
    rtc_sctp_reset(f->pair.far.a, 4);
    run_until(f, 2);
    (void)read_message(f, &at, got);
    struct data_header h = read_message(f, &at, got);
    assert_int_equal(h.kind, DATA_CLOSE);
    assert_int_equal(h.channel, 4);
    assert_memory_equal(h.open.label, "brief", 5);
    assert_int_equal(counters_of(f).messages, 1);
    free(got);
    close_publisher(f);
}

static bool throttled(const struct data_pair *p)
{
    struct fixture *f = container_of(p, struct fixture, pair);

    while (rtc_sctp_up(f->pair.far.a) && !counters_of(f).throttled) {
        static const uint8_t bytes[1300] = {9};
        struct rtc_sctp_message m = {.stream = 0, .retransmits = -1, .lifetime_ms = -1, .ppid = PPID_BINARY,
                                     .bytes = bytes, .len = sizeof(bytes)};
        if (rtc_sctp_send(f->pair.far.a, &m) != RTC_SCTP_OK)
            break;
        expected++;
    }
    return counters_of(f).throttled > 0;
}

static void who_brings_too_much_waits_and_loses_nothing(void **state)
{
    struct fixture *f = new_publisher(PACKETS_MAX);

    (void)state;
    data_pair_run(&f->pair, up);
    whip_data_ready(f->d);
    far_open(&f->pair, 0, "flood");
    expected = 0;
    data_pair_run(&f->pair, throttled);
    size_t before = messages(), sent = expected;
    assert_in_range(before, WHIP_DATA_BURST / PACKET_PAYLOAD_MAX, sent);
    for (int i = 0; i < 50 && data_pair_carry(&f->pair); i++)
        ;
    assert_int_equal(messages(), before);
    run_until(f, sent);
    assert_int_equal(counters_of(f).dropped, 0);
    close_publisher(f);
}

static bool bad_counted(const struct data_pair *p)
{
    const struct fixture *f = container_of(p, const struct fixture, pair);

    return counters_of(f).bad == 4 && counters_of(f).dropped == 1 && messages() == 1;
}

static void what_is_out_of_form_is_counted_and_harms_nothing(void **state)
{
    struct fixture *f = new_publisher(256);
    uint8_t *bytes = calloc(1, DATA_MESSAGE_MAX + 1);

    (void)state;
    assert_non_null(bytes);
    data_pair_run(&f->pair, up);
    whip_data_ready(f->d);
    far_send(&f->pair, 0, PPID_DCEP, "\3\0\0\0\0\0\0\0\0\5\0\0x", 13); /* a label that is not all there */
    far_send(&f->pair, 0, PPID_DCEP, "\7", 1);
    far_send(&f->pair, 0, 54, "old", 3); /* RFC 8831 s8: deprecated partial messages */
    far_send(&f->pair, 0, 0, "none", 4);
    far_send(&f->pair, 0, PPID_BINARY, bytes, DATA_MESSAGE_MAX + 1);
    far_open(&f->pair, 0, "fine");
    far_send(&f->pair, 0, PPID_STRING, "fine", 4);
    data_pair_run(&f->pair, bad_counted);
    free(bytes);
    close_publisher(f);
}

static bool all_dealt_with(const struct data_pair *p)
{
    struct whip_data_counters c = counters_of(container_of(p, const struct fixture, pair));

    return c.dropped + c.messages == 4;
}

static void without_packets_a_message_is_dropped(void **state)
{
    struct fixture *f = new_publisher(8); /* rounded up to a slab: not enough for all of them in any case */
    uint8_t *bytes = calloc(1, DATA_MESSAGE_MAX);

    (void)state;
    assert_non_null(bytes);
    data_pair_run(&f->pair, up);
    whip_data_ready(f->d);
    far_open(&f->pair, 0, "a");
    for (int i = 0; i < 4; i++) {
        far_send(&f->pair, 0, PPID_BINARY, bytes, DATA_MESSAGE_MAX);
        while (data_pair_carry(&f->pair))
            ;
    }
    data_pair_run(&f->pair, all_dealt_with);
    assert_true(counters_of(f).dropped >= 1);
    for (size_t i = 0; i < f->n; i++)
        packet_unref(&f->packets[i]); /* they come back */
    f->n = 0;
    far_send(&f->pair, 0, PPID_STRING, "next", 4);
    run_until(f, 1);
    free(bytes);
    close_publisher(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_become_packets_with_their_channels_name),
        cmocka_unit_test(a_last_message_is_followed_by_padding),
        cmocka_unit_test(a_closed_channel_is_told),
        cmocka_unit_test(who_brings_too_much_waits_and_loses_nothing),
        cmocka_unit_test(what_is_out_of_form_is_counted_and_harms_nothing),
        cmocka_unit_test(without_packets_a_message_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
