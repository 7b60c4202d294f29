/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/ice_link.h"

#include <stdbool.h>
#include <string.h>

struct out {
    char *p, *end; /* one byte before end is kept for NUL */
    bool full;
};

static void put(struct out *o, const char *text, size_t len)
{
    if ((size_t)(o->end - o->p) <= len) {
        o->full = true;
        return;
    }
    memcpy(o->p, text, len);
    o->p += len;
}

static void put_text(struct out *o, const char *text)
{
    put(o, text, strlen(text));
}

/* RFC 9110 s5.6.4: a quoted-string. */
static void put_quoted(struct out *o, const char *name, const char *text, size_t len)
{
    put_text(o, name);
    put_text(o, "=\"");
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            put_text(o, "\\");
        put(o, text + i, 1);
    }
    put_text(o, "\"");
}

static bool begins_with_any(const char *text, const char *const *schemes)
{
    for (; *schemes; schemes++)
        if (strncmp(text, *schemes, strlen(*schemes)) == 0 && strcspn(text + strlen(*schemes), " ") > 0)
            return true;
    return false;
}

/* Visible ASCII and single spaces between words: nothing that could end the field or the URI. */
static bool is_clean(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '<' || *p == '>' || (*p == ' ' && (p == text || p[1] == ' ' || !p[1])))
            return false;
    return true;
}

int rtc_ice_link_write(char *dst, size_t cap, const char *server)
{
    static const char *const stun[] = {"stun:", "stuns:", NULL}, *const turn[] = {"turn:", "turns:", NULL};
    struct out o = {dst, dst + cap, false};
    size_t uri = strcspn(server, " ");
    const char *user = strchr(server, ' '), *password = user ? strchr(user + 1, ' ') : NULL;
    bool with_user = user && password && !strchr(password + 1, ' ');

    *dst = '\0';
    if (!is_clean(server) || !(begins_with_any(server, stun) ? !user : with_user && begins_with_any(server, turn)))
        return -1;
    put_text(&o, "<");
    put(&o, server, uri);
    put_text(&o, ">; rel=\"ice-server\"");
    if (user) {
        put_quoted(&o, "; username", user + 1, (size_t)(password - user - 1));
        put_quoted(&o, "; credential", password + 1, strlen(password + 1));
        put_text(&o, "; credential-type=\"password\"");
    }
    if (o.full)
        return -1;
    *o.p = '\0';
    return (int)(o.p - dst);
}
