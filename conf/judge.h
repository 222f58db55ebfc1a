/* SPDX-License-Identifier: MIT */
#pragma once
/* With whose eyes a program judges a config itself: the daemon may see other variables, and may become other
 * users. */
#include "daemon/base/text.h"

/* "judged as root, with your environment" */
void judge_add_words(uid_t euid, Text *out);
