/* SPDX-License-Identifier: MIT */
#include "daemon/ending.h"

#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

#include "conf/value.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/service.h"

static bool wants(const Ending *e, LogFact fact) {
    return e->facts & LOG_FACT_BIT(fact);
}

unsigned log_facts_wanted(const LogFacts *log, bool success) {
    if (success)
        return log->success ? log->success_facts : LOG_FACTS_STANDARD;
    return log->failure ? log->failure_facts : LOG_FACTS_STANDARD;
}

ApiFacts log_facts_plain(unsigned wanted) {
    return (ApiFacts){.logged = wanted,
                      .cpu_usec = UINT64_MAX,
                      .memory = UINT64_MAX,
                      .bytes_in = UINT64_MAX,
                      .bytes_out = UINT64_MAX};
}

const char *ending_user(const ServiceConfig *c, char *buf, size_t size) {
    const Resolved *id = &c->resolved;
    if (id->user_name)
        (void)snprintf(buf, size, "%s", id->user_name);
    else
        (void)snprintf(buf, size, "%u", id->change_ids ? id->uid : geteuid());
    return buf;
}

static uint64_t usec_of(const struct timeval *t) {
    return (uint64_t)t->tv_sec * USEC_PER_SEC + (uint64_t)t->tv_usec;
}

/* A process begins with the memory of the daemon, and the kernel counts that as its own. */
static void find_memory(Ending *e, const struct rusage *usage) {
    struct rusage own;
    e->memory = (uint64_t)usage->ru_maxrss * 1024;
    e->memory_at_most = getrusage(RUSAGE_SELF, &own) < 0 || usage->ru_maxrss <= own.ru_maxrss;
}

Ending ending_of(const Instance *i, int status, ExitResult result, uint64_t lived_usec,
                 const struct rusage *usage) {
    Ending e = {
        .facts = log_facts_wanted(&i->service->config->terms->log, result == EXIT_OK),
        .time_usec = clock_realtime_usec(),
        .number = i->number,
        .pid = i->pid,
        .peer = i->peer,
        .status = status,
        .result = result,
        .timed_out = i->timed_out,
        .asked = i->asked,
        .before_exec = i->before_exec,
        .unready = i->unready,
        .out_of_memory = i->out_of_memory,
        .lived_usec = lived_usec,
        .cpu_usec = usec_of(&usage->ru_utime) + usec_of(&usage->ru_stime),
        .counts_traffic = i->counts_traffic,
    };
    if (wants(&e, LOG_FACT_MEMORY))
        find_memory(&e, usage);
    if (wants(&e, LOG_FACT_USER))
        (void)ending_user(i->service->config, e.user, sizeof(e.user));
    return e;
}

/* "0.8 ms", "4.1 s", "12 min", "3.2 h": as exact as anybody wants to know. */
static void add_length(Text *out, uint64_t usec) {
    static const struct {
        uint64_t usec;
        const char *unit;
    } units[] = {{3600 * USEC_PER_SEC, " h"},
                 {60 * USEC_PER_SEC, " min"},
                 {USEC_PER_SEC, " s"},
                 {USEC_PER_MSEC, " ms"}};
    size_t i = 0;
    while (i + 1 < ELEMENTS(units) && usec < units[i].usec)
        i++;
    uint64_t unit = units[i].usec, tenths = (usec % unit * 10 + unit / 2) / unit;
    text_add_u64(out, usec / unit + tenths / 10);
    text_addc(out, '.');
    text_add_u64(out, tenths % 10);
    text_add(out, units[i].unit);
}

/* "340 B", "3.4 KiB", "12 MiB". */
static void add_size(Text *out, uint64_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t i = 0;
    double n = (double)bytes / 1024;
    if (bytes < 1024) {
        text_addf(out, "%" PRIu64 " B", bytes);
        return;
    }
    while (i + 1 < ELEMENTS(units) && n >= 1023.5) {
        n /= 1024;
        i++;
    }
    text_addf(out, n < 9.95 ? "%.1f %s" : "%.0f %s", n, units[i]);
}

static void add_exit(const Ending *e, Text *out) {
    if (e->result == EXIT_UNKNOWN) {
        text_add(out, ": how is not known");
        return;
    }
    if (!WIFSIGNALED(e->status)) {
        text_add(out, ": exit ");
        text_add_u64(out, (unsigned)WEXITSTATUS(e->status));
        return;
    }
    const char *name = sigabbrev_np(WTERMSIG(e->status));
    text_addf(out, ": killed by SIG%s", name ? name : "?");
}

static void add_out_of_memory(uint64_t limit, Text *out) {
    text_add(out, " (out of memory");
    if (limit != UINT64_MAX) {
        text_add(out, ": cgroup.memory_max ");
        value_size_format(limit, out);
    }
    text_addc(out, ')');
}

static void add_why(const Ending *e, Text *out) {
    const char *timeout = instance_timeout_to_string(e->timed_out);
    if (e->out_of_memory > 0)
        add_out_of_memory(e->out_of_memory, out);
    else if (timeout)
        text_addf(out, " (%s)", timeout);
    else if (e->asked)
        text_add(out, " (as asked)");
    else if (e->before_exec)
        text_add(out, " before exec");
    else if (e->unready)
        text_add(out, " before it was ready");
}

void ending_format(const Ending *e, const Bytes *bytes, Text *out) {
    text_add(out, "ended");
    if (wants(e, LOG_FACT_EXIT))
        add_exit(e, out);
    if (wants(e, LOG_FACT_DURATION)) {
        text_add(out, " after ");
        add_length(out, e->lived_usec);
    }
    add_why(e, out);
    if (wants(e, LOG_FACT_TRAFFIC) && bytes) {
        text_add(out, ", ");
        add_size(out, bytes->in);
        text_add(out, " in, ");
        add_size(out, bytes->out);
        text_add(out, " out");
    } else if (wants(e, LOG_FACT_TRAFFIC) && e->counts_traffic) {
        text_add(out, ", traffic unknown");
    }
    if (wants(e, LOG_FACT_CPU)) {
        text_add(out, ", cpu ");
        add_length(out, e->cpu_usec);
    }
    if (wants(e, LOG_FACT_MEMORY)) {
        text_add(out, e->memory_at_most ? ", memory at most " : ", memory ");
        add_size(out, e->memory);
    }
    if (wants(e, LOG_FACT_USER))
        text_addf(out, ", user %s", e->user);
}

ApiEvent ending_event(const Ending *e, const Bytes *bytes, const char *service, const char *peer,
                      const char *message, ApiFacts *facts) {
    bool traffic = wants(e, LOG_FACT_TRAFFIC) && bytes;
    *facts = log_facts_plain(e->facts);
    if (wants(e, LOG_FACT_USER))
        facts->user = e->user;
    if (wants(e, LOG_FACT_CPU))
        facts->cpu_usec = e->cpu_usec;
    if (wants(e, LOG_FACT_MEMORY))
        facts->memory = e->memory;
    if (traffic) {
        facts->bytes_in = bytes->in;
        facts->bytes_out = bytes->out;
    }
    return (ApiEvent){
        .time_usec = e->time_usec,
        .level = log_level_to_string(LOG_LEVEL_INFO),
        .event = "ended",
        .service = service,
        .instance = e->number,
        .pid = e->pid,
        .peer = peer,
        .reason = exit_result_to_string(e->result),
        .exit_code = e->result == EXIT_UNKNOWN || WIFSIGNALED(e->status) ? -1 : WEXITSTATUS(e->status),
        .signal = WIFSIGNALED(e->status) ? WTERMSIG(e->status) : 0,
        .duration_usec = e->lived_usec,
        .message = message,
        .facts = facts,
    };
}
