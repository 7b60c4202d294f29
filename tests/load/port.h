/* SPDX-License-Identifier: Apache-2.0
 * port.h - the UDP side of many WebRTC viewers on one thread.
 *
 * A server tells its viewers apart by their address and port, so each viewer needs one of its own. Two ways:
 *   PORT_SHARED  one socket for all: bound to any address, each viewer sends from another address of a whole network
 *                that is this host's (127.0.0.0/8 always is; others by `ip route add local NET dev lo`), and the
 *                destination of what comes says whose it is. Two descriptors serve thousands of viewers, and one
 *                recvmmsg reads what 32 of them got.
 *   PORT_EACH    a socket a viewer: for servers that are not on this host. The bound is `ulimit -n`.
 * Datagrams come with the kernel's time of arrival, so how long this program was busy with others is not measured.
 *
 * Thread: the worker's. Source: ip(7) IP_PKTINFO, udp(7) UDP_GRO, socket(7) SO_TIMESTAMPNS, SO_RXQ_OVFL. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum port_mode { PORT_SHARED, PORT_EACH };

struct port;

/* A viewer's place; embedded in it. */
struct port_slot {
    void (*on_datagram)(struct port_slot *slot, uint8_t *bytes, size_t len, const struct addr *from, uint64_t unix_us);
    struct port *port; /* NULL: closed */
    struct addr local; /* what it sends from */
    struct fd_watch *watch; /* PORT_EACH */
    int fd;
    uint32_t index;    /* PORT_SHARED: in the port's table */
};

struct port_cfg {
    enum port_mode mode;
    uint32_t network, count; /* PORT_SHARED: first address (host byte order) and how many there are */
    int recv_bytes;
    uint64_t *drops;         /* datagrams lost because this program was too slow: added to */
};

/* Returns 0 or a negative errno. */
MUST_USE int port_open(struct port **out, struct worker *w, const struct port_cfg *cfg);
/* After its slots. */
void port_close(struct port **p);
/* Whether a shared socket may have buffers large enough for `bytes` (needs CAP_NET_ADMIN or net.core.rmem_max). */
bool port_can_buffer(int bytes);

/* toward: the server, which tells the interface. 0, or a negative errno (-EMFILE, -EADDRNOTAVAIL when all are taken). */
MUST_USE int port_slot_open(struct port *p, struct port_slot *s, const struct addr *toward,
                            void (*on_datagram)(struct port_slot *, uint8_t *, size_t, const struct addr *, uint64_t));
/* Fine at any time, from within on_datagram too. */
void port_slot_close(struct port_slot *s);
/* Whether each slot has a socket of its own. */
bool port_is_one_each(const struct port *p);
/* Whether more had come to the shared socket than one turn reads. */
bool port_is_behind(const struct port *p);
/* What does not go out is lost, as in a network. */
void port_slot_send(struct port_slot *s, const struct addr *to, const void *bytes, size_t len);
