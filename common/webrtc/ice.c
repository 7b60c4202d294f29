/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/ice.h"

#include "base/reader.h"

#include <stdlib.h>
#include <string.h>
#include <stun/stunagent.h>
#include <stun/usages/ice.h>

enum {
    HEADER_BYTES = 20,
    COOKIE = 0x2112a442,     /* RFC 8489 s5 */
    METHOD_MASK = 0x3eef,    /* s5: the type without its two class bits */
    METHOD_BINDING = 0x0001,
    INTEGRITY_BYTES = 20,    /* HMAC-SHA1 */
    FINGERPRINT_BYTES = 4,
    ATTRIBUTES_MAX = 32,     /* a check has about ten */
};

/* Comprehension-required attributes that a check may carry; ended by 0. */
static const uint16_t KNOWN[] = {
    STUN_ATTRIBUTE_USERNAME,          STUN_ATTRIBUTE_MESSAGE_INTEGRITY, STUN_ATTRIBUTE_ERROR_CODE,
    STUN_ATTRIBUTE_UNKNOWN_ATTRIBUTES, STUN_ATTRIBUTE_MAPPED_ADDRESS,    STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS,
    STUN_ATTRIBUTE_PRIORITY,          STUN_ATTRIBUTE_USE_CANDIDATE,     0,
};

struct ice_agent {
    StunAgent stun;
};

/* ---- Before libnice sees it -------------------------------------------------------------------- */

struct seen {
    bool integrity, fingerprint;
};

static bool read_username(struct ice_view *v, struct reader *value)
{
    size_t n = reader_left(value);
    const uint8_t *colon = n ? memchr(value->p, ':', n) : NULL;

    if (v->username || n > ICE_USERNAME_MAX || !colon)
        return false;
    v->username = value->p;
    v->username_len = n;
    v->ufrag_len = (size_t)(colon - value->p);
    return true;
}

/* One attribute. RFC 8489 s14.5: after MESSAGE-INTEGRITY only FINGERPRINT counts, and that is the last. */
static bool read_attribute(struct reader *r, struct ice_view *v, struct seen *seen)
{
    uint16_t type = reader_u16(r);
    uint16_t len = reader_u16(r);
    struct reader value = reader_sub(r, len);

    reader_take(r, (4u - len % 4u) % 4u);
    if (r->bad || seen->fingerprint)
        return false;
    switch (type) {
    case STUN_ATTRIBUTE_USERNAME:
        return seen->integrity || read_username(v, &value);
    case STUN_ATTRIBUTE_MESSAGE_INTEGRITY:
        if (seen->integrity || len != INTEGRITY_BYTES)
            return false;
        seen->integrity = true;
        return true;
    case STUN_ATTRIBUTE_FINGERPRINT:
        seen->fingerprint = true;
        return len == FINGERPRINT_BYTES;
    case STUN_ATTRIBUTE_USE_CANDIDATE:
        v->use_candidate = v->use_candidate || !seen->integrity;
        return len == 0;
    case STUN_ATTRIBUTE_PRIORITY:
        return len == 4;
    case STUN_ATTRIBUTE_ICE_CONTROLLED:
    case STUN_ATTRIBUTE_ICE_CONTROLLING:
        return len == 8;
    default:
        return true;
    }
}

int ice_view_parse(struct ice_view *out, const uint8_t *pkt, size_t len)
{
    struct reader r = reader_init(pkt, len);
    struct ice_view v = {.bytes = pkt, .len = len};
    struct seen seen = {0};
    uint16_t type = reader_u16(&r);
    uint16_t body = reader_u16(&r);

    v.id = r.p;
    uint32_t cookie = reader_u32(&r);
    reader_take(&r, 12);
    if (r.bad || type >> 14 || (type & METHOD_MASK) != METHOD_BINDING || cookie != COOKIE)
        return ICE_ERR_MALFORMED;
    if (body != reader_left(&r) || body % 4)
        return ICE_ERR_MALFORMED;
    v.class = (enum ice_class)((type >> 7 & 2) | (type >> 4 & 1));
    for (size_t n = 0; reader_left(&r); n++)
        if (n == ATTRIBUTES_MAX || !read_attribute(&r, &v, &seen))
            return ICE_ERR_MALFORMED;
    if (v.class == ICE_REQUEST && (!v.username || !seen.integrity || !seen.fingerprint))
        return ICE_ERR_MALFORMED;
    *out = v;
    return ICE_OK;
}

/* ---- The agent --------------------------------------------------------------------------------- */

int ice_agent_create(struct ice_agent **out)
{
    struct ice_agent *a = calloc(1, sizeof(*a));
    if (!a)
        return -1;
    stun_agent_init(&a->stun, KNOWN, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
    *out = a;
    return 0;
}

void ice_agent_destroy(struct ice_agent **a)
{
    free(*a);
    *a = NULL;
}

/* libnice keeps a pointer without const, and only reads through it. */
static uint8_t *key_of(const char *pwd)
{
    return (uint8_t *)(uintptr_t)pwd;
}

/* Which password: there is one, the caller found it by the USERNAME. */
static bool give_password(StunAgent *agent, StunMessage *msg, uint8_t *username, uint16_t username_len,
                          uint8_t **password, size_t *password_len, void *pwd)
{
    (void)agent, (void)msg, (void)username, (void)username_len;
    *password = pwd;
    *password_len = strlen(pwd);
    return true;
}

static size_t write_error(struct ice_agent *a, const StunMessage *request, StunError code, uint8_t *reply)
{
    StunMessage msg;

    if (!stun_agent_init_error(&a->stun, &msg, reply, ICE_REPLY_MAX, request, code))
        return 0;
    return stun_agent_finish_message(&a->stun, &msg, NULL, 0);
}

/* RFC 8445 s7.3: an authentic check. A lite agent is always controlled: with a tie-breaker of 0 the other
 * side never wins the dispute and is told to switch (s7.3.1.1). */
static int answer_check(struct ice_agent *a, StunMessage *request, const struct addr *from, bool controlling,
                        uint8_t *reply, size_t *reply_len)
{
    StunMessage msg;
    struct sockaddr_storage src = {0};
    bool control = controlling;
    size_t len = ICE_REPLY_MAX;

    memcpy(&src, from, addr_len(from));
    switch (stun_usage_ice_conncheck_create_reply(&a->stun, request, &msg, reply, &len, &src, addr_len(from),
                                                  &control, controlling ? UINT64_MAX : 0,
                                                  STUN_USAGE_ICE_COMPATIBILITY_RFC5245)) {
    case STUN_USAGE_ICE_RETURN_SUCCESS:
        *reply_len = len;
        return ICE_OK;
    case STUN_USAGE_ICE_RETURN_ROLE_CONFLICT:
        *reply_len = control == controlling ? len : write_error(a, request, STUN_ERROR_ROLE_CONFLICT, reply);
        return ICE_ERR_CONFLICT;
    default:
        return ICE_ERR_MALFORMED;
    }
}

int ice_request_answer(struct ice_agent *a, const struct ice_view *v, const struct addr *from,
                       const char *pwd, bool controlling, uint8_t reply[ICE_REPLY_MAX], size_t *reply_len)
{
    StunMessage request, msg;

    *reply_len = 0;
    switch (stun_agent_validate(&a->stun, &request, v->bytes, v->len, give_password, key_of(pwd))) {
    case STUN_VALIDATION_SUCCESS:
        return answer_check(a, &request, from, controlling, reply, reply_len);
    case STUN_VALIDATION_UNAUTHORIZED:
        *reply_len = write_error(a, &request, STUN_ERROR_UNAUTHORIZED, reply);
        return ICE_ERR_UNAUTHORIZED;
    case STUN_VALIDATION_UNAUTHORIZED_BAD_REQUEST:
        *reply_len = write_error(a, &request, STUN_ERROR_BAD_REQUEST, reply);
        return ICE_ERR_UNAUTHORIZED;
    case STUN_VALIDATION_UNKNOWN_REQUEST_ATTRIBUTE:
        *reply_len = stun_agent_build_unknown_attributes_error(&a->stun, &msg, reply, ICE_REPLY_MAX,
                                                               &request);
        return ICE_ERR_UNKNOWN;
    default:
        return ICE_ERR_MALFORMED;
    }
}

/* ---- The client's side ------------------------------------------------------------------------- */

size_t ice_check_write(struct ice_agent *a, const struct ice_check *c, uint8_t dst[ICE_CHECK_MAX],
                       uint8_t id[ICE_ID_BYTES])
{
    StunMessage msg;
    size_t n = stun_usage_ice_conncheck_create(
        &a->stun, &msg, dst, ICE_CHECK_MAX, (const uint8_t *)c->username, strlen(c->username),
        (const uint8_t *)c->pwd, strlen(c->pwd), c->use_candidate, true, c->priority, c->tie_breaker, NULL,
        STUN_USAGE_ICE_COMPATIBILITY_RFC5245);
    if (n)
        stun_message_id(&msg, id);
    return n;
}

void ice_check_forget(struct ice_agent *a, const uint8_t id[ICE_ID_BYTES])
{
    StunTransactionId copy;

    memcpy(copy, id, sizeof(copy));
    stun_agent_forget_transaction(&a->stun, copy);
}

int ice_response_read(struct ice_agent *a, const struct ice_view *v)
{
    StunMessage msg;
    struct sockaddr_storage mapped;
    socklen_t mapped_len = sizeof(mapped);

    switch (stun_agent_validate(&a->stun, &msg, v->bytes, v->len, NULL, NULL)) {
    case STUN_VALIDATION_SUCCESS:
        break;
    case STUN_VALIDATION_UNAUTHORIZED:
    case STUN_VALIDATION_UNAUTHORIZED_BAD_REQUEST:
        return ICE_ERR_UNAUTHORIZED;
    case STUN_VALIDATION_UNMATCHED_RESPONSE:
        return ICE_ERR_UNMATCHED;
    default:
        return ICE_ERR_MALFORMED;
    }
    if (v->class != ICE_RESPONSE)
        return ICE_ERR_UNMATCHED;
    switch (stun_usage_ice_conncheck_process(&msg, &mapped, &mapped_len,
                                             STUN_USAGE_ICE_COMPATIBILITY_RFC5245)) {
    case STUN_USAGE_ICE_RETURN_SUCCESS:
        return ICE_OK;
    case STUN_USAGE_ICE_RETURN_ROLE_CONFLICT:
        return ICE_ERR_CONFLICT;
    default:
        return ICE_ERR_MALFORMED;
    }
}
