/* SPDX-License-Identifier: MIT */
/* mpctl metrics: all counters as Prometheus text. */
#include "ctl/fields.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

/* Parts come one after the other; this is the longest silence between two. */
#define PART_TIMEOUT_USEC (30 * USEC_PER_SEC)

/* The text is for programs, and is passed on as it is. */
static int receive(Ctl *c, Text *out) {
    for (;;) {
        CLEANUP_REPLY Reply reply = {0};
        int status = ctl_receive(c, METHOD_METRICS, PART_TIMEOUT_USEC, &reply);
        if (status != 0)
            return status;
        text_add(out, field_text(reply.parameters, "metrics"));
        if (!reply.continues)
            return CTL_DONE;
    }
}

int verb_metrics(Ctl *c, char *const *args) {
    CLEANUP_TEXT Text text = {0};
    (void)args;
    int status = ctl_send(c, METHOD_METRICS, NULL, true);
    if (status == 0)
        status = receive(c, &text);
    if (status != 0)
        return status;
    if (!text_ok(&text))
        return ctl_fail(c, CTL_FAILED, NULL, "out of memory");
    if (ctl_wants_json(c)) {
        json_t *document = json_pack("{s:s}", "metrics", text.s ? text.s : "");
        ctl_add_json(c, document);
        json_decref(document);
    } else {
        text_add(&c->out, text.s ? text.s : "");
    }
    return CTL_DONE;
}
