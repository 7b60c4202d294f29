/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/srtp_in.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <srtp2/srtp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 2048 /* packets; a publisher's retransmissions come late */ };

struct srtp_in {
    srtp_t session;
    size_t rtp_extra, rtcp_extra; /* bytes that protection adds */
    uint32_t sources[SRTP_IN_SOURCES]; /* SSRCs that have authenticated, as the packets have them */
    unsigned n_sources;
};

/* libsrtp2 wants one call a process, before all others. */
static void library_init(void)
{
    (void)srtp_init();
}

static bool set_policy(srtp_policy_t *p, enum srtp_profile profile)
{
    switch (profile) {
    case SRTP_PROFILE_GCM_128:
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&p->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&p->rtcp);
        return true;
    case SRTP_PROFILE_GCM_256:
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&p->rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&p->rtcp);
        return true;
    case SRTP_PROFILE_CM_SHA1_80:
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&p->rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&p->rtcp);
        return true;
    default:
        return false;
    }
}

int srtp_in_create(struct srtp_in **out, enum srtp_in_direction direction, const struct srtp_master *master)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint8_t key[SRTP_KEY_MAX + SRTP_SALT_MAX]; /* key and salt one after the other */
    size_t key_len = srtp_key_len(master->profile), tag_len = srtp_tag_len(master->profile);
    srtp_policy_t policy = {
        .ssrc.type = direction == SRTP_IN_RECEIVE ? ssrc_any_inbound : ssrc_any_outbound,
        .key = key,
        .window_size = WINDOW,
        .allow_repeat_tx = 1,
    };

    pthread_once(&once, library_init);
    if (!set_policy(&policy, master->profile))
        return SRTP_ERR_PROFILE;
    struct srtp_in *in = calloc(1, sizeof(*in));
    if (!in)
        return SRTP_ERR_MEMORY;
    memcpy(key, master->key, key_len);
    memcpy(key + key_len, master->salt, srtp_salt_len(master->profile));
    srtp_err_status_t err = srtp_create(&in->session, &policy);
    OPENSSL_cleanse(key, sizeof(key));
    if (err != srtp_err_status_ok) {
        free(in);
        return SRTP_ERR_MEMORY;
    }
    in->rtp_extra = tag_len;
    in->rtcp_extra = tag_len + 4; /* and the index word */
    *out = in;
    return 0;
}

void srtp_in_destroy(struct srtp_in **out)
{
    struct srtp_in *in = *out;
    if (!in)
        return;
    srtp_dealloc(in->session);
    free(in);
    *out = NULL;
}

static int translate(srtp_err_status_t err)
{
    switch (err) {
    case srtp_err_status_ok:
        return SRTP_OK;
    case srtp_err_status_replay_fail:
        return SRTP_ERR_REPLAY;
    case srtp_err_status_replay_old:
        return SRTP_ERR_OLD;
    case srtp_err_status_bad_param:
    case srtp_err_status_parse_err:
        return SRTP_ERR_SHORT;
    case srtp_err_status_alloc_fail:
        return SRTP_ERR_MEMORY;
    default:
        return SRTP_ERR_AUTH;
    }
}

/* Its place among the sources, which is their number where it is not among them; at: the packet's SSRC. */
static unsigned source_at(const struct srtp_in *in, const uint8_t *at)
{
    unsigned i = 0;

    while (i < in->n_sources && memcmp(&in->sources[i], at, sizeof(in->sources[i])) != 0)
        i++;
    return i;
}

/* A packet of this source has authenticated. */
static void keep_source(struct srtp_in *in, unsigned place, const uint8_t *at)
{
    if (place < in->n_sources)
        return;
    memcpy(&in->sources[place], at, sizeof(in->sources[place]));
    in->n_sources++;
}

int srtp_in_unprotect(struct srtp_in *in, uint8_t *pkt, size_t len, size_t *plain_len)
{
    int n = (int)len;

    if (len < 12 + in->rtp_extra || len > UINT16_MAX)
        return SRTP_ERR_SHORT;
    unsigned source = source_at(in, pkt + 8);
    if (source == SRTP_IN_SOURCES)
        return SRTP_ERR_FULL;
    int err = translate(srtp_unprotect(in->session, pkt, &n));
    if (err != SRTP_OK)
        return err;
    keep_source(in, source, pkt + 8);
    *plain_len = (size_t)n;
    return SRTP_OK;
}

int srtp_in_unprotect_rtcp(struct srtp_in *in, uint8_t *pkt, size_t len, size_t *plain_len)
{
    int n = (int)len;

    if (len < 8 + in->rtcp_extra || len > UINT16_MAX)
        return SRTP_ERR_SHORT;
    unsigned source = source_at(in, pkt + 4);
    if (source == SRTP_IN_SOURCES)
        return SRTP_ERR_FULL;
    int err = translate(srtp_unprotect_rtcp(in->session, pkt, &n));
    if (err != SRTP_OK)
        return err;
    keep_source(in, source, pkt + 4);
    *plain_len = (size_t)n;
    return SRTP_OK;
}

int srtp_in_protect(struct srtp_in *in, uint8_t *pkt, size_t len, size_t cap)
{
    int n = (int)len;

    if (len < 12 || len > UINT16_MAX || len + in->rtp_extra > cap)
        return SRTP_ERR_SHORT;
    int err = translate(srtp_protect(in->session, pkt, &n));
    return err == SRTP_OK ? n : err;
}

int srtp_in_protect_rtcp(struct srtp_in *in, uint8_t *pkt, size_t len, size_t cap)
{
    int n = (int)len;

    if (len < 8 || len > UINT16_MAX || len + in->rtcp_extra > cap)
        return SRTP_ERR_SHORT;
    int err = translate(srtp_protect_rtcp(in->session, pkt, &n));
    return err == SRTP_OK ? n : err;
}
