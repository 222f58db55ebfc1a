/* SPDX-License-Identifier: MIT */
#pragma once
/* A recipe: what is the same for each process of a service, of one generation of its config: worked out with
 * the first process, so that an idle service costs nothing of it. Counted: a process on its way to exec reads
 * it in the daemon's memory, whatever a reload makes of the service meanwhile. */
#include <systemd/sd-event.h>

#include "daemon/child-env.h"
#include "daemon/sandbox.h"

typedef struct Recipe {
    unsigned n_refs;
    ServiceConfig *config; /* a reference */
    ChildEnv env;
    char **argv;            /* NULL: a forward to somebody else's backend has no program of its own */
    SandboxPlan *sandbox;   /* owned; NULL: the config has none, or there is no program to be put into it */
    char **forward_argv[2]; /* forward: of mp-forward; the second for connections over TCP */
    sd_event_source *made, *late; /* while its sandbox is under way */
    uint64_t begun_usec;          /* when that was begun, CLOCK_MONOTONIC */
    uint64_t concluded_usec;      /* when it was over; of one that is under way the same */
    int error;                    /* why there is none: negative errno; 0: all is as it is to be */
    unsigned which;               /* then: of the sandbox, SANDBOX_WHICH() */
    bool told;                    /* somebody has been told of it */
    /* Who had waited for it by then is told of the same: as long as the service has not accepted so many. */
    uint64_t shared_until_accepted;
} Recipe;

/* Of @config; @env is the daemon's own environment. 0 or -ENOMEM. */
int recipe_new(ServiceConfig *config, char *const *env, Recipe **ret);
Recipe *recipe_ref(Recipe *r);
Recipe *recipe_unref(Recipe *r); /* returns NULL; NULL is fine */
DEFINE_CLEANUP(Recipe *, recipe_unref);
