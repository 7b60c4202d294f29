/* SPDX-License-Identifier: Apache-2.0
 * fuzz_http.c - the bytes of a connection through the request parser. The first byte is the size of
 * the pieces they come in. */
#include "http/request_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What handlers and static files rely on. */
static void check(const struct request *r)
{
    if (r->path[0] != '/' || strstr(r->path, "//") || strstr(r->path, "/../") || strstr(r->path, "/./"))
        abort();
    for (const char *p = r->path; *p; p++)
        if ((unsigned char)*p < ' ')
            abort();
    for (size_t i = 0; i < r->n_fields; i++)
        if (strlen(r->text.p + r->fields[i].name) + strlen(r->text.p + r->fields[i].value) > r->text.len)
            abort();
    for (size_t i = 0; i < r->n_params; i++)
        if (strlen(r->params[i].name) + strlen(r->params[i].value) > REQUEST_TARGET_MAX)
            abort();
}

/* Returns 0 to go on, with the bytes used. */
static int feed_piece(struct request_parser *p, const uint8_t *bytes, size_t len, size_t *used)
{
    uint8_t *exact = malloc(len);
    enum request_event event;

    memcpy(exact, bytes, len);
    int err = request_parser_feed(p, exact, len, used, &event);
    free(exact);
    if (err || event != REQUEST_DONE)
        return err;
    struct request *r = request_parser_take(p);
    check(r);
    request_destroy(&r);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct request_parser *p;
    size_t step = len ? bytes[0] + 1u : 1, used = 0;

    if (request_parser_create(&p, 2000))
        return 0;
    for (size_t at = len ? 1 : 0; at < len; at += used)
        if (feed_piece(p, bytes + at, len - at < step ? len - at : step, &used))
            break;
    struct request *r = request_parser_take(p); /* as a refused one goes into its reply */
    request_destroy(&r);
    request_parser_destroy(&p);
    return 0;
}
