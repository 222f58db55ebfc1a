# SPDX-License-Identifier: MIT
"""DM: the daemon's own life and its surroundings: killed, stopped, told to end at any moment, with a wrong clock, with a log
that nobody reads, without what a machine usually has. The ids are those of docs/faults.md."""
import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest

from faults import FaultTest, set_limit
from harness import (BUILD, MPINETD, PATIENCE, SANITIZED, SLOW, DaemonTest, children_of, cpu_seconds, free_port, need_program,
                     need_root, parse_probe, process_alive, read_all, stays, wait_until)

# Tells its number on each connection, to whatever it listens on.
SERVER = """
import os, signal, socket
s = socket.socket(fileno=3)
while True:
    c, _ = s.accept()
    c.sendall(b"%d" % os.getpid())
    c.close()
"""
DATAGRAMS = """
import os, socket
s = socket.socket(fileno=3)
while True:
    _, peer = s.recvfrom(100)
    s.sendto(b"%d" % os.getpid(), peer)
"""
# Each line of a fifo goes to the file, with the number of who took it.
LINES = """
import os, sys
with open(sys.argv[1], "a", buffering=1) as out:
    rest = b""
    while True:
        *lines, rest = (rest + os.read(3, 4096)).split(b"\\n")
        for line in lines:
            out.write(f"{os.getpid()} {line.decode()}\\n")
"""


# It needs /proc, and nobody who traces.
NO_LEAK_CHECK = {"ASAN_OPTIONS": "exitcode=66:detect_leaks=0"}


def may_raise_limits():
    """CAP_SYS_RESOURCE, which root may be without."""
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1], 16) for line in f if line.startswith("CapEff:")) >> 24 & 1


def on_demand(program, *arguments, **more):
    return {"model": "on-demand", "exec": [sys.executable, "-c", program, *arguments], **more}


def ask_tcp(port):
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
        return read_all(s)


def ask_unix(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(path)
        return read_all(s)


def ask_udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE)
        s.sendto(b"x", ("127.0.0.1", port))
        return s.recv(100)


def kill_at_once(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class KillTest(FaultTest):
    def kill(self, d):
        """Ends it as nothing else can, and gives the same place to the next."""
        d.process.kill()
        d.process.wait()

    def again(self, d):
        self.kill(d)
        return d.start()


class Killed(KillTest):
    weight = 30

    def test_dm_1_at_any_instant(self):
        chance = random.Random(1)
        folder, tcp, udp = self.temporary_folder(), free_port(), free_port()
        config = {"services": {
            "t": {"listen": [f"tcp:127.0.0.1:{tcp}", f"unix:{folder}/t.sock"], "exec": ["cat"]},
            "u": {"listen": [f"udp:127.0.0.1:{udp}", f"unix-dgram:{folder}/u.sock"], "exec": ["mp-echo"]},
            "f": {"listen": f"fifo:{folder}/f", "exec": ["true"]},
            "p": {"listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"], "pool": {"min": 1, "max": 2}}}}
        d = self.daemon(config)
        with d.dial("t") as s:
            s.sendall(b"first")
            self.assertEqual(s.recv(5), b"first")
            for i in range(100 if SLOW else 25):
                self.kill(d)
                d.start(wait=i % 2 == 0)
                if i % 4 == 0:
                    os.kill(d.pid, signal.SIGHUP if i % 8 else signal.SIGUSR2)
                elif i % 4 == 2:
                    d.dial("t").close()
                time.sleep(chance.uniform(0, 0.2 if i % 2 else 0.02))
            # Who was served by the first of them still is.
            s.sendall(b"last")
            self.assertEqual(s.recv(4), b"last")
        self.again(d)
        self.assertEqual(d.ask("t", b"x"), b"x")
        for name in ("t", "u", "f"):
            d.wait_service(name, state="listening" if name != "f" else d.service("f")["state"])
            self.assertEqual([li["error"] for li in d.wait_service(name)["listeners"]],
                             [None] * len(d.service(name)["listeners"]), name)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(f"{folder}/t.sock")
            s.sendall(b"node")
            self.assertEqual(s.recv(4), b"node")
        d.wait_service("p", state="active")

    def test_dm_2_a_process_that_listens_lives_on(self):
        """It answers, alone; its place is taken within a second of its end."""
        folder, tcp, udp = self.temporary_folder(), free_port(), free_port()
        d = self.daemon({"services": {
            "tcp": {"listen": f"tcp:127.0.0.1:{tcp}", **on_demand(SERVER, restart={"policy": "always"}, start="now")},
            "unix": {"listen": f"unix:{folder}/s.sock", **on_demand(SERVER)},
            "udp": {"listen": f"udp:127.0.0.1:{udp}", **on_demand(DATAGRAMS)}}})
        ways = {"tcp": lambda: ask_tcp(tcp), "unix": lambda: ask_unix(f"{folder}/s.sock"), "udp": lambda: ask_udp(udp)}
        first = {name: ask() for name, ask in ways.items()}
        self.kill(d)
        self.addCleanup(lambda: [kill_at_once(int(pid)) for pid in first.values()])
        d.start()
        for name, ask in ways.items():
            with self.subTest(name):
                s = d.service(name)
                self.assertEqual((s["state"], s["last_error"]["errno"], s["spawned"]), ("failed", 98, 0), s)
                self.assertTrue(d.log(service=name, level="error") or d.log(service=name, level="warning"))
                # Some retries later, too.
                time.sleep(0.7)
                self.assertEqual(ask(), first[name])
                self.assertEqual(d.service(name)["spawned"], 0, "no second one beside the first")
                os.kill(int(first[name]), signal.SIGKILL)
                begin = time.monotonic()
                d.wait_service(name, state="active" if name == "tcp" else "listening")
                self.assertLess(time.monotonic() - begin, 1 + (4 if SANITIZED else 2))
                second = ask()
                self.assertNotEqual(second, first[name])
                self.assertEqual(d.service(name)["spawned"], 1)

    def test_dm_2_one_that_has_nothing_to_do_is_left_alone(self):
        """To find out whether it still has its UNIX socket does not wake it."""
        folder = self.temporary_folder()
        d = self.daemon({"services": {"s": {"listen": f"unix:{folder}/s.sock", **on_demand(
            "import socket, sys, time\ns = socket.socket(fileno=3)\nn = 0\nwhile True:\n  c, _ = s.accept()\n  n += 1\n"
            "  c.sendall(b'%d' % n)\n  c.close()\n")}}})
        self.assertEqual(ask_unix(f"{folder}/s.sock"), b"1")
        pid = d.instances("s")[0]["pid"]
        self.addCleanup(kill_at_once, pid)
        self.again(d)
        time.sleep(2)
        self.assertEqual(ask_unix(f"{folder}/s.sock"), b"2")
        self.assertEqual(d.service("s")["state"], "failed")
        os.kill(pid, signal.SIGKILL)
        d.wait_service("s", state="listening")

    def test_dm_2_fifo(self):
        """Two that read it would share its lines."""
        folder = self.temporary_folder()
        out = os.path.join(folder, "out")
        os.mkfifo(f"{folder}/f", 0o600)
        d = self.daemon({"services": {"s": {"listen": f"fifo:{folder}/f", **on_demand(LINES, out)}}})

        def put(text):
            with open(f"{folder}/f", "w", encoding="ascii") as f:
                f.write(text + "\n")

        def lines():
            with contextlib.suppress(FileNotFoundError), open(out, encoding="ascii") as f:
                return [line.split() for line in f.read().splitlines()]
            return []
        put("a")
        wait_until(lambda: len(lines()) == 1, "the first line")
        self.kill(d)
        pid = int(lines()[0][0])
        self.addCleanup(kill_at_once, pid)
        d.start()
        self.assertEqual(d.service("s")["state"], "failed")
        for n in range(10):
            put(f"b{n}")
        wait_until(lambda: len(lines()) == 11, "all lines")
        self.assertEqual({who for who, _ in lines()}, {str(pid)})
        self.assertEqual(d.service("s")["spawned"], 0)
        os.kill(pid, signal.SIGKILL)
        d.wait_service("s", state="listening")
        put("c")
        wait_until(lambda: len(lines()) == 12, "one line more")
        self.assertNotEqual(lines()[-1][0], str(pid))

    def test_dm_2_workers_are_told(self):
        port = free_port()
        for handoff in ("listener", "connection"):
            with self.subTest(handoff):
                d = self.daemon({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "model": "pool", "exec": ["mp-echo"],
                                                    "pool": {"min": 2, "max": 2, "handoff": handoff}}}})
                d.wait_service("s", active=2)
                before = [i["pid"] for i in d.instances("s")]
                self.kill(d)
                for pid in before:
                    wait_until(lambda p=pid: not process_alive(p), "a worker of before to end")
                d.start()
                d.wait_service("s", active=2)
                self.assertEqual(d.ask("s", b"x"), b"x")
                d.stop()

    def test_dm_2_what_is_written_when_nobody_reads(self):
        """SIGPIPE is at its default: one that goes on writing to a log that is gone ends by it; what it does otherwise, and
        what goes elsewhere, is not touched."""
        script = "trap '' HUP; read a; echo said >&2; echo done; read b"
        d = self.daemon({"services": {name: {"listen": "tcp:127.0.0.1:0", "exec": ["sh", "-c", script], "stderr": stderr}
                                      for name, stderr in (("log", "log"), ("discard", "discard"), ("inherit", "inherit"))}})
        with contextlib.ExitStack() as stack:
            clients = {name: stack.enter_context(d.dial(name)) for name in ("log", "discard", "inherit")}
            for name in clients:
                d.wait_service(name, active=1)
            self.kill(d)
            for s in clients.values():
                s.sendall(b"go\n")
            self.assertEqual(clients["discard"].recv(10), b"done\n")
            self.assertEqual(clients["inherit"].recv(10), b"done\n")
            self.assertEqual(read_all(clients["log"]), b"", "ended by SIGPIPE")
        d.start()

    def test_dm_16_second_daemon(self):
        folder, port = self.temporary_folder(), free_port()
        d = self.daemon({"services": {"s": {"listen": [f"tcp:127.0.0.1:{port}", f"unix:{folder}/s.sock"], "exec": ["cat"]}}})
        before = os.stat(f"{folder}/s.sock").st_ino, os.stat(d.socket).st_ino
        for _ in range(3):
            second = subprocess.run([MPINETD, "-c", d.config_path, "-s", d.socket], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False, text=True)
            self.assertEqual(second.returncode, 1)
            self.assertRegex(second.stdout, "already running")
        self.assertEqual((os.stat(f"{folder}/s.sock").st_ino, os.stat(d.socket).st_ino), before)
        self.assertEqual(d.ask("s", b"x"), b"x")


class ToldToEnd(KillTest):
    weight = 30

    def test_dm_4_at_any_instant_of_its_start(self):
        chance = random.Random(2)
        folder = self.temporary_folder()
        config = {"services": {f"s{n}": {"listen": ["tcp:127.0.0.1:0", f"unix:{folder}/{n}.sock"], "exec": ["cat"]}
                               for n in range(20)}}
        d = self.daemon(config, wait=False)
        begin = time.monotonic()
        d.wait_ready()
        takes = time.monotonic() - begin
        d.stop()
        for i in range(200 if SLOW else 40):
            sig = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)[i % 3]
            d.start(wait=False)
            time.sleep(chance.uniform(0, 1.2 * takes))
            os.kill(d.pid, sig)
            status = d.process.wait(PATIENCE + 10)
            # The kernel's loader does not know better yet.
            self.assertIn(status, (0, -sig), d.log_text()[-1000:])
            self.assertFalse(os.path.exists(d.socket), status)
            self.assertEqual(os.listdir(folder), [], status)
        d.process = None

    def test_dm_5_hup_while_it_drains(self):
        d = self.start({"exec": ["cat"]})
        with d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            os.kill(d.pid, signal.SIGTERM)
            d.wait_log(event="stopping")
            for _ in range(5):
                os.kill(d.pid, signal.SIGHUP)
            stays(lambda: d.process.poll() is None and d.status()["daemon"]["state"] == "stopping", "that it stops")
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")
        self.assertEqual(d.process.wait(PATIENCE), 0)
        self.assertFalse(d.log(event="reloaded"))
        d.process = None


@unittest.skipIf(SANITIZED, "nothing is preloaded beside a sanitizer")
class Clock(FaultTest):
    def test_dm_7_wall_clock_jumps(self):
        folder = self.temporary_folder()
        clock = os.path.join(folder, "clock")

        def set_clock(seconds):
            with open(clock + ".new", "w", encoding="ascii") as f:
                f.write(str(int(seconds)))
            os.rename(clock + ".new", clock)
        set_clock(0)
        day = 86400
        d = self.start({"exec": ["cat"], "timeouts": {"lifetime": "1s"}},
                       others={"slow": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "limits": {"rate": "2/s burst 2"}},
                               "again": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now",
                                         "exec": ["sleep", "0.2"], "restart": {"policy": "always", "delay": "100ms",
                                                                               "max_delay": "100ms"}}},
                       environment={"LD_PRELOAD": os.path.join(BUILD, "tests", "helpers", "wrong-clock.so"),
                                    "MP_TEST_CLOCK": clock})
        now = time.time()
        with self.strain(d):
            for offset in (10 * day, -10 * day, -now + 3600, 2.3e9 - now, 5e9 - now, 0):
                with self.subTest(offset=offset):
                    with d.dial_fast("s") as s:
                        s.sendall(b"x")
                        self.assertEqual(s.recv(1), b"x")
                        begin, started = time.monotonic(), d.service("again")["spawned"]
                        set_clock(offset)
                        stays(lambda: d.service("s")["active"] == 1, "the connection", seconds=0.5)
                        self.assertEqual(read_all(s), b"")
                        self.assertLess(time.monotonic() - begin, 3, "timeouts.lifetime")
                    wait_until(lambda n=started: d.service("again")["spawned"] > n, "what is started again")
                    for _ in range(4):
                        self.assertEqual(d.ask("slow", b"x", timeout=5), b"x")
                    told = d.status()["services"][0]["since_usec"] / 1e6
                    self.assertLess(abs(told - now), abs(offset) + 11 * day + 6e9)
        self.assertTrue(any(e["time"].startswith("1970-") for e in d.log()), "the log goes by the clock")
        self.assertEqual(d.service("s")["exited"]["timeout"], 6)

    @need_root
    @need_program("unshare")
    def test_dm_7_another_time_since_boot(self):
        for offset in ("100000000", "3000000000"):
            with self.subTest(offset=offset):
                wrap = ["unshare", "-T", f"--monotonic={offset}", f"--boottime={offset}"]
                if subprocess.run([*wrap, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
                    self.skipTest("no time namespaces")
                d = self.start({"exec": ["cat"], "timeouts": {"lifetime": "500ms"}}, wrap=wrap)
                with d.dial("s") as s:
                    self.assertEqual(read_all(s), b"")
                d.wait_service("s", active=0)
                self.assertLess(d.status()["daemon"]["uptime_usec"], 600e6)
                d.stop()


class Stopped(FaultTest):
    weight = 20

    def test_dm_8_stopped_for_long(self):
        seconds = 30 if SLOW else 5
        alive = ("import os, signal, time\nfd = int(os.environ.get('MP_STATUS_FD', 1))\nos.write(fd, b'READY=1\\n')\n"
                 "while True:\n  os.write(fd, b'WATCHDOG=1\\n')\n  time.sleep(0.2)\n")
        late = "import os, time\ntime.sleep(2)\nos.write(int(os.environ['MP_STATUS_FD']), b'READY=1\\n')\ntime.sleep(1000)\n"
        quick = {"timeouts": {"watchdog": "1500ms", "start": "3s", "stop": "1s"}, "notify": "status", "start": "now",
                 "report": True}
        d = self.start({"exec": ["cat"]}, others={
            "alive": {"listen": "tcp:127.0.0.1:0", **on_demand(alive, **quick)},
            "late": {"listen": "tcp:127.0.0.1:0", **on_demand(late, **{**quick, "timeouts": {"start": "4s", "stop": "1s"}})},
            "pool": {"listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"], "pool": {"min": 2, "max": 4}},
            "proxy": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "proxy_protocol": {"accept_from": ["127.0.0.1"]}},
            "ahead": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "prespawn": 2}})
        d.wait_service("pool", state="active")
        d.wait_service("alive", state="active")
        wait_until(lambda: d.instances("late"), "the one that is slow to be ready")
        pids = {i["pid"] for name in ("alive", "late", "pool") for i in d.instances(name)}
        port, ports = d.port("s"), {name: d.port(name) for name in ("proxy", "ahead")}
        with contextlib.ExitStack() as stack, d.connect() as control:
            waiting = stack.enter_context(socket.create_connection(("127.0.0.1", ports["proxy"]), PATIENCE))
            d.wait_service("proxy", accepted=0)
            control.send("Ping")
            control.receive()
            os.kill(d.pid, signal.SIGSTOP)
            try:
                clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
                           for _ in range(200 if SLOW else 100)]
                for s in clients:
                    s.sendall(b"x")
                waiting.sendall(b"PROXY TCP4 192.0.2.1 127.0.0.1 1000 80\r\nhello")
                ahead = stack.enter_context(socket.create_connection(("127.0.0.1", ports["ahead"]), PATIENCE))
                ahead.sendall(b"a")
                time.sleep(seconds)
            finally:
                os.kill(d.pid, signal.SIGCONT)
            for s in [*clients, ahead]:
                s.settimeout(2 * PATIENCE)
                self.assertIn(s.recv(1), b"xa")
            self.assertEqual(waiting.recv(5), b"hello")
            control.send("Ping")
            self.assertEqual(control.receive()["parameters"]["pid"], d.pid)
            d.wait_service("late", state="active")
            # Not a moment later, either.
            stays(lambda: all(process_alive(pid) for pid in pids), "the processes of before", seconds=3)
        for name in ("alive", "late", "pool", "s", "ahead"):
            s = d.service(name)
            self.assertEqual((s["exited"]["timeout"], s["exited"]["signaled"], s["spawn_failed"]), (0, 0, 0), s)

    def test_dm_8_frozen_with_its_processes(self):
        """They could not say anything either."""
        alive = ("import os, time\nfd = int(os.environ['MP_STATUS_FD'])\nos.write(fd, b'READY=1\\n')\n"
                 "while True:\n  os.write(fd, b'WATCHDOG=1\\n')\n  time.sleep(0.2)\n")
        d = self.start({"exec": ["cat"]}, others={
            "alive": {"listen": "tcp:127.0.0.1:0", **on_demand(alive, timeouts={"watchdog": "1s"}, notify="status",
                                                               start="now", report=True)}})
        d.wait_service("alive", state="active")
        pid = d.instances("alive")[0]["pid"]
        for p in (pid, d.pid):
            os.kill(p, signal.SIGSTOP)
        time.sleep(4)
        os.kill(d.pid, signal.SIGCONT)
        time.sleep(0.2)
        os.kill(pid, signal.SIGCONT)
        stays(lambda: process_alive(pid), "the process", seconds=2)
        self.assertEqual(d.service("alive")["exited"]["timeout"], 0)
        # One that stays silent while the daemon watches is still ended.
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: not process_alive(pid), "its end")
        d.wait_service("alive", active=0)


def with_stderr(target):
    """Its log goes there."""
    return ["sh", "-c", f'exec "$@" 2>{target}', "sh"]


class Log(FaultTest):
    """DM-11: nobody takes what it says."""
    weight = 20

    def serve_much(self, d, n=300):
        for _ in range(n):
            with d.dial_fast("s") as s:
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")

    def test_dm_11_full(self):
        d = self.start({"exec": ["cat"]}, wrap=with_stderr("/dev/full"))
        with self.strain(d):
            self.serve_much(d)
        self.rests(d)

    def test_dm_11_nobody_reads_any_more(self):
        read, write = os.pipe()
        d = self.start({"exec": ["cat"]}, wrap=with_stderr(f"&{write}"), pass_fds=(write,))
        os.close(write)
        os.close(read)
        with self.strain(d):
            self.serve_much(d)
        self.rests(d)

    def test_dm_11_the_reader_stops(self):
        """Then it goes on, and is told how much it has missed."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        d = self.start({"exec": ["sh", "-c", "cat; echo line >&2"]}, wrap=with_stderr(f"&{write}"), pass_fds=(write,))
        os.close(write)
        with self.strain(d):
            self.serve_much(d, 500)
        self.rests(d)
        os.set_blocking(read, False)
        got = []

        def lines(until):
            with contextlib.suppress(BlockingIOError):
                while data := os.read(read, 65536):
                    got.append(data)
            text = b"".join(got).decode().splitlines()
            return [line for line in text if until in line]
        lines("")
        d.ask("s", b"x")
        wait_until(lambda: d.ask("s", b"x") and sum(json.loads(line)["lines"] for line in lines("log_lost")) > 100,
                   "the number of lines that were lost")
        said = b"".join(got).decode()
        for line in said[said.index("{\"time"):].splitlines()[:-1]:
            json.loads(line)
        wait_until(lambda: d.ask("s", b"x") and len(lines('"ended"')) > 1, "lines as before")

    def test_dm_11_a_socket_that_nobody_reads(self):
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        d = self.start({"exec": ["cat"]}, wrap=with_stderr(f"&{other.fileno()}"), pass_fds=(other.fileno(),))
        other.close()
        with self.strain(d):
            self.serve_much(d, 500)
        self.rests(d)

    @need_root
    @need_program("unshare", "mount")
    def test_dm_11_disk_full(self):
        folder = self.temporary_folder()
        script = (f'mount -t tmpfs -o size=64k none {folder} && exec "$@" 2>>{folder}/log')
        d = self.start({"exec": ["cat"]}, wrap=["unshare", "-m", "sh", "-c", script, "sh"])
        seen = f"/proc/{d.pid}/root{folder}/log"
        with self.strain(d):
            self.serve_much(d, 600)
        self.assertLessEqual(os.stat(seen).st_size, 65536)
        self.assertGreater(os.stat(seen).st_size, 60000)
        os.truncate(seen, 0)
        wait_until(lambda: d.ask("s", b"x") and self.text(seen).count("log_lost"), "what was lost")
        for line in self.text(seen).splitlines():
            # Where the rest of a line was cut off with the file it begins in the middle.
            if line.startswith("{"):
                json.loads(line)
        self.rests(d)

    @staticmethod
    def text(path):
        with open(path, encoding="utf-8") as f:
            return f.read()


def in_mounts(*steps):
    """Started where these steps were taken in mounts of its own."""
    return ["unshare", "-m", "sh", "-ec", "; ".join(steps) + '; exec "$@"', "sh"]


class Surroundings(FaultTest):
    """DM-9, DM-13, DM-14: not what it is used to."""
    weight = 20

    def check(self, d):
        self.assertEqual(d.ask("s", b"hello"), b"hello")
        self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(d.ask("s", b"again"), b"again")
        self.rests(d)

    def says(self, wanted, status=1, **options):
        """It does not start, and says why."""
        d = self.start({"exec": ["cat"]}, wait=False, **options)
        self.assertEqual(d.process.wait(PATIENCE), status, d.log_text())
        d.process = None
        self.assertRegex(d.log_text(), wanted)

    def test_dm_9_without_descriptors(self):
        for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"):
            with self.subTest(closed):
                d = self.start({"exec": ["{probe}"], "stderr": "inherit"}, wrap=["sh", "-c", f'exec "$@" {closed}', "sh"])
                p = d.probe("s")
                self.assertEqual(sorted(p["by_fd"]), [0, 1, 2])
                self.assertEqual(p["by_fd"][0]["type"], "socket")
                self.assertNotEqual(p["by_fd"][2]["type"], "socket")
                self.assertTrue(all(os.readlink(f"/proc/{d.pid}/fd/{fd}") for fd in (0, 1, 2)))
                self.assertFalse(any("socket" in os.readlink(f"/proc/{d.pid}/fd/{fd}") for fd in (0, 1, 2)))
                d.stop()

    def fifty_more(self):
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open("/dev/zero", "rb")) for _ in range(50)]
            yield tuple(f.fileno() for f in files)

    def test_dm_9_with_fifty_more(self):
        for fds in self.fifty_more():
            d = self.start({"exec": ["{probe}"]}, pass_fds=fds)
            self.assertEqual(sorted(d.probe("s")["by_fd"]), [0, 1, 2])
            self.assertTrue(d.call("Reload")["ok"])
            self.assertEqual(sorted(d.probe("s")["by_fd"]), [0, 1, 2])

    @need_program("strace")
    def test_dm_13_no_close_range(self):
        wrap = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=close_range", "-e",
                "inject=close_range:error=ENOSYS"]
        for fds in self.fifty_more():
            d = self.start({"exec": ["{probe}"]}, pass_fds=fds, wrap=wrap, environment=NO_LEAK_CHECK)
            self.assertEqual(sorted(d.probe("s")["by_fd"]), [0, 1, 2])

    def test_dm_13_folder_deleted(self):
        gone = os.path.join(self.temporary_folder(), "gone")
        d = self.start({"exec": ["cat"]}, wrap=["sh", "-c", f'mkdir {gone}; cd {gone}; rmdir {gone}; exec "$@"', "sh"])
        self.check(d)

    @need_root
    @need_program("unshare", "mount", "umount")
    @unittest.skipIf(SANITIZED, "the sanitizer reads its own options from /proc")
    def test_dm_13_no_proc(self):
        folder = self.temporary_folder()
        d = self.start({"exec": ["cat"]}, wrap=in_mounts("mount -t tmpfs none /proc"), others={
            "f": {"listen": [{"endpoint": f"fifo:{folder}/f", "mode": "0622"}], "exec": ["sh", "-c", "read a <&3"]},
            "u": {"listen": [{"endpoint": f"unix:{folder}/u", "mode": "0600", "user": "games"}], "exec": ["cat"]}})
        self.check(d)
        d.wait_service("f", state="listening")
        self.assertEqual(os.stat(f"{folder}/f").st_mode & 0o777, 0o622)
        with open(f"{folder}/f", "w", encoding="ascii") as f:
            f.write("x\n")
        wait_until(lambda: d.service("f")["exited"]["ok"] == 1, "the process of the fifo")
        self.assertEqual(d.ask("u", b"x"), b"x")

    @need_root
    @need_program("unshare", "mount")
    def test_dm_13_empty_dev(self):
        self.says("/dev/null.*No such file", wrap=in_mounts("mount -t tmpfs none /dev"))
        self.says("/dev/null.*No such file", wrap=["unshare", "-m", "sh", "-ec",
                                                   'mount -t tmpfs none /dev; exec "$@" 0<&-', "sh"])

    @need_root
    @need_program("unshare", "mount")
    def test_dm_13_read_only_root(self):
        folder = self.temporary_folder()
        d = self.start({"exec": ["cat"]}, folder=folder,
                       wrap=in_mounts(f"mount --bind {folder} {folder}", "mount -o remount,bind,ro /"))
        self.check(d)
        d.stop()
        self.says(r"lock of the control socket /.*Read-only file system", folder=folder, wrap=in_mounts(
            f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}"))

    @need_root
    @need_program("unshare", "mount")
    def test_dm_13_no_users(self):
        config = {"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]},
                               "n": {"listen": "tcp:127.0.0.1:0", "exec": ["id", "-u"], "user": "12345", "group": "12345"},
                               "w": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "user": "games"}}}
        d = self.daemon(config, wrap=in_mounts("mount --bind /dev/null /etc/passwd", "mount --bind /dev/null /etc/group"))
        self.assertEqual(d.ask("s", b"x"), b"x")
        self.assertEqual(d.ask("n"), b"12345\n")
        w = d.service("w")
        self.assertEqual(w["state"], "failed")
        self.assertRegex(w["last_error"]["message"], "games")

    def test_dm_14_small_limits(self):
        for limit in ("--fsize=0:0", "--fsize=0:", "--stack=65536", "--core=0:0", "--core=unlimited", "--memlock=0:0", "--sigpending=0:0",
                      "--msgqueue=0:0", "--nice=0", "--rtprio=0"):
            with self.subTest(limit):
                if SANITIZED and "stack" in limit:
                    continue
                d = self.start({"exec": ["{bad-child}", "half-close"]}, wrap=["prlimit", limit, "--"], others={
                    "pool": {"listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"], "pool": {"min": 1, "max": 1}}})
                self.assertEqual(d.ask("s", b"hello"), b"got 5 bytes, then the end\n")
                # The config comes as a file in memory: below a hard limit only who may raise it can write one.
                if limit != "--fsize=0:0" or may_raise_limits():
                    self.assertTrue(d.call("Reload")["ok"])
                self.assertEqual(d.ask("pool", b"x"), b"x")
                self.check_sums(d.wait_idle("s"))
                d.stop()

    def test_dm_14_processor_time(self):
        d = self.start({"exec": ["cat"]})
        used = int(cpu_seconds(d.pid))
        set_limit(d.pid, resource.RLIMIT_CPU, used + 1, used + 1000)
        with d.connect() as control:
            def burnt():
                for _ in range(200):
                    control.send("Ping")
                for _ in range(200):
                    control.receive()
                return d.log(event="error")
            wait_until(burnt, "the line about its processor time", deadline=120)
        self.assertEqual(d.ask("s", b"x"), b"x")
        time.sleep(1.2)
        self.assertEqual(len(d.log(event="error")), 1)
        self.assertRegex(d.log(event="error")[0]["message"], "RLIMIT_CPU")
        d.wait_idle("s")

    def test_huge_environment(self):
        big = {f"BIG_{n}": "x" * 100000 for n in range(11)}
        d = self.start({"exec": ["{probe}"]}, environment={**big, **{f"MANY_{n}": "y" for n in range(5000)}})
        p = d.probe("s")
        self.assertFalse([name for name in p["env"] if name.startswith(("BIG_", "MANY_"))])
        self.assertTrue(d.call("Reload")["ok"])


if __name__ == "__main__":
    unittest.main()
