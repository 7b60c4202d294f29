/* SPDX-License-Identifier: Apache-2.0
 * session_scene.h - the RTMP server over loopback, with the test's own relay. */
#pragma once

#include "unit/rtmp/stub_publish.h"

#include "io/tcp.h"
#include "origin/rtmp.h"
#include "unit/io/loop.h"

#include <signal.h>

struct setting {
    struct test_loop loop;
    struct relay relay;
    struct rtmp *rtmp;
    struct addr addr;
};

static struct setting s;

static inline void open_server(const struct rtmp_cfg *cfg)
{
    struct rtmp_cfg c = *cfg;

    memset(&s, 0, sizeof(s));
    test_loop_init(&s.loop);
    s.relay.worker = s.loop.w;
    c.relay = &s.relay;
    c.audio_transcode = true;
    assert_int_equal(addr_parse(&c.listen, "127.0.0.1:0"), 0);
    assert_int_equal(rtmp_open(&s.rtmp, s.loop.w, &c), 0);
    rtmp_local(s.rtmp, &s.addr);
}

static inline int begin(void **state)
{
    (void)state;
    open_server(&(struct rtmp_cfg){0});
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    rtmp_close(&s.rtmp);
    assert_null(s.rtmp);
    test_loop_run_for(&s.loop, 10000); /* connections close in the loop */
    test_loop_fini(&s.loop);
    stub_relay_fini(&s.relay);
    return 0;
}
