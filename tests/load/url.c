/* SPDX-License-Identifier: Apache-2.0
 * url.c - URLs; see url.h. */
#include "url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *scheme;
    uint16_t port;
} schemes[] = {{"http", 80}, {"https", 443}, {"rtmp", 1935}, {"rtmps", 443}};

static int read_scheme(struct url *u, const char **text)
{
    for (size_t i = 0; i < LEN(schemes); i++) {
        size_t n = strlen(schemes[i].scheme);

        if (strncasecmp(*text, schemes[i].scheme, n) == 0 && strncmp(*text + n, "://", 3) == 0) {
            snprintf(u->scheme, sizeof(u->scheme), "%s", schemes[i].scheme);
            u->port = schemes[i].port;
            *text += n + 3;
            return 0;
        }
    }
    return -1;
}

static int read_port(struct url *u, const char *text, size_t len)
{
    unsigned long port = 0;

    if (len == 0)
        return 0; /* RFC 3986 s3.2.3: "host:" means the default */
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]) || port > 65535)
            return -1;
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    if (port == 0 || port > 65535)
        return -1;
    u->port = (uint16_t)port;
    return 0;
}

static int read_authority(struct url *u, const char *text, size_t len)
{
    const char *host = text, *end = text + len, *host_end;

    u->v6 = len > 0 && *text == '[';
    if (u->v6) {
        host++;
        host_end = memchr(text, ']', len);
    } else {
        host_end = memchr(text, ':', len);
        host_end = host_end ? host_end : end;
    }
    if (!host_end || host_end == host || host_end - host > URL_HOST_MAX)
        return -1;
    memcpy(u->host, host, (size_t)(host_end - host));
    u->host[host_end - host] = '\0';
    const char *rest = u->v6 ? host_end + 1 : host_end;
    if (rest == end)
        return 0;
    return *rest == ':' ? read_port(u, rest + 1, (size_t)(end - rest - 1)) : -1;
}

int url_parse(struct url *out, const char *text)
{
    struct url u = {0};

    if (strlen(text) > URL_BYTES_MAX || read_scheme(&u, &text))
        return -1;
    size_t len = strcspn(text, "/?#");
    if (memchr(text, '@', len) || read_authority(&u, text, len))
        return -1; /* user information is not carried */
    size_t path = strcspn(text + len, "#");
    snprintf(u.path, sizeof(u.path), "%s%.*s", text[len] == '/' ? "" : "/", (int)path, text + len);
    *out = u;
    return 0;
}

/* Whether it begins with a scheme: "http:". */
static bool is_absolute(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    return n > 0 && isalpha((unsigned char)text[0]) && text[n] == ':';
}

/* RFC 3986 s5.2.4, of the path before its query. In place. */
static void remove_dots(char *path)
{
    char *in = path, *out = path, *query = path + strcspn(path, "?");

    while (in < query) {
        size_t n = 1 + strcspn(in + 1, "/?"); /* a segment with its slash */
        bool one = n == 2 && in[1] == '.', two = n == 3 && in[1] == '.' && in[2] == '.', last = in + n == query;

        while (two && out > path && *--out != '/')
            ;
        if (!one && !two) {
            memmove(out, in, n);
            out += n;
        } else if (last) {
            *out++ = '/';
        }
        in += n;
    }
    memmove(out, query, strlen(query) + 1);
}

int url_resolve(struct url *out, const struct url *base, const char *location)
{
    char text[URL_BYTES_MAX + 1];
    int before = (int)strcspn(base->path, "?"), n;

    if (is_absolute(location))
        return url_parse(out, location);
    if (location[0] == '\0')
        return -1; /* nowhere else: a redirect to itself is a loop */
    if (location[0] == '/' && location[1] == '/') {
        n = snprintf(text, sizeof(text), "%s:%s", base->scheme, location);
        return n < (int)sizeof(text) ? url_parse(out, text) : -1;
    }
    if (location[0] != '/' && location[0] != '?')
        while (before > 1 && base->path[before - 1] != '/')
            before--;
    n = snprintf(text, sizeof(text), "%.*s%.*s", location[0] == '/' ? 0 : before, base->path, (int)strcspn(location, "#"), location);
    if (n >= (int)sizeof(text))
        return -1;
    *out = *base;
    snprintf(out->path, sizeof(out->path), "%s", text);
    remove_dots(out->path);
    return 0;
}

bool url_is_secure(const struct url *u)
{
    return strcmp(u->scheme, "https") == 0 || strcmp(u->scheme, "rtmps") == 0;
}

void url_authority(const struct url *u, char out[URL_HOST_MAX + 10])
{
    snprintf(out, URL_HOST_MAX + 10, u->v6 ? "[%s]:%u" : "%s:%u", u->host, u->port);
}

void url_number(char *out, size_t cap, const char *text, unsigned n)
{
    size_t at = 0;

    out[0] = '\0';
    while (*text && at + 1 < cap) {
        if (strncmp(text, "{n}", 3) == 0) {
            int wrote = snprintf(out + at, cap - at, "%u", n);
            at += (size_t)wrote < cap - at ? (size_t)wrote : cap - at - 1;
            text += 3;
        } else {
            out[at++] = *text++;
        }
        out[at] = '\0';
    }
}
