/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/directory/redis.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static int answers(uint16_t port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int err = connect(fd, (struct sockaddr *)&a, sizeof(a));

    close(fd);
    return err == 0;
}

void test_redis_start(struct test_redis *r)
{
    char port[8];

    if (!r->port)
        r->port = free_port();
    snprintf(port, sizeof(port), "%u", r->port);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !answers(r->port); i++)
        usleep(10000); /* another process: there is nothing else to wait on */
    assert_true(answers(r->port));
}

void test_redis_kill(struct test_redis *r)
{
    if (!r->pid)
        return;
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

const char *test_redis_cli(const struct test_redis *r, const char *words)
{
    static char out[4096];
    char command[4096];

    snprintf(command, sizeof(command), "redis-cli -p %u %s", r->port, words);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, sizeof(out) - 1, f);
    pclose(f);
    while (n && out[n - 1] == '\n')
        n--;
    out[n] = '\0';
    return out;
}
