/* SPDX-License-Identifier: Apache-2.0
 * cert.h - a certificate with its private key: made at start for DTLS, or loaded from PEM files.
 *
 * Thread: made on one thread; read-only afterwards and then safe from any.
 * Source: RFC 8827 s6.5 (fingerprints), RFC 8122 s5 (their text form in SDP). */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cert;

enum {
    CERT_ERROR_CAP = 512,       /* bytes of a reason with file name and NUL */
    FINGERPRINT_BYTES_MAX = 64, /* SHA-512 */
    FINGERPRINT_TEXT_CAP = 208, /* bytes: "sha-512 " and 64 * "AA:" and NUL */
};

/* Digest of a DER certificate, with the name of its hash. */
struct fingerprint {
    char hash[8]; /* "sha-1", "sha-256", "sha-384" or "sha-512" */
    uint8_t bytes[FINGERPRINT_BYTES_MAX];
    size_t len; /* bytes */
};

/* An ECDSA P-256 certificate signed by itself, valid from a day ago (clocks differ) for a year.
 * Returns 0 or -1 when the system cannot make keys. */
MUST_USE int cert_create_self_signed(struct cert **out, const char *common_name);
/* Chain and key from PEM files. Returns 0, or -1 with the reason (which file, what is wrong) in err. */
MUST_USE int cert_load(struct cert **out, const char *chain_path, const char *key_path,
                       char err[CERT_ERROR_CAP]);
void cert_destroy(struct cert **cert);

/* SHA-256 fingerprint as SDP wants it: "sha-256 AB:CD:...". Borrowed from the certificate. */
const char *cert_fingerprint(const struct cert *cert);

/* The value of an SDP a=fingerprint line: "sha-256 AB:CD:..." (hash name and hex digits in any
 * case). Returns 0, or -1 when the hash is none of ours or the length is not its. */
MUST_USE int fingerprint_parse(struct fingerprint *out, const char *text);
/* The form that fingerprint_parse reads; returns out. */
const char *fingerprint_print(const struct fingerprint *f, char out[FINGERPRINT_TEXT_CAP]);
