/* SPDX-License-Identifier: MIT */
/* Loaded into a daemon, it lets one allocation fail: which one stands in a file that the test maps as well.
 * Those of other processes, and what comes before the file is there, are left alone. */
#include <dlfcn.h>
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
    uint32_t in_libc;    /* of these, what libc wanted for itself */
    int32_t behind_exec; /* only once it runs another program, which sets it to 0 */
} Order;

static Order *order;
static const void *libc; /* where it begins */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

/* The beginning of the library that the address is in. */
static const void *home_of(const void *address) {
    Dl_info info;
    return dladdr(address, &info) ? info.dli_fbase : NULL;
}

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
    libc = home_of((const void *)(uintptr_t)__libc_malloc);
    if (order->pid == 0)
        order->pid = (int32_t)getpid();
    else if (order->pid == (int32_t)getpid() && order->behind_exec)
        order->behind_exec = 0;
    else if (order->pid == (int32_t)getpid())
        order->pid = -1; /* of an upgrade, what cannot be taken back any more */
}

static int fails(const void *caller) {
    if (!order || order->pid != (int32_t)getpid() || order->behind_exec)
        return 0;
    order->n++;
    if (order->n != order->fail_at)
        return 0;
    order->failed++;
    order->in_libc += home_of(caller) == libc;
    errno = ENOMEM;
    return 1;
}

__attribute__((visibility("default"))) void *malloc(size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

/* libc's own names for these are reserved. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((visibility("default"))) void *calloc(size_t n, size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((visibility("default"))) void *realloc(void *p, size_t size) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}
