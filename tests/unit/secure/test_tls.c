/* SPDX-License-Identifier: Apache-2.0
 * Two TLS engines back to back, the bytes between them in a buffer that is fed in pieces of any size. */
#include "pki.h"
#include "secure/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum { CHILD, PARENT, BIG = 300000 };

struct pile {
    uint8_t *bytes;
    size_t len;
};

static void pile_push(struct pile *p, const uint8_t *bytes, size_t len)
{
    p->bytes = realloc(p->bytes, p->len + len + 1);
    assert_non_null(p->bytes);
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

struct side {
    struct tls_ctx *ctx;
    struct tls *tls;
    struct pile out, got; /* ciphertext for the other, plaintext received */
    int opens, err;
    bool pause_on_data, stop_on_data;
};

struct pair {
    char folder[32];
    struct side side[2];
};

static void on_send(void *arg, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;
    pile_push(&s->out, bytes, len);
}

static void on_open(void *arg)
{
    struct side *s = arg;
    s->opens++;
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;

    assert_true(len > 0);
    pile_push(&s->got, bytes, len);
    if (s->pause_on_data)
        tls_pause(s->tls);
    if (s->stop_on_data)
        tls_stop(s->tls);
}

static const struct tls_ops ops = {.send = on_send, .on_open = on_open, .on_data = on_data};

static struct tls_ctx *context(const char *folder, enum tls_use use, const char *name, const char *ca)
{
    char cert[PKI_PATH_CAP], key[PKI_PATH_CAP], ca_path[PKI_PATH_CAP], err[CERT_ERROR_CAP] = "";
    struct tls_cfg cfg = {.use = use,
                          .certificate = pki_path(cert, folder, name, ".pem"),
                          .key = pki_path(key, folder, name, ".key"),
                          .ca = pki_path(ca_path, folder, ca, ".pem")};
    struct tls_ctx *ctx = NULL;

    if (tls_ctx_create(&ctx, &cfg, err))
        fail_msg("%s", err);
    return ctx;
}

static void pair_open(struct pair *p, const char *child, const char *child_ca, const char *parent,
                      const char *parent_ca)
{
    *p = (struct pair){.folder = "/tmp/test_tls.XXXXXX"};
    pki_open(p->folder);
    p->side[CHILD].ctx = context(p->folder, TLS_MUTUAL_CLIENT, child, child_ca);
    p->side[PARENT].ctx = context(p->folder, TLS_MUTUAL_SERVER, parent, parent_ca);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            tls_create(&p->side[i].tls, p->side[i].ctx, i == CHILD ? "parent" : NULL, &ops, &p->side[i]), 0);
}

static void pair_close(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        tls_destroy(&p->side[i].tls);
        tls_ctx_unref(&p->side[i].ctx);
        free(p->side[i].out.bytes);
        free(p->side[i].got.bytes);
    }
    pki_close(p->folder);
}

/* Carries what either has sent to the other, `piece` bytes at a time, until both are silent or refuse. */
static void carry(struct pair *p, size_t piece)
{
    bool moved = true;

    while (moved) {
        moved = false;
        for (int i = 0; i < 2; i++) {
            struct pile out = p->side[i].out;
            struct side *to = &p->side[!i];
            p->side[i].out = (struct pile){0};
            for (size_t at = 0; at < out.len && to->err == 0; at += piece) {
                size_t n = out.len - at < piece ? out.len - at : piece;
                uint8_t *exact = malloc(n);
                assert_non_null(exact);
                memcpy(exact, out.bytes + at, n);
                to->err = tls_feed(to->tls, exact, n);
                free(exact);
                moved = true;
            }
            free(out.bytes);
        }
    }
}

static uint8_t *big(void)
{
    uint8_t *b = malloc(BIG);
    assert_non_null(b);
    for (size_t i = 0; i < BIG; i++)
        b[i] = (uint8_t)(i * 13 + i / 251);
    return b;
}

static void both_ends_know_each_other_and_talk(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, 1 << 20};
    uint8_t *bytes = big();

    (void)state;
    for (size_t i = 0; i < LEN(pieces); i++) {
        struct pair p;
        pair_open(&p, "child", "ca", "parent", "ca");
        assert_int_equal(tls_write(p.side[CHILD].tls, "early", 5), TLS_OK); /* kept until it is open */
        assert_int_equal(tls_waiting_bytes(p.side[CHILD].tls), 5);
        tls_start(p.side[CHILD].tls);
        carry(&p, pieces[i]);
        assert_int_equal(tls_waiting_bytes(p.side[CHILD].tls), 0);
        assert_int_equal(p.side[CHILD].opens, 1);
        assert_int_equal(p.side[PARENT].opens, 1);
        assert_string_equal(tls_peer_subject(p.side[CHILD].tls), "node-parent");
        assert_string_equal(tls_peer_subject(p.side[PARENT].tls), "node-child");
        assert_int_equal(tls_write(p.side[PARENT].tls, bytes, BIG), TLS_OK);
        assert_int_equal(tls_write(p.side[CHILD].tls, "x", 1), TLS_OK);
        carry(&p, pieces[i]);
        assert_int_equal(p.side[CHILD].got.len, BIG);
        assert_memory_equal(p.side[CHILD].got.bytes, bytes, BIG);
        assert_int_equal(p.side[PARENT].got.len, 6);
        assert_memory_equal(p.side[PARENT].got.bytes, "earlyx", 6);
        tls_end(p.side[CHILD].tls);
        carry(&p, pieces[i]);
        assert_int_equal(p.side[PARENT].err, TLS_END);
        pair_close(&p);
    }
    free(bytes);
}

static void a_peer_outside_the_ca_is_refused(void **state)
{
    static const struct {
        const char *child, *child_ca, *parent, *parent_ca;
        int child_err, parent_err;
        int who; /* whose error text names the reason */
        const char *reason;
    } rows[] = {
        {"stranger", "ca", "parent", "ca", TLS_FAILED, TLS_FAILED, PARENT,
         "certificate verify failed: unable to get"},
        {"self", "ca", "parent", "ca", TLS_FAILED, TLS_FAILED, PARENT, "certificate verify failed: self"},
        {"child", "other", "parent", "ca", TLS_FAILED, TLS_FAILED, CHILD,
         "certificate verify failed: unable to get"},
        {"child", "ca", "stranger", "ca", TLS_FAILED, TLS_FAILED, CHILD,
         "certificate verify failed: unable to get"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct pair p;
        pair_open(&p, rows[i].child, rows[i].child_ca, rows[i].parent, rows[i].parent_ca);
        tls_start(p.side[CHILD].tls);
        carry(&p, 1000);
        assert_int_equal(p.side[CHILD].err, rows[i].child_err);
        assert_int_equal(p.side[PARENT].err, rows[i].parent_err);
        assert_int_equal(p.side[PARENT].opens, 0);
        const char *error = tls_error(p.side[rows[i].who].tls);
        if (strncmp(error, rows[i].reason, strlen(rows[i].reason)) != 0)
            fail_msg("row %zu: %s", i, error);
        assert_string_not_equal(tls_error(p.side[!rows[i].who].tls), "");
        pair_close(&p);
    }
}

static void what_comes_while_paused_is_kept(void **state)
{
    struct pair p;
    uint8_t *bytes = big();
    unsigned rounds = 0;

    (void)state;
    pair_open(&p, "child", "ca", "parent", "ca");
    tls_start(p.side[CHILD].tls);
    carry(&p, 1000);
    p.side[CHILD].pause_on_data = true;
    assert_int_equal(tls_write(p.side[PARENT].tls, bytes, BIG), TLS_OK);
    carry(&p, 40000);
    assert_true(p.side[CHILD].got.len > 0 && p.side[CHILD].got.len <= 16384); /* one record */
    for (; p.side[CHILD].got.len < BIG; rounds++) {
        size_t before = p.side[CHILD].got.len;
        assert_int_equal(tls_resume(p.side[CHILD].tls), TLS_OK);
        assert_true(p.side[CHILD].got.len > before);
    }
    assert_int_equal(rounds, (BIG - 1) / 16384);
    assert_memory_equal(p.side[CHILD].got.bytes, bytes, BIG);
    free(bytes);
    pair_close(&p);
}

static void nothing_comes_after_stop(void **state)
{
    struct pair p;
    uint8_t *bytes = big();

    (void)state;
    pair_open(&p, "child", "ca", "parent", "ca");
    tls_start(p.side[CHILD].tls);
    carry(&p, 1000);
    p.side[CHILD].stop_on_data = true;
    assert_int_equal(tls_write(p.side[PARENT].tls, bytes, BIG), TLS_OK);
    carry(&p, 40000);
    assert_true(p.side[CHILD].got.len <= 16384);
    free(bytes);
    pair_close(&p);
}

static void damaged_records_and_plain_bytes_are_refused(void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    struct pair p;

    (void)state;
    pair_open(&p, "child", "ca", "parent", "ca");
    assert_int_equal(tls_feed(p.side[PARENT].tls, (const uint8_t *)http, sizeof(http) - 1), TLS_FAILED);
    assert_string_not_equal(tls_error(p.side[PARENT].tls), "");
    pair_close(&p);

    pair_open(&p, "child", "ca", "parent", "ca");
    tls_start(p.side[CHILD].tls);
    carry(&p, 1000);
    assert_int_equal(tls_write(p.side[CHILD].tls, "hello", 5), TLS_OK);
    p.side[CHILD].out.bytes[p.side[CHILD].out.len - 1] ^= 1;
    carry(&p, 1000);
    assert_int_equal(p.side[PARENT].err, TLS_FAILED);
    assert_int_equal(p.side[PARENT].got.len, 0);
    pair_close(&p);
}

/* An HTTPS client without a certificate: OpenSSL's own. */
static void a_server_asks_no_certificate_of_its_clients(void **state)
{
    char folder[] = "/tmp/test_tls.XXXXXX", path[PKI_PATH_CAP], word[8] = "";
    struct side s = {0};
    BIO *to_client = BIO_new(BIO_s_mem()), *from_client = BIO_new(BIO_s_mem());

    (void)state;
    pki_open(folder);
    s.ctx = context(folder, TLS_SERVER, "parent", "ca");
    assert_int_equal(tls_create(&s.tls, s.ctx, NULL, &ops, &s), 0);
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_load_verify_file(client_ctx, pki_path(path, folder, "ca", ".pem")), 1);
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
    SSL *client = SSL_new(client_ctx);
    SSL_set_bio(client, to_client, from_client);
    SSL_set_connect_state(client);
    for (int i = 0; i < 6; i++) {
        char bytes[20000];
        (void)SSL_do_handshake(client);
        int n = BIO_read(from_client, bytes, sizeof(bytes));
        if (n > 0)
            assert_int_equal(tls_feed(s.tls, (const uint8_t *)bytes, (size_t)n), TLS_OK);
        if (s.out.len)
            assert_int_equal(BIO_write(to_client, s.out.bytes, (int)s.out.len), (int)s.out.len);
        s.out.len = 0;
    }
    assert_int_equal(s.opens, 1);
    assert_string_equal(tls_peer_subject(s.tls), "");
    assert_int_equal(tls_write(s.tls, "hello", 5), TLS_OK);
    assert_int_equal(BIO_write(to_client, s.out.bytes, (int)s.out.len), (int)s.out.len);
    assert_int_equal(SSL_read(client, word, sizeof(word)), 5);
    assert_string_equal(word, "hello");
    SSL_free(client);
    SSL_CTX_free(client_ctx);
    tls_destroy(&s.tls);
    tls_ctx_unref(&s.ctx);
    free(s.out.bytes);
    pki_close(folder);
}

/* A client of anybody's HTTPS: whom it trusts, and for which name. */
static void a_client_wants_a_certificate_that_is_trusted_and_for_the_name_it_asked_for(void **state)
{
    static const struct {
        const char *ca, *name, *reason; /* reason NULL: it opens */
        bool insecure;
    } rows[] = {
        {"ca", "node-parent", NULL, false},
        {"ca", "node-child", "hostname mismatch", false},
        {"ca", "127.0.0.1", "IP address mismatch", false},
        {"other", "node-parent", "unable to get local issuer certificate", false},
        {NULL, "node-parent", "unable to get local issuer certificate", false}, /* the system's do not know it */
        {"other", "child", NULL, true},
        {NULL, "127.0.0.1", NULL, true},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct pair p = {.folder = "/tmp/test_tls.XXXXXX"};
        char path[PKI_PATH_CAP], err[CERT_ERROR_CAP] = "";
        pki_open(p.folder);
        struct tls_cfg cfg = {.use = TLS_CLIENT, .insecure = rows[i].insecure,
                              .ca = rows[i].ca ? pki_path(path, p.folder, rows[i].ca, ".pem") : NULL};
        assert_int_equal(tls_ctx_create(&p.side[CHILD].ctx, &cfg, err), 0);
        p.side[PARENT].ctx = context(p.folder, TLS_SERVER, "parent", "ca");
        assert_int_equal(tls_create(&p.side[CHILD].tls, p.side[CHILD].ctx, rows[i].name, &ops, &p.side[CHILD]), 0);
        assert_int_equal(tls_create(&p.side[PARENT].tls, p.side[PARENT].ctx, NULL, &ops, &p.side[PARENT]), 0);
        tls_start(p.side[CHILD].tls);
        carry(&p, 999);
        assert_int_equal(p.side[CHILD].err, rows[i].reason ? TLS_FAILED : TLS_OK);
        assert_int_equal(p.side[CHILD].opens, rows[i].reason ? 0 : 1);
        if (rows[i].reason)
            assert_non_null(strstr(tls_error(p.side[CHILD].tls), rows[i].reason));
        pair_close(&p);
    }
}

static void a_client_that_checks_needs_a_name(void **state)
{
    struct tls_cfg cfg = {.use = TLS_CLIENT};
    char err[CERT_ERROR_CAP] = "";
    struct tls_ctx *ctx = NULL;
    struct tls *tls = NULL;
    struct side s = {0};

    (void)state;
    assert_int_equal(tls_ctx_create(&ctx, &cfg, err), 0);
    assert_int_equal(tls_create(&tls, ctx, NULL, &ops, &s), -1);
    tls_ctx_unref(&ctx);
}

static void wrong_files_are_named(void **state)
{
    static const struct {
        const char *cert, *key, *ca, *file, *reason;
    } rows[] = {
        {"nowhere.pem", "parent.key", "ca.pem", "nowhere.pem", "No such file or directory"},
        {"parent.pem", "nowhere.key", "ca.pem", "nowhere.key", "No such file or directory"},
        {"parent.pem", "parent.key", "nowhere.pem", "nowhere.pem", "No such file or directory"},
        {"parent.key", "parent.key", "ca.pem", "parent.key", "no certificate in PEM form is in it"},
        {"parent.pem", "parent.pem", "ca.pem", "parent.pem", "no private key in PEM form is in it"},
        {"parent.pem", "parent.key", "ca.key", "ca.key", "no CA certificate in PEM form is in it"},
        {"parent.pem", "child.key", "ca.pem", "child.key", "this key does not belong to the certificate in"},
    };
    char folder[] = "/tmp/test_tls.XXXXXX";

    (void)state;
    pki_open(folder);
    for (size_t i = 0; i < LEN(rows); i++) {
        char cert[PKI_PATH_CAP], key[PKI_PATH_CAP], ca[PKI_PATH_CAP], file[PKI_PATH_CAP],
            err[CERT_ERROR_CAP] = "";
        struct tls_cfg cfg = {.use = TLS_MUTUAL_SERVER,
                              .certificate = pki_path(cert, folder, rows[i].cert, ""),
                              .key = pki_path(key, folder, rows[i].key, ""),
                              .ca = pki_path(ca, folder, rows[i].ca, "")};
        struct tls_ctx *ctx = NULL;
        assert_int_equal(tls_ctx_create(&ctx, &cfg, err), -1);
        assert_null(ctx);
        assert_ptr_equal(strstr(err, pki_path(file, folder, rows[i].file, ": ")), err);
        assert_non_null(strstr(err, rows[i].reason));
    }
    pki_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_know_each_other_and_talk),
        cmocka_unit_test(a_peer_outside_the_ca_is_refused),
        cmocka_unit_test(what_comes_while_paused_is_kept),
        cmocka_unit_test(nothing_comes_after_stop),
        cmocka_unit_test(damaged_records_and_plain_bytes_are_refused),
        cmocka_unit_test(a_server_asks_no_certificate_of_its_clients),
        cmocka_unit_test(a_client_wants_a_certificate_that_is_trusted_and_for_the_name_it_asked_for),
        cmocka_unit_test(a_client_that_checks_needs_a_name),
        cmocka_unit_test(wrong_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
