/* SPDX-License-Identifier: MIT */
/* A library for LD_PRELOAD, which makes of any server one that has much: BURDEN_FDS more descriptors, opened
 * when it first listens, numbered from BURDEN_FD_BASE on, and BURDEN_MIB of memory, written to. For
 * growth.py. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned long number(const char *name) {
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : 0;
}

static void fail(const char *what) {
    perror(what);
    _exit(EXIT_FAILURE);
}

static void open_descriptors(unsigned long n, int base) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("setrlimit");
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (first < 0)
        fail("/dev/null");
    for (unsigned long i = 0; i < n; i++)
        if (fcntl(first, F_DUPFD_CLOEXEC, base) < 0)
            fail("dup");
    (void)close(first);
}

static void touch_memory(unsigned long mib) {
    size_t size = mib << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    /* In small pages, as a heap that has grown over time has them. */
    (void)madvise(memory, size, MADV_NOHUGEPAGE);
    memset(memory, 1, size);
}

/* Its arguments have libc's names for them. Once the server has closed what it was not to inherit, and before
 * it has anything to do. */
__attribute__((visibility("default"))) int listen(int __fd, int __n) {
    static bool done;
    static int (*real)(int, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "listen");
    if (!done) {
        done = true;
        open_descriptors(number("BURDEN_FDS"), (int)number("BURDEN_FD_BASE"));
        if (number("BURDEN_MIB") > 0)
            touch_memory(number("BURDEN_MIB"));
    }
    return real(__fd, __n);
}
