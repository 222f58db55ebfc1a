/* SPDX-License-Identifier: MIT */
#pragma once
/* The manager owns everything: the loop, the config, the services, the control socket. It starts, reloads,
 * stops. */
#include <stdbool.h>

#include "conf/load.h"
#include "daemon/base/blob.h"
#include "daemon/options.h"
#include "daemon/reload.h"

typedef struct Manager Manager;

/* @config (a reference is taken over in any case) as generation 1; @load is used for reloads and must outlive
 * the manager. 0 or a negative errno, told to the log. */
int manager_new(const Options *options, Config *config, const LoadContext *load, Logger *logger,
                Manager **ret);
/* One that goes on where the state in @r was saved, by this version or a neighbouring one: nothing outside
 * has changed until manager_run(). 0; or -EBADMSG (r.source->why tells) or -ENOMEM: then what was restored so
 * far is not given back, since that would end what it stands for; the process is to run another program, or
 * to end by _exit(2). @copies: it only proves an upgrade, and the daemon that runs has all descriptors, too.
 */
int manager_restore(const Options *options, const LoadContext *load, Logger *logger, BlobReader r,
                    bool copies, Manager **ret);
Manager *manager_free(Manager *m); /* returns NULL */
DEFINE_CLEANUP(Manager *, manager_free);

/* Opens the listeners, then the control socket, tells the service manager, and serves until told to end.
 * Returns the exit status of the daemon. */
int manager_run(Manager *m);

const char *manager_control_path(const Manager *m);

/* For the control plane. */
const ServiceSet *manager_services(const Manager *m);
struct Runtime *manager_runtime(Manager *m);
struct Helpers *manager_helpers(Manager *m);
const Config *manager_config(const Manager *m);
void manager_describe(const Manager *m, ApiDaemon *ret);
/* The number of the newest instance. */
uint64_t manager_newest_instance(const Manager *m);
/* What has come of a load of the config. Borrowed for the time of the call. */
typedef struct LoadReport {
    int error;           /* 0; -EINVAL: see diags; another negative errno: see why */
    const char *why;     /* a sentence; NULL */
    uint64_t generation; /* in force by now */
    const DiagList *diags;
    const Changes *changes;
    const PlanItems *plan;
} LoadReport;

/* Has the config loaded again and applied; whoever waits is told by control_on_load(), with the number in
 * *@ret_number or a later one. 0, -ESHUTDOWN or -ENOMEM. */
int manager_reload(Manager *m, uint64_t *ret_number);
/* The same of what a reload would do; nothing changes. */
int manager_check(Manager *m, uint64_t *ret_number);
uint64_t manager_generation(const Manager *m);
/* Begins to put the program at the path by which the daemon was started in its place; who waits for it on the
 * control socket is answered when that is done, or cannot be. 0; -ESHUTDOWN: the daemon ends; -EALREADY: that
 * is under way. */
int manager_upgrade(Manager *m);
/* A line was left out of the log: how many is told in a second. */
void manager_tell_suppressed_later(Manager *m);
/* Begins to stop: see shutdown in mpinetd.yaml(5). */
void manager_stop(Manager *m, ShutdownChildren children);
