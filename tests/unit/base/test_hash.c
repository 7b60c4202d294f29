/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 5000 };

struct entry {
    struct hash_item item;
    char key[16];
    unsigned number;
};

static void many_items_are_found_and_removed(void **state)
{
    struct hash h;
    struct entry *e = calloc(MANY, sizeof(*e));
    size_t walked = 0;

    (void)state;
    assert_int_equal(hash_init(&h), 0);
    for (unsigned i = 0; i < MANY; i++) {
        e[i].number = i;
        snprintf(e[i].key, sizeof(e[i].key), "live/%u", i);
        assert_null(hash_find(&h, e[i].key, strlen(e[i].key)));
        hash_push(&h, &e[i].item, e[i].key, strlen(e[i].key));
    }
    assert_int_equal(h.count, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        struct hash_item *it = hash_find(&h, e[i].key, strlen(e[i].key));
        assert_int_equal(container_of(it, struct entry, item)->number, i);
        uint64_t code = hash_code(e[i].key, strlen(e[i].key));
        hash_prefetch_bucket(&h, code);
        hash_prefetch_item(&h, code);
        assert_ptr_equal(hash_find_code(&h, e[i].key, strlen(e[i].key), code), it);
    }
    assert_null(hash_find(&h, "live/", 5)); /* a key's beginning is another key */
    hash_for_each(it, &h) {
        walked++;
        if (container_of(it, struct entry, item)->number % 2)
            hash_remove(&h, it);
    }
    assert_int_equal(walked, MANY);
    assert_int_equal(h.count, MANY / 2);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(hash_find(&h, e[i].key, strlen(e[i].key)) != NULL, i % 2 == 0);
    hash_fini(&h);
    free(e);
}

/* SipHash-2-4's published vector has another key; what matters is that the stable code is the same in
 * every process for ever: streams' homes and nodes' ranks depend on it. */
static void the_stable_code_never_changes_and_the_other_is_not_it(void **state)
{
    (void)state;
    assert_int_equal(hash_code_stable("live/test", 9), 0x1185c0f9dc0227a5);
    assert_int_not_equal(hash_code_stable("live/test", 9), hash_code_stable("live/test2", 10));
    assert_int_not_equal(hash_code_stable("live/test", 9), hash_code("live/test", 9));
    assert_int_equal(hash_code("live/test", 9), hash_code("live/test", 9));
}

static void a_list_keeps_its_order_and_the_current_may_go(void **state)
{
    struct list head, items[5];
    size_t n = 0;

    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    for (size_t i = 0; i < LEN(items); i++)
        list_push_back(&head, &items[i]);
    list_for_each(it, &head) {
        assert_ptr_equal(it, &items[n]);
        if (n++ % 2)
            list_remove(it);
    }
    assert_int_equal(n, 5);
    list_remove(&items[1]); /* twice is harmless */
    assert_ptr_equal(head.next, &items[0]);
    assert_ptr_equal(head.next->next, &items[2]);
    assert_ptr_equal(head.prev, &items[4]);
    assert_false(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_items_are_found_and_removed),
        cmocka_unit_test(the_stable_code_never_changes_and_the_other_is_not_it),
        cmocka_unit_test(a_list_keeps_its_order_and_the_current_may_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
