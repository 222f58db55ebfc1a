# SPDX-License-Identifier: MIT
"""SE: what a process gets from the daemon, and what it cannot do to others. The ids are those of docs/faults.md."""
import contextlib
import grp
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import unittest

from faults import ordinary_user
from harness import (BUILD, SANITIZED, DaemonTest, children_of, listening_sockets, need_program,
                     need_root, parse_probe, process_state, read_all, wait_until)

CAPABILITIES = ("CapEff", "CapPrm", "CapInh", "CapAmb")
# Of a daemon that is somebody else from the start, and may bind low ports all the same: as by AmbientCapabilities=.
AMBIENT = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"]


def kinds(probe, out):
    """{name: service}: one of each way by which a process comes about; each writes what it sees to a file or its client."""
    hold = [probe, "--hold", "--to"]
    return {
        "stdio": {"exec": [probe]},
        "fds": {"exec": [probe], "pass": "listen_fds"},
        "ahead": {"exec": [probe], "prespawn": 1},
        "demand": {"exec": [*hold, f"{out}/demand"], "model": "on-demand", "start": "now"},
        "wait": {"exec": [*hold, f"{out}/wait"], "model": "on-demand", "start": "now", "pass": "stdio"},
        "udp": {"exec": [*hold, f"{out}/udp"], "listen": "udp:127.0.0.1:0", "start": "now"},
        "pool": {"exec": [*hold, f"{out}/pool"], "model": "pool", "pool": {"min": 1, "max": 1}},
        "passed": {"exec": [*hold, f"{out}/passed"], "model": "pool",
                   "pool": {"min": 1, "max": 1, "handoff": "connection"}},
        "backend": {"exec": [*hold, f"{out}/backend"], "model": "forward", "to": "unix:{dir}/to.sock", "start": "now"},
        "mux": {"model": "tcpmux"},
        "muxed": {"exec": [probe], "tcpmux": "muxed", "listen": []},
    }


class SeTest(DaemonTest):
    def begin(self, defaults=None, only=None, **options):
        self.out = self.temporary_folder()
        os.chmod(self.out, 0o1777)
        services = {name: {"listen": "tcp:127.0.0.1:0", **service} for name, service in kinds("{probe}", self.out).items()
                    if not only or name in only}
        services.get("muxed", {}).pop("listen", None)
        config = {"services": services, "defaults": {"user": "self", **(defaults or {})}}
        return self.daemon(config, **options)

    def probes(self, d):
        """{kind: what its process says of itself}"""
        found = {}
        for name in [s["name"] for s in d.status()["services"]]:
            if name == "mux":
                continue
            if name in ("stdio", "fds", "ahead"):
                found[name] = d.probe(name)
            elif name == "muxed":
                with d.dial("mux") as s:
                    s.sendall(b"muxed\r\n")
                    found[name] = parse_probe(read_all(s))
            else:
                path = os.path.join(self.out, name)
                wait_until(lambda p=path: os.path.exists(p), f"the process of {name}")
                with open(path, "rb") as f:
                    found[name] = parse_probe(f.read())
        return found


class Identity(SeTest):
    weight = 20

    @need_root
    def test_se_1_every_kind_and_user(self):
        nobody, games = pwd.getpwnam("nobody"), pwd.getpwnam("games")
        daemon, adm = grp.getgrnam("daemon").gr_gid, grp.getgrnam("adm").gr_gid
        for words, uid, gid, groups in (
                ({"user": "games"}, games.pw_uid, games.pw_gid, os.getgrouplist("games", games.pw_gid)),
                ({"user": "nobody", "group": "daemon", "supplementary_groups": ["adm"]}, nobody.pw_uid, daemon, [adm]),
                ({"user": "4711", "group": "4712"}, 4711, 4712, []),
                ({"user": "root"}, 0, 0, None)):
            with self.subTest(words):
                d = self.begin(words)
                for kind, p in self.probes(d).items():
                    status = p["status"]
                    self.assertEqual(status["Uid"].split(), [str(uid)] * 4, kind)
                    self.assertEqual(status["Gid"].split(), [str(gid)] * 4, kind)
                    if groups is not None:
                        self.assertEqual(set(map(int, status["Groups"].split())) - {gid}, set(groups) - {gid}, kind)
                    self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "0"), kind)
                    for name in CAPABILITIES if uid != 0 else ("CapInh", "CapAmb"):
                        self.assertEqual(int(status[name], 16), 0, (kind, name))
                d.stop()

    @need_root
    @need_program("setpriv")
    def test_se_1_what_the_daemon_may_is_its_own(self):
        """Ambient and inheritable capabilities would go on to every program."""
        # Its parent may give what it has itself.
        for options, user in ((ordinary_user(self, 4711, *AMBIENT), "self"),
                              ({"wrap": ["setpriv", AMBIENT[0], "--"]}, "games")):
            with self.subTest(user):
                port = 1023
                while port > 600:
                    with contextlib.suppress(OSError), socket.socket() as s:
                        s.bind(("127.0.0.1", port))
                        break
                    port -= 1
                d = self.daemon({"services": {
                    "s": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"], "user": user},
                    "ahead": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"], "user": user, "prespawn": 1},
                    "low": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"], "user": user}}}, **options)
                with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
                    own = dict(line.rstrip("\n").split(":\t") for line in f if line.startswith("Cap"))
                self.assertNotEqual(int(own["CapInh"], 16), 0, "the daemon has some")
                for name in ("s", "ahead"):
                    p = d.probe(name)
                    for which in CAPABILITIES:
                        self.assertEqual(int(p["status"][which], 16), 0, (name, which))
                # Its own use of them goes on.
                self.assertEqual(d.service("low")["state"], "listening")
                d.stop()


class Inherited(SeTest):
    weight = 20

    def test_se_2_descriptors(self):
        d = self.begin()
        probes = self.probes(d)
        declared = {"stdio": [0, 1, 2], "fds": [0, 1, 2, 3], "ahead": [0, 1, 2], "demand": [0, 1, 2, 3, 4], "wait": [0, 1, 2],
                    "udp": [0, 1, 2, 3, 4], "muxed": [0, 1, 2]}
        for kind, p in probes.items():
            with self.subTest(kind):
                fds = p["by_fd"]
                self.assertEqual([f["fd"] for f in p["fds"] if f["cloexec"]], [])
                if kind in declared:
                    self.assertEqual(sorted(fds), declared[kind])
                else:
                    # 3: the listener, or where connections come; the status pipe, the scoreboard.
                    self.assertEqual(sorted(fds)[:3], [0, 1, 2])
                    named = {int(p["env"][name]) for name in ("MP_STATUS_FD", "MP_CONNECTION_FD", "MP_SCOREBOARD_FD")
                             if name in p["env"]}
                    named |= set(range(3, 3 + int(p["env"].get("LISTEN_FDS", "0"))))
                    self.assertEqual(set(fds) - {0, 1, 2}, named)
                # Whose connection it is, it may wait on.
                if kind in ("stdio", "ahead", "muxed"):
                    self.assertEqual((fds[0]["type"], fds[0]["nonblock"]), ("socket", False))
                self.assertEqual(fds[2]["type"], "pipe")
                for fd in fds.values():
                    self.assertNotIn("anon_inode", fd["target"])
                    self.assertFalse(fd["type"] in ("file", "folder") and "memfd" not in fd["target"], fd)

    def test_se_4_environment(self):
        secrets = {"SECRET_TOKEN": "x", "NOTIFY_SOCKET": "/nonexistent", "WATCHDOG_USEC": "3000000000", "WATCHDOG_PID": "1",
                   "INVOCATION_ID": "abc", "CREDENTIALS_DIRECTORY": "/run/credentials/x", "JOURNAL_STREAM": "8:1",
                   "MAINPID": "1", "MANAGERPID": "1", "LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:c",
                   "SYSTEMD_EXEC_PID": "1", "BASH_ENV": "/x", "IFS": "x", "PYTHONPATH": "/x"}
        if not SANITIZED:
            secrets["LD_PRELOAD"] = os.path.join(BUILD, "tests", "helpers", "wrong-clock.so")
        d = self.begin(environment=secrets)
        own = {"demand", "wait", "udp", "pool", "passed", "backend", "fds"}
        for kind, p in self.probes(d).items():
            left = {name: p["env"][name] for name in secrets if name in p["env"]}
            if kind in own:
                # Of its own kind and for itself.
                left = {name: value for name, value in left.items() if not name.startswith("LISTEN_")
                        or value == secrets[name]}
            self.assertEqual(left, {}, kind)

    def test_se_5_signals(self):
        script = ("import os, signal, sys\nfor s in (signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE, signal.SIGINT):\n"
                  "  signal.signal(s, signal.SIG_IGN)\n"
                  "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, 40})\n"
                  "os.kill(os.getpid(), signal.SIGUSR1)\nos.execv(sys.argv[1], sys.argv[1:])\n")
        d = self.begin(wrap=[sys.executable, "-c", script])
        for kind, p in self.probes(d).items():
            for mask in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"):
                self.assertEqual(int(p["status"][mask], 16), 0, (kind, mask))
        # It reaps, and obeys.
        for _ in range(5):
            d.probe("stdio")
        d.wait_idle("stdio")
        self.assertEqual(d.service("stdio")["exited"]["ok"], 6)
        d.stop(signal.SIGINT)


PYTHON = "/usr/bin/python3"
INTRUDER = """
import ctypes, os, signal, sys
other, daemon = int(sys.argv[1]), int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
def tries(what, do):
    try:
        do()
        print(what)
    except OSError:
        pass
def attach(pid):
    if libc.ptrace(16, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "")
    libc.ptrace(17, pid, 0, 0)
def getfd(pid):
    pidfd = os.pidfd_open(pid)
    fd = libc.syscall(438, pidfd, 0, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "")
for name, pid in (("other", other), ("daemon", daemon)):
    tries(f"reads the descriptors of {name}", lambda: os.listdir(f"/proc/{pid}/fd"))
    tries(f"opens a descriptor of {name}", lambda: os.open(f"/proc/{pid}/fd/0", os.O_RDONLY))
    tries(f"reads the environment of {name}", lambda: open(f"/proc/{pid}/environ").read())
    tries(f"reads the memory of {name}", lambda: open(f"/proc/{pid}/mem"))
    tries(f"traces {name}", lambda: attach(pid))
    tries(f"takes a descriptor of {name}", lambda: getfd(pid))
    tries(f"signals {name}", lambda: os.kill(pid, 0))
    tries(f"lowers the limits of {name}", lambda: __import__("resource").prlimit(pid, 7, (10, 10)))
print("done")
"""


class Apart(DaemonTest):
    @need_root
    @unittest.skipUnless(os.access(PYTHON, os.X_OK), "needs a python that every user may run")
    def test_se_7_two_users(self):
        d = self.daemon({"services": {
            "b": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "user": "nobody"},
            "ahead": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "user": "nobody", "prespawn": 1},
            "a": {"listen": "tcp:127.0.0.1:0", "exec": ["{dir}/intruder"], "user": "games"}}}, wait=None)
        self.write(d, 1)
        d.start()
        with d.dial("b") as victim:
            victim.sendall(b"x")
            self.assertEqual(victim.recv(1), b"x")
            others = [pid for pid, state in children_of(d.pid) if state != "Z"]
            self.assertGreaterEqual(len(others), 2, "a process, and one that is set up ahead")
            for pid in others:
                self.write(d, pid)
                self.assertEqual(d.ask("a", timeout=30), b"done\n", process_state(pid))

    @staticmethod
    def write(d, pid):
        daemon = d.process.pid if d.process else 1
        # Beside the one that may be running: nobody can write to a program that runs.
        with open(d.path("intruder.new"), "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec {PYTHON} - {pid} {daemon} <<'END'\n{INTRUDER}\nEND\n")
        os.chmod(d.path("intruder.new"), 0o755)
        os.rename(d.path("intruder.new"), d.path("intruder"))


class Installed(DaemonTest):
    """SE-8: as it comes."""

    @need_program("meson", "ninja")
    @unittest.skipIf(SANITIZED, "once is enough")
    def test_se_8_files(self):
        staging = self.temporary_folder()
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", staging], check=True,
                       stdout=subprocess.DEVNULL)
        seen = 0
        for folder, folders, files in os.walk(staging):
            for name in folders + files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                if stat.S_ISLNK(st.st_mode):
                    continue
                seen += 1
                self.assertEqual(st.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH | stat.S_IWGRP), 0, path)
                self.assertEqual(subprocess.run(["getcap", path], check=False, stdout=subprocess.PIPE).stdout
                                 if os.path.exists("/sbin/getcap") else b"", b"", path)
        self.assertGreater(seen, 20)

    @need_root
    @need_program("unshare")
    def test_se_8_nothing_listens_but_what_is_written(self):
        """In a network of its own; the config as it is shipped has no service."""
        root = os.path.join(os.path.dirname(__file__), "..", "..")
        with open(os.path.join(root, "conf", "mpinetd.yaml"), encoding="utf-8") as f:
            text = f.read()
        d = self.daemon(text, wrap=["unshare", "-n"])
        sockets = {target for fd in os.listdir(f"/proc/{d.pid}/fd")
                   if (target := os.readlink(f"/proc/{d.pid}/fd/{fd}")).startswith("socket:")}
        self.assertEqual(len(sockets & listening_sockets(d.pid)), 1, "the control socket")
        self.assertEqual(stat.S_IMODE(os.stat(d.socket).st_mode), 0o660)
        self.assertEqual(stat.S_IMODE(os.stat(d.socket + ".lock").st_mode), 0o600)
        for table in ("tcp", "tcp6", "udp", "udp6", "raw", "packet"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{d.pid}/net/{table}", encoding="ascii") as f:
                self.assertEqual(f.read().splitlines()[1:], [], table)
        self.assertEqual(sorted(os.listdir(d.dir)), ["control.sock", "control.sock.lock", "log.json", "mpinetd.yaml"])
        self.assertEqual(d.status()["services"], [])


if __name__ == "__main__":
    unittest.main()
