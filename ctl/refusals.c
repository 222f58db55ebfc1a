/* SPDX-License-Identifier: MIT */
#include "ctl/refusals.h"

#include "ctl/fields.h"
#include "ctl/proto/api.h"

static const Refusal rows[_REFUSE_REASON_MAX] = {
    [REFUSE_ACCESS] = {'a', "the address is not allowed", "access.allow, access.deny", NULL},
    [REFUSE_HOURS] = {'h', "not at this time", "access.hours", NULL},
    [REFUSE_LOAD] = {'l', "the machine's load is too high", "limits.load", "limits.load=N"},
    [REFUSE_RATE] = {'r', "too many connections in a short time", "limits.rate", "limits.rate=N/s"},
    [REFUSE_INSTANCES] = {'i', "too many instances run", "limits.instances", "limits.instances=N"},
    [REFUSE_RATE_PER_SOURCE] = {'s', "one source connects too often", "limits.rate_per_source",
                                "limits.rate_per_source=N/m"},
    [REFUSE_PER_SOURCE] = {'p', "one source has too many connections", "limits.per_source",
                           "limits.per_source=N"},
    [REFUSE_BANNED] = {'b', "the source is banned", "ban", NULL},
    [REFUSE_PROXY] = {'x', "no proper PROXY header or tcpmux name came", "proxy_protocol.accept_from", NULL},
};

const Refusal *refusal(size_t reason) {
    return reason < ELEMENTS(rows) ? &rows[reason] : NULL;
}

uint64_t refusals_sum(const json_t *refused) {
    uint64_t sum = 0;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        sum += field_count(refused, refuse_reason_to_string((RefuseReason)i));
    return sum;
}

int refusals_most(const json_t *refused) {
    uint64_t most = 0;
    int reason = -ENOENT;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        uint64_t n = field_count(refused, refuse_reason_to_string((RefuseReason)i));
        if (n > most) {
            most = n;
            reason = (int)i;
        }
    }
    return reason;
}
