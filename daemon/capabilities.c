/* SPDX-License-Identifier: MIT */
#include "daemon/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

bool capabilities_are_inherited(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return true; /* who knows */
    /* What is ambient is inheritable as well. */
    return (data[0].inheritable | data[1].inheritable) != 0;
}
