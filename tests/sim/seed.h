/* SPDX-License-Identifier: Apache-2.0
 * seed.h - which seed a simulation runs, for its one source file: all of them, or that of the command line; and the one that
 * a failed check was in, printed by the teardown. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t only_seed;    /* of the command line, run alone and told at length; 0: all */
static uint64_t running_seed; /* 0: the test went through */

/* Of cmocka_unit_test_teardown. */
static int tell_seed(void **state)
{
    (void)state;
    if (running_seed)
        print_message("seed %llu\n", (unsigned long long)running_seed);
    running_seed = 0;
    return 0;
}

static void take_seed(int argc, char **argv)
{
    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
}
