/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

enum { OBJECT_BYTES = 1500, GIVERS = 3, ROUNDS = 100000, SLOTS = 64 };

static void what_is_given_back_is_taken_again(void **state)
{
    struct pool *p;
    void *all[400];

    (void)state;
    assert_int_equal(pool_create(&p, OBJECT_BYTES, LEN(all)), 0);
    assert_int_equal(pool_made(p), 0);
    for (size_t i = 0; i < LEN(all); i++) {
        all[i] = pool_take(p);
        assert_non_null(all[i]);
        assert_int_equal((uintptr_t)all[i] % 64, 0);
        memset(all[i], (int)i, OBJECT_BYTES);
    }
    for (size_t i = 0; i < LEN(all); i++) { /* nobody's bytes are another's */
        assert_int_equal(((uint8_t *)all[i])[0], (uint8_t)i);
        assert_int_equal(((uint8_t *)all[i])[OBJECT_BYTES - 1], (uint8_t)i);
    }
    size_t made = pool_made(p);
    for (size_t i = 0; i < LEN(all); i++)
        pool_give(p, all[i]);
    for (size_t i = 0; i < LEN(all); i++)
        assert_non_null(all[i] = pool_take(p));
    assert_int_equal(pool_made(p), made);
    pool_destroy(&p);
    assert_null(p);
}

static void the_cap_is_kept_up_to_a_slab(void **state)
{
    struct pool *p;
    size_t n = 0;

    (void)state;
    assert_int_equal(pool_create(&p, OBJECT_BYTES, 1000), 0);
    while (pool_take(p))
        n++;
    assert_in_range(n, 1000, 1000 + 256 * 1024 / OBJECT_BYTES);
    assert_int_equal(n, pool_made(p));
    assert_int_equal(pool_reserve(p, n + 1), -1);
    pool_destroy(&p);
}

static void objects_reserved_are_there(void **state)
{
    struct pool *p;

    (void)state;
    assert_int_equal(pool_create(&p, OBJECT_BYTES, 1000), 0);
    assert_int_equal(pool_reserve(p, 500), 0);
    size_t made = pool_made(p);
    assert_true(made >= 500);
    for (int i = 0; i < 500; i++)
        assert_non_null(pool_take(p));
    assert_int_equal(pool_made(p), made);
    pool_destroy(&p);
}

/* One thread takes and writes; three give back what they find. */
struct relay {
    struct pool *pool;
    _Atomic(uint32_t *) slots[SLOTS];
    atomic_uint given, wrong;
    atomic_bool done;
};

static void *give_back(void *arg)
{
    struct relay *r = arg;

    for (size_t i = 0; !r->done || r->given < ROUNDS; i++) {
        uint32_t *object = atomic_exchange(&r->slots[i % SLOTS], NULL);

        if (!object)
            continue;
        if (object[0] != object[100])
            r->wrong++;
        pool_give(r->pool, object);
        r->given++;
    }
    return NULL;
}

static void place(struct relay *r, uint32_t round)
{
    uint32_t *object = pool_take(r->pool), *none = NULL;

    assert_non_null(object);
    object[0] = object[100] = round;
    for (size_t at = round;; at++, none = NULL)
        if (atomic_compare_exchange_strong(&r->slots[at % SLOTS], &none, object))
            return;
}

static void any_thread_may_give_back_while_the_owner_takes(void **state)
{
    static struct relay r;
    pthread_t threads[GIVERS];

    (void)state;
    assert_int_equal(pool_create(&r.pool, OBJECT_BYTES, 2000), 0);
    for (int i = 0; i < GIVERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, give_back, &r), 0);
    for (uint32_t i = 0; i < ROUNDS; i++)
        place(&r, i);
    r.done = true;
    for (int i = 0; i < GIVERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(r.given, ROUNDS);
    assert_int_equal(r.wrong, 0);
    assert_true(pool_made(r.pool) <= 350); /* 64 slots and 3 hands: a slab or two */
    pool_destroy(&r.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_back_is_taken_again),
        cmocka_unit_test(the_cap_is_kept_up_to_a_slab),
        cmocka_unit_test(objects_reserved_are_there),
        cmocka_unit_test(any_thread_may_give_back_while_the_owner_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
