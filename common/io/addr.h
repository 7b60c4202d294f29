/* SPDX-License-Identifier: Apache-2.0
 * addr.h - IP addresses with a port.
 *
 * Pure except addr_resolve and addr_interfaces; any thread. */
#pragma once

#include "base/compiler.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_TEXT_CAP = 64 /* bytes: "[v6%scope]:port" and NUL */ };

struct addr {
    union {
        struct sockaddr sa; /* AF_UNSPEC when empty */
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

socklen_t addr_len(const struct addr *a);
/* "10.0.0.1:80", "[::1]:80", ":80" (any IPv4 address); numeric only. 0, or -1 and *out untouched. */
MUST_USE int addr_parse(struct addr *out, const char *text);
/* Host name or number with port, "host:port", by getaddrinfo (blocks: at start only). 0 or -1. */
MUST_USE int addr_resolve(struct addr *out, const char *text);
/* Same forms as addr_parse reads; returns out. */
const char *addr_print(const struct addr *a, char out[ADDR_TEXT_CAP]);
/* The host part only, without brackets. */
const char *addr_print_host(const struct addr *a, char out[ADDR_TEXT_CAP]);
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b); /* address and port */
bool addr_is_any(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
/* An IPv4-mapped IPv6 address (::ffff:a.b.c.d) becomes IPv4, in place; others stay. */
void addr_unmap(struct addr *a);
/* Every usable unicast address of the machine's interfaces that are up, loopback included,
 * link-local IPv6 left out; port 0. Returns how many were written, at most cap. */
size_t addr_interfaces(struct addr *out, size_t cap);
