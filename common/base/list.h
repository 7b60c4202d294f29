/* SPDX-License-Identifier: Apache-2.0
 * list.h - intrusive doubly linked list.
 *
 * The head is a struct list too. Ownership: the list owns nothing. Not thread-safe. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_push_back(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

/* Takes item out of its list; item is then an empty list, so removing twice is harmless. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* Walks the items; the current one may be removed within the body, others may not. */
#define list_for_each(it, head) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)
