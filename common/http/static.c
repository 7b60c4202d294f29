/* SPDX-License-Identifier: Apache-2.0 */
#include "http/static.h"

#include "io/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 16 << 20, PATH_CAP = 1024, ETAG_CAP = 48 };

struct http_static {
    struct worker *worker;
    int folder_fd;
    unsigned refs; /* the owner's, and one a job */
};

/* One file on its way: made on the worker, read in a pool thread, answered on the worker. */
struct read_job {
    struct job job;
    struct http_static *owner;
    struct http_exchange *x; /* NULL when the client went away; the pool thread does not look */
    char path[PATH_CAP];
    char if_none_match[256];
    /* What came of it. */
    int status;
    char etag[ETAG_CAP];
    struct buf *body;
};

static void unref(struct http_static *s)
{
    if (--s->refs > 0)
        return;
    close(s->folder_fd);
    free(s);
}

/* ---- In a pool thread ------------------------------------------------------------------------ */

/* Opens path ("/a/b.js") below folder_fd, name by name. Returns the descriptor, or -1. */
static int open_below(int folder_fd, const char *path)
{
    char name[256]; /* NAME_MAX and NUL */
    int at = folder_fd;

    for (;;) {
        path += strspn(path, "/");
        size_t n = strcspn(path, "/");
        bool last = path[n] == '\0';

        if (n == 0 || n >= sizeof(name) || path[0] == '.')
            break;
        memcpy(name, path, n);
        name[n] = '\0';
        /* O_NONBLOCK: opening a FIFO must not wait for its writer */
        int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (last ? O_NONBLOCK : O_DIRECTORY));
        if (at != folder_fd)
            close(at);
        if (fd < 0 || last)
            return fd;
        at = fd;
        path += n;
    }
    if (at != folder_fd)
        close(at);
    return -1;
}

/* RFC 9110 s13.1.2: a list of tags, or "*"; compared weakly. */
static bool matches(const char *list, const char *etag)
{
    size_t n = strlen(etag);

    if (strcmp(list, "*") == 0)
        return true;
    for (const char *at = list; (at = strstr(at, etag)); at += n)
        if (at[n] == '\0' || at[n] == ',' || at[n] == ' ')
            return true;
    return false;
}

static struct buf *read_all(int fd, size_t len)
{
    struct buf *b = buf_create(len);

    while (b && b->len < len) {
        ssize_t n = read(fd, b->bytes + b->len, len - b->len);

        if (n > 0)
            b->len += (size_t)n;
        else if (n == 0 || errno != EINTR)
            buf_unref(&b); /* cut short under our hands */
    }
    return b;
}

static int read_file(struct read_job *j, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 404;
    if (st.st_size > FILE_MAX_BYTES)
        return 500;
    snprintf(j->etag, sizeof(j->etag), "\"%llx.%lx-%llx\"", (unsigned long long)st.st_mtim.tv_sec,
             (unsigned long)st.st_mtim.tv_nsec, (unsigned long long)st.st_size);
    if (j->if_none_match[0] && matches(j->if_none_match, j->etag))
        return 304;
    j->body = read_all(fd, (size_t)st.st_size);
    return j->body ? 200 : 500;
}

static void run(struct job *job)
{
    struct read_job *j = container_of(job, struct read_job, job);
    int fd = open_below(j->owner->folder_fd, j->path);

    if (fd < 0) {
        j->status = 404;
        return;
    }
    j->status = read_file(j, fd);
    close(fd);
}

/* ---- On the worker --------------------------------------------------------------------------- */

static const char *content_type(const char *path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".ico", "image/x-icon"},
        {".webp", "image/webp"},
        {".woff2", "font/woff2"},
        {".wasm", "application/wasm"},
        {".txt", "text/plain; charset=utf-8"},
        {".mp4", "video/mp4"},
        {".webmanifest", "application/manifest+json"},
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < LEN(types); i++)
        if (strcasecmp(dot, types[i].suffix) == 0)
            return types[i].type;
    return "application/octet-stream";
}

static void answer(struct read_job *j)
{
    if (j->status == 404) {
        http_problem(j->x, 404, "no file %s", j->path);
        return;
    }
    if (j->status == 500) {
        http_problem(j->x, 500, "%s cannot be read", j->path);
        return;
    }
    http_reply_header(j->x, "ETag", j->etag);
    http_reply_header(j->x, "Cache-Control", "no-cache");
    http_reply_header(j->x, "X-Content-Type-Options", "nosniff");
    if (j->status == 304)
        http_reply(j->x, 304, NULL, NULL, 0);
    else
        http_reply_buf(j->x, 200, content_type(j->path), j->body);
}

static void free_job(struct read_job *j)
{
    unref(j->owner);
    buf_unref(&j->body);
    free(j);
}

static void on_done(struct job *job)
{
    struct read_job *j = container_of(job, struct read_job, job);

    if (j->x)
        answer(j);
    free_job(j);
}

static void on_gone(struct http_exchange *x, void *arg)
{
    struct read_job *j = arg;

    (void)x;
    j->x = NULL;
}

void http_static_serve(struct http_exchange *x, struct http_static *s, const char *path)
{
    const char *tags = http_header(x, "if-none-match");
    size_t n = strlen(path);
    struct read_job *j = n + sizeof("index.html") <= PATH_CAP ? calloc(1, sizeof(*j)) : NULL;

    if (!j) {
        http_problem(x, n < PATH_CAP ? 503 : 404, "no file of that name");
        return;
    }
    j->job = (struct job){.run = run, .on_done = on_done};
    j->x = x;
    j->owner = s;
    s->refs++;
    snprintf(j->path, sizeof(j->path), "%s%s", path, n == 0 || path[n - 1] == '/' ? "index.html" : "");
    if (tags && strlen(tags) < sizeof(j->if_none_match))
        memcpy(j->if_none_match, tags, strlen(tags) + 1);
    if (job_start(s->worker, &j->job)) {
        free_job(j);
        http_problem(x, 503, "short of memory");
        return;
    }
    http_on_gone(x, on_gone, j);
}

void http_static_handler(struct http_exchange *x, void *arg)
{
    http_static_serve(x, arg, http_path(x));
}

int http_static_open(struct http_static **out, struct worker *w, const char *folder)
{
    struct http_static *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->worker = w;
    s->refs = 1;
    s->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->folder_fd < 0) {
        int err = -errno;

        free(s);
        return err;
    }
    *out = s;
    return 0;
}

void http_static_close(struct http_static **ps)
{
    struct http_static *s = *ps;

    *ps = NULL;
    if (s)
        unref(s);
}
