/* SPDX-License-Identifier: MIT */
#include "daemon/upgrade.h"

#include <string.h>

#include "build-config.h"

UpgradeStep upgrade_next(const UpgradeFacts *f) {
    if (f->stopping)
        return UPGRADE_CANCEL;
    if (f->reloading || f->proving)
        return UPGRADE_WAIT;
    if (!f->proven)
        return UPGRADE_PROVE;
    return f->settled ? UPGRADE_EXECUTE : UPGRADE_SETTLE;
}

/* What somebody who replaced the file can do about it. */
static const char *advice(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return ": put the new program there, and upgrade again";
    case EACCES:
    case EPERM:
        return ": make it executable for the daemon's user (chmod +x; not on a file system mounted noexec)";
    case ENOEXEC:
    case ELIBBAD:
        return ": it is no program for this machine; install the build for this architecture";
    case ETXTBSY:
        return ": it is just being written; replace the file by renaming the new one to its name";
    default:
        return "";
    }
}

void upgrade_explain_exec(const char *program, int error, Text *text, UpgradeFailure *ret) {
    text_addf(text, "%s cannot be run: %s%s; version " MP_VERSION " goes on", program, strerror(error),
              advice(error));
    *ret = (UpgradeFailure){.step = "exec", .error = error, .why = text->s ? text->s : "out of memory"};
}

/* It ran, and has not said that it can. */
static void explain_silence(const char *program, const HelperEnd *end, Text *text) {
    char how[96];
    bool well = !end->too_late && end->status == 0;
    text_addf(text, "%s has not shown that it can take over: it %s", program,
              well ? "ended without a word" : helper_end_text(end, how, sizeof(how)));
    text_add(text,
             "; is it an mpinetd that can be upgraded to? Try it with '-t'. Version " MP_VERSION " goes on");
}

bool upgrade_judge(const char *program, const HelperEnd *end, Proof *proof, Text *text, UpgradeFailure *ret) {
    if (end->error < 0) {
        upgrade_explain_exec(program, -end->error, text, ret);
        return false;
    }
    bool ended_well = !end->too_late && end->status == 0;
    if (!ended_well || !end->result || proof_read(end->result, end->n, proof) < 0) {
        explain_silence(program, end, text);
        *ret = (UpgradeFailure){.step = "proof", .why = text->s ? text->s : "out of memory"};
        return false;
    }
    if (proof->ok)
        return true;
    text_addf(text, "%s (version %s) cannot take over: %s; version " MP_VERSION " goes on", program,
              proof->version ? proof->version : "unknown", proof->why ? proof->why : "no reason given");
    *ret = (UpgradeFailure){.step = proof->step ? proof->step : "proof",
                            .why = text->s ? text->s : "out of memory"};
    return false;
}
