/* SPDX-License-Identifier: MIT */
#include "conf/foreign.h"

#include <string.h>
#include <strings.h>

#define XINETD "xinetd's"
#define SYSTEMD "systemd's"
#define COMPOSE "compose's"
#define SUPERVISOR "supervisor's"

/* How the value goes into the line to write. */
typedef enum ForeignForm {
    FOREIGN_PLAIN,  /* as it is, a list's items with blanks between */
    FOREIGN_LIST,   /* words or items, with ", " between */
    FOREIGN_NOT,    /* the opposite boolean */
    FOREIGN_WAIT,   /* yes: on-demand */
    FOREIGN_ACCEPT, /* yes: per-connection */
    FOREIGN_CPS,    /* "50 10": so many a second */
    FOREIGN_TYPE,   /* stream or dgram: part of the endpoint */
    FOREIGN_QUOTED, /* words or items, each in quotes */
    FOREIGN_NETS,   /* addresses, where one that ends in .0 is a network */
    FOREIGN_FACTS,  /* PID HOST: facts to log */
    FOREIGN_FLAGS,  /* SENSOR, or what is an option of listen */
    FOREIGN_KIND,   /* INTERNAL, TCPMUX, TCPMUXPLUS */
    FOREIGN_MINUTES,
    FOREIGN_PROTECT, /* full or strict: what can only be read */
    FOREIGN_NONE,    /* there is no such line; what to do instead */
} ForeignForm;

typedef struct ForeignWord {
    const char *word;
    const char *whose;
    ForeignForm form;
    const char *before, *after; /* around the value */
    const char *standin;        /* for the value where it cannot be used */
} ForeignWord;

static const ForeignWord foreign_words[] = {
    /* xinetd and inetd */
    {"disable", XINETD, FOREIGN_NOT, "enabled: ", "", "false"},
    {"disabled", XINETD, FOREIGN_NOT, "enabled: ", "", "false"},
    {"port", XINETD, FOREIGN_PLAIN, "listen: tcp:", "", "PORT"},
    {"bind", XINETD, FOREIGN_PLAIN, "listen: tcp:", ":PORT", "ADDRESS"},
    {"interface", XINETD, FOREIGN_PLAIN, "listen: tcp:", ":PORT", "ADDRESS"},
    {"protocol", XINETD, FOREIGN_PLAIN, "listen: ", ":PORT", "tcp"},
    {"socket_type", XINETD, FOREIGN_TYPE, "listen: ", ":PORT", "tcp"},
    {"wait", XINETD, FOREIGN_WAIT, "model: ", "", "on-demand"},
    {"nowait", "inetd's", FOREIGN_PLAIN, "model: per-connection", "", NULL},
    {"server", XINETD, FOREIGN_LIST, "exec: [", "]", "PROGRAM"},
    {"server_args", XINETD, FOREIGN_LIST, "exec: [PROGRAM, ", "]", "ARGUMENTS"},
    {"env", XINETD, FOREIGN_PLAIN, "environment: {NAME: VALUE}", "", NULL},
    {"passenv", XINETD, FOREIGN_LIST, "pass_environment: [", "]", "NAME"},
    {"instances", XINETD, FOREIGN_PLAIN, "limits: {instances: ", "}", "50"},
    {"per_source", XINETD, FOREIGN_PLAIN, "limits: {per_source: ", "}", "5"},
    {"cps", XINETD, FOREIGN_CPS, "limits: {rate: ", "}", "50/s"},
    {"max_load", XINETD, FOREIGN_PLAIN, "limits: {load: ", "}", "8.0"},
    {"access_times", XINETD, FOREIGN_QUOTED, "access: {hours: [\"", "\"]}", "08:00-18:00"},
    {"only_from", XINETD, FOREIGN_NETS, "access: { allow: [", "] }", "10.0.0.0/8"},
    {"no_access", XINETD, FOREIGN_NETS, "access: { deny: [", "] }", "10.0.0.0/8"},
    {"deny_time", XINETD, FOREIGN_MINUTES, "ban: {for: ", "}", "3650d"},
    {"redirect", XINETD, FOREIGN_PLAIN, "model: forward and to: tcp:ADDRESS:PORT", "", NULL},
    {"banner_success", XINETD, FOREIGN_PLAIN, "banner: {greeting: \"file:", "\"}", "/path"},
    {"banner_fail", XINETD, FOREIGN_PLAIN, "banner: {refused: \"file:", "\"}", "/path"},
    {"log_on_success", XINETD, FOREIGN_FACTS, "log: {success: [", "]}", "pid, peer, exit, duration"},
    {"log_on_failure", XINETD, FOREIGN_FACTS, "log: {failure: [", "]}", "peer"},
    {"log_type", XINETD, FOREIGN_PLAIN,
     "log: {level: info} at the top level; the log goes to stderr or the journal", "", NULL},
    {"includedir", XINETD, FOREIGN_PLAIN, "include: [", "/*.yaml]", "DIRECTORY"},
    {"flags", XINETD, FOREIGN_FLAGS, "", "", "the options of listen in its long form"},
    {"type", XINETD, FOREIGN_KIND, "", "", "tcpmux: NAME"},
    {"rlimit_as", XINETD, FOREIGN_PLAIN, "resources: {memory: ", "}", "512M"},
    {"rlimit_cpu", XINETD, FOREIGN_PLAIN, "resources: {cpu_time: ", "}", "60s"},
    {"rlimit_files", XINETD, FOREIGN_PLAIN, "resources: {nofile: ", "}", "256"},
    {"rlimit_stack", XINETD, FOREIGN_PLAIN, "resources: {stack: ", "}", "8M"},
    {"nice", XINETD, FOREIGN_PLAIN, "resources: {nice: ", "}", "5"},
    {"rlimit_data", XINETD, FOREIGN_PLAIN, "resources: {memory: ", "}", "512M"},
    {"rlimit_rss", XINETD, FOREIGN_PLAIN, "cgroup: {memory_max: ", "}", "512M"},
    {"groups", XINETD, FOREIGN_PLAIN, "supplementary_groups: [GROUP], or nothing for those of its user", "",
     NULL},
    {"v6only", XINETD, FOREIGN_PLAIN, "listen: [{endpoint: \"tcp:[::]:PORT\", only_v6: ", "}]", "true"},
    {"id", XINETD, FOREIGN_NONE,
     "leave it out: the name of the service tells it from others, and its port stands in listen", "", NULL},
    {"libwrap", XINETD, FOREIGN_NONE,
     "write access: {allow: [...], deny: [...]}, or exec: [/usr/sbin/tcpd] with argv0: PROGRAM", "", NULL},
    {"rpc_version", XINETD, FOREIGN_NONE,
     "leave it out: nothing is registered with rpcbind; give the port in listen", "", NULL},
    {"rpc_number", XINETD, FOREIGN_NONE,
     "leave it out: nothing is registered with rpcbind; give the port in listen", "", NULL},
    {"mdns", XINETD, FOREIGN_NONE, "leave it out: nothing is announced; avahi has avahi.service(5) for that",
     "", NULL},

    /* systemd */
    {"ListenStream", SYSTEMD, FOREIGN_PLAIN, "listen: tcp:", "", "PORT"},
    {"ListenDatagram", SYSTEMD, FOREIGN_PLAIN, "listen: udp:", "", "PORT"},
    {"ListenSequentialPacket", SYSTEMD, FOREIGN_PLAIN, "listen: unix-seqpacket:", "", "/path"},
    {"ListenFIFO", SYSTEMD, FOREIGN_PLAIN, "listen: fifo:", "", "/path"},
    {"ListenMessageQueue", SYSTEMD, FOREIGN_PLAIN, "listen: mqueue:", "", "/name"},
    {"MessageQueueMaxMessages", SYSTEMD, FOREIGN_PLAIN,
     "listen: [{endpoint: mqueue:/name, max_messages: ", "}]", "10"},
    {"MessageQueueMessageSize", SYSTEMD, FOREIGN_PLAIN,
     "listen: [{endpoint: mqueue:/name, message_size: ", "}]", "8192"},
    {"RemoveOnStop", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: unix:/path, remove_on_stop: ", "}]",
     "true"},
    {"Accept", SYSTEMD, FOREIGN_ACCEPT, "model: ", "", "per-connection"},
    {"ExecStart", SYSTEMD, FOREIGN_PLAIN, "exec: ", "", "PROGRAM"},
    {"MaxConnections", SYSTEMD, FOREIGN_PLAIN, "limits: {instances: ", "}", "50"},
    {"MaxConnectionsPerSource", SYSTEMD, FOREIGN_PLAIN, "limits: {per_source: ", "}", "5"},
    {"TriggerLimitBurst", SYSTEMD, FOREIGN_PLAIN, "limits: {rate: ", "/2s}", "50"},
    {"PollLimitBurst", SYSTEMD, FOREIGN_PLAIN, "limits: {rate: ", "/2s}", "50"},
    {"TriggerLimitIntervalSec", SYSTEMD, FOREIGN_PLAIN, "limits: {rate: 50/", "}", "2s"},
    {"PollLimitIntervalSec", SYSTEMD, FOREIGN_PLAIN, "limits: {rate: 50/", "}", "2s"},
    {"IPAddressAllow", SYSTEMD, FOREIGN_LIST, "access: { allow: [", "] }", "10.0.0.0/8"},
    {"IPAddressDeny", SYSTEMD, FOREIGN_LIST, "access: { deny: [", "] }", "10.0.0.0/8"},
    {"SupplementaryGroups", SYSTEMD, FOREIGN_LIST, "supplementary_groups: [", "]", "GROUP"},
    {"WorkingDirectory", SYSTEMD, FOREIGN_PLAIN, "working_directory: ", "", "/"},
    {"RootDirectory", SYSTEMD, FOREIGN_PLAIN, "root_directory: ", "", "/srv/jail"},
    {"PassEnvironment", SYSTEMD, FOREIGN_LIST, "pass_environment: [", "]", "NAME"},
    {"EnvironmentFile", SYSTEMD, FOREIGN_PLAIN, "environment: {NAME: VALUE}", "", NULL},
    {"StandardError", SYSTEMD, FOREIGN_PLAIN, "stderr: log", "", NULL},
    {"StandardInput", SYSTEMD, FOREIGN_PLAIN, "pass: stdio", "", NULL},
    {"SocketMode", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: unix:/path, mode: \"", "\"}]", "0660"},
    {"SocketUser", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: unix:/path, user: ", "}]", "root"},
    {"SocketGroup", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: unix:/path, group: ", "}]", "www-data"},
    {"BindToDevice", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, device: ", "}]", "eth0"},
    {"FileDescriptorName", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, name: ", "}]", "web"},
    {"RuntimeMaxSec", SYSTEMD, FOREIGN_PLAIN, "timeouts: {lifetime: ", "}", "4h"},
    {"TimeoutStartSec", SYSTEMD, FOREIGN_PLAIN, "timeouts: {start: ", "}", "30s"},
    {"TimeoutStopSec", SYSTEMD, FOREIGN_PLAIN, "timeouts: {stop: ", "}", "10s"},
    {"WatchdogSec", SYSTEMD, FOREIGN_PLAIN, "timeouts: {watchdog: ", "}", "30s"},
    {"RestartSec", SYSTEMD, FOREIGN_PLAIN, "restart: {delay: ", "}", "100ms"},
    {"StartLimitBurst", SYSTEMD, FOREIGN_PLAIN, "restart: {limit: ", "/10s}", "5"},
    {"LimitNOFILE", SYSTEMD, FOREIGN_PLAIN, "resources: {nofile: ", "}", "256"},
    {"LimitNPROC", SYSTEMD, FOREIGN_PLAIN, "resources: {processes: ", "}", "64"},
    {"LimitCORE", SYSTEMD, FOREIGN_PLAIN, "resources: {core: ", "}", "0"},
    {"OOMScoreAdjust", SYSTEMD, FOREIGN_PLAIN, "resources: {oom_score_adjust: ", "}", "200"},
    {"MemoryMax", SYSTEMD, FOREIGN_PLAIN, "cgroup: {memory_max: ", "}", "512M"},
    {"MemoryHigh", SYSTEMD, FOREIGN_PLAIN, "cgroup: {memory_high: ", "}", "256M"},
    {"CPUQuota", SYSTEMD, FOREIGN_PLAIN, "cgroup: {cpu_max: ", "}", "50%"},
    {"TasksMax", SYSTEMD, FOREIGN_PLAIN, "cgroup: {pids_max: ", "}", "32"},
    {"IOWeight", SYSTEMD, FOREIGN_PLAIN, "cgroup: {io_weight: ", "}", "100"},
    {"NoNewPrivileges", SYSTEMD, FOREIGN_PLAIN, "sandbox: {no_new_privileges: ", "}", "true"},
    {"CapabilityBoundingSet", SYSTEMD, FOREIGN_LIST, "sandbox: {capabilities: [", "]}", "NET_BIND_SERVICE"},
    {"AmbientCapabilities", SYSTEMD, FOREIGN_LIST, "sandbox: {capabilities: [", "]}", "NET_BIND_SERVICE"},
    {"SystemCallFilter", SYSTEMD, FOREIGN_QUOTED, "sandbox: {seccomp: [\"", "\"]}", "@service"},
    {"SystemCallArchitectures", SYSTEMD, FOREIGN_PLAIN, "sandbox: {seccomp: \"@service\"}", "", NULL},
    {"ProtectSystem", SYSTEMD, FOREIGN_PROTECT, "sandbox: {read_only: [", "]}", "/"},
    {"ProtectHome", SYSTEMD, FOREIGN_PLAIN, "sandbox: {hidden: [/home, /root, /run/user]}", "", NULL},
    {"ProtectKernelModules", SYSTEMD, FOREIGN_PLAIN, "sandbox: {seccomp: [~@module]}", "", NULL},
    {"ProtectClock", SYSTEMD, FOREIGN_PLAIN, "sandbox: {seccomp: [~@clock]}", "", NULL},
    {"RestrictNamespaces", SYSTEMD, FOREIGN_PLAIN, "sandbox: {seccomp: [~@namespaces]}", "", NULL},
    {"ProtectProc", SYSTEMD, FOREIGN_PLAIN, "sandbox: {private_pids: true}", "", NULL},
    {"PrivateTmp", SYSTEMD, FOREIGN_PLAIN, "sandbox: {private_tmp: ", "}", "true"},
    {"PrivateDevices", SYSTEMD, FOREIGN_PLAIN, "sandbox: {devices: minimal}", "", NULL},
    {"PrivateNetwork", SYSTEMD, FOREIGN_PLAIN, "sandbox: {network: none}", "", NULL},
    {"PrivateUsers", SYSTEMD, FOREIGN_PLAIN, "sandbox: {private_users: ", "}", "true"},
    {"PrivatePIDs", SYSTEMD, FOREIGN_PLAIN, "sandbox: {private_pids: ", "}", "true"},
    {"PrivateIPC", SYSTEMD, FOREIGN_PLAIN, "sandbox: {private_ipc: ", "}", "true"},
    {"ProtectHostname", SYSTEMD, FOREIGN_PLAIN, "sandbox: {private_ipc: ", "}", "true"},
    {"ReadOnlyPaths", SYSTEMD, FOREIGN_LIST, "sandbox: {read_only: [", "]}", "/usr"},
    {"ReadWritePaths", SYSTEMD, FOREIGN_LIST, "sandbox: {read_only: [/], read_write: [", "]}", "/srv/data"},
    {"InaccessiblePaths", SYSTEMD, FOREIGN_LIST, "sandbox: {hidden: [", "]}", "/home"},
    {"KeepAlive", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, keepalive: {idle: 2h}}]", "", NULL},
    {"KeepAliveTimeSec", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, keepalive: {idle: ", "}}]",
     "60s"},
    {"KeepAliveIntervalSec", SYSTEMD, FOREIGN_PLAIN,
     "listen: [{endpoint: tcp:PORT, keepalive: {interval: ", "}}]", "10s"},
    {"KeepAliveProbes", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, keepalive: {count: ", "}}]",
     "5"},
    {"NoDelay", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, nodelay: ", "}]", "true"},
    {"Backlog", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, backlog: ", "}]", "4096"},
    {"FreeBind", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:ADDRESS:PORT, freebind: ", "}]", "true"},
    {"Mark", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, mark: ", "}]", "7"},
    {"DeferAcceptSec", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, defer_accept: ", "}]", "5s"},
    {"ReceiveBuffer", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, receive_buffer: ", "}]", "1M"},
    {"SendBuffer", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, send_buffer: ", "}]", "1M"},
    {"ReusePort", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: tcp:PORT, reuse_port: ", "}]", "true"},
    {"BindIPv6Only", SYSTEMD, FOREIGN_PLAIN, "listen: [{endpoint: \"tcp:[::]:PORT\", only_v6: true}]", "",
     NULL},
    {"CPUAffinity", SYSTEMD, FOREIGN_PLAIN, "resources: {cpus: \"", "\"}", "0-3"},
    {"StandardOutput", SYSTEMD, FOREIGN_PLAIN,
     "pass: stdio for the connection; else it goes where stderr says", "", NULL},
    {"DirectoryMode", SYSTEMD, FOREIGN_NONE,
     "leave it out: no directory is made for a socket; tmpfiles.d(5) or RuntimeDirectory= does that", "",
     NULL},
    {"Symlinks", SYSTEMD, FOREIGN_NONE,
     "leave it out: write each path into listen, or make the links by tmpfiles.d(5)", "", NULL},
    {"Writable", SYSTEMD, FOREIGN_NONE, "leave it out: it is for ListenSpecial=, which there is not", "",
     NULL},
    {"FlushPending", SYSTEMD, FOREIGN_NONE, "leave it out: what waits is served by the next process", "",
     NULL},
    {"Priority", SYSTEMD, FOREIGN_NONE,
     "leave it out, or let the service set it (SO_PRIORITY); for nftables there is mark in listen", "", NULL},
    {"Transparent", SYSTEMD, FOREIGN_NONE,
     "there is none: let systemd open the socket, and write listen: systemd:NAME", "", NULL},
    {"TCPCongestion", SYSTEMD, FOREIGN_NONE,
     "there is none: set it by sysctl net.ipv4.tcp_congestion_control or ip-route(8)", "", NULL},
    {"PassCredentials", SYSTEMD, FOREIGN_NONE,
     "leave it out: UNIXREMOTEEUID, UNIXREMOTEEGID and UNIXREMOTEPID tell a process who has connected", "",
     NULL},
    {"Service", SYSTEMD, FOREIGN_NONE,
     "a service says itself what it runs: exec: [PROGRAM]; all stand below services:", "", NULL},
    {"ExecStartPre", SYSTEMD, FOREIGN_NONE,
     "there is none: write exec: [sh, -c, \"COMMAND && exec PROGRAM\"]", "", NULL},
    {"ExecStop", SYSTEMD, FOREIGN_NONE,
     "there is none: a process is sent SIGTERM, and SIGKILL after timeouts: {stop: 10s}", "", NULL},
    {"ExecReload", SYSTEMD, FOREIGN_NONE, "there is none: mpctl kill -s HUP NAME sends a signal", "", NULL},
    {"KillSignal", SYSTEMD, FOREIGN_NONE,
     "leave it out: it is SIGTERM, and SIGKILL after timeouts: {stop: 10s}", "", NULL},
    {"KillMode", SYSTEMD, FOREIGN_NONE,
     "leave it out: SIGKILL goes to the process group, or to all of the control group with cgroup:", "",
     NULL},

    /* compose, process-compose, supervisor, launchd */
    {"command", COMPOSE, FOREIGN_PLAIN, "exec: ", "", "[PROGRAM, ARGUMENTS]"},
    {"entrypoint", COMPOSE, FOREIGN_PLAIN, "exec: ", "", "[PROGRAM, ARGUMENTS]"},
    {"args", COMPOSE, FOREIGN_LIST, "exec: [PROGRAM, ", "]", "ARGUMENTS"},
    {"ports", COMPOSE, FOREIGN_PLAIN, "listen: tcp:PORT", "", NULL},
    {"expose", COMPOSE, FOREIGN_PLAIN, "listen: tcp:PORT", "", NULL},
    {"working_dir", COMPOSE, FOREIGN_PLAIN, "working_directory: ", "", "/"},
    {"env_file", COMPOSE, FOREIGN_PLAIN, "environment: {NAME: VALUE}", "", NULL},
    {"ulimits", COMPOSE, FOREIGN_PLAIN, "resources: {nofile: 256}", "", NULL},
    {"mem_limit", COMPOSE, FOREIGN_PLAIN, "cgroup: {memory_max: ", "}", "512M"},
    {"mem_reservation", COMPOSE, FOREIGN_PLAIN, "cgroup: {memory_high: ", "}", "256M"},
    {"cpus", COMPOSE, FOREIGN_PLAIN, "cgroup: {cpu_max: ", "}", "1.5"},
    {"pids_limit", COMPOSE, FOREIGN_PLAIN, "cgroup: {pids_max: ", "}", "32"},
    {"cap_add", COMPOSE, FOREIGN_LIST, "sandbox: {capabilities: [", "]}", "NET_BIND_SERVICE"},
    {"cap_drop", COMPOSE, FOREIGN_PLAIN, "sandbox: {capabilities: []}, with those to keep", "", NULL},
    {"security_opt", COMPOSE, FOREIGN_PLAIN, "sandbox: {preset: basic}", "", NULL},
    {"privileged", COMPOSE, FOREIGN_PLAIN, "user: root", "", NULL},
    {"tmpfs", COMPOSE, FOREIGN_PLAIN, "sandbox: {private_tmp: true}", "", NULL},
    {"network_mode", COMPOSE, FOREIGN_PLAIN, "sandbox: {network: none}", "", NULL},
    {"replicas", COMPOSE, FOREIGN_PLAIN, "limits: {instances: ", "}", "50"},
    {"deploy", COMPOSE, FOREIGN_PLAIN, "limits: {instances: 50}", "", NULL},
    {"availability", "process-compose's", FOREIGN_PLAIN, "restart: {policy: always}", "", NULL},
    {"processes", "process-compose's", FOREIGN_PLAIN, "services: with a mapping of names", "", NULL},
    {"directory", SUPERVISOR, FOREIGN_PLAIN, "working_directory: ", "", "/"},
    {"numprocs", SUPERVISOR, FOREIGN_PLAIN, "model: pool and pool: {min: ", "}", "2"},
    {"autorestart", SUPERVISOR, FOREIGN_PLAIN, "restart: {policy: always}", "", NULL},
    {"autostart", SUPERVISOR, FOREIGN_PLAIN, "start: now", "", NULL},
    {"stopwaitsecs", SUPERVISOR, FOREIGN_PLAIN, "timeouts: {stop: ", "}", "10s"},
    {"maxretry", "fail2ban's", FOREIGN_PLAIN, "ban: {after: ", "/10m}", "5"},
    {"findtime", "fail2ban's", FOREIGN_PLAIN, "ban: {after: 5/", "}", "10m"},
    {"bantime", "fail2ban's", FOREIGN_PLAIN, "ban: {for: ", "}", "10m"},
    {"ProgramArguments", "launchd's", FOREIGN_PLAIN, "exec: ", "", "[PROGRAM, ARGUMENTS]"},
};

const char *foreign_word(size_t i) {
    return i < ELEMENTS(foreign_words) ? foreign_words[i].word : NULL;
}

#define VALUE_MAX 120

/* The words of @value, @separator between them; false when it has none that could be shown in a line. */
static bool join(const YamlNode *value, const char *separator, Text *out) {
    if (value && value->kind == YAML_SCALAR) {
        bool first = true;
        for (const char *s = value->text; *(s += strspn(s, " \t\n,"));) {
            size_t n = strcspn(s, " \t\n,");
            text_add(out, first ? "" : separator);
            text_add_escaped(out, s, n);
            first = false;
            s += n;
        }
    } else if (value && value->kind == YAML_SEQUENCE) {
        for (size_t i = 0; i < value->n; i++) {
            if (value->items[i]->kind != YAML_SCALAR)
                return false;
            text_add(out, i > 0 ? separator : "");
            text_add_escaped(out, value->items[i]->text, strlen(value->items[i]->text));
        }
    }
    return out->len > 0 && out->len <= VALUE_MAX;
}

/* Whether one of the words of @value is @word. */
static bool has_word(const YamlNode *value, const char *word) {
    CLEANUP_TEXT Text all = {0};
    CLEANUP_TEXT Text one = {0};
    text_addc(&all, ' ');
    bool some = join(value, " ", &all);
    text_addc(&all, ' ');
    text_addf(&one, " %s ", word);
    return some && text_ok(&all) && text_ok(&one) && strcasestr(all.s, one.s);
}

/* One word of only_from: "192.168.0.0" was a network. */
static void put_net(const char *s, size_t n, Text *out) {
    size_t zeros = 0, rest = n;
    while (rest >= 2 && s[rest - 1] == '0' && s[rest - 2] == '.') {
        rest -= 2;
        zeros++;
    }
    if (n == strlen("0.0.0.0") && strncmp(s, "0.0.0.0", n) == 0) {
        text_add(out, "any");
        return;
    }
    text_add_n(out, s, n);
    if (zeros > 0 && s[strspn(s, "0123456789.")] != '/')
        text_addf(out, "/%zu", 32 - 8 * zeros);
}

static bool put_nets(const YamlNode *value, Text *out) {
    CLEANUP_TEXT Text all = {0};
    if (!join(value, " ", &all) || !text_ok(&all) || strchr(all.s, '{'))
        return false;
    for (const char *s = all.s; *s; s += strspn(s, " ")) {
        size_t n = strcspn(s, " ");
        text_add(out, out->len > 0 ? ", " : "");
        put_net(s, n, out);
        s += n;
    }
    return true;
}

static bool put_facts(const YamlNode *value, Text *out) {
    static const struct {
        const char *word, *fact;
    } facts[] = {
        {"PID", "pid"},   {"HOST", "peer"},         {"ATTEMPT", "peer"},    {"USERID", "user"},
        {"EXIT", "exit"}, {"DURATION", "duration"}, {"TRAFFIC", "traffic"},
    };
    for (size_t i = 0; i < ELEMENTS(facts); i++) {
        if (!has_word(value, facts[i].word) || (out->s && strstr(out->s, facts[i].fact)))
            continue;
        text_add(out, out->len > 0 ? ", " : "");
        text_add(out, facts[i].fact);
    }
    return out->len > 0;
}

static bool put_kind(const YamlNode *value, Text *out) {
    if (has_word(value, "TCPMUXPLUS"))
        text_add(out, "tcpmux: +NAME");
    else if (has_word(value, "INTERNAL"))
        text_add(out, "exec: [mp-echo], or another of the mp-* programs");
    else if (!has_word(value, "TCPMUX"))
        text_add(out, "listen: with the port, and nothing for the type");
    return out->len > 0;
}

static bool is_true(const YamlNode *value) {
    static const char *const words[] = {"yes", "true", "on", "1"};
    for (size_t i = 0; value && value->kind == YAML_SCALAR && i < ELEMENTS(words); i++)
        if (strcasecmp(value->text, words[i]) == 0)
            return true;
    return false;
}

/* The value as it is to be written; false: @w's stand-in will do. */
static bool put_value(const ForeignWord *w, const YamlNode *value, Text *out) {
    switch (w->form) {
    case FOREIGN_PLAIN:
        if (!value || value->kind != YAML_SEQUENCE)
            return join(value, " ", out);
        text_addc(out, '[');
        if (!join(value, ", ", out))
            return false;
        text_addc(out, ']');
        return true;
    case FOREIGN_LIST:
        return join(value, ", ", out);
    case FOREIGN_NOT:
        text_add(out, is_true(value) ? "false" : "true");
        return true;
    case FOREIGN_WAIT:
        text_add(out, is_true(value) ? "on-demand and pass: stdio" : "per-connection");
        return true;
    case FOREIGN_ACCEPT:
        text_add(out, is_true(value) ? "per-connection" : "on-demand");
        return true;
    case FOREIGN_CPS:
        if (!value || value->kind != YAML_SCALAR || !*value->text)
            return false;
        text_add_escaped(out, value->text, strcspn(value->text, " \t"));
        text_add(out, "/s");
        return out->len <= VALUE_MAX;
    case FOREIGN_TYPE:
        text_add(out, value && value->kind == YAML_SCALAR && strcasecmp(value->text, "dgram") == 0 ? "udp"
                                                                                                   : "tcp");
        return true;
    case FOREIGN_QUOTED:
        return join(value, "\", \"", out);
    case FOREIGN_NETS:
        return put_nets(value, out);
    case FOREIGN_FACTS:
        return put_facts(value, out);
    case FOREIGN_FLAGS:
        text_add(out, has_word(value, "SENSOR") ? "sensor: true" : "");
        return out->len > 0;
    case FOREIGN_KIND:
        return put_kind(value, out);
    case FOREIGN_PROTECT:
        text_add(out, has_word(value, "strict") ? "/"
                      : has_word(value, "full") ? "/usr, -/boot, -/efi, /etc"
                                                : "/usr, -/boot, -/efi");
        return true;
    case FOREIGN_NONE:
        return false;
    case FOREIGN_MINUTES:
        if (!join(value, " ", out) || !text_ok(out) || out->s[strspn(out->s, "0123456789")] != '\0')
            return false;
        text_addc(out, 'm');
        return true;
    }
    return false;
}

const char *foreign_key(const char *name, const YamlNode *value, Text *hint) {
    for (size_t i = 0; i < ELEMENTS(foreign_words); i++) {
        const ForeignWord *w = &foreign_words[i];
        if (strcasecmp(w->word, name) != 0)
            continue;
        text_addf(hint, "%s%s", w->form == FOREIGN_NONE ? "" : "write: ", w->before);
        CLEANUP_TEXT Text shown = {0};
        if (w->standin)
            text_add(hint, put_value(w, value, &shown) && text_ok(&shown) && shown.s ? shown.s : w->standin);
        text_add(hint, w->after);
        return w->whose;
    }
    return NULL;
}

static const struct {
    const char *path, *value, *hint;
} foreign_values[] = {
    {"model", "wait", "inetd's wait is model: on-demand with pass: stdio"},
    {"model", "nowait", "inetd's nowait is model: per-connection"},
    {"model", "yes", "write model: per-connection or model: on-demand"},
    {"model", "no", "write model: per-connection or model: on-demand"},
    {"model", "prefork", "write model: pool"},
    {"limits.when_full", "queue", "write when_full: wait"},
    {"limits.when_full", "reject", "write when_full: refuse"},
    {"limits.when_full", "close", "write when_full: refuse"},
    {"limits.refuse_with", "reject", "write refuse_with: close"},
    {"limits.refuse_with", "drop", "write refuse_with: close; what is left waiting is when_full: wait"},
    {"limits.refuse_with", "rst", "write refuse_with: reset"},
    {"limits.refuse_with", "refused", "write refuse_with: banner, and the text as banner: {refused: TEXT}"},
    {"stderr", "journal", "write stderr: log"},
    {"stderr", "syslog", "write stderr: log"},
    {"stderr", "null", "write stderr: discard"},
    {"stderr", "none", "write stderr: discard"},
    {"restart.policy", "no", "write policy: never"},
    {"restart.policy", "on-abnormal", "write policy: on-failure"},
    {"restart.policy", "unless-stopped", "write policy: always"},
    {"log.level", "warn", "write level: warning"},
    {"log.level", "notice", "write level: info"},
    {"log.level", "err", "write level: error"},
};

const char *foreign_value(const char *path, const char *value) {
    for (size_t i = 0; i < ELEMENTS(foreign_values); i++)
        if (streq(foreign_values[i].path, path) && strcasecmp(foreign_values[i].value, value) == 0)
            return foreign_values[i].hint;
    return NULL;
}
