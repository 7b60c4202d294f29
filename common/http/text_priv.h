/* SPDX-License-Identifier: Apache-2.0
 * text_priv.h - a growing string. Sticky: when memory is short .bad is set and nothing more is
 * added; write straight through, test .bad once. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *p; /* NUL-terminated when len > 0; NULL before the first byte */
    size_t len, cap;
    bool bad;
};

void text_push(struct text *t, const char *bytes, size_t n);
void text_print(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_fini(struct text *t);
