/* SPDX-License-Identifier: MIT */
#include "ctl/verbs.h"

static const ApiField explain_document[] = {
    {"keys", "[]object", "each with key, scope, type, required, default, models, meaning, more, example", 0},
    {NULL, NULL, NULL, 0},
};

static const ApiField version_document[] = {
    {"mpctl", "string", "its version", 0},
    {"mpinetd", "?" INTERFACE_CONTROL ".Ping", "null when no daemon answers", 0},
    {NULL, NULL, NULL, 0},
};

/* In the order of the help. */
static const Verb verbs[] = {
    {
        .name = "status",
        .arguments = "[NAME...]",
        .summary = "services and their state; all about the named ones",
        .details =
            "Without NAME a table of all services; with NAME the long form of each: state, listeners, "
            "counters, "
            "refusals by reason, limits, last error and recent events. NAME may be a shell glob. This is "
            "the verb when none is given. Exits 3 if a named service is not running, 4 if there is none.",
        .group = GROUP_LOOK,
        .run = verb_status,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(FAILED),
        .completes = {COMPLETES_SERVICES},
        .columns = true,
        .prints = "Status",
        .examples = {{"status", "how is everything?"},
                     {"status 'web-*'", "all about some services"},
                     {"status -o +LAST-ERROR --failed", "what is wrong"}},
    },
    {
        .name = "ps",
        .arguments = "[NAME...]",
        .summary = "processes of services: pid, peer, age, cpu, memory",
        .details =
            "One line for each instance of all services, or of the named ones. NAME may be a shell glob.",
        .group = GROUP_LOOK,
        .run = verb_ps,
        .max_args = VERB_ANY_ARGS,
        .completes = {COMPLETES_SERVICES},
        .columns = true,
        .prints = "Instances",
        .examples = {{"ps git", "who is connected to git?"},
                     {"ps --plain -o PID git", "their pids, for a script"}},
    },
    {
        .name = "top",
        .summary = "live view of services and instances",
        .details =
            "Refreshed in place, once a second or as -d says: what happened a second, the services, and the "
            "instances of the one that is chosen. The keys are shown by '?'; q ends it.",
        .group = GROUP_LOOK,
        .run = verb_top,
        .max_args = 0,
        .options = OPTION(DELAY) | OPTION(SORT) | OPTION(FAILED),
        .columns = true,
        .examples = {{"top", "what is going on?"}, {"top -d 5s -S REFUSED", "who is refused most"}},
    },
    {
        .name = "events",
        .summary = "what happened: starts, ends, refusals, reloads",
        .details =
            "One line for each event, the newest last: time, service[pid], peer, and what; the last 20 "
            "unless -n or --since says more. With --json each event is an object on a line of its own. With "
            "-f it goes "
            "on until it is interrupted. What services write to stderr is shown by 'mpctl logs'.",
        .group = GROUP_LOOK,
        .run = verb_events,
        .max_args = 0,
        .options = OPTION(FOLLOW) | OPTION(LINES) | OPTION(SERVICE) | OPTION(KIND) | OPTION(SINCE),
        .prints_each = "Event",
        .examples = {{"events -n 50", "the last 50"},
                     {"events -f --service git", "watch one service"},
                     {"events -k refused --since 10m", "who was refused, and why"}},
    },
    {
        .name = "logs",
        .arguments = "NAME",
        .summary = "stderr and events of one service",
        .details =
            "What its processes wrote to stderr (with 'stderr: log', the default) and what happened to "
            "it, the newest last: 50 lines unless -n or --since says more. The daemon keeps the newest of "
            "both; the whole is in its log. With --json each is an object on a line of its own. With -f it "
            "goes on "
            "until it is interrupted.",
        .group = GROUP_LOOK,
        .run = verb_logs,
        .min_args = 1,
        .max_args = 1,
        .options = OPTION(FOLLOW) | OPTION(LINES) | OPTION(SINCE),
        .completes = {COMPLETES_SERVICES},
        .prints_each = "Event",
        .examples = {{"logs git -f", "watch what git-daemon says"}, {"logs -n 100 git", "the last 100"}},
    },
    {
        .name = "bans",
        .summary = "banned sources: why, and until when",
        .details =
            "One line for each ban, those that end first at the top: who is not served, by which service, "
            "which service has banned it, and why. Bans end by themselves, and last over a reload.",
        .group = GROUP_LOOK,
        .run = verb_bans,
        .max_args = 0,
        .columns = true,
        .prints = "Bans",
        .examples = {{"bans", "who is banned, and until when?"}, {"bans --plain -o SOURCE", "for a script"}},
    },
    {
        .name = "metrics",
        .summary = "counters as Prometheus text",
        .details =
            "For a scraper, or written to a file for node_exporter's textfile collector. No peer is named "
            "in it.",
        .group = GROUP_LOOK,
        .run = verb_metrics,
        .max_args = 0,
        .prints = "Metrics",
        .examples = {{"metrics", "everything that is counted"}},
    },
    {
        .name = "is-active",
        .arguments = "NAME...",
        .summary = "silent; the exit status says whether all are running",
        .details = "Exits 0 if every named service is running, 3 if one is not, 4 if there is no such "
                   "service. Running "
                   "are listening, active, full, throttled, starting, draining and backoff.",
        .group = GROUP_LOOK,
        .run = verb_is_active,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .completes = {COMPLETES_SERVICES},
        .prints = "Status",
        .examples = {{"is-active git && echo well", "in a script"}},
    },
    {
        .name = "start",
        .arguments = "NAME...",
        .summary = "listen again; try a failed service again at once",
        .details =
            "Ends what stop, drain or pause began. Waits until the services listen. NAME may be a shell "
            "glob.",
        .group = GROUP_ACT,
        .run = verb_start,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(NO_WAIT) | OPTION(TIMEOUT),
        .completes = {COMPLETES_SERVICES},
        .prints = "Start",
        .examples = {{"start git", "let git listen again"}},
    },
    {
        .name = "stop",
        .arguments = "NAME...",
        .summary = "end listening, and then the instances",
        .details = "Closes the listeners, tells the instances to end by TERM, and after timeouts.stop by "
                   "KILL. Waits "
                   "until they have ended. The service stays stopped over a reload, until 'mpctl start' or a "
                   "restart of the daemon. NAME may be a shell glob.",
        .group = GROUP_ACT,
        .run = verb_stop,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(NO_WAIT) | OPTION(TIMEOUT),
        .completes = {COMPLETES_SERVICES},
        .prints = "Stop",
        .examples = {{"stop 'web-*'", "several at once"},
                     {"stop --timeout 5s git", "wait no longer than 5 s"}},
    },
    {
        .name = "restart",
        .arguments = "NAME...",
        .summary = "end instances, keep the listeners open",
        .details =
            "Tells the instances to end by TERM, and after timeouts.stop by KILL; the listeners stay open, "
            "so "
            "that nobody is refused. What ran without a connection is started again. Waits until the old "
            "instances have ended. A stopped service is started. NAME may be a shell glob.",
        .group = GROUP_ACT,
        .run = verb_restart,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(NO_WAIT) | OPTION(TIMEOUT),
        .completes = {COMPLETES_SERVICES},
        .prints = "Restart",
        .examples = {{"restart web", "with the config as it is loaded"}},
    },
    {
        .name = "pause",
        .arguments = "NAME...",
        .summary = "keep the listeners, accept nothing",
        .details =
            "Connections wait in the kernel's queue until 'mpctl resume'; running instances go on. Lasts "
            "over "
            "a reload, not over a restart of the daemon; who waits at a listener that a reload takes away is "
            "served. An on-demand process that runs accepts by itself "
            "and goes on with it: a paused service only starts none. NAME may be a shell glob.",
        .group = GROUP_ACT,
        .run = verb_pause,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .completes = {COMPLETES_SERVICES},
        .prints = "Pause",
        .examples = {{"pause web", "hold new connections for a while"}},
    },
    {
        .name = "resume",
        .arguments = "NAME...",
        .summary = "accept again after pause",
        .details = "What has waited is served. NAME may be a shell glob.",
        .group = GROUP_ACT,
        .run = verb_resume,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .completes = {COMPLETES_SERVICES},
        .prints = "Resume",
        .examples = {{"resume web", "go on"}},
    },
    {
        .name = "drain",
        .arguments = "NAME...",
        .summary = "take no more, let the running end",
        .details =
            "Serves what is queued, closes the listeners, and waits until the last instance has ended by "
            "itself: no connection is signalled. On-demand processes and workers are told by TERM. The "
            "service then is stopped, until 'mpctl start'. NAME may be a shell glob.",
        .group = GROUP_ACT,
        .run = verb_drain,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(NO_WAIT) | OPTION(TIMEOUT),
        .completes = {COMPLETES_SERVICES},
        .prints = "Drain",
        .examples = {{"drain 'web-*'", "before the machine goes down"},
                     {"drain --timeout 1m git || mpctl stop git", "wait for a minute, no longer"}},
    },
    {
        .name = "kill",
        .arguments = "NAME|PID...",
        .summary = "send a signal to instances",
        .details =
            "TERM, or the signal that -s names, to all instances of a service, to the instance with that "
            "pid, "
            "or with --source to all instances whose peer is in a prefix (192.0.2.7, 2001:db8::/48, "
            "uid:1000). "
            "Only instances of mpinetd can be named. A number that is a service's name is that service, and "
            "no pid. KILL goes to the whole process group. NAME may be a "
            "shell glob. Behind this verb -s is the signal; the socket goes before it, or as --socket.",
        .group = GROUP_ACT,
        .run = verb_kill,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(SIGNAL) | OPTION(SOURCE),
        .completes = {COMPLETES_INSTANCES},
        .prints = "Signal",
        .examples = {{"kill -s HUP web", "to all instances of web"},
                     {"kill 4242", "one process"},
                     {"kill --source 203.0.113.0/24", "whoever comes from there"}},
    },
    {
        .name = "unban",
        .arguments = "PREFIX...",
        .summary = "lift bans",
        .details =
            "PREFIX is an address, a prefix, uid:N, vsock:CID, or any. Lifted are all bans within it, and "
            "those "
            "that it is a part of: for one address also the ban of the network that it is in. Exits 1 if "
            "nobody is banned there.",
        .group = GROUP_ACT,
        .run = verb_unban,
        .min_args = 1,
        .max_args = VERB_ANY_ARGS,
        .completes = {COMPLETES_BANS},
        .prints = "Unban",
        .examples = {{"unban 203.0.113.7", "let this one in again"},
                     {"unban 2001:db8::/32", "and everybody from there"},
                     {"unban any", "forgive all"}},
    },
    {
        .name = "set",
        .arguments = "NAME KEY=VALUE...",
        .summary = "change limits until the next reload",
        .details =
            "KEY is as in the config, limits.instances or instances. It takes effect at once, for what comes "
            "from now on; the config file stays as it is. 'mpctl explain limits' lists the keys.",
        .group = GROUP_ACT,
        .run = verb_set,
        .min_args = 2,
        .max_args = VERB_ANY_ARGS,
        .completes = {COMPLETES_SERVICES, COMPLETES_LIMITS},
        .prints = "Set",
        .examples = {{"set git limits.instances=80", "make room, now"}},
    },
    {
        .name = "reload",
        .summary = "load the config again, all or nothing",
        .details = "The daemon reads its config again and says what changes. With any error nothing does. "
                   "Listeners whose endpoint stays are kept, their options set in place, and running "
                   "instances go on. A listener that goes is closed when those in its queue have been "
                   "served; processes that accept by themselves are told to end after that.",
        .group = GROUP_CONFIG,
        .run = verb_reload,
        .max_args = 0,
        .options = OPTION(DRY_RUN) | OPTION(TIMEOUT),
        .prints = "Reload",
        .examples = {{"reload --dry-run", "what would change?"}, {"reload", "change it"}},
    },
    {
        .name = "check",
        .arguments = "[FILE [NAME...]]",
        .summary = "judge a config file, without a daemon",
        .details = "Reads FILE, or the default file, with everything that it includes, and reports all "
                   "errors. It judges "
                   "as the caller: with your environment and your right to run programs as other users. "
                   "'mpctl reload --dry-run' judges as the daemon. Exits 1 on any error. With --security it "
                   "shows how exposed each service is, from 0 to 10, and of the most exposed, or of those "
                   "with NAME, what makes it so and what to write. NAME may be a shell glob.",
        .group = GROUP_CONFIG,
        .run = verb_check,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(SECURITY),
        .completes = {COMPLETES_FILES, COMPLETES_SERVICES},
        .prints = "CheckConfig",
        .examples = {{"check", "the default file"},
                     {"check ./new.yaml && mpctl reload", "before it is used"},
                     {"check ./new.yaml ssh --security", "what would make it safer"}},
    },
    {
        .name = "config",
        .arguments = "[NAME...]",
        .summary = "the effective config, and where each value came from",
        .details =
            "As YAML that can be loaded again: what the daemon works with, defaults and all, or just the "
            "named "
            "services. --origin adds to each value where it came from. Without a daemon, or with -c, the "
            "config file is read as 'mpctl check' does. Who may not manage mpinetd sees no values of "
            "environment. NAME may be a shell glob.",
        .group = GROUP_CONFIG,
        .run = verb_config,
        .max_args = VERB_ANY_ARGS,
        .options = OPTION(ORIGIN) | OPTION(CONFIG),
        .completes = {COMPLETES_SERVICES},
        .prints = "GetConfig",
        .examples = {{"config git --origin", "why is this value in force?"},
                     {"config -c ./new.yaml", "what a file comes to"}},
    },
    {
        .name = "explain",
        .arguments = "[KEY]",
        .summary = "what a config key means: type, default, example",
        .details = "KEY is a path like limits.instances; without it all keys are listed.",
        .group = GROUP_CONFIG,
        .run = verb_explain,
        .prints_fields = explain_document,
        .max_args = 1,
        .completes = {COMPLETES_KEYS},
        .examples = {{"explain limits.when_full", "one key"}, {"explain limits", "all in a section"}},
    },
    {
        .name = "schema",
        .arguments = "[config|replies]",
        .summary = "the JSON Schema (draft-07) of the config, for editors",
        .details =
            "Editors with a YAML language server complete and check the config with it. With "
            "'replies' it is that of what --json prints: a definition for each verb, mpctl.status and so on.",
        .group = GROUP_CONFIG,
        .run = verb_schema,
        .max_args = 1,
        .completes = {COMPLETES_WORDS},
        .examples = {{"schema > mpinetd.schema.json", "to a file, for an editor"},
                     {"schema replies", "what a script can rely on"}},
    },
    {.name = "import",
     .arguments = "FILE...",
     .summary = "inetd.conf, xinetd.conf and units to YAML",
     .group = GROUP_CONFIG,
     .max_args = VERB_ANY_ARGS},
    {.name = "export",
     .arguments = "NAME --to systemd",
     .summary = "a service as systemd units",
     .group = GROUP_CONFIG,
     .max_args = VERB_ANY_ARGS},
    {
        .name = "ping",
        .summary = "does the daemon answer?",
        .details = "Exits 0 if it does and 6 if it does not: a health check.",
        .group = GROUP_DAEMON,
        .run = verb_ping,
        .max_args = 0,
        .options = OPTION(TIMEOUT),
        .prints = "Ping",
        .examples = {{"ping --timeout 2s -q", "for a health check"}},
    },
    {
        .name = "version",
        .summary = "versions of mpctl and of the daemon, if it answers",
        .details = "It is no error when no daemon answers.",
        .group = GROUP_DAEMON,
        .run = verb_version,
        .max_args = 0,
        .prints_fields = version_document,
    },
    {
        .name = "upgrade",
        .summary = "run the new binary in place, losing no connection",
        .details =
            "Runs the program at the path by which the daemon was started in its place, with the same pid, "
            "listeners, processes, counters, bans and control connections. The new program first proves "
            "itself beside the old one: it reads the config as 'mpinetd -t' does, and all of the state. If "
            "it cannot, or there are errors in the config, the old one goes on and says why. What has "
            "changed in the config is not applied: 'mpctl reload' does that. Waits until the new program "
            "answers.",
        .group = GROUP_DAEMON,
        .run = verb_upgrade,
        .max_args = 0,
        .options = OPTION(NO_WAIT) | OPTION(TIMEOUT),
        .prints = "Upgrade",
        .examples = {{"upgrade", "after the package was updated"}},
    },
    {
        .name = "shutdown",
        .summary = "end the daemon as SIGTERM does",
        .details = "No more is accepted; running connections have shutdown.drain to end. Waits until the "
                   "daemon has ended.",
        .group = GROUP_DAEMON,
        .run = verb_shutdown,
        .max_args = 0,
        .options = OPTION(NO_WAIT) | OPTION(TIMEOUT),
        .prints = "Shutdown",
    },
    {.name = "help",
     .arguments = "[VERB]",
     .summary = "this help, or that of a verb",
     .group = GROUP_HIDDEN,
     .run = verb_help,
     .max_args = 1,
     .completes = {COMPLETES_VERBS}},
    {.name = "__complete",
     .arguments = "WORD...",
     .summary = "what may come next, for the shells",
     .group = GROUP_HIDDEN,
     .run = verb_complete,
     .max_args = VERB_ANY_ARGS},
    {.name = "__man",
     .arguments = "FILE",
     .summary = "FILE with the verbs filled in, in scdoc(5)",
     .group = GROUP_HIDDEN,
     .run = verb_man,
     .min_args = 1,
     .max_args = 1},
};

const Verb *verb_find(const char *name) {
    for (size_t i = 0; i < ELEMENTS(verbs); i++)
        if (streq(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

const Verb *verb_get(size_t i) {
    return i < ELEMENTS(verbs) ? &verbs[i] : NULL;
}

const char *verb_group_title(VerbGroup group) {
    static const char *const titles[] = {
        [GROUP_LOOK] = "Look",     [GROUP_ACT] = "Act",   [GROUP_CONFIG] = "Config",
        [GROUP_DAEMON] = "Daemon", [GROUP_HIDDEN] = NULL,
    };
    return titles[group];
}
