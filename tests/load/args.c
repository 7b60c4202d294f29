/* SPDX-License-Identifier: Apache-2.0
 * args.c - see args.h. */
#include "args.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "millrace-load - simulated viewers and publishers for WHEP, HTTP-FLV, RTMP and WHIP servers\n"
    "\n"
    "  millrace-load --whep http://127.0.0.1:8082/whep/live/test --viewers 500 --ramp 100 --duration 30\n"
    "  millrace-load --publish-rtmp rtmp://127.0.0.1/live/test --synthetic 720p30@2.5M \\\n"
    "                --flv http://127.0.0.1:8082/live/test.flv --viewers 100 --json out.json --report out.html\n"
    "  millrace-load --scenario evening.yaml\n"
    "\n"
    "Groups (may be repeated; the options below each belong to the group before them):\n"
    "  --whep URL, --flv URL          viewers, at the stream or at an entry point (/route/play/...)\n"
    "    --viewers N                  how many (1)\n"
    "    --ramp N                     joins a second (all at once)\n"
    "    --start S                    seconds after the start (viewers: 2 after the last of the publishers, if there are any; 0)\n"
    "    --hold S                     stay so long after the last has joined (the duration)\n"
    "    --churn N                    so many a second leave and are replaced (0)\n"
    "    --streams N                  {n} in the URL goes round 0 .. N-1 (1)\n"
    "  --publish-rtmp URL, --publish-whip URL   publishers\n"
    "    --file PATH                  H.264 with AAC (RTMP) or Opus (WHIP), played round and round\n"
    "    --synthetic 720p30@2.5M      a moving picture with sound; frames say when they were sent, so that\n"
    "                                 viewers on the same host measure delay (frames of files do too)\n"
    "    --stamp-every N              of so many frames one says it (7), of itself and of those since the last one: it is a\n"
    "                                 packet more\n"
    "    --count N                    {n} in the URL is 0 .. N-1 (1)\n"
    "  --scenario FILE                groups from a YAML file, see docs/load.md\n"
    "\n"
    "Of the whole run:\n"
    "  --duration S                   after the last viewer has been started (30)\n"
    "  --settle S                     after that, before the steady window of the report begins (2)\n"
    "  --timeout S                    for a viewer to get its first media (10)\n"
    "  --threads N                    (one a core)\n"
    "  --check SHARE                  of RTP packets to authenticate and decrypt, 0..1 (1); retransmissions and first\n"
    "                                 packets of frames always are\n"
    "  --srtp gcm|gcm256|cm           offer only this profile (all)\n"
    "  --no-rtx, --no-transport-cc    not offered; --no-feedback: no NACK, PLI, transport-cc is sent\n"
    "  --sources NET/BITS             send from the addresses of this network, which is routed to this host (ip route\n"
    "                                 add local NET/BITS dev lo); for servers on loopback addresses not needed\n"
    "  --own-sockets                  a socket a WebRTC viewer, also on loopback\n"
    "  --reconnect                    viewers who lose their server, or to whom nothing comes for 3 s, join again\n"
    "  --no-events                    WHEP's reconnect events are not asked for\n"
    "  --ca FILE                      whom to trust for https and rtmps (whom the system trusts)\n"
    "  --insecure                     any certificate will do\n"
    "  --token TEXT                   Authorization: Bearer\n"
    "  --json FILE, --csv FILE, --report FILE.html   --quiet\n"
    "\n"
    "Exit: 0 all were served; 2 some were not; 1 it could not be done.\n";

enum {
    OPT_WHEP = 256, OPT_FLV, OPT_RTMP, OPT_WHIP, OPT_SCENARIO, OPT_VIEWERS, OPT_RAMP, OPT_START, OPT_HOLD, OPT_CHURN,
    OPT_STREAMS, OPT_FILE, OPT_SYNTHETIC, OPT_STAMP_EVERY, OPT_COUNT, OPT_DURATION, OPT_SETTLE, OPT_TIMEOUT, OPT_THREADS, OPT_CHECK,
    OPT_SRTP, OPT_NO_RTX, OPT_NO_CC, OPT_NO_FEEDBACK, OPT_SOURCES, OPT_OWN, OPT_RECONNECT, OPT_NO_EVENTS, OPT_CA, OPT_INSECURE, OPT_TOKEN, OPT_JSON, OPT_CSV, OPT_REPORT,
    OPT_QUIET, OPT_HELP, OPT_VERSION,
};

static const struct option options[] = {
    {"whep", 1, NULL, OPT_WHEP}, {"flv", 1, NULL, OPT_FLV}, {"publish-rtmp", 1, NULL, OPT_RTMP},
    {"publish-whip", 1, NULL, OPT_WHIP}, {"scenario", 1, NULL, OPT_SCENARIO}, {"viewers", 1, NULL, OPT_VIEWERS},
    {"ramp", 1, NULL, OPT_RAMP}, {"start", 1, NULL, OPT_START}, {"hold", 1, NULL, OPT_HOLD},
    {"churn", 1, NULL, OPT_CHURN}, {"streams", 1, NULL, OPT_STREAMS}, {"file", 1, NULL, OPT_FILE},
    {"synthetic", 1, NULL, OPT_SYNTHETIC}, {"stamp-every", 1, NULL, OPT_STAMP_EVERY}, {"count", 1, NULL, OPT_COUNT}, {"duration", 1, NULL, OPT_DURATION},
    {"settle", 1, NULL, OPT_SETTLE}, {"timeout", 1, NULL, OPT_TIMEOUT}, {"threads", 1, NULL, OPT_THREADS},
    {"check", 1, NULL, OPT_CHECK}, {"srtp", 1, NULL, OPT_SRTP}, {"no-rtx", 0, NULL, OPT_NO_RTX},
    {"no-transport-cc", 0, NULL, OPT_NO_CC}, {"no-feedback", 0, NULL, OPT_NO_FEEDBACK},
    {"sources", 1, NULL, OPT_SOURCES}, {"own-sockets", 0, NULL, OPT_OWN}, {"reconnect", 0, NULL, OPT_RECONNECT},
    {"no-events", 0, NULL, OPT_NO_EVENTS}, {"ca", 1, NULL, OPT_CA}, {"insecure", 0, NULL, OPT_INSECURE}, {"token", 1, NULL, OPT_TOKEN},
    {"json", 1, NULL, OPT_JSON}, {"csv", 1, NULL, OPT_CSV}, {"report", 1, NULL, OPT_REPORT},
    {"quiet", 0, NULL, OPT_QUIET}, {"help", 0, NULL, OPT_HELP}, {"version", 0, NULL, OPT_VERSION}, {0},
};

static int mistake(const char *what, const char *which)
{
    fprintf(stderr, "millrace-load: %s%s%s (--help tells more)\n", what, which ? ": " : "", which ? which : "");
    return 1;
}

static int take_number(double *out, double max)
{
    return plan_number(optarg, out) || *out > max ? mistake("not a number that fits", optarg) : -1;
}

static int take_count(unsigned *out, unsigned max)
{
    double v;

    if (plan_number(optarg, &v) || v < 1 || v > max || v != (double)(unsigned)v)
        return mistake("not a count that fits", optarg);
    *out = (unsigned)v;
    return -1;
}

static int take_text(char *out, size_t cap)
{
    if (strlen(optarg) >= cap)
        return mistake("too long", optarg);
    strcpy(out, optarg);
    return -1;
}

static int take_profile(struct args *a)
{
    enum srtp_profile p = strcmp(optarg, "gcm") == 0      ? SRTP_PROFILE_GCM_128
                          : strcmp(optarg, "gcm256") == 0 ? SRTP_PROFILE_GCM_256
                          : strcmp(optarg, "cm") == 0     ? SRTP_PROFILE_CM_SHA1_80
                                                          : SRTP_PROFILE_NONE;

    if (!p)
        return mistake("gcm, gcm256 or cm was expected", optarg);
    a->profiles[0] = p;
    a->options.profiles = a->profiles;
    return -1;
}

static int take_sources(struct load_options *o)
{
    char text[64];
    struct in_addr net;
    char *slash;

    snprintf(text, sizeof(text), "%s", optarg);
    slash = strchr(text, '/');
    if (slash)
        *slash = '\0';
    o->network_bits = slash ? (unsigned)strtoul(slash + 1, NULL, 10) : 0;
    if (!slash || inet_pton(AF_INET, text, &net) != 1 || o->network_bits < 8 || o->network_bits > 30)
        return mistake("a network like 10.99.0.0/16 was expected", optarg);
    o->network = ntohl(net.s_addr);
    return -1;
}

static int take_group(struct args *a, int option)
{
    static const enum plan_kind kinds[] = {PLAN_WHEP, PLAN_FLV, PLAN_RTMP, PLAN_WHIP};

    if (strlen(optarg) > URL_BYTES_MAX)
        return mistake("too long", optarg);
    return plan_group_push(&a->plan, kinds[option - OPT_WHEP], optarg) ? -1 : mistake("too many groups", NULL);
}

static int take_scenario(struct args *a)
{
    char err[PLAN_ERROR_CAP];
    return plan_read_file(&a->plan, optarg, err) ? mistake(err, NULL) : -1;
}

/* Options of the group before them. */
static int take_of_group(struct args *a, int option)
{
    struct plan_group *g = a->plan.n_groups ? &a->plan.groups[a->plan.n_groups - 1] : NULL;

    if (!g)
        return mistake("--whep, --flv, --publish-rtmp or --publish-whip must come before", optarg);
    switch (option) {
    case OPT_VIEWERS:
    case OPT_COUNT:
        return take_count(&g->count, 1000000);
    case OPT_RAMP:
        return take_number(&g->ramp, 1e6);
    case OPT_START:
        return take_number(&g->start_s, 1e6);
    case OPT_HOLD:
        return take_number(&g->hold_s, 1e6);
    case OPT_CHURN:
        return take_number(&g->churn, 1e5);
    case OPT_STAMP_EVERY:
        return take_count(&g->stamp_every, 1000000);
    case OPT_STREAMS:
        return take_count(&g->streams, 1000000);
    case OPT_FILE:
        return take_text(g->source, sizeof(g->source));
    default:
        return take_text(g->synthetic, sizeof(g->synthetic));
    }
}

/* Options without a value. Whether it is one. */
static bool take_flag(struct args *a, int option)
{
    struct load_options *o = &a->options;
    bool *flag = option == OPT_NO_RTX        ? &o->no_rtx
                 : option == OPT_NO_CC       ? &o->no_transport_cc
                 : option == OPT_NO_FEEDBACK ? &o->no_feedback
                 : option == OPT_OWN         ? &o->each
                 : option == OPT_RECONNECT   ? &o->reconnect
                 : option == OPT_NO_EVENTS   ? &o->no_events
                 : option == OPT_INSECURE    ? &a->insecure
                 : option == OPT_QUIET       ? &a->quiet : NULL;

    if (flag)
        *flag = true;
    return flag;
}

/* Options of the run. */
static int take_of_run(struct args *a, int option)
{
    struct load_options *o = &a->options;

    switch (option) {
    case OPT_DURATION:
        return take_number(&a->plan.duration_s, 1e6);
    case OPT_SETTLE:
        return take_number(&a->settle_s, 1e6);
    case OPT_TIMEOUT:
        return take_number(&o->timeout_s, 3600);
    case OPT_THREADS:
        return take_count(&a->threads, LOAD_THREADS_MAX);
    case OPT_CHECK:
        return take_number(&o->check, 1);
    case OPT_SRTP:
        return take_profile(a);
    case OPT_SOURCES:
        return take_sources(o);
    case OPT_CA:
        return take_text(a->ca, sizeof(a->ca));
    case OPT_TOKEN:
        return take_text(a->bearer, sizeof(a->bearer));
    case OPT_JSON:
        return take_text(a->json, sizeof(a->json));
    case OPT_CSV:
        return take_text(a->csv, sizeof(a->csv));
    case OPT_REPORT:
        return take_text(a->html, sizeof(a->html));
    case OPT_HELP:
        fputs(help, stdout);
        return 0;
    case OPT_VERSION:
        printf("millrace-load %s\n", MILLRACE_VERSION);
        return 0;
    default:
        return 1; /* getopt has told */
    }
}

static int take(struct args *a, int option)
{
    if (option >= OPT_WHEP && option <= OPT_WHIP)
        return take_group(a, option);
    if (option == OPT_SCENARIO)
        return take_scenario(a);
    if (option >= OPT_VIEWERS && option <= OPT_COUNT)
        return take_of_group(a, option);
    return take_flag(a, option) ? -1 : take_of_run(a, option);
}

int args_parse(struct args *a, int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    char err[PLAN_ERROR_CAP];
    int option;

    plan_init(&a->plan);
    a->threads = cores < 1 ? 1 : cores > LOAD_THREADS_MAX ? LOAD_THREADS_MAX : (unsigned)cores;
    a->settle_s = 2;
    a->options.check = 1;
    a->options.timeout_s = 10;
    a->options.bearer = a->bearer;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int code = take(a, option);
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return mistake("what is this", argv[optind]);
    plan_finish(&a->plan);
    return plan_check(&a->plan, err) ? mistake(err, NULL) : -1;
}
