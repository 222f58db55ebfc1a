/* SPDX-License-Identifier: MIT */
#include "daemon/process-reserve.h"

#include <unistd.h>

rlim_t process_reserve_limit(const struct rlimit *limit) {
    if (limit->rlim_cur == RLIM_INFINITY || limit->rlim_cur <= (rlim_t)2 * PROCESSES_KEPT)
        return 0;
    return limit->rlim_cur - PROCESSES_KEPT;
}

ProcessReserve process_reserve_hold(void) {
    ProcessReserve r = {0};
    if (geteuid() == 0 || getrlimit(RLIMIT_NPROC, &r.before) < 0)
        return r;
    struct rlimit lower = {.rlim_cur = process_reserve_limit(&r.before), .rlim_max = r.before.rlim_max};
    r.held = lower.rlim_cur > 0 && setrlimit(RLIMIT_NPROC, &lower) == 0;
    return r;
}

void process_reserve_let_go(const ProcessReserve *r) {
    if (r->held)
        (void)setrlimit(RLIMIT_NPROC, &r->before);
}
