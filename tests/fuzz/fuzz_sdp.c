/* SPDX-License-Identifier: Apache-2.0
 * Offers, and the answers to them: whatever parses must be answerable, and the answer must parse. */
#include "webrtc/sdp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void accept_section(struct sdp_answer *a, size_t i)
{
    const struct sdp_media *offered = &a->offer->media[i];
    struct sdp_answer_media *m = &a->media[i];

    m->codecs[0] = sdp_choose_first(offered);
    if (!m->codecs[0])
        return;
    m->accepted = m->rtx = m->simulcast = true;
    m->n_codecs = 1;
    m->direction = SDP_RECVONLY;
    m->feedback = 0xff;
    m->extensions = ~0u;
    m->ssrc = 1;
    m->rtx_ssrc = 2;
    m->cname = "cname";
    m->msid_stream = "stream";
    m->msid_track = "track";
}

static void answer(const struct sdp_offer *o, struct sdp_offer *back)
{
    static char text[128 * 1024];
    struct addr candidate;
    struct sdp_answer a;

    if (addr_parse(&candidate, "192.0.2.1:8000"))
        abort();
    sdp_answer_init(&a, o);
    a.ice_ufrag = "ufrag";
    a.ice_pwd = "0123456789012345678901";
    a.fingerprint =
        "sha-256 "
        "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";
    a.candidates = &candidate;
    a.n_candidates = 1;
    bool any = false;
    for (size_t i = 0; i < o->n_media; i++) {
        accept_section(&a, i);
        any = any || a.media[i].accepted;
    }
    int n = sdp_answer_write(text, sizeof(text), &a);
    if (n < 0)
        abort();
    if (any && sdp_offer_parse(back, text, (size_t)n) != SDP_OK)
        abort();
    (void)!sdp_fragment_write(text, sizeof(text), &a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdp_offer o, back;
    static struct sdp_fragment f;

    (void)!sdp_fragment_parse(&f, (const char *)data, size);
    if (sdp_offer_parse(&o, (const char *)data, size) != SDP_OK)
        return 0;
    (void)!sdp_offer_check(&o, true);
    (void)!sdp_offer_check(&o, false);
    for (size_t i = 0; i < o.n_media; i++)
        for (enum codec c = CODEC_NONE + 1; c < CODEC_COUNT; c++)
            (void)sdp_choose(&o.media[i], c, 0x42e01f, 0);
    answer(&o, &back);
    return 0;
}
