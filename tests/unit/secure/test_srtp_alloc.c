/* SPDX-License-Identifier: Apache-2.0
 * The hot path allocates nothing: malloc and its kin are counted, ours (by the linker's --wrap) and
 * OpenSSL's (by its own hook). */
#include "srtp_fixture.h"

#include <openssl/crypto.h>

static unsigned long allocations; /* this program has one thread */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

void *__wrap_malloc(size_t n)
{
    allocations++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    allocations++;
    return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    allocations++;
    return __real_aligned_alloc(align, n);
}

static void *ossl_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    allocations++;
    return __real_malloc(n);
}

static void *ossl_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    allocations++;
    return __real_realloc(p, n);
}

static void ossl_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

static void ten_thousand(struct fixture *f)
{
    static uint8_t payload[1200], out[16][FIXTURE_HDR + 1200 + SRTP_TAG_MAX], hdr[16][FIXTURE_HDR];
    struct srtp_tx_packet p[16];
    struct srtp_window w;
    size_t plain;

    srtp_window_init(&w, 0);
    unsigned long before = allocations;
    assert_true(before > 0); /* making the keys was counted: the hooks are in */
    for (uint64_t index = 0; index < 10000; index += 16) {
        for (size_t i = 0; i < 16; i++) {
            fixture_header(hdr[i], 7, (uint16_t)(index + i));
            p[i] = (struct srtp_tx_packet){.tx = f->tx,
                                           .index = index + i,
                                           .hdr = hdr[i],
                                           .hdr_len = FIXTURE_HDR,
                                           .payload = payload,
                                           .payload_len = sizeof(payload),
                                           .dst = out[i]};
        }
        srtp_tx_protect_batch(f->e, p, 16);
        size_t len = srtp_tx_protect(f->e, &p[0]);
        assert_int_equal(srtp_rx_unprotect(f->e, f->rx, &w, out[0], len, &plain, NULL), SRTP_OK);
        uint8_t report[28 + SRTCP_OVERHEAD_MAX] = {0x81, 201, 0, 6, 0, 0, 0, 7};
        int len_rtcp = srtp_tx_protect_rtcp(f->e, f->tx, report, 28, sizeof(report));
        assert_int_equal(srtp_rx_unprotect_rtcp(f->e, f->rx, report, (size_t)len_rtcp, &plain), SRTP_OK);
    }
    assert_int_equal(allocations, before);
}

static void ten_thousand_packets_allocate_nothing(void **state)
{
    (void)state;
    for_each_crypto(ten_thousand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ten_thousand_packets_allocate_nothing)};

    if (CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
