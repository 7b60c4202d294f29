/* SPDX-License-Identifier: Apache-2.0
 * test_control.c - control messages: frames in pieces, frames that are wrong, values out of bounds. */
#include "../wire/exact.h"

#include "pipe/control.h"
#include "pipe/messages.h"

/* What a reader gave. */
struct heard {
    size_t n;
    Pipe__Envelope__MessageCase kinds[16];
    uint64_t last_ping_us;
    struct control_reader *stop; /* after the first */
};

static void on_message(void *arg, const Pipe__Envelope *m)
{
    struct heard *h = arg;

    assert_true(h->n < 16);
    h->kinds[h->n++] = m->message_case;
    if (m->message_case == PIPE__ENVELOPE__MESSAGE_PING)
        h->last_ping_us = m->ping->sent_us;
    if (h->stop)
        control_reader_stop(h->stop);
}

static int feed(struct heard *h, const void *bytes, size_t len)
{
    struct control_reader r;
    uint8_t *exact = exact_dup(bytes, len);

    control_reader_init(&r, on_message, h);
    int err = control_reader_feed(&r, exact, len);
    free(exact);
    control_reader_fini(&r);
    return err;
}

static size_t write_ping(uint8_t *dst, size_t cap, uint64_t sent_us)
{
    Pipe__Ping m;
    Pipe__Envelope e;

    pipe__ping__init(&m);
    m.sent_us = sent_us;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_PING;
    e.ping = &m;
    int len = control_write(dst, cap, &e);
    assert_true(len > 0);
    return (size_t)len;
}

static void each_frame_is_judged_as_written(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
        int err;
        size_t messages;
    } rows[] = {
        {"nothing", BYTES(""), CONTROL_OK, 0},
        {"part of a length", BYTES("\0\0\0"), CONTROL_OK, 0},
        {"a length of zero", BYTES("\0\0\0\0"), CONTROL_ERR_LENGTH, 0},
        {"a length above the bound", BYTES("\0\1\0\1"), CONTROL_ERR_LENGTH, 0},
        {"the longest length", BYTES("\0\1\0\0"), CONTROL_OK, 0},
        {"a ping", BYTES("\0\0\0\4\x52\2\x08\1"), CONTROL_OK, 1},
        {"two pings", BYTES("\0\0\0\4\x52\2\x08\1\0\0\0\4\x52\2\x08\2"), CONTROL_OK, 2},
        {"a ping and half of one", BYTES("\0\0\0\4\x52\2\x08\1\0\0\0\4\x52\2"), CONTROL_OK, 1},
        {"a ping, then a bad length", BYTES("\0\0\0\4\x52\2\x08\1\0\0\0\0"), CONTROL_ERR_LENGTH, 1},
        {"a message of a later version", BYTES("\0\0\0\4\xf2\6\1\0"), CONTROL_OK, 0},
        {"a submessage longer than its frame", BYTES("\0\0\0\4\x52\3\x08\1"), CONTROL_ERR_MESSAGE, 0},
        {"a number without end", BYTES("\0\0\0\4\x52\2\x08\xff"), CONTROL_ERR_MESSAGE, 0},
        {"a wire type that is none", BYTES("\0\0\0\1\x57"), CONTROL_ERR_MESSAGE, 0},
        {"two messages in one envelope: the last counts", BYTES("\0\0\0\x08\x0a\2\x08\1\x52\2\x08\1"),
         CONTROL_OK, 1},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct heard h = {0};
        int err = feed(&h, rows[i].bytes, rows[i].len);
        if (err != rows[i].err || h.n != rows[i].messages)
            fail_msg("%s: %d with %zu messages", rows[i].name, err, h.n);
    }
}

static void a_frame_may_come_in_pieces_of_any_size(void **state)
{
    uint8_t bytes[256];
    size_t len = 0;

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        len += write_ping(bytes + len, sizeof(bytes) - len, (uint64_t)1 << (i * 12));
    for (size_t piece = 1; piece <= len; piece++) {
        struct heard h = {0};
        struct control_reader r;
        control_reader_init(&r, on_message, &h);
        for (size_t at = 0; at < len; at += piece) {
            size_t n = len - at < piece ? len - at : piece;
            uint8_t *exact = exact_dup(bytes + at, n);
            assert_int_equal(control_reader_feed(&r, exact, n), CONTROL_OK);
            free(exact);
        }
        assert_int_equal(h.n, 5);
        assert_int_equal(h.last_ping_us, (uint64_t)1 << 48);
        assert_int_equal(r.len, 0);
        control_reader_fini(&r);
    }
}

static void nothing_is_given_after_stop(void **state)
{
    struct heard h = {0};
    struct control_reader r;
    uint8_t bytes[256];
    size_t len = write_ping(bytes, sizeof(bytes), 1);

    (void)state;
    len += write_ping(bytes + len, sizeof(bytes) - len, 2);
    control_reader_init(&r, on_message, &h);
    h.stop = &r;
    assert_int_equal(control_reader_feed(&r, bytes, len), CONTROL_OK);
    assert_int_equal(control_reader_feed(&r, bytes, len), CONTROL_OK);
    assert_int_equal(h.n, 1);
    control_reader_fini(&r);
}

/* ---- A whole Subscribed ---------------------------------------------------------------------- */

static struct track_set full_tracks(void)
{
    struct track_set set = {.epoch = 99, .n = TRACKS_MAX};

    for (size_t t = 0; t < TRACKS_MAX; t++) {
        set.v[t] = (struct track){
            .codec = t == TRACKS_MAX - 1 ? CODEC_DATA : (enum codec)(1 + t % (CODEC_COUNT - 1)),
            .clock_hz = 90000 + (uint32_t)t,
            .channels = (uint8_t)t,
            .n_layers = LAYERS_MAX,
            .derived = t % 2,
            .source = (uint8_t)(t / 2),
            .b_frames = t % 3 == 0,
            .spatial_layers = (uint8_t)(t % 4),
            .temporal_layers = (uint8_t)(t % 5),
            .profile = 0x42e000 + (uint32_t)t,
            .config_len = t * 70,
        };
        memset(set.v[t].config, (int)t, set.v[t].config_len);
        for (size_t l = 0; l < LAYERS_MAX; l++)
            set.v[t].layers[l] = (struct layer){.rid = {'r', (char)('0' + l)},
                                                .width = (uint16_t)(100 * l),
                                                .height = UINT16_MAX,
                                                .max_bps = UINT32_MAX};
    }
    return set;
}

static size_t write_subscribed(uint8_t *dst, size_t cap, const struct track_set *tracks)
{
    struct message_tracks room;
    Pipe__Subscribed m;
    Pipe__Envelope e;

    pipe__subscribed__init(&m);
    message_tracks_fill(&room, &m, tracks);
    m.id = 7;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_SUBSCRIBED;
    e.subscribed = &m;
    int len = control_write(dst, cap, &e);
    assert_true(len > 0);
    return (size_t)len;
}

struct subscribed {
    int err;
    struct track_set tracks;
    unsigned n;
};

static void on_subscribed(void *arg, const Pipe__Envelope *m)
{
    struct subscribed *s = arg;

    s->n++;
    assert_int_equal(m->message_case, PIPE__ENVELOPE__MESSAGE_SUBSCRIBED);
    s->err = message_tracks_parse(&s->tracks, m->subscribed);
}

static void all_of_a_track_set_goes_through(void **state)
{
    uint8_t bytes[16 * 1024];
    struct track_set sent = full_tracks();
    struct subscribed got = {0};
    struct control_reader r;
    size_t len = write_subscribed(bytes, sizeof(bytes), &sent);

    (void)state;
    control_reader_init(&r, on_subscribed, &got);
    assert_int_equal(control_reader_feed(&r, bytes, len), CONTROL_OK);
    control_reader_fini(&r);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.err, MESSAGE_OK);
    assert_memory_equal(&got.tracks, &sent, sizeof(sent));
}

/* Cut anywhere, with the frame's length set right: refused, or parsed to something within bounds. */
static void a_message_cut_anywhere_harms_nothing(void **state)
{
    uint8_t bytes[16 * 1024];
    struct track_set sent = full_tracks();
    size_t len = write_subscribed(bytes, sizeof(bytes), &sent);

    (void)state;
    for (size_t cut = CONTROL_HEADER_BYTES + 1; cut < len; cut++) {
        struct subscribed got = {0};
        struct control_reader r;
        uint8_t *exact = exact_dup(bytes, cut);
        size_t body = cut - CONTROL_HEADER_BYTES;
        exact[2] = (uint8_t)(body >> 8);
        exact[3] = (uint8_t)body;
        control_reader_init(&r, on_subscribed, &got);
        assert_int_equal(control_reader_feed(&r, exact, cut),
                         CONTROL_ERR_MESSAGE); /* the outermost length says so */
        assert_int_equal(got.n, 0);
        control_reader_fini(&r);
        free(exact);
    }
}

static void on_any(void *arg, const Pipe__Envelope *m)
{
    struct track_set tracks;
    struct pipe_path path;
    struct pipe_identity who;
    int *parsed = arg;

    if (m->message_case == PIPE__ENVELOPE__MESSAGE_SUBSCRIBED) {
        *parsed += message_tracks_parse(&tracks, m->subscribed) == MESSAGE_OK;
        *parsed += message_path_parse(&path, m->subscribed->n_source, m->subscribed->source) == MESSAGE_OK;
    }
    if (m->message_case == PIPE__ENVELOPE__MESSAGE_HELLO)
        *parsed += message_identity_parse(&who, m->hello) == MESSAGE_OK;
}

static void a_message_with_any_byte_changed_harms_nothing(void **state)
{
    uint8_t bytes[16 * 1024];
    struct track_set sent = full_tracks();
    size_t len = write_subscribed(bytes, sizeof(bytes), &sent);
    uint64_t noise = 1;
    int parsed = 0;

    (void)state;
    for (size_t i = 0; i < 4000; i++) {
        struct control_reader r;
        uint8_t *exact = exact_dup(bytes, len);
        for (unsigned k = 0; k < 1 + i % 4; k++)
            exact[CONTROL_HEADER_BYTES + noise_next(&noise) % (len - CONTROL_HEADER_BYTES)] =
                (uint8_t)noise_next(&noise);
        control_reader_init(&r, on_any, &parsed);
        (void)!control_reader_feed(&r, exact, len);
        control_reader_fini(&r);
        free(exact);
    }
    assert_true(parsed > 0);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void each_track_out_of_bounds_is_refused(void **state)
{
    struct track_set sent = full_tracks(), got;
    struct message_tracks room;
    Pipe__Subscribed m;

    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        pipe__subscribed__init(&m);
        message_tracks_fill(&room, &m, &sent);
        Pipe__Track *t = m.tracks[3];
        switch (i) {
        case 0: m.epoch = 0; break;
        case 1: m.n_tracks = 0; break;
        case 2: m.n_tracks = TRACKS_MAX + 1; break;
        case 3: t->codec = CODEC_NONE; break;
        case 4: t->codec = CODEC_COUNT; break;
        case 5: t->clock_hz = 0; break;
        case 6: t->n_layers = 0; break;
        case 7: t->n_layers = LAYERS_MAX + 1; break;
        case 8: t->source = TRACKS_MAX; break;
        case 9: t->config.len = TRACK_CONFIG_MAX + 1; break;
        case 10: t->layers[1]->width = UINT16_MAX + 1; break;
        case 11: t->channels = 256; break;
        }
        if (message_tracks_parse(&got, &m) != MESSAGE_ERR_VALUE)
            fail_msg("case %u was taken", i);
    }
    pipe__subscribed__init(&m);
    message_tracks_fill(&room, &m, &sent);
    char rid[] = "seventeen-letters", newline[] = "a\nb";
    m.tracks[0]->layers[0]->rid = rid;
    assert_int_equal(message_tracks_parse(&got, &m), MESSAGE_ERR_VALUE);
    m.tracks[0]->layers[0]->rid = newline;
    assert_int_equal(message_tracks_parse(&got, &m), MESSAGE_ERR_VALUE);
}

static void each_node_id_is_judged_as_written(void **state)
{
    static const struct {
        const char *id;
        bool valid;
    } rows[] = {
        {"", false},
        {"a", true},
        {"edge-host.example_1:8080", true},
        {"with space", false},
        {"line\nbreak", false},
        {"umlaut-\xc3\xa4", false},
        {"0123456789012345678901234567890123456789012345678901234567890123", true},
        {"01234567890123456789012345678901234567890123456789012345678901234", false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        char *exact = (char *)exact_dup(rows[i].id, strlen(rows[i].id) + 1);
        assert_int_equal(node_id_valid(exact), rows[i].valid);
        free(exact);
    }
}

static void a_path_is_a_set_of_bounded_size(void **state)
{
    struct pipe_path path = {0};
    char id[2] = "A";

    (void)state;
    for (; path.n < 26; id[0]++)
        assert_true(path_add(&path, id));
    for (id[0] = '0'; path.n < PIPE_PATH_IDS_MAX; id[0]++)
        assert_true(path_add(&path, id));
    assert_false(path_add(&path, "z"));
    assert_true(path_add(&path, "A")); /* it is there */
    assert_int_equal(path.n, PIPE_PATH_IDS_MAX);
    assert_true(path_has(&path, "H"));
    assert_false(path_has(&path, "z"));
    assert_false(path_add(&(struct pipe_path){0}, "not valid"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_frame_is_judged_as_written),
        cmocka_unit_test(a_frame_may_come_in_pieces_of_any_size),
        cmocka_unit_test(nothing_is_given_after_stop),
        cmocka_unit_test(all_of_a_track_set_goes_through),
        cmocka_unit_test(a_message_cut_anywhere_harms_nothing),
        cmocka_unit_test(a_message_with_any_byte_changed_harms_nothing),
        cmocka_unit_test(each_track_out_of_bounds_is_refused),
        cmocka_unit_test(each_node_id_is_judged_as_written),
        cmocka_unit_test(a_path_is_a_set_of_bounded_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
