/* SPDX-License-Identifier: MIT */
#pragma once
/* The listeners that a reload takes from a service: nobody new gets there, and who waits is served first.
 * Where the daemon accepts, it goes on doing so; what accepts by itself is told to end once nothing is left
 * for it in its queues. */
#include "daemon/service.h"

/* Takes @l, which is open, over: @s has it no more. Its config may go. */
void service_leave(Service *s, Listener *l);
/* Before its config changes: who waits at listener @l is served as it was made, if that is the daemon's to
 * do; or a process is there that will. */
void service_serve_before_leaving(Service *s, Listener *l);
/* Takes it as far as it goes now. After a reload, and whenever a stray has ended. */
void service_go_on_leaving(Service *s);
/* Closes them as they are. */
void service_drop_leaving(Service *s);
/* Closes one that stands in the way of a new one, once its queue has been served. */
void service_end_leaving(Listener *l);
