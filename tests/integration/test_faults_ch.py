# SPDX-License-Identifier: MIT
"""Children that misbehave (faults CH-n, and those of pools): whatever one of them does, the daemon and everybody else
go on as before, and nothing is left over. docs/faults.md tells where the others of the catalogue are tested.

Each case runs under a Strain, which looks at the daemon's descriptors, memory, log, zombies and rest, and has a canary
asked all the while; then the counters are added up."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

from harness import (BUILD, PATIENCE, SANITIZED, SLOW, DaemonTest, children_of, cpu_seconds, need_program, need_root,
                     process_alive, process_state, read_all, stays, wait_until)
from strain import Strain
from test_pool import WORKER

LIBRARY_WORKER = os.path.join(BUILD, "tests", "helpers", "pool-worker")
# What is a subreaper stays one when it becomes another program.
SUBREAPER = [sys.executable, "-c", "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); "
             "os.execv(sys.argv[1], sys.argv[1:])"]
CLONES = "clone,clone3,fork,vfork"


class FaultTest(DaemonTest):
    def begin(self, services, **options):
        """A daemon with these services, which listen on tcp unless they say otherwise, and a canary."""
        services = {name: {"listen": "tcp:127.0.0.1:0", **service} for name, service in services.items()}
        return self.daemon({"services": {**services, "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}},
                           **options)

    @contextlib.contextmanager
    def strain(self, d, spares=0, **options):
        with Strain(self, d, **options):
            yield
        wait_until(lambda: d.service("canary")["active"] == 0, "the canary's last connections")
        self.check_sums(d)
        self.check_children(d, spares)

    def check_sums(self, d):
        for s in d.status()["services"]:
            self.assertEqual(s["spawned"], s["active"] + sum(s["exited"].values()), s)
            if s["model"] == "per-connection":
                self.assertEqual(s["accepted"], s["spawned"] + s["spawn_failed"] + s["gone"] + sum(s["refused"].values()), s)

    def check_children(self, d, spares=0):
        """The processes of its services and no others, but for those that are set up ahead."""
        def right():
            own = {i["pid"] for i in d.instances()}
            there = {pid for pid, _ in children_of(d.pid)}
            return own <= there and len(there - own) <= spares
        wait_until(right, "no children but its own")


@contextlib.contextmanager
def injected(d, what):
    """System calls of the daemon itself are interfered with: `what` is strace's -e inject=."""
    calls = what.split(":")[0]
    with subprocess.Popen(["strace", "-q", "-o", "/dev/null", "-p", str(d.pid), "-e", f"trace={calls}", "-e", f"inject={what}"],
                          stderr=subprocess.PIPE) as tracer:
        try:
            def attached():
                if tracer.poll() is not None:
                    raise unittest.SkipTest(f"strace: {tracer.stderr.read().decode()[:200]}")
                with open(f"/proc/{d.pid}/status", encoding="utf-8") as status:
                    return "TracerPid:\t0\n" not in status.read()
            wait_until(attached, "strace")
            yield
        finally:
            tracer.terminate()
            tracer.wait()


class Ends(FaultTest):
    """How they end."""
    weight = 20

    def test_ch_01_crash_storm(self):
        seconds, threads = (60 if SLOW else 3), 5
        folder = self.temporary_folder()
        os.mkdir(os.path.join(folder, "cwd"))
        d = self.begin({"s": {"exec": ["{bad-child}", "abort"], "working_directory": folder + "/cwd", "resources": {"core": 0}}})
        port, end, problems, zombies, crashed = d.port("s"), time.monotonic() + seconds, [], [], []

        def client():
            """A hundred a second, if the machine can do that; else for longer."""
            while (begin := time.monotonic()) < end or len(crashed) < 20 * seconds:
                try:
                    with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
                        s.settimeout(PATIENCE)
                        read_all(s)
                except OSError as error:
                    problems.append(repr(error))
                crashed.append(begin)
                time.sleep(max(0, 0.01 - (time.monotonic() - begin)))

        def watch():
            before = set()
            while time.monotonic() < end:
                now = {pid for pid, state in children_of(d.pid) if state == "Z"}
                zombies.extend(now & before)
                before = now
                time.sleep(1)
        with self.strain(d):
            crowd = [threading.Thread(target=client) for _ in range(threads)] + [threading.Thread(target=watch)]
            for thread in crowd:
                thread.start()
            for thread in crowd:
                thread.join()
            d.wait_idle("s")
        self.assertEqual((problems[:3], zombies), ([], []))
        service = d.service("s")
        self.assertEqual((service["state"], service["exited"]["signaled"]), ("listening", service["accepted"]))
        self.assertGreaterEqual(service["accepted"], 20 * seconds)
        self.assertEqual(os.listdir(folder + "/cwd"), [], "core files")

    @staticmethod
    def orphans(d):
        found = []
        for pid, _ in children_of(d.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"daemonise" in file.read():
                    found.append(pid)
        return found

    def test_ch_03_daemonised(self):
        """The place comes back with the process that was started; what it leaves behind is reaped, and counted."""
        d = self.begin({"s": {"exec": ["{bad-child}", "daemonise", "4000"], "limits": {"instances": 1}}}, wrap=SUBREAPER)
        begin = time.monotonic()
        with Strain(self, d):
            for _ in range(6):
                self.assertEqual(d.ask("s"), b"")
            service = d.wait_service("s", active=0, spawned=6)
            if time.monotonic() - begin < 3:
                self.assertEqual(len(self.orphans(d)), 6, "the orphans are its children")
            self.assertEqual(service["exited"]["ok"], 6)
            wait_until(lambda: not d.instances("s"), "no instance")
            wait_until(lambda: not self.orphans(d), "the end of the orphans")
        self.check_sums(d)
        self.check_children(d)
        os.kill(d.pid, signal.SIGUSR1)
        summary = d.wait_log(event="summary")[0]["message"]
        self.assertGreaterEqual(int(re.search(r"(\d+) orphans", summary)[1]), 6, summary)

    def test_ch_04_wait_leaves_it_unread(self):
        """By inetd's wait, of datagrams and of streams: slowed, with the listener not polled meanwhile, never given up."""
        restart = {"delay": "200ms", "max_delay": "2s", "limit": "3/10s"}
        d = self.begin({name: {"listen": listen, "model": "on-demand", "pass": "stdio", "restart": restart,
                               "exec": ["{bad-child}", "mark", "{dir}/" + name]}
                        for name, listen in (("datagrams", "udp:127.0.0.1:0"), ("streams", "tcp:127.0.0.1:0"))})

        def starts(name):
            with contextlib.suppress(FileNotFoundError), open(d.path(name), encoding="utf-8") as file:
                return len(file.read().split())
            return 0
        with d.dial("datagrams") as a, d.dial("streams"):
            a.send(b"x")
            with self.strain(d):
                for name in ("datagrams", "streams"):
                    d.wait_service(name, state="backoff")
                before, begin, at = cpu_seconds(d.pid), time.monotonic(), starts("datagrams") + starts("streams")
                wait_until(lambda: starts("datagrams") + starts("streams") >= at + 4, "further starts")
                # 200 ms at least before each but those that were allowed.
                self.assertGreater(time.monotonic() - begin, 0.3)
                self.assertLess(cpu_seconds(d.pid) - before, 0.3 * (time.monotonic() - begin) + 0.3)
            self.assertEqual(d.service("streams")["queued"], 1)
            d.call("Stop", services=["datagrams", "streams"])

    @need_program("strace")
    def test_ch_20_ends_before_it_is_known(self):
        """The daemon's clone(2) returns long after the child has come and gone; so does its wait4(2)."""
        for what in (f"{CLONES}:delay_exit=20000", "wait4:delay_exit=5000", "wait4:delay_enter=5000"):
            with self.subTest(inject=what):
                d = self.begin({"s": {"exec": ["{bad-child}", "exit", "3"]},
                                "p": {"exec": ["{bad-child}", "exit", "0"], "prespawn": 2},
                                "o": {"exec": ["{bad-child}", "accept", "1"], "model": "on-demand"}})
                with self.strain(d, spares=2, quick=2):
                    with injected(d, what):
                        for _ in range(10):
                            for name in ("s", "p"):
                                self.assertEqual(d.ask(name), b"")
                            self.assertIn(b"pid", d.ask("o"))
                    for name in ("s", "p", "o"):
                        d.wait_idle(name)
                self.assertEqual(d.service("s")["exited"]["failed"], 10)
                self.assertEqual(d.service("p")["exited"]["ok"], 10)
                self.assertEqual(d.service("o")["exited"]["ok"], 10)
                os.kill(d.pid, signal.SIGUSR1)
                self.assertIn(" 0 orphans", d.wait_log(event="summary")[0]["message"])
                d.stop()


class Words(FaultTest):
    """What they say."""
    weight = 20

    def test_ch_09_garbage(self):
        million = "100000" if SANITIZED else "1000000"
        garbage = {"newlines": ("repeat-status", "\\n", million), "zeros": ("repeat-status", "\\0", million),
                   "high": ("repeat-status", "\\f", million), "long": ("repeat-status", "x", million),
                   "ready": ("repeat-status", "READY=1\\n", million), "half": ("status-exit", "READY=1\\nSTATUS=cut off"),
                   "nothing": ("close-status-early",), "slow": ("trickle-status", "1000" if SLOW else "100", "READY=1\\n")}
        d = self.begin({name: {"model": "on-demand", "exec": ["{bad-child}", *child], "report": True}
                        for name, child in garbage.items()})
        with self.strain(d):
            clients = [d.dial(name) for name in garbage]
            for name, child in garbage.items():
                if child[0] == "repeat-status":
                    service = d.wait_service(name, status="end", active=1)
                    # What ends the garbage is an empty line.
                (self.assertEqual if name == "ready" else self.assertGreaterEqual)(service["report_errors"], 1, name)
            wait_until(lambda: d.log(event="ready", service="slow"), "the slow one")
            self.assertEqual(d.service("slow")["report_errors"], 0)
            d.wait_service("nothing", active=1)
            d.call("Stop", services=list(garbage))
            for s in clients:
                s.close()
        self.assertEqual(len(d.log(event="ready", service="ready")), 1)
        # It is started again for the connection that it does not take.
        self.assertGreaterEqual(len(d.log(event="ready", service="half")), 1)
        self.assertEqual([s["exited"]["failed"] for s in d.status()["services"]], [0] * (len(garbage) + 1))

    def test_ch_10_floods(self):
        """The status pipe and stderr, at full speed and at once: others are served, and who floods is held up."""
        milliseconds = 30000 if SLOW else 3000
        d = self.begin({"status": {"model": "on-demand", "start": "now", "report": True,
                                   "exec": ["{bad-child}", "flood-status", str(milliseconds)]},
                        "stderr": {"model": "on-demand", "start": "now", "exec": ["sh", "-c", "exec yes >&2"]}})
        begin = time.monotonic()
        with self.strain(d):
            wait_until(lambda: d.service("status")["status"] == "flood over", "the end of the flood",
                       deadline=milliseconds / 1000 + PATIENCE)
            d.call("Stop", services=["stderr"])
        # As many as may be a second; the pipe may hold some more at its end.
        seconds = time.monotonic() - begin
        self.assertLess(len(d.log(service="stderr")), 6000 * seconds + 70000)

    def test_ch_12_forged(self):
        """What looks like a log line, like an order or like a terminal's control is text, and stays with its writer."""
        lines = ['{"event":"stopping","service":"canary","level":"error"}', "<3>mpinetd[1]: canary failed",
                 "\\e]0;title\\a", "\\e[2J\\e[31mred", "READY=1", "x\\0y"]
        d = self.begin({"s": {"exec": ["{bad-child}", "say", *(line + "\\n" for line in lines)]},
                        "t": {"model": "on-demand", "start": "now", "report": True,
                              "exec": ["{bad-child}", "status", "MAINPID=1\\nERRNO=5\\nBUSERROR=x\\nFDSTORE=1\\n",
                                       "SERVICE=canary\\nNAME=canary\\nWATCHDOG_USEC=1\\nEXTEND_TIMEOUT_USEC=1\\n",
                                       'STATUS={"event":"x","service":"canary"}\\n', "STATUS=\\e]0;title\\a\\n",
                                       "STATUS=canary: failed\\e[2J\\n"]}})
        pid = d.instances("t")[0]["pid"]
        with self.strain(d):
            wait_until(lambda: "failed" in (d.service("t")["status"] or ""), "its last word")
            d.ask("s")
            said = wait_until(lambda: len(d.log(event="stderr", service="s")) == len(lines) and
                              d.log(event="stderr", service="s"), "its lines")
            self.assertEqual([i["pid"] for i in d.instances("t")], [pid])
            self.assertEqual(process_state(pid), "S", "told nothing")
            for arguments in ((), ("status", "t"), ("ps",), ("events",), ("logs", "s"), ("metrics",)):
                shown = d.mpctl(*arguments).stdout
                self.assertNotRegex(shown, "[\x00-\x08\x0b-\x1f\x7f]", arguments)
        self.assertEqual(said[0]["message"], lines[0])
        self.assertEqual({e["event"] for e in d.log() if e.get("service") == "canary"}, {"listening", "started", "ended"})
        self.assertEqual(d.log(event="stopping"), [])

    def test_ch_13_long_lines_of_several(self):
        """Each has pipes of its own: nothing that one writes comes out within what another does."""
        d = self.begin({"s": {"exec": ["{bad-child}", "own-lines", "5"], "report": True}})
        with self.strain(d, line_bytes=8192):
            clients = [d.dial_fast() for _ in range(6)]
            for s in clients:
                self.assertEqual(s.recv(100), b"written\n")
            pids = {i["pid"] for i in d.instances("s")}
            wait_until(lambda: {e["pid"] for e in d.log(event="stderr", service="s")} == pids, "lines of each")
            wait_until(lambda: all(i["status"] for i in d.instances("s")), "a status of each")
            for i in d.instances("s"):
                self.assertEqual(i["status"], str(i["pid"]))
            for s in clients:
                s.close()
            d.call("Stop", services=["s"])
        for entry in d.log(event="stderr", service="s"):
            words = entry["message"].split()
            self.assertGreater(len(words), 100)
            self.assertEqual(set(words[:-1]), {str(entry["pid"])})


class Signals(FaultTest):
    """How they evade, and who is hit."""
    weight = 20

    def test_ch_15_stopped_by_a_tracer(self):
        """Neither an end nor a way to stay: KILL reaches what a debugger holds."""
        d = self.begin({"s": {"exec": ["{bad-child}", "hang"], "timeouts": {"stop": "300ms"}}})
        tracer = ("import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); pid = int(sys.argv[1])\n"
                  "if libc.ptrace(16, pid, None, None) < 0: sys.exit('refused')\n"
                  "print(os.waitpid(pid, 0x40000000)[1], flush=True)\n"
                  "while not os.WIFSIGNALED(os.waitpid(pid, 0x40000000)[1]): pass\n")
        with self.strain(d), d.dial("s") as s:
            self.assertEqual(s.recv(100), b"hanging\n")
            pid = d.instances("s")[0]["pid"]
            with subprocess.Popen([sys.executable, "-c", tracer, str(pid)], stdout=subprocess.PIPE) as helper:
                if not helper.stdout.readline():
                    self.skipTest("ptrace is not allowed")
                self.assertEqual(process_state(pid), "t")
                stays(lambda: d.service("s")["active"] == 1, "one that is held", seconds=0.3)
                d.call("Stop", services=["s"])
            self.assertEqual(d.service("s")["exited"]["ok"], 1)
            self.assertFalse(process_alive(pid))

    def test_ch_16_another_group_session_user(self):
        """The process is found again whatever it has become. What has left its session is beyond a group's signal."""
        d = self.begin({"s": {"exec": ["{bad-child}", "escape"], "timeouts": {"stop": "300ms"}}})
        with self.strain(d):
            with d.dial("s") as s:
                away = int(s.recv(100))
                self.addCleanup(lambda: contextlib.suppress(ProcessLookupError).__enter__() or
                                (process_alive(away) and os.kill(away, signal.SIGKILL)))
                pid = d.instances("s")[0]["pid"]
                if os.geteuid() == 0:
                    self.assertEqual(os.stat(f"/proc/{pid}").st_uid, 65534)
                d.call("Stop", services=["s"])
                self.assertEqual(read_all(s), b"")
            self.assertFalse(process_alive(pid))
            self.assertTrue(process_alive(away), "a session of its own")
            self.assertEqual(d.log(event="ended", service="s")[0]["signal"], "SIGKILL")
            os.kill(away, signal.SIGKILL)

    @staticmethod
    def has_many(pid):
        with contextlib.suppress(FileNotFoundError):
            return len(os.listdir(f"/proc/{pid}/fd")) > 500 and process_state(pid) == "S"
        return False

    def test_ch_19_descriptors_made_nonblocking(self):
        """What it shares with the daemon, the daemon does not rely on; and its log stays as it was."""
        shapes = {"log": {}, "discard": {"stderr": "discard"}, "inherit": {"stderr": "inherit"}, "ahead": {"prespawn": 1},
                  "demand": {"model": "on-demand", "stderr": "inherit"}, "stdio": {"model": "on-demand", "pass": "stdio"},
                  "pool": {"model": "pool", "stderr": "inherit", "pool": {"min": 1, "max": 1},
                         "restart": {"limit": "1000/10s"}}}
        d = self.begin({name: {"exec": ["{bad-child}", "nonblock", "1000"], **shape} for name, shape in shapes.items()})
        log = os.stat(d.log_path)

        def flags():
            """Of the daemon's own log and console."""
            found = {}
            for fd in os.listdir(f"/proc/{d.pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    target = os.stat(f"/proc/{d.pid}/fd/{fd}")
                    if (target.st_ino, target.st_dev) == (log.st_ino, log.st_dev) or int(fd) < 3:
                        with open(f"/proc/{d.pid}/fdinfo/{fd}", encoding="ascii") as info:
                            found[fd] = info.read().split("flags:\t")[1].split()[0]
            return found
        before = flags()
        self.assertIn("2", before)
        with self.strain(d):
            for name in shapes:
                with d.dial(name) as s:
                    if name in ("log", "discard", "inherit", "ahead"):
                        self.assertEqual(s.recv(100), b"non-blocking\n")
                    else:
                        d.wait_service(name, active=1)
                        wait_until(lambda name=name: any(self.has_many(i["pid"]) for i in d.instances(name)),
                                   "its descriptors")
                d.call("Stop", services=[name])
                d.call("Start", services=[name])
            self.assertEqual(d.ask("canary", b"x" * 100000), b"x" * 100000)
            d.call("Stop", services=list(shapes))
        changed = {fd: (before[fd], now) for fd, now in flags().items() if now != before.get(fd)}
        self.assertEqual(changed, {})


# The first process of a namespace of its own, and of another /proc, with the daemon below it. Signals go on to it.
NAMESPACE = r'''
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x20020000) < 0:
    sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
child = os.fork()
if child == 0:
    libc.mount(b"none", b"/", None, 0x44000, None)
    if libc.mount(b"proc", b"/proc", b"proc", 0, None) < 0:
        os._exit(99)
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
while True:
    try:
        status = os.waitpid(child, 0)[1]
        break
    except InterruptedError:
        continue
sys.exit(os.waitstatus_to_exitcode(status) & 255)
'''
# Becomes the process with that number, in a session of its own, and writes down every signal that it gets.
BYSTANDER = r'''
import os, signal, sys, time
wanted, record = int(sys.argv[1]), sys.argv[2]
for _ in range(200):
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(wanted - 1))
    pid = os.fork()
    if pid == 0:
        if os.getpid() != wanted:
            os._exit(1)
        os.setsid()
        def on_signal(number, _):
            with open(record, "a") as file:
                file.write(f"{number}\n")
        for number in range(1, 32):
            if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
                signal.signal(number, on_signal)
        print("there", flush=True)
        while True:
            signal.pause()
    if pid == wanted:
        break
    os.waitpid(pid, 0)
    time.sleep(0.01)
else:
    sys.exit("the number is not to be had")
'''


@need_root
@need_program("nsenter")
class Numbers(FaultTest):
    """CH-18: the number of a process that is gone belongs to somebody else."""

    def start(self):
        d = self.begin({"short": {"exec": ["{bad-child}", "half-close"], "timeouts": {"stop": "700ms", "lifetime": "60s"}},
                        "demand": {"exec": ["{bad-child}", "accept", "1"], "model": "on-demand", "timeouts": {"stop": "700ms"}},
                        "pool": {"exec": [LIBRARY_WORKER], "model": "pool", "pool": {"min": 1, "max": 2},
                                 "timeouts": {"stop": "700ms"}},
                        "ahead": {"exec": ["mp-echo"], "prespawn": 1}},
                       wrap=[sys.executable, "-c", NAMESPACE], wait=False)
        try:
            d.wait_ready()
        except AssertionError:
            if "unshare" in d.log_text() or d.process.returncode == 99:
                d.process = None
                self.skipTest("no namespaces here")
            raise
        self.first = children_of(d.pid)[0][0]
        return d

    def bystander(self, d, pid):
        """Somebody with that number; returns whether it has got a signal."""
        record = d.path(f"signals-{pid}")
        with open(record, "w", encoding="ascii"):
            pass
        with subprocess.Popen(["nsenter", "-t", str(self.first), "-p", "-m", sys.executable, "-c", BYSTANDER, str(pid), record],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as helper:
            said = helper.stdout.readline()
            if said != "there\n":
                error = helper.stderr.read()
                if "ns_last_pid" in error or "PermissionError" in error:
                    self.skipTest(error.splitlines()[-1])
                self.fail(error)
            helper.stdout.close()

        def unharmed():
            with open(record, encoding="ascii") as file:
                if file.read():
                    return False
            alive = subprocess.run(["nsenter", "-t", str(self.first), "-p", "-m", "test", "-d", f"/proc/{pid}"], check=False)
            return alive.returncode == 0
        return unharmed

    def ended(self, d, name, act):
        """The number of a process of the service that is gone."""
        [instance] = d.instances(name)
        act(instance["pid"])
        wait_until(lambda: instance["pid"] not in [i["pid"] for i in d.instances(name)], "its end")
        return instance["pid"]

    def test_ch_18_number_reused(self):
        d = self.start()
        bystanders = []
        with d.dial("short") as s:
            d.wait_service("short", active=1)
            bystanders.append(self.bystander(d, self.ended(d, "short", lambda _: s.shutdown(socket.SHUT_WR))))
        # One that was told, and whose KILL was due afterwards.
        with d.dial("short"):
            d.wait_service("short", active=1)
            bystanders.append(self.bystander(d, self.ended(
                d, "short", lambda pid: d.call("Signal", pid=pid, signal="TERM"))))
        d.call("Start", services=["pool"])
        bystanders.append(self.bystander(d, self.ended(
            d, "pool", lambda _: d.call("Restart", services=["pool"]))))
        with d.dial("demand") as s:
            d.wait_service("demand", active=0, spawned=1)
            gone = d.log(event="started", service="demand")[0]["pid"]
        bystanders.append(self.bystander(d, gone))
        d.call("Stop", services=["short", "pool", "demand", "ahead"])
        d.call("Start", services=["short", "pool", "demand", "ahead"])
        d.call("Restart", services=["*"])
        for pid in (gone,):
            with self.assertRaises(Exception) as caught:
                d.call("Signal", pid=pid, signal="KILL")
            self.assertEqual(caught.exception.name, "dev.mpinetd.Control.NoSuchInstance")
        stays(lambda: all(unharmed() for unharmed in bystanders), "bystanders that got no signal", seconds=1.5)
        self.assertEqual(d.ask("canary", b"x"), b"x")


class Pools(FaultTest):
    weight = 20

    def pool(self, *mode, script=WORKER, **service):
        folder = self.temporary_folder()
        with open(os.path.join(folder, "worker.py"), "w", encoding="utf-8") as file:
            file.write(script)
        if "exec" not in service:
            service["exec"] = ["python3", "-ISu", "{dir}/worker.py", *mode]
        return self.begin({"s": {"model": "pool", **service}}, folder=folder)

    @staticmethod
    def workers(d, **wanted):
        wait_until(lambda: all(d.service("s")["workers"][key] == value for key, value in wanted.items()),
                   f"workers {wanted}", interval=0.03)

    @staticmethod
    def talk(d, what=b"x\n"):
        with d.dial_fast() as s:
            s.sendall(what)
            return read_all(s).decode()

    def hold(self, d):
        s = d.dial_fast()
        self.addCleanup(s.close)
        s.sendall(b"hold\n")
        return s, int(s.makefile("rb").readline().split()[0])

    def test_ch_21_all_of_them_hang(self):
        """As many as there may be; then who comes waits in the queue, and is served once the watchdog has made room."""
        for handoff in ("listener", "connection"):
            with self.subTest(handoff=handoff):
                d = self.pool(pool={"min": 1, "max": 3, "handoff": handoff}, timeouts={"watchdog": "3s", "stop": "200ms"},
                              restart={"limit": "1000/10s"})
                with self.strain(d):
                    held = [self.hold(d) for _ in range(3)]
                    self.assertEqual(len({pid for _, pid in held}), 3)
                    self.assertLessEqual(d.service("s")["active"], 3)
                    late = d.dial_fast()
                    late.sendall(b"x\n")
                    self.assertTrue(late.makefile("rb").readline(), "served in the end")
                    late.close()
                    for s, pid in held:
                        wait_until(lambda pid=pid: not process_alive(pid), "the end of those that hang")
                        s.close()
                    self.assertGreaterEqual(d.service("s")["exited"]["timeout"], 1)
                    self.assertTrue(self.talk(d))
                    d.call("Stop", services=["s"])
                d.stop()

    def test_cl_18_no_thundering_herd(self):
        """One connection wakes one worker, however many wait."""
        for listen in ("tcp:127.0.0.1:0", ["tcp:127.0.0.1:0", "unix:{dir}/s.sock"]):
            with self.subTest(listen=listen):
                d = self.pool(exec=[LIBRARY_WORKER], listen=listen, pool={"min": 16, "max": 16, "spare_max": 16})
                self.workers(d, idle=16)

                def wakeups():
                    sum_ = 0
                    for i in d.instances("s"):
                        with open(f"/proc/{i['pid']}/status", encoding="utf-8") as status:
                            sum_ += int(re.search(r"\nvoluntary_ctxt_switches:\t(\d+)", status.read())[1])
                    return sum_
                with self.strain(d):
                    for _ in range(20):
                        self.talk(d)
                    before, n = wakeups(), 200
                    for _ in range(n):
                        self.talk(d)
                    # One to accept, and some in the service of it.
                    self.assertLess((wakeups() - before) / n, 5)
                    d.call("Stop", services=["s"])
                d.stop()

    @need_program("strace")
    def test_fk_05_no_process_for_the_refill(self):
        """Tried again with growing delays, while the others serve; whole again when it is over."""
        for handoff in ("listener", "connection"):
            with self.subTest(handoff=handoff):
                d = self.pool(exec=[LIBRARY_WORKER], pool={"min": 3, "max": 6, "handoff": handoff},
                              restart={"delay": "100ms", "max_delay": "500ms", "limit": "5/10s"})
                self.workers(d, idle=3)
                victim = d.instances("s")[0]["pid"]
                # The canary cannot be served without a process.
                with injected(d, f"{CLONES}:error=EAGAIN"):
                    os.kill(victim, signal.SIGKILL)
                    wait_until(lambda: d.service("s")["spawn_failed"] >= 2, "more than one try")
                    before, at, begin = cpu_seconds(d.pid), d.service("s")["spawn_failed"], time.monotonic()
                    while time.monotonic() < begin + 1.5:
                        self.assertNotIn(self.talk(d), ("", str(victim)))
                    tries, took = d.service("s")["spawn_failed"] - at, time.monotonic() - begin
                    self.assertLess(tries / took, 20 / 1.5)
                    self.assertLess((cpu_seconds(d.pid) - before) / took, 1.2 / 1.5)
                    self.assertEqual(d.service("s")["last_error"]["step"], "limit")
                    self.assertEqual(d.service("s")["active"], 2)
                with self.strain(d):
                    self.workers(d, idle=3)
                    d.call("Stop", services=["s"])
                self.assertLess(len(d.log(event="spawn_failed")) + len(d.log(event="error")), 60)
                d.stop()

    def test_scoreboard_under_a_limit_of_file_sizes(self):
        """Memory that is shared is no file that is written: RLIMIT_FSIZE is none of its business."""
        for handoff in ("listener", "connection"):
            with self.subTest(handoff=handoff):
                d = self.pool(exec=[LIBRARY_WORKER], resources={"file_size": 0}, pool={"min": 2, "max": 2, "handoff": handoff})
                with self.strain(d):
                    self.workers(d, idle=2)
                    for _ in range(20):
                        self.assertTrue(self.talk(d))
                    d.wait_service("s", requests=20)
                    s, _ = self.hold(d)
                    self.workers(d, busy=1, idle=1)
                    s.close()
                    self.workers(d, idle=2)
                    self.assertEqual(d.service("s")["exited"], dict.fromkeys(d.service("s")["exited"], 0))
                    d.call("Stop", services=["s"])
                d.stop()

    # The first worker writes what it likes into the shared memory, into the slots of others as well if "all" is asked
    # for, and again and again; then it is one like the others.
    FORGER = r'''
import json, mmap, os, struct, sys, threading, time
board = mmap.mmap(int(os.environ["MP_SCOREBOARD_FD"]), 0)
slot = int(os.environ["MP_SCOREBOARD_SLOT"])
scores = json.loads(sys.argv.pop(1))
folder = os.path.dirname(os.path.abspath(sys.argv[0]))

def forge():
    n = 2
    while True:
        for score in scores:
            for at in range(0, 64 * 64, 64) if "all" in sys.argv else (64 * slot,):
                struct.pack_into("<IIQQQQQQ", board, at, score.get("sequence", n), 0, score.get("active", 0),
                                 score.get("requests", 0), score.get("queued", 0), score.get("taken", 0),
                                 score.get("capacity", 1), 0)
            n = n + 2 & 0xfffffffe or 2
            time.sleep(0.002)
try:
    os.mkdir(os.path.join(folder, "forger"))
    threading.Thread(target=forge, daemon=True).start()
    while "hog" in sys.argv:
        os.write(int(os.environ["MP_STATUS_FD"]), b"READY=1\nACTIVE=0\nCAPACITY=1000000\n")
        time.sleep(0.01)
except FileExistsError:
    pass
'''
    LARGE = (1 << 64) - 1, 1 << 63, (1 << 63) - 1, 1 << 32

    def forged(self, scores, *mode, **pool):
        for handoff in ("listener", "connection"):
            with self.subTest(handoff=handoff, scores=scores):
                d = self.pool(json.dumps(scores), *mode, script=self.FORGER + WORKER, restart={"limit": "1000/10s"},
                              pool={"min": 2, "max": 4, "handoff": handoff, **pool}, timeouts={"stop": "500ms"})
                wait_until(lambda d=d: d.service("s")["active"] >= 2, "workers")
                with self.strain(d):
                    answers = set()
                    for _ in range(30):
                        answers.add(self.talk(d).split()[0])
                        d.mpctl("status", "s")
                    self.assertLessEqual(d.service("s")["active"], 4)
                    self.assertTrue(answers)
                    json.dumps(d.status())
                    d.mpctl("restart", "s")
                    self.assertTrue(self.talk(d))
                    d.call("Stop", services=["s"])
                d.stop()

    def test_forged_scores_that_are_large(self):
        self.forged([{"active": n, "requests": n, "queued": n, "taken": n, "capacity": m}
                     for n in self.LARGE for m in self.LARGE])

    def test_forged_scores_of_everybody(self):
        self.forged([{"active": n, "requests": 7, "taken": n, "capacity": 1 << 63} for n in (0, *self.LARGE)], "all")

    def test_forged_scores_that_are_never_whole(self):
        self.forged([{"sequence": 1, "active": 3}])

    def test_forged_requests_renew_nobody_else(self):
        """Said to have done its share at once, it is replaced; that is all."""
        self.forged([{"requests": 1 << 40}], max_requests=100)

    def test_forged_room(self):
        """One that always has room, and takes nothing: what is passed to it is bounded, and comes back at its end."""
        n = 400
        d = self.pool(json.dumps([{"taken": 1 << 40, "capacity": 1 << 40}]), "hog", script=self.FORGER + WORKER,
                      pool={"min": 2, "max": 2, "handoff": "connection"}, restart={"limit": "1000/10s"},
                      timeouts={"stop": "500ms"})
        wait_until(lambda: d.service("s")["active"] == 2 and len(d.log(event="ready")) == 2, "workers")
        with self.strain(d):
            clients = [d.dial_fast() for _ in range(n)]
            for s in clients:
                self.addCleanup(s.close)
                s.sendall(b"x\n")
            wait_until(lambda: d.service("s")["accepted"] > 0, "some to be passed")
            stays(lambda: len(os.listdir(f"/proc/{d.pid}/fd")) < len(d.baseline) + n + 30, "a bound", seconds=2)
            [hog] = [i["pid"] for i in d.instances("s") if not self.is_honest(i["pid"])]
            os.kill(hog, signal.SIGKILL)
            for s in clients:
                self.assertTrue(s.recv(100), "everybody is served once it is gone")
                s.close()
            self.workers(d, busy=0)
            d.call("Stop", services=["s"])

    @staticmethod
    def is_honest(pid):
        """Whether it is an honest one: the other forges in a thread of its own."""
        return len(os.listdir(f"/proc/{pid}/task")) == 1


if __name__ == "__main__":
    unittest.main()
