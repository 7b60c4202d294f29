/* SPDX-License-Identifier: Apache-2.0
 * test_reorder.c - media/reorder: order, gaps that are filled in time and gaps that are not. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "media/reorder.h"

enum { WAIT_US = 1000, STEPS_MAX = 12, PUSH = 1, AT = 2 };

static struct pool *pool;

static int make_pool(void **state)
{
    (void)state;
    return packet_pool_create(&pool, 4096);
}

static int drop_pool(void **state)
{
    (void)state;
    pool_destroy(&pool);
    return 0;
}

static void push(struct reorder *r, uint64_t seq)
{
    struct packet *p = packet_create(pool);

    assert_non_null(p);
    p->seq = PACKET_SEQ_FIRST + seq;
    reorder_push(r, p);
    packet_unref(&p);
}

/* What comes out now, as "1 2 3 ". */
static void pop_all(struct reorder *r, uint64_t now_us, char *out, size_t cap)
{
    struct packet *p;
    size_t n = strlen(out);

    while ((p = reorder_pop(r, now_us))) {
        n += (size_t)snprintf(out + n, cap - n, "%u ", (unsigned)(p->seq - PACKET_SEQ_FIRST));
        packet_unref(&p);
    }
}

struct step {
    int what; /* PUSH a seq; AT a time, pop */
    uint64_t value;
};

static const struct {
    const char *name;
    struct step steps[STEPS_MAX];
    const char *out;
    uint64_t lost, late;
} rows[] = {
    {"in order", {{PUSH, 1}, {AT, 1}, {PUSH, 2}, {PUSH, 3}, {AT, 2}}, "1 2 3 ", 0, 0},
    {"two exchanged", {{PUSH, 1}, {PUSH, 3}, {AT, 1}, {PUSH, 2}, {AT, 2}}, "1 2 3 ", 0, 0},
    {"a gap holds up what is behind it", {{PUSH, 1}, {PUSH, 3}, {PUSH, 4}, {AT, 1}, {AT, WAIT_US}}, "1 ", 0, 0},
    {"and is given up in the end", {{PUSH, 1}, {PUSH, 3}, {PUSH, 4}, {AT, 1}, {AT, 1 + WAIT_US}}, "1 3 4 ", 1, 0},
    {"what comes after that is late", {{PUSH, 1}, {PUSH, 3}, {AT, 1}, {AT, 1 + WAIT_US}, {PUSH, 2}, {AT, 2 + WAIT_US}}, "1 3 ", 1, 1},
    {"twice is once", {{PUSH, 1}, {PUSH, 3}, {PUSH, 3}, {PUSH, 2}, {AT, 1}, {PUSH, 1}}, "1 2 3 ", 0, 2},
    {"each gap waits by itself", {{PUSH, 1}, {PUSH, 3}, {PUSH, 5}, {AT, 1}, {AT, 1 + WAIT_US}, {AT, 2 * WAIT_US}}, "1 3 ", 1, 0},
    {"beyond all slots begins anew", {{PUSH, 1}, {PUSH, 3}, {AT, 1}, {PUSH, 5000}, {AT, 2}}, "1 5000 ", 4998, 0},
    {"the farthest that fits waits", {{PUSH, 1}, {AT, 1}, {PUSH, 1 + REORDER_SLOTS}, {AT, 2}}, "1 ", 0, 0},
};

static void each_row_comes_out_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct reorder r;
        char out[128] = "";
        reorder_init(&r, WAIT_US);
        for (size_t k = 0; k < STEPS_MAX && rows[i].steps[k].what; k++) {
            if (rows[i].steps[k].what == PUSH)
                push(&r, rows[i].steps[k].value);
            else
                pop_all(&r, rows[i].steps[k].value, out, sizeof(out));
        }
        if (strcmp(out, rows[i].out) != 0)
            print_message("row: %s\n", rows[i].name);
        assert_string_equal(out, rows[i].out);
        assert_int_equal(r.lost, rows[i].lost);
        assert_int_equal(r.late, rows[i].late);
        reorder_fini(&r);
    }
}

static void a_start_is_waited_for_and_then_passed_over(void **state)
{
    struct reorder r;
    char out[64] = "";

    (void)state;
    reorder_init(&r, WAIT_US);
    reorder_start(&r, PACKET_SEQ_FIRST + 10);
    push(&r, 12);
    push(&r, 9); /* before the start */
    pop_all(&r, 5, out, sizeof(out));
    assert_string_equal(out, "");
    assert_int_equal(reorder_due_us(&r), 5 + WAIT_US);
    push(&r, 10);
    pop_all(&r, 6, out, sizeof(out));
    assert_string_equal(out, "10 ");
    pop_all(&r, 6 + WAIT_US, out, sizeof(out));
    assert_string_equal(out, "10 12 ");
    assert_int_equal(reorder_due_us(&r), UINT64_MAX);
    reorder_reset(&r);
    push(&r, 3);
    pop_all(&r, 7, out, sizeof(out));
    assert_string_equal(out, "10 12 3 ");
    reorder_fini(&r);
}

/* Whatever the order within a window that fits, all come out, sorted. */
static void any_order_within_the_wait_comes_out_sorted(void **state)
{
    uint64_t noise = 99;

    (void)state;
    for (int round = 0; round < 50; round++) {
        struct reorder r;
        uint64_t seqs[64], next = PACKET_SEQ_FIRST;
        reorder_init(&r, WAIT_US);
        reorder_start(&r, next);
        for (size_t i = 0; i < LEN(seqs); i++)
            seqs[i] = i;
        for (size_t i = LEN(seqs); i > 1; i--) {
            size_t j = noise_next(&noise) % i;
            uint64_t s = seqs[i - 1];
            seqs[i - 1] = seqs[j];
            seqs[j] = s;
        }
        for (size_t i = 0; i < LEN(seqs); i++) {
            struct packet *p;
            push(&r, seqs[i]);
            while ((p = reorder_pop(&r, 1))) {
                assert_int_equal(p->seq, next++);
                packet_unref(&p);
            }
        }
        assert_int_equal(next, PACKET_SEQ_FIRST + LEN(seqs));
        reorder_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_comes_out_as_written),
        cmocka_unit_test(a_start_is_waited_for_and_then_passed_over),
        cmocka_unit_test(any_order_within_the_wait_comes_out_sorted),
    };
    return cmocka_run_group_tests(tests, make_pool, drop_pool);
}
