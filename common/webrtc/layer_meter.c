/* SPDX-License-Identifier: Apache-2.0
 * layer_meter.c - see layer_meter.h. */
#include "webrtc/layer_meter.h"

#include "webrtc/rtp_cut.h"

#include <string.h>

void layer_meter_init(struct layer_meter *m, uint8_t simulcast, uint64_t now_us)
{
    memset(m, 0, sizeof(*m));
    m->scalable = simulcast <= 1;
    m->rows = m->scalable ? 1 : simulcast;
    m->window_us = now_us;
}

void layer_meter_push(struct layer_meter *m, const struct packet *p, uint64_t now_us)
{
    uint8_t row = m->scalable ? p->spatial : p->layer;
    uint8_t temporal = p->temporal < METER_TEMPORALS ? p->temporal : METER_TEMPORALS - 1;

    if (row >= METER_ROWS || p->flags & PACKET_PADDING)
        return;
    m->bytes[row][temporal] += p->payload_len;
    m->packet_us[row] = now_us;
    if (row >= m->rows && m->scalable)
        m->rows = (uint8_t)(row + 1);
}

static bool row_came(const struct layer_meter *m, unsigned row)
{
    uint32_t bytes = 0;

    for (unsigned t = 0; t < METER_TEMPORALS; t++)
        bytes |= m->bytes[row][t];
    return bytes != 0;
}

static void take_rates(struct layer_meter *m, uint64_t run_us, uint64_t now_us)
{
    for (unsigned row = 0; row < METER_ROWS; row++) {
        bool whole = m->scalable || (m->wanted_us[row] && m->wanted_us[row] <= m->window_us);
        for (unsigned t = 0; t < METER_TEMPORALS && whole && row_came(m, row); t++)
            m->bps[row][t] = (uint32_t)(m->bytes[row][t] * UINT64_C(8000000) / run_us);
    }
    memset(m->bytes, 0, sizeof(m->bytes));
    m->window_us = now_us;
}

void layer_meter_settle(struct layer_meter *m, uint64_t run_us, uint64_t now_us)
{
    take_rates(m, run_us ? run_us : METER_WINDOW_US, now_us);
}

/* A spatial layer that its publisher has stopped is none any more. */
static void drop_silent(struct layer_meter *m, uint64_t now_us)
{
    while (m->scalable && m->rows > 1 && now_us - m->packet_us[m->rows - 1] >= METER_SILENT_US) {
        m->rows--;
        memset(m->bps[m->rows], 0, sizeof(m->bps[0]));
    }
}

void layer_meter_poll(struct layer_meter *m, uint64_t now_us)
{
    uint64_t run_us = now_us - m->window_us;

    if (run_us >= METER_WINDOW_US)
        take_rates(m, run_us, now_us);
    drop_silent(m, now_us);
}

uint64_t layer_meter_bps(const struct layer_meter *m, unsigned row, unsigned temporal)
{
    uint64_t bps = 0;

    for (unsigned r = m->scalable ? 0 : row; r <= row && r < METER_ROWS; r++)
        for (unsigned t = 0; t <= temporal && t < METER_TEMPORALS; t++)
            bps += m->bps[r][t];
    return bps;
}

unsigned layer_meter_temporal(const struct layer_meter *m, unsigned row)
{
    unsigned highest = 0;

    for (unsigned t = 0; t < METER_TEMPORALS && row < METER_ROWS; t++)
        highest = m->bps[row][t] ? t : highest;
    return highest;
}

/* Simulcast: wanted, and not there. */
static bool row_is_silent(const struct layer_meter *m, unsigned row, uint64_t now_us)
{
    uint64_t since_us = m->packet_us[row] > m->wanted_us[row] ? m->packet_us[row] : m->wanted_us[row];

    return !m->scalable && m->wanted_us[row] && now_us - since_us >= METER_SILENT_US;
}

size_t layer_rungs(const struct layer_meter *m, const uint32_t pixels[METER_ROWS], struct rung_limits limits, uint64_t now_us,
                   struct rung rungs[RUNGS_MAX], struct layer_option options[RUNGS_MAX])
{
    size_t n = 0;

    if (limits.keyframes) {
        rungs[n] = (struct rung){0, RTP_LEVEL_KEYFRAMES};
        options[n++] = (struct layer_option){.bps = 1}; /* as many of them as fit */
    }
    for (unsigned row = 0; row < m->rows && row <= limits.row; row++) {
        unsigned top = layer_meter_temporal(m, row), most = top < limits.temporal ? top : limits.temporal;
        for (unsigned t = row == 0 || most == 0 ? 0 : most - 1; t <= most; t++) {
            rungs[n] = (struct rung){(uint8_t)row, (int8_t)(t == top ? RTP_LEVEL_ALL : t)};
            options[n++] = (struct layer_option){
                .bps = layer_meter_bps(m, row, t), .pixels = pixels[row], .silent = row_is_silent(m, row, now_us)};
        }
    }
    return n;
}

size_t layer_rung_find(const struct rung *rungs, size_t n, struct rung rung)
{
    size_t at = 0;

    if (rung.row > rungs[n - 1].row)
        rung.row = rungs[n - 1].row; /* as far as it comes, by as many pictures */
    for (size_t i = 0; i < n; i++)
        if (rungs[i].row < rung.row || (rungs[i].row == rung.row && rungs[i].temporal <= rung.temporal))
            at = i;
    return at;
}
