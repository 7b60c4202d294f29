/* SPDX-License-Identifier: Apache-2.0
 * cert_priv.h - within common/secure: OpenSSL's side of a certificate. */
#pragma once

#include "secure/cert.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* intermediates; NULL when there are none */
    char fingerprint[FINGERPRINT_TEXT_CAP];
};

/* Puts certificate, key and chain into a context. False when OpenSSL refuses them. */
MUST_USE bool cert_use(const struct cert *cert, SSL_CTX *ctx);
/* True when the certificate's digest under f's hash is f. */
bool cert_matches(X509 *x509, const struct fingerprint *f);
/* The last reason in OpenSSL's queue, or a general word; empties the queue. Static text. */
const char *cert_openssl_reason(void);
