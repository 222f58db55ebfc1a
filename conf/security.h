/* SPDX-License-Identifier: MIT */
#pragma once
/* How exposed a service is, by its config: what of it could be taken away or bounded and is not. A table of
 * checks, each with a weight. Pure; nothing is said of the program itself. */
#include "conf/config.h"
#include "daemon/base/strtab.h"
#include "daemon/base/text.h"

typedef enum SecurityRating {
    SECURITY_SAFE,
    SECURITY_FAIR,
    SECURITY_EXPOSED,
    SECURITY_UNSAFE,
    _SECURITY_RATING_MAX,
} SecurityRating;
DECLARE_STRTAB(security_rating, SecurityRating); /* "safe", … */

typedef struct SecurityFinding {
    const char *check;   /* "user" */
    const char *meaning; /* what is so, and what it would let somebody do */
    const char *mend;    /* what to write: YAML of the service's keys */
    unsigned exposure;   /* what it adds to the service's: thousandths */
} SecurityFinding;

#define SECURITY_FINDINGS_MAX 32

typedef struct SecurityReport {
    unsigned exposure; /* thousandths, 0 to 10000 */
    SecurityRating rating;
    SecurityFinding findings[SECURITY_FINDINGS_MAX]; /* those that add most first */
    size_t n;
} SecurityReport;

void security_judge(const ServiceConfig *s, SecurityReport *ret);
/* What is to be said of the daemon itself, and what to write; NULL: nothing. */
const char *security_daemon(const Config *c, const char **ret_mend);

/* The table for a manual: name, weight and what is asked of check number @i; false past the end. */
bool security_check(size_t i, const char **ret_name, unsigned *ret_weight, const char **ret_asks);
