/* SPDX-License-Identifier: Apache-2.0
 * srtp_tx and srtp_rx against libsrtp2 and against each other: every backend, every profile. */
#include "srtp_fixture.h"

#include "secure/srtp_in.h"

enum { SSRC = 0x11223344, PAYLOAD_MAX = 1300 };

static const uint8_t *payload_bytes(void)
{
    static uint8_t bytes[PAYLOAD_MAX];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31 + 5);
    return bytes;
}

/* ---- Against libsrtp2 ------------------------------------------------------------------------ */

static void libsrtp_reads_ours(struct fixture *f)
{
    static const size_t lens[] = {0, 1, 15, 16, 17, 160, 1199, 1300};
    struct srtp_in *in;
    uint64_t index = 65530; /* crosses the sequence's wrap */

    assert_int_equal(srtp_in_create(&in, SRTP_IN_RECEIVE, &f->m), 0);
    for (size_t i = 0; i < 4 * LEN(lens); i++, index++) {
        size_t len, plain = 0, payload_len = lens[i % LEN(lens)];
        uint8_t hdr[FIXTURE_HDR], *pkt = fixture_protect(f, SSRC, index, payload_bytes(), payload_len, &len);
        assert_int_equal(srtp_in_unprotect(in, pkt, len, &plain), SRTP_OK);
        assert_int_equal(plain, FIXTURE_HDR + payload_len);
        fixture_header(hdr, SSRC, (uint16_t)index);
        assert_memory_equal(pkt, hdr, FIXTURE_HDR);
        assert_memory_equal(pkt + FIXTURE_HDR, payload_bytes(), payload_len);
        free(pkt);
    }
    srtp_in_destroy(&in);
}

static void libsrtp_reads_what_we_protect_across_the_wrap(void **state)
{
    (void)state;
    for_each_crypto(libsrtp_reads_ours);
}

static void we_read_libsrtp(struct fixture *f)
{
    struct srtp_in *out;
    struct srtp_window w;

    assert_int_equal(srtp_in_create(&out, SRTP_IN_SEND, &f->m), 0);
    srtp_window_init(&w, 65000);
    /* Through two wraps, in steps that libsrtp follows. */
    for (uint64_t index = 65000;
         index<65536 * 2 + 100; index += index % 65536> 65520 || index % 65536 < 20 ? 1 : 501) {
        uint8_t pkt[FIXTURE_HDR + 300 + SRTP_TAG_MAX];
        size_t plain = 0;
        uint64_t got = 0;
        fixture_header(pkt, SSRC, (uint16_t)index);
        memcpy(pkt + FIXTURE_HDR, payload_bytes(), 300);
        int len = srtp_in_protect(out, pkt, FIXTURE_HDR + 300, sizeof(pkt));
        assert_true(len > 0);
        uint8_t *heap = exact(pkt, (size_t)len);
        assert_int_equal(srtp_rx_unprotect(f->e, f->rx, &w, heap, (size_t)len, &plain, &got), SRTP_OK);
        assert_int_equal(plain, FIXTURE_HDR + 300);
        assert_int_equal(got, index);
        assert_memory_equal(heap + FIXTURE_HDR, payload_bytes(), 300);
        free(heap);
    }
    srtp_in_destroy(&out);
}

static void we_read_what_libsrtp_protects_across_two_wraps(void **state)
{
    (void)state;
    for_each_crypto(we_read_libsrtp);
}

static void rtcp_both_ways(struct fixture *f)
{
    static const uint8_t report[28] = {0x81, 201, 0, 6, 0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4, 5, 6, 7, 8};
    struct srtp_in *in, *out;
    struct srtp_rx *no_rtp; /* it takes RTCP as the other does */

    assert_int_equal(srtp_in_create(&in, SRTP_IN_RECEIVE, &f->m), 0);
    assert_int_equal(srtp_in_create(&out, SRTP_IN_SEND, &f->m), 0);
    assert_int_equal(srtp_rx_create_rtcp(&no_rtp, f->e, &f->m), 0);
    for (size_t body = 8; body <= sizeof(report); body += 4) {
        uint8_t pkt[sizeof(report) + SRTCP_OVERHEAD_MAX];
        size_t plain = 0;
        memcpy(pkt, report, body);
        int len = srtp_tx_protect_rtcp(f->e, f->tx, pkt, body, sizeof(pkt));
        assert_true(len > (int)body);
        assert_int_equal(srtp_in_unprotect_rtcp(in, pkt, (size_t)len, &plain), SRTP_OK);
        assert_int_equal(plain, body);
        assert_memory_equal(pkt, report, body);

        len = srtp_in_protect_rtcp(out, pkt, body, sizeof(pkt));
        assert_true(len > (int)body);
        struct srtp_rx *both[] = {f->rx, no_rtp};
        for (size_t i = 0; i < LEN(both); i++) {
            uint8_t *heap = exact(pkt, (size_t)len);
            assert_int_equal(srtp_rx_unprotect_rtcp(f->e, both[i], heap, (size_t)len, &plain), SRTP_OK);
            assert_int_equal(plain, body);
            assert_memory_equal(heap, report, body);
            free(heap);
        }
    }
    srtp_rx_destroy(&no_rtp);
    srtp_in_destroy(&in);
    srtp_in_destroy(&out);
}

static void rtcp_passes_to_libsrtp_and_back(void **state)
{
    (void)state;
    for_each_crypto(rtcp_both_ways);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void same_index_same_bytes(struct fixture *f)
{
    size_t len, again_len;
    uint8_t *first = fixture_protect(f, SSRC, 77, payload_bytes(), 1000, &len);
    for (uint64_t i = 78; i < 200; i++)
        free(fixture_protect(f, SSRC, i, payload_bytes(), 10, &again_len));
    uint8_t *again = fixture_protect(f, SSRC, 77, payload_bytes(), 1000, &again_len);
    assert_int_equal(len, again_len);
    assert_memory_equal(first, again, len);
    free(first);
    free(again);
}

static void a_retransmission_is_byte_identical(void **state)
{
    (void)state;
    for_each_crypto(same_index_same_bytes);
}

static void both_backends_write_the_same_bytes(void **state)
{
    struct srtp_engine *mb;

    (void)state;
    if (srtp_engine_create(&mb, SRTP_BACKEND_IPSEC_MB))
        skip();
    srtp_engine_destroy(&mb);
    for (size_t p = 0; p < LEN(fixture_profiles); p++) {
        uint8_t *pkt[LEN(fixture_backends)] = {0};
        size_t len = 0;
        for (size_t b = 0; b < LEN(fixture_backends); b++) {
            struct fixture f = {.m = {.profile = fixture_profiles[p], .key = {9, 8, 7}, .salt = {6, 5}}};
            assert_int_equal(srtp_engine_create(&f.e, fixture_backends[b]), 0);
            assert_int_equal(srtp_tx_create(&f.tx, f.e, &f.m), 0);
            pkt[b] = fixture_protect(&f, SSRC, (5ULL << 16) + 9, payload_bytes(), 1200, &len);
            srtp_tx_destroy(&f.tx);
            srtp_engine_destroy(&f.e);
        }
        assert_memory_equal(pkt[0], pkt[1], len);
        free(pkt[0]);
        free(pkt[1]);
    }
}

/* 150 packets of sizes and prefixes of every kind: more than two batches of the backend. */
static void batch_is_singles(struct fixture *f)
{
    enum { N = 150 };
    static const uint8_t prefix[6] = {1, 2, 3, 4, 5, 6};
    struct srtp_tx_packet p[N];
    uint8_t hdr[N][FIXTURE_HDR], *source = exact(payload_bytes(), PAYLOAD_MAX);

    for (size_t i = 0; i < N; i++) {
        fixture_header(hdr[i], SSRC, (uint16_t)(i + 65500));
        p[i] = (struct srtp_tx_packet){.tx = f->tx,
                                       .index = 65500 + i,
                                       .hdr = hdr[i],
                                       .hdr_len = FIXTURE_HDR,
                                       .payload = source,
                                       .payload_len = (uint16_t)(i * 8),
                                       .prefix = i % 3 ? prefix : NULL,
                                       .prefix_len = (uint16_t)(i % 3 * 3)};
        p[i].dst = malloc(srtp_tx_packet_len(&p[i]));
        assert_non_null(p[i].dst);
    }
    srtp_tx_protect_batch(f->e, p, N);
    assert_memory_equal(source, payload_bytes(), PAYLOAD_MAX); /* the shared plaintext is as it was */
    for (size_t i = 0; i < N; i++) {
        struct srtp_tx_packet one = p[i];
        one.dst = malloc(srtp_tx_packet_len(&one));
        assert_non_null(one.dst);
        size_t len = srtp_tx_protect(f->e, &one);
        assert_int_equal(len, srtp_tx_packet_len(&p[i]));
        assert_memory_equal(one.dst, p[i].dst, len);
        free(one.dst);
        free(p[i].dst);
    }
    free(source);
}

static void a_batch_writes_what_single_calls_write(void **state)
{
    (void)state;
    for_each_crypto(batch_is_singles);
}

static void prefix_then_payload(struct fixture *f)
{
    static const uint8_t osn[2] = {0x12, 0x34};
    uint8_t hdr[FIXTURE_HDR], out[FIXTURE_HDR + 2 + 500 + SRTP_TAG_MAX];
    struct srtp_window w;
    size_t plain = 0;

    fixture_header(hdr, SSRC, 3);
    struct srtp_tx_packet p = {.tx = f->tx,
                               .index = 3,
                               .hdr = hdr,
                               .hdr_len = FIXTURE_HDR,
                               .prefix = osn,
                               .prefix_len = 2,
                               .payload = payload_bytes(),
                               .payload_len = 500,
                               .dst = out};
    size_t len = srtp_tx_protect(f->e, &p);
    srtp_window_init(&w, 3);
    assert_int_equal(srtp_rx_unprotect(f->e, f->rx, &w, out, len, &plain, NULL), SRTP_OK);
    assert_int_equal(plain, FIXTURE_HDR + 2 + 500);
    assert_memory_equal(out + FIXTURE_HDR, osn, 2);
    assert_memory_equal(out + FIXTURE_HDR + 2, payload_bytes(), 500);
}

static void a_prefix_goes_before_the_payload(void **state)
{
    (void)state;
    for_each_crypto(prefix_then_payload);
}

static void rtcp_room_and_end(struct fixture *f)
{
    uint8_t pkt[64] = {0x80, 201, 0, 1};
    int overhead = (int)srtp_tx_tag_len(f->tx) + 4;

    assert_int_equal(srtp_tx_protect_rtcp(f->e, f->tx, pkt, 8, 8 + (size_t)overhead - 1), SRTP_ERR_SHORT);
    assert_int_equal(srtp_tx_protect_rtcp(f->e, f->tx, pkt, 8, 8 + (size_t)overhead), 8 + overhead);
    f->tx->rtcp_next = 0x7fffffff;
    assert_int_equal(srtp_tx_protect_rtcp(f->e, f->tx, pkt, 8, sizeof(pkt)), 8 + overhead);
    assert_int_equal(srtp_tx_protect_rtcp(f->e, f->tx, pkt, 8, sizeof(pkt)), SRTP_ERR_SHORT);
}

static void rtcp_is_refused_without_room_and_after_the_last_index(void **state)
{
    (void)state;
    for_each_crypto(rtcp_room_and_end);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static int receive(struct fixture *f, struct srtp_window *w, uint64_t index)
{
    size_t len, plain;
    uint8_t *pkt = fixture_protect(f, SSRC, index, payload_bytes(), 40, &len);
    int err = srtp_rx_unprotect(f->e, f->rx, w, pkt, len, &plain, NULL);
    free(pkt);
    return err;
}

static void replays(struct fixture *f)
{
    static const struct {
        const char *what;
        uint64_t index;
        int err;
    } rows[] = {
        {"the first", 70000, SRTP_OK},
        {"the same again", 70000, SRTP_ERR_REPLAY},
        {"a late one", 69990, SRTP_OK},
        {"the late one again", 69990, SRTP_ERR_REPLAY},
        {"a jump ahead", 71000, SRTP_OK},
        {"in the gap", 70500, SRTP_OK},
        {"in the gap again", 70500, SRTP_ERR_REPLAY},
        {"the last in the window", 71000 - SRTP_WINDOW_PACKETS + 1, SRTP_OK},
        {"just before the window", 71000 - SRTP_WINDOW_PACKETS, SRTP_ERR_OLD},
        {"a jump of more than the window", 72000 + SRTP_WINDOW_PACKETS, SRTP_OK},
        {"where the ring of bits wraps", 72000 + 8, SRTP_OK},
        {"what the jump left behind", 71000, SRTP_ERR_OLD},
        {"across the wrap of the sequence", 131072 + 5,
         SRTP_ERR_AUTH}, /* 2^15 too far: taken for a packet of before */
        {"half the circle ahead", 76000 + 32000, SRTP_OK},
        {"and then across the wrap", 131072 + 5, SRTP_OK},
        {"back before the wrap", 131072 - 5, SRTP_OK},
        {"back before the wrap again", 131072 - 5, SRTP_ERR_REPLAY},
    };
    struct srtp_window w;

    srtp_window_init(&w, 70000);
    for (size_t i = 0; i < LEN(rows); i++) {
        int err = receive(f, &w, rows[i].index);
        bool refused =
            rows[i].err == SRTP_ERR_AUTH ? err == SRTP_ERR_AUTH || err == SRTP_ERR_OLD : err == rows[i].err;
        if (!refused)
            fail_msg("%s: %d", rows[i].what, err);
    }
}

static void replayed_and_old_packets_are_refused(void **state)
{
    (void)state;
    for_each_crypto(replays);
}

/* Under the index that the receiver takes it for, into memory of its own. */
static int open_as(struct fixture *f, struct srtp_window *w, uint64_t index, uint64_t claimed)
{
    size_t len;
    uint8_t *pkt = fixture_protect(f, SSRC, index, payload_bytes(), 40, &len), *whole = exact(pkt, len), dst[40];
    int err = srtp_rx_open(f->e, f->rx, w, &(struct srtp_rx_packet){
        .index = claimed, .bytes = pkt, .len = len, .hdr_len = FIXTURE_HDR, .dst = dst});

    if (err == SRTP_OK)
        assert_memory_equal(dst, payload_bytes(), sizeof(dst));
    assert_memory_equal(pkt, whole, len);
    free(whole);
    free(pkt);
    return err;
}

static void far_resume(struct fixture *f)
{
    struct srtp_window w;

    srtp_window_init(&w, 100);
    assert_int_equal(receive(f, &w, 100), SRTP_OK);
    assert_int_not_equal(receive(f, &w, 1000000), SRTP_OK);
    assert_int_equal(open_as(f, &w, 1000000, 2000000), SRTP_ERR_AUTH);
    assert_int_equal(w.top, 100);
    assert_int_equal(open_as(f, &w, 1000000, 1000000), SRTP_OK);
    assert_int_equal(receive(f, &w, 999985), SRTP_OK);
    assert_int_equal(open_as(f, &w, 999986, 999986), SRTP_OK);
    assert_int_equal(open_as(f, &w, 999986, 999986), SRTP_ERR_REPLAY);
    assert_int_equal(open_as(f, &w, 1000000, 1000000), SRTP_ERR_REPLAY);
    assert_int_equal(open_as(f, &w, 101, 101), SRTP_ERR_OLD);
    for (uint64_t index = 1000001; index < 1000001 + 2 * SRTP_WINDOW_PACKETS; index++) /* each takes the place of one a window older */
        assert_int_equal(open_as(f, &w, index, index), SRTP_OK);
    assert_int_equal(open_as(f, &w, w.top - 5, w.top - 5), SRTP_ERR_REPLAY);
    assert_int_equal(open_as(f, &w, w.top + 3, w.top + 3), SRTP_OK);
    assert_int_equal(open_as(f, &w, w.top - 1, w.top - 1), SRTP_OK);
    /* The 48-bit index of a stream that is older than 2^32 packets. */
    srtp_window_init(&w, 0xfedcba987654);
    assert_int_equal(receive(f, &w, 0xfedcba987650), SRTP_OK);
    assert_int_equal(receive(f, &w, 0xfedcba987660), SRTP_OK);
}

static void a_window_moves_to_where_a_stream_resumes(void **state)
{
    (void)state;
    for_each_crypto(far_resume);
}

static void every_bit_counts(struct fixture *f)
{
    struct srtp_window w;
    size_t len, plain;
    uint8_t *good = fixture_protect(f, SSRC, 500, payload_bytes(), 33, &len);

    srtp_window_init(&w, 500);
    struct srtp_window before = w;
    for (size_t bit = 0; bit < len * 8; bit++) {
        uint8_t *bad = exact(good, len);
        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int err = srtp_rx_unprotect(f->e, f->rx, &w, bad, len, &plain, NULL);
        assert_true(err == SRTP_ERR_AUTH || err == SRTP_ERR_SHORT || err == SRTP_ERR_OLD);
        free(bad);
    }
    assert_memory_equal(&w, &before, sizeof(w));
    assert_int_equal(srtp_rx_unprotect(f->e, f->rx, &w, good, len, &plain, NULL), SRTP_OK);
    free(good);
}

static void a_packet_with_any_bit_changed_is_refused(void **state)
{
    (void)state;
    for_each_crypto(every_bit_counts);
}

static void every_length(struct fixture *f)
{
    struct srtp_window w;
    size_t len, plain;
    uint8_t *good = fixture_protect(f, SSRC, 500, payload_bytes(), 33, &len);

    srtp_window_init(&w, 500);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *bad = exact(good, cut);
        int err = srtp_rx_unprotect(f->e, f->rx, &w, bad, cut, &plain, NULL);
        assert_true(err == SRTP_ERR_SHORT || err == SRTP_ERR_AUTH);
        if (cut < 12 + 8 + srtp_tx_tag_len(f->tx))
            assert_int_equal(err, SRTP_ERR_SHORT);
        free(bad);
    }
    free(good);
}

static void a_packet_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for_each_crypto(every_length);
}

static void rtcp_refusals(struct fixture *f)
{
    uint8_t pkt[32 + SRTCP_OVERHEAD_MAX] = {0x81, 201, 0, 7, 1, 2, 3, 4};
    size_t plain;
    int len = srtp_tx_protect_rtcp(f->e, f->tx, pkt, 32, sizeof(pkt));
    size_t n = (size_t)len, word_at = srtp_is_gcm(f->m.profile) ? n - 4 : 32;

    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *bad = exact(pkt, cut);
        assert_int_not_equal(srtp_rx_unprotect_rtcp(f->e, f->rx, bad, cut, &plain), SRTP_OK);
        free(bad);
    }
    for (size_t bit = 0; bit < n * 8; bit++) {
        uint8_t *bad = exact(pkt, n);
        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int wanted = bit / 8 == word_at && bit % 8 == 7 ? SRTP_ERR_PLAIN : SRTP_ERR_AUTH;
        assert_int_equal(srtp_rx_unprotect_rtcp(f->e, f->rx, bad, n, &plain), wanted);
        free(bad);
    }
    assert_int_equal(f->rx->sources, 0); /* nothing that failed left a trace */
    uint8_t *copy = exact(pkt, n);
    assert_int_equal(srtp_rx_unprotect_rtcp(f->e, f->rx, copy, n, &plain), SRTP_OK);
    free(copy);
    assert_int_equal(srtp_rx_unprotect_rtcp(f->e, f->rx, pkt, n, &plain), SRTP_ERR_REPLAY);
}

static void rtcp_cut_changed_plain_or_replayed_is_refused(void **state)
{
    (void)state;
    for_each_crypto(rtcp_refusals);
}

static int rtcp_from(struct fixture *f, uint32_t ssrc, uint32_t index)
{
    uint8_t pkt[8 + SRTCP_OVERHEAD_MAX] = {0x80, 201, 0, 1};
    size_t plain;

    srtp_put32(pkt + 4, ssrc);
    f->tx->rtcp_next = index;
    int len = srtp_tx_protect_rtcp(f->e, f->tx, pkt, 8, sizeof(pkt));
    return srtp_rx_unprotect_rtcp(f->e, f->rx, pkt, (size_t)len, &plain);
}

static void rtcp_windows(struct fixture *f)
{
    for (uint32_t s = 0; s < SRTCP_SOURCES; s++)
        assert_int_equal(rtcp_from(f, s, 100), SRTP_OK);
    assert_int_equal(rtcp_from(f, 99, 100), SRTP_ERR_FULL);
    assert_int_equal(rtcp_from(f, 3, 100), SRTP_ERR_REPLAY);
    assert_int_equal(rtcp_from(f, 3, 99), SRTP_OK);
    assert_int_equal(rtcp_from(f, 3, 99), SRTP_ERR_REPLAY);
    assert_int_equal(rtcp_from(f, 3, 37), SRTP_OK);
    assert_int_equal(rtcp_from(f, 3, 36), SRTP_ERR_OLD);
    assert_int_equal(rtcp_from(f, 3, 163), SRTP_OK);
    assert_int_equal(rtcp_from(f, 3, 100), SRTP_ERR_REPLAY);
    assert_int_equal(rtcp_from(f, 3, 0x7fffffff), SRTP_OK);
    assert_int_equal(rtcp_from(f, 3, 163), SRTP_ERR_OLD);
}

static void rtcp_windows_are_per_sender_and_bounded(void **state)
{
    (void)state;
    for_each_crypto(rtcp_windows);
}

static void an_unknown_profile_is_refused(void **state)
{
    struct srtp_engine *e;
    struct srtp_master m = {.profile = (enum srtp_profile)2};
    struct srtp_tx *tx;
    struct srtp_rx *rx;
    struct srtp_in *in;

    (void)state;
    assert_int_equal(srtp_engine_create(&e, SRTP_BACKEND_BEST), 0);
    assert_int_equal(srtp_tx_create(&tx, e, &m), SRTP_ERR_PROFILE);
    assert_int_equal(srtp_rx_create(&rx, e, &m), SRTP_ERR_PROFILE);
    assert_int_equal(srtp_in_create(&in, SRTP_IN_RECEIVE, &m), SRTP_ERR_PROFILE);
    srtp_engine_destroy(&e);
}

static void libsrtp_refusals(struct fixture *f)
{
    struct srtp_in *in;
    size_t len, plain;
    uint8_t *good = fixture_protect(f, SSRC, 500, payload_bytes(), 33, &len);

    assert_int_equal(srtp_in_create(&in, SRTP_IN_RECEIVE, &f->m), 0);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *bad = exact(good, cut);
        assert_int_not_equal(srtp_in_unprotect(in, bad, cut, &plain), SRTP_OK);
        assert_int_not_equal(srtp_in_unprotect_rtcp(in, bad, cut, &plain), SRTP_OK);
        free(bad);
    }
    uint8_t *copy = exact(good, len);
    copy[len - 1] ^= 1;
    assert_int_equal(srtp_in_unprotect(in, copy, len, &plain), SRTP_ERR_AUTH);
    memcpy(copy, good, len);
    assert_int_equal(srtp_in_unprotect(in, copy, len, &plain), SRTP_OK);
    assert_int_equal(srtp_in_unprotect(in, good, len, &plain), SRTP_ERR_REPLAY);
    free(copy);
    free(good);
    srtp_in_destroy(&in);
}

static void publishers_packets_cut_changed_or_replayed_are_refused(void **state)
{
    (void)state;
    for_each_crypto(libsrtp_refusals);
}

/* A publisher may name itself anew with each packet; what libsrtp keeps for each name must not grow with that. */
static void a_publishers_sources_are_bounded(struct fixture *f)
{
    static const uint8_t report[8] = {0x80, 201, 0, 1, 0x55};
    struct srtp_in *in;
    size_t len, plain;

    assert_int_equal(srtp_in_create(&in, SRTP_IN_RECEIVE, &f->m), 0);
    for (uint32_t i = 0; i < 3 * SRTP_IN_SOURCES; i++) {
        uint8_t *pkt = fixture_protect(f, SSRC + i % (2 * SRTP_IN_SOURCES), 500 + i, payload_bytes(), 33, &len);
        bool known = i % (2 * SRTP_IN_SOURCES) < SRTP_IN_SOURCES;
        assert_int_equal(srtp_in_unprotect(in, pkt, len, &plain), known ? SRTP_OK : SRTP_ERR_FULL);
        free(pkt);
    }
    uint8_t pkt[sizeof(report) + SRTCP_OVERHEAD_MAX];
    for (uint32_t sender = SSRC; sender <= SSRC + SRTP_IN_SOURCES; sender += SRTP_IN_SOURCES) {
        memcpy(pkt, report, sizeof(report));
        srtp_put32(pkt + 4, sender);
        int n = srtp_tx_protect_rtcp(f->e, f->tx, pkt, sizeof(report), sizeof(pkt));
        assert_int_equal(srtp_in_unprotect_rtcp(in, pkt, (size_t)n, &plain), sender == SSRC ? SRTP_OK : SRTP_ERR_FULL);
    }
    srtp_in_destroy(&in);
}

static void forged_sources_take_no_place(struct fixture *f)
{
    struct srtp_in *in;
    size_t len, plain;

    assert_int_equal(srtp_in_create(&in, SRTP_IN_RECEIVE, &f->m), 0);
    for (uint32_t i = 0; i <= SRTP_IN_SOURCES; i++) {
        uint8_t *pkt = fixture_protect(f, SSRC + i, 500, payload_bytes(), 33, &len);
        pkt[len - 1] ^= i < SRTP_IN_SOURCES;
        assert_int_equal(srtp_in_unprotect(in, pkt, len, &plain), i < SRTP_IN_SOURCES ? SRTP_ERR_AUTH : SRTP_OK);
        free(pkt);
    }
    srtp_in_destroy(&in);
}

static void what_is_kept_of_a_publishers_sources_is_bounded(void **state)
{
    (void)state;
    for_each_crypto(a_publishers_sources_are_bounded);
    for_each_crypto(forged_sources_take_no_place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libsrtp_reads_what_we_protect_across_the_wrap),
        cmocka_unit_test(we_read_what_libsrtp_protects_across_two_wraps),
        cmocka_unit_test(rtcp_passes_to_libsrtp_and_back),
        cmocka_unit_test(a_retransmission_is_byte_identical),
        cmocka_unit_test(both_backends_write_the_same_bytes),
        cmocka_unit_test(a_batch_writes_what_single_calls_write),
        cmocka_unit_test(a_prefix_goes_before_the_payload),
        cmocka_unit_test(rtcp_is_refused_without_room_and_after_the_last_index),
        cmocka_unit_test(replayed_and_old_packets_are_refused),
        cmocka_unit_test(a_window_moves_to_where_a_stream_resumes),
        cmocka_unit_test(a_packet_with_any_bit_changed_is_refused),
        cmocka_unit_test(a_packet_cut_anywhere_is_refused),
        cmocka_unit_test(rtcp_cut_changed_plain_or_replayed_is_refused),
        cmocka_unit_test(rtcp_windows_are_per_sender_and_bounded),
        cmocka_unit_test(an_unknown_profile_is_refused),
        cmocka_unit_test(publishers_packets_cut_changed_or_replayed_are_refused),
        cmocka_unit_test(what_is_kept_of_a_publishers_sources_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
