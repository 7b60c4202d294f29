/* SPDX-License-Identifier: Apache-2.0
 * fuzz_amf0.c - AMF0 messages, value by value and skipping containers; values are written again. */
#include <stdlib.h>

#include "wire/amf0.h"

static void write_value(struct writer *w, const struct amf0_value *v)
{
    switch (v->type) {
    case AMF0_NUMBER: amf0_write_number(w, v->number); break;
    case AMF0_BOOLEAN: amf0_write_boolean(w, v->boolean); break;
    case AMF0_STRING: amf0_write_str(w, v->string); break;
    case AMF0_DATE: amf0_write_date(w, v->number); break;
    case AMF0_NULL: amf0_write_null(w); break;
    default: amf0_write_undefined(w); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amf0_reader a = amf0_reader_init(data, size);
    struct amf0_value v;
    uint8_t out[8192];
    struct writer w = writer_init(out, sizeof(out));
    size_t values = 0;

    for (; amf0_next(&a, &v) == 1; values++) {
        if (v.depth > AMF0_DEPTH_MAX || values > 2 * size)
            abort(); /* a value takes a byte at least, and may open a container that closes */
        write_value(&w, &v);
        if (v.type == AMF0_STRICT_ARRAY && v.depth > 2 && amf0_skip(&a, &v))
            break;
    }
    a = amf0_reader_init(out, w.bad ? 0 : writer_len(&w));
    while (amf0_next(&a, &v) == 1)
        ;
    a = amf0_reader_init(data, size);
    while (amf0_next(&a, &v) == 1 && amf0_skip(&a, &v) == AMF0_OK)
        ;
    return 0;
}
