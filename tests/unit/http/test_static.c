/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "http/static.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct site {
    struct scene scene;
    struct http_static *files;
    char top[64], web[80];
};

static void put(const char *folder, const char *name, const char *bytes)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(bytes, f);
    fclose(f);
}

static void put_link(const char *folder, const char *name, const char *to)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(symlink(to, path), 0);
}

static void setup(struct site *s)
{
    char path[256];

    strcpy(s->top, "/tmp/millrace-test-XXXXXX");
    assert_non_null(mkdtemp(s->top));
    snprintf(s->web, sizeof(s->web), "%s/web", s->top);
    snprintf(path, sizeof(path), "%s/web/sub", s->top);
    assert_int_equal(mkdir(s->web, 0755), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    put(s->top, "secret", "kept from you");
    put(s->web, "index.html", "<p>front");
    put(s->web, "app.mjs", "export {}");
    put(s->web, "x.CSS", "p {}");
    put(s->web, "pic.svg", "<svg/>");
    put(s->web, "m.wasm", "asm");
    put(s->web, "bytes", "?");
    put(s->web, "empty.txt", "");
    put(s->web, ".hidden", "hidden");
    put(path, "index.html", "<p>sub");
    put_link(s->web, "link.txt", "../secret");
    put_link(s->web, "out", "..");
    snprintf(path, sizeof(path), "%s/pipe", s->web);
    assert_int_equal(mkfifo(path, 0644), 0);
    scene_init(&s->scene, NULL);
    assert_int_equal(http_static_open(&s->files, s->scene.loop.w, s->web), 0);
    http_route(s->scene.server, HTTP_M_GET, "/*", http_static_handler, s->files);
}

static void teardown(struct site *s)
{
    char command[128];

    http_static_close(&s->files);
    assert_null(s->files);
    scene_fini(&s->scene);
    snprintf(command, sizeof(command), "rm -r %s", s->top);
    assert_int_equal(system(command), 0);
}

static struct text get(struct site *s, const char *path, const char *fields)
{
    char request[512];

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", path,
             fields);
    return scene_ask_open(&s->scene, request);
}

static const struct row {
    const char *name, *path, *status, *type, *body;
} rows[] = {
    {"front page", "/", "200", "text/html; charset=utf-8", "<p>front"},
    {"by name", "/index.html", "200", "text/html; charset=utf-8", "<p>front"},
    {"module", "/app.mjs", "200", "text/javascript; charset=utf-8", "export {}"},
    {"style, upper case", "/x.CSS", "200", "text/css; charset=utf-8", "p {}"},
    {"picture", "/pic.svg", "200", "image/svg+xml", "<svg/>"},
    {"code", "/m.wasm", "200", "application/wasm", "asm"},
    {"no suffix", "/bytes", "200", "application/octet-stream", "?"},
    {"empty file", "/empty.txt", "200", "text/plain; charset=utf-8", ""},
    {"folder's page", "/sub/", "200", "text/html; charset=utf-8", "<p>sub"},
    {"query does not matter", "/app.mjs?v=1", "200", "text/javascript; charset=utf-8", "export {}"},
    {"folder without slash", "/sub", "404", "application/problem+json", NULL},
    {"missing", "/missing.js", "404", "application/problem+json", NULL},
    {"file as folder", "/bytes/x", "404", "application/problem+json", NULL},
    {"hidden", "/.hidden", "404", "application/problem+json", NULL},
    {"link to outside", "/link.txt", "404", "application/problem+json", NULL},
    {"through a folder's link", "/out/secret", "404", "application/problem+json", NULL},
    {"traversal", "/../secret", "400", "application/problem+json", NULL},
    {"traversal, encoded", "/%2e%2e/secret", "400", "application/problem+json", NULL},
    {"traversal, encoded slash", "/sub%2f..%2f..%2fsecret", "400", "application/problem+json", NULL},
    {"absolute", "//etc/passwd", "404", "application/problem+json", NULL},
    {"pipe", "/pipe", "404", "application/problem+json", NULL},
};

static void each_path_gives_its_file_or_nothing(void **state)
{
    struct site s;
    char got[256], type[128];

    (void)state;
    setup(&s);
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("%s\n", rows[i].name);
        struct text reply = get(&s, rows[i].path, "");
        snprintf(type, sizeof(type), "Content-Type: %s\r\n", rows[i].type);
        assert_string_equal(statuses(&reply, got), rows[i].status);
        assert_non_null(strstr(reply.p, type));
        assert_int_equal(strstr(reply.p, "Cache-Control: no-cache\r\n") != NULL, rows[i].body != NULL);
        assert_null(strstr(reply.p, "kept from you"));
        if (rows[i].body)
            assert_string_equal(body_of(&reply), rows[i].body);
        text_fini(&reply);
    }
    teardown(&s);
}

static void a_name_longer_than_any_file_is_not_found(void **state)
{
    struct site s;
    char path[400], got[256];

    (void)state;
    setup(&s);
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    struct text reply = get(&s, path, "");
    assert_string_equal(statuses(&reply, got), "404");
    text_fini(&reply);
    teardown(&s);
}

static void a_known_tag_gets_304_until_the_file_changes(void **state)
{
    struct site s;
    char fields[300], tag[64], got[256];

    (void)state;
    setup(&s);
    struct text reply = get(&s, "/app.mjs", "");
    const char *at = strstr(reply.p, "ETag: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "ETag: %60[^\r]", tag), 1);
    text_fini(&reply);
    const char *const formats[] = {"If-None-Match: %s\r\n", "If-None-Match: \"other\", W/%s, \"x\"\r\n",
                                   "If-None-Match: *\r\n"};
    for (size_t i = 0; i < LEN(formats); i++) {
        int n = 0;
        for (const char *f = formats[i]; *f; f++) {
            if (f[0] == '%')
                n += snprintf(fields + n, sizeof(fields) - (size_t)n, "%s", tag), f++;
            else
                fields[n++] = *f;
        }
        fields[n] = '\0';
        reply = get(&s, "/app.mjs", fields);
        assert_string_equal(statuses(&reply, got), "304");
        assert_non_null(strstr(reply.p, tag));
        assert_null(strstr(reply.p, "Content-Length"));
        assert_string_equal(body_of(&reply), "");
        text_fini(&reply);
    }
    put(s.web, "app.mjs", "export {changed}");
    snprintf(fields, sizeof(fields), "If-None-Match: %s\r\n", tag);
    reply = get(&s, "/app.mjs", fields);
    assert_string_equal(statuses(&reply, got), "200");
    assert_string_equal(body_of(&reply), "export {changed}");
    text_fini(&reply);
    teardown(&s);
}

static void a_large_file_comes_whole(void **state)
{
    enum { BYTES = 3 << 20 };
    struct site s;
    char *bytes = malloc(BYTES + 1);

    (void)state;
    setup(&s);
    memset(bytes, 'm', BYTES);
    bytes[BYTES] = '\0';
    put(s.web, "large.js", bytes);
    struct text reply = get(&s, "/large.js", "");
    assert_string_equal(body_of(&reply), bytes);
    text_fini(&reply);
    free(bytes);
    teardown(&s);
}

static void who_goes_away_while_the_file_is_read_is_forgotten(void **state)
{
    struct site s;
    struct client c;

    (void)state;
    setup(&s);
    for (int i = 0; i < 50; i++) {
        client_open(&c, &s.scene);
        client_send(&c, "GET /app.mjs HTTP/1.1\r\nHost: h\r\n\r\n");
        test_loop_run_for(&s.scene.loop, (uint64_t)i * 20);
        client_close(&c);
    }
    client_open(&c, &s.scene);
    client_send(&c, "GET /app.mjs HTTP/1.1\r\nHost: h\r\n\r\n");
    test_loop_run_for(&s.scene.loop, 0);
    client_close(&c);
    teardown(&s); /* with a job under way, perhaps */
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    struct http_static *files;
    struct test_loop loop;

    (void)state;
    test_loop_init(&loop);
    assert_int_equal(http_static_open(&files, loop.w, "/nowhere"), -ENOENT);
    assert_int_equal(http_static_open(&files, loop.w, "/etc/passwd"), -ENOTDIR);
    test_loop_fini(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_gives_its_file_or_nothing),
        cmocka_unit_test(a_name_longer_than_any_file_is_not_found),
        cmocka_unit_test(a_known_tag_gets_304_until_the_file_changes),
        cmocka_unit_test(a_large_file_comes_whole),
        cmocka_unit_test(who_goes_away_while_the_file_is_read_is_forgotten),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
