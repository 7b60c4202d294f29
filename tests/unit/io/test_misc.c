/* SPDX-License-Identifier: Apache-2.0 */
#include "io/fd_watch.h"
#include "io/job.h"
#include "io/signal.h"
#include "loop.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- fd_watch -------------------------------------------------------------------------------- */

struct watched {
    struct test_loop loop;
    struct fd_watch *watch;
    int fds[2];
    unsigned reads, writes;
};

static void on_ready(void *arg, int err, bool readable, bool writable)
{
    struct watched *s = arg;
    char byte;

    assert_int_equal(err, 0);
    if (readable) {
        s->reads++;
        assert_int_equal(read(s->fds[0], &byte, 1), 1);
        worker_stop(s->loop.w);
    }
    if (writable) {
        s->writes++;
        fd_watch_want(s->watch, true, false);
    }
}

static void a_watched_descriptor_reports_what_is_wanted(void **state)
{
    struct watched s = {0};

    (void)state;
    test_loop_init(&s.loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.fds), 0);
    assert_int_equal(fd_watch_open(&s.watch, s.loop.w, s.fds[0], on_ready, &s), 0);
    assert_int_equal(write(s.fds[1], "a", 1), 1);
    test_loop_run_for(&s.loop, 1000);
    assert_int_equal(s.reads + s.writes, 0); /* nothing is wanted yet */
    fd_watch_want(s.watch, false, true);
    test_loop_run(&s.loop);
    assert_int_equal(s.writes, 1);
    assert_int_equal(s.reads, 1);
    fd_watch_want(s.watch, false, false);
    assert_int_equal(write(s.fds[1], "b", 1), 1);
    test_loop_run_for(&s.loop, 1000);
    assert_int_equal(s.reads, 1);
    fd_watch_close(&s.watch);
    assert_null(s.watch);
    close(s.fds[0]);
    close(s.fds[1]);
    test_loop_fini(&s.loop);
}

static void close_when_ready(void *arg, int err, bool readable, bool writable)
{
    struct watched *s = arg;

    (void)err;
    (void)writable;
    s->reads += readable;
    fd_watch_close(&s->watch);
    close(s->fds[0]);
}

static void a_watch_may_be_closed_in_its_callback(void **state)
{
    struct watched s = {0};

    (void)state;
    test_loop_init(&s.loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.fds), 0);
    assert_int_equal(fd_watch_open(&s.watch, s.loop.w, s.fds[0], close_when_ready, &s), 0);
    fd_watch_want(s.watch, true, true);
    close(s.fds[1]);
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(s.reads, 1);
    assert_null(s.watch);
    test_loop_fini(&s.loop);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

struct sum {
    struct job job;
    struct test_loop *loop;
    pthread_t ran_in;
    unsigned in, out, done;
};

static void run_sum(struct job *j)
{
    struct sum *s = container_of(j, struct sum, job);

    s->ran_in = pthread_self();
    s->out = s->in * 2;
}

static void sum_done(struct job *j)
{
    struct sum *s = container_of(j, struct sum, job);

    s->done++;
    if (s->loop)
        worker_stop(s->loop->w);
}

static void a_job_runs_in_another_thread_and_ends_on_the_worker(void **state)
{
    struct test_loop loop;
    struct sum s = {.job = {.run = run_sum, .on_done = sum_done}, .loop = &loop, .in = 21};

    (void)state;
    test_loop_init(&loop);
    assert_int_equal(job_start(loop.w, &s.job), 0);
    test_loop_run(&loop);
    assert_int_equal(s.out, 42);
    assert_int_equal(s.done, 1);
    assert_false(pthread_equal(s.ran_in, pthread_self()));
    test_loop_fini(&loop);
}

static void a_job_under_way_is_waited_for_when_the_worker_is_destroyed(void **state)
{
    struct test_loop loop;
    struct sum s[8];

    (void)state;
    test_loop_init(&loop);
    for (unsigned i = 0; i < LEN(s); i++) {
        s[i] = (struct sum){.job = {.run = run_sum, .on_done = sum_done}, .in = i};
        assert_int_equal(job_start(loop.w, &s[i].job), 0);
    }
    test_loop_fini(&loop);
    for (unsigned i = 0; i < LEN(s); i++)
        assert_int_equal(s[i].done, 1);
}

/* ---- Signals --------------------------------------------------------------------------------- */

static void on_signal(void *arg, int signum)
{
    struct test_loop *l = arg;

    assert_int_equal(signum, SIGUSR1);
    worker_stop(l->w);
}

static void a_signal_is_an_event_of_the_loop(void **state)
{
    struct test_loop l;
    struct signal_watch *s;

    (void)state;
    test_loop_init(&l);
    assert_int_equal(signal_watch_open(&s, l.w, SIGUSR1, on_signal, &l), 0);
    raise(SIGUSR1);
    test_loop_run(&l);
    signal_watch_close(&s);
    assert_null(s);
    test_loop_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watched_descriptor_reports_what_is_wanted),
        cmocka_unit_test(a_watch_may_be_closed_in_its_callback),
        cmocka_unit_test(a_job_runs_in_another_thread_and_ends_on_the_worker),
        cmocka_unit_test(a_job_under_way_is_waited_for_when_the_worker_is_destroyed),
        cmocka_unit_test(a_signal_is_an_event_of_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
