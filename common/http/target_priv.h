/* SPDX-License-Identifier: Apache-2.0
 * target_priv.h - the request target: path and query out of what the client wrote.
 *
 * Pure; any thread. Source: RFC 9112 s3.2, RFC 3986. */
#pragma once

#include "base/compiler.h"

#include <stddef.h>

struct target_param {
    const char *name, *value;
};

/* Splits a target in origin-form or absolute-form, in place. *path: decoded, "//" and "/./" made "/";
 * *query: as it came, without '?', "" when there is none. Returns 0, or -1 when the target is of
 * another form, badly encoded, or holds ".." or a control character. */
MUST_USE int target_split(char *target, const char **path, char **query);

/* Splits and decodes the parameters of a query ('+' is a space), in place. Badly encoded ones, and those
 * beyond cap, are left out. Returns how many. */
size_t target_params(char *query, struct target_param *out, size_t cap);
