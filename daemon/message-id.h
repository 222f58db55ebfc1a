/* SPDX-License-Identifier: MIT */
#pragma once
/* Which of the events have an entry in the journal's catalog (conf/journal/mpinetd.catalog), and its number,
 * as MESSAGE_ID= has it. Pure. */
#include "ctl/proto/api.h"

/* NULL: it has none. */
const char *message_id(const ApiEvent *e);
