/* SPDX-License-Identifier: Apache-2.0
 * cidr.h - ranges of IP addresses, "10.0.0.0/8", "2001:db8::/32", or one address.
 *
 * Pure; any thread. Source: RFC 4632, RFC 4291 s2.3. */
#pragma once

#include "io/addr.h"

struct cidr {
    struct addr net; /* port 0 */
    unsigned bits;
};

/* The first len characters of text. 0, or -1 and *out untouched: not an address, too many bits, or bits set behind the prefix. */
MUST_USE int cidr_parse(struct cidr *out, const char *text, size_t len);
/* An IPv4-mapped address counts as IPv4. */
bool cidr_match(const struct cidr *c, const struct addr *a);
