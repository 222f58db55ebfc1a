/* SPDX-License-Identifier: MIT */
#include "services/forward-trouble.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "services/mp-service.h"

int trouble_init(Trouble *t, const Backend *backend) {
    CLEANUP_TEXT Text to = {0};
    text_add_escaped(&to, backend->endpoint.text, strlen(backend->endpoint.text));
    *t = (Trouble){.to = text_take(&to)};
    return t->to ? 0 : -ENOMEM;
}

void trouble_done(Trouble *t) {
    free(t->to);
    t->to = NULL;
}

void trouble_tell(Trouble *t, const char *why, uint64_t now_usec) {
    if (now_usec < t->quiet_until_usec) {
        t->left_out++;
        return;
    }
    char more[48] = "";
    if (t->left_out > 0)
        (void)snprintf(more, sizeof(more), " (%" PRIu64 " more)", t->left_out);
    (void)fprintf(stderr, "mp-forward: %s: %s%s\n", t->to, why, more);
    (void)mp_reportf("STATUS=%s: %s\n", t->to, why);
    t->told = true;
    t->left_out = 0;
    t->quiet_until_usec = now_usec + USEC_PER_SEC;
}

void trouble_over(Trouble *t) {
    if (t->told)
        (void)mp_reportf("STATUS=forwarding to %s\n", t->to);
    t->told = false;
}
