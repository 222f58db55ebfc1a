/* SPDX-License-Identifier: MIT */
#pragma once
/* An upgrade in place, as far as it is decided: what comes next, and how it went. Pure. What is done is done
 * by the manager (manager-upgrade.c):
 *
 *   asked for -> waits for a reload -> the new program proves itself, in a helper -> spares are let go
 *             -> execve(2) -> the new program restores and goes on, or the old one does
 */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/text.h"
#include "daemon/helper.h"
#include "daemon/proof.h"

/* What a program is told that is to prove itself: the descriptor of the state. The first of its words. */
#define UPGRADE_ACCEPT_WORD "--accept-handover="

/* How long the new program may take to prove itself. */
#define UPGRADE_PROOF_USEC (30 * 1000000ULL)
/* When the config, or the program, changes again and again meanwhile, so many are enough. */
#define UPGRADE_PROOFS_MAX 3
/* So long processes may stay between two states in which they can be handed on. */
#define UPGRADE_SETTLE_USEC 500000ULL
#define UPGRADE_SETTLE_LOOK_USEC 5000ULL

typedef struct UpgradeFacts {
    bool stopping;  /* the daemon ends */
    bool reloading; /* a config is being loaded */
    bool proving;   /* the helper runs */
    bool proven;    /* it has said yes, and the config is still the same */
    bool settled;   /* nothing stands between two states, or there was time enough */
} UpgradeFacts;

typedef enum UpgradeStep {
    UPGRADE_CANCEL,
    UPGRADE_WAIT, /* something will happen by itself, and then it is asked again */
    UPGRADE_PROVE,
    UPGRADE_SETTLE,
    UPGRADE_EXECUTE,
} UpgradeStep;

UpgradeStep upgrade_next(const UpgradeFacts *f);

/* Why it came to nothing. */
typedef struct UpgradeFailure {
    const char *step; /* "exec", "proof", "config", "state", "snapshot" */
    int error;        /* errno, or 0 */
    const char *why;  /* a whole sentence */
} UpgradeFailure;

/* What the end of the helper that ran @program means: true when it can take over, with its words in @proof;
 * else @ret says why not, in words put into @text. */
bool upgrade_judge(const char *program, const HelperEnd *end, Proof *proof, Text *text, UpgradeFailure *ret);
/* execve(2) of @program failed with @error. */
void upgrade_explain_exec(const char *program, int error, Text *text, UpgradeFailure *ret);
