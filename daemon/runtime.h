/* SPDX-License-Identifier: MIT */
#pragma once
/* What the daemon's modules share while it runs: the loop, the way to spawn, the table of processes, the log.
 * Made once by the manager and passed down; it decides nothing. */
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "daemon/bans.h"
#include "daemon/cgroup-spread.h"
#include "daemon/child-env.h"
#include "daemon/discard.h"
#include "daemon/errand.h"
#include "daemon/eventlog.h"
#include "daemon/history.h"
#include "daemon/instance.h"
#include "daemon/linger.h"
#include "daemon/machine-load.h"
#include "daemon/memory-reserve.h"
#include "daemon/pipe-reader.h"
#include "daemon/sock-query.h"
#include "daemon/sources.h"
#include "daemon/spawn.h"
#include "daemon/tcpmux.h"
#include "daemon/traffic.h"

/* Whoever waits for a state of a service (the control plane) is told of each change. */
struct Service;
typedef void (*StateFollower)(struct Service *service, void *userdata);

typedef struct Runtime {
    sd_event *loop;
    EventLog events;
    Spawner *spawner;
    EnvBuilder env;
    InstanceTable instances;
    Errands errands;
    uint64_t soon_usec, soon_turn; /* launch-prepare.c: so long that turn of the loop may wait; 0: none has */
    LateReaders late_readers;
    struct Lobby *lobby; /* of listeners; NULL: each has a source of its own */
    SockQuery *sockets;  /* what the kernel says of connections */
    Traffic *traffic;
    uint64_t next_instance;
    uint32_t newest_service; /* the id that was given last */
    Sources *sources;
    Bans *bans;
    Linger *linger;
    Discard *discard;  /* NULL: descriptors are closed as they are */
    size_t n_preludes; /* of all services */
    Tcpmux tcpmux;
    MachineLoad machine_load;
    int null_fd; /* /dev/null, for reading and writing */
    LogAddresses log_addresses;
    char *const *environ; /* the daemon's own */
    RlimitConfig nofile;  /* the limit of descriptors that the daemon was started with */
    rlim_t nofile_hard;
    bool nofile_raised;
    struct rlimit core; /* of core dumps, as the daemon was started with it */
    bool core_lowered;
    bool opens_memory;     /* a process that changes its user does that to what it shares with the daemon */
    bool shares_no_memory; /* and opens it to that user: such a one gets memory of its own */
    int fd_ceiling; /* from this number on descriptors are kept for the control socket and for what is under
                       way */
    int fd_ceiling_few; /* the same for a service that hardly runs anything: one that fills the rest does not
                           shut out all others */
    bool crowded;       /* one of that number has been seen */
    MemoryReserve memory;
    History lost;              /* of services for whose own there was no memory: never read */
    bool has_capabilities;     /* that a program would get from it, as it is: ambient or inheritable ones */
    mode_t umask;              /* the daemon's */
    struct LoadContext *load;  /* with whose eyes configs are judged */
    struct Resolver *resolver; /* looks a service's program and user up again */
    StateFollower on_state;
    void *on_state_userdata;
    void (*on_suppressed)(void *userdata); /* a log line was left out */
    void *on_suppressed_userdata;
    bool stopping;
    bool leaves_processes;      /* then: they go on without the daemon */
    bool cgroup_in_leaf;        /* this process has been moved there: cgroup.h */
    struct CgroupTree *cgroups; /* NULL: none has been asked for */
    size_t n_cgroups;           /* so many services have one */
    CgroupSpread spread;        /* of limits among instances */
    size_t n_cgroups_ending;    /* of services that have ended, with processes left in them */
    const char *socket;         /* path of the control socket */
    bool handing_over; /* another program is about to go on in this process: nothing is set up ahead */
    bool proving;      /* whether it can is just found out, by a helper that has copies of all descriptors */
    bool copies;       /* this is that helper: nothing that it gives up may be ended */
    struct Notifier *notifier; /* of the service manager; NULL: there is none, as with the store */
    struct FdStore *store;
    struct Ledger *ledger;              /* NULL: nobody would keep it */
    void (*on_settled)(void *userdata); /* something that was waited for has ended */
    void *on_settled_userdata;
    bool listeners_changed; /* since the store was last told */
} Runtime;

/* Event sources in the order in which they are served: places are free before they are asked for. */
#define PRIORITY_REAP (SD_EVENT_PRIORITY_NORMAL - 10)
/* That a process has come to exec is known before what it writes. */
#define PRIORITY_STARTED (SD_EVENT_PRIORITY_NORMAL - 9)
/* A signal that the loop has taken up is gone for the program that takes over in an upgrade: what it asks for
 * is done before that. */
#define PRIORITY_SIGNAL (SD_EVENT_PRIORITY_NORMAL - 8)
/* What may wait until there is nothing else to do. */
#define PRIORITY_AHEAD SD_EVENT_PRIORITY_IDLE
