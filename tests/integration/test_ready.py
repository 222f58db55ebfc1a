# SPDX-License-Identifier: MIT
"""Readiness and watchdog: what a process says of itself decides, by status pipe or by sd_notify's socket."""
import os
import signal
import socket
import threading
import time
import unittest

from harness import DaemonTest, User, VarlinkError, children_of, cpu_seconds, need_root, process_state, stays, user_of, \
    wait_until

# Speaks sd_notify without a library: each argument is one datagram; "sleep:N" waits so many milliseconds, "go" for
# the file of that name, "fork:TEXT" has a child send it, "env" writes what it was told to stderr. Then it waits to be
# told to end.
NOTIFY = """
import os, signal, socket, sys, time
name = os.environ.get("NOTIFY_SOCKET", "")
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if name:
    s.connect("\\0" + name[1:] if name[0] == "@" else name)
for word in sys.argv[1:]:
    if word == "env":
        names = "NOTIFY_SOCKET", "WATCHDOG_USEC", "MP_STATUS_FD"
        print(*(f"{k}={os.environ.get(k)}" for k in names), file=sys.stderr, flush=True)
    elif word == "go":
        while not os.path.exists(os.path.join(os.path.dirname(sys.argv[0]), "go")):
            time.sleep(0.02)
    elif word.startswith("sleep:"):
        time.sleep(int(word[6:]) / 1000)
    elif word.startswith("exit:"):
        os._exit(int(word[5:]))
    elif word.startswith("fork:"):
        if os.fork() == 0:
            s.send(word[5:].encode())
            os._exit(0)
        os.wait()
    elif word.startswith("fds:"):
        read, write = os.pipe()
        for _ in range(int(word[4:])):
            socket.send_fds(s, [b"FDSTORE=1"], [read, write] * 100)
    elif word.startswith("beat:"):
        while True:
            s.send(b"WATCHDOG=1")
            time.sleep(int(word[5:]) / 1000)
    else:
        s.send(word.encode().decode("unicode_escape").encode("latin-1"))
while True:
    signal.pause()
"""

TIMES = {"start": "30s", "stop": "5s"}


class ReadyTest(DaemonTest):
    def start(self, *child, notify="sd_notify", timeouts=None, wait=True, **service):
        exec_ = list(child) if child and child[0].startswith("{") else ["/usr/bin/python3", "{dir}/notify.py", *child]
        service = {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "notify": notify, "exec": exec_,
                   "timeouts": {**TIMES, **(timeouts or {})}, **service}
        if service["model"] == "on-demand":
            service.setdefault("start", "now")
        folder = self.temporary_folder()
        with open(os.path.join(folder, "notify.py"), "w", encoding="utf-8") as file:
            file.write(NOTIFY)
        return self.daemon({"services": {"s": service, "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}},
                           folder=folder, wait=wait)

    @staticmethod
    def go(d):
        """What waits for it goes on."""
        with open(d.path("go"), "w", encoding="utf-8"):
            pass

    def logged(self, d, **wanted):
        return [e for e in d.log() if all(e.get(k) == v for k, v in wanted.items())]


class SdNotify(ReadyTest):
    def test_ready(self):
        d = self.start("env", "go", "READY=1\\nSTATUS=warm")
        self.assertEqual(d.service("s")["state"], "starting")
        self.assertEqual(d.instances("s")[0]["state"], "starting")
        self.go(d)
        service = d.wait_service("s", state="active")
        self.assertEqual(service["status"], "warm")
        self.assertEqual(d.instances("s")[0]["state"], "running")
        self.assertEqual(service["report_errors"], 0)
        self.assertEqual(len(self.logged(d, event="ready", service="s")), 1)

    def test_words_of_systemd_are_nothing_to_us(self):
        victim = os.getpid()
        d = self.start(f"MAINPID={victim}\\nREADY=1", "FDSTORE=1\\nFDNAME=x", "BARRIER=1", "EXTEND_TIMEOUT_USEC=5",
                       "REQUESTS=3\\nACTIVE=2")
        d.wait_service("s", state="active", requests=3)
        self.assertEqual(d.service("s")["report_errors"], 0)
        self.assertNotEqual(d.instances("s")[0]["pid"], victim)
        d.call("Stop", services=["s"])

    def test_malformed_datagrams_are_counted(self):
        d = self.start("", "\\n", "x", "=", "\\0\\0", "\\xff\\xfe=1", "ready=1", "READY=0", "READY=1", "STATUS=fine")
        service = d.wait_service("s", state="active", status="fine")
        self.assertEqual(service["report_errors"], 8)
        self.assertEqual(d.ask("canary", b"x"), b"x")

    def test_descriptors_that_come_along_are_closed(self):
        d = self.start("READY=1", "fds:200", "STATUS=done")
        d.wait_service("s", status="done")
        count = len(os.listdir(f"/proc/{d.pid}/fd"))
        self.assertLess(count, 60)

    def test_a_child_of_it_may_say_so(self):
        d = self.start("fork:READY=1", "fork:STATUS=of a child")
        d.wait_service("s", state="active", status="of a child")
        self.assertEqual(d.service("s")["report_errors"], 0)

    def test_nobody_else_may(self):
        """Names of abstract sockets are no secret: /proc/net/unix has them."""
        d = self.start("env", "go", "READY=1")
        name = wait_until(lambda: [e["message"] for e in self.logged(d, event="stderr", service="s")], "its words")[0]
        name = name.split()[0].split("=", 1)[1]
        self.assertTrue(name.startswith("@"), name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect("\0" + name[1:])
            s.send(b"READY=1\nSTATUS=forged")
            wait_until(lambda: d.service("s")["report_errors"] == 1, "the count")
            self.assertEqual(d.service("s")["state"], "starting")
            self.assertIsNone(d.service("s")["status"])
        self.go(d)
        d.wait_service("s", state="active")

    @need_root
    def test_nor_another_user_who_is_gone(self):
        d = self.start("env", "go", "READY=1", user="nobody")
        name = wait_until(lambda: [e["message"] for e in self.logged(d, event="stderr", service="s")], "its words")[0]
        name = "\0" + name.split()[0].split("=", 1)[1][1:]

        def forge():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.sendto(b"READY=1", name)
        User(65533).run(forge)
        wait_until(lambda: d.service("s")["report_errors"] == 1, "the count")
        self.assertEqual(d.service("s")["state"], "starting")
        self.go(d)
        d.wait_service("s", state="active")

    @need_root
    def test_within_a_root_directory(self):
        """The socket has no path that could be missing there."""
        d = self.start("{bad-child}", "sleep", start="traffic")
        config = {"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now",
                                     "user": "nobody", "notify": "sd_notify", "root_directory": "{dir}", "timeouts": TIMES,
                                     "exec": ["/bad-child", "notify", "READY=1\\nSTATUS=inside"]}}}
        d.write_config(config)
        d.call("Reload")
        d.call("Start", services=["s"])
        d.wait_service("s", state="active", status="inside")

    @need_root
    def test_as_another_user(self):
        d = self.start("READY=1", user="nobody")
        d.wait_service("s", state="active")
        pid = d.instances("s")[0]["pid"]
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, user_of("nobody")[0])

    def test_environment(self):
        d = self.start("env", "READY=1", timeouts={"watchdog": "30s"})
        told = wait_until(lambda: [e["message"] for e in self.logged(d, event="stderr", service="s")], "its words")[0]
        self.assertIn("WATCHDOG_USEC=30000000", told)
        self.assertNotIn("MP_STATUS_FD=None", told, "on-demand with listen_fds has the status pipe as well")

    def test_the_daemons_own_are_not_passed_on(self):
        d = self.daemon({"services": {"p": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"],
                                            "pass_environment": ["*"]}}},
                        environment={"WATCHDOG_USEC": "7", "WATCHDOG_PID": "1"})
        told = d.probe("p")["env"]
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            self.assertNotIn(name, told)


class StatusPipe(ReadyTest):
    def test_ready(self):
        d = self.start("{bad-child}", "status", "STATUS=a\\n", "READY=1\\n", notify="status")
        service = d.wait_service("s", state="active")
        self.assertEqual(service["status"], "a")

    def test_reports_are_implied(self):
        d = self.start("{bad-child}", "status", "READY=1\\n", notify="status", listen="udp:127.0.0.1:0",
                       **{"pass": "stdio"})
        d.wait_service("s", state="active")

    def test_ready_again_and_again(self):
        d = self.start("{bad-child}", "status", "READY=1\\n" * 50, "RELOADING=1\\n", "READY=1\\n", "STATUS=end\\n",
                       notify="status")
        d.wait_service("s", state="active", status="end")
        self.assertEqual(len(self.logged(d, event="ready", service="s")), 1)

    def test_closed_before_it_is_ready(self):
        d = self.start("{bad-child}", "close-status-early", notify="status")
        wait_until(lambda: d.service("s")["exited"]["signaled"] == 1, "its end")
        error = d.service("s")["last_error"]
        self.assertEqual((error["step"], error["message"]), ("start", "it closed its status pipe before it was ready"))
        self.assertEqual(d.service("s")["state"], "listening")

    def test_closed_after_it_was_ready(self):
        d = self.start("{bad-child}", "close-status", notify="status")
        d.wait_service("s", state="active", status="last words")
        stays(lambda: d.service("s")["state"] == "active", "a process that says no more")
        self.assertEqual(len(d.instances("s")), 1)

    def test_garbage_is_no_readiness(self):
        """faults.md CH-9: nothing of it counts, all of it is bounded."""
        for words in ("\\n" * 1000, "\\0\\0\\0\\n", "READY=1", "READY=1 \\n", "xREADY=1\\n", "READY\\n=1\\n"):
            with self.subTest(words=words):
                d = self.start("{bad-child}", "status", words, notify="status", timeouts={"start": "700ms"})
                wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "the end of its time")
                self.assertEqual(self.logged(d, event="ready"), [])
                d.stop()

    def test_ends_before_it_is_ready(self):
        d = self.start("{bad-child}", "exit", "0", notify="status")
        service = wait_until(lambda: next((s for s in [d.service("s")] if s["exited"]["failed"]), None), "its end")
        self.assertEqual(service["exited"]["ok"], 0)
        self.assertIn("before it was ready", self.logged(d, event="ended", service="s")[0]["message"])

    def test_last_words(self):
        """READY=1 and the end at once: it was ready."""
        d = self.start("{bad-child}", "status-exit", "READY=1\\n", notify="status")
        wait_until(lambda: d.service("s")["exited"]["ok"] == 1, "its end")
        self.assertEqual(len(self.logged(d, event="ready", service="s")), 1)

    def test_per_connection(self):
        d = self.start("{bad-child}", "status", "READY=1\\n", notify="status", model="per-connection")
        with d.dial("s"):
            d.wait_service("s", active=1)
            wait_until(lambda: d.instances("s")[0]["state"] == "running", "readiness")
            self.assertEqual(d.service("s")["state"], "listening")
        d.call("Stop", services=["s"])


class StartTime(ReadyTest):
    def test_not_ready_in_time(self):
        """faults.md CH-6: told, ended, slowed, never counted as ready."""
        d = self.start("{bad-child}", "sleep", notify="status", timeouts={"start": "300ms"},
                       restart={"policy": "always", "delay": "100ms", "max_delay": "1s", "limit": "2/10s"})
        wait_until(lambda: d.service("s")["exited"]["timeout"] >= 3, "its ends")
        service = d.service("s")
        d.wait_service("s", state="backoff")
        self.assertEqual(service["last_error"]["message"], "not ready within 300ms (timeouts.start)")
        self.assertEqual(self.logged(d, event="ready"), [])
        seen = service["spawned"]
        wait_until(lambda: d.service("s")["spawned"] >= seen + 2, "that it is never given up")
        self.assertEqual(d.ask("canary", b"x"), b"x")

    def test_killed_when_it_does_not_end(self):
        d = self.start("{bad-child}", "hang", notify="status", timeouts={"start": "300ms", "stop": "300ms"},
                       restart={"policy": "always", "delay": "100ms", "limit": "100/10s"})
        # One that is slow to start gets TERM before it ignores it.
        ended = wait_until(lambda: self.logged(d, event="ended", service="s", signal="SIGKILL"), "its end")
        self.assertEqual(ended[0]["reason"], "timeout")

    def test_stopped_child(self):
        """faults.md CH-15: SIGSTOP is no end, and no way to stay."""
        d = self.start("{bad-child}", "stop-self", notify="status", timeouts={"start": "3s", "stop": "300ms"})
        pid = d.instances("s")[0]["pid"]
        wait_until(lambda: process_state(pid) == "T", "its stopping itself")
        self.assertEqual(d.service("s")["state"], "starting")
        wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "its end")
        self.assertEqual(children_of(d.pid), [])

    def test_restart_policy_counts_it_as_failure(self):
        d = self.start("{bad-child}", "sleep", notify="status", timeouts={"start": "200ms"},
                       restart={"policy": "on-failure", "delay": "100ms"})
        wait_until(lambda: d.service("s")["restarts"] >= 2, "restarts")

    def test_connections_wait_meanwhile(self):
        d = self.start("go", "READY=1")
        with d.dial("s") as s:
            self.go(d)
            d.wait_service("s", state="active")
            self.assertEqual(d.service("s")["queued"], 1)
            s.close()


class Orders(ReadyTest):
    def test_start_waits(self):
        d = self.start("sleep:400", "READY=1")
        d.wait_service("s", state="active")
        d.call("Stop", services=["s"])
        begin = time.monotonic()
        d.call("Start", services=["s"])
        self.assertGreater(time.monotonic() - begin, 0.35)
        self.assertEqual(d.service("s")["state"], "active")

    def test_start_tells_that_it_waits(self):
        d = self.start("sleep:600", "READY=1")
        d.wait_service("s", state="active")
        d.call("Stop", services=["s"])
        with d.connect() as control:
            replies = list(control.call_more("Start", services=["s"]))
        self.assertIn("not ready yet", str(replies[0]))

    def test_start_fails(self):
        d = self.start("{bad-child}", "sleep", notify="status", timeouts={"start": "300ms"})
        wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "its end")
        d.call("Stop", services=["s"])
        with self.assertRaises(VarlinkError) as caught:
            d.call("Start", services=["s"])
        self.assertEqual(caught.exception.name, "dev.mpinetd.Control.Failed")
        self.assertIn("not ready within 300ms", str(caught.exception))

    def test_restart_waits(self):
        d = self.start("sleep:400", "READY=1")
        d.wait_service("s", state="active")
        begin = time.monotonic()
        d.call("Restart", services=["s"])
        self.assertGreater(time.monotonic() - begin, 0.35)
        self.assertEqual(d.service("s")["state"], "active")

    def test_stop_while_it_starts(self):
        d = self.start("go", "READY=1")
        d.wait_service("s", state="starting")
        d.call("Stop", services=["s"])
        service = d.service("s")
        self.assertEqual((service["state"], service["exited"]["ok"]), ("stopped", 1))
        self.assertIsNone(service["last_error"])

    def test_drain_while_it_starts(self):
        d = self.start("go", "READY=1")
        d.wait_service("s", state="starting")
        timer = threading.Timer(0.3, self.go, (d,))
        timer.start()
        d.call("Drain", services=["s"])
        timer.join()
        self.assertEqual(d.service("s")["state"], "stopped")

    def test_the_daemon_stops_while_it_starts(self):
        d = self.start("go")
        d.wait_service("s", state="starting")
        begin = time.monotonic()
        d.stop()
        self.assertLess(time.monotonic() - begin, 4)


class Watchdog(ReadyTest):
    def test_silence(self):
        d = self.start("READY=1", timeouts={"watchdog": "400ms"})
        wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "its end")
        ended = self.logged(d, event="ended", service="s")[0]
        self.assertEqual((ended["signal"], ended["reason"]), ("SIGABRT", "timeout"))
        self.assertIn("(timeouts.watchdog)", ended["message"])
        self.assertEqual(d.service("s")["last_error"]["step"], "watchdog")

    def test_signs_of_life(self):
        d = self.start("READY=1", "beat:100", timeouts={"watchdog": "2s"})
        d.wait_service("s", state="active")
        stays(lambda: d.service("s")["active"] == 1, "a process that reports", seconds=4)
        pid = d.instances("s")[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "the end of the stopped one")

    def test_trigger(self):
        d = self.start("READY=1", "WATCHDOG=trigger", timeouts={"watchdog": "1h"})
        wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "its end")

    def test_trigger_without_a_watchdog(self):
        d = self.start("READY=1", "WATCHDOG=trigger", "STATUS=on")
        d.wait_service("s", state="active", status="on")

    def test_by_the_status_pipe_and_without_readiness(self):
        d = self.start("{bad-child}", "status", "WATCHDOG=1\\n", notify="none", timeouts={"watchdog": "400ms"})
        wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "its end")

    def test_the_time_begins_when_it_is_ready(self):
        d = self.start("sleep:2500", "READY=1", "beat:100", timeouts={"watchdog": "2s"})
        d.wait_service("s", state="active")
        stays(lambda: d.service("s")["active"] == 1, "a process that reports", seconds=1)
        self.assertEqual(d.service("s")["spawned"], 1)

    def test_restart_on_failure(self):
        d = self.start("READY=1", timeouts={"watchdog": "200ms"}, restart={"policy": "on-failure", "delay": "50ms"})
        wait_until(lambda: d.service("s")["restarts"] >= 2, "restarts")

    def test_killed_when_abort_does_not_help(self):
        d = self.start("{bad-child}", "deaf", notify="status", timeouts={"watchdog": "300ms", "stop": "300ms"})
        wait_until(lambda: d.service("s")["exited"]["timeout"] == 1, "its end")
        self.assertEqual(self.logged(d, event="ended", service="s")[0]["signal"], "SIGKILL")

    def test_stopping_ends_the_watch(self):
        d = self.start("READY=1\\nSTOPPING=1", timeouts={"watchdog": "300ms"})
        d.wait_service("s", active=1)
        stays(lambda: d.service("s")["active"] == 1, "one that says that it ends", seconds=1)


class Flood(ReadyTest):
    def test_others_are_served(self):
        """faults.md CH-10: one that floods its status pipe, and one that floods its socket, starve nobody."""
        d = self.start("{bad-child}", "flood-status", "3000", notify="status")
        d.wait_service("s", state="active")
        slowest, before = 0, cpu_seconds(d.pid)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            begin = time.monotonic()
            self.assertEqual(d.ask("canary", b"x"), b"x")
            slowest = max(slowest, time.monotonic() - begin)
        self.assertLess(slowest, 1.5)
        # What it writes beyond a bound is left in its pipe.
        self.assertLess(cpu_seconds(d.pid) - before, 1.2)
        d.wait_service("s", status="flood over")
        self.assertEqual(len(self.logged(d, event="ready", service="s")), 1)

    def test_a_stranger_floods_the_socket(self):
        d = self.start("env", "READY=1")
        name = wait_until(lambda: [e["message"] for e in self.logged(d, event="stderr", service="s")], "its words")[0]
        name = "\0" + name.split()[0].split("=", 1)[1][1:]
        over = threading.Event()

        def flood():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.settimeout(0.2)
                while not over.is_set():
                    try:
                        s.sendto(b"READY=1", name)
                    except OSError:
                        pass
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(20):
                self.assertEqual(d.ask("canary", b"x"), b"x")
        finally:
            over.set()
            thread.join()
        self.assertEqual(d.service("s")["state"], "active")


if __name__ == "__main__":
    unittest.main()
