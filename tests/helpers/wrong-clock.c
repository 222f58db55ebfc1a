/* SPDX-License-Identifier: MIT */
/* For LD_PRELOAD: what people read from the clock is wrong by the seconds that stand in the file named by
 * MP_TEST_CLOCK, which may change at any time. Intervals (CLOCK_MONOTONIC and the others) are right. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the library's own names are reserved */
#define EXPORT __attribute__((visibility("default")))

static long wrong_by(void) {
    const char *path = getenv("MP_TEST_CLOCK");
    char text[32] = "";
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

EXPORT int clock_gettime(clockid_t id, struct timespec *ts) {
    long r = syscall(SYS_clock_gettime, id, ts);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ts->tv_sec += wrong_by();
    return (int)r;
}

EXPORT int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    struct timespec ts = {0};
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
        return -1;
    *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
    return 0;
}

EXPORT time_t time(time_t *ret) {
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
