/* SPDX-License-Identifier: Apache-2.0
 * redis.h - a real redis-server of the test's own: started, stopped, started again empty. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct test_redis {
    pid_t pid; /* 0: not running */
    uint16_t port;
};

/* On a free port of loopback, nothing written to disk. Fails the test when redis-server is not there. */
void test_redis_start(struct test_redis *r);
/* By SIGKILL; the port is kept for the next start. */
void test_redis_kill(struct test_redis *r);
/* Runs redis-cli with these words; its output without the last newline, valid until the next call. */
const char *test_redis_cli(const struct test_redis *r, const char *words);
