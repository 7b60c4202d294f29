/* SPDX-License-Identifier: Apache-2.0
 * count_alloc.h - counts the calls of malloc and free made by this program's own code (linked with
 * --wrap; not by shared libraries). */
#pragma once

#include <stddef.h>

size_t count_allocs(void); /* malloc, calloc, realloc so far */
size_t count_live(void);   /* blocks not yet freed */
