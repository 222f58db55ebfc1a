# SPDX-License-Identifier: MIT
"""The daemon under valgrind's memcheck: no error, nothing lost, no descriptor left that it opened itself. One scenario for
each thing that it does. There CLONE_VM does not exist, so that processes start by the plain way of vfork(2).

Part of the slow form: under valgrind everything takes many times as long."""
import contextlib
import glob
import os
import re
import shutil
import signal
import socket
import unittest

import harness
from harness import (SANITIZED, SLOW, DaemonTest, VarlinkError, exchange, free_port, lasting_descriptors_of, need_program,
                     need_root, wait_until)
from test_cgroup import can_divide
from test_sandbox import has_user_namespaces

ECHO = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
# What all waiting here may take, against what it may take without valgrind.
SLOWER = 20
# "Open file descriptor 7: /some/file", "Open pf-16 socket 7:", and where it was opened, or that it was there before.
DESCRIPTOR = re.compile(r"== Open [^:\n]*?(\d+):.*\n==\d+== +(.*)")
ERRORS = re.compile(r"ERROR SUMMARY: (\d+) errors")
# What is no summary, but an error of a process that has become another program before it came to one.
# mount(2) takes no type where it makes no new mount, of which valgrind 3.19 does not know.
MISTAKES = re.compile(r"Invalid .*|.*uninitialised.*|Syscall param (?!mount\(type\)).*unaddressable.*|Mismatched free.*"
                      r"|Source and destination overlap.*|Argument '.*' of function .*|Process terminating .* signal (?!9 |15 ).*|.*[Uu]nsupported clone.*|Jump to .*")


def lost_descriptors(text):
    """[(number, where it was opened)] of those that were open at the end and had not been inherited."""
    return [(int(fd), where) for fd, where in DESCRIPTOR.findall(text) if "<inherited from parent>" not in where]


def problems(text):
    """What memcheck has to say of one process."""
    counted = ERRORS.findall(text)
    if not counted:
        return ["it wrote no summary"]
    found = [f"{counted[-1]} errors"] if counted[-1] != "0" else []
    return found + [f"descriptor {fd} was left open, {where}" for fd, where in lost_descriptors(text)]


class Verdicts(unittest.TestCase):
    """That what valgrind writes is read as it is meant."""
    CLEAN = ("==7== FILE DESCRIPTORS: 4 open (3 std) at exit.\n==7== Open file descriptor 10: /dev/null\n"
             "==7==    <inherited from parent>\n==7== \n==7== ERROR SUMMARY: 0 errors from 0 contexts (suppressed: 0 from 0)\n")
    LOST = ("==7== FILE DESCRIPTORS: 5 open (3 std) at exit.\n==7== Open AF_INET socket 6: 127.0.0.1:7 <-> unbound\n"
            "==7==    at 0x49E8B57: socket (syscall-template.S:120)\n==7==    by 0x1: bind_open (bind.c:1)\n==7== \n"
            "==7== Open file descriptor 5: /tmp/x\n==7==    at 0x49E8B57: open (open64.c:41)\n==7== \n"
            "==7== ERROR SUMMARY: 2 errors from 1 contexts (suppressed: 0 from 0)\n")

    # What has no name, and what valgrind 3.19 has no word for: netlink, and a socket that does not say what it is.
    NAMELESS = ("==7== Open file descriptor 8:\n==7==    at 0x1: epoll_create1 (x.c:1)\n==7== \n"
                "==7== Open pf-16 socket 9:\n==7==    at 0x1: socket (x.c:1)\n==7== \n"
                "==7== Open socket 11:\n==7==    at 0x1: socket (x.c:1)\n==7== \n"
                "==7== Open AF_UNIX socket 12: /tmp/x:3\n==7==    at 0x1: socket (x.c:1)\n==7== \n"
                "==7== Open AF_INET6 socket 13: ::1:7 <-> unbound\n==7==    <inherited from parent>\n==7== \n"
                "==7== ERROR SUMMARY: 0 errors from 0 contexts (suppressed: 0 from 0)\n")

    def test_problems(self):
        self.assertEqual(problems(self.CLEAN), [])
        self.assertEqual(len(problems(self.LOST)), 3)
        self.assertEqual([fd for fd, _ in lost_descriptors(self.LOST)], [6, 5])
        self.assertEqual([fd for fd, _ in lost_descriptors(self.NAMELESS)], [8, 9, 11, 12])
        self.assertEqual(problems("==7== Memcheck, a memory error detector\n"), ["it wrote no summary"])


@need_program("valgrind")
@unittest.skipUnless(SLOW, "only in the slow form")
@unittest.skipIf(SANITIZED, "no valgrind over a sanitizer")
class ValgrindTest(DaemonTest):
    weight = 20

    @classmethod
    def setUpClass(cls):
        cls.patience = harness.PATIENCE
        harness.PATIENCE *= SLOWER

    @classmethod
    def tearDownClass(cls):
        harness.PATIENCE = cls.patience

    def start(self, services, options=(), environment=None, **more):
        self.logs = os.path.join(self.temporary_folder(), "memcheck.")
        wrap = [shutil.which("valgrind"), "--track-fds=yes", "--leak-check=full",
                "--show-leak-kinds=definite,indirect,possible", "--errors-for-leak-kinds=definite,indirect,possible",
                "--num-callers=20", *options, "--log-file=" + self.logs + "%p"]
        environment = {"MPINETD_SPAWN": "vfork", **(environment or {})}
        return self.daemon({"services": services, **more}, wrap=wrap, environment=environment)

    def refuses(self, d):
        """A reload of a config that is not valid."""
        with self.assertRaises(VarlinkError) as caught:
            d.call("Reload")
        self.assertTrue(caught.exception.name.endswith(".InvalidConfig"), caught.exception)

    def remarks(self):
        """{number of the process: what memcheck wrote of it}"""
        found = {}
        for path in glob.glob(self.logs + "*"):
            with open(path, encoding="utf-8", errors="replace") as file:
                found[int(path.removeprefix(self.logs))] = file.read()
        return found

    def finish(self, d, sig=signal.SIGTERM):
        """Ends the daemon, and looks at what memcheck wrote of it, and of its children before they were another program."""
        pid = d.pid
        d.stop(sig)
        remarks = self.remarks()
        self.assertEqual(problems(remarks.pop(pid, "")), [], d.log_text()[-2000:])
        for text in remarks.values():
            # A child has all that its parent had, and goes over to its program with it: nothing is lost by that.
            self.assertEqual(MISTAKES.findall(text), [], text[-6000:])


class StartAndStop(ValgrindTest):
    def test_endpoints_of_all_kinds(self):
        d = self.start({
            "tcp": {**ECHO, "listen": ["tcp:127.0.0.1:0", "udp:127.0.0.1:0"], "model": "on-demand"},
            "unix": {**ECHO, "listen": "unix:{dir}/s"},
            "dgram": {**ECHO, "listen": "unix-dgram:{dir}/d"},
            "seqpacket": {**ECHO, "listen": "unix-seqpacket:{dir}/q"},
            "fifo": {"listen": "fifo:{dir}/f", "exec": ["cat"]},
            "off": {**ECHO, "enabled": False},
            "missing": {"listen": "tcp:127.0.0.1:0", "exec": ["/nonexistent/program"]}})
        self.assertEqual(d.service("missing")["state"], "failed")
        self.finish(d)

    def test_a_config_that_is_refused(self):
        for text in ("version: 1\nservices:\n  s: {listen: tcp:127.0.0.1:1, exce: [x]}\n  s: {}\n", "version: [1\n", "\0"):
            with self.subTest(text):
                d = self.start({})
                with open(d.config_path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.refuses(d)
                self.finish(d, signal.SIGINT)


class PerConnection(ValgrindTest):
    def test_connections(self):
        d = self.start({
            "echo": ECHO,
            "lines": {"listen": "tcp:127.0.0.1:0", "exec": ["sh", "-c", "echo one >&2; echo two >&2; cat"]},
            "fails": {"listen": "tcp:127.0.0.1:0", "exec": ["sh", "-c", "exit 7"]},
            "ahead": {**ECHO, "prespawn": 2},
            "reports": {**ECHO, "report": True, "exec": ["sh", "-c", "echo READY=1 STATUS=x >&$MP_STATUS_FD; cat"]}})
        for name in ("echo", "lines", "ahead", "reports"):
            for _ in range(5):
                self.assertEqual(d.ask(name, b"hello"), b"hello", name)
        for _ in range(5):
            d.ask("fails")
        for name in ("echo", "lines", "ahead", "reports", "fails"):
            self.assertEqual(d.wait_service(name, active=0)["accepted"], 5, name)
        self.finish(d)

    def test_connections_that_last_until_the_end(self):
        d = self.start({"echo": {**ECHO, "timeouts": {"stop": "1s"}}, "stubborn": {
            "listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "hang"], "timeouts": {"stop": "1s"}}})
        with contextlib.ExitStack() as stack:
            for name in ("echo", "echo", "stubborn"):
                stack.enter_context(d.dial(name))
            d.wait_service("echo", active=2)
            d.wait_service("stubborn", active=1)
            self.finish(d)

    def test_programs_that_cannot_be_executed(self):
        d = self.start({"gone": {"listen": "tcp:127.0.0.1:0", "exec": ["{dir}/program"]}, "echo": ECHO})
        program = d.path("program")
        shutil.copy("/bin/true", program)
        self.assertTrue(d.call("Reload")["ok"])
        os.chmod(program, 0o644)
        for _ in range(3):
            d.ask("gone")
        d.wait_service("gone", active=0)
        self.assertEqual(d.ask("echo", b"hello"), b"hello")
        self.finish(d)

    @need_root
    def test_another_user(self):
        d = self.start({"echo": {**ECHO, "user": "nobody", "resources": {"core": 0, "nice": 5}}})
        for _ in range(3):
            self.assertEqual(d.ask("echo", b"hello"), b"hello")
        self.finish(d)


class OnDemand(ValgrindTest):
    def test_on_demand(self):
        d = self.start({
            "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]},
            "stream": {**ECHO, "model": "on-demand", "timeouts": {"idle": "1s"}},
            "crashes": {"listen": "unix-dgram:{dir}/d", "exec": ["sh", "-c", "exit 3"],
                        "restart": {"delay": "100ms", "max_delay": "200ms", "limit": "2/10s"}}})
        with d.dial("udp") as s:
            s.send(b"x")
            self.assertEqual(s.recv(10), b"x")
        self.assertEqual(d.ask("stream", b"hello"), b"hello")
        d.wait_service("stream", active=0)
        self.assertEqual(d.ask("stream", b"again"), b"again")
        with d.dial("crashes") as s:
            s.send(b"x")
        wait_until(lambda: d.service("crashes")["spawned"] >= 3, "three starts")
        self.finish(d)


    def test_fifo(self):
        d = self.start({"fifo": {"listen": "fifo:{dir}/f", "exec": ["sh", "-c", "read line <&3; echo $line >{dir}/got"]}})
        with open(d.path("f"), "w", encoding="utf-8") as fifo:
            fifo.write("hello\n")
        wait_until(lambda: os.path.exists(d.path("got")), "what was written")
        d.wait_service("fifo", active=0)
        self.finish(d)


class Prelude(ValgrindTest):
    def test_tcpmux(self):
        d = self.start({"mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"},
                        "echo": {"exec": ["cat"], "tcpmux": "+echo"}, "plain": {"exec": ["cat"], "tcpmux": "plain"}})
        for sent, expected in ((b"echo\r\nhello", b"+Go\r\nhello"), (b"plain\r\nhello", b"hello"),
                               (b"none\r\n", b"-Service not available\r\n"), (b"echo", None), (b"x" * 5000, None)):
            got = d.ask("mux", sent)
            self.assertEqual(got if expected is None else expected, got, sent)
        self.finish_in_the_middle(d, "mux")

    def test_proxy_protocol(self):
        d = self.start({"proxied": {**ECHO, "proxy_protocol": {"accept_from": ["127.0.0.0/8"]}}})
        self.assertEqual(d.ask("proxied", b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\nhello"), b"hello")
        for wrong in (b"hello\r\n", b"PROXY TCP4 192.0.2.1\r\n", b"PRO"):
            self.assertEqual(d.ask("proxied", wrong), b"")
        self.finish_in_the_middle(d, "proxied")

    def finish_in_the_middle(self, d, name):
        """While it waits for what a connection begins with, whose descriptor it has until then."""
        with d.dial(name):
            wait_until(lambda: len(lasting_descriptors_of(d.pid)) > len(d.baseline), "the connection")
            d.baseline = None
            self.finish(d)


class Isolation(ValgrindTest):
    # What valgrind 3.19 can do: it knows neither mount_setattr(2) of read_only nor Landlock's calls, nor those of `devices`;
    # and it looks up in /proc which file execveat(2) means, where the outer process of private_pids is not to be found.
    SANDBOX = {"private_tmp": True, "private_ipc": True, "network": "none", "hidden": ["-/root"], "capabilities": []}

    def check(self, keys):
        service = {"listen": "tcp:127.0.0.1:0", "exec": ["/bin/cat"], **keys}
        d = self.start({"one": service, "ahead": {**service, "prespawn": 2}})
        for name in ("one", "ahead"):
            for _ in range(2):
                self.assertEqual(d.ask(name, b"hello"), b"hello", (name, d.log_text()[-2000:]))
        return d

    @need_root
    def test_sandbox_of_root(self):
        self.finish(self.check({"sandbox": self.SANDBOX}))

    @unittest.skipUnless(has_user_namespaces(), "no user namespaces here")
    def test_namespaces_of_users(self):
        self.finish(self.check({"sandbox": {**self.SANDBOX, "private_users": True}}))

    @need_root
    def test_a_step_that_fails(self):
        gone = os.path.join(self.temporary_folder(), "gone")
        os.mkdir(gone)
        d = self.start({"s": {**ECHO, "sandbox": {"hidden": [gone]}}})
        os.rmdir(gone)
        self.assertEqual(d.ask("s", b"hello"), b"")
        self.assertEqual(d.wait_service("s", active=0)["spawn_failed"], 1)
        self.finish(d)

    @need_root
    @unittest.skipUnless(can_divide(), "no control groups to divide")
    def test_control_groups(self):
        for per_instance in (False, True):
            d = self.check({"user": "root", "cgroup": {"per_instance": per_instance}})
            d.call("Stop", services=["one"])
            self.finish(d)


class Upgrade(ValgrindTest):
    """The program that goes on is under memcheck as well, and the only one that is followed through execve(2): its helpers
    compare the file that they run with that of the daemon, and would see valgrind's."""
    FOLLOW = ("--trace-children=yes", "--trace-children-skip=*/mp-*",
              "--trace-children-skip-by-arg=--accept-handover=*,--load-config")

    def test_upgrades(self):
        d = self.start({"echo": ECHO, "ahead": {**ECHO, "prespawn": 2}, "pool": {**ECHO, "model": "pool"},
                        "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}}, options=self.FOLLOW)
        with d.dial("echo") as held, d.connect() as follower:
            follower.send("Events", {"follow": True}, more=True)
            for _ in range(2):
                held.sendall(b"x")
                self.assertEqual(held.recv(1), b"x")
                before = self.remarks()[d.pid]
                self.assertEqual(MISTAKES.findall(before), [], before[-6000:])
                with d.connect(harness.PATIENCE * 3) as control:
                    control.call("Upgrade")
                for name in ("echo", "ahead", "pool"):
                    self.assertEqual(d.ask(name, b"hello"), b"hello", name)
            self.assertTrue(d.call("Reload")["ok"])
        self.finish(d)

    def test_an_upgrade_that_fails(self):
        d = self.start({"echo": ECHO})
        d.write_config("version: 1\nservices:\n  bad: {listen: nowhere:1}\n")
        with self.assertRaises(VarlinkError), d.connect(harness.PATIENCE * 3) as control:
            control.call("Upgrade")
        self.assertEqual(d.ask("echo", b"hello"), b"hello")
        self.finish(d)


class Pool(ValgrindTest):
    def test_both_handoffs(self):
        for handoff in ("listener", "connection"):
            with self.subTest(handoff):
                d = self.start({"pool": {**ECHO, "model": "pool",
                                         "pool": {"min": 2, "max": 4, "max_requests": 3, "handoff": handoff}}})
                d.wait_service("pool", state="active")
                for _ in range(10):
                    self.assertEqual(d.ask("pool", b"hello"), b"hello")
                d.call("Restart", services=["pool"])
                self.assertEqual(d.ask("pool", b"hello"), b"hello")
                self.finish(d)

    def test_forward(self):
        port = free_port()
        d = self.start({"forward": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": f"tcp:127.0.0.1:{port}"},
                        "backend": {**ECHO, "listen": f"tcp:127.0.0.1:{port}"}})
        for _ in range(3):
            self.assertEqual(d.ask("forward", b"hello"), b"hello")
        self.finish(d)


class Reload(ValgrindTest):
    def test_reloads(self):
        port = free_port()
        services = {"stays": ECHO, "goes": ECHO, "changes": ECHO, "moves": {**ECHO, "listen": f"tcp:127.0.0.1:{port}"}}
        d = self.start(services)
        with d.dial("goes") as held, d.dial("changes") as other:
            for s in (held, other):
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")
            new = {"stays": ECHO, "changes": {**ECHO, "exec": ["cat"], "limits": {"per_source": 5}},
                   "comes": {**ECHO, "listen": f"tcp:127.0.0.1:{port}"}}
            d.write_config({"services": new})
            reply = d.call("Reload")
            self.assertTrue(reply["ok"], reply)
            self.assertEqual(d.ask("comes", b"hello"), b"hello")
            self.assertEqual(d.ask("changes", b"hello"), b"hello")
        d.write_config("version: 1\nservices:\n  bad: {listen: nowhere:1}\n")
        self.refuses(d)
        d.write_config({"services": services})
        self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(d.ask("moves", b"hello"), b"hello")
        self.finish(d)


class Control(ValgrindTest):
    def test_calls_of_all_kinds(self):
        d = self.start({"s": ECHO, "t": ECHO, "u": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}})
        with d.connect() as follower, d.dial("s"):
            follower.send("Events", {"follow": True}, more=True)
            for arguments in (["status"], ["status", "--json"], ["ps"], ["events"], ["logs", "s"], ["metrics"], ["top"],
                              ["explain", "s"], ["show"], ["check", d.config_path], ["pause", "t"], ["resume", "t"],
                              ["stop", "t"], ["start", "t"], ["restart", "s"], ["bans"], ["reload"]):
                d.mpctl(*arguments)
            follower.receive()
        for garbage in (b"\0", b"{}\0", b"not json\0", b'{"method": 3}\0', b'{"method":"dev.mpinetd.Control.None"}\0',
                        b'{"method":"dev.mpinetd.Control.Status","parameters":{"services":7}}\0', b"x" * 100000):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(d.socket)
                exchange(s, garbage)
        self.assertTrue(d.call("Ping") is not None)
        self.finish(d)


    def test_by_an_interpreter(self):
        """What reads the requests is another process; the daemon is the one that is looked at."""
        d = self.start({"s": ECHO}, environment={"MPINETD_INTERPRETER": "always"})
        for arguments in (["status"], ["ps"], ["pause", "s"], ["resume", "s"], ["reload"], ["metrics"]):
            d.mpctl(*arguments, check=0)
        for garbage in (b"\0", b"{}\0", b"not json\0", b'{"method":"dev.mpinetd.Control.Status","parameters":{"services":7}}\0'):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(d.socket)
                exchange(s, garbage)
        with d.connect() as waits:
            waits.send("Events", {"follow": True}, more=True)
            waits.receive()
            self.finish(d)


class Refused(ValgrindTest):
    def test_who_is_not_served(self):
        d = self.start({
            "denied": {**ECHO, "access": {"deny": ["127.0.0.0/8"]}},
            "banner": {**ECHO, "access": {"deny": ["any"]}, "banner": {"refused": "not you\r\n"}},
            "reset": {**ECHO, "access": {"deny": ["any"]}, "limits": {"refuse_with": "reset"}},
            "single": {**ECHO, "limits": {"per_source": 1}},
            "rated": {**ECHO, "limits": {"rate_per_source": "1/m burst 1"}},
            "full": {**ECHO, "limits": {"instances": 1, "when_full": "refuse"}},
            "banned": {**ECHO, "access": {"deny": ["127.0.0.0/8"]}, "ban": {"after": "2/1m", "for": "10m"}}})
        for name in ("denied", "reset", "banned", "banned", "banned"):
            self.assertEqual(d.ask(name, b""), b"")
        self.assertEqual(d.ask("banner", b""), b"not you\r\n")
        for name in ("single", "full"):
            with d.dial(name) as s:
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")
                self.assertEqual(d.ask(name, b""), b"")
        self.assertEqual(d.ask("rated", b"x"), b"x")
        self.assertEqual(d.ask("rated", b""), b"")
        for name in ("denied", "banned", "single", "full", "rated"):
            self.assertGreater(sum(d.service(name)["refused"].values()), 0, name)
        self.finish(d)


if __name__ == "__main__":
    unittest.main()
