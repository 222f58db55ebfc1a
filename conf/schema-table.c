/* SPDX-License-Identifier: MIT */
/* The rows of the key table, in the order in which explain and the manual page show them. See schema.h. */
#include "conf/schema-table.h"

#include <sys/resource.h>

#include "conf/value.h"

#define M(model) (1U << MODEL_##model)
#define E(kind) (1U << ENDPOINT_##kind)
#define E_INET (E(TCP) | E(UDP))
#define E_UNIX (E(UNIX) | E(UNIX_DGRAM) | E(UNIX_SEQPACKET))
#define E_STREAM (E(TCP) | E(UNIX) | E(UNIX_SEQPACKET) | E(VSOCK))
#define E_NODE (E_UNIX | E(FIFO) | E(MQUEUE))

#define FIELD(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define TERM(member) .part = KEY_PART_TERMS, FIELD(ServiceTerms, member)
#define RESOURCE(member) .part = KEY_PART_RESOURCES, FIELD(ResourceConfig, member)
#define HAS(member) .has = offsetof(ResourceConfig, member)
#define SANDBOX(member) .part = KEY_PART_SANDBOX, FIELD(SandboxConfig, member)
#define CGROUP(member) .part = KEY_PART_CGROUP, FIELD(CgroupConfig, member)

#define MSEC ((int64_t)1000)
#define SEC (1000 * MSEC)
#define HOUR (3600 * SEC)
#define DAY (24 * HOUR)
#define YEARS_10 (3650 * DAY)
#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PIB (MIB * GIB)

#define FILE_KEY(p) .path = (p), .scope = KEY_SCOPE_FILE
#define SERVICE_KEY(p) .path = (p), .scope = KEY_SCOPE_SERVICE
#define LISTEN_KEY(p) .path = (p), .scope = KEY_SCOPE_LISTEN
#define RESOURCE_RLIMIT(r) .resource = (r), RESOURCE(rlimits)

const Key schema_table[] = {
    /* The file */
    {FILE_KEY("version"), .type = KEY_INTEGER, .flags = KEY_REQUIRED, .min = 1, .max = 1,
     .help = "the version of this format: 1",
     .more = "It must stand in the main file; included files may repeat it.", .example = "version: 1"},
    {FILE_KEY("include"), .type = KEY_LIST,
     .help = "more files to read: paths or globs, relative to the including file",
     .more =
         "The files of a glob are read in sorted order. A glob without a match is fine, a plain path that is "
         "missing "
         "is an error. An included file may hold any key of the top level; no key may be set by two files. "
         "A file that several globs match is read once.",
     .example = "include: [services.d/*.yaml]"},
    {FILE_KEY("x-*"), .type = KEY_EXTENSION, .help = "ignored: a place for anchors",
     .example = "x-common: &common {user: nobody}"},

    {FILE_KEY("control"), .type = KEY_SECTION, .help = "the control socket, which mpctl talks to"},
    {FILE_KEY("control.socket"), .type = KEY_PATH, .max = 107, FIELD(Config, control_socket),
     .standard_note = "/run/mpinetd/control.sock; of an ordinary user $XDG_RUNTIME_DIR/mpinetd/control.sock",
     .help = "the path of the control socket",
     .more = "A reload that changes it says so: it stays where it is until the daemon is started anew.",
     .example = "control: {socket: /run/mpinetd/control.sock}"},
    {FILE_KEY("control.mode"), .type = KEY_MODE, .max = 0777, FIELD(Config, control_mode),
     .standard = "\"0660\"", .help = "who can open the control socket, as file permissions",
     .more = "Who can open it may look; who may change things is for control.manage to say.",
     .example = "control: {mode: \"0660\"}"},
    {FILE_KEY("control.group"), .type = KEY_GROUP, FIELD(Config, control_group),
     .standard_note = "the daemon's own group", .help = "the group of the control socket",
     .example = "control: {group: adm}"},
    {FILE_KEY("control.manage"), .type = KEY_LIST, FIELD(Config, control_manage),
     .standard_note = "root and the daemon's own user",
     .help = "who may change things: users, and groups as %group",
     .more =
         "Root and the daemon's own user always may. The user and the group 65534 (nobody, nogroup) stand "
         "for all that the kernel cannot name, and services without a user of their own run as nobody: they "
         "may change nothing, and a process of that user may not by another of its groups either. Give who "
         "is to manage a user or a group of their own.",
     .example = "control: {manage: [root, \"%sudo\"]}"},

    {FILE_KEY("log"), .type = KEY_SECTION, .help = "the daemon's log"},
    {FILE_KEY("log.level"), .type = KEY_WORD, .words = "error|warning|info|debug", FIELD(Config, log_level),
     .standard = "info", .help = "the least important messages that are logged",
     .example = "log: {level: info}"},
    {FILE_KEY("log.format"), .type = KEY_WORD, .words = "text|json", FIELD(Config, log_format),
     .standard = "text", .help = "lines of text, or one JSON object a line",
     .example = "log: {format: json}"},
    {FILE_KEY("log.addresses"), .type = KEY_WORD, .words = "full|prefix|none", FIELD(Config, log_addresses),
     .standard = "full", .help = "how much of a peer's address is logged and shown",
     .more = "prefix keeps the network (24 bits of IPv4, 48 of IPv6), none leaves addresses out.",
     .example = "log: {addresses: prefix}"},

    {FILE_KEY("shutdown"), .type = KEY_SECTION, .help = "what happens when the daemon stops"},
    {FILE_KEY("shutdown.children"), .type = KEY_WORD, .words = "end|leave", FIELD(Config, shutdown_children),
     .standard = "end", .help = "what becomes of instances when the daemon stops",
     .more =
         "end: they have shutdown.drain to end by themselves, then they are told to. leave: they live on, "
         "but for the workers of pools, which get TERM when the daemon ends.",
     .example = "shutdown: {children: leave}"},
    {FILE_KEY("shutdown.drain"), .type = KEY_DURATION, .max = DAY, FIELD(Config, shutdown_drain_usec),
     .standard = "10s", .help = "how long connections may go on after the daemon was told to stop",
     .example = "shutdown: {drain: 30s}"},

    {FILE_KEY("defaults"), .type = KEY_DEFAULTS,
     .help = "keys of services that hold where a service does not set them itself",
     .more = "Maps are merged key by key, lists replaced. A key that does not fit a service's model is not "
             "applied to it. "
             "listen, to and exec cannot stand here.",
     .example = "defaults: {user: nobody}"},
    {FILE_KEY("services"), .type = KEY_SERVICES, .help = "the services, by name",
     .more = "A name begins with a letter or digit and goes on with letters, digits and . _ @ + -, at most "
             "64 in all.",
     .example = "services: {echo: {listen: tcp:7, exec: [mp-echo]}}"},

    /* Services */
    {SERVICE_KEY("description"), .type = KEY_TEXT, FIELD(ServiceConfig, description), .standard = "\"\"",
     .help = "what the service is, for people", .example = "description: TCP echo (RFC 862)"},
    {SERVICE_KEY("enabled"), .type = KEY_BOOL, FIELD(ServiceConfig, enabled), .standard = "true",
     .help = "whether it is to listen; false: it is loaded and checked only", .example = "enabled: false"},
    {SERVICE_KEY("listen"), .type = KEY_LISTEN, .flags = KEY_NO_DEFAULTS,
     .standard_note = "none: every service must have it, but one that tcpmux reaches",
     .help = "where it listens: an endpoint, or a list of endpoints, each plain or in the long form",
     .more =
         "The long form is a mapping with the key endpoint and options; see the keys that begin with listen.",
     .example = "listen: [tcp:7, unix:/run/echo.sock]"},
    {SERVICE_KEY("model"), .type = KEY_WORD, .words = "per-connection|on-demand|pool|forward|tcpmux",
     FIELD(ServiceConfig, model),
     .standard_note = "per-connection for stream and seqpacket endpoints, on-demand for datagrams",
     .help = "how its processes come about",
     .more = "per-connection: a process for each accepted connection. on-demand: the first connection or "
             "datagram starts "
             "one process, which gets the listeners. "
             "pool: workers run ahead of the work. "
             "forward: what comes is passed on to another address; with exec that is a process of the "
             "service's, which runs only while it is needed. "
             "tcpmux: the first line of a connection names the service that it goes to (RFC 1078): the one "
             "with that name as its tcpmux.",
     .example = "model: on-demand"},
    {SERVICE_KEY("pass"), .type = KEY_WORD, .words = "stdio|listen_fds",
     .models = M(PER_CONNECTION) | M(ON_DEMAND), FIELD(ServiceConfig, pass),
     .standard_note = "stdio for per-connection, listen_fds for on-demand",
     .help = "how the socket reaches the process: on fds 0 and 1, or from fd 3 up with LISTEN_FDS",
     .example = "pass: listen_fds"},
    {SERVICE_KEY("start"), .type = KEY_WORD, .flags = KEY_OF_EXEC, .words = "traffic|now",
     .models = M(ON_DEMAND) | M(FORWARD), FIELD(ServiceConfig, start_now), .standard = "traffic",
     .help = "when an on-demand process, or the backend of a forward, is started for the first time",
     .example = "start: now"},
    {SERVICE_KEY("exec"), .type = KEY_COMMAND, .flags = KEY_NO_DEFAULTS | KEY_OF_PROCESS,
     FIELD(ServiceConfig, exec),
     .standard_note = "none: every service must have it, but a sensor and one of model forward or tcpmux",
     .help = "the program and its arguments: a list, or one string that is split as a shell would",
     .more = "The program is an absolute path, or a name that is looked for in the folder of the mp-* "
             "programs, then in "
             "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin. No shell is involved. "
             "For model forward it is the backend: it stays in the foreground and listens on what `to` says, "
             "by itself.",
     .example = "exec: [rsync, --daemon, --no-detach]"},
    {SERVICE_KEY("argv0"), .type = KEY_TEXT, .flags = KEY_OF_EXEC, FIELD(ServiceConfig, argv0),
     .standard_note = "the program as written in exec", .help = "what the program is told as its own name",
     .example = "argv0: in.telnetd"},
    {SERVICE_KEY("user"), .type = KEY_USER, .flags = KEY_OF_PROCESS, FIELD(ServiceConfig, user),
     .standard_note = "the daemon's own user; as root it must be given",
     .help = "the user that it runs as: a name, a number, or self for the daemon's own",
     .more = "Running as root takes the literal user: root. Only a daemon that runs as root can run services "
             "as another "
             "user.",
     .example = "user: nobody"},
    {SERVICE_KEY("group"), .type = KEY_GROUP, .flags = KEY_OF_PROCESS, FIELD(ServiceConfig, group),
     .standard_note = "the user's primary group", .help = "the group that it runs as: a name or a number",
     .example = "group: www-data"},
    {SERVICE_KEY("supplementary_groups"), .type = KEY_LIST, .flags = KEY_OF_PROCESS | KEY_PLACES,
     FIELD(ServiceConfig, supplementary_groups), .standard_note = "those that the user is a member of",
     .help = "its supplementary groups, all of them", .example = "supplementary_groups: [ssl-cert]"},
    {SERVICE_KEY("umask"), .type = KEY_MODE, .flags = KEY_OF_PROCESS, .max = 0777,
     FIELD(ServiceConfig, umask), .standard = "\"0022\"",
     .help = "the file permissions that are taken from what it creates", .example = "umask: \"0027\""},
    {SERVICE_KEY("working_directory"), .type = KEY_PATH, .flags = KEY_OF_EXEC,
     FIELD(ServiceConfig, working_directory), .standard = "/",
     .help = "the directory that it starts in, within root_directory if there is one",
     .example = "working_directory: /srv/git"},
    {SERVICE_KEY("root_directory"), .type = KEY_PATH, .flags = KEY_OF_EXEC,
     FIELD(ServiceConfig, root_directory),
     .help = "the directory that it sees as /, chroot(2); the program is looked for inside",
     .example = "root_directory: /srv/jail"},
    {SERVICE_KEY("environment"), .type = KEY_ENVIRONMENT, .flags = KEY_SECRET | KEY_OF_PROCESS,
     FIELD(ServiceConfig, environment), .help = "variables of its environment; they win over all others",
     .more = "The environment starts with PATH, LANG, and HOME, USER, LOGNAME and SHELL of the user, and "
             "what tells of the "
             "connection. A name has letters, digits and _, and does not begin with a digit.",
     .example = "environment: {LANG: C.UTF-8, MODE: fast}"},
    {SERVICE_KEY("pass_environment"), .type = KEY_LIST, .flags = KEY_OF_PROCESS,
     FIELD(ServiceConfig, pass_environment),
     .help = "variables to hand on from the daemon's environment: names or globs",
     .more = "Names are as in environment; a glob has *, ?, [A-Z] or [!A-Z] in it.",
     .example = "pass_environment: [TZ, \"OTEL_*\"]"},

    {SERVICE_KEY("limits"), .type = KEY_SECTION, .help = "who is admitted, how many and how fast"},
    {SERVICE_KEY("limits.instances"), .type = KEY_INTEGER, .min = 1, .max = 1000000, TERM(limits.instances),
     .standard = "1000", .help = "the most processes that run at once", .example = "limits: {instances: 50}"},
    {SERVICE_KEY("limits.per_source"), .type = KEY_INTEGER, .flags = KEY_OR_NONE, .min = 1, .max = 1000000,
     TERM(limits.per_source), .standard_note = "no limit",
     .help = "the most connections of one source at once",
     .more =
         "Over it that source is refused; others are never delayed. A source is an address, as much of it "
         "as limits.source_prefix says, or the user of a UNIX socket's peer.",
     .example = "limits: {per_source: 5}"},
    {SERVICE_KEY("limits.source_prefix"), .type = KEY_SECTION,
     .help = "how much of an address makes a source"},
    {SERVICE_KEY("limits.source_prefix.ipv4"), .type = KEY_INTEGER, .max = 32, TERM(limits.source_ipv4),
     .standard = "32", .help = "the length of the prefix for IPv4",
     .example = "limits: {source_prefix: {ipv4: 24}}"},
    {SERVICE_KEY("limits.source_prefix.ipv6"), .type = KEY_INTEGER, .max = 128, TERM(limits.source_ipv6),
     .standard = "64", .help = "the length of the prefix for IPv6",
     .more = "A customer of a provider has a /64 at least, often a /56 or a /48: with 128 he would have as "
             "many sources as he likes.",
     .example = "limits: {source_prefix: {ipv6: 56}}"},
    {SERVICE_KEY("limits.rate"), .type = KEY_RATE, .flags = KEY_OR_NONE, TERM(limits.rate),
     .standard_note = "no limit", .help = "the most new connections in a time",
     .more =
         "A bucket of tokens: the burst, which is the count where it is not given, may come at once. Over "
         "it limits.when_full decides; service resumes by itself. For on-demand it holds back the start "
         "of the process.",
     .example = "limits: {rate: 50/s burst 100}"},
    {SERVICE_KEY("limits.rate_per_source"), .type = KEY_RATE, .flags = KEY_OR_NONE,
     TERM(limits.rate_per_source), .standard_note = "no limit",
     .help = "the most new connections of one source in a time",
     .more = "Over it that source is refused; others are never delayed.",
     .example = "limits: {rate_per_source: 20/m}"},
    {SERVICE_KEY("limits.load"), .type = KEY_NUMBER, .flags = KEY_OR_NONE, .max = 1000000, TERM(limits.load),
     .standard_note = "no limit",
     .help = "the load average of the last minute above which nothing new is started",
     .more = "Over it limits.when_full decides.", .example = "limits: {load: 8.0}"},
    {SERVICE_KEY("limits.when_full"), .type = KEY_WORD, .words = "wait|refuse", TERM(limits.when_full),
     .standard = "wait",
     .help = "over a limit of the service: leave connections in the backlog, or refuse them",
     .more = "This is about limits.instances, rate and load. Over a limit of one source that source is "
             "refused in any case. Where the process of an on-demand service accepts, its start is put off "
             "in any case, and connections wait.",
     .example = "limits: {when_full: refuse}"},
    {SERVICE_KEY("limits.refuse_with"), .type = KEY_WORD, .words = "close|banner|reset",
     TERM(limits.refuse_with), .standard = "close", .help = "how a connection is refused",
     .more = "close: it is closed. banner: banner.refused is sent first; this is the default where there is "
             "one. reset: the peer gets a reset (TCP).",
     .example = "limits: {refuse_with: reset}"},

    {SERVICE_KEY("access"), .type = KEY_SECTION, .help = "who may connect, and when"},
    {SERVICE_KEY("access.allow"), .type = KEY_LIST, .flags = KEY_PLACES, TERM(access.allow),
     .standard_note = "everybody who is not denied",
     .help = "who may connect: addresses, prefixes, any, uid:USER, gid:GROUP, vsock:CID, file:/path",
     .more = "The longest prefix wins, a tie goes to deny. Of the peers of UNIX sockets a user wins over a "
             "group, and both over any. Where allow is given, what matches nothing is refused.",
     .example = "access: {allow: [10.0.0.0/8, \"2001:db8::/32\"]}"},
    {SERVICE_KEY("access.deny"), .type = KEY_LIST, .flags = KEY_PLACES, TERM(access.deny),
     .standard_note = "nobody, or who is not allowed", .help = "the same for who may not connect",
     .example = "access: {deny: [203.0.113.0/24, file:/etc/mpinetd/deny]}"},
    {SERVICE_KEY("access.apply_to_existing"), .type = KEY_BOOL, TERM(access.apply_to_existing),
     .standard = "false", .help = "whether a reload ends connections that are no longer allowed",
     .example = "access: {apply_to_existing: true}"},
    {SERVICE_KEY("access.hours"), .type = KEY_LIST, TERM(access.hours), .standard_note = "always",
     .help = "when it serves, in local time: days, a span of time, or both",
     .more = "It is open while one item of the list says so. A span may go over midnight, and belongs to the "
             "day on which it begins. 00:00-24:00 is always.",
     .example = "access: {hours: [\"Mon-Fri 08:00-18:00\", \"Sat 22:00-06:00\"]}"},

    {SERVICE_KEY("ban"), .type = KEY_SECTION, .help = "bans of sources that are refused or fail too often"},
    {SERVICE_KEY("ban.after"), .type = KEY_RATE, .flags = KEY_OR_NONE, TERM(ban.after),
     .standard_note = "none: nobody is banned", .help = "how many refusals and failures in a time",
     .more = "What counts: being refused, for any reason but access.hours, a PROXY header, or a ban (with "
             "when_full: refuse also when the service is full); an exit code of ban.exit_codes. BAN=1 on the "
             "status pipe of a process bans its peer at once.",
     .example = "ban: {after: 5/1m}"},
    {SERVICE_KEY("ban.for"), .type = KEY_DURATION, .min = SEC, .max = YEARS_10, TERM(ban.for_usec),
     .standard = "10m", .help = "how long a ban lasts",
     .more = "Bans are kept over reload; mpctl bans lists them, mpctl unban lifts them.",
     .example = "ban: {after: 5/1m, for: 1h}"},
    {SERVICE_KEY("ban.exit_codes"), .type = KEY_LIST, TERM(ban.exit_codes), .standard_note = "none",
     .help = "the exit codes of an instance that count as failures of its peer",
     .more = "Numbers from 1 to 255, and ranges as in 64-78. They are those of processes that serve one peer "
             "each: of a pool, and for datagrams, they are an error, and of no effect from defaults.",
     .example = "ban: {after: 5/1m, exit_codes: [1]}"},
    {SERVICE_KEY("sensor"), .type = KEY_BOOL, TERM(ban.sensor), .standard = "false",
     .help = "whether every visitor is banned, from all services of the daemon",
     .more = "For ports that nobody has business with. Nothing is ever started, exec is not needed. The ban "
             "lasts for ban.for.",
     .example = "sensor: true"},

    {SERVICE_KEY("timeouts"), .type = KEY_SECTION, .help = "how long things may take"},
    {SERVICE_KEY("timeouts.start"), .type = KEY_DURATION, .flags = KEY_OF_EXEC, .min = MSEC, .max = DAY,
     TERM(timeout_start_usec), .standard = "30s",
     .help =
         "from the start of a process to its being ready, where notify is given, and of a forward's backend",
     .more = "One that is not ready by then is ended, and counts as exited.timeout.",
     .example = "timeouts: {start: 5s}"},
    {SERVICE_KEY("timeouts.idle"), .type = KEY_DURATION, .flags = KEY_OR_NONE,
     .models = M(PER_CONNECTION) | M(ON_DEMAND) | M(FORWARD), .min = MSEC, .max = YEARS_10,
     TERM(timeout_idle_usec), .standard = "none", .help = "how long a process may have nothing to do",
     .more =
         "A process that reports ACTIVE is idle while that is 0. Of one that does not, the kernel is "
         "asked: it is "
         "idle while none of its connections lives, and nothing comes in. It is told to end by SIGTERM; "
         "who connects "
         "meanwhile is served by the next one. That is no failure, and restart.policy does not start it "
         "again. The backend of a forward is idle while none of its connections lives; moreover, of a "
         "forward over "
         "TCP a connection on which no byte moved for so long is closed. That of a per-connection service "
         "over TCP is ended by SIGTERM to its process, when no byte has come in, and none that was sent has "
         "been acknowledged, for so long; the kernel's account of the connection counts, whoever reads and "
         "writes it.",
     .example = "timeouts: {idle: 5m}"},
    {SERVICE_KEY("timeouts.lifetime"), .type = KEY_DURATION, .flags = KEY_OR_NONE | KEY_OF_PROCESS,
     .min = MSEC, .max = YEARS_10, TERM(timeout_lifetime_usec), .standard = "none",
     .help = "how long an instance may live",
     .more = "Not for an on-demand service of stream endpoints: its process has many connections.",
     .example = "timeouts: {lifetime: 4h}"},
    {SERVICE_KEY("timeouts.stop"), .type = KEY_DURATION, .flags = KEY_OF_PROCESS, .max = DAY,
     TERM(timeout_stop_usec), .standard = "10s", .help = "from SIGTERM to SIGKILL",
     .more =
         "Both go to the process, SIGKILL to its process group as well. What has left that by setsid(2) or "
         "setpgid(2) is not reached.",
     .example = "timeouts: {stop: 30s}"},
    {SERVICE_KEY("timeouts.watchdog"), .type = KEY_DURATION, .flags = KEY_OF_EXEC | KEY_OR_NONE, .min = MSEC,
     .max = YEARS_10, TERM(timeout_watchdog_usec), .standard = "none",
     .help = "the longest silence of a process that reports WATCHDOG=1",
     .more = "It is told as WATCHDOG_USEC. One that says nothing for longer gets SIGABRT, and SIGKILL after "
             "timeouts.stop. "
             "The time begins when it is ready.",
     .example = "timeouts: {watchdog: 30s}"},

    {SERVICE_KEY("restart"), .type = KEY_SECTION, .models = M(ON_DEMAND) | M(POOL) | M(FORWARD),
     .help = "what happens when the process ends"},
    {SERVICE_KEY("restart.policy"), .type = KEY_WORD, .flags = KEY_OF_EXEC,
     .models = M(ON_DEMAND) | M(FORWARD), .words = "never|on-failure|always", TERM(restart_policy),
     .standard = "never", .help = "when it is started again without waiting for traffic",
     .example = "restart: {policy: on-failure}"},
    {SERVICE_KEY("restart.delay"), .type = KEY_DURATION, .flags = KEY_OF_EXEC,
     .models = M(ON_DEMAND) | M(POOL) | M(FORWARD), .min = MSEC, .max = HOUR, TERM(restart_delay_usec),
     .standard = "100ms",
     .help = "how long the first start beyond restart.limit is put off; the delay doubles from then on",
     .example = "restart: {delay: 1s}"},
    {SERVICE_KEY("restart.max_delay"), .type = KEY_DURATION, .flags = KEY_OF_EXEC,
     .models = M(ON_DEMAND) | M(POOL) | M(FORWARD), .min = MSEC, .max = DAY, TERM(restart_max_delay_usec),
     .standard = "30s", .help = "the longest that a start is put off", .example = "restart: {max_delay: 1m}"},
    {SERVICE_KEY("restart.limit"), .type = KEY_RATE, .flags = KEY_OF_EXEC,
     .models = M(ON_DEMAND) | M(POOL) | M(FORWARD), TERM(restart_limit), .standard = "5/10s",
     .help = "how many failures in a time are free of delay", .example = "restart: {limit: 5/10s}"},

    {SERVICE_KEY("pool"), .type = KEY_SECTION, .models = M(POOL), .help = "the workers of a pool"},
    {SERVICE_KEY("pool.min"), .type = KEY_INTEGER, .models = M(POOL), .min = 0, .max = 65536, TERM(pool.min),
     .standard = "1", .help = "the fewest workers",
     .more = "Workers that end are replaced at once, after repeated failures with the delays of restart.",
     .example = "pool: {min: 1}"},
    {SERVICE_KEY("pool.max"), .type = KEY_INTEGER, .models = M(POOL), .min = 1, .max = 65536, TERM(pool.max),
     .standard = "8", .help = "the most workers", .more = "limits.instances bounds them, too.",
     .example = "pool: {max: 8}"},
    {SERVICE_KEY("pool.spare_min"), .type = KEY_INTEGER, .models = M(POOL), .min = 0, .max = 65536,
     TERM(pool.spare_min), .standard = "1", .help = "the fewest idle workers",
     .more = "With fewer, 1, 2, 4 and up to 32 more are started each second. Workers have to report ACTIVE= "
             "over their status pipe: the pool stays at min while one does not.",
     .example = "pool: {spare_min: 1}"},
    {SERVICE_KEY("pool.spare_max"), .type = KEY_INTEGER, .models = M(POOL), .min = 0, .max = 65536,
     TERM(pool.spare_max), .standard = "4", .help = "the most idle workers",
     .more = "With more, one of them is ended each second.", .example = "pool: {spare_max: 4}"},
    {SERVICE_KEY("pool.max_requests"), .type = KEY_INTEGER, .models = M(POOL), .min = 0, .max = INT64_MAX,
     TERM(pool.max_requests), .standard = "0",
     .help = "the requests after which a worker is replaced; 0: never",
     .more = "A worker has to report REQUESTS=. Each is replaced up to a tenth earlier, so that those that "
             "started together do not end together.",
     .example = "pool: {max_requests: 10000}"},
    {SERVICE_KEY("pool.handoff"), .type = KEY_WORD, .models = M(POOL), .words = "listener|connection",
     TERM(pool.handoff), .standard = "listener", .help = "whether workers accept, or are passed connections",
     .more =
         "listener: they share the listeners from fd 3 up (LISTEN_FDS): a single one is blocking, several "
         "are not. connection: the daemon accepts and passes each connection to the least busy worker over "
         "the socket that MP_CONNECTION_FD names.",
     .example = "pool: {handoff: connection}"},
    {SERVICE_KEY("prespawn"), .type = KEY_INTEGER, .models = M(PER_CONNECTION), .max = 65536,
     FIELD(ServiceConfig, prespawn), .standard = "0",
     .help = "how many processes are set up ahead, waiting before exec",
     .more =
         "They have user, limits and directories already when a connection comes, and are replaced when "
         "there is time. The program knows nothing of it. One that waits takes no place and is no instance; "
         "the metric mpinetd_spares says how many do.",
     .example = "prespawn: 4"},

    {SERVICE_KEY("notify"), .type = KEY_WORD, .flags = KEY_OF_EXEC, .words = "none|status|sd_notify",
     FIELD(ServiceConfig, notify), .standard = "none", .help = "how a process says that it is ready",
     .more = "status: READY=1 on its status pipe. sd_notify: the same to NOTIFY_SOCKET, as sd_notify(3) "
             "does. none: it is ready "
             "at once.",
     .example = "notify: sd_notify"},
    {SERVICE_KEY("report"), .type = KEY_BOOL, .flags = KEY_OF_PROCESS, FIELD(ServiceConfig, report),
     .standard_note = "true for pool, for on-demand with pass: listen_fds, and where notify or "
                      "timeouts.watchdog need it; else false",
     .help = "whether a process gets a status pipe (MP_STATUS_FD)", .example = "report: true"},
    {SERVICE_KEY("stderr"), .type = KEY_WORD, .flags = KEY_OF_PROCESS, .words = "log|socket|discard|inherit",
     FIELD(ServiceConfig, stderr_target), .standard = "log",
     .help = "where fd 2 goes, and fd 1 where the handoff does not use it",
     .more =
         "log: line by line into the daemon's log. socket: to the peer, which needs a connection on "
         "stdio. discard: "
         "/dev/null. inherit: where the daemon's own goes. Into the log go some thousand lines a second of "
         "each process; one that writes more has to wait.",
     .example = "stderr: discard"},

#include "conf/schema-table-process.inc"

    {SERVICE_KEY("banner"), .type = KEY_SECTION, .help = "texts for peers"},
    {SERVICE_KEY("banner.greeting"), .type = KEY_TEXT, .max = BANNER_MAX, TERM(banner.greeting),
     .help = "sent before the service starts: a text, or file:/path",
     .more = "As it is: lines end as they are written. A file is read when the config is loaded.",
     .example = "banner: {greeting: \"hello\\r\\n\"}"},
    {SERVICE_KEY("banner.refused"), .type = KEY_TEXT, .max = BANNER_MAX, TERM(banner.refused),
     .help = "sent to a peer that is refused: a text, or file:/path",
     .more = "Unless limits.refuse_with says otherwise.",
     .example = "banner: {refused: \"try later\\r\\n\"}"},

    {SERVICE_KEY("proxy_protocol"), .type = KEY_SECTION, .help = "the real peer behind a proxy"},
    {SERVICE_KEY("proxy_protocol.accept_from"), .type = KEY_LIST, .flags = KEY_PLACES,
     TERM(proxy_accept_from), .standard_note = "nobody",
     .help = "the proxies whose word is taken: written as in access.allow",
     .more =
         "A connection from one of these must begin with a header of the PROXY protocol, version 1 or 2, "
         "within 3 seconds; else it is refused. From then on the peer that the header names is the peer: "
         "for limits, rules, bans, log and environment. Others are served as they are, and never believed.",
     .example = "proxy_protocol: {accept_from: [10.0.0.0/8]}"},
    {SERVICE_KEY("proxy_protocol.send"), .type = KEY_WORD, .models = M(FORWARD), .words = "none|v1|v2",
     FIELD(ServiceConfig, proxy_send), .standard = "none",
     .help = "tell the backend who the peer is, by a header of the PROXY protocol",
     .more = "It is sent before anything else, so the backend must expect it. v1 is a line of text, v2 is "
             "binary. Not with datagrams.",
     .example = "proxy_protocol: {send: v2}"},

    {SERVICE_KEY("log"), .type = KEY_SECTION, .flags = KEY_OF_PROCESS,
     .help = "what is logged of each instance"},
    {SERVICE_KEY("log.success"), .type = KEY_LIST, .flags = KEY_OF_PROCESS, TERM(log.success),
     .standard_note = "pid, peer, exit and duration",
     .help = "of one that ends well: pid, peer, user, exit, duration, traffic, cpu, memory",
     .more = "The lines of its start and its end have them: pid and peer in front, the others in words; JSON "
             "lines, and the journal, in fields of their own: user, bytes_in, bytes_out, cpu_usec, memory. "
             "traffic is of a connection over TCP that the process has alone, by the kernel's own account; "
             "where the kernel does not tell, that is said. cpu and memory (the most at once) are of the "
             "process and of those children that it has waited for; a process begins with the memory of the "
             "daemon, so that of a small one only 'at most' is known. An empty list: no such line. Events "
             "(mpctl events) always have pid, peer, exit and duration.",
     .example = "log: {success: [pid, peer, duration, traffic]}"},
    {SERVICE_KEY("log.failure"), .type = KEY_LIST, .flags = KEY_OF_PROCESS, TERM(log.failure),
     .standard_note = "pid, peer, exit and duration", .help = "the same of one that fails",
     .more =
         "Or is killed by a signal, or ended by one of timeouts. Of a connection that is refused the line "
         "has the peer, if it is listed. An empty list: no such line.",
     .example = "log: {failure: [pid, peer, exit, cpu, memory]}"},

    {SERVICE_KEY("to"), .type = KEY_ENDPOINT, .flags = KEY_NO_DEFAULTS, .models = M(FORWARD),
     FIELD(ServiceConfig, to), .standard_note = "none: every service of model forward must have it",
     .help = "the backend that connections or datagrams are forwarded to",
     .more =
         "An endpoint of kind tcp, unix, unix-seqpacket or vsock for connections, udp or unix-dgram for "
         "datagrams. Addresses are numbers; a port alone is this host's. Without exec the backend is "
         "somebody else's; with it, it is started by the first connection, awaited until it is ready (as "
         "notify says, or else until it accepts a connection; over udp at once), and ended by SIGTERM after "
         "timeouts.idle.",
     .example = "to: unix:/run/app.sock"},
    {SERVICE_KEY("tcpmux"), .type = KEY_TEXT, .flags = KEY_NO_DEFAULTS, .models = M(PER_CONNECTION),
     FIELD(ServiceConfig, tcpmux), .help = "the name by which a service of model tcpmux reaches it",
     .more =
         "In any case of letters. With a + in front the daemon answers the client's request; without it the "
         "program does. It needs no listen then.",
     .example = "tcpmux: +echo"},

#include "conf/schema-table-listen.inc"
};

const size_t schema_table_size = sizeof(schema_table) / sizeof(schema_table[0]);
