/* SPDX-License-Identifier: MIT */
#include "tests/unit/ctl/sample.h"

#include <signal.h>

#include "daemon/base/clock.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const char *const listen_echo[] = {"tcp:7", "unix:/run/echo.sock", NULL};
static const char *const listen_git[] = {"tcp:9418", NULL};
static const char *const listen_web[] = {"tcp:127.0.0.1:8080", NULL};
static const char *const listen_rsync[] = {"tcp:873", NULL};
static const char *const listen_tftp[] = {"udp:69", NULL};
static const char *const listen_chargen[] = {"tcp:19", NULL};
static const char *const listen_finger[] = {"tcp:79", "tcp:1079", "unix:/run/finger.sock", NULL};

static const ApiListener listeners_echo[] = {
    {.endpoint = "tcp:7", .type = "tcp", .address = "0.0.0.0", .port = 7, .queued = 0, .backlog = 4096},
    {.endpoint = "tcp:7", .type = "tcp", .address = "::", .port = 7, .queued = 0, .backlog = 4096},
    {.endpoint = "unix:/run/echo.sock",
     .type = "unix",
     .path = "/run/echo.sock",
     .adopted = true,
     .queued = -1,
     .backlog = -1},
};
static const ApiListener listeners_git[] = {
    {.endpoint = "tcp:9418",
     .type = "tcp",
     .address = "0.0.0.0",
     .port = 9418,
     .queued = 31,
     .backlog = 4096},
};
static const ApiListener listeners_tftp[] = {
    {.endpoint = "udp:69", .type = "udp", .address = "0.0.0.0", .port = 69, .error = "Permission denied"},
};

const ApiChange sample_changes[] = {
    {.service = "finger", .action = "add", .key = "listen", .to = "tcp:79"},
    {.service = "git", .action = "change", .key = "limits.instances", .from = "50", .to = "80"},
    {.service = "chargen", .action = "remove"},
    {.action = "change", .key = "log.level", .from = "info", .to = "debug"},
};

const ApiPlanItem sample_plan[] = {
    {.service = "chargen", .object = "service", .action = "remove"},
    {.service = "chargen",
     .object = "listener",
     .endpoint = "tcp:19",
     .action = "close",
     .detail = "what waits there is served first"},
    {.service = "finger", .object = "service", .action = "add"},
    {.service = "finger", .object = "listener", .endpoint = "tcp:79", .action = "open"},
    {.service = "git", .object = "service", .action = "change"},
    {.service = "git", .object = "workers", .action = "roll", .detail = "3 replaced one after the other"},
};

static ApiService service(const char *name, const char *const *listen, const char *model, ServiceState state,
                          uint64_t since_usec) {
    return (ApiService){
        .name = name,
        .model = model,
        .state = state,
        .since_usec = since_usec,
        .listen = listen,
        .instances_limit = 50,
    };
}

static void init_services(Sample *s, uint64_t now) {
    ApiService *v = s->services;
    uint64_t long_ago = now - 3 * DAY - 4 * HOUR - MINUTE;
    v[0] = service("chargen", listen_chargen, "per-connection", SERVICE_DISABLED, 0);
    v[1] = service("echo", listen_echo, "per-connection", SERVICE_LISTENING, long_ago);
    v[1].listeners = listeners_echo;
    v[1].n_listeners = 3;
    v[1].accepted = v[1].spawned = v[1].exited[EXIT_OK] = 12;
    v[2] = service("finger", listen_finger, "per-connection", SERVICE_PAUSED, now - 40 * USEC_PER_SEC);
    v[2].active = 2;
    v[2].order = (ApiOrder){"pause", 0, now - 40 * USEC_PER_SEC};
    v[3] = service("git", listen_git, "per-connection", SERVICE_FULL, now - 8 * MINUTE - 30 * USEC_PER_SEC);
    v[3].listeners = listeners_git;
    v[3].n_listeners = 1;
    v[3].active = 50;
    v[3].queued = 31;
    v[3].accepted = 49427;
    v[3].refused[REFUSE_RATE] = 1204;
    v[3].refused[REFUSE_ACCESS] = 12;
    v[3].spawned = 48211;
    v[3].exited[EXIT_OK] = 48120;
    v[3].exited[EXIT_FAILED] = 38;
    v[3].exited[EXIT_TIMEOUT] = 3;
    v[3].accept_rate_milli = 12400;
    v[3].latency = (ApiQuantiles){48211, 900, 3100};
    v[3].duration = (ApiQuantiles){48161, 210000, 41 * USEC_PER_SEC};
    v[3].last_error =
        (ApiLastError){.time_usec = now - 9 * MINUTE, .message = "instance 48190 ended by timeouts.lifetime"};
    v[3].waiting = (ApiWaiting){true, REFUSE_INSTANCES, 50, 50, 0};
    v[4] = service("rsync", listen_rsync, "per-connection", SERVICE_THROTTLED, now - 2 * USEC_PER_SEC);
    v[4].waiting = (ApiWaiting){true, REFUSE_RATE, 0, 0, now + 400 * USEC_PER_MSEC};
    v[4].refused[REFUSE_ACCESS] = 17;
    v[4].accepted = 17;
    v[5] = service("tftp", listen_tftp, "on-demand", SERVICE_FAILED, now - 6 * MINUTE - USEC_PER_SEC);
    v[5].listeners = listeners_tftp;
    v[5].n_listeners = 1;
    v[5].instances_limit = 1;
    v[5].last_error = (ApiLastError){
        .time_usec = now - 6 * MINUTE,
        .step = "exec",
        .error = ENOENT,
        .file = "/etc/mpinetd/services.d/tftp.yaml",
        .line = 4,
    };
    v[6] = service("web", listen_web, "pool", SERVICE_ACTIVE, now - 2 * MINUTE - USEC_PER_SEC);
    v[6].workers = (ApiWorkers){true, 3, 1, 0};
    v[6].active = 4;
    v[6].requests = 1000000;
    v[6].status = "warming \033[31mcache\nnow";
}

static void init_instances(Sample *s, uint64_t now) {
    s->instances[0] = (ApiInstance){
        .service = "finger",
        .instance = 7,
        .pid = 30100,
        .peer = "[2001:db8::7]:5522",
        .state = "running",
        .since_usec = now - 14 * USEC_PER_SEC,
        .memory = 3250585,
        .generation = 7,
        .requests = -1,
        .active = -1,
    };
    s->instances[1] = (ApiInstance){
        .service = "git",
        .instance = 48211,
        .pid = 30161,
        .peer = "198.51.100.7:40112",
        .state = "running",
        .since_usec = now - 12 * USEC_PER_SEC,
        .cpu_usec = 372000,
        .memory = 10276044,
        .generation = 6,
        .requests = -1,
        .active = -1,
    };
    s->instances[2] = (ApiInstance){
        .service = "web",
        .instance = 2,
        .pid = 29000,
        .state = "starting",
        .since_usec = now - 2 * MINUTE,
        .generation = 7,
        .status = "warm\ting",
        .requests = 250,
        .active = 1,
    };
}

static void init_events(Sample *s, uint64_t now) {
    ApiEvent e = {
        .level = "info", .exit_code = -1, .duration_usec = UINT64_MAX, .time_usec = now - 10 * USEC_PER_SEC};
    for (size_t i = 0; i < SAMPLE_EVENTS; i++)
        s->events[i] = e;
    ApiEvent *v = s->events;
    v[0].time_usec = now - DAY;
    v[1].time_usec = now - DAY + USEC_PER_SEC;
    v[0].event = "reloaded";
    v[0].message = "generation 7";
    v[1].event = "listening";
    v[1].service = "git";
    v[2].event = "started";
    v[2].service = "git";
    v[2].instance = 48211;
    v[2].pid = 30161;
    v[2].peer = "198.51.100.7:40112";
    v[3] = v[2];
    v[3].event = "ended";
    v[3].exit_code = 0;
    v[3].duration_usec = 4100000;
    v[4] = v[2];
    v[4].event = "ended";
    v[4].signal = SIGKILL;
    v[4].duration_usec = 601 * USEC_PER_SEC;
    v[4].reason = "timeouts.lifetime";
    v[5].event = "refused";
    v[5].service = "git";
    v[5].peer = "198.51.100.7:40113";
    v[5].reason = "per_source";
    v[6].event = "spawn_failed";
    v[6].level = "error";
    v[6].service = "tftp";
    v[6].step = "exec";
    v[6].error = ENOENT;
    v[8] = v[2];
    v[8].event = "stderr";
    v[8].message = "fatal: the remote end hung up\tunexpectedly";
    v[7].event = "status";
    v[7].service = "web";
    v[7].pid = 29000;
    v[7].message = "evil \033]0;title\a\nforged line";
}

static void init_sources(Sample *s, uint64_t now) {
    s->sources[0] = (ApiSource){
        .source = "198.51.100.7",
        .active = 2,
        .accepted = 1320,
        .refused = 1190,
        .was_refused = true,
        .reason = REFUSE_RATE_PER_SOURCE,
        .last_time_usec = now - 12 * USEC_PER_SEC,
        .first_usec = now - 3 * HOUR,
        .newest_usec = now - 10 * USEC_PER_SEC,
        .until_usec = now + 3 * MINUTE,
    };
    s->sources[1] = (ApiSource){
        .source = "2001:db8::/64",
        .accepted = 26,
        .refused = 26,
        .was_refused = true,
        .reason = REFUSE_ACCESS,
        .last_time_usec = now - 3 * HOUR,
        .banned = true,
        .until_usec = now + 7 * MINUTE,
    };
    s->sources[2] = (ApiSource){
        .source = "192.0.2.9",
        .accepted = 12000,
        .first_usec = now - DAY,
        .newest_usec = now - MINUTE,
    };
}

static ApiBan ban(const char *prefix, const char *service, BanCause cause, uint64_t now, uint64_t usec) {
    return (ApiBan){
        .prefix = prefix,
        .service = service,
        .by = service ? service : "trap",
        .cause = cause,
        .since_usec = now - 3 * MINUTE,
        .until_usec = now + usec,
        .remaining_usec = usec,
    };
}

static void init_bans(Sample *s, uint64_t now) {
    s->bans[0] = ban("203.0.113.0/24", NULL, BAN_SENSOR, now, 2 * DAY);
    s->bans[1] = ban("2001:db8::/64", "git", BAN_REFUSALS, now, 7 * MINUTE);
    s->bans[2] = ban(NULL, "git", BAN_FAILURES, now, HOUR);
    s->bans[3] = ban("uid:1000", "web", BAN_REPORTED, now, 20 * MINUTE);
}

void sample_init(Sample *s, uint64_t now_usec) {
    *s = (Sample){
        .daemon =
            {
                .pid = 812,
                .version = "0.1.0",
                .state = "running",
                .uptime_usec = 3 * DAY + 4 * HOUR + MINUTE,
                .generation = 7,
                .config = "/etc/mpinetd/mpinetd.yaml",
                .last_reload = {.ok = true, .time_usec = now_usec - DAY},
                .children = 57,
                .fds = 42,
            },
    };
    init_services(s, now_usec);
    init_instances(s, now_usec);
    init_events(s, now_usec);
    init_sources(s, now_usec);
    init_bans(s, now_usec);
}

const ApiService *sample_service(const Sample *s, const char *name) {
    for (size_t i = 0; i < SAMPLE_SERVICES; i++)
        if (streq(s->services[i].name, name))
            return &s->services[i];
    return NULL;
}

static const LimitsConfig sample_limits = {
    .instances = 50,
    .per_source = 8,
    .source_ipv4 = 32,
    .source_ipv6 = 64,
    .rate = {50, 10 * USEC_PER_SEC, 100},
    .rate_per_source = {20, MINUTE, 20},
    .load = 8,
};
static const LimitsConfig sample_limits_few = {.instances = 50, .source_ipv4 = 32, .source_ipv6 = 64};

ApiDescription sample_description(const Sample *s, const ApiService *of) {
    static const char *const exec[] = {"/usr/lib/git-core/git-daemon", "--inetd", NULL};
    static const ApiChange sample_set[] = {
        {.service = "git", .action = "change", .key = "limits.instances", .from = "40", .to = "50"},
    };
    static const ApiBucket latency[] = {{1000, 30000}, {2000, 18000}, {UINT64_MAX, 211}};
    static const ApiBucket duration[] = {{200000, 20000}, {500000, 28161}, {UINT64_MAX, 0}};
    bool full = of->state == SERVICE_FULL;
    return (ApiDescription){
        .service = of,
        .description = "Git repositories, read only",
        .user = "git",
        .group = "git",
        .pass = "stdio",
        .stderr_target = "log",
        .exec = exec,
        .file = "/etc/mpinetd/services.d/git.yaml",
        .line = 3,
        .limits = full || of->state == SERVICE_THROTTLED ? &sample_limits : &sample_limits_few,
        .load = full ? 3.21 : -1,
        .hours = {.present = full, .open = true, .until_usec = of->since_usec + 4 * HOUR},
        .access_rules = full ? 12 : 0,
        .bans = full ? 3 : 0,
        .timeout_lifetime_usec = 10 * MINUTE,
        .timeout_stop_usec = 10 * USEC_PER_SEC,
        .set = sample_set,
        .n_set = full ? ELEMENTS(sample_set) : 0,
        .latency = latency,
        .n_latency = ELEMENTS(latency),
        .duration = duration,
        .n_duration = ELEMENTS(duration),
        .sources = s->sources,
        .n_sources = full ? ELEMENTS(s->sources) : 0,
        .instances = s->instances,
        .n_instances = SAMPLE_INSTANCES,
        .events = s->events,
        .n_events = SAMPLE_EVENTS,
    };
}

void sample_diagnostics(DiagList *diags) {
    DiagPos key = {"/etc/mpinetd/services.d/web.yaml", 7, 7, 16};
    DiagPos value = {"/etc/mpinetd/mpinetd.yaml", 12, 16, 17};
    diag_add(diags, DIAG_ERROR, DIAG_UNKNOWN_KEY, &key, "      per_sorce: 5", "did you mean 'per_source'?",
             "unknown key '%s' in limits", "per_sorce");
    diag_add(diags, DIAG_ERROR, DIAG_YAML, &value, "        allow: [::1]", "write: [\"::1\"]",
             "IPv6 address in a [ ] list needs quotes");
}
