/* SPDX-License-Identifier: MIT */
#pragma once
/* The new program's side of an upgrade in place: it proves that it can take over, and takes over. */
#include "daemon/manager.h"

/* In a helper: whether the state behind @state_fd can be taken over and the config's files are good, as a
 * verdict to @result_fd. Does not return. */
_Noreturn void takeover_prove(const Options *options, const LoadContext *load, int state_fd, int result_fd);
/* For good. 0 with @ret, or a negative errno when this program has to be started anew, with what can be saved
 * of the listeners (rescue_execute()); that has been told to the log. Without @logger, for which there was no
 * memory, it is told on stderr. @state_fd is closed. */
struct Rescue;
int takeover_restore(const Options *options, const LoadContext *load, Logger *logger, int state_fd,
                     struct Rescue *rescue, Manager **ret);
