/* SPDX-License-Identifier: Apache-2.0
 * rtx.h - the retransmission payload format: the original sequence number before the original payload.
 *
 * Pure; any thread. Source: RFC 4588 s4. */
#pragma once

#include "base/compiler.h"
#include "wire/rtp_view.h"

enum { RTX_OSN_BYTES = 2 };

/* Turns the view of a packet of the RTX stream into that of the packet it repeats: original number, the
 * given SSRC and payload type; extensions, timestamp and marker are the same. Returns 0, or -1 with *v
 * untouched when there is no original in it (padding sent as a bandwidth probe). */
MUST_USE int rtx_unwrap(struct rtp_view *v, uint32_t ssrc, uint8_t pt);
