/* SPDX-License-Identifier: Apache-2.0
 * compiler.h - the few words of C that the compiler does not bring along. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of type `type` (const where the pointer is) whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) \
    ((type *)((uintptr_t)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))
