/* SPDX-License-Identifier: Apache-2.0
 * STUN checks as ICE uses them: what passes the first look, what is answered how. */
#include "webrtc/ice.h"

#include "unit/wire/exact.h"

#define ID "\x21\x12\xa4\x42" "ABCDEFGHIJKL"
#define USERNAME "\0\x06\0\x09" "abcd:efgh" "\0\0\0"
#define INTEGRITY "\0\x08\0\x14" "01234567890123456789"
#define FINGERPRINT "\x80\x28\0\x04" "0123"
#define ROW(name, bytes, err) {name, bytes, sizeof(bytes) - 1, err}

/* ---- The first look ---------------------------------------------------------------------------- */

static const struct {
    const char *name, *bytes;
    size_t len;
    int err;
} rows[] = {
    ROW("empty", "", ICE_ERR_MALFORMED),
    ROW("one byte", "\0", ICE_ERR_MALFORMED),
    ROW("header cut short", "\0\1\0\0" "\x21\x12\xa4\x42" "ABCDEFGHIJK", ICE_ERR_MALFORMED),
    ROW("a request", "\0\1\0\x30" ID USERNAME INTEGRITY FINGERPRINT, ICE_OK),
    ROW("RFC 3489, without cookie", "\0\1\0\x30" "0123" "ABCDEFGHIJKL" USERNAME INTEGRITY FINGERPRINT,
        ICE_ERR_MALFORMED),
    ROW("length says more", "\0\1\0\x34" ID USERNAME INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("length says less", "\0\1\0\x28" ID USERNAME INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("length no multiple of 4", "\0\1\0\x01" ID "x", ICE_ERR_MALFORMED),
    ROW("the two top bits set", "\x40\1\0\x30" ID USERNAME INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("an Allocate request", "\0\3\0\x30" ID USERNAME INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("a request without USERNAME", "\0\1\0\x20" ID INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("a request without MESSAGE-INTEGRITY", "\0\1\0\x18" ID USERNAME FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("a request without FINGERPRINT", "\0\1\0\x28" ID USERNAME INTEGRITY, ICE_ERR_MALFORMED),
    ROW("a USERNAME without colon", "\0\1\0\x28" ID "\0\x06\0\x04" "abcd" INTEGRITY FINGERPRINT,
        ICE_ERR_MALFORMED),
    ROW("an empty USERNAME", "\0\1\0\x24" ID "\0\x06\0\0" INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("two USERNAMEs", "\0\1\0\x40" ID USERNAME USERNAME INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("a USERNAME that passes the end", "\0\1\0\x10" ID "\0\x06\0\x40" "abcd:efgh" "\0\0\0",
        ICE_ERR_MALFORMED),
    ROW("an attribute header cut short", "\0\1\0\x34" ID USERNAME INTEGRITY FINGERPRINT "\0\x06\0\x01",
        ICE_ERR_MALFORMED),
    ROW("an attribute whose padding passes the end", "\0\1\0\x04" ID "\0\x06\0\x01", ICE_ERR_MALFORMED),
    ROW("integrity of 16 bytes", "\0\1\0\x2c" ID USERNAME "\0\x08\0\x10" "0123456789012345" FINGERPRINT,
        ICE_ERR_MALFORMED),
    ROW("two integrities", "\0\1\0\x48" ID USERNAME INTEGRITY INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("fingerprint not last", "\0\1\0\x34" ID USERNAME INTEGRITY FINGERPRINT "\x80\x22\0\0",
        ICE_ERR_MALFORMED),
    ROW("fingerprint of 8 bytes", "\0\1\0\x34" ID USERNAME INTEGRITY "\x80\x28\0\x08" "01234567",
        ICE_ERR_MALFORMED),
    ROW("PRIORITY of 2 bytes", "\0\1\0\x38" ID USERNAME "\0\x24\0\x02" "12\0\0" INTEGRITY FINGERPRINT,
        ICE_ERR_MALFORMED),
    ROW("ICE-CONTROLLING of 4 bytes",
        "\0\1\0\x38" ID USERNAME "\x80\x2a\0\x04" "1234" INTEGRITY FINGERPRINT, ICE_ERR_MALFORMED),
    ROW("USE-CANDIDATE with a value", "\0\1\0\x38" ID USERNAME "\0\x25\0\x04" "1234" INTEGRITY FINGERPRINT,
        ICE_ERR_MALFORMED),
    ROW("an indication, bare", "\0\x11\0\0" ID, ICE_OK),
    ROW("a response, bare", "\1\1\0\0" ID, ICE_OK),
    ROW("an error response, bare", "\1\x11\0\0" ID, ICE_OK),
};

static void each_row_passes_the_first_look_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *bytes = exact_dup(rows[i].bytes, rows[i].len);
        struct ice_view v;

        print_message("%s\n", rows[i].name);
        assert_int_equal(ice_view_parse(&v, bytes, rows[i].len), rows[i].err);
        free(bytes);
    }
}

static void a_request_shows_whose_it_is(void **state)
{
    static const char bytes[] = "\0\1\0\x34" ID USERNAME "\0\x25\0\0" INTEGRITY FINGERPRINT;
    struct ice_view v;

    (void)state;
    assert_int_equal(ice_view_parse(&v, (const uint8_t *)bytes, sizeof(bytes) - 1), ICE_OK);
    assert_int_equal(v.class, ICE_REQUEST);
    assert_int_equal(v.ufrag_len, 4);
    assert_int_equal(v.username_len, 9);
    assert_memory_equal(v.username, "abcd:efgh", 9);
    assert_true(v.use_candidate);
}

static void what_stands_after_the_integrity_does_not_count(void **state)
{
    static const char bytes[] = "\0\1\0\x34" ID USERNAME INTEGRITY "\0\x25\0\0" FINGERPRINT;
    struct ice_view v;

    (void)state;
    assert_int_equal(ice_view_parse(&v, (const uint8_t *)bytes, sizeof(bytes) - 1), ICE_OK);
    assert_false(v.use_candidate);
}

static void thirty_three_attributes_are_too_many(void **state)
{
    uint8_t bytes[20 + 33 * 4] = "\1\1\0\x84" ID;
    struct ice_view v;

    (void)state;
    for (size_t i = 20; i < sizeof(bytes); i += 4)
        memcpy(bytes + i, "\x80\x22\0", 4);
    assert_int_equal(ice_view_parse(&v, bytes, sizeof(bytes)), ICE_ERR_MALFORMED);
}

/* ---- Answers ----------------------------------------------------------------------------------- */

struct pair {
    struct ice_agent *client, *server;
    struct addr from;
    uint8_t check[ICE_CHECK_MAX], id[ICE_ID_BYTES], reply[ICE_REPLY_MAX];
    size_t check_len, reply_len;
};

static const struct ice_check CHECK = {.username = "serv:clie",
                                       .pwd = "the password of the server",
                                       .tie_breaker = 77,
                                       .priority = 1234,
                                       .use_candidate = true};

static void pair_init(struct pair *p, const char *from)
{
    assert_int_equal(ice_agent_create(&p->client), 0);
    assert_int_equal(ice_agent_create(&p->server), 0);
    assert_int_equal(addr_parse(&p->from, from), 0);
    p->check_len = ice_check_write(p->client, &CHECK, p->check, p->id);
    assert_true(p->check_len > 0);
}

static void pair_fini(struct pair *p)
{
    ice_agent_destroy(&p->client);
    ice_agent_destroy(&p->server);
}

static int answer(struct pair *p, const char *pwd, bool controlling)
{
    struct ice_view v;
    uint8_t *bytes = exact_dup(p->check, p->check_len);
    int err = ice_view_parse(&v, bytes, p->check_len);

    p->reply_len = 0;
    if (!err)
        err = ice_request_answer(p->server, &v, &p->from, pwd, controlling, p->reply, &p->reply_len);
    free(bytes);
    return err;
}

static int read_reply(struct pair *p)
{
    struct ice_view v;
    uint8_t *bytes = exact_dup(p->reply, p->reply_len);
    int err = ice_view_parse(&v, bytes, p->reply_len);

    if (!err)
        err = ice_response_read(p->client, &v);
    free(bytes);
    return err;
}

/* The ERROR-CODE of the reply; 0 when it is none. */
static int error_code(const struct pair *p)
{
    for (size_t at = 20; at + 8 <= p->reply_len;) {
        size_t len = (size_t)(p->reply[at + 2] << 8 | p->reply[at + 3]);
        if (p->reply[at] == 0 && p->reply[at + 1] == 9)
            return p->reply[at + 6] * 100 + p->reply[at + 7];
        at += 4 + (len + 3) / 4 * 4;
    }
    return 0;
}

static void a_check_is_answered_and_the_answer_believed_once(void **state)
{
    static const char *const from[] = {"192.0.2.7:4711", "[2001:db8::7]:4711"};

    (void)state;
    for (size_t i = 0; i < LEN(from); i++) {
        struct pair p;

        pair_init(&p, from[i]);
        assert_int_equal(answer(&p, CHECK.pwd, false), ICE_OK);
        assert_true(p.reply_len > 20);
        assert_int_equal(read_reply(&p), ICE_OK);
        assert_int_equal(read_reply(&p), ICE_ERR_UNMATCHED);
        pair_fini(&p);
    }
}

static void a_wrong_password_gets_401_and_no_more(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "192.0.2.7:4711");
    assert_int_equal(answer(&p, "another password, as long", false), ICE_ERR_UNAUTHORIZED);
    assert_int_equal(error_code(&p), 401);
    assert_int_not_equal(read_reply(&p), ICE_OK);
    pair_fini(&p);
}

static void both_controlling_is_a_conflict(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "192.0.2.7:4711");
    assert_int_equal(answer(&p, CHECK.pwd, true), ICE_ERR_CONFLICT);
    assert_int_equal(error_code(&p), 487);
    pair_fini(&p);
}

static void any_flipped_bit_makes_it_invalid(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "192.0.2.7:4711");
    for (size_t bit = 0; bit < p.check_len * 8; bit++) {
        p.check[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(answer(&p, CHECK.pwd, false), ICE_OK);
        p.check[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(answer(&p, CHECK.pwd, false), ICE_OK);
    pair_fini(&p);
}

static void every_prefix_is_refused(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "192.0.2.7:4711");
    size_t whole = p.check_len;
    for (p.check_len = 0; p.check_len < whole; p.check_len++)
        assert_int_equal(answer(&p, CHECK.pwd, false), ICE_ERR_MALFORMED);
    pair_fini(&p);
}

static void forgotten_checks_leave_room_for_new_ones(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "192.0.2.7:4711");
    ice_check_forget(p.client, p.id);
    for (int i = 0; i < 1000; i++) {
        assert_true(ice_check_write(p.client, &CHECK, p.check, p.id) > 0);
        ice_check_forget(p.client, p.id);
    }
    ice_check_forget(p.client, p.id);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_passes_the_first_look_or_not),
        cmocka_unit_test(a_request_shows_whose_it_is),
        cmocka_unit_test(what_stands_after_the_integrity_does_not_count),
        cmocka_unit_test(thirty_three_attributes_are_too_many),
        cmocka_unit_test(a_check_is_answered_and_the_answer_believed_once),
        cmocka_unit_test(a_wrong_password_gets_401_and_no_more),
        cmocka_unit_test(both_controlling_is_a_conflict),
        cmocka_unit_test(any_flipped_bit_makes_it_invalid),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(forgotten_checks_leave_room_for_new_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
