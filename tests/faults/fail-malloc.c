/* SPDX-License-Identifier: MIT */
/* Loaded into a daemon, it lets one allocation fail: which one stands in a file that the test maps as well.
 * Those of other processes, and what comes before the file is there, are left alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Order {
    int32_t pid;      /* whose; 0: of the first process that looks */
    uint32_t fail_at; /* 1 is the next allocation; 0: none fails */
    uint32_t n;       /* so many there were since fail_at was written; the test sets it to 0 */
    uint32_t failed;
} Order;

static Order *order;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

__attribute__((constructor)) static void map_order(void) {
    const char *path = getenv("MP_FAIL_MALLOC");
    if (!path)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(Order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (p == MAP_FAILED)
        return;
    order = p;
    if (order->pid == 0)
        order->pid = (int32_t)getpid();
    else if (order->pid == (int32_t)getpid())
        order->pid =
            -1; /* another program goes on in this process: an upgrade cannot be taken back any more */
}

static int fails(void) {
    if (!order || order->pid != (int32_t)getpid())
        return 0;
    order->n++;
    if (order->n != order->fail_at)
        return 0;
    order->failed++;
    errno = ENOMEM;
    return 1;
}

__attribute__((visibility("default"))) void *malloc(size_t size) {
    return fails() ? NULL : __libc_malloc(size);
}

/* libc's own names for these are reserved. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((visibility("default"))) void *calloc(size_t n, size_t size) {
    return fails() ? NULL : __libc_calloc(n, size);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((visibility("default"))) void *realloc(void *p, size_t size) {
    return fails() ? NULL : __libc_realloc(p, size);
}
