/* SPDX-License-Identifier: Apache-2.0
 * url.h - the parts of a URL that a client needs, and where a redirect leads to.
 *
 * Pure; any thread. Source: RFC 3986 (the common part of it). */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum { URL_BYTES_MAX = 1024, URL_HOST_MAX = 255 };

struct url {
    char scheme[8];                /* "http", "https", "rtmp", "rtmps", in small letters */
    char host[URL_HOST_MAX + 1];   /* without brackets */
    uint16_t port;                 /* that of the scheme when none is given */
    char path[URL_BYTES_MAX + 1];  /* with query; at least "/" */
    bool v6;                       /* the host was in brackets */
};

/* 0, or -1: no scheme known here, no host, too long. */
MUST_USE int url_parse(struct url *out, const char *text);
/* A Location seen from base (RFC 3986 s5.2). 0 or -1. */
MUST_USE int url_resolve(struct url *out, const struct url *base, const char *location);
/* Over TLS. */
bool url_is_secure(const struct url *u);
/* "host:port" for addr_resolve and the Host field. */
void url_authority(const struct url *u, char out[URL_HOST_MAX + 10]);
/* text with each "{n}" replaced by n; cut at cap. */
void url_number(char *out, size_t cap, const char *text, unsigned n);
