/* SPDX-License-Identifier: Apache-2.0 */
#include "pki.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const all[] = {"ca", "parent", "child", "other", "stranger", "self"};

static void must(int ok)
{
    if (!ok)
        abort();
}

const char *pki_path(char out[PKI_PATH_CAP], const char *folder, const char *name, const char *suffix)
{
    snprintf(out, PKI_PATH_CAP, "%s/%s%s", folder, name, suffix);
    return out;
}

static FILE *open_file(const char *folder, const char *name, const char *suffix, const char *mode)
{
    char path[PKI_PATH_CAP];
    FILE *f = fopen(pki_path(path, folder, name, suffix), mode);
    must(f != NULL);
    return f;
}

static void make(const char *folder, const char *name, const char *ca, const char *subject,
                 const char *constraints)
{
    static long serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = NULL;
    X509 *x = X509_new(), *issuer = NULL;

    must(key && x);
    if (ca) {
        FILE *f = open_file(folder, ca, ".key", "r");
        ca_key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
        f = open_file(folder, ca, ".pem", "r");
        issuer = PEM_read_X509(f, NULL, NULL, NULL);
        fclose(f);
    }
    must(X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), serial++));
    must(X509_gmtime_adj(X509_getm_notBefore(x), -60) && X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                    (const unsigned char *)subject, -1, -1, 0));
    must(X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) && X509_set_pubkey(x, key));
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, constraints);
    must(ext && X509_add_ext(x, ext, -1));
    X509_EXTENSION_free(ext);
    must(X509_sign(x, ca_key ? ca_key : key, EVP_sha256()) > 0);
    FILE *f = open_file(folder, name, ".pem", "w");
    must(PEM_write_X509(f, x));
    fclose(f);
    f = open_file(folder, name, ".key", "w");
    must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    fclose(f);
    X509_free(x);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

void pki_make_ca(const char *folder, const char *name)
{
    make(folder, name, NULL, name, "critical,CA:TRUE");
}

void pki_make_cert(const char *folder, const char *name, const char *ca, const char *subject)
{
    make(folder, name, ca, subject, "critical,CA:FALSE");
}

void pki_open(char *folder)
{
    must(mkdtemp(folder) != NULL);
    pki_make_ca(folder, "ca");
    pki_make_cert(folder, "parent", "ca", "node-parent");
    pki_make_cert(folder, "child", "ca", "node-child");
    pki_make_ca(folder, "other");
    pki_make_cert(folder, "stranger", "other", "node-child");
    pki_make_cert(folder, "self", NULL, "node-child");
}

void pki_close(const char *folder)
{
    char path[PKI_PATH_CAP];

    for (size_t i = 0; i < LEN(all); i++) {
        unlink(pki_path(path, folder, all[i], ".pem"));
        unlink(pki_path(path, folder, all[i], ".key"));
    }
    rmdir(folder);
}
