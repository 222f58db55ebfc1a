/* SPDX-License-Identifier: MIT */
#include "daemon/machine-load.h"

#include <fcntl.h>
#include <stdlib.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define READ_USEC USEC_PER_SEC

/* The file, and not sysinfo(2): in a container it may be the container's own. */
static double read_load(void) {
    char text[128];
    double load = 0;
    CLEANUP_CLOSE int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n > 0) {
        text[n] = '\0';
        return strtod(text, NULL);
    }
    return getloadavg(&load, 1) == 1 ? load : 0;
}

double machine_load(MachineLoad *l, uint64_t now_usec) {
    if (l->read_usec == 0 || now_usec - l->read_usec >= READ_USEC) {
        l->read_usec = now_usec;
        l->value = read_load();
    }
    return l->value;
}
