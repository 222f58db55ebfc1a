/* SPDX-License-Identifier: MIT */
#include "daemon/admission.h"

Admission admission_of_service(const ServiceConfig *service, const Usage *usage) {
    if (usage->instances >= service->instances)
        return (Admission){
            .verdict = service->when_full == WHEN_FULL_REFUSE ? VERDICT_REFUSE : VERDICT_WAIT,
            .reason = REFUSE_INSTANCES,
        };
    return (Admission){.verdict = VERDICT_SERVE};
}
