/* SPDX-License-Identifier: MIT */
#include "conf/judge.h"

#include <pwd.h>

void judge_add_words(uid_t euid, Text *out) {
    const struct passwd *user = getpwuid(euid);
    if (user)
        text_addf(out, "judged as %s, with your environment", user->pw_name);
    else
        text_addf(out, "judged as uid %u, with your environment", (unsigned)euid);
}
