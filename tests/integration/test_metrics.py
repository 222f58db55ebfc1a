# SPDX-License-Identifier: MIT
"""Metrics: text that Prometheus' own tool finds nothing in, every series there from the start, counters that move and
agree with Status, and no peer in a label."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest

from harness import DaemonTest, exchange, need_program, need_root, program, sanitizer_environment, wait_until

SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')

REASONS = ("access", "hours", "load", "rate", "instances", "rate_per_source", "per_source", "banned", "proxy")
RESULTS = ("ok", "failed", "signaled", "timeout", "unknown")
STEPS = ("limit", "fork", "fds", "session", "rlimits", "priority", "cgroup", "namespaces", "root_directory",
         "working_directory", "groups", "user", "sandbox", "exec")
STATES = ("disabled", "listening", "paused", "active", "full", "throttled", "starting", "draining", "backoff", "failed",
          "stopped")
CAUSES = ("refusals", "failures", "reported", "sensor")
# Of each service, by labels beside its name.
SERVICE_SERIES = {
    "mpinetd_service_state": ("state", STATES),
    "mpinetd_connections_accepted_total": None,
    "mpinetd_connections_refused_total": ("reason", REASONS),
    "mpinetd_connections_gone_total": None,
    "mpinetd_backlog_connections": None,
    "mpinetd_backlog_limit": None,
    "mpinetd_bans_total": ("cause", CAUSES),
    "mpinetd_instances": None,
    "mpinetd_instances_limit": None,
    "mpinetd_spawns_total": None,
    "mpinetd_spawn_failures_total": ("step", STEPS),
    "mpinetd_exits_total": ("result", RESULTS),
    "mpinetd_restarts_total": None,
    "mpinetd_requests_total": None,
    "mpinetd_report_errors_total": None,
    "mpinetd_cgroup_oom_kills_total": None, "mpinetd_cgroup_pids_limited_total": None,
    "mpinetd_spawn_delay_seconds_sum": None,
    "mpinetd_spawn_delay_seconds_count": None,
    "mpinetd_instance_duration_seconds_sum": None,
    "mpinetd_instance_duration_seconds_count": None,
}
DAEMON_SERIES = (
    "mpinetd_config_generation", "mpinetd_config_last_reload_successful",
    "mpinetd_config_last_reload_success_timestamp_seconds", "mpinetd_control_clients", "mpinetd_events_missed_total",
    "mpinetd_interpreter_restarts_total",
    "mpinetd_bans", "mpinetd_bans_dropped_total", "mpinetd_sources", "mpinetd_sources_evicted_total",
    "mpinetd_sources_failed_total",
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds",
    "process_max_fds", "process_start_time_seconds")


def parse(text):
    """{(name, ((label, value), …)): number}"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        key = (name, tuple(sorted((k, re.sub(r'\\(.)', lambda m: "\n" if m[1] == "n" else m[1], v))
                                  for k, v in LABEL.findall(labels or ""))))
        if key in found:
            raise AssertionError(f"twice: {line}")
        found[key] = float(value)
    return found


class MetricsTest(DaemonTest):
    def setUp(self):
        self.d = self.daemon({"services": {
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]},
            "one": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "limits": {"instances": 1, "when_full": "refuse"}},
            "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]},
            "broken": {"listen": "tcp:127.0.0.1:0", "exec": ["{dir}/script"]},
            "off": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "enabled": False}}}, wait=None)
        with open(self.d.path("script"), "w", encoding="utf-8") as script:
            script.write("#!/no/such/interpreter\n")
        os.chmod(self.d.path("script"), 0o755)
        self.d.start()

    def scrape(self):
        return parse(self.d.call("Metrics")["metrics"])

    def value(self, name, **labels):
        return self.scrape()[(name, tuple(sorted(labels.items())))]

    def use_it(self):
        for _ in range(5):
            self.d.ask("echo", b"x")
        with self.d.dial("one") as held:
            held.sendall(b"x")
            held.recv(1)
            for _ in range(3):
                self.assertEqual(self.d.ask("one", b"x"), b"")
            os.kill(self.d.instances("one")[0]["pid"], signal.SIGKILL)
            self.d.wait_idle("one")
        for _ in range(2):
            self.d.ask("broken")
        with self.d.dial("udp") as s:
            s.send(b"x")
            s.recv(10)
        wait_until(lambda: self.d.service("udp")["requests"] == 1, "the report")
        for name in ("echo", "one", "broken"):
            self.d.wait_idle(name)


class Series(MetricsTest):
    def test_all_from_the_start(self):
        found = self.scrape()
        wanted = {(name, ()) for name in DAEMON_SERIES}
        for service in ("broken", "echo", "off", "one", "udp"):
            own = ("service", service)
            for name, label in SERVICE_SERIES.items():
                for value in label[1] if label else (None,):
                    wanted.add((name, tuple(sorted([own] + ([(label[0], value)] if label else [])))))
        version = self.d.call("Ping")["version"]
        wanted.add(("mpinetd_build_info", (("version", version),)))
        buckets = {key for key in found if key[0].endswith("_bucket")}
        self.assertEqual(set(found) - buckets, wanted)
        self.assertEqual(found[("mpinetd_build_info", (("version", version),))], 1)
        for (name, _), number in found.items():
            if name.startswith("mpinetd_") and name.endswith("_total"):
                self.assertEqual(number, 0, name)
        # And the same when they have moved, but for what a process reports of itself.
        self.use_it()
        self.assertEqual({key for key in self.scrape() if key[0] != "mpinetd_reported"}, set(found))

    def test_they_agree_with_status(self):
        self.use_it()
        found = self.scrape()
        for s in self.d.status()["services"]:
            def one(name, **labels):
                return found[(name, tuple(sorted({"service": s["name"], **labels}.items())))]
            self.assertEqual(one("mpinetd_connections_accepted_total"), s["accepted"])
            self.assertEqual(one("mpinetd_connections_gone_total"), s["gone"])
            self.assertEqual(one("mpinetd_spawns_total"), s["spawned"])
            self.assertEqual(one("mpinetd_restarts_total"), s["restarts"])
            self.assertEqual(one("mpinetd_requests_total"), s["requests"])
            self.assertEqual(one("mpinetd_report_errors_total"), s["report_errors"])
            self.assertEqual(one("mpinetd_instances"), s["active"])
            self.assertEqual(one("mpinetd_instances_limit"), s["instances_limit"])
            self.assertEqual(one("mpinetd_backlog_connections"), s["queued"])
            self.assertEqual(one("mpinetd_backlog_limit"), sum(listener["backlog"] for listener in s["listeners"]))
            self.assertEqual({r: one("mpinetd_connections_refused_total", reason=r) for r in REASONS}, s["refused"])
            self.assertEqual({r: one("mpinetd_exits_total", result=r) for r in RESULTS}, s["exited"])
            self.assertEqual(sum(one("mpinetd_spawn_failures_total", step=x) for x in STEPS), s["spawn_failed"])
            self.assertEqual({x: one("mpinetd_service_state", state=x) for x in STATES},
                             {x: float(x == s["state"]) for x in STATES})
            self.assertEqual(one("mpinetd_spawn_delay_seconds_count"), s["spawned"])
            self.assertEqual(one("mpinetd_instance_duration_seconds_count"), sum(s["exited"].values()))
        self.assertEqual(self.value("mpinetd_connections_refused_total", service="one", reason="instances"), 3)
        self.assertEqual(self.value("mpinetd_exits_total", service="one", result="signaled"), 1)
        self.assertEqual(self.value("mpinetd_spawn_failures_total", service="broken", step="exec"), 2)
        self.assertEqual(self.value("mpinetd_exits_total", service="echo", result="ok"), 5)

    def test_histograms(self):
        self.use_it()
        found = self.scrape()
        for name in ("mpinetd_spawn_delay_seconds", "mpinetd_instance_duration_seconds"):
            buckets = sorted((float(dict(labels)["le"].replace("+Inf", "inf")), n) for (full, labels), n in found.items()
                             if full == name + "_bucket" and dict(labels)["service"] == "echo")
            self.assertGreater(len(buckets), 10)
            self.assertEqual([n for _, n in buckets], sorted(n for _, n in buckets), "cumulative")
            self.assertEqual(buckets[-1], (float("inf"), 5))
            self.assertGreater(found[(name + "_sum", (("service", "echo"),))], 0)
            self.assertLess(found[(name + "_sum", (("service", "echo"),))], 60)

    def test_of_the_daemon(self):
        before = self.scrape()
        with open(f"/proc/{self.d.pid}/stat", encoding="utf-8", errors="replace") as stat:
            ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
        with open("/proc/stat", encoding="utf-8") as stat:
            boot = next(int(line.split()[1]) for line in stat if line.startswith("btime"))
        self.assertAlmostEqual(before[("process_start_time_seconds", ())], boot + ticks / os.sysconf("SC_CLK_TCK"), delta=2)
        self.assertAlmostEqual(before[("process_open_fds", ())], len(os.listdir(f"/proc/{self.d.pid}/fd")), delta=3)
        self.assertGreater(before[("process_resident_memory_bytes", ())], 1 << 20)
        self.assertGreater(before[("process_virtual_memory_bytes", ())], before[("process_resident_memory_bytes", ())])
        self.assertEqual(before[("mpinetd_control_clients", ())], 1)
        with self.d.connect(), self.d.connect():
            self.assertEqual(self.value("mpinetd_control_clients"), 3)
        self.use_it()
        self.assertGreater(self.value("process_cpu_seconds_total"), before[("process_cpu_seconds_total", ())])

    def test_of_sources_and_bans(self):
        """They count who is known, never who that is."""
        self.d.write_config({"services": {
            "trap": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "sensor": True},
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        self.d.call("Reload")
        self.d.ask("echo", b"x")
        self.assertEqual(self.value("mpinetd_sources"), 1)
        for source in ("127.0.0.77", "127.0.0.78", "127.0.0.77"):
            with socket.create_connection(("127.0.0.1", self.d.port("trap")), 10, (source, 0)) as s:
                self.assertEqual(exchange(s, b""), b"")
        self.assertEqual(self.value("mpinetd_bans"), 2)
        self.assertEqual(self.value("mpinetd_bans_total", service="trap", cause="sensor"), 2)
        self.assertEqual(self.value("mpinetd_bans_total", service="echo", cause="sensor"), 0)
        self.assertEqual(self.value("mpinetd_sources"), 3)
        self.d.call("Unban", prefix="any")
        self.assertEqual(self.value("mpinetd_bans"), 0)
        self.assertEqual(self.value("mpinetd_bans_total", service="trap", cause="sensor"), 2)
        self.assertNotIn("127.0.0.7", self.d.call("Metrics")["metrics"])

    def test_reloads(self):
        self.assertEqual((self.value("mpinetd_config_generation"), self.value("mpinetd_config_last_reload_successful")),
                         (1, 1))
        name = "mpinetd_config_last_reload_success_timestamp_seconds"
        first = self.value(name)
        self.assertAlmostEqual(first, time.time(), delta=60)
        self.d.call("Reload")
        second = self.value(name)
        self.assertGreater(second, first)
        self.d.write_config("version: 1\nnonsense: 7\n")
        os.kill(self.d.pid, signal.SIGHUP)
        wait_until(lambda: self.value("mpinetd_config_last_reload_successful") == 0, "the failed reload")
        self.assertEqual((self.value(name), self.value("mpinetd_config_generation")), (second, 2))

    def test_a_service_that_goes_takes_its_series_along(self):
        self.d.write_config({"services": {"new": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        self.d.call("Reload")
        # They are there for as long as somebody may be on the way to it.
        wait_until(lambda: {dict(labels)["service"] for _, labels in self.scrape() if "service" in dict(labels)} == {"new"},
                   "the others to go")


class Text(MetricsTest):
    @need_program("promtool")
    def test_prometheus_finds_nothing(self):
        for used in (False, True):
            if used:
                self.use_it()
            text = self.d.call("Metrics")["metrics"]
            run = subprocess.run([program("promtool"), "check", "metrics"], input=text, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual((run.returncode, run.stdout), (0, ""))

    def test_blocks(self):
        """HELP, TYPE and the samples of a family, and no family twice."""
        current, seen = None, set()
        for line in self.d.call("Metrics")["metrics"].splitlines():
            if line.startswith("# HELP "):
                current = line.split()[2]
                self.assertNotIn(current, seen)
                seen.add(current)
            elif line.startswith("# TYPE "):
                self.assertEqual(line.split()[2], current)
            else:
                self.assertRegex(line.split("{")[0].split(" ")[0], f"^{current}(_bucket|_sum|_count)?$")

    def test_no_peer(self):
        self.use_it()
        text = self.d.call("Metrics")["metrics"]
        self.assertNotIn("127.0.0.1", text)
        self.assertNotRegex(text, "uid:|peer|source=")

    def test_mpctl(self):
        text = self.d.mpctl("metrics", check=0).stdout
        self.assertEqual(set(parse(text)), set(self.scrape()))
        self.assertTrue(text.endswith("\n"))

    @need_root
    def test_as_nobody(self):
        os.chmod(self.d.socket, 0o666)
        copy = self.d.path("mpctl")
        shutil.copy(os.path.join(os.environ["BUILD_DIR"], "ctl", "mpctl"), copy)
        run = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "-s", self.d.socket,
                              "metrics"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                             env={"PATH": os.environ["PATH"], **sanitizer_environment()})
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(set(parse(run.stdout)), set(self.scrape()))


class Reported(DaemonTest):
    def test_what_processes_say_of_themselves(self):
        d = self.daemon({"services": {"s": {
            "listen": "unix:{dir}/s.sock", "report": True, "model": "per-connection", "pass": "stdio",
            "exec": ["/bin/sh", "-c", 'printf "X_TEMPERATURE=1.5\\nX_ODD=7\\nnonsense\\nREQUESTS=4\\n" >&"$MP_STATUS_FD"; '
                                      'exec cat']}}})
        held = [d.dial("s") for _ in range(3)]
        try:
            def reported():
                found = parse(d.call("Metrics")["metrics"])
                return {dict(k[1])["name"]: v for k, v in found.items() if k[0] == "mpinetd_reported"}
            wait_until(lambda: reported() == {"TEMPERATURE": 4.5, "ODD": 21}, "the sums")
            found = parse(d.call("Metrics")["metrics"])
            self.assertEqual(found[("mpinetd_report_errors_total", (("service", "s"),))], 3)
            self.assertEqual(found[("mpinetd_requests_total", (("service", "s"),))], 12)
        finally:
            for s in held:
                s.close()
        d.wait_idle("s")
        self.assertEqual(reported(), {})


if __name__ == "__main__":
    unittest.main()
