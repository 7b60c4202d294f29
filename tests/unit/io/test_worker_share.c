/* SPDX-License-Identifier: Apache-2.0
 * Workers that rest take turns in one thread. Each of the two looks at nothing once a turn and rests 1 ms after it, until told otherwise. */
#include "loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HOST, GUEST, REST_US = 1000, DEADLINE_US = 60000000 };

struct looker {
    struct worker *w;
    struct timer look, deadline;
    pthread_t thread; /* its own: that of its first look */
    bool known;       /* it is */
    atomic_bool rests, busy, late;
    atomic_uint home, away; /* looks in its own thread, and in another, since the last look in the other */
    atomic_uint mails;
};

static struct looker lookers[2];

static void burn(uint64_t us)
{
    struct timespec from, now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((uint64_t)(now.tv_sec - from.tv_sec) * 1000000 + (uint64_t)now.tv_nsec / 1000 < us + (uint64_t)from.tv_nsec / 1000);
}

static void on_look(struct timer *t, uint64_t now_us)
{
    struct looker *l = container_of(t, struct looker, look);

    (void)now_us;
    if (!l->known)
        l->thread = pthread_self();
    l->known = true;
    bool home = pthread_equal(l->thread, pthread_self());
    atomic_store(home ? &l->away : &l->home, 0);
    atomic_fetch_add(home ? &l->home : &l->away, 1);
    if (l->busy)
        burn(2 * REST_US);
    if (l->rests)
        worker_rest(l->w, REST_US);
    timer_start(t, l->rests ? 0 : REST_US);
}

static void on_deadline(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    atomic_store(&container_of(t, struct looker, deadline)->late, true);
}

static void open_both(void)
{
    struct worker *v[2];

    for (int i = 0; i < 2; i++) {
        struct looker *l = &lookers[i];
        *l = (struct looker){.rests = true};
        assert_int_equal(worker_create(&l->w, &(struct worker_cfg){.name = i == HOST ? "host" : "guest", .index = (unsigned)i}), 0);
        timer_init(&l->look, l->w, on_look);
        timer_init(&l->deadline, l->w, on_deadline);
        timer_start(&l->look, 0);
        timer_start(&l->deadline, DEADLINE_US);
        v[i] = l->w;
    }
    worker_share(v, 2);
}

static void start_both(void)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(worker_start(lookers[i].w), 0);
}

/* Until so many looks in a row were in a looker's own thread, or in another's; or so many mails have come. */
static void wait_for(const atomic_uint *count, unsigned n)
{
    while (*count < n && !lookers[HOST].late && !lookers[GUEST].late)
        usleep(1000);
    assert_false(lookers[HOST].late || lookers[GUEST].late);
}

static void on_stop(struct mail *m, struct worker *w)
{
    free(m);
    worker_stop(w);
}

static void on_count(struct mail *m, struct worker *w)
{
    free(m);
    atomic_fetch_add(&lookers[w == lookers[GUEST].w].mails, 1);
}

static void post(int to, void (*run)(struct mail *, struct worker *))
{
    struct mail *m = calloc(1, sizeof(*m));

    assert_non_null(m);
    m->run = run;
    worker_post(lookers[to].w, m);
}

static void stop(int which)
{
    post(which, on_stop);
    worker_join(lookers[which].w);
}

static void close_both(void)
{
    for (int i = 0; i < 2; i++) {
        timer_stop(&lookers[i].look);
        timer_stop(&lookers[i].deadline);
        worker_destroy(&lookers[i].w);
    }
}

static void workers_that_rest_run_in_one_thread_until_one_of_them_does_not(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        open_both();
        start_both();
        wait_for(&lookers[GUEST].away, 20);
        post(GUEST, on_count);
        wait_for(&lookers[GUEST].mails, 1);
        post(HOST, on_count);
        wait_for(&lookers[HOST].mails, 1);
        lookers[who].rests = false;
        wait_for(&lookers[GUEST].home, 20);
        lookers[who].rests = true;
        wait_for(&lookers[GUEST].away, 20);
        assert_int_equal(lookers[HOST].away, 0);
        stop(GUEST);
        stop(HOST);
        close_both();
    }
}

static void a_guest_goes_home_when_its_host_ends(void **state)
{
    (void)state;
    open_both();
    start_both();
    wait_for(&lookers[GUEST].away, 20);
    stop(HOST);
    wait_for(&lookers[GUEST].home, 20);
    stop(GUEST);
    close_both();
}

static void who_is_busy_stays_in_its_own_thread(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        open_both();
        lookers[who].busy = true;
        start_both();
        wait_for(&lookers[GUEST].home, 300);
        assert_int_equal(lookers[GUEST].away, 0);
        stop(HOST);
        stop(GUEST);
        close_both();
    }
}

static void a_guest_that_becomes_busy_goes_home(void **state)
{
    (void)state;
    open_both();
    start_both();
    wait_for(&lookers[GUEST].away, 20);
    lookers[GUEST].busy = true;
    wait_for(&lookers[GUEST].home, 20);
    stop(HOST);
    stop(GUEST);
    close_both();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_that_rest_run_in_one_thread_until_one_of_them_does_not),
        cmocka_unit_test(a_guest_goes_home_when_its_host_ends),
        cmocka_unit_test(who_is_busy_stays_in_its_own_thread),
        cmocka_unit_test(a_guest_that_becomes_busy_goes_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
