/* SPDX-License-Identifier: Apache-2.0
 * config.h - a node's configuration: YAML by a table of keys, every key with a working default.
 *
 * A wrong key or value stops the start with file, line, column and what was expected.
 * Read with libyaml and a table of our own: libcyaml, which was tried first, knows neither defaults nor
 * the place of a value whose meaning (an address, say) is wrong.
 * Thread: at start only; the struct is plain and read-only afterwards. */
#pragma once

#include "base/compiler.h"
#include "base/log.h"
#include "directory/directory.h"
#include "io/addr.h"
#include "relay/hub.h"
#include "secure/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONFIG_TEXT_MAX = 255, CONFIG_LIST_MAX = 64 };

typedef char config_text[CONFIG_TEXT_MAX + 1];

struct config_list {
    size_t n;
    config_text v[CONFIG_LIST_MAX];
};

struct config_degrees {
    bool given;
    double value;
};

struct config_off_or_address {
    bool off;
    struct addr at; /* AF_UNSPEC: not given */
};

struct config {
    enum node_role role;
    struct {
        config_text id, region;
        uint64_t workers; /* never 0 once loaded */
        uint64_t log;     /* enum log_level */
        struct config_degrees latitude, longitude;
        uint64_t drain_ms; /* after SIGTERM viewers have so long to be gone */
    } node;
    struct {
        struct addr listen;
        config_text announce, tls_certificate, tls_key, web, admin_token;
    } http;
    struct {
        struct addr listen;
        struct config_off_or_address tcp; /* not given: as listen */
        struct config_list announce, ice_servers;
        bool data; /* channels, beside the media */
        uint64_t audio_hold_ms; /* the longest that sound waits for pictures to leave with */
        uint64_t audio_hold_load; /* percent of its time that a worker is busy from which on it does */
    } rtc;
    struct {
        uint64_t hold_ms;   /* the longest that a picture waits for the next one to leave with */
        uint64_t hold_load; /* percent of its time that a worker is busy from which on it does */
    } flv;
    struct {
        struct addr listen;
    } rtmp;
    struct {
        config_text publish_key, play_key; /* files of keys that tokens are signed with; "": anybody may */
    } auth;
    struct {
        struct addr listen;
        config_text announce, ca, certificate, key;
    } pipe;
    struct {
        config_text address, password, prefix, master_name;
        struct config_list sentinels;
        uint64_t database;
    } redis;
    struct {
        uint64_t lease_ms;
    } directory;
    struct {
        uint64_t stream_bytes, node_bytes, duration_ms, packets;
    } cache;
    struct {
        bool takeover, audio_transcode;
    } publish;
    struct {
        uint64_t viewers, egress_bps, cpu_permille; /* 0: no bound */
    } limits;
    struct {
        struct config_list ranges, trusted_proxies;
        config_text mmdb;
        bool redirect;
    } route;
    struct {
        uint64_t prefetch; /* enum prefetch */
        uint64_t linger_ms, grace_ms;
    } relay;
};

enum { CONFIG_ERROR_CAP = 768 /* bytes of an error text */ };

/* Defaults of the role. */
void config_init(struct config *c, enum node_role role);
/* Defaults, then the file's keys. Returns 0, or -1 with a line in error: "FILE:LINE:COL: SECTION.KEY: expected ...". */
MUST_USE int config_load(struct config *c, enum node_role role, const char *path, char error[CONFIG_ERROR_CAP]);
/* The key that the configuration names, for the caller to free; NULL for "". 0, or -1 with "NAME: FILE: reason" in error. */
MUST_USE int config_token_key(struct token_key **out, const struct config *c, char error[CONFIG_ERROR_CAP]);
