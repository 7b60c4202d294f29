/* SPDX-License-Identifier: Apache-2.0
 * sdp.h - session descriptions of WHIP and WHEP: an offer's text into plain structs, an answer out of them.
 *
 * Text is parsed and written with gstsdp; everything that a description says is checked and copied here, with
 * bounds, so nothing of the library outlives a call. The same parser reads answers (tests, the load tester).
 * Pure; any thread. Ownership: plain values; struct sdp_offer is large (80 KiB): heap.
 * Source: RFC 8866 (SDP), RFC 8829 (JSEP), RFC 8839 (ICE), RFC 8840 (trickle), RFC 8842 (DTLS),
 * RFC 8841 (data channels), RFC 8843/9143 (BUNDLE), RFC 8851, 8853 (rid, simulcast), RFC 9725 (WHIP), RFC 6184 s8.2.2 (H.264). */
#pragma once

#include "base/compiler.h"
#include "codec/codec.h"
#include "io/addr.h"
#include "media/track.h"
#include "secure/cert.h"
#include "secure/dtls.h"
#include "webrtc/transport.h"
#include "wire/rtp_ext.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SDP_BYTES_MAX = 64 * 1024, /* of text; a browser's offer has 6 to 12 KiB */
    SDP_LINE_MAX = 2048,       /* bytes */
    SDP_MEDIA_MAX = 8,         /* m-sections; WHIP and WHEP use two */
    SDP_CODECS_MAX = 48,       /* payload types a section that are codecs of ours; Chromium offers 25 */
    SDP_EXTMAPS_MAX = 24,      /* known header extensions a section */
    SDP_SSRCS_MAX = 16,
    SDP_RIDS_MAX = 8,
    SDP_CANDIDATES_MAX = 16,   /* usable ones; others are counted only */
    SDP_TOKEN_MAX = 64,        /* bytes of mid, cname, msid, stream ids */
    SDP_FMTP_MAX = 160,        /* bytes of format parameters that are echoed */
};

enum sdp_err {
    SDP_OK = 0,
    /* Malformed: HTTP 400. */
    SDP_ERR_SIZE = -1,   /* empty, longer than SDP_BYTES_MAX, or a line longer than SDP_LINE_MAX */
    SDP_ERR_TEXT = -2,   /* NUL or other control bytes inside */
    SDP_ERR_SYNTAX = -3, /* not a session description: v=, o= or m= lines missing or out of form */
    SDP_ERR_MEDIA = -4,  /* more than SDP_MEDIA_MAX m-sections, or none */
    SDP_ERR_RTPMAP = -5, /* a payload type out of range or defined twice; an rtpmap or fmtp out of form */
    SDP_ERR_FINGERPRINT = -6, /* none, or out of form */
    SDP_ERR_SETUP = -7,       /* a=setup missing, unknown or not possible here */
    SDP_ERR_ICE = -8,         /* ice-ufrag or ice-pwd missing, too short or too long */
    SDP_ERR_CANDIDATE = -9,   /* a=candidate out of form */
    SDP_ERR_EXTMAP = -10,     /* an id out of range or used twice */
    SDP_ERR_RID = -11,        /* rid or simulcast out of form */
    SDP_ERR_MID = -12,  /* missing, too long, or used twice; or a BUNDLE group that names none of them */
    SDP_ERR_SSRC = -13, /* an a=ssrc or ssrc-group out of form */
    /* Well-formed, but not for us: HTTP 422. */
    SDP_ERR_BUNDLE = -20,    /* media not in one BUNDLE group */
    SDP_ERR_RTCP_MUX = -21,  /* no a=rtcp-mux */
    SDP_ERR_PROTO = -22,     /* media over something else than UDP/TLS/RTP/SAVPF */
    SDP_ERR_SECTIONS = -23,  /* more than one audio or one video section (WHIP: RFC 9725 s4.2) */
    SDP_ERR_DIRECTION = -24, /* WHIP wants a section that sends, WHEP one that receives */
    SDP_ERR_CODEC = -25,     /* no codec that we carry */
    SDP_ERR_ROOM = -30,      /* writing: the buffer is too small */
};

/* A line for people: what is wrong. */
const char *sdp_error_text(int err);
/* 400 or 422; 500 for SDP_ERR_ROOM. */
int sdp_http_status(int err);

enum sdp_kind { SDP_OTHER = 0, SDP_AUDIO, SDP_VIDEO, SDP_APPLICATION };
enum sdp_direction { SDP_SENDRECV = 0, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };
enum sdp_setup { SDP_SETUP_NONE = 0, SDP_SETUP_ACTPASS, SDP_SETUP_ACTIVE, SDP_SETUP_PASSIVE };

/* Bits of sdp_codec.feedback: a=rtcp-fb. */
enum sdp_feedback {
    SDP_FB_NACK = 1 << 0,
    SDP_FB_NACK_PLI = 1 << 1,
    SDP_FB_CCM_FIR = 1 << 2,
    SDP_FB_TRANSPORT_CC = 1 << 3,
    SDP_FB_REMB = 1 << 4,
};

struct sdp_codec {
    enum codec codec;     /* never CODEC_NONE: others are left out */
    uint8_t pt;           /* 0..127, not 64..95 */
    uint8_t rtx_pt;       /* of its RTX; 0: none */
    uint8_t red_pt;       /* of its RED (RFC 2198), which carries nothing else; 0: none */
    bool red_first;       /* preferred to the codec alone */
    uint8_t channels;     /* audio; 1 when not said */
    uint8_t feedback;     /* mask of enum sdp_feedback */
    uint32_t clock_hz;
    uint32_t h264_profile; /* profile-level-id as 0xPPCCLL; 0x42000a (RFC 6184 s8.1) when not said */
    uint8_t h264_packetization; /* packetization-mode: 0 or 1 */
    uint8_t profile;       /* VP9 profile-id, AV1 profile, H.265 profile-id (1 = Main when not said) */
    bool stereo;           /* Opus: stereo=1 */
    bool fec;              /* Opus: useinbandfec=1 */
    char fmtp[SDP_FMTP_MAX + 1]; /* as offered; "" when none, or too long to be echoed */
};

struct sdp_extmap {
    enum rtp_ext_kind kind; /* never RTP_EXT_UNKNOWN */
    uint8_t id;             /* 1..14 or, two-byte form, 1..255 */
};

struct sdp_ssrc {
    uint32_t ssrc;
    uint32_t rtx_ssrc; /* second of its ssrc-group:FID; 0: none */
};

enum {
    SDP_MESSAGE_DEFAULT = 65536, /* bytes of a data channel's message when nothing is said: RFC 8841 s6.1 */
};

struct sdp_media {
    enum sdp_kind kind;
    enum sdp_direction direction;
    bool rejected;      /* port 0 and not bundle-only */
    bool rtcp_mux, rtcp_rsize, extmap_allow_mixed;
    bool bundled;       /* in the BUNDLE group */
    char mid[SDP_TOKEN_MAX + 1];
    char media[16];     /* "audio", "video", "application", ... as in the m= line, for the answer */
    char proto[32];     /* "UDP/TLS/RTP/SAVPF" */
    char fmt[32];       /* its first format: a rejected section repeats it */
    uint16_t sctp_port; /* data channels: a=sctp-port; 0: none */
    uint32_t message_max; /* bytes of a message that it takes: a=max-message-size; UINT32_MAX: of any size */
    char msid_stream[SDP_TOKEN_MAX + 1], msid_track[SDP_TOKEN_MAX + 1];
    char cname[SDP_TOKEN_MAX + 1];
    size_t n_codecs, n_extmaps, n_ssrcs, n_rids;
    struct sdp_codec codecs[SDP_CODECS_MAX]; /* in the order of preference */
    struct sdp_extmap extmaps[SDP_EXTMAPS_MAX];
    struct sdp_ssrc ssrcs[SDP_SSRCS_MAX];    /* without those that are only an RTX of another */
    char rids[SDP_RIDS_MAX][RID_MAX + 1]; /* of a=simulcast:send, in its order; the first of alternatives */
};

struct sdp_offer {
    char ice_ufrag[ICE_CREDENTIAL_MAX + 1], ice_pwd[ICE_CREDENTIAL_MAX + 1];
    bool ice_lite, ice_trickle, ice_renomination;
    bool end_of_candidates;
    enum sdp_setup setup;
    struct fingerprint fingerprint;   /* the strongest of those given */
    bool has_bundle;
    size_t n_media, n_candidates, n_candidates_ignored; /* .local names, TCP, other components */
    struct addr candidates[SDP_CANDIDATES_MAX];
    struct sdp_media media[SDP_MEDIA_MAX];
};

/* Parses text[0..len); it need not end with a NUL. Returns SDP_OK and fills *out, or an sdp_err, *out then
 * undefined. Candidates that are of no use (mDNS names, TCP) are counted and ignored. */
MUST_USE int sdp_offer_parse(struct sdp_offer *out, const char *text, size_t len);

/* What a WHIP or WHEP endpoint demands of an offer beyond syntax: BUNDLE, rtcp-mux, the direction, at most
 * one audio and one video section that is usable, and at least one of them. publisher: WHIP. */
MUST_USE int sdp_offer_check(const struct sdp_offer *o, bool publisher);
/* Audio or video, not rejected, and of the right direction (publisher: it sends; else it receives). The
 * others are answered with port 0. */
bool sdp_media_usable(const struct sdp_media *m, bool publisher);
/* The section of data channels in the transport of the media; NULL: none is offered. */
const struct sdp_media *sdp_offer_data(const struct sdp_offer *o);

/* ---- Choosing ---------------------------------------------------------------------------------- */

/* The first codec of the section in the order of preference that Millrace carries over WebRTC (H.264 by RTP
 * mode 0 or 1, of one codec's several payload types mode 1 first); NULL when there is none. */
const struct sdp_codec *sdp_choose_first(const struct sdp_media *m);
/* The payload type that fits a track: the same codec and, for H.264, a profile that is equal by RFC 6184's
 * table 5 (level is not compared: level-asymmetry), else one that contains it, else any, since decoders in
 * use take more than they say; packetization-mode 1 before 0. profile is that of VP9, AV1 or H.265: the same
 * one, else any. NULL when the codec is not offered. */
const struct sdp_codec *sdp_choose(const struct sdp_media *m, enum codec codec, uint32_t h264_profile,
                                   uint8_t profile);
/* The id that the offer gave this extension in this section; 0: not offered. */
uint8_t sdp_extmap_id(const struct sdp_media *m, enum rtp_ext_kind kind);
const struct sdp_codec *sdp_codec_of_pt(const struct sdp_media *m, uint8_t pt); /* NULL: none of ours */
/* Whether two H.264 profile-level-ids are of the same profile (RFC 6184 table 5); levels are not compared. */
bool sdp_h264_same_profile(uint32_t a, uint32_t b);

/* ---- The answer -------------------------------------------------------------------------------- */

enum { SDP_ANSWER_CODECS_MAX = 16 };

struct sdp_answer_media {
    bool accepted;                 /* false: the section is answered with port 0 */
    enum sdp_direction direction;
    size_t n_codecs;               /* >= 1 when accepted; the first is preferred */
    const struct sdp_codec *codecs[SDP_ANSWER_CODECS_MAX]; /* of the offer's section */
    bool rtx;                      /* answer the RTX payload types too */
    bool red;                      /* answer RED too */
    uint8_t feedback;              /* mask of what we do; the offered part of it is answered */
    uint32_t extensions;           /* mask of 1 << enum rtp_ext_kind; the offered part of it is answered */
    uint32_t ssrc, rtx_ssrc;       /* ours when we send; 0: none */
    const char *cname;             /* borrowed; with ssrc */
    const char *msid_stream, *msid_track; /* borrowed; NULL: no a=msid */
    uint32_t start_kbps;           /* Chromium's x-google-start-bitrate, for who sends to us; 0: not said */
    bool simulcast;                /* answer all offered rids with recv */
    uint16_t sctp_port;            /* data channels, which have none of the above but accepted: ours ... */
    uint32_t message_max;          /* ... and the longest message that we take, bytes */
};

struct sdp_answer {
    const struct sdp_offer *offer; /* borrowed */
    uint64_t session_id, version;  /* o= line; < 2^63 */
    const char *ice_ufrag, *ice_pwd, *fingerprint; /* borrowed; fingerprint as "sha-256 AB:..." */
    const struct addr *candidates; /* ours, borrowed */
    const struct addr *tcp_candidates; /* passive ones (RFC 6544) */
    size_t n_candidates, n_tcp_candidates;
    enum dtls_role role;           /* see sdp_answer_role() */
    struct sdp_answer_media media[SDP_MEDIA_MAX]; /* one for each section of the offer */
};

/* Zeroes *a: every section rejected; takes the role from the offer. */
void sdp_answer_init(struct sdp_answer *a, const struct sdp_offer *offer);
/* Passive, unless the offer insists on being passive itself. */
enum dtls_role sdp_answer_role(const struct sdp_offer *o);
/* ICE-lite, max-bundle, all candidates and end-of-candidates inside. Returns the bytes written (a NUL follows
 * them) or SDP_ERR_ROOM. */
MUST_USE int sdp_answer_write(char *dst, size_t cap, const struct sdp_answer *a);

/* ---- Trickle: application/trickle-ice-sdpfrag -------------------------------------------------- */

struct sdp_fragment {
    bool has_credentials;
    char ice_ufrag[ICE_CREDENTIAL_MAX + 1], ice_pwd[ICE_CREDENTIAL_MAX + 1];
    bool end_of_candidates;
    size_t n_candidates, n_candidates_ignored;
    struct addr candidates[SDP_CANDIDATES_MAX];
};

/* As sdp_offer_parse. Candidates that say nothing to us are ignored, not refused (RFC 9725 s4.3.2). */
MUST_USE int sdp_fragment_parse(struct sdp_fragment *out, const char *text, size_t len);
/* The body of the 200 to an ICE restart: our new credentials and all candidates. Bytes, SDP_ERR_ROOM, or
 * SDP_ERR_MEDIA when no section was accepted. */
MUST_USE int sdp_fragment_write(char *dst, size_t cap, const struct sdp_answer *a);
