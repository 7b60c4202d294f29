/* SPDX-License-Identifier: Apache-2.0 */
#include "text_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 512 };

/* Room for n bytes and the NUL. */
static bool make_room(struct text *t, size_t n)
{
    size_t cap = t->cap ? t->cap : FIRST_CAP;

    if (t->bad)
        return false;
    while (cap - t->len < n + 1)
        cap *= 2;
    if (cap == t->cap)
        return true;
    char *p = realloc(t->p, cap);
    if (!p) {
        t->bad = true;
        return false;
    }
    t->p = p;
    t->cap = cap;
    return true;
}

void text_push(struct text *t, const char *bytes, size_t n)
{
    if (!make_room(t, n))
        return;
    if (n)
        memcpy(t->p + t->len, bytes, n);
    t->len += n;
    t->p[t->len] = '\0';
}

void text_print(struct text *t, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        t->bad = true;
    else if (make_room(t, (size_t)n))
        t->len += (size_t)vsnprintf(t->p + t->len, (size_t)n + 1, fmt, again);
    va_end(again);
}

void text_fini(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}
