# SPDX-License-Identifier: MIT
"""Each system call of a reload fails in turn: all of the new config is in force, or all of the old one is."""
import contextlib
import errno
import os
import re
import unittest

from faults import Injection, failing_calls, tracing_works
from harness import (PATIENCE, SANITIZED, SLOW, DaemonTest, VarlinkError, children_of, descriptors_of, free_port,
                     lasting_descriptors_of, listening_sockets, wait_until)

# How each may fail; of fcntl(2) and epoll_ctl(2), by what they are asked for. What is not here cannot, of a descriptor that is
# what it should be, or is no part of it.
FAILURES = {"memfd_create": ("EMFILE", "ENOMEM"), "F_ADD_SEALS": ("EBUSY",), "F_SETFD": ("EBADF",), "F_GETFL": ("EBADF",),
            "mmap": ("ENOMEM",), "mremap": ("ENOMEM",), "brk": ("ENOMEM",), "clone": ("EAGAIN", "ENOMEM"), "fork": ("EAGAIN",),
            "EPOLL_CTL_ADD": ("ENOSPC", "ENOMEM"), "EPOLL_CTL_MOD": ("ENOMEM",), "epoll_wait": ("EINTR",), "read": ("EINTR",),
            "socket": ("EMFILE", "ENOBUFS"), "bind": ("EADDRINUSE", "EACCES"), "listen": ("EADDRINUSE",),
            "setsockopt": ("ENOMEM", "EPERM"), "getsockopt": ("ENOBUFS",), "getsockname": ("ENOBUFS",),
            "newfstatat": ("ENOMEM",), "fstat": ("ENOMEM",), "openat": ("EMFILE",), "chmod": ("EPERM",), "fchmodat": ("EPERM",),
            "fchownat": ("EPERM",), "connect": ("EAGAIN",), "poll": ("ENOMEM",), "timerfd_create": ("EMFILE",)}
# What cannot be done without: the reload is refused.
NEEDED = ("memfd_create", "clone", "socket", "bind", "listen")


def sockets_of(pid):
    """{inode} of its own sockets that listen."""
    found = set()
    for fd in descriptors_of(pid):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found & listening_sockets(pid)


@unittest.skipIf(SANITIZED, "a sanitizer's own calls would fail as well")
@unittest.skipUnless(tracing_works(), "needs strace, and to be allowed to")
class EachCall(DaemonTest):
    weight = 20

    def configs(self):
        """Two that differ in all that a reload does: a listener changed in place, moved, opened and closed, one of UNIX; a
        service that comes, and one that goes; workers that are renewed."""
        moving = free_port()
        echo = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
        pool = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "model": "pool"}
        return [{"services": {"s": {**echo, "listen": [{"endpoint": "tcp:127.0.0.1:0", "backlog": 100 + n, "keepalive": {"idle": 50 + n}}]},
                              "moves": {**echo, "listen": (f"tcp:127.0.0.1:{moving}", f"tcp:0.0.0.0:{moving}")[n]},
                              ("comes", "goes")[n]: {**echo, "listen": [f"unix:{{dir}}/{n}.sock", "tcp:127.0.0.1:0"]},
                              "w": {**pool, "environment": {"N": str(n)}, "pool": {"min": 1, "max": 1, "spare_min": 0, "spare_max": 1}}}}
                for n in (0, 1)]

    def setUp(self):
        self.files = self.configs()
        self.d = self.daemon(self.files[0])
        self.held = self.d.dial("s")
        self.addCleanup(self.held.close)
        self.in_force = 0
        self.rests()

    def rests(self):
        self.d.wait_service("w", workers={"idle": 1, "busy": 0, "starting": 0})
        # Who is held, and a worker.
        wait_until(lambda: len(children_of(self.d.pid)) == 2, "its processes")

    def listeners(self):
        return {s["name"]: [(l["endpoint"], l["port"], l["path"], l["error"]) for l in s["listeners"]]
                for s in self.d.status()["services"]}

    def reload(self, *inject, **options):
        """To the other config: the reply, or the error; and what strace has seen."""
        self.rests()
        self.d.write_config(self.files[1 - self.in_force])
        with self.d.connect(PATIENCE * 3) as control:
            control.call("Ping")
            with contextlib.ExitStack() as stack:
                injection = stack.enter_context(Injection(self.d.pid, *inject, **options)) if inject or options else None
                try:
                    reply = control.call("Reload")
                    self.in_force = 1 - self.in_force
                except VarlinkError as error:
                    reply = error
        return reply, injection.text if injection else ""

    def check_serves(self, what):
        """All that is configured now, and nothing else, is served, and who was there before still is."""
        # What goes is there for a second: who had begun to connect is let in.
        wait_until(lambda: set(self.listeners()) == set(self.files[self.in_force]["services"]), f"the services, after {what}")
        wait_until(lambda: all(l[3] is None for service in self.listeners().values() for l in service), f"all listeners, after {what}")
        for name in self.listeners():
            self.assertEqual(self.d.ask(name, b"y"), b"y", (what, name))
        self.held.sendall(b"x")
        self.assertEqual(self.held.recv(10), b"x", what)

    def check_failing(self, call, number, error):
        d, what = self.d, f"{error} of {call} {number}"
        before, sockets = self.listeners(), sockets_of(d.pid)
        generation, descriptors = d.status()["daemon"]["generation"], len(d.quiet_descriptors())
        reply, seen = self.reload(f"{call}:error={error}:when={number}")
        refused = isinstance(reply, VarlinkError)
        if refused:
            self.assertIn(reply.name, ("dev.mpinetd.Control.InvalidConfig", "dev.mpinetd.Control.Failed"), (what, reply))
            if reply.name.endswith("Failed"):
                self.assertTrue(reply.parameters["errno"] in (0, getattr(errno, error)) or reply.parameters["error"], (what, reply))
            self.assertEqual((d.status()["daemon"]["generation"], self.listeners()), (generation, before), what)
            self.rests()
            self.assertEqual(sockets_of(d.pid), sockets, what)
            wait_until(lambda: len(lasting_descriptors_of(d.pid)) == descriptors, f"the descriptors of before, after {what}")
        else:
            self.assertEqual(reply["generation"], generation + 1, what)
        self.check_serves(what)
        reply, _ = self.reload()
        self.assertFalse(isinstance(reply, VarlinkError), (what, reply))
        self.check_serves(f"{what}, and another reload")
        return "INJECTED" in seen, refused

    def test_in_turn(self):
        """What the daemon calls is looked up first; then each of them fails."""
        seen = ""
        for _ in self.files:
            reply, text = self.reload(trace="all")
            self.assertFalse(isinstance(reply, VarlinkError), reply)
            seen = text if len(failing_calls(text, 1000, FAILURES)) > len(failing_calls(seen, 1000, FAILURES)) else seen
        # Behind the process of the helper the next one is a worker's: what fails then is that worker's start.
        seen = "clone(".join(seen.split("clone(")[:2])
        reached, refused = {}, {}
        for call, number, error, kind in failing_calls(re.sub(r"(?m)^strace: .*\n", "", seen), 1000 if SLOW else 2, FAILURES):
            with self.subTest(call=call, number=number, error=error):
                was_reached, was_refused = self.check_failing(call, number, error)
                reached[kind] = reached.get(kind, 0) + was_reached
                refused[kind] = refused.get(kind, 0) + was_refused
        print(f"      {sum(reached.values())} calls have failed, {sum(refused.values())} reloads with them: "
              + ", ".join(f"{kind} {refused[kind]} of {reached[kind]}" for kind in reached), flush=True)
        self.assertLessEqual({*NEEDED, "F_ADD_SEALS", "setsockopt", "mmap"}, {kind for kind, times in reached.items() if times})
        for kind in NEEDED:
            self.assertGreater(refused[kind], 0, kind)


if __name__ == "__main__":
    unittest.main()
