/* SPDX-License-Identifier: Apache-2.0 */
#include "count_alloc.h"
#include "tcp_scene.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void a_port_in_use_is_noticed_although_workers_share_it(void **state)
{
    struct scene s;
    struct tcp_listener *one, *two, *three;
    struct addr a;

    (void)state;
    scene_init(&s);
    assert_int_equal(tcp_listen(&one, s.loop.w, &s.addr, false, scene_on_accept, &s), -EADDRINUSE);
    assert_int_equal(tcp_probe(&s.addr), -EADDRINUSE);
    assert_int_equal(addr_parse(&a, "127.0.0.1:0"), 0);
    assert_int_equal(tcp_listen(&one, s.loop.w, &a, true, scene_on_accept, &s), 0);
    tcp_listener_local(one, &a);
    assert_int_equal(tcp_probe(&a), -EADDRINUSE);
    assert_int_equal(tcp_listen(&two, s.loop.w, &a, true, scene_on_accept, &s), 0);
    assert_int_equal(tcp_listen(&three, s.loop.w, &a, false, scene_on_accept, &s), -EADDRINUSE);
    tcp_listener_close(&one);
    tcp_listener_close(&two);
    assert_int_equal(tcp_probe(&a), 0);
    scene_fini(&s);
}

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Each connection sends a byte, gets it back, and is closed by one side or the other. */
static void echo(void *arg, const uint8_t *bytes, size_t len)
{
    tcp_write(arg, bytes, len);
}

static void churn_server_closed(void *arg, int err)
{
    (void)arg;
    (void)err;
}

static const struct tcp_ops churn_server_ops = {NULL, echo, NULL, churn_server_closed};

static void churn_accept(void *arg, struct tcp *t)
{
    (void)arg;
    tcp_set_ops(t, &churn_server_ops, t);
}

static void churn_next(struct scene *s);

static void churn_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;

    (void)bytes;
    s->received += len;
    if (s->received % 2)
        tcp_close(s->t);
    else
        tcp_shutdown(s->t, 1000000);
}

static void churn_closed(void *arg, int err)
{
    struct side *s = arg;

    s->closes++;
    s->wrong += err != -ECANCELED;
    churn_next(s->scene);
}

static const struct tcp_ops churn_ops = {NULL, churn_data, NULL, churn_closed};

static void churn_next(struct scene *s)
{
    if (s->left-- == 0) {
        worker_stop(s->loop.w);
        return;
    }
    scene_connect(s, &churn_ops);
    tcp_write(s->client.t, "x", 1);
}

static void a_thousand_connections_leave_nothing_behind(void **state)
{
    struct scene s;

    (void)state;
    unsigned fds = open_fds();
    size_t live = count_live();
    scene_init(&s);
    tcp_listener_close(&s.listener);
    assert_int_equal(tcp_listen(&s.listener, s.loop.w, &s.addr, false, churn_accept, &s), 0);
    tcp_listener_local(s.listener, &s.addr);
    s.left = 1000;
    churn_next(&s);
    test_loop_run(&s.loop);
    assert_int_equal(s.client.closes, 1000);
    assert_int_equal(s.client.received, 1000);
    assert_int_equal(s.client.wrong, 0);
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(tcp_counters(s.loop.w)->accepted, 1000);
    assert_int_equal(tcp_counters(s.loop.w)->connected, 1000);
    assert_int_equal(tcp_counters(s.loop.w)->closed, 2000);
    s.client.t = NULL;
    scene_fini(&s);
    assert_int_equal(open_fds(), fds);
    assert_int_equal(count_live(), live);
}

static void without_descriptors_connections_are_refused_and_the_listener_goes_on(void **state)
{
    struct scene s;
    struct rlimit before, tight;
    char byte;

    (void)state;
    scene_init(&s);
    int refused = raw_connect(&s); /* waits in the backlog */
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = (rlim_t)refused + 1; /* the next descriptor has no number */
    setrlimit(RLIMIT_NOFILE, &tight);
    test_loop_run_for(&s.loop, 3000);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(tcp_counters(s.loop.w)->refused, 1);
    assert_null(s.server.t);
    assert_true(recv(refused, &byte, 1, 0) <= 0);
    close(refused);
    scene_connect(&s, side_ops());
    test_loop_run_for(&s.loop, 3000);
    assert_int_equal(s.client.opens, 1);
    assert_non_null(s.server.t);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_in_use_is_noticed_although_workers_share_it),
        cmocka_unit_test(a_thousand_connections_leave_nothing_behind),
        cmocka_unit_test(without_descriptors_connections_are_refused_and_the_listener_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
