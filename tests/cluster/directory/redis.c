/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/directory/redis.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
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

/* ---- A way that forgets --------------------------------------------------------------------------------- */

enum { WAY_CONNECTIONS_MAX = 32, WAY_LOOK_MS = 10 };

struct way {
    int listener;
    struct pollfd ends[2 * WAY_CONNECTIONS_MAX]; /* a client's beside its Redis' */
    nfds_t n;
    uint16_t to;
};

static volatile sig_atomic_t forgets;

static void on_forget(int signum)
{
    (void)signum;
    forgets = 1;
}

static void way_accept(struct way *w)
{
    struct sockaddr_in a = loopback(w->to);
    int client = accept(w->listener, NULL, NULL), redis = socket(AF_INET, SOCK_STREAM, 0);

    if (w->n == 2 * WAY_CONNECTIONS_MAX || connect(redis, (struct sockaddr *)&a, sizeof(a)) != 0)
        _exit(1);
    w->ends[w->n++] = (struct pollfd){.fd = client, .events = POLLIN};
    w->ends[w->n++] = (struct pollfd){.fd = redis, .events = POLLIN};
}

static void way_pass_on(struct way *w, nfds_t i)
{
    struct pollfd *from = &w->ends[i], *to = &w->ends[i ^ 1];
    char bytes[4096];
    ssize_t n = read(from->fd, bytes, sizeof(bytes));

    if (n > 0 && write(to->fd, bytes, (size_t)n) == n)
        return;
    close(from->fd);
    close(to->fd);
    from->fd = to->fd = -1;
}

static void way_run(struct way *w)
{
    for (;;) {
        struct pollfd one = {.fd = w->listener, .events = POLLIN};
        if (poll(&one, 1, 0) > 0)
            way_accept(w);
        if (poll(w->ends, w->n, WAY_LOOK_MS) > 0)
            for (nfds_t i = 0; i < w->n; i++)
                if (w->ends[i].fd >= 0 && w->ends[i].revents)
                    way_pass_on(w, i);
        for (nfds_t i = 0; forgets && i < w->n; i++)
            w->ends[i].fd = -1; /* and stays open */
        forgets = 0;
    }
}

void test_way_open(struct test_way *t, const struct test_redis *r)
{
    struct way w = {.listener = socket(AF_INET, SOCK_STREAM, 0), .to = r->port};
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof(a);

    assert_int_equal(bind(w.listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(w.listener, WAY_CONNECTIONS_MAX), 0);
    assert_int_equal(getsockname(w.listener, (struct sockaddr *)&a, &len), 0);
    t->port = ntohs(a.sin_port);
    t->pid = fork();
    assert_true(t->pid >= 0);
    if (t->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGUSR1, on_forget);
        way_run(&w);
    }
    close(w.listener);
}

void test_way_forget(const struct test_way *t)
{
    kill(t->pid, SIGUSR1);
}

void test_way_close(struct test_way *t)
{
    kill(t->pid, SIGKILL);
    waitpid(t->pid, NULL, 0);
    t->pid = 0;
}
