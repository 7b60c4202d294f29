/* SPDX-License-Identifier: Apache-2.0
 * test_handshake.c - the server's handshake (Adobe RTMP 1.0, s5.2), cut at every byte. */
#include "unit/wire/exact.h"

#include "origin/rtmp_handshake.h"

enum { CLIENT_BYTES = 1 + 2 * RTMP_HANDSHAKE_PART_BYTES };

static uint8_t client[CLIENT_BYTES + 3]; /* C0 C1 C2, and chunks at once */

static int fill(void **state)
{
    uint64_t noise = 5;

    (void)state;
    for (size_t i = 0; i < sizeof(client); i++)
        client[i] = (uint8_t)noise_next(&noise);
    client[0] = RTMP_VERSION;
    return 0;
}

static void it_replies_after_c1_and_finishes_after_c2_however_it_is_cut(void **state)
{
    static const size_t pieces[] = {1, 2, 7, 1536, 1537, 1538, 3072, 3073, 3074, 3076};

    (void)state;
    for (size_t i = 0; i < LEN(pieces); i++) {
        struct rtmp_handshake h = {0};
        size_t replies = 0, taken = 0;
        int got = RTMP_HANDSHAKE_MORE;
        for (size_t at = 0; at < sizeof(client) && got != RTMP_HANDSHAKE_FINISHED; at += pieces[i]) {
            size_t len = sizeof(client) - at < pieces[i] ? sizeof(client) - at : pieces[i];
            uint8_t *exact = exact_dup(client + at, len);
            struct reader in = reader_init(exact, len);
            while ((got = rtmp_handshake_read(&h, &in)) == RTMP_HANDSHAKE_REPLY) {
                replies++;
                assert_int_equal(at + len - reader_left(&in), 1 + RTMP_HANDSHAKE_PART_BYTES);
            }
            taken = at + len - reader_left(&in);
            free(exact);
        }
        assert_int_equal(got, RTMP_HANDSHAKE_FINISHED);
        assert_int_equal(replies, 1);
        assert_int_equal(taken, CLIENT_BYTES); /* the chunks are left for who reads them */
    }
}

static void the_reply_is_s0_s1_and_the_echo_of_c1(void **state)
{
    struct rtmp_handshake h = {0};
    struct reader in = reader_init(client, sizeof(client));
    uint8_t random[RTMP_HANDSHAKE_PART_BYTES - 8], reply[RTMP_HANDSHAKE_REPLY_BYTES];

    (void)state;
    memset(random, 0xa5, sizeof(random));
    assert_int_equal(rtmp_handshake_read(&h, &in), RTMP_HANDSHAKE_REPLY);
    rtmp_handshake_write(&h, random, reply);
    assert_int_equal(reply[0], 3);
    assert_memory_equal(reply + 1, "\0\0\0\0\0\0\0\0", 8);
    assert_memory_equal(reply + 9, random, sizeof(random));
    assert_memory_equal(reply + 1 + RTMP_HANDSHAKE_PART_BYTES, client + 1, RTMP_HANDSHAKE_PART_BYTES);
}

static void anything_but_version_3_is_refused_at_its_first_byte(void **state)
{
    (void)state;
    for (unsigned version = 0; version < 256; version++) {
        struct rtmp_handshake h = {0};
        uint8_t byte = (uint8_t)version; /* 6: RTMPE; 'G': HTTP; 0x16: TLS */
        struct reader in = reader_init(&byte, 1);
        int want = version == 3 ? RTMP_HANDSHAKE_MORE : RTMP_HANDSHAKE_ERR_VERSION;
        assert_int_equal(rtmp_handshake_read(&h, &in), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_replies_after_c1_and_finishes_after_c2_however_it_is_cut),
        cmocka_unit_test(the_reply_is_s0_s1_and_the_echo_of_c1),
        cmocka_unit_test(anything_but_version_3_is_refused_at_its_first_byte),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
