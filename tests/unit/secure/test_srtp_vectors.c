/* SPDX-License-Identifier: Apache-2.0
 * The examples of the specifications: RFC 3711 B.2 and B.3, RFC 7714 s16 and s17. */
#include "srtp_fixture.h"

static size_t unhex(uint8_t *out, const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        unsigned v;
        if (*text == ' ')
            continue;
        assert_int_equal(sscanf(text, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
        text++;
    }
    return n;
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *text)
{
    uint8_t wanted[256];
    assert_int_equal(unhex(wanted, text), len);
    assert_memory_equal(bytes, wanted, len);
}

/* RFC 3711 B.3. The RFC stops at RTP; RTCP's labels differ by three. */
static void session_keys_are_those_of_rfc_3711_b3(void **state)
{
    struct srtp_master m = {.profile = SRTP_PROFILE_CM_SHA1_80};
    struct srtp_session s;

    (void)state;
    unhex(m.key, "E1F97A0D3E018BE0D64FA32C06DE4139");
    unhex(m.salt, "0EC675AD498AFEEBB6960B3AABE6");
    assert_true(srtp_derive(&s, &m, SRTP_KIND_RTP));
    assert_hex(s.key, 16, "C61E7A93744F39EE10734AFE3FF7A087");
    assert_hex(s.salt, 14, "30CBBC08863D8C85D49DB34A9AE1");
    assert_hex(s.auth, 20, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
}

/* The test's own session keys, in place of derived ones. */
static void set_session(struct fixture *f, const char *key, const char *salt)
{
    struct srtp_session s = {.profile = f->m.profile};
    struct {
        struct srtp_key *k;
        enum srtp_way way;
    } all[] = {{&f->tx->rtp, SRTP_WAY_SEAL},
               {&f->tx->rtcp, SRTP_WAY_SEAL},
               {f->rx->rtp, SRTP_WAY_OPEN},
               {&f->rx->rtcp, SRTP_WAY_OPEN}};

    unhex(s.key, key);
    unhex(s.salt, salt);
    for (size_t i = 0; i < LEN(all); i++) {
        srtp_key_fini(f->e, all[i].k);
        memcpy(all[i].k->salt, s.salt, sizeof(s.salt));
        all[i].k->profile = s.profile;
        assert_int_equal(f->e->crypt->key_init(f->e, all[i].k, &s, all[i].way), 0);
    }
}

static void key_stream_b2(struct fixture *f)
{
    uint8_t zeros[48] = {0}, out[48], iv[SRTP_CM_IV_BYTES];
    static const uint8_t ssrc[4] = {0};

    if (f->m.profile != SRTP_PROFILE_CM_SHA1_80)
        return;
    set_session(f, "2B7E151628AED2A6ABF7158809CF4F3C", "F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
    srtp_cm_iv(iv, f->tx->rtp.salt, ssrc, 0);
    f->e->crypt->cm_xor(f->e, &f->tx->rtp, iv, zeros, sizeof(zeros), out);
    assert_hex(
        out, sizeof(out),
        "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0");
}

static void aes_cm_key_stream_is_that_of_rfc_3711_b2(void **state)
{
    (void)state;
    for_each_crypto(key_stream_b2);
}

#define KEY_128 "000102030405060708090a0b0c0d0e0f"
#define KEY_256 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SALT "517569642070726f2071756f"
#define RTP_PLAIN \
    "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465" \
    "73207472 6573"
#define RTP_SEALED_128 /* s16.1.1 */ \
    "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b" \
    "36de3adf 8833 899d 7f27beb1 6a9152cf 765ee439 0cce"
#define RTP_SEALED_256 /* s16.2.1 */ \
    "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f" \
    "1ba63799 b87b 7aa3 db36dfff d6b0f9bb 7878d7a7 6c13"
#define RTCP_PLAIN \
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef" \
    "deadbeef deadbeef"
#define RTCP_SEALED_128 /* s17.1 */ \
    "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46" \
    "86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4"

static void rtp_s16(struct fixture *f)
{
    bool is_128 = f->m.profile == SRTP_PROFILE_GCM_128;
    uint8_t plain[128], out[128];
    struct srtp_window w;
    size_t len = unhex(plain, RTP_PLAIN), back;
    uint64_t index;

    if (f->m.profile == SRTP_PROFILE_CM_SHA1_80)
        return;
    set_session(f, is_128 ? KEY_128 : KEY_256, SALT);
    struct srtp_tx_packet p = {.tx = f->tx,
                               .index = 0xf17b,
                               .hdr = plain,
                               .hdr_len = 12,
                               .payload = plain + 12,
                               .payload_len = (uint16_t)(len - 12),
                               .dst = out};
    assert_int_equal(srtp_tx_protect(f->e, &p), len + 16);
    assert_hex(out, len + 16, is_128 ? RTP_SEALED_128 : RTP_SEALED_256);
    srtp_window_init(&w, 0xf17b);
    assert_int_equal(srtp_rx_unprotect(f->e, f->rx, &w, out, len + 16, &back, &index), SRTP_OK);
    assert_int_equal(back, len);
    assert_int_equal(index, 0xf17b);
    assert_memory_equal(out, plain, len);
}

static void rtp_under_gcm_is_that_of_rfc_7714_s16(void **state)
{
    (void)state;
    for_each_crypto(rtp_s16);
}

static void rtcp_s17(struct fixture *f)
{
    uint8_t plain[128], out[128];
    size_t len = unhex(plain, RTCP_PLAIN), back;

    if (f->m.profile != SRTP_PROFILE_GCM_128)
        return;
    set_session(f, KEY_128, SALT);
    f->tx->rtcp_next = 0x5d4;
    memcpy(out, plain, len);
    assert_int_equal(srtp_tx_protect_rtcp(f->e, f->tx, out, len, sizeof(out)), (int)len + 20);
    assert_hex(out, len + 20, RTCP_SEALED_128);
    assert_int_equal(srtp_rx_unprotect_rtcp(f->e, f->rx, out, len + 20, &back), SRTP_OK);
    assert_int_equal(back, len);
    assert_memory_equal(out, plain, len);
}

static void rtcp_under_gcm_is_that_of_rfc_7714_s17(void **state)
{
    (void)state;
    for_each_crypto(rtcp_s17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_keys_are_those_of_rfc_3711_b3),
        cmocka_unit_test(aes_cm_key_stream_is_that_of_rfc_3711_b2),
        cmocka_unit_test(rtp_under_gcm_is_that_of_rfc_7714_s16),
        cmocka_unit_test(rtcp_under_gcm_is_that_of_rfc_7714_s17),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
