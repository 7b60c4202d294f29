/* SPDX-License-Identifier: Apache-2.0
 * pki.h - a certificate authority for tests: files in a folder of their own. */
#pragma once

#include "base/compiler.h"

/* Makes folder/NAME.pem and folder/NAME.key for a CA of that name. */
void pki_make_ca(const char *folder, const char *name);
/* The same for a certificate with CN = subject, signed by the CA of that name. */
void pki_make_cert(const char *folder, const char *name, const char *ca, const char *subject);

enum { PKI_PATH_CAP = 128 };
/* folder/NAMEsuffix */
const char *pki_path(char out[PKI_PATH_CAP], const char *folder, const char *name, const char *suffix);
/* Makes the folder (template with XXXXXX) and, in it, CA "ca" with "parent", "child"; CA "other" with
 * "stranger"; and a "self" signed by itself. */
void pki_open(char *folder);
void pki_close(const char *folder);
