/* SPDX-License-Identifier: MIT */
#pragma once
/* How an instance has ended, as a value that outlives it: what its event, and the line of the log, are made
 * of. Which facts a service wants to have logged stands in its config (log.success, log.failure). */
#include <sys/resource.h>

#include "conf/config.h"
#include "daemon/instance.h"
#include "daemon/traffic.h"

#define LOG_FACT_BIT(fact) (1U << (fact))
/* Where the config says nothing. */
#define LOG_FACTS_STANDARD                                                                                   \
    (LOG_FACT_BIT(LOG_FACT_PID) | LOG_FACT_BIT(LOG_FACT_PEER) | LOG_FACT_BIT(LOG_FACT_EXIT) |                \
     LOG_FACT_BIT(LOG_FACT_DURATION))

typedef struct Ending {
    unsigned facts;     /* that are wanted: bits 1 << LOG_FACT_x; none: the log does not hear of it */
    uint64_t time_usec; /* since 1970 */
    uint64_t number;
    pid_t pid;
    Peer peer;
    int status; /* wait(2)'s */
    ExitResult result;
    InstanceTimeout timed_out;
    bool asked, unready, before_exec;
    uint64_t out_of_memory; /* killed for want of it: the limit, UINT64_MAX: another's; 0: it was not */
    uint64_t lived_usec;
    uint64_t cpu_usec;
    uint64_t memory;     /* bytes: the most that it had at once */
    bool memory_at_most; /* or less: the daemon itself has had as much */
    bool counts_traffic; /* it has had a connection whose bytes can be counted */
    char user[64];
} Ending;

/* The facts that are wanted of an instance that has ended well, or of another one. Pure. */
unsigned log_facts_wanted(const LogFacts *log, bool success);
/* Of an event that has only what is in the log anyway, and what @wanted leaves of that. Pure. */
ApiFacts log_facts_plain(unsigned wanted);
/* The user that a process of @c runs as: "nobody", or a number. Returns @buf. */
const char *ending_user(const ServiceConfig *c, char *buf, size_t size);
/* Gathers what there is to be known of @i but its traffic; @usage is wait4(2)'s. */
Ending ending_of(const Instance *i, int status, ExitResult result, uint64_t lived_usec,
                 const struct rusage *usage);
/* "ended: exit 0 after 4.1 s, 12 KiB in, 340 B out, cpu 12.0 ms, memory 3.4 MiB, user nobody"; @bytes is NULL
 * when they are not known. Pure. */
void ending_format(const Ending *e, const Bytes *bytes, Text *out);
/* The event, which refers to @e, and to what else is passed in. */
ApiEvent ending_event(const Ending *e, const Bytes *bytes, const char *service, const char *peer,
                      const char *message, ApiFacts *facts);
/* The upgrade in place. Which facts are wanted is looked up anew, in @log. 0 or -EBADMSG. */
void ending_save(BlobWriter *w, const Ending *e);
int ending_restore(BlobReader in, const LogFacts *log, Ending *ret);
