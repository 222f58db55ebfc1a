/* SPDX-License-Identifier: MIT */
/* mpctl upgrade: another program in the daemon's place. The connection goes on through it, and the answer is
 * the new one's. */
#include "ctl/fields.h"
#include "ctl/progress.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

static void show_upgrade(Ctl *c, const json_t *parameters) {
    bool same = streq(field_text(parameters, "version"), field_text(parameters, "previous"));
    text_add(&c->out, "mpinetd ");
    field_show(&c->out, parameters, "version");
    if (same) {
        text_add(&c->out, " runs anew");
    } else {
        text_add(&c->out, " runs in place of ");
        field_show(&c->out, parameters, "previous");
    }
    text_add(&c->out, "; the pause was ");
    api_add_duration(&c->out, field_count(parameters, "pause_usec"));
    text_addc(&c->out, '\n');
}

int verb_upgrade(Ctl *c, char *const *args) {
    CLEANUP_REPLY Reply reply = {0};
    CLEANUP_PROGRESS Progress progress = {0};
    (void)args;
    int status = 0;
    if (!progress_ask(&progress, c, METHOD_UPGRADE, "the new program proves itself", &status))
        return status;
    int r = progress_receive(&progress, c->options.timeout_usec, &reply);
    progress_end(&progress);
    if (r == -EINTR)
        return progress_interrupted(&progress);
    if (r == -ETIMEDOUT && c->options.timeout_usec != USEC_INFINITY)
        return ctl_fail(c, CTL_FAILED, "'mpctl events' shows how it ends",
                        "not upgraded in time; mpinetd goes on with it");
    if (r < 0 || reply.error)
        return ctl_fail_reply(c, METHOD_UPGRADE, r, &reply);
    if (ctl_wants_json(c))
        ctl_add_json(c, reply.parameters);
    else
        show_upgrade(c, reply.parameters);
    return CTL_DONE;
}
