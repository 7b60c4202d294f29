/* SPDX-License-Identifier: Apache-2.0
 * The configuration file: defaults, every wrong key and value with its place, and the commented examples. */
#include "node/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int load(struct config *c, enum node_role role, const char *text, char error[CONFIG_ERROR_CAP])
{
    FILE *f;

    snprintf(path, sizeof(path), "/tmp/millrace-config-%d.yaml", (int)getpid());
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    error[0] = '\0';
    int err = config_load(c, role, path, error);
    unlink(path);
    return err;
}

static void every_key_has_a_default_that_works(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_CAP];

    (void)state;
    for (enum node_role role = NODE_ORIGIN; role <= NODE_EDGE; role++) {
        assert_int_equal(config_load(&c, role, NULL, error), 0);
        assert_true(c.node.workers >= 1);
        assert_true(strlen(c.node.id) > 0);
        assert_string_equal(c.redis.address, "127.0.0.1:6379");
        assert_int_equal(addr_port(&c.http.listen), 8080 + (role - NODE_ORIGIN));
        assert_int_equal(load(&c, role, "", error), 0); /* an empty file */
    }
}

static void keys_are_read(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_CAP];

    (void)state;
    assert_int_equal(load(&c, NODE_ORIGIN,
                          "node: { id: o1, region: eu, workers: 3, log: warn }\n"
                          "http: { listen: '[::1]:80' }\n"
                          "rtc:\n  announce: [203.0.113.7, '2001:db8::1']\n"
                          "publish: { takeover: true, audio_transcode: false }\n",
                          error),
                     0);
    assert_string_equal(c.node.id, "o1");
    assert_string_equal(c.node.region, "eu");
    assert_int_equal(c.node.workers, 3);
    assert_int_equal(c.node.log, LOG_WARN);
    assert_int_equal(addr_port(&c.http.listen), 80);
    assert_int_equal(c.rtc.announce.n, 2);
    assert_string_equal(c.rtc.announce.v[1], "2001:db8::1");
    assert_false(c.rtc.tcp.off);
    assert_true(c.rtc.data);
    assert_int_equal(c.rtc.tcp.at.sa.sa_family, AF_UNSPEC);
    assert_true(c.publish.takeover);
    assert_false(c.publish.audio_transcode);
    assert_int_equal(load(&c, NODE_EDGE,
                          "node: { latitude: 50.11, longitude: -8.68 }\n"
                          "limits: { viewers: 100, egress_bps: 1000000000, cpu_permille: 900 }\n"
                          "route: { ranges: [10.0.0.0/8=eu], trusted_proxies: [127.0.0.1], redirect: true, mmdb: geo.mmdb }\n",
                          error),
                     0);
    assert_true(c.node.latitude.given && c.node.latitude.value == 50.11);
    assert_true(c.node.longitude.given && c.node.longitude.value == -8.68);
    assert_int_equal(c.limits.viewers, 100);
    assert_int_equal(c.limits.egress_bps, 1000000000);
    assert_int_equal(c.limits.cpu_permille, 900);
    assert_string_equal(c.route.ranges.v[0], "10.0.0.0/8=eu");
    assert_string_equal(c.route.trusted_proxies.v[0], "127.0.0.1");
    assert_string_equal(c.route.mmdb, "geo.mmdb");
    assert_true(c.route.redirect);
    assert_int_equal(load(&c, NODE_EDGE, "rtc: { tcp: off }\n", error), 0);
    assert_true(c.rtc.tcp.off);
    assert_int_equal(load(&c, NODE_ORIGIN, "rtc: { data: false }\n", error), 0);
    assert_false(c.rtc.data);
    assert_int_equal(load(&c, NODE_EDGE, "rtc: { tcp: '0.0.0.0:443' }\n", error), 0);
    assert_false(c.rtc.tcp.off);
    assert_int_equal(addr_port(&c.rtc.tcp.at), 443);
    assert_int_equal(load(&c, NODE_BACKBONE, "relay: { prefetch: region }\n", error), 0);
    assert_int_equal(c.relay.prefetch, PREFETCH_REGION);
}

static void a_wrong_key_or_value_is_named_with_its_place_and_what_was_expected(void **state)
{
    static const struct {
        const char *text, *error; /* what follows the path */
    } rows[] = {
        {"nod: {}\n", ":1:1: unknown key 'nod'; expected one of: node, http, rtc, rtmp, auth, pipe, redis, directory, cache, publish, limits, route"},
        {"node:\n  worker: 2\n", ":2:3: unknown key 'worker' in node; expected one of: id, region, workers, log, latitude, longitude"},
        {"relay: { prefetch: all }\n", ":1:1: unknown key 'relay'; expected"},
        {"node:\n  workers: two\n", ":2:12: node.workers: expected a whole number from 0 to 256, got 'two'"},
        {"node:\n  workers: -1\n", ":2:12: node.workers: expected a whole number from 0 to 256, got '-1'"},
        {"node:\n  workers: 257\n", ":2:12: node.workers: expected a whole number from 0 to 256, got '257'"},
        {"node:\n  log: loud\n", ":2:8: node.log: expected one of debug, info, warn, error, got 'loud'"},
        {"node: { latitude: 91 }\n", ":1:19: node.latitude: expected degrees from -90 to 90, as 50.11, got '91'"},
        {"node: { longitude: east }\n", ":1:20: node.longitude: expected degrees from -180 to 180, as 50.11, got 'east'"},
        {"http: { listen: here }\n", ":1:17: http.listen: expected an address and port, as 0.0.0.0:8080 or [::]:8080, got 'here'"},
        {"publish: { takeover: yes }\n", ":1:22: publish.takeover: expected true or false, got 'yes'"},
        {"rtc: { announce: 10.0.0.1 }\n", ":1:18: rtc.announce: expected a list of at most 64 texts, as [\"203.0.113.7\"], got '10.0.0.1'"},
        {"rtc: { tcp: yes }\n", ":1:13: rtc.tcp: expected off, or an address as 0.0.0.0:443, got 'yes'"},
        {"auth:\n  publish_key: /nonexistent\n",
         ":2:16: auth.publish_key: expected a file with a secret of 32 bytes or a public key in PEM, got '/nonexistent': No such file"},
        {"auth: { publish_key: /dev/null }\n",
         ":1:22: auth.publish_key: expected a file with a secret of 32 bytes or a public key in PEM, got '/dev/null': a secret of less"},
        {"auth: { publish_key: [a] }\n", ":1:22: auth.publish_key: expected a text of at most 255 characters"},
        {"auth: { play_key: a }\n", ":1:9: unknown key 'play_key' in auth; expected one of: publish_key"},
        {"node: 5\n", ":1:7: node: expected keys below it, as 'node: { ... }'"},
        {"- node\n", ":1:1: expected sections, as 'node:' or 'http:'"},
        {"node: { id: a, id: b }\n", ":1:16: 'id' is given twice"},
        {"node: {}\nnode: {}\n", ":2:1: 'node' is given twice"},
        {"node: { id: [a] }\n", ":1:13: node.id: expected a text of at most 255 characters"},
        {"node: {\n", ":2:1: not YAML:"},
        {"\tnode: {}\n", ":1:1: not YAML:"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct config c;
        char error[CONFIG_ERROR_CAP];
        assert_int_equal(load(&c, NODE_ORIGIN, rows[i].text, error), -1);
        print_message("%s\n", error);
        assert_int_equal(strncmp(error, path, strlen(path)), 0);
        assert_int_equal(strncmp(error + strlen(path), rows[i].error, strlen(rows[i].error)), 0);
    }
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_CAP];

    (void)state;
    assert_int_equal(config_load(&c, NODE_EDGE, "/nonexistent/edge.yaml", error), -1);
    assert_string_equal(error, "/nonexistent/edge.yaml: cannot be read: No such file or directory");
}

/* The commented examples say what the defaults are: reading one changes nothing. */
static void the_examples_are_the_defaults(void **state)
{
    static const char *const names[] = {
        [NODE_ORIGIN] = "origin", [NODE_BACKBONE] = "backbone", [NODE_EDGE] = "edge"};

    (void)state;
    for (enum node_role role = NODE_ORIGIN; role <= NODE_EDGE; role++) {
        struct config example, defaults;
        char error[CONFIG_ERROR_CAP], file[512];
        snprintf(file, sizeof(file), "%s/deploy/config/%s.example.yaml", SOURCE_DIR, names[role]);
        int err = config_load(&example, role, file, error);
        if (err)
            print_error("%s\n", error);
        assert_int_equal(err, 0);
        assert_int_equal(config_load(&defaults, role, NULL, error), 0);
        assert_memory_equal(&example, &defaults, sizeof(example));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_a_default_that_works),
        cmocka_unit_test(keys_are_read),
        cmocka_unit_test(a_wrong_key_or_value_is_named_with_its_place_and_what_was_expected),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(the_examples_are_the_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
