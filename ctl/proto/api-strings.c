/* SPDX-License-Identifier: MIT */
/* The words of the control interface's enums. */
#include <string.h>

#include "ctl/proto/api.h"

static const char *const service_state_table[_SERVICE_STATE_MAX] = {
    [SERVICE_DISABLED] = "disabled", [SERVICE_LISTENING] = "listening", [SERVICE_PAUSED] = "paused",
    [SERVICE_ACTIVE] = "active",     [SERVICE_FULL] = "full",           [SERVICE_THROTTLED] = "throttled",
    [SERVICE_STARTING] = "starting", [SERVICE_DRAINING] = "draining",   [SERVICE_BACKOFF] = "backoff",
    [SERVICE_FAILED] = "failed",     [SERVICE_STOPPED] = "stopped",
};
DEFINE_STRTAB(service_state, ServiceState, service_state_table);

bool service_state_is_running(ServiceState state) {
    switch (state) {
    case SERVICE_LISTENING:
    case SERVICE_ACTIVE:
    case SERVICE_FULL:
    case SERVICE_THROTTLED:
    case SERVICE_STARTING:
    case SERVICE_DRAINING:
    case SERVICE_BACKOFF:
        return true;
    case SERVICE_DISABLED:
    case SERVICE_PAUSED:
    case SERVICE_FAILED:
    case SERVICE_STOPPED:
    case _SERVICE_STATE_MAX:
        return false;
    }
    return false;
}

static const char *const refuse_reason_table[_REFUSE_REASON_MAX] = {
    [REFUSE_ACCESS] = "access",
    [REFUSE_HOURS] = "hours",
    [REFUSE_LOAD] = "load",
    [REFUSE_RATE] = "rate",
    [REFUSE_INSTANCES] = "instances",
    [REFUSE_RATE_PER_SOURCE] = "rate_per_source",
    [REFUSE_PER_SOURCE] = "per_source",
    [REFUSE_BANNED] = "banned",
    [REFUSE_PROXY] = "proxy",
};
DEFINE_STRTAB(refuse_reason, RefuseReason, refuse_reason_table);

static const char *const ban_cause_table[_BAN_CAUSE_MAX] = {
    [BAN_REFUSALS] = "refusals",
    [BAN_FAILURES] = "failures",
    [BAN_REPORTED] = "reported",
    [BAN_SENSOR] = "sensor",
};
DEFINE_STRTAB(ban_cause, BanCause, ban_cause_table);

static const char *const exit_result_table[_EXIT_RESULT_MAX] = {
    [EXIT_OK] = "ok",           [EXIT_FAILED] = "failed",   [EXIT_SIGNALED] = "signaled",
    [EXIT_TIMEOUT] = "timeout", [EXIT_UNKNOWN] = "unknown",
};
DEFINE_STRTAB(exit_result, ExitResult, exit_result_table);

const char *api_errno_text(int e) {
    const char *s = strerrordesc_np(e);
    return s ? s : "unknown error";
}
