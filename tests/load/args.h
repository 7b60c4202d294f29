/* SPDX-License-Identifier: Apache-2.0
 * args.h - the command line of millrace-load. */
#pragma once

#include "base/compiler.h"
#include "plan.h"
#include "thread.h"

#include <stdbool.h>

struct args {
    struct plan plan;
    struct load_options options;
    unsigned threads;
    double settle_s; /* after the last viewer was started, before the steady window begins */
    bool quiet;
    bool insecure;
    char ca[PLAN_PATH_MAX];
    char json[PLAN_PATH_MAX], csv[PLAN_PATH_MAX], html[PLAN_PATH_MAX], bearer[PLAN_PATH_MAX];
    enum srtp_profile profiles[3];
};

/* -1: go on; else the exit code: --help and --version have been answered, or a mistake has been told. */
MUST_USE int args_parse(struct args *a, int argc, char **argv);
