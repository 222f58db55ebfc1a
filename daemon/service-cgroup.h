/* SPDX-License-Identifier: MIT */
#pragma once
/* The control group of a service, and those of its instances, where its config has `cgroup`: made before it
 * listens, entered by its processes at birth, and gone with nothing left in it when the service stops. */
#include "ctl/proto/api.h"
#include "daemon/base/blob.h"
#include "daemon/cgroup.h"
#include "daemon/child.h"
#include "daemon/instance.h"

struct Service;

typedef struct ServiceCgroup {
    struct Service *service;
    int dir;                            /* its folder; -EBADF: it cannot be had */
    int all;                            /* of the group in it for all processes; -EBADF: each has its own */
    CgroupConfig limits;                /* that it has */
    List spreading;                     /* while instances wait for theirs: cgroup-spread.h */
    CgroupConfig spread_from;           /* which they have until then */
    bool spread_known;                  /* or else nobody knows */
    uint64_t newest;                    /* what the group of an instance was called last */
    uint64_t seen_kills, seen_refusals; /* of what the kernel has counted for all together */
    uint64_t unclaimed;  /* so many kills for want of memory have not met the end of an instance yet */
    bool counts;         /* these are known */
    bool let_go;         /* the config has no `cgroup` any more */
    bool doubted;        /* it may be gone: it is looked for before the next process */
    bool lacks;          /* it could not be given all that the config asks for: nothing is to run */
    const char *refused; /* the file of the limit that the kernel has not taken; NULL: none */
    List leaving;        /* groups of instances that have ended, with processes in them that are about to */
    sd_event_source *timer;
    unsigned looks;     /* at what is about to end */
    uint64_t kill_usec; /* the service has ended, and what is left of it is killed then: monotonic; 0: no */
} ServiceCgroup;

/* One that is not there yet. NULL when memory runs out. */
ServiceCgroup *service_cgroup_new(struct Service *s);
/* Makes what the config asks for, or changes it to that; without `cgroup` lets go of what there was. False:
 * it cannot be had, which has been told; the service is not to run then. */
bool service_cgroup_prepare(struct Service *s);
/* A limit could not be set, which is told: nothing more is to run before it can. @error: negative. */
void service_cgroup_fail(struct Service *s, int error);
/* Whether it is missing. */
bool service_cgroup_is_missing(const struct Service *s);
/* Where the process of @i is to begin, made if it is to have one of its own: in the flight of @i. *@own, to
 * be closed when it has been started, is what that takes. 0 or a negative errno. */
int service_cgroup_enter(Instance *i, int *own);
/* It may be gone: it is looked for, or made again, for the next process. */
void service_cgroup_doubt(struct Service *s);
/* @i, of an earlier daemon, is in the group that it was put in. */
void service_cgroup_adopt(Instance *i);

/* The process of @i has ended (@killed: by SIGKILL): finds out whether a limit was the reason, and kills what
 * it has left in a group of its own. */
void service_cgroup_leave(Instance *i, bool killed);
/* Gives back a group that nobody is in. */
void service_cgroup_forget(Instance *i);
/* Kills all that is in the group of @i alone. */
void service_cgroup_kill(const Instance *i);
/* The same for the service. */
void service_cgroup_kill_all(const struct Service *s);
/* " (cgroup.pids_max 32)" if that is why a process could not be made, or the file that could not be written;
 * else "". */
void service_cgroup_explain(const struct Service *s, SpawnStep step, int error, Text *out);

/* When a service has ended, ends what is left in its group: TERM now, KILL after timeouts.stop. A part of
 * service_update(). */
void service_cgroup_settle(struct Service *s);
bool service_cgroup_is_ending(const struct Service *s);
/* From now on it is counted; what was before is another daemon's. */
void service_cgroup_begin_count(ServiceCgroup *g);
/* Adds what the kernel has counted since the last time to the service's counters. */
void service_cgroup_count(struct Service *s);
/* What the long form of a status has. */
void service_cgroup_describe(const struct Service *s, ApiCgroup *ret);

/* Closes it; what is empty is removed. */
void service_cgroup_free(struct Service *s);

/* The upgrade in place. */
void service_cgroup_save(BlobWriter *w, const ServiceCgroup *g);
int service_cgroup_restore(BlobReader r, struct Service *s); /* 0, -EBADMSG or -ENOMEM */
void service_cgroup_resume(struct Service *s);
