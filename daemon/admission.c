/* SPDX-License-Identifier: MIT */
#include "daemon/admission.h"

Admission admission_of_service(const LimitsConfig *limits, const ServiceUsage *usage) {
    if (usage->instances >= limits->instances)
        return (Admission){
            .verdict = limits->when_full == WHEN_FULL_REFUSE ? VERDICT_REFUSE : VERDICT_WAIT,
            .reason = REFUSE_INSTANCES,
            .used = usage->instances,
            .limit = limits->instances,
        };
    return (Admission){.verdict = VERDICT_SERVE};
}
