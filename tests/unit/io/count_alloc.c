/* SPDX-License-Identifier: Apache-2.0 */
#include "count_alloc.h"

#include <stdatomic.h>

static atomic_size_t allocs, frees;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

void *__wrap_malloc(size_t n)
{
    allocs++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocs++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    allocs++;
    frees += p != NULL;
    return __real_realloc(p, n);
}

void __wrap_free(void *p)
{
    frees += p != NULL;
    __real_free(p);
}

size_t count_allocs(void)
{
    return allocs;
}

size_t count_live(void)
{
    return allocs - frees;
}
