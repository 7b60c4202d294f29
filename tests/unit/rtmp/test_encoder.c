/* SPDX-License-Identifier: Apache-2.0
 * test_encoder.c - ffmpeg publishes a file to the RTMP server over loopback, and every frame of it arrives. */
#include "codec/h264.h"
#include "session_scene.h"
#include "unit/wire/exact.h"
#include "wire/flv.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t run_ffmpeg(const char *arguments)
{
    char command[1024];
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    snprintf(command, sizeof(command), "exec ffmpeg -nostdin -hide_banner -loglevel error -y %s", arguments);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void wait_for(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static uint8_t *read_file(const char *path, size_t *len)
{
    struct stat st;
    FILE *f = fopen(path, "rb");

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    *len = (size_t)st.st_size;
    uint8_t *bytes = malloc(*len);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *len, f), *len);
    fclose(f);
    return bytes;
}

static void stop_when_closed(void *arg)
{
    (void)arg;
    if (s.relay.closes)
        worker_stop(s.loop.w);
}

/* The next frame of this track among those that arrived, or NULL. */
static const struct stub_frame *next_arrived(unsigned track, size_t *at)
{
    while (*at < s.relay.n_frames) {
        const struct stub_frame *f = &s.relay.frames[(*at)++];
        if (f->track == track)
            return f;
    }
    return NULL;
}

/* Keyframes arrive with the parameter sets in front. */
static void assert_same_picture(const struct stub_frame *got, const struct flv_media *sent)
{
    assert_int_equal(got->keyframe, sent->keyframe);
    assert_true(got->len >= sent->data_len);
    assert_true(got->keyframe || got->len == sent->data_len);
    assert_memory_equal(got->data + got->len - sent->data_len, sent->data, sent->data_len);
    if (got->keyframe)
        assert_int_equal(got->data[4] & 0x1f, H264_NAL_SPS);
}

/* All frames of the file, in order, with its times (which begin at 0). */
static void assert_arrived(const char *path)
{
    size_t len, at[2] = {0, 0}, n[2] = {0, 0};
    uint8_t *bytes = read_file(path, &len);
    struct reader r = reader_init(bytes, len);
    struct flv_tag tag;
    struct flv_media m;
    bool audio, video;

    assert_int_equal(flv_file_header_parse(&r, &audio, &video), FLV_OK);
    uint64_t base_ms = RTMP_MEDIA_BASE_MS;
    while (flv_tag_parse(&r, &tag) == FLV_OK) {
        if (tag.type == FLV_TAG_SCRIPT)
            continue;
        unsigned track = tag.type == FLV_TAG_VIDEO ? 0 : 1;
        assert_int_equal(track == 0 ? flv_video_parse(&m, tag.body, tag.body_len)
                                    : flv_audio_parse(&m, tag.body, tag.body_len), FLV_OK);
        if (m.packet != FLV_PACKET_FRAME)
            continue;
        const struct stub_frame *f = next_arrived(track, &at[track]);
        assert_non_null(f);
        if (track == 0) {
            assert_same_picture(f, &m);
            assert_int_equal(f->ts_ticks, (base_ms + tag.ts_ms + (uint64_t)(int64_t)m.cts_ms) * 90);
            assert_int_equal(f->cts_ticks, m.cts_ms * 90);
        } else {
            assert_int_equal(f->len, m.data_len);
            assert_memory_equal(f->data, m.data, f->len);
            assert_in_range(f->ts_ticks, (base_ms + tag.ts_ms) * 441 / 10 - 45, (base_ms + tag.ts_ms) * 441 / 10 + 45);
        }
        n[track]++;
    }
    assert_null(next_arrived(0, &at[0]));
    assert_null(next_arrived(1, &at[1]));
    assert_true(n[0] == 100 && n[1] > 160); /* 4 s */
    free(bytes);
}

static void every_frame_that_ffmpeg_publishes_arrives_unchanged(void **state)
{
    char file[64], arguments[512], peer[ADDR_TEXT_CAP];

    (void)state;
    snprintf(file, sizeof(file), "/tmp/millrace-test-rtmp-%d.flv", (int)getpid());
    snprintf(arguments, sizeof(arguments),
             "-f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=frequency=440:sample_rate=44100 -t 4 "
             "-pix_fmt yuv420p -c:v libx264 -preset veryfast -bf 2 -g 25 -threads 1 -c:a aac -ac 2 -f flv %s", file);
    wait_for(run_ffmpeg(arguments));
    s.relay.on_change = stop_when_closed;
    snprintf(arguments, sizeof(arguments), "-i %s -c copy -f flv 'rtmp://%s/live/test?token=abc'", file,
             addr_print(&s.addr, peer));
    pid_t ffmpeg = run_ffmpeg(arguments);
    test_loop_run(&s.loop);
    wait_for(ffmpeg);

    assert_string_equal(s.relay.name, "live/test");
    assert_string_equal(s.relay.kind, "rtmp");
    assert_int_equal(s.relay.starts, 1);
    assert_int_equal(s.relay.tracks.n, 3);
    assert_int_equal(s.relay.tracks.v[0].codec, CODEC_H264);
    assert_int_equal(s.relay.tracks.v[0].layers[0].width, 640);
    assert_int_equal(s.relay.tracks.v[0].layers[0].height, 360);
    assert_true(s.relay.tracks.v[0].b_frames);
    assert_int_equal(s.relay.tracks.v[1].codec, CODEC_AAC);
    assert_int_equal(s.relay.tracks.v[1].clock_hz, 44100);
    assert_int_equal(s.relay.tracks.v[1].channels, 2);
    assert_true(s.relay.tracks.v[2].derived);
    assert_int_equal(s.relay.broken, 0);
    assert_arrived(file);
    unlink(file);
    assert_int_equal(rtmp_counters(s.rtmp)->publishes, 1);
    for (unsigned i = 0; i < RTMP_BAD_INPUTS; i++)
        assert_int_equal(rtmp_counters(s.rtmp)->bad_input[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_frame_that_ffmpeg_publishes_arrives_unchanged, begin, end),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
