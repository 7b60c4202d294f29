/* SPDX-License-Identifier: Apache-2.0
 * random.h - random bytes from the kernel (getrandom(2)); any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Fills buf. Aborts when the kernel has no randomness to give: nothing secret can be made then. */
void random_bytes(void *buf, size_t n);
uint32_t random_u32(void);
uint64_t random_u64(void);
/* Writes n characters of [A-Za-z0-9_-] (6 bits each) and a terminating NUL: cap is n + 1 bytes.
 * 22 characters make 132 bits: unguessable session URLs. Also valid as ICE ufrag/pwd only when
 * '_' and '-' are not drawn: see random_ice(). */
void random_token(char *out, size_t n);
/* The same over ice-char (RFC 8839 s5.4: ALPHA / DIGIT / "+" / "/"). */
void random_ice(char *out, size_t n);
