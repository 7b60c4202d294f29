/* SPDX-License-Identifier: Apache-2.0
 * forward.h - lets another worker answer a request: the one that has the session it is about.
 *
 * The kernel spreads connections over the workers, so a DELETE or PATCH of a session may arrive
 * anywhere. The request moves in a mail; there the handler gets an exchange of its own, whose reply
 * travels back.
 * Thread: http_forward is called on the worker that received x; the handler runs on `to`. */
#pragma once

#include "http/server.h"

/* x is handled by `to` from now on: the caller must not touch it again. On the other side the exchange
 * answers all questions about the request and takes http_reply_header, http_reply and http_problem, at once
 * or later; http_stream_* are not for it, and on_gone does not come (a reply for a client that has gone is
 * dropped). When memory is short the client gets 503. */
void http_forward(struct http_exchange *x, struct worker *to,
                  void (*handler)(struct http_exchange *x, void *arg), void *arg);
