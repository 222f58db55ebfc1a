/* SPDX-License-Identifier: MIT */
#pragma once
/* Model forward: each connection, or all datagrams of a service, are passed on by a process of mp-forward.
 * What that is told, and what it tells. The backend that a service may have of its own is in backend.c. */
#include "daemon/service.h"
#include "daemon/spawn.h"

/* The command line of mp-forward for @config, NULL-terminated; to be freed by strv_free(). @by_tcp: of a
 * connection over TCP, for which timeouts.idle holds. Pure. NULL when memory runs out. */
char **forward_argv(const ServiceConfig *config, bool by_tcp);

/* Whether the process that passes on the datagrams of @a would be the same for @b, its sockets aside: what it
 * learns at its start, and nothing tells it later; or what its own backend is made of, which as long as that
 * process is there cannot be replaced. Pure. */
bool forward_config_keeps_process(const ServiceConfig *a, const ServiceConfig *b);

/* Makes @plan, which is that of the service's own program, one of mp-forward. */
void forward_plan(const Service *s, bool by_tcp, ChildPlan *plan);

/* A process of mp-forward has said something. Whether that was all there is to do about it. */
bool forward_on_report(Instance *i, ReportKind said);
/* It has ended; @result is how. */
void forward_on_end(Instance *i, ExitResult result);
