/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/twcc_feedback.h"

#include "base/seq.h"
#include "wire/rtcp.h"

#include <string.h>

enum {
    REPORT_MAX = 512 /* packets one feedback packet tells of: 1.2 KB at worst (2-byte deltas, 1 chunk in 7) */
};

void twcc_feedback_init(struct twcc_feedback *f)
{
    memset(f, 0, sizeof(*f));
    f->due_us = UINT64_MAX;
}

static void start(struct twcc_feedback *f, uint64_t seq)
{
    memset(f->arrival_us, 0, sizeof(f->arrival_us));
    f->started = true;
    f->next = f->end = seq;
}

void twcc_feedback_on_packet(struct twcc_feedback *f, uint16_t seq16, uint32_t media_ssrc, uint64_t now_us)
{
    uint64_t seq = f->started ? seq16_extend(f->end, seq16) : 65536u + seq16;

    if (!f->started || seq >= f->end + TWCC_WINDOW)
        start(f, seq); /* the first, or the sender has jumped */
    if (seq < f->next)
        return; /* told of as lost already: the sender has acted on it */
    for (; f->end <= seq; f->end++)
        f->arrival_us[f->end % TWCC_WINDOW] = 0;
    if (f->end - f->next > TWCC_WINDOW)
        f->next = f->end - TWCC_WINDOW;
    f->arrival_us[seq % TWCC_WINDOW] = (int64_t)now_us;
    f->media_ssrc = media_ssrc;
    if (f->due_us == UINT64_MAX)
        f->due_us = now_us + TWCC_INTERVAL_US;
}

bool twcc_feedback_write(struct twcc_feedback *f, struct writer *w, uint32_t sender_ssrc, uint64_t now_us)
{
    struct rtcp_twcc_arrival v[REPORT_MAX];
    size_t n = 0;

    while (f->end - f->next > REPORT_MAX && f->arrival_us[f->next % TWCC_WINDOW] == 0)
        f->next++; /* one that came must be among them: it sets the time */
    for (uint64_t seq = f->next; seq < f->end && n < REPORT_MAX; seq++, n++) {
        int64_t at_us = f->arrival_us[seq % TWCC_WINDOW];
        v[n] = (struct rtcp_twcc_arrival){.arrival_us = at_us, .seq = (uint16_t)seq, .received = at_us != 0};
    }
    size_t taken = n ? rtcp_twcc_write(w, sender_ssrc, f->media_ssrc, f->count, v, n) : 0;
    if (taken == 0) {
        f->due_us = UINT64_MAX;
        return false;
    }
    f->count++;
    f->next += taken;
    f->due_us = f->next < f->end ? now_us : UINT64_MAX;
    return true;
}
