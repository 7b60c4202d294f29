/* SPDX-License-Identifier: Apache-2.0
 * Fingerprints as in RFC 8122 s5, and what is said of files that are no certificates. */
#include "secure/cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define F20 "4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB"
#define F12 ":FF:3E:5D:49:6B:19:E5:7C:AB:00:01:02"

static void fingerprints_parse_as_written(void **state)
{
    static const struct {
        const char *text;
        int err;
        size_t len;
        uint8_t first, last;
    } rows[] = {
        {"sha-1 " F20, 0, 20, 0x4a, 0xab},
        {"SHA-256 " F20 F12, 0, 32, 0x4a, 0x02},
        {"sha-256  " F20 ":ff:3e:5d:49:6b:19:e5:7c:ab:00:01:02\r\n", 0, 32, 0x4a, 0x02},
        {"sha-384 " F20 F12 ":3E:5D:49:6B:19:E5:7C:AB:00:01:02:01:02:03:04:05", 0, 48, 0x4a, 0x05},
        {"sha-512 " F20 ":" F20 ":" F20 ":01:02:03:04", 0, 64, 0x4a, 0x04},
        {"", -1, 0, 0, 0},
        {"sha-256", -1, 0, 0, 0},
        {"sha-256 ", -1, 0, 0, 0},
        {"sha-256 " F20, -1, 0, 0, 0},     /* too short for its hash */
        {"sha-1 " F20 ":00", -1, 0, 0, 0}, /* too long */
        {"sha-1 " F20 "0", -1, 0, 0, 0},
        {"md5 " F20, -1, 0, 0, 0},
        {"sha-2 " F20 F12, -1, 0, 0, 0},
        {"sha-1 4A-AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB", -1, 0, 0, 0},
        {"sha-1 4G:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB", -1, 0, 0, 0},
        {"sha-1 4", -1, 0, 0, 0},
        {"sha-1 4A:", -1, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct fingerprint f = {.len = 7};
        char *text = strdup(rows[i].text);
        assert_int_equal(fingerprint_parse(&f, text), rows[i].err);
        free(text);
        if (rows[i].err) {
            assert_int_equal(f.len, 7); /* untouched */
            continue;
        }
        assert_int_equal(f.len, rows[i].len);
        assert_int_equal(f.bytes[0], rows[i].first);
        assert_int_equal(f.bytes[f.len - 1], rows[i].last);
        char printed[FINGERPRINT_TEXT_CAP];
        struct fingerprint again;
        assert_int_equal(fingerprint_parse(&again, fingerprint_print(&f, printed)), 0);
        assert_memory_equal(&again, &f, sizeof(f));
    }
}

static void a_made_certificate_has_a_sha_256_fingerprint_of_its_own(void **state)
{
    struct cert *a, *b;
    struct fingerprint f;

    (void)state;
    assert_int_equal(cert_create_self_signed(&a, "millrace"), 0);
    assert_int_equal(cert_create_self_signed(&b, "millrace"), 0);
    assert_int_equal(fingerprint_parse(&f, cert_fingerprint(a)), 0);
    assert_string_equal(f.hash, "sha-256");
    assert_string_not_equal(cert_fingerprint(a), cert_fingerprint(b));
    cert_destroy(&a);
    cert_destroy(&b);
    assert_null(a);
}

static void a_bad_file_is_named_with_what_is_wrong(void **state)
{
    char dir[] = "/tmp/test_cert.XXXXXX", path[64], err[CERT_ERROR_CAP], wanted[CERT_ERROR_CAP];
    struct cert *c = NULL;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/x.pem", dir);
    assert_int_equal(cert_load(&c, path, path, err), -1);
    snprintf(wanted, sizeof(wanted), "%s: No such file or directory", path);
    assert_string_equal(err, wanted);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("hello\n", f);
    fclose(f);
    assert_int_equal(cert_load(&c, path, path, err), -1);
    snprintf(wanted, sizeof(wanted), "%s: no certificate in PEM form is in it", path);
    assert_string_equal(err, wanted);
    assert_null(c);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprints_parse_as_written),
        cmocka_unit_test(a_made_certificate_has_a_sha_256_fingerprint_of_its_own),
        cmocka_unit_test(a_bad_file_is_named_with_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
