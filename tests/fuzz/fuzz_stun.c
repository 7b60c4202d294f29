/* SPDX-License-Identifier: Apache-2.0
 * STUN messages: the first look, and with what passes it libnice's own parser. Noise, and a valid check with
 * some of its bytes changed. No input but the check itself may be valid, as none knows the password. */
#include "webrtc/ice.h"

#include <stdlib.h>
#include <string.h>

#define PASSWORD "the password of this session"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ice_agent *agent;
static struct addr from;
static uint8_t check[ICE_CHECK_MAX];
static size_t check_len;

static void prepare(void)
{
    struct ice_check c = {.username = "ours:theirs", .pwd = PASSWORD, .priority = 1, .use_candidate = true};
    uint8_t id[ICE_ID_BYTES];

    if (agent)
        return;
    if (ice_agent_create(&agent) || addr_parse(&from, "192.0.2.1:8000"))
        abort();
    check_len = ice_check_write(agent, &c, check, id);
}

static int look(const uint8_t *bytes, size_t len)
{
    struct ice_view v;
    uint8_t reply[ICE_REPLY_MAX];
    size_t reply_len = 0;
    int err = ice_view_parse(&v, bytes, len);

    if (err != ICE_OK)
        return err;
    if (v.username && (v.username_len > ICE_USERNAME_MAX || v.ufrag_len >= v.username_len))
        abort();
    if (v.class == ICE_REQUEST)
        err = ice_request_answer(agent, &v, &from, PASSWORD, false, reply, &reply_len);
    else if (v.class != ICE_INDICATION)
        err = ice_response_read(agent, &v);
    else
        err = ICE_ERR_UNMATCHED;
    if (reply_len > sizeof(reply))
        abort();
    return err;
}

/* data: pairs of an offset and what is flipped there; an odd byte at the end cuts the message. */
static void look_at_changed_check(const uint8_t *data, size_t size)
{
    size_t len = check_len;
    uint8_t *bytes = malloc(check_len);

    if (!bytes)
        abort();
    memcpy(bytes, check, check_len);
    for (size_t i = 0; i + 1 < size; i += 2)
        bytes[data[i] % check_len] ^= data[i + 1];
    if (size % 2)
        len = data[size - 1] % (check_len + 1);
    uint8_t *cut = malloc(len ? len : 1);
    if (!cut)
        abort();
    memcpy(cut, bytes, len);
    if (look(cut, len) == ICE_OK && (len != check_len || memcmp(cut, check, len) != 0))
        abort();
    free(cut);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    if (look(data, size) == ICE_OK && (size != check_len || memcmp(data, check, size) != 0))
        abort();
    look_at_changed_check(data, size);
    return 0;
}
