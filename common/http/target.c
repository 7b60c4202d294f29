/* SPDX-License-Identifier: Apache-2.0 */
#include "target_priv.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes src[0..n) into dst, which may be src, and ends it with NUL (at dst[n] at the latest); returns
 * the length, or -1. Control characters are refused: they have no place in a name, and NUL would
 * end it early. */
static int decode(char *dst, const char *src, size_t n, bool plus_is_space)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)src[i];

        if (c == '%') {
            if (i + 2 >= n || hex(src[i + 1]) < 0 || hex(src[i + 2]) < 0)
                return -1;
            c = hex(src[i + 1]) << 4 | hex(src[i + 2]);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c < ' ' || c == 0x7f)
            return -1;
        dst[len++] = (char)c;
    }
    dst[len] = '\0';
    return (int)len;
}

/* Segments that are empty or "." go; ".." is refused: honest clients have resolved it (RFC 3986
 * s5.2.4), and below the root it means a file outside. In place. */
static int normalise(char *path)
{
    const char *in = path;
    char *out = path;

    while (*in) {
        const char *segment = in + strspn(in, "/");
        size_t n = strcspn(segment, "/");

        in = segment + n;
        if (n == 2 && segment[0] == '.' && segment[1] == '.')
            return -1;
        bool skip = n == 1 && segment[0] == '.';
        *out++ = '/'; /* at or before where `segment - 1` is read */
        if (skip || n == 0) {
            if (*in) /* "/./x" and "//x": the next round writes the slash */
                out--;
            continue;
        }
        memmove(out, segment, n);
        out += n;
    }
    *out = '\0';
    return 0;
}

int target_split(char *target, const char **path, char **query)
{
    char *start = target;

    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        start = strchr(strstr(target, "//") + 2, '/');
        if (!start)
            return -1;
    }
    if (start[0] != '/')
        return -1; /* authority-form and asterisk-form serve methods we do not have */
    start[strcspn(start, "#")] = '\0';
    size_t n = strcspn(start, "?");
    *query = start[n] ? start + n + 1 : start + n;
    start[n] = '\0';
    if (decode(start, start, n, false) < 0 || normalise(start))
        return -1;
    *path = start;
    return 0;
}

size_t target_params(char *query, struct target_param *out, size_t cap)
{
    size_t count = 0;

    while (*query && count < cap) {
        size_t n = strcspn(query, "&");
        size_t name_len = strcspn(query, "&=");
        size_t value_at = name_len < n ? name_len + 1 : n;
        char *next = query + n + (query[n] == '&');

        /* The value first: its end may be where the name's NUL goes, never the other way round. */
        if (n > 0 && decode(query + value_at, query + value_at, n - value_at, true) >= 0 &&
            decode(query, query, name_len, true) >= 0)
            out[count++] = (struct target_param){query, name_len < n ? query + value_at : ""};
        query = next;
    }
    return count;
}
