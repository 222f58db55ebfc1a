/* SPDX-License-Identifier: MIT */
#include "conf/sandbox.h"

static const char *const presets[] = {
    [SANDBOX_NONE] = "none",
    [SANDBOX_BASIC] = "basic",
    [SANDBOX_STRICT] = "strict",
};
DEFINE_STRTAB(sandbox_preset, SandboxPreset, presets);

static const char *const networks[] = {
    [SANDBOX_NETWORK_HOST] = "host",
    [SANDBOX_NETWORK_NONE] = "none",
};
DEFINE_STRTAB(sandbox_network, SandboxNetwork, networks);

static const char *const device_words[] = {
    [SANDBOX_DEVICES_ALL] = "all",
    [SANDBOX_DEVICES_MINIMAL] = "minimal",
};
DEFINE_STRTAB(sandbox_devices, SandboxDevices, device_words);
