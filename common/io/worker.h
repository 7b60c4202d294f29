/* SPDX-License-Identifier: Apache-2.0
 * worker.h - a thread with its own event loop, clock and mailbox; it shares nothing.
 *
 * A loop turn: sockets are read, mails run, and the first stage of turn hooks; then timers, then all turn hooks, stage by stage; then
 * the thread waits. Where timers take long, media are looked at, and handed out, in between. So everything that arrived in a turn is
 * fanned out as one batch and leaves in as few system calls as possible; ingest is read before viewers are served, and what viewers say is read last.
 *
 * Thread: every function is the owner's alone, except worker_post. */
#pragma once

#include "base/compiler.h"
#include "base/list.h"
#include "io/governor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

struct worker_cfg {
    const char *name; /* shown in log lines; borrowed for the worker's life */
    unsigned index;   /* 0 .. workers - 1; the main thread's worker has WORKER_MAIN */
};

enum { WORKER_MAIN = 0xffff };

/* The loop and mailbox, ready for handles; nothing runs yet. Returns 0 or a negative errno. */
MUST_USE int worker_create(struct worker **out, const struct worker_cfg *cfg);
/* After the loop has ended (worker_run returned or worker_join). Mails still inside are dropped
 * unrun, so let senders stop first. Clears the pointer. */
void worker_destroy(struct worker **w);

/* Runs the loop in the calling thread until worker_stop. */
void worker_run(struct worker *w);
/* Runs it in a thread of its own. 0 or a negative errno. */
MUST_USE int worker_start(struct worker *w);
void worker_join(struct worker *w);
/* From the worker's own thread: ends the loop after this turn. (From another: post a mail that
 * calls it.) */
void worker_stop(struct worker *w);

unsigned worker_index(const struct worker *w);
const char *worker_name(const struct worker *w);

/* Monotonic time of this loop turn, cached. */
uint64_t worker_now_us(const struct worker *w);
/* Wall clock (unix epoch) of this loop turn: the monotonic time plus an offset that is taken
 * from the system clock once a second, so it never jumps within a turn. */
uint64_t worker_unix_us(const struct worker *w);

/* How busy it is; judged at each turn's end. Borrowed for the worker's life. */
const struct governor *worker_governor(const struct worker *w);
/* What a viewer of this rank is spared at this moment (governor.h). */
enum governor_thin worker_thinning(const struct worker *w, uint32_t rank);

/* This turn is followed by a rest of so long, before anything else is looked at: for one whose input comes in many
 * small pieces, each of which would cost a turn. */
void worker_rest(struct worker *w, uint64_t rest_us);
/* While they rest, turn after turn, and have little to do, these workers run in the first one's thread, so that one wake-up serves all of
 * them; still one thread only at a time, and nobody's turns come later. Before they are started; they are all joined before the
 * first is destroyed. */
void worker_share(struct worker *const *v, size_t n);

/* ---- Mail: the only way from one worker to another ------------------------------------------- */

/* Embed it at the head of a message. run() is called once on the receiver's thread and owns the
 * message from then on. */
struct mail {
    struct mail *next; /* the mailbox's own */
    void (*run)(struct mail *m, struct worker *receiver);
};

/* Any thread, the receiver's own too (from within a mail, timer or hook: it runs when that has returned, in the
 * next turn at the latest, which comes at once). Never blocks, never allocates; mails of one sender arrive in their order. */
void worker_post(struct worker *to, struct mail *m);

/* ---- Turn hooks ------------------------------------------------------------------------------ */

enum turn_stage {
    TURN_FANOUT, /* routers hand the turn's packets to their consumers */
    TURN_FLUSH,  /* sockets send what was gathered */
    TURN_VIEWERS, /* what viewers say is read, a bounded part of it: after media have been read and sent */
    TURN_STAGES
};

struct turn_hook {
    struct list link; /* in the worker's list while armed */
    void (*run)(struct turn_hook *hook, uint64_t now_us);
    enum turn_stage stage;
};

/* Set run and stage first. hook->run will be called once, at the end of this turn; arming twice is
 * once. A hook armed by a hook, of whatever stage, still runs in this turn, the lowest stage first. */
void worker_arm(struct worker *w, struct turn_hook *hook);
/* An armed hook that will not run after all (its owner closes). Harmless when not armed. The link of
 * a hook never armed must be list_init'ed or zero. */
void worker_disarm(struct turn_hook *hook);
