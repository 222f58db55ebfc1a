# SPDX-License-Identifier: MIT
"""Requests of those who are not root are read by a process of their own: what that may, and what becomes of it, of the
daemon and of the clients when it ends, hangs or lies."""
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import unittest

from faults import Injection, tracing_works
from harness import (PATIENCE, SANITIZED, SLOW, DaemonTest, User, Varlink, children_of, need_program, need_root,
                     process_alive, process_state, wait_until)

ECHO = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
OPEN = {"control": {"mode": "0666"}, "services": {"s": ECHO}}
STRANGER = User(65533)
MANAGER = User(1234)


def call(path, method, parameters=None):
    with Varlink(path) as v:
        v.send(method, parameters or {})
        return v.receive()


def call_many(path, n):
    """That many requests at once, and the answers, in their order."""
    with Varlink(path, 60) as v:
        message = {"method": "dev.mpinetd.Control.Describe"}
        data = b"".join(json.dumps({**message, "parameters": {"service": f"none-{i}"}}).encode() + b"\0" for i in range(n))
        v.socket.setblocking(False)
        sent = got = 0
        while got < n:
            with contextlib.suppress(BlockingIOError):
                sent += v.socket.send(data[sent:sent + 65536]) if sent < len(data) else 0
            with contextlib.suppress(BlockingIOError):
                v.buffer += v.socket.recv(65536)
            while b"\0" in v.buffer:
                reply, v.buffer = v.buffer.split(b"\0", 1)
                if json.loads(reply)["parameters"] != {"service": f"none-{got}"}:
                    return got
                got += 1
        return got


def call_crowd(path, clients, n):
    """So many clients with that many requests each, all at once: how many have got all of their answers, in their order."""
    messages = [json.dumps({"method": "dev.mpinetd.Control.Describe", "parameters": {"service": f"none-{i}"}}).encode() + b"\0"
                for i in range(n)]
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(clients):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.connect(path)
            s.setblocking(False)
            selector.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE, {"left": b"".join(messages), "text": b"", "got": 0})
        done = 0
        while selector.get_map():
            for key, events in selector.select(PATIENCE * 4) or [(None, 0)]:
                if key is None:
                    return done
                s, state = key.fileobj, key.data
                if events & selectors.EVENT_WRITE:
                    state["left"] = state["left"][s.send(state["left"][:65536]):]
                    if not state["left"]:
                        selector.modify(s, selectors.EVENT_READ, state)
                if events & selectors.EVENT_READ:
                    data = s.recv(65536)
                    *replies, state["text"] = (state["text"] + data).split(b"\0")
                    wrong = [r for k, r in enumerate(replies) if json.loads(r)["parameters"] != {"service": f"none-{state['got'] + k}"}]
                    state["got"] += len(replies)
                    if not data or wrong or state["got"] == n:
                        selector.unregister(s)
                        done += state["got"] == n and not wrong
    return done


def look_into(pid):
    try:
        with open(f"/proc/{pid}/mem", "rb"):
            return "open"
    except PermissionError:
        return "refused"


def send_bytes(path, data):
    """What comes back until the end, which comes when the daemon closes."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        return got


def interpreters(d):
    found = []
    for pid, state in children_of(d.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/cmdline", "rb") as f:
            if state != "Z" and b"--interpret" in f.read().split(b"\0"):
                found.append(pid)
    return found


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@need_root
@unittest.skipIf("MPINETD_INTERPRETER" in os.environ, "it counts those that there are")
class Interpreter(DaemonTest):
    def stopped(self, d):
        """Its interpreter, which has answered once, and does nothing now until it is continued or killed."""
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        pid, = interpreters(d)
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: process_state(pid) == "T", "it to stop")
        self.addCleanup(lambda: process_alive(pid) and os.kill(pid, signal.SIGKILL))
        return pid

    def test_who_is_read_by_whom(self):
        d = self.daemon({"control": {"mode": "0660"}, "services": {"s": ECHO}})
        self.assertEqual(interpreters(d), [], "nobody but root has connected")
        d = self.daemon({"control": {"mode": "0666", "manage": ["root", "1234"]}, "services": {"s": ECHO}})
        self.assertTrue([e for e in d.log(event="control") if "by a process of their own" in e["message"]])
        first, = wait_until(lambda: interpreters(d), "it to start")
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        self.assertEqual(interpreters(d), [first])
        self.assertEqual(STRANGER.run(call, d.socket, "Pause", {"services": ["s"]})["error"], "dev.mpinetd.Control.NotAllowed")
        # A manager's is another one.
        self.assertNotIn("error", MANAGER.run(call, d.socket, "Pause", {"services": ["s"]}))
        self.assertEqual(d.service("s")["state"], "paused")
        self.assertEqual(len(interpreters(d)), 2)

    def test_what_it_may(self):
        d = self.daemon(OPEN)
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        pid, = interpreters(d)
        status = status_of(pid)
        self.assertEqual([status[name].split()[0] for name in ("Uid", "Gid", "NoNewPrivs")], ["65534", "65534", "1"])
        self.assertEqual(status["Groups"].strip(), "")
        self.assertEqual([int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")], [0] * 5)
        with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
            limits = {line[:26].strip(): line[26:].split()[:2] for line in f}
        for name in ("Max open files", "Max processes", "Max file size", "Max core file size"):
            # LeakSanitizer lifts the soft ones for a moment.
            self.assertEqual(limits[name][:1 if SANITIZED else 2], ["0"] * (1 if SANITIZED else 2), name)
        self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0, "nobody's other processes may not look into it")
        if SANITIZED:
            return
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(len(os.listdir(f"/proc/{pid}/fd")), 1, "its socket, and nothing else")
        self.assertEqual(limits["Max address space"], ["67108864"] * 2)
        with open(f"/proc/{pid}/environ", encoding="utf-8") as f:
            self.assertFalse({word.split("=")[0] for word in f.read().split("\0") if word} - {"ASAN_OPTIONS", "UBSAN_OPTIONS"})

    def test_a_crowd_in_a_hurry(self):
        """Of both kinds, with requests one behind the other: each gets its own answers, and root does not wait."""
        d = self.daemon({"control": {"mode": "0666", "manage": ["1234"]}, "services": {"s": ECHO}})
        each = 1563 if SLOW else 157
        crowds = [user.start(call_crowd, d.socket, 32, each) for user in (STRANGER, MANAGER)]
        while not all(answers.poll(0.2) for _, answers in crowds):
            self.assertEqual(d.call("Ping")["pid"], d.pid)
            self.assertEqual(d.ask("s", b"x"), b"x")
        for process, answers in crowds:
            self.assertEqual(answers.recv(), (True, 32))
            process.join()
        text = d.call("Metrics")["metrics"]
        self.assertIn("\nmpinetd_interpreter_restarts_total 0\n", text)

    @need_program("strace")
    def test_nobody_looks_into_a_new_one(self):
        """Before it has come to its own words, other processes of its user's could take it over."""
        if not tracing_works():
            self.skipTest("processes cannot be traced here")
        # LeakSanitizer does not look at a process that is traced, and ends it.
        d = self.daemon(OPEN, environment={"ASAN_OPTIONS": "exitcode=66:detect_leaks=0"} if SANITIZED else {})
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        first, = interpreters(d)
        with Injection(d.pid, "execveat:delay_exit=2000000", children=True):
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: not process_alive(first), "it to end")
            _, pipe = STRANGER.start(call, d.socket, "Ping")
            pid, = wait_until(lambda: interpreters(d), "the next one")
            self.assertEqual(User(65534).run(look_into, pid), "refused")
            self.assertTrue(pipe.poll(PATIENCE))
            self.assertIn("parameters", pipe.recv()[1])

    @need_program("gdb")
    @unittest.skipIf(SANITIZED, "it has no filter then")
    def test_what_it_calls_besides_is_its_end(self):
        d = self.daemon(OPEN)
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        pid, = interpreters(d)
        subprocess.run(["gdb", "-q", "-batch", "-p", str(pid), "-ex", "call (int)getpid()"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, check=False)
        wait_until(lambda: not process_alive(pid), "it to be killed")
        wait_until(lambda: [e for e in d.log(event="control") if "was killed by SIGSYS" in e["message"]], "word of it")
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))

    def test_bytes_of_all_kinds(self):
        d = self.daemon(OPEN)
        ping = b'{"method":"dev.mpinetd.Control.Ping"}\0'
        unknown = json.dumps({"method": "x" * 65000}).encode() + b"\0"
        for data, replies in ((ping * 3, 3), (unknown, 1), (b"{" * 60000 + b"\0", 0), (b"\0", 0), (b"\xff" * 65535 + b"\0", 0),
                              (b'{"method":"dev.mpinetd.Control.Stop","parameters":{"services":[' + b'"",' * 20000 + b'""]}}\0', 1),
                              (ping + b"[]\0" + ping, 1), (b"x" * 70000, 0),
                              (b'{"method":"dev.mpinetd.Control.Ping","oneway":true}\0' + ping, 1)):
            self.assertEqual(STRANGER.run(send_bytes, d.socket, data).count(b"\0"), replies, data[:60])
        self.assertEqual(len(interpreters(d)), 1)
        self.assertFalse(d.log(level="warning", event="control")[1:], "one of a Stop that is not allowed")

    def test_many_at_once(self):
        n = 2000 if SANITIZED else 20000
        d = self.daemon(OPEN)
        self.assertEqual(STRANGER.run(call_many, d.socket, n), n)
        self.assertEqual(d.call("Ping")["pid"], d.pid)

    def test_one_that_is_killed_costs_one_connection(self):
        d = self.daemon(OPEN)
        pid = self.stopped(d)
        first = STRANGER.start(call, d.socket, "Ping")
        wait_until(lambda: d.process and self.waits_for(d) >= 1, "the first to be asked")
        others = [STRANGER.start(call, d.socket, "Ping") for _ in range(5)]
        self.assertEqual(d.call("Ping")["pid"], d.pid, "root does not wait for it")
        self.assertEqual(d.ask("s", b"x"), b"x")
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(first[1].poll(PATIENCE))
        done, what = first[1].recv()
        self.assertFalse(done, what)
        self.assertIn("ConnectionError", what)
        for _, pipe in others:
            self.assertTrue(pipe.poll(PATIENCE))
            self.assertEqual(pipe.recv()[1]["parameters"]["pid"], d.pid)
        self.assertTrue([e for e in d.log(event="control", level="warning") if "SIGKILL: one of them loses" in e["message"]])
        self.assertNotIn(pid, interpreters(d))

    @need_program("strace")
    def test_one_that_takes_no_message_costs_none(self):
        if not tracing_works():
            self.skipTest("processes cannot be traced here")
        d = self.daemon(OPEN)
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        before, = interpreters(d)
        with Injection(d.pid, "sendmsg:error=EPIPE:when=1"):
            self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        wait_until(lambda: not process_alive(before), "the first to end")
        said, = [e["message"] for e in d.log(event="control", level="warning")]
        self.assertRegex(said, "takes no message$")

    def waits_for(self, d):
        """How many connections of strangers there are: one that was accepted has been asked for what it sent."""
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as f:
            return sum(line.rstrip("\n").endswith(d.socket) and line.split()[5] == "03" for line in f)

    @unittest.skipIf(os.environ.get("MP_TEST_SLOW") != "1", "takes ten seconds: MP_TEST_SLOW=1")
    def test_one_that_hangs_is_ended(self):
        d = self.daemon(OPEN)
        pid = self.stopped(d)
        with self.assertRaises(AssertionError):
            STRANGER.run(call, d.socket, "Ping")
        self.assertFalse(process_alive(pid))
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))

    def test_a_client_that_goes(self):
        d = self.daemon(OPEN)
        pid = self.stopped(d)
        process, _ = STRANGER.start(call, d.socket, "Ping")
        wait_until(lambda: self.waits_for(d) >= 1, "it to be asked")
        before = d.quiet_descriptors()
        process.kill()
        process.join()
        os.kill(pid, signal.SIGCONT)
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        self.assertEqual(interpreters(d), [pid])
        self.assertLessEqual(len(d.quiet_descriptors()), len(before) + 1)

    def test_upgrade_meanwhile(self):
        """Who is waiting for it is answered by the program that takes over."""
        d = self.daemon(OPEN)
        pid = self.stopped(d)
        waiting = [STRANGER.start(call, d.socket, "Ping") for _ in range(3)]
        wait_until(lambda: self.waits_for(d) >= 3, "them to be asked")
        d.call("Upgrade")
        for _, pipe in waiting:
            self.assertTrue(pipe.poll(PATIENCE))
            self.assertEqual(pipe.recv()[1]["parameters"]["pid"], d.pid)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not process_alive(pid), "the old one to end with its socket")
        self.assertEqual(len(interpreters(d)), 1)

    def test_reload_opens_the_socket(self):
        d = self.daemon({"control": {"mode": "0600"}, "services": {"s": ECHO}})
        self.assertEqual(interpreters(d), [])
        d.write_config(OPEN)
        self.assertTrue(d.call("Reload")["ok"])
        # It is there a moment before it has come to its own words.
        pid, = wait_until(lambda: interpreters(d), "it to start")
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        self.assertEqual(interpreters(d), [pid])
        d.stop()
        wait_until(lambda: not process_alive(pid), "it to end with the daemon")

    @need_program("prlimit")
    def test_one_that_cannot_be_started(self):
        """Said, tried again, and nobody else's messages are read in the daemon instead."""
        d = self.daemon({"control": {"mode": "0600"}, "services": {"s": ECHO}})
        used = max(int(fd) for fd in os.listdir(f"/proc/{d.pid}/fd")) + 1
        d.write_config(OPEN)
        self.assertTrue(d.call("Reload")["ok"])
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))
        pid, = interpreters(d)
        # Room for a connection, and not for a socket pair besides.
        soft = subprocess.run(["prlimit", f"--pid={d.pid}", f"--nofile={used + 1}:", "--nofile"], check=False, stdout=subprocess.DEVNULL)
        self.assertEqual(soft.returncode, 0)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not process_alive(pid), "it to be gone")
        subprocess.run(["prlimit", f"--pid={d.pid}", "--nofile=1024:"], check=True)
        self.assertIn("parameters", STRANGER.run(call, d.socket, "Ping"))

    def test_dies_with_the_daemon(self):
        d = self.daemon(OPEN)
        pid, = wait_until(lambda: interpreters(d), "it to start")
        d.process.kill()
        d.process.wait()
        wait_until(lambda: not process_alive(pid), "it to be gone")
        d.baseline = None
        d.start()


if __name__ == "__main__":
    unittest.main()
