/* SPDX-License-Identifier: Apache-2.0 */
/* srtp.h - the interface of libsrtp 3, which mediasoup's worker is written for, on libsrtp 2, which Debian has. The packet's way is
 * libsrtp's own; one copy more a packet (libsrtp 2 encrypts in place: about 30 ns of some 10 us). */
#pragma once
#define srtp_policy_t srtp2_policy_t /* there a struct, in version 3 a pointer */
#include_next <srtp.h>
#undef srtp_policy_t
#include <cstring>

struct srtp_policy_object
{
    srtp2_policy_t policy;
    unsigned char key[SRTP_MAX_KEY_LEN];
};
using srtp_policy_t = srtp_policy_object*;

static constexpr auto srtp_err_status_buffer_small = static_cast<srtp_err_status_t>(28);
static constexpr auto srtp_err_status_cryptex_err = static_cast<srtp_err_status_t>(29);

inline srtp_err_status_t srtp_policy_create(srtp_policy_t* policy)
{
    *policy = new srtp_policy_object{};
    (*policy)->policy.key = (*policy)->key;
    return srtp_err_status_ok;
}

inline void srtp_policy_destroy(srtp_policy_t policy)
{
    delete policy;
}

inline srtp_err_status_t srtp_policy_set_ssrc(srtp_policy_t policy, srtp_ssrc_t ssrc)
{
    policy->policy.ssrc = ssrc;
    return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_profile(srtp_policy_t policy, srtp_profile_t profile)
{
    const srtp_err_status_t error = srtp_crypto_policy_set_from_profile_for_rtp(&policy->policy.rtp, profile);

    return error ? error : srtp_crypto_policy_set_from_profile_for_rtcp(&policy->policy.rtcp, profile);
}

inline srtp_err_status_t srtp_policy_add_key(
  srtp_policy_t policy, const uint8_t* key, size_t key_len, const uint8_t* salt, size_t salt_len, const uint8_t*, size_t mki_len)
{
    if (key_len + salt_len > sizeof(policy->key) || mki_len)
        return srtp_err_status_bad_param;
    std::memcpy(policy->key, key, key_len);
    std::memcpy(policy->key + key_len, salt, salt_len);
    return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_allow_repeat_tx(srtp_policy_t policy, bool allow)
{
    policy->policy.allow_repeat_tx = allow;
    return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_policy_set_window_size(srtp_policy_t policy, size_t packets)
{
    policy->policy.window_size = packets;
    return srtp_err_status_ok;
}

inline srtp_err_status_t srtp_create(srtp_t* session, srtp_policy_t policy)
{
    return srtp_create(session, const_cast<const srtp2_policy_t*>(&policy->policy));
}

inline srtp_err_status_t srtp_stream_remove(srtp_t session, uint32_t ssrc)
{
    return srtp_remove_stream(session, ssrc);
}

/* One of libsrtp 2's four transforms, in place at out. */
template<class F>
inline srtp_err_status_t srtp2_in_place(F transform, const uint8_t* in, size_t len, uint8_t* out, size_t* out_len, size_t grows_by)
{
    int bytes = static_cast<int>(len);

    if (*out_len < len + grows_by)
        return srtp_err_status_buffer_small;
    if (out != in)
        std::memcpy(out, in, len);
    const srtp_err_status_t error = transform(out, &bytes);
    *out_len = static_cast<size_t>(bytes);
    return error;
}

inline srtp_err_status_t srtp_protect(srtp_t session, const uint8_t* rtp, size_t len, uint8_t* srtp, size_t* srtp_len, size_t)
{
    return srtp2_in_place([&](void* p, int* n) { return srtp_protect(session, p, n); }, rtp, len, srtp, srtp_len, SRTP_MAX_TRAILER_LEN);
}

inline srtp_err_status_t srtp_protect_rtcp(srtp_t session, const uint8_t* rtcp, size_t len, uint8_t* srtcp, size_t* srtcp_len, size_t)
{
    return srtp2_in_place([&](void* p, int* n) { return srtp_protect_rtcp(session, p, n); }, rtcp, len, srtcp, srtcp_len, SRTP_MAX_TRAILER_LEN + 4);
}

inline srtp_err_status_t srtp_unprotect(srtp_t session, const uint8_t* srtp, size_t len, uint8_t* rtp, size_t* rtp_len)
{
    return srtp2_in_place([&](void* p, int* n) { return srtp_unprotect(session, p, n); }, srtp, len, rtp, rtp_len, 0);
}

inline srtp_err_status_t srtp_unprotect_rtcp(srtp_t session, const uint8_t* srtcp, size_t len, uint8_t* rtcp, size_t* rtcp_len)
{
    return srtp2_in_place([&](void* p, int* n) { return srtp_unprotect_rtcp(session, p, n); }, srtcp, len, rtcp, rtcp_len, 0);
}
