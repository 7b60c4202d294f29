/* SPDX-License-Identifier: Apache-2.0
 * governor.c - see governor.h. */
#include "io/governor.h"

#include <string.h>

enum {
    /* Ranks a second. */
    RISE = 500,    /* all ranks lose frames after 2 s */
    RISE_FAR = 2 * RISE,
    FALL = 200,    /* slower, so that a worker does not swing */
};

void governor_init(struct governor *g, uint64_t now_us)
{
    memset(g, 0, sizeof(*g));
    g->window_us = g->last_us = now_us;
}

static void judge(struct governor *g, uint64_t elapsed_us)
{
    uint32_t fall = (uint32_t)(FALL * elapsed_us / 1000000);
    bool was_late = g->late;

    g->late = g->busy_permille >= GOVERNOR_BUSY_PERMILLE && g->turn_us >= GOVERNOR_TURN_US;
    g->crowded_us = g->pressure >= GOVERNOR_REFUSE_FROM ? g->crowded_us + elapsed_us : 0;
    if (g->late) {
        g->overloaded_us += elapsed_us;
        uint64_t rise = (g->turn_us >= GOVERNOR_TURN_FAR_US ? RISE_FAR : RISE) * elapsed_us / 1000000;
        uint64_t pressure = g->pressure + (was_late ? rise : 0);
        g->pressure = pressure < GOVERNOR_PRESSURE_MAX ? (uint32_t)pressure : GOVERNOR_PRESSURE_MAX;
    } else if (g->busy_permille < GOVERNOR_SPARE_PERMILLE) {
        g->pressure -= g->pressure < fall ? g->pressure : fall;
    }
}

void governor_on_turn(struct governor *g, uint64_t now_us, uint64_t idle_us, uint64_t aside_us)
{
    uint64_t turn_us = now_us - g->last_us, waited_us = idle_us + aside_us - g->last_idle_us - g->last_aside_us;
    uint64_t elapsed_us = now_us - g->window_us;

    turn_us -= waited_us < turn_us ? waited_us : turn_us;
    g->longest_us = turn_us > g->longest_us ? turn_us : g->longest_us;
    g->last_us = now_us;
    g->last_idle_us = idle_us;
    g->last_aside_us = aside_us;
    if (elapsed_us < GOVERNOR_WINDOW_US)
        return;
    uint64_t idle = idle_us - g->window_idle_us;
    idle = idle < elapsed_us ? idle : elapsed_us;
    g->busy_permille = (uint32_t)(1000 - idle * 1000 / elapsed_us);
    g->turn_us = g->longest_us;
    g->load_sum += g->busy_permille - g->load_sum / GOVERNOR_LOAD_WINDOWS;
    judge(g, elapsed_us);
    g->window_us = now_us;
    g->window_idle_us = idle_us;
    g->longest_us = 0;
}
