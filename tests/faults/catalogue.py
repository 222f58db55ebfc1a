# SPDX-License-Identifier: MIT
"""The catalogue of faults: what each is, the tests that bring it about, and where a user reads what to expect.

docs/faults.md is made of it, and a check sees that it is what is made here, that each test exists and each promise stands
where it is said to stand.

A test is the beginning of its name as run.py of the integration tests writes it (`test_reload.Change`); `unit:daemon-bans`,
`golden:golden` and the like are tests of meson. A promise is `yaml`, `ctl`, `daemon` or `services`, a colon, and a section (in
capitals) or words of that manual page; or a file below docs/. Who promises nothing says so by none."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    id: str
    what: str
    tests: tuple
    promises: tuple = ()


@dataclass(frozen=True)
class Group:
    title: str
    rows: tuple


def row(name, what, tests, *promises):
    return Row(name, what, tuple(tests.split()), promises)


INTRODUCTION = """# What mpinetd survives, and where that is tested

Faults by group and number. Each has a test with the real daemon that brings it about, and then looks at what must hold
after every case: the same daemon lives, has the descriptors of before, hardly more memory, no zombie, no child but its
own, a log that is well formed and was not flooded, counters that add up; and all the while a client of another service,
and one of the control socket, were answered in time (`tests/integration/strain.py`). What takes minutes runs in its long
form when `MP_TEST_SLOW` is 1.

`./dev faults` runs all of them, in their long form, and writes a table of what came of each to `build/faults.txt`;
`./dev faults FD-2 RL` only these, `--quick` the short form. `./dev test` leaves the same table behind, of what it has run.
`./dev faults --sweep` lets each system call and each allocation of the daemon fail in turn (SW).

"Promised in" says where a user reads what to expect: `yaml` is mpinetd.yaml(5), `ctl` mpctl(1), `daemon` mpinetd(8),
`services` mp-services(8). This page is made from `tests/faults/catalogue.py`.
"""

FD = Group("FD: descriptors run out", (
    row("FD-1", "more clients than descriptors: others and the control socket go on, who waits is served",
        "test_faults_fd.FewDescriptors.test_fd_1 test_load.Exhaustion.test_few_descriptors", "daemon: SHORTAGES"),
    row("FD-2", "accept(2) fails for want of descriptors or memory: no spinning, nobody lost, one line",
        "test_faults_fd.Injected.test_fd_2", "daemon: SHORTAGES"),
    row("FD-4", "they run out between accept(2) and exec, at each call", "test_faults_fd.Injected.test_fd_4", "daemon: SHORTAGES"),
    row("FD-5", "not enough to start: refused, with both numbers", "test_faults_fd.FewDescriptors.test_fd_5", "daemon: SHORTAGES"),
    row("FD-7", "processes get the limit that the daemon was started with",
        "test_serving.PerConnection.test_limits_are_those_of_the_daemons_start", "daemon: SHORTAGES"),
    row("FD-8", "2000 listeners, numbers above 1024", "test_faults_fd.FewDescriptors.test_fd_8"),
    row("FD-9", "all descriptors, processes or memory taken: control, reload and stop go on", "test_reserve.Reserve",
        "daemon: SHORTAGES"),
    row("FD-10", "the limit is lowered, and raised again, from outside", "test_faults_fd.FewDescriptors.test_fd_10",
        "daemon: SHORTAGES"),
    row("FD-11", "descriptors that the daemon was started with",
        "test_serving.PerConnection.test_inherited_descriptors_and_signals_stay_out test_faults_dm.Surroundings.test_dm_9"),
))

FK = Group("FK: processes and memory run out", (
    row("FK-1", "a user's processes are used up", "test_faults_fk.Limits.test_fk_1 test_load.Exhaustion.test_no_more_processes",
        "daemon: SHORTAGES"),
    row("FK-2", "a cgroup of few processes: the queue is not burnt through", "test_faults_fk.Limits.test_fk_2", "daemon: SHORTAGES"),
    row("FK-4", "clone(2) fails for long, under load; the same on demand", "test_faults_fk.Injected.test_fk_4", "daemon: SHORTAGES"),
    row("FK-5", "a pool cannot be refilled: tried again with growing delays, who is left serves",
        "test_faults_fk.Injected.test_fk_5 test_faults_ch.Pools.test_fk_05", "daemon: SHORTAGES", "yaml: restart"),
    row("FK-7", "killed on the way to exec, or in it; stopped there",
        "test_faults_fk.Injected.test_fk_7 test_hardening.Stopped", "daemon: SHORTAGES"),
    row("FK-8", "exec that hangs: it keeps one of its service's 16 places, and is ended after five seconds (`exec`, ETIMEDOUT); "
        "the others are served; one that cannot even be killed keeps its place",
        "test_faults_fk.Injected.test_fk_8 test_hardening.Stopped", "daemon: SHORTAGES"),
))

EX = Group("EX: programs that cannot be run", (
    row("EX-1", "the program is missing, a folder, not executable: step, errno and text reach status, log and counters",
        "test_faults_ex.Exec.test_ex_1 test_bad_config.Start.test_program_that_goes_away "
        "test_bad_config.Start.test_missing_program_is_failed", "yaml: exec"),
    row("EX-2", "its interpreter is missing", "test_faults_ex.Exec.test_ex_2 test_bad_config.Start.test_missing_interpreter"),
    row("EX-4", "the program is open for writing: told, and served as soon as it is not", "test_faults_ex.Exec.test_ex_4"),
    row("EX-5", "its folder is gone, or closed for the service's user",
        "test_faults_ex.Exec.test_ex_5 test_bad_config.Start.test_working_directory_that_goes_away", "yaml: working_directory"),
    row("EX-7", "words that are longer than execve(2) takes them, in arguments and environment",
        "test_faults_ex.Exec.test_ex_7"),
    row("EX-8", "limits and priorities that the daemon may not give", "test_faults_ex.Exec.test_ex_8", "yaml: resources"),
    row("EX-9", "users, groups and capabilities by one way for every kind of process", "test_faults_se.Identity", "yaml: user"),
    row("EX-10", "a loop of links, a folder mounted noexec, a set-user-ID program under no_new_privileges",
        "test_faults_ex.Exec.test_ex_10"),
    row("EX-11", "ends with 127 by itself: an end like any other, no failed start", "test_faults_ex.Exec.test_ex_11 test_limits.Exits"),
    row("EX-13", "killed before exec, at any of its steps: died before exec, never a made-up errno; each step that fails",
        "test_faults_ex.Steps test_spawn_modes.Failures test_faults_fk.Injected.test_fk_7", "daemon: SHORTAGES"),
))

CH = Group("CH: children that misbehave", (
    row("CH-1", "a service whose processes crash at once, hundreds a second",
        "test_faults_ch.Ends.test_ch_01 test_load.Load.test_crash_storm test_load.Load.test_killed_at_once", "yaml: resources"),
    row("CH-3", "a process that daemonises: the place is free at its end; what it leaves is reaped where it comes to the daemon "
        "(PID 1, subreaper), and counted in the summary of SIGUSR1",
        "test_faults_ch.Ends.test_ch_03 test_limits.Instances.test_daemonised_child test_limits.Instances.test_a_place_comes_back",
        "daemon: SIGNALS"),
    row("CH-4", "one that ends without reading what woke it: slowed, never given up, the listener not polled meanwhile",
        "test_faults_ch.Ends.test_ch_04 test_on_demand.Polling", "yaml: restart"),
    row("CH-6", "never ready", "test_ready.StartTime.test_not_ready_in_time test_ready.Orders.test_start_fails test_forward.Reached",
        "yaml: timeouts.start"),
    row("CH-7", "closes the status pipe: before it is ready it has failed, after that it merely says no more",
        "test_ready.StatusPipe.test_closed test_report.Report.test_closed_pipe_is_no_death", "yaml: REPORTS"),
    row("CH-9", "garbage on the status pipe: empty, endless, NUL, 0xff, cut off, a byte at a time, READY=1 a million times",
        "test_faults_ch.Words.test_ch_09 test_ready.StatusPipe.test_garbage_is_no_readiness test_ready.SdNotify test_report",
        "yaml: REPORTS"),
    row("CH-10", "status pipe and stderr flooded: who writes is held up, others are served",
        "test_faults_ch.Words.test_ch_10 test_ready.Flood test_report.Report.test_flood", "yaml: stderr"),
    row("CH-12", "forged lines, control characters, words of authority (MAINPID, FDSTORE): text, escaped, and nothing else",
        "test_faults_ch.Words.test_ch_12 test_report.Report.test_authority_is_not_taken test_report.Report.test_escapes_in_status",
        "yaml: REPORTS"),
    row("CH-13", "several write lines longer than a pipe takes in one piece: each process has pipes of its own",
        "test_faults_ch.Words.test_ch_13", "yaml: stderr"),
    row("CH-15", "stopped by itself, by a signal, by a debugger: no end, and no way to stay",
        "test_ready.StartTime.test_stopped_child test_limits.Timeouts.test_stopped_process_is_killed "
        "test_faults_ch.Signals.test_ch_15 test_hardening.Stopped", "yaml: timeouts.stop"),
    row("CH-16", "takes another session, group or user: it is found again; what it left in a session of its own is not reached",
        "test_faults_ch.Signals.test_ch_16 test_limits.Timeouts.test_kill_takes_the_process_group", "yaml: timeouts.stop"),
    row("CH-18", "the number of a process that is gone is given to somebody else, who never gets a signal", "test_faults_ch.Numbers"),
    row("CH-19", "makes all its descriptors non-blocking: the daemon's log and console stay as they were",
        "test_faults_ch.Signals.test_ch_19"),
    row("CH-20", "comes and goes before clone(2) has returned in the daemon; slow wait4(2)", "test_faults_ch.Ends.test_ch_20"),
    row("CH-21", "all workers of a pool hang: no more than *max*, who comes waits in the queue, the watchdog makes room",
        "test_faults_ch.Pools.test_ch_21 test_pool.Lives.test_one_that_hangs test_hostile_worker.Stuck",
        "yaml: MODELS", "yaml: timeouts.watchdog"),
    row("", "a scoreboard that lies, in its own slot or everybody's: nobody but the service is harmed",
        "test_faults_ch.Pools.test_forged unit:daemon-scoreboard"),
    row("", "a scoreboard under RLIMIT_FSIZE", "test_faults_ch.Pools.test_scoreboard_under"),
    row("", "a worker killed under load, stopped, deaf, passed what it never takes", "test_pool.Lives test_hostile_worker", "yaml: MODELS"),
))

CL = Group("CL: clients and the network", (
    row("CL-1", "slow clients fill a service", "test_faults_cl.Connections.test_cl_1_", "yaml: limits.instances"),
    row("CL-3", "half-closed connections", "test_serving.PerConnection.test_half_close"),
    row("CL-4", "idle connections cost no descriptor and next to no memory",
        "test_faults_cl.Connections.test_cl_4_ test_load.Load.test_idle_connections"),
    row("CL-6", "a flood of one source at five times the capacity: at least 99 of 100 others are served",
        "test_faults_cl.Connections.test_cl_6_ test_admission.Balance.test_flood_of_one_source", "yaml: limits.per_source"),
    row("CL-7", "more than the queue holds", "test_faults_cl.Connections.test_cl_7_ test_queue", "yaml: backlog"),
    row("CL-8", "limits of a rate hold back, and service resumes by itself", "test_admission.Rate test_admission.Load",
        "yaml: ADMISSION"),
    row("CL-9", "limits of a source; IPv4 is IPv4 wherever it comes in", "test_admission.PerSource", "yaml: ADMISSION"),
    row("CL-10", "100,000 sources, each in a network of its own: bounded, and IPv4 is not forgotten for it",
        "test_faults_cl.Networks.test_cl_10_ unit:daemon-sources", "yaml: ADMISSION"),
    row("CL-12", "megabytes before anybody reads: nothing is kept in the daemon", "test_faults_cl.Connections.test_cl_12_"),
    row("CL-13", "forged and looping datagrams, empty ones, the largest; no answer longer than its request",
        "test_faults_cl.Datagrams test_faults_cl.Networks.test_cl_13_ test_knock test_services.Datagrams",
        "yaml: ADMISSION", "services: DATAGRAM GUARDS"),
    row("CL-15", "names and users are never looked up for a connection", "test_faults_cl.Names.test_cl_15_", "yaml: access"),
    row("CL-16", "UNIX sockets: user namespaces, a path that is deleted, long ones; abstract names",
        "test_faults_cl.Names.test_cl_16_ test_serving.Echo.test_abstract", "yaml: ENDPOINTS"),
    row("CL-17", "interfaces and addresses that go and come, or are not there", "test_faults_cl.Networks.test_cl_17_"),
    row("", "descriptors passed to a UNIX socket of a service, such as would hold up who closes them; a process that has its "
        "connection linger", "test_hostile_passed.Services test_hostile_passed.Lingerers", "docs/security.md"),
    row("CL-18", "one connection, many waiting workers: few are woken", "test_faults_ch.Pools.test_cl_18", "yaml: MODELS"),
))

CT = Group("CT: the control socket", (
    row("CT-1", "random bytes, NULs, empty lines, nothing at all: the connection is closed, and its place is free",
        "test_control_abuse.Bytes.test_nothing_at_all test_control_abuse.Bytes.test_garbage test_control.Misbehaviour.test_garbage",
        "docs/control.md"),
    row("CT-2", "requests that come in pieces, cut behind every byte, many at once",
        "test_control_abuse.Bytes.test_split test_control_abuse.Bytes.test_random_splits test_control.Methods.test_oneway_and_pipelining"),
    row("CT-3", "64 KiB less and more a byte, and what never ends: refused while it is read",
        "test_control_abuse.Bytes.test_length test_control_abuse.Bytes.test_what_never_ends", "docs/control.md: 64 KiB"),
    row("CT-4", "requests whose replies nobody reads: bounded, and let go in the end",
        "test_control_abuse.Pace.test_many_requests test_control_abuse.Pace.test_reader test_control_abuse.Pace.test_who_does_not_read"),
    row("CT-5", "more connections than there are places: some are kept for managers", "test_control_abuse.Places", "docs/control.md: 64"),
    row("CT-6", "connects and says nothing, or begins and does not go on",
        "test_control_abuse.Pace.test_idle_clients test_control_abuse.Pace.test_a_request_begun test_control_abuse.Pace.test_a_byte",
        "docs/control.md: 30"),
    row("CT-7", "goes while something is done for it: that is done, and the place is free at once",
        "test_control_abuse.Leaving test_control.Misbehaviour.test_client_that_goes_away"),
    row("CT-9", "nested 15, 16, 17 and a million deep", "test_control_abuse.Bytes.test_depth", "docs/control.md: 16"),
    row("CT-10", "what is JSON and what is not: a table of what is taken and refused, nothing cut at a NUL",
        "test_control_abuse.Bytes.test_what_is_json unit:ctl-decode"),
    row("CT-12", "each method with parameters that are missing, too many, of a wrong type: generated from the introspection",
        "test_control_abuse.Parameters.test_wrong_ones test_control_abuse.Parameters.test_parameters_that"),
    row("CT-13", "names of services that look like paths, are empty, huge, hold controls",
        "test_control_abuse.Parameters.test_names"),
    row("CT-14", "methods that are not there; everything described is there",
        "test_control_abuse.Parameters.test_methods test_control_abuse.Parameters.test_everything"),
    row("CT-15", "each method as a stranger, as a manager by uid and by group, and as root",
        "test_control_access.Table test_control_access.OwnUser test_control.Credentials", "yaml: control.manage", "docs/control.md"),
    row("CT-16", "owner and mode of the socket from the first moment, after a reload; root of another name space; nothing on the "
        "network", "test_control_access.Node.test_mode test_control_access.Node.test_nothing_on_the_network "
        "test_control_access.Table.test_root_of_a_name_space test_control_access.OwnUser.test_of_a_name_space", "yaml: control.mode"),
    row("CT-17", "never a signal to a process that is not the daemon's", "test_signal_set.Signal.test_never"),
    row("CT-18", "descriptors that are smuggled in, such as would hold up who closes them among them",
        "test_control_abuse.Leaving.test_smuggled_descriptors test_control.Misbehaviour.test_descriptors_that_are_sent "
        "test_hostile_passed unit:daemon-discard"),
    row("CT-19", "who a connection belongs to was settled when it was opened",
        "test_control.Credentials.test_credentials_are_those_of_connecting test_control_access.Table.test_rights"),
    row("CT-21", "what else may stand at the socket's path: links, files, live sockets, folders of others: refused, never removed",
        "test_control_access.Node test_control.Socket", "daemon: WHEN IT IS KILLED"),
    row("CT-23", "who puts other things at the path while daemons start and end",
        "test_control_access.Node.test_race_for_the_path test_control_access.Node.test_replaced_while_it_runs"),
    row("", "calls that cost the daemon more than the client; calls of one who may not, by the thousand",
        "test_control_abuse.Work test_control_abuse.Refused"),
))

CF = Group("CF: the config", (
    row("CF-1", "syntax errors, and every beginning of a config: a place, never a crash",
        "test_faults_cf.Text.test_cf_1 test_bad_config.Check.test_truncated_anywhere golden:golden", "yaml: DIAGNOSTICS"),
    row("CF-2", "bombs of aliases, loops of anchors and merge keys: refused at once; sound ones work",
        "test_faults_cf.Text.test_cf_2 test_bad_config.Check.test_bombs test_config_child.Spoilt.test_bombs unit:conf-yaml", "yaml: FILES OF A CONFIG"),
    row("CF-4", "a key twice, at each level: both places", "test_faults_cf.Keys.test_cf_4 golden:golden", "yaml: DIAGNOSTICS"),
    row("CF-5", "unknown and misspelt keys, words of other programs: refused, with the word that was meant",
        "test_bad_config.Check.test_did_you_mean test_bad_config.Check.test_every_mistake golden:golden", "yaml: DIAGNOSTICS"),
    row("CF-7", "NUL, what is no UTF-8, UTF-16, a byte order mark, line ends of others", "test_faults_cf.Text.test_cf_7"),
    row("CF-8", "empty, only comments, several documents, 50 MB, a gigabyte, a FIFO, a folder, /dev/zero: bounded",
        "test_faults_cf.Files.test_cf_8 test_config_child.Spoilt", "yaml: FILES OF A CONFIG"),
    row("CF-9", "numbers out of range, units, and what wraps around", "unit:conf-value golden:golden"),
    row("CF-10", "one endpoint twice, in each of its guises: both lines",
        "test_faults_cf.Keys.test_cf_10 golden:golden unit:conf-validate", "yaml: ENDPOINTS"),
    row("CF-11", "files that cannot be read; control sockets in folders that others can write",
        "test_faults_cf.Files.test_cf_11 test_control_access.Node.test_folder"),
    row("CF-13", "folders of includes: files that vanish, of other names, by the hundred, replaced half-way",
        "test_faults_cf.Files.test_cf_13 test_reload_plan.Coalesced.test_file_replaced_half_way", "yaml: include"),
    row("CF-14", "ten thousand services", "test_reload_load.Big test_parts.Services.test_thousand_is_quick"),
    row("CF-15", "a user data base that hangs", "test_config_child.Ended.test_user_data_base_hangs test_look_again", "daemon: SIGNALS"),
    row("CF-16", "each key of the reference in a config that is taken and in one that is refused",
        "test_faults_cf.Keys.test_cf_16"),
    row("", "the helper that reads the config is killed, stopped, fed a bomb", "test_config_child", "daemon: SIGNALS"),
))

RL = Group("RL: reloads", (
    row("RL-1", "reloads under load, with connections that live through all of them",
        "test_never_lost.Reloads test_reload.UnderLoad", "docs/reliability.md"),
    row("RL-3", "a port that is taken, not allowed, of an address that is not there, at each place of the list: nothing has changed",
        "test_reload_plan.AllOrNothing.test_each_place_in_the_list", "ctl: reload"),
    row("RL-4", "a service is removed while it has connections: who waits is served, who is there goes on",
        "test_reload_plan.AllOrNothing.test_removed_with_connections test_reload.Change", "ctl: reload"),
    row("RL-5", "a reload behind one that failed", "test_sweep.EachCall.test_rl_7 test_reload.ComesBack"),
    row("RL-6", "fifty callers, storms of HUP, while one is under way; a file that is replaced half-way",
        "test_reload_plan.Coalesced test_reload_load.Many.test_storm_of_hup_under_load", "ctl: reload"),
    row("RL-7", "each system call fails in turn: all of the new config is in force, or all of the old one", "test_sweep.EachCall.test_rl_7",
        "docs/reliability.md"),
    row("RL-8", "datagrams in the queue of a socket that stays", "test_reload_load.Many.test_datagrams "
        "test_forward.DatagramsOverReload.test_nothing_is_lost"),
    row("RL-9", "a thousand reloads: no descriptor, no memory, no mapping more", "test_reload_load.Many.test_nothing_is_left"),
    row("RL-10", "connections that never end, through many generations", "test_reload_load.Many.test_connections_that_never_end"),
))

DM = Group("DM: the daemon's own life, and its surroundings", (
    row("DM-1", "killed outright at any instant, in a start or a reload as well, and started again at once",
        "test_faults_dm.Killed.test_dm_1_", "daemon: WHEN IT IS KILLED"),
    row("DM-2", "killed with processes of each kind: those of connections go on, workers are told, none that listens gets a second "
        "one beside it, its place is taken within a second of its end; under a service manager they are adopted, and counted once",
        "test_faults_dm.Killed.test_dm_2_ test_signals.Signals.test_killed_daemon_leaves test_adoption "
        "test_systemd.Systemd.test_sessions unit:daemon-ledger", "daemon: WHEN IT IS KILLED", "docs/systemd.md"),
    row("DM-3", "told to end twice; a reload does not take it back", "test_signals.Signals.test_second_term_kills "
        "test_faults_dm.ToldToEnd.test_dm_5_", "daemon: SIGNALS"),
    row("DM-4", "told to end at any instant of its start: no node, no socket is left", "test_faults_dm.ToldToEnd.test_dm_4_"),
    row("DM-5", "HUP while it drains", "test_faults_dm.ToldToEnd.test_dm_5_"),
    row("DM-7", "the wall clock jumps by days, to 1970, past 2038; another time since boot", "test_faults_dm.Clock",
        "daemon: WHEN IT IS KILLED"),
    row("DM-8", "stopped for long, alone or with its processes: clients wait, nobody is ended for having been silent",
        "test_faults_dm.Stopped test_signals.Signals.test_stop_and_continue", "daemon: WHEN IT IS KILLED"),
    row("DM-9", "started without descriptors 0 to 2, or with fifty more", "test_faults_dm.Surroundings.test_dm_9_"),
    row("DM-10", "first process of a PID namespace: orphans, signals, its end, its health", "test_pid_one.PidOne", "daemon: SIGNALS",
        "docs/containers.md"),
    row("DM-11", "a log on a full disk, a full device, to nobody, to a reader that stops", "test_faults_dm.Log unit:daemon-sink",
        "daemon: WHEN IT IS KILLED"),
    row("DM-13", "no folder to be in, no /proc, an empty /dev, a read-only root, no users, no close_range(2)",
        "test_faults_dm.Surroundings.test_dm_13_"),
    row("DM-14", "limits of file size, stack, processor time and others",
        "test_faults_dm.Surroundings.test_dm_14_ test_faults_ch.Pools.test_scoreboard_under"),
    row("DM-16", "a second daemon with the same socket", "test_faults_dm.Killed.test_dm_16_", "daemon: WHEN IT IS KILLED"),
    row("", "an environment of a megabyte", "test_faults_dm.Surroundings.test_huge_environment"),
))

UP = Group("UP: upgrades in place", (
    row("UP-1", "upgrades under load, with connections of every kind that live through them, and a follower of the events",
        "test_upgrade.UnderLoad.test_nobody_notices test_never_lost.Upgrades test_handover_", "daemon: UPGRADE"),
    row("UP-3", "a new program that is missing, not executable, a text, for another machine, no mpinetd, crashes, hangs: the old "
        "one goes on, and says why. One that crashes or hangs after it has proven itself ends the daemon, which is a known "
        "limit: its supervisor starts it again", "test_upgrade.Refused", "daemon: UPGRADE"),
    row("UP-4", "a config with errors: refused, with the errors", "test_upgrade.Refused.test_config_with_errors", "daemon: UPGRADE"),
    row("UP-6", "each call between the request and execve(2) fails: taken back, or done in spite of it; the next upgrade is like any "
        "other", "test_sweep.EachCall.test_up_6", "daemon: UPGRADE"),
    row("UP-7", "deaths, words, requests, connections and signals in the middle of execve(2)", "test_upgrade.Window.test_what_comes "
        "test_upgrade.Window.test_term", "daemon: UPGRADE"),
    row("UP-8", "a state of an earlier version", "test_handover_versions", "daemon: UPGRADE"),
    row("UP-9", "a state that is cut off, changed anywhere, of another format, with wrong descriptors; one that turns out to be bad "
        "after execve(2)", "test_upgrade_state test_upgrade.LastResort fuzz:fuzz-blob"),
    row("UP-10", "texts of processes that look like fields", "test_upgrade.Upgrade.test_text_that_looks_like_something"),
    row("UP-12", "2000 endpoints, 5000 processes: a pause of less than a second",
        "test_upgrade.UnderLoad.test_many_endpoints_and_processes", "daemon: UPGRADE"),
    row("UP-13", "during a drain, with reloads, many at once, again after one that failed, while the daemon is told to stop",
        "test_upgrade.Order test_upgrade.Refused.test_stop_while_it_is_proven", "daemon: UPGRADE"),
))

SY = Group("SY: the service manager", (
    row("SY-1", "passed sockets, by address and name; a real systemd: start, reload, watchdog, restarts under load",
        "test_activation test_systemd", "daemon: SYSTEMD"),
    row("SY-2", "what it is told, in its order; one that does not read, is not there, is gone or comes back: nobody waits for it",
        "test_fd_store unit:daemon-fd-store", "daemon: SYSTEMD"),
    row("SY-3", "what it kept comes back shuffled, twice, with one missing and one unknown, or for another config",
        "test_fd_store.FdStore.test_shuffled test_fd_store.FdStore.test_another_config", "docs/systemd.md"),
    row("", "it keeps nothing, or not all: said once, and a stop cleans up as without it",
        "test_fd_store.FdStore.test_who_keeps_nothing test_systemd.Systemd.test_small_store", "docs/systemd.md"),
))

SE = Group("SE: what a process gets, and what it cannot do", (
    row("SE-1", "ids, groups, capabilities of each kind of process, for each kind of user; the daemon's own capabilities stay its own",
        "test_faults_se.Identity test_serving.PerConnection.test_user", "yaml: user"),
    row("SE-2", "the descriptors that are declared, and no others", "test_faults_se.Inherited.test_se_2_", "yaml: MODELS"),
    row("SE-3", "umask and folder", "test_serving.PerConnection.test_umask_and_folder", "yaml: umask"),
    row("SE-4", "nothing of the daemon's environment", "test_faults_se.Inherited.test_se_4_ test_hardening.Environment",
        "yaml: environment"),
    row("SE-5", "signals at their default, whatever the daemon was started with", "test_faults_se.Inherited.test_se_5_"),
    row("SE-7", "services of two users: neither reaches the other, one that is set up ahead, or the daemon", "test_faults_se.Apart"),
    row("SE-8", "what is installed, and what listens then", "test_faults_se.Installed"),
))

LG = Group("LG: the log", (
    row("LG-1", "control characters, forged lines, what is no UTF-8, lines without an end: one event is one line, in each format, and "
        "in all that mpctl shows", "test_faults_lg.Log.test_lg_1_ test_faults_ch.Words.test_ch_12", "daemon: LOG"),
    row("LG-2", "very many identical errors: told seldom, and counted; a chatty process; a file that must not grow",
        "test_faults_lg.Log.test_lg_2_", "daemon: LOG"),
))

SW = Group("SW: each call and each allocation fails in turn", (
    row("SW-1", "one system call of a start, a connection, a report, a question, a reload, an upgrade or a stop fails, each with each "
        "errno that it has; a sample by `./dev test`, all by `./dev faults --sweep`",
        "test_sweep.Calls test_sweep.EachCall test_spawn_modes.Failures"),
    row("SW-2", "one allocation of the daemon fails, each in turn", "test_sweep.Allocations unit:daemon-out-of-memory"),
))

GROUPS = (FD, FK, EX, CH, CL, CT, CF, RL, DM, UP, SY, SE, LG, SW)


def rows():
    return [r for group in GROUPS for r in group.rows]
