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

/* A way to Redis that can forget the connections on it without a word to either end, as a host does that loses its power, or a firewall:
 * they stay open, and nothing comes any more. New ones are as good as before. */
struct test_way {
    pid_t pid;
    uint16_t port;
};

void test_way_open(struct test_way *w, const struct test_redis *r);
void test_way_forget(const struct test_way *w);
void test_way_close(struct test_way *w);
