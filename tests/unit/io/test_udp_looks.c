/* SPDX-License-Identifier: Apache-2.0
 * test_udp_looks.c - how often a worker looks at what viewers say (udp_cfg.after_media), while they speak all the time. */
#include "io/udp.h"
#include "loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    LOOK_US = 3000, /* as udp.h says */
    SPARING_US = 10000,
    WORK_US = 2000, /* what is said takes so long: the worker is busy for a sixth of its time at least */
    BUSY_PERMILLE = 50,
    GAPS = 15,
    SAY_EACH_US = 300,
    TURN_US = 1000,
};

enum phase { UNTIL_BUSY, SPARING, HURRIED, BESIDE_OTHER_TURNS };

struct talk {
    struct test_loop loop;
    struct udp_socket *s;
    struct addr to;
    struct timer turn;
    atomic_bool over;
    enum phase phase;
    bool first;   /* look of the phase: the gap before it belongs to the other */
    uint64_t looked_us;
    unsigned gaps, soon; /* gaps of the phase; those that were shorter than where wake-ups are spared */
    uint64_t least_us[BESIDE_OTHER_TURNS + 1];
};

static void *say(void *arg)
{
    struct talk *t = arg;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    while (!atomic_load(&t->over) && sendto(fd, "word", 4, 0, &t->to.sa, addr_len(&t->to)) == 4)
        usleep(SAY_EACH_US);
    close(fd);
    return NULL;
}

static void enter(struct talk *t, enum phase phase)
{
    t->phase = phase;
    t->first = true;
    t->gaps = t->soon = 0;
    udp_hurry(t->s, phase == HURRIED);
    if (phase == BESIDE_OTHER_TURNS)
        timer_start(&t->turn, TURN_US);
}

/* Each phase lasts until it has shown what it is to show; one that never does ends at the loop's deadline. */
static void on_gap(struct talk *t, uint64_t gap_us)
{
    uint64_t *least_us = &t->least_us[t->phase];

    t->gaps++;
    t->soon += gap_us < SPARING_US;
    *least_us = *least_us && *least_us < gap_us ? *least_us : gap_us;
    if (t->phase == SPARING && t->gaps == GAPS)
        enter(t, HURRIED);
    else if (t->phase == HURRIED && t->soon > 0)
        enter(t, BESIDE_OTHER_TURNS);
    else if (t->phase == BESIDE_OTHER_TURNS && t->soon > 0)
        worker_stop(t->loop.w);
}

static void on_words(void *arg, struct udp_datagram *v, size_t n)
{
    struct talk *t = arg;
    uint64_t now_us = worker_now_us(t->loop.w), gap_us = now_us - t->looked_us;

    (void)v, (void)n;
    if (gap_us == 0)
        return; /* the same look */
    t->looked_us = now_us;
    usleep(WORK_US);
    if (t->phase == UNTIL_BUSY) {
        if (governor_load_permille(worker_governor(t->loop.w)) >= BUSY_PERMILLE)
            enter(t, SPARING);
    } else if (t->first) {
        t->first = false;
    } else {
        on_gap(t, gap_us);
    }
}

static void on_turn(struct timer *timer, uint64_t now_us)
{
    (void)now_us;
    timer_start(timer, TURN_US);
}

static void a_busy_worker_is_woken_seldom_for_what_viewers_say_unless_somebody_joins(void **state)
{
    struct talk t = {.phase = UNTIL_BUSY};
    struct udp_cfg cfg = {.on_datagrams = on_words, .after_media = true, .arg = &t};
    pthread_t thread;

    (void)state;
    test_loop_init(&t.loop);
    timer_init(&t.turn, t.loop.w, on_turn);
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&t.s, t.loop.w, &cfg), 0);
    udp_local(t.s, &t.to);
    assert_int_equal(pthread_create(&thread, NULL, say, &t), 0);
    test_loop_run(&t.loop);
    atomic_store(&t.over, true);
    pthread_join(thread, NULL);
    assert_in_range(t.least_us[SPARING], SPARING_US, UINT64_MAX);
    assert_in_range(t.least_us[HURRIED], LOOK_US, SPARING_US - 1);
    assert_in_range(t.least_us[BESIDE_OTHER_TURNS], LOOK_US, SPARING_US - 1);
    timer_stop(&t.turn);
    udp_close(&t.s);
    test_loop_fini(&t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_busy_worker_is_woken_seldom_for_what_viewers_say_unless_somebody_joins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
