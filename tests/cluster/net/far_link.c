/* SPDX-License-Identifier: Apache-2.0
 * far_link.c - a cable between two network namespaces with delay, jitter, loss, reordering and a cut.
 *
 *   far_link NETNS_A DEV_A NETNS_B DEV_B      NETNS: a path as /proc/123/ns/net, or "-" for this one
 *
 * Makes one TAP device in each namespace (the caller gives them addresses) and carries frames between them. For
 * kernels without sch_netem. Commands on standard input, one a line; the direction is ab, ba or both:
 *   both delay_us=40000 jitter_us=5000 loss_ppm=50000 reorder_ppm=0 cut=0
 * keeps what is not named. "ok" on standard output follows each; end of input ends the program.
 * Loss takes UDP only: TCP's own repair of it is not what is looked at. A reordered frame is held back for 3 ms more. The random numbers
 * are the same in every run.
 * Thread: one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_MAX = 1600,
    QUEUE_MAX = 16384, /* frames under way in one direction: 160 ms of gigabit */
    REORDER_US = 3000,
};

struct frame {
    uint64_t due_us, number; /* number: frames that are due together keep their order */
    size_t len;
    uint8_t bytes[FRAME_MAX];
};

struct direction {
    int from, to;
    uint64_t delay_us, jitter_us, loss_ppm, reorder_ppm, cut;
    struct frame *heap[QUEUE_MAX]; /* by due_us, the least at 0 */
    size_t n;
    uint64_t last_due_us, numbers;
};

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t random_below(uint64_t n)
{
    static uint64_t state = 0x9e3779b97f4a7c15; /* the program's only one: its runs are alike */

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n ? state % n : 0;
}

static void fail(const char *what)
{
    fprintf(stderr, "far_link: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_tap(const char *netns, const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int home = open("/proc/self/ns/net", O_RDONLY), there = -1;

    if (strcmp(netns, "-") != 0) {
        there = open(netns, O_RDONLY);
        if (there < 0 || setns(there, CLONE_NEWNET) != 0)
            fail(netns);
    }
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) != 0)
        fail(name);
    if (there >= 0 && setns(home, CLONE_NEWNET) != 0)
        fail("the way back");
    close(there);
    close(home);
    return fd;
}

/* ---- The queue ------------------------------------------------------------------------------------------ */

static bool before(const struct frame *a, const struct frame *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void heap_push(struct direction *d, struct frame *f)
{
    size_t i = d->n++;

    for (; i > 0 && before(f, d->heap[(i - 1) / 2]); i = (i - 1) / 2)
        d->heap[i] = d->heap[(i - 1) / 2];
    d->heap[i] = f;
}

static struct frame *heap_pop(struct direction *d)
{
    struct frame *top = d->heap[0], *last = d->heap[--d->n];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < d->n; i = child) {
        if (child + 1 < d->n && before(d->heap[child + 1], d->heap[child]))
            child++;
        if (!before(d->heap[child], last))
            break;
        d->heap[i] = d->heap[child];
    }
    d->heap[i] = last;
    return top;
}

/* ---- Frames ------------------------------------------------------------------------------------------------ */

static bool is_udp(const uint8_t *frame, size_t len)
{
    return len > 23 && frame[12] == 0x08 && frame[13] == 0x00 && frame[23] == 17;
}

/* When it is to leave. Jitter alone does not reorder, as in a queue; reordering is asked for. */
static uint64_t due_of(struct direction *d, uint64_t at_us)
{
    uint64_t due_us = at_us + d->delay_us + random_below(d->jitter_us + 1);

    if (random_below(1000000) < d->reorder_ppm)
        return due_us + REORDER_US;
    if (due_us < d->last_due_us)
        due_us = d->last_due_us;
    return d->last_due_us = due_us;
}

static void take(struct direction *d)
{
    uint8_t bytes[FRAME_MAX];
    ssize_t len;

    while ((len = read(d->from, bytes, sizeof(bytes))) > 0) {
        bool lost = is_udp(bytes, (size_t)len) && random_below(1000000) < d->loss_ppm;
        struct frame *f = d->cut || lost || d->n == QUEUE_MAX ? NULL : malloc(sizeof(*f));
        if (!f)
            continue;
        memcpy(f->bytes, bytes, (size_t)len);
        f->len = (size_t)len;
        f->number = d->numbers++;
        f->due_us = due_of(d, now_us());
        heap_push(d, f);
    }
}

static void give(struct direction *d, uint64_t at_us)
{
    while (d->n && d->heap[0]->due_us <= at_us) {
        struct frame *f = heap_pop(d);
        if (!d->cut && write(d->to, f->bytes, f->len) < 0 && errno != EIO && errno != EAGAIN)
            perror("far_link: write"); /* EIO: the device is down yet */
        free(f);
    }
}

/* ---- Commands ------------------------------------------------------------------------------------------------ */

static void set(struct direction *d, const char *word)
{
    static const char *const names[] = {"delay_us=", "jitter_us=", "loss_ppm=", "reorder_ppm=", "cut="};
    uint64_t *const values[] = {&d->delay_us, &d->jitter_us, &d->loss_ppm, &d->reorder_ppm, &d->cut};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(word, names[i], strlen(names[i])) == 0) {
            *values[i] = strtoull(word + strlen(names[i]), NULL, 10);
            return;
        }
    fprintf(stderr, "far_link: what is '%s'?\n", word);
    exit(1);
}

static void obey(struct direction *ab, struct direction *ba, char *line)
{
    char *rest, *which = strtok_r(line, " \n", &rest);

    for (char *word; which && (word = strtok_r(NULL, " \n", &rest));) {
        if (strcmp(which, "ba") != 0)
            set(ab, word);
        if (strcmp(which, "ab") != 0)
            set(ba, word);
    }
    puts("ok");
    fflush(stdout);
}

/* False at the end of input. Lines are short and written whole. */
static bool read_commands(struct direction *ab, struct direction *ba)
{
    char text[1024], *rest;
    ssize_t n = read(STDIN_FILENO, text, sizeof(text) - 1);

    if (n <= 0)
        return false;
    text[n] = '\0';
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        obey(ab, ba, line);
    return true;
}

static int wait_ms(const struct direction *a, const struct direction *b, uint64_t at_us)
{
    uint64_t due_us = at_us + 1000000;

    if (a->n && a->heap[0]->due_us < due_us)
        due_us = a->heap[0]->due_us;
    if (b->n && b->heap[0]->due_us < due_us)
        due_us = b->heap[0]->due_us;
    return due_us <= at_us ? 0 : (int)((due_us - at_us + 999) / 1000);
}

int main(int argc, char **argv)
{
    static struct direction ab, ba; /* large */

    if (argc != 5) {
        fprintf(stderr, "usage: far_link NETNS_A DEV_A NETNS_B DEV_B\n");
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ab.from = ba.to = open_tap(argv[1], argv[2]);
    ab.to = ba.from = open_tap(argv[3], argv[4]);
    puts("ok");
    fflush(stdout);
    for (;;) {
        struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {ab.from, POLLIN, 0}, {ba.from, POLLIN, 0}};
        if (poll(fds, 3, wait_ms(&ab, &ba, now_us())) < 0)
            fail("poll");
        if (fds[0].revents && !read_commands(&ab, &ba))
            return 0;
        take(&ab);
        take(&ba);
        uint64_t at_us = now_us();
        give(&ab, at_us);
        give(&ba, at_us);
    }
}
