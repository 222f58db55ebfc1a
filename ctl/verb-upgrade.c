/* SPDX-License-Identifier: MIT */
/* mpctl upgrade: another program in the daemon's place. The connection goes on through it, and the answer is
 * the new one's. */
#include "ctl/fields.h"
#include "ctl/progress.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

static void show_upgrade(Ctl *c, const json_t *parameters, bool begun) {
    if (begun) {
        text_add(&c->out, "mpinetd: upgrading\n");
        return;
    }
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
    int status = progress_ask(&progress, c, METHOD_UPGRADE, "the new program proves itself");
    if (status != 0)
        return status;
    int r = progress_receive(&progress, progress_timeout(&progress, USEC_INFINITY), &reply);
    progress_end(&progress);
    if (r == -EINTR)
        return progress_interrupted(&progress);
    if (r == -ETIMEDOUT && c->options.timeout_usec != USEC_INFINITY)
        return progress_give_up(&progress, "'mpctl events' shows how it ends",
                                "not upgraded in time; mpinetd goes on with it");
    if (r < 0 || reply.error)
        return ctl_fail_reply(c, METHOD_UPGRADE, r, &reply);
    if (ctl_wants_json(c))
        ctl_add_json(c, reply.parameters);
    else
        show_upgrade(c, reply.parameters, reply.continues);
    return CTL_DONE;
}
