/* SPDX-License-Identifier: Apache-2.0
 * ice_link.h - STUN and TURN servers as WHIP and WHEP clients are told of them: a Link field (RFC 9725 s4.6).
 *
 *   turn:turn.example.org:3478?transport=udp user password
 *     -> <turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username="user"; credential="password";
 *        credential-type="password"
 *
 * Thread: any; pure. Source: RFC 9725 s4.6, RFC 8288 (Link), RFC 7064, RFC 7065 (the URIs). */
#pragma once

#include "base/compiler.h"

#include <stddef.h>

enum { RTC_ICE_LINK_CAP = 1024 /* bytes of one server's value */ };

/* One value of a Link field from "URI" (stun:, stuns:) or "URI user password" (turn:, turns:). Returns its bytes,
 * or -1 when the text is not of that form or dst has no room; dst is then the empty string. */
MUST_USE int rtc_ice_link_write(char *dst, size_t cap, const char *server);
