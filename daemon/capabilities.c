/* SPDX-License-Identifier: MIT */
#include "daemon/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define USES(capability) .number = (capability), .name = #capability

/* docs/security.md has the same list, which a test sees to. */
static const CapabilityUse uses[] = {
    {USES(CAP_CHOWN), .use = "user and group of UNIX sockets, fifos and queues, and of the control socket"},
    {USES(CAP_DAC_OVERRIDE), .use = "sockets and programs in folders of others; the delegated cgroup"},
    {USES(CAP_DAC_READ_SEARCH), .use = "the helper that reads the config has this one alone"},
    {USES(CAP_FOWNER), .use = "mode of a socket that belongs to its service's user"},
    {USES(CAP_KILL), .use = "ending processes of other users"},
    {USES(CAP_NET_ADMIN), .use = "mark, receive_buffer and send_buffer past the limits; closing connections; "
                                 "the loopback of a private network"},
    {USES(CAP_NET_BIND_SERVICE), .use = "ports below 1024"},
    {USES(CAP_NET_RAW), .use = "device, freebind"},
    {USES(CAP_SETFCAP), .use = "mapping root into a user namespace"},
    {USES(CAP_SETGID), .use = "groups of processes"},
    {USES(CAP_SETPCAP), .use = "bounding set and inheritable capabilities of processes and helpers"},
    {USES(CAP_SETUID), .use = "users of processes"},
    {USES(CAP_SYS_ADMIN), .use = "namespaces and mounts of a sandbox"},
    {USES(CAP_SYS_CHROOT), .use = "root_directory, and the empty root of a helper"},
    {USES(CAP_SYS_NICE), .use = "priorities and processors of processes"},
    {USES(CAP_SYS_RESOURCE), .use = "limits above the hard ones, oom_score_adjust, message queues"},
};

const CapabilityUse *capability_use(size_t i) {
    return i < ELEMENTS(uses) ? &uses[i] : NULL;
}

uint64_t capabilities_used(void) {
    uint64_t set = 0;
    for (size_t i = 0; i < ELEMENTS(uses); i++)
        set |= (uint64_t)1 << uses[i].number;
    return set;
}

uint64_t capabilities_trimmed(uint64_t effective) {
    return effective & capabilities_used();
}

typedef struct __user_cap_header_struct CapHeader;
typedef struct __user_cap_data_struct CapData[_LINUX_CAPABILITY_U32S_3];

int capabilities_trim(void) {
    CapHeader header = {.version = _LINUX_CAPABILITY_VERSION_3};
    CapData data = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    uint64_t before = (uint64_t)data[1].effective << 32 | data[0].effective;
    uint64_t after = capabilities_trimmed(before);
    if (after == before)
        return 0;
    data[0].effective = (uint32_t)after;
    data[1].effective = (uint32_t)(after >> 32);
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

void capabilities_drop(void) {
    CapHeader header = {.version = _LINUX_CAPABILITY_VERSION_3};
    CapData none = {{0}};
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    (void)syscall(SYS_capset, &header, none);
}

bool capabilities_are_inherited(void) {
    CapHeader header = {.version = _LINUX_CAPABILITY_VERSION_3};
    CapData data = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return true; /* who knows */
    /* What is ambient is inheritable as well. */
    return (data[0].inheritable | data[1].inheritable) != 0;
}
