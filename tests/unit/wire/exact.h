/* SPDX-License-Identifier: Apache-2.0
 * exact.h - inputs for parser tests, as heap blocks of exactly their size: AddressSanitizer sees the
 * first byte read past the end. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A literal with its length, embedded zero bytes included. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* A copy of bytes[0..len); free() it. */
static inline uint8_t *exact_dup(const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

/* Small, seeded and the same everywhere: for bytes that should look like noise. */
static inline uint32_t noise_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}
