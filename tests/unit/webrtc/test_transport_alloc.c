/* SPDX-License-Identifier: Apache-2.0
 * The way of a packet to a viewer allocates nothing. */
#include "rtc_pair.h"

#include "unit/io/count_alloc.h"

enum { PACKETS = 10000, A_TURN = 100 };

static void ten_thousand_packets_are_sent_without_an_allocation(void **state)
{
    struct rtc_pair p;
    size_t allocated = 0;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    rtc_side_send(&p.server, 0, 7, 1100);
    test_loop_run_for(&p.loop, 1000);
    for (uint64_t i = 1; i <= PACKETS; i++) {
        size_t before = count_allocs();
        assert_true(rtc_side_send(&p.server, i, 7, 1100) > 0);
        assert_true(rtc_transport_send_rtcp(p.server.transport, rtc_pair_rr, sizeof(rtc_pair_rr)) > 0);
        allocated += count_allocs() - before;
        if (i % A_TURN == 0)
            test_loop_run_for(&p.loop, 1000);
    }
    assert_int_equal(allocated, 0);
    assert_int_equal(rtc_transport_counters(p.server.transport)->rtp_out, PACKETS + 1);
    rtc_pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_packets_are_sent_without_an_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
