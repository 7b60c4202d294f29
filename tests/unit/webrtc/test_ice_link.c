/* SPDX-License-Identifier: Apache-2.0
 * Configured ICE servers as Link values (RFC 9725 s4.6). */
#include "webrtc/ice_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *server, *link; /* NULL: refused */
} rows[] = {
    {"stun:stun.example.org", "<stun:stun.example.org>; rel=\"ice-server\""},
    {"stuns:stun.example.org:5349", "<stuns:stun.example.org:5349>; rel=\"ice-server\""},
    {"turn:turn.example.org:3478?transport=udp user password",
     "<turn:turn.example.org:3478?transport=udp>; rel=\"ice-server\"; username=\"user\"; credential=\"password\"; "
     "credential-type=\"password\""},
    {"turns:[2001:db8::1]:443?transport=tcp 1700000000:ann s\"e\\c",
     "<turns:[2001:db8::1]:443?transport=tcp>; rel=\"ice-server\"; username=\"1700000000:ann\"; credential=\"s\\\"e\\\\c\"; "
     "credential-type=\"password\""},
    {"", NULL},
    {"turn:", NULL},
    {"turn: user password", NULL},
    {"turn:turn.example.org", NULL},
    {"turn:turn.example.org user", NULL},
    {"turn:turn.example.org user ", NULL},
    {"turn:turn.example.org  user password", NULL},
    {"turn:turn.example.org user password more", NULL},
    {"stun:stun.example.org user password", NULL},
    {"http://turn.example.org user password", NULL},
    {"turn:a>; rel=\"next\" user password", NULL},
    {"turn:a\r\nX: user password", NULL},
    {"turn:a user pass\xc3\xa4word", NULL},
};

static void each_server_becomes_its_link_or_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *dst = malloc(RTC_ICE_LINK_CAP);
        assert_non_null(dst);
        int len = rtc_ice_link_write(dst, RTC_ICE_LINK_CAP, rows[i].server);
        assert_int_equal(len, rows[i].link ? (int)strlen(rows[i].link) : -1);
        assert_string_equal(dst, rows[i].link ? rows[i].link : "");
        free(dst);
    }
}

static void what_has_no_room_is_refused(void **state)
{
    size_t need = strlen(rows[2].link) + 1;

    (void)state;
    for (size_t cap = 1; cap <= need; cap++) {
        char *dst = malloc(cap);
        assert_non_null(dst);
        assert_int_equal(rtc_ice_link_write(dst, cap, rows[2].server), cap < need ? -1 : (int)need - 1);
        free(dst);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_server_becomes_its_link_or_is_refused),
        cmocka_unit_test(what_has_no_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
