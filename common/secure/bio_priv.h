/* SPDX-License-Identifier: Apache-2.0
 * bio_priv.h - OpenSSL's I/O as two functions of ours: DTLS and TLS without sockets.
 *
 * Thread: any; a method is read-only once made. */
#pragma once

#include <openssl/bio.h>

/* A method with these two, flushes that do nothing, and everything unknown answered 0. NULL when memory is short; free
 * with BIO_meth_free. */
BIO_METHOD *bio_method_create(const char *name, int (*read)(BIO *bio, char *buf, int cap),
                              int (*write)(BIO *bio, const char *bytes, int len));
