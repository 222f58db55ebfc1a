/* SPDX-License-Identifier: MIT */
#include "daemon/handover.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/base/text.h"

static int write_all(int fd, const uint8_t *data, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, data, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -EIO;
        data += k;
        n -= (size_t)k;
    }
    return 0;
}

int handover_write(const BlobWriter *w) {
    CLEANUP_CLOSE int fd = memfd_create("mpinetd-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, w->data, w->n);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* Digits alone. */
static const char *take_number(const char *s, long *ret) {
    char *end = NULL;
    if (*s < '0' || *s > '9')
        return NULL;
    errno = 0;
    *ret = strtol(s, &end, 10);
    return errno == 0 && *ret <= INT32_MAX ? end : NULL;
}

int handover_parse(const char *value, pid_t pid) {
    long whose = 0, fd = 0;
    const char *s = take_number(value, &whose);
    if (!s || *s != ':' || whose != pid)
        return -EINVAL;
    s = take_number(s + 1, &fd);
    return s && *s == '\0' && fd > STDERR_FILENO ? (int)fd : -EINVAL;
}

int handover_from_environment(void) {
    const char *value = getenv(HANDOVER_VARIABLE);
    int fd = value ? handover_parse(value, getpid()) : -ENOENT;
    (void)unsetenv(HANDOVER_VARIABLE);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -ENOENT;
    return fd;
}

int handover_read(Handover *h, int fd, BlobPurpose purpose) {
    struct stat st;
    *h = (Handover){0};
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || (size_t)st.st_size > BLOB_MAX) {
        blob_spoil(&h->source, "it is no file of a state");
        return -EBADMSG;
    }
    /* A file that somebody could cut off under the reader would be the end of him. */
    int wanted = F_SEAL_SHRINK | F_SEAL_WRITE, seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & wanted) != wanted) {
        blob_spoil(&h->source, "it is not sealed");
        return -EBADMSG;
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        blob_spoil(&h->source, "it cannot be mapped: %s", strerror(errno));
        return -EBADMSG;
    }
    h->data = data;
    h->n = (size_t)st.st_size;
    return blob_source_init(&h->source, h->data, h->n, purpose, &h->reader);
}

void handover_done(Handover *h) {
    blob_source_done(&h->source);
    if (h->data)
        (void)munmap(h->data, h->n);
    *h = (Handover){0};
}

int handover_keep(const int *fds, size_t n, bool keep) {
    int r = 0;
    for (size_t i = 0; i < n; i++)
        if (fcntl(fds[i], F_SETFD, keep ? 0 : FD_CLOEXEC) < 0 && r == 0)
            r = -errno;
    return r;
}
