/* SPDX-License-Identifier: MIT */
#include "daemon/seclusion.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

bool seclusion_is_wanted(char *const *env) {
    static const char off[] = SECLUSION_OFF_VARIABLE "=1";
    for (char *const *v = env; v && *v; v++)
        if (streq(*v, off))
            return false;
    return true;
}

void seclusion_begin(char *const *env) {
    /* prctl(2): cannot fail with this value. */
    if (seclusion_is_wanted(env))
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void set_soft_limit(rlim_t soft, rlim_t hard) {
    const struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    (void)setrlimit(RLIMIT_CORE, &limit);
}

void seclusion_limit(Runtime *rt) {
    struct rlimit limit;
    seclusion_look(rt);
    /* The hard one stays: processes get the soft one back. */
    if (!seclusion_is_wanted(rt->environ) || getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_cur == 0)
        return;
    rt->core = limit;
    rt->core_lowered = true;
    set_soft_limit(0, limit.rlim_max);
}

void seclusion_lift(const Runtime *rt) {
    if (rt->core_lowered)
        set_soft_limit(rt->core.rlim_cur, rt->core.rlim_max);
}

void seclusion_resume(const Runtime *rt) {
    if (rt->core_lowered)
        set_soft_limit(0, rt->core.rlim_max);
}

int seclusion_parse(const char *text) {
    if (text[0] < '0' || text[0] > '2' || (text[1] != '\n' && text[1] != '\0'))
        return -1;
    return text[0] - '0';
}

void seclusion_look(Runtime *rt) {
    char text[16];
    CLEANUP_CLOSE int fd = open("/proc/sys/fs/suid_dumpable", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    /* Where it cannot be known, it may be so. */
    int value = seclusion_is_wanted(rt->environ) ? seclusion_parse(text) : 0;
    rt->opens_memory = value != 0;
    rt->shares_no_memory = value != 0 && value != 2;
}
