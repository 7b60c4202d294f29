/* SPDX-License-Identifier: Apache-2.0
 * test_http.c - HTTP-FLV over loopback: joining at once and later, ends and refusals, ffprobe as the player. */
#include "http_scene.h"

#include <fcntl.h>
#include <unistd.h>

static void viewers_before_the_publisher_get_all_of_it_and_its_end(void **state)
{
    struct client a, b;

    (void)state;
    join(&a, "GET");
    join(&b, "GET");
    assert_int_equal(counters().joins, 0);
    publish();
    play(0, source.n_packets);
    assert_int_equal(counters().joins, 2);
    unpublish();
    client_run(&a);
    client_run(&b);
    struct seen seen = look(&a);
    assert_non_null(strstr(a.got.p, "200 OK"));
    assert_non_null(strstr(a.got.p, "video/x-flv"));
    assert_non_null(strstr(a.got.p, "Access-Control-Allow-Origin: *"));
    assert_int_equal(seen.video, source.n_video);
    assert_int_equal(seen.audio, source.n_audio);
    assert_int_equal(seen.sequence_headers, 2);
    assert_int_equal(seen.first_ms, FLV_FIRST_MS);
    assert_int_equal(a.got.len, b.got.len);
    assert_int_equal(counters().viewers, 0);
    assert_int_equal(counters().mux.video_frames, source.n_video); /* once, not once a viewer */
    client_close(&a);
    client_close(&b);
}

static void a_viewer_in_the_middle_begins_at_once_with_the_newest_keyframe(void **state)
{
    struct client first, later;
    size_t stop = key_position(3) - 20; /* nearly a whole GOP after the third keyframe */

    (void)state;
    publish();
    play(0, stop);
    join(&first, "GET"); /* from the router's cache */
    test_loop_run_for(&scene.loop, 5000);
    assert_int_equal(counters().joins, 1);
    size_t at_once = first.got.len;
    assert_true(at_once > 20000);
    join(&later, "GET"); /* from the muxer's own */
    receive(&later, at_once);
    assert_int_equal(later.got.len, at_once);
    unpublish();
    client_run(&first);
    client_run(&later);
    struct seen seen = look(&first);
    assert_true(seen.starts_with_key);
    assert_int_equal(seen.keyframes, 1);
    assert_in_range(seen.video, 20, 25);
    assert_true(seen.audio > 30);
    assert_int_equal(seen.first_ms, FLV_FIRST_MS);
    assert_int_equal(look(&later).video, seen.video);
    client_close(&first);
    client_close(&later);
}

static void play_sound_alone(size_t rounds)
{
    for (size_t n = 0; n < rounds; n++, round_++) {
        for (size_t i = 0; i < source.n_packets; i++)
            if (source.packets[i]->track == 1)
                push(i);
        test_loop_run_for(&scene.loop, 50000); /* longer than sound waits for a picture */
    }
}

/* A camera is switched off: who comes then hears what is said now, not all since the last picture. */
static void where_pictures_stopped_long_ago_a_viewer_begins_with_the_newest_sound(void **state)
{
    struct client first, later, last;
    size_t key = key_position(1), next = key_position(2);

    (void)state;
    publish();
    join(&first, "GET");
    play_round();
    play_sound_alone(8);
    join(&later, "GET");
    assert_int_equal(counters().joins, 2);
    play_sound_alone(1);
    for (size_t i = key + 1; i < next; i++) /* pictures again, but no keyframe */
        if (!(source.packets[i]->flags & PACKET_KEYFRAME))
            push(i);
    test_loop_run_for(&scene.loop, 5000);
    join(&last, "GET");
    assert_int_equal(counters().joins, 2);
    play(next, next + 100);
    assert_int_equal(counters().joins, 3);
    unpublish();
    client_run(&first);
    client_run(&later);
    client_run(&last);
    struct seen seen = look(&later);
    assert_int_equal(seen.sequence_headers, 2);
    assert_false(seen.starts_with_key);
    assert_in_range(seen.last_ms - seen.first_ms, 1000, 13000);
    assert_true(look(&first).audio > 1500);
    assert_true(look(&last).starts_with_key);
    client_close(&first);
    client_close(&later);
    client_close(&last);
}

static struct text ask(const char *path, const char *method)
{
    char request[256];

    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
    return scene_ask_open(&scene, request);
}

static void assert_answer(const char *path, const char *method, const char *status, const char *header)
{
    struct text t = ask(path, method);
    char all[256];

    assert_string_equal(statuses(&t, all), status);
    assert_non_null(strstr(t.p, header));
    assert_non_null(strstr(t.p, "Access-Control-Allow-Origin: *"));
    text_fini(&t);
}

static void what_cannot_be_played_is_refused(void **state)
{
    (void)state;
    relay.refuse = STREAM_UNKNOWN;
    assert_answer("/live/test.flv", "GET", "404", "problem+json");
    assert_answer("/live/test.flv", "HEAD", "404", "problem+json");
    assert_answer("/test.flv", "GET", "404", "problem+json");
    assert_answer("/live/.flv", "GET", "404", "problem+json");
    assert_answer("/live/te%20st.flv", "GET", "404", "problem+json");
    relay.refuse = STREAM_UNREACHABLE;
    assert_answer("/live/test.flv", "GET", "503", "Retry-After");
    assert_answer("/live/test.flv", "OPTIONS", "200", "Access-Control-Allow-Methods");
    assert_int_equal(counters().not_found, 5);
    assert_int_equal(counters().unreachable, 1);
    assert_int_equal(counters().viewers, 0);
}

static void a_stream_that_does_not_begin_is_not_waited_for_forever(void **state)
{
    (void)state;
    open_all(&(struct flv_cfg){.park_us = 50000});
    assert_answer("/live/test.flv", "GET", "504", "Retry-After");
    assert_int_equal(counters().timed_out, 1);
    end(state);
}

static void more_viewers_than_allowed_are_refused(void **state)
{
    struct client a;

    (void)state;
    open_all(&(struct flv_cfg){.cap_viewers = 1});
    join(&a, "GET");
    assert_answer("/live/test.flv", "GET", "503", "Retry-After");
    assert_int_equal(counters().overloaded, 1);
    client_close(&a);
    end(state);
}

static void head_is_answered_without_a_body(void **state)
{
    (void)state;
    publish();
    play(0, key_position(1));
    struct text t = ask("/live/test.flv", "HEAD");
    assert_non_null(strstr(t.p, "200 OK"));
    assert_non_null(strstr(t.p, "video/x-flv"));
    assert_string_equal(body_of(&t), "");
    assert_int_equal(counters().viewers, 0);
    text_fini(&t);
}

static void a_viewer_that_leaves_is_forgotten(void **state)
{
    struct client a;

    (void)state;
    publish();
    play(0, 200);
    join(&a, "GET");
    client_close(&a);
    for (int i = 0; i < 2000 && counters().viewers; i++)
        test_loop_run_for(&scene.loop, 1000);
    assert_int_equal(counters().viewers, 0);
    assert_int_equal(router_consumers(producer.router, "flv"), 0);
    play(200, source.n_packets); /* nobody there */
}

static void note_viewer(void *arg, const struct flv_viewer_facts *v)
{
    struct flv_viewer_facts *out = arg;

    *out = *v;
    assert_string_equal(v->stream, "live/test");
    assert_int_equal(strlen(v->id), 22);
    assert_true(addr_is_loopback(v->peer));
}

static void viewers_are_listed(void **state)
{
    struct flv_viewer_facts facts = {0};
    struct client a;

    (void)state;
    join(&a, "GET");
    flv_each(flv, note_viewer, &facts);
    assert_int_equal(facts.state, FLV_PARKED);
    publish();
    play(0, source.n_packets);
    receive(&a, 100000);
    flv_each(flv, note_viewer, &facts);
    assert_int_equal(facts.state, FLV_LIVE);
    assert_string_equal(flv_viewer_state_name(facts.state), "live");
    assert_true(facts.bytes >= 99000);
    assert_int_equal(facts.dropped_to_keyframe, 0);
    client_close(&a);
}

static void a_new_epoch_plays_on_for_who_is_there(void **state)
{
    struct track_set again = source.tracks;
    struct client a;

    (void)state;
    join(&a, "GET");
    publish();
    play_round();
    router_unpublish(&producer, STREAM_UNPUBLISHED, true); /* the tracks are announced anew, as RTMP does for a late one */
    again.epoch = 2;
    router_publish(router_open(relay.set, "live/test"), &producer, &again);
    router_ready(&producer);
    play_round();
    unpublish();
    client_run(&a);
    struct seen seen = look(&a);
    assert_int_equal(seen.video, 2 * source.n_video);
    assert_int_equal(seen.gaps, 0);
    assert_int_equal(seen.sequence_headers, 4);
    client_close(&a);
}

static void ffprobe_plays_it(void **state)
{
    char command[256], addr[ADDR_TEXT_CAP], got[64] = "", want[64];
    FILE *f;

    (void)state;
    snprintf(command, sizeof(command),
             "ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 http://%s/live/test.flv",
             addr_print(&scene.addr, addr));
    f = popen(command, "r");
    assert_non_null(f);
    for (int i = 0; i < 10000 && counters().viewers == 0; i++)
        test_loop_run_for(&scene.loop, 1000);
    publish();
    play(0, source.n_packets);
    unpublish();
    assert_int_equal(fcntl(fileno(f), F_SETFL, O_NONBLOCK), 0);
    size_t n = 0;
    for (ssize_t one = -1; one != 0 && n < sizeof(got) - 1; n += one > 0 ? (size_t)one : 0) {
        test_loop_run_for(&scene.loop, 10000); /* the rest leaves, however slowly it is read */
        one = read(fileno(f), got + n, sizeof(got) - 1 - n);
    }
    got[n] = '\0';
    assert_int_equal(pclose(f), 0);
    snprintf(want, sizeof(want), "%zu\n%zu\n", source.n_video, source.n_audio);
    assert_string_equal(got, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(viewers_before_the_publisher_get_all_of_it_and_its_end, begin, end),
        cmocka_unit_test_setup_teardown(a_viewer_in_the_middle_begins_at_once_with_the_newest_keyframe, begin, end),
        cmocka_unit_test_setup_teardown(where_pictures_stopped_long_ago_a_viewer_begins_with_the_newest_sound, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_played_is_refused, begin, end),
        cmocka_unit_test(a_stream_that_does_not_begin_is_not_waited_for_forever),
        cmocka_unit_test(more_viewers_than_allowed_are_refused),
        cmocka_unit_test_setup_teardown(head_is_answered_without_a_body, begin, end),
        cmocka_unit_test_setup_teardown(a_viewer_that_leaves_is_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(viewers_are_listed, begin, end),
        cmocka_unit_test_setup_teardown(a_new_epoch_plays_on_for_who_is_there, begin, end),
        cmocka_unit_test_setup_teardown(ffprobe_plays_it, begin, end),
    };
    return cmocka_run_group_tests(tests, make_source, drop_source);
}
