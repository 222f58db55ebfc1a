# SPDX-License-Identifier: MIT
"""FK: processes and memory run out. The ids are those of docs/faults.md."""
import contextlib
import errno
import os
import random
import signal
import subprocess
import threading
import time
import unittest

from faults import FaultTest, Injection, dial_many, ends_by, running_as_root, tracing_works
from harness import (PATIENCE, SANITIZED, SERVICES, SLOW, children_of, need_program, need_root, process_alive, program, resident_kib,
                     wait_until)
from proxy import v1
from strain import LOG_BURST, LOG_RATE, busy_share

PIDS = "/sys/fs/cgroup/pids"


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(str(text))


def pids_cgroup_works():
    return running_as_root() and os.path.isdir(PIDS) and os.access(PIDS, os.W_OK)


class Limits(FaultTest):
    weight = 20

    @need_root
    def test_fk_1_the_users_processes_are_used_up(self):
        uid = random.randint(200000, 900000)
        others = [subprocess.Popen(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sleep", "300"])
                  for _ in range(5)]
        self.addCleanup(lambda: [(p.kill(), p.wait()) for p in others])
        wait_until(lambda: all(os.stat(f"/proc/{p.pid}").st_uid == uid for p in others), "the user's processes")
        d = self.start({"exec": ["{probe}"], "user": str(uid), "group": str(uid), "resources": {"processes": 4}})
        with contextlib.ExitStack() as stack:
            with self.strain(d):
                for s in dial_many(stack, d.port("s"), 20):
                    self.assertFalse(ends_by(s), "closed, and nothing came")
            service = d.wait_service("s", queued=0)
            self.assertEqual((service["spawn_failed"], service["spawned"]), (20, 0))
            self.assertEqual(service["last_error"]["errno"], 11)
            others[0].kill()
            others[0].wait()
            free = time.monotonic()
            self.assertEqual(d.probe("s")["uids"][0], uid)
            self.assertLess(time.monotonic() - free, 12 if SANITIZED else 6)
        self.rests(d)

    @need_root
    def test_fk_1_behind_a_proxy(self):
        """Who has said who he is waits, too: they are not taken and closed one after the other."""
        uid = random.randint(200000, 900000)
        others = [subprocess.Popen(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sleep", "300"])
                  for _ in range(5)]
        self.addCleanup(lambda: [(p.kill(), p.wait()) for p in others])
        wait_until(lambda: all(os.stat(f"/proc/{p.pid}").st_uid == uid for p in others), "the user's processes")
        d = self.start({"exec": ["true"], "user": str(uid), "group": str(uid), "resources": {"processes": 4},
                        "limits": {"instances": 1}, "proxy_protocol": {"accept_from": ["127.0.0.1"]}})
        begin = time.monotonic()
        with contextlib.ExitStack() as stack:
            for s in dial_many(stack, d.port("s"), 60):
                wait_until(lambda s=s: s.send(v1("192.0.2.1", "198.51.100.2")), "a connection")
            wait_until(lambda: d.service("s")["spawn_failed"] >= 3, "some that could not be served")
            failed = d.service("s")["spawn_failed"]
            self.assertLess(failed, 6 + 6 * (time.monotonic() - begin))
            for p in others:
                p.kill()
                p.wait()
            service = d.wait_service("s", queued=0, active=0, accepted=60)
            self.assertGreater(service["spawned"], 0)
        self.rests(d)

    @unittest.skipUnless(pids_cgroup_works(), "needs root and a pids cgroup")
    def test_fk_2_a_cgroup_of_few_processes(self):
        group = f"{PIDS}/mpt-{os.getpid()}-{random.randint(0, 999999)}"
        os.mkdir(group)
        self.addCleanup(os.rmdir, group)
        d = self.start({"exec": ["cat"]})
        write(f"{group}/cgroup.procs", d.pid)
        self.addCleanup(d.stop)
        with open(f"{group}/pids.current", encoding="ascii") as current:
            write(f"{group}/pids.max", int(current.read()) + 3)
        with contextlib.ExitStack() as stack:
            # Processes are what lacks: the control socket goes on.
            stack.enter_context(self.strain(d, service=None))
            connections = stack.enter_context(contextlib.ExitStack())
            clients = dial_many(connections, d.port("s"), 50)
            wait_until(lambda: d.service("s")["spawn_failed"] >= 3, "the limit to be reached")
            self.assertLessEqual(d.service("s")["active"], 3)
            self.assertLess(busy_share(d.pid), 0.1)
            served = [s for s in clients if self.is_served(s)]
            self.assertLessEqual(len(served), 3)
            write(f"{group}/pids.max", "max")
            free = time.monotonic()
            waiting = d.service("s")["queued"]
            self.assertGreater(waiting, 20, "the queue has not been burnt through")
            d.wait_service("s", queued=0)
            self.assertLess(time.monotonic() - free, 12 if SANITIZED else 6)
            connections.close()
            service = self.rests(d)
        self.assertEqual(service["spawned"] + service["spawn_failed"], 50)

    @staticmethod
    def is_served(s):
        s.settimeout(0.05)
        try:
            s.sendall(b"x")
            return s.recv(1) == b"x"
        except OSError:
            return False


@need_program("strace")
class Injected(FaultTest):
    weight = 30

    def setUp(self):
        if not tracing_works():
            self.skipTest("processes cannot be traced here")

    @staticmethod
    def knock(port, over, results):
        """A client after the other, until it is over: what became of them."""
        while not over.is_set():
            with contextlib.ExitStack() as stack:
                (s,) = dial_many(stack, port, 1)
                s.settimeout(30)
                try:
                    wait_until(lambda: s.send(b"x"), "a connection")
                    results.append(s.recv(1))
                except OSError as error:
                    results.append(error)
            time.sleep(0.01)

    def test_fk_4_no_process_for_a_while(self):
        d = self.start({"exec": ["cat"]})
        d.ask("s", b"x")
        port, over, results = d.port("s"), threading.Event(), []
        memory, lines = resident_kib(d.pid), len(d.log_text().splitlines())
        clients = [threading.Thread(target=self.knock, args=(port, over, results)) for _ in range(4)]
        seconds = 30 if SLOW else 3
        with self.strain(d, service=None):
            with Injection(d.pid, "clone:error=EAGAIN"):
                for t in clients:
                    t.start()
                time.sleep(seconds)
                service = d.service("s")
                self.assertGreater(service["spawn_failed"], 2)
                self.assertEqual((service["last_error"]["step"], service["last_error"]["errno"]), ("limit", 11))
                # Clients come much faster than they are taken and closed.
                self.assertLess(service["spawn_failed"], 20 + 4 * seconds)
            free = time.monotonic()
            over.set()
            for t in clients:
                t.join(30)
            self.is_back(d, free)
        self.assertLessEqual({type(r) for r in results}, {bytes, ConnectionResetError})
        if not SANITIZED:
            self.assertLess(resident_kib(d.pid) - memory, 2048)
        said = [line for line in d.log_text().splitlines()[lines:] if "spawn_failed" in line]
        self.assertLess(len(said), LOG_BURST + LOG_RATE * seconds)
        self.rests(d)

    def test_fk_4_memory(self):
        """ENOMEM of clone(2) is no different."""
        d = self.start({"exec": ["cat"]})
        port = d.port("s")
        with contextlib.ExitStack() as stack:
            with Injection(d.pid, "clone:error=ENOMEM"):
                clients = dial_many(stack, port, 10)
                self.assertFalse(ends_by(clients[0]))
            for s in clients[5:]:
                s.settimeout(20)
                with contextlib.suppress(OSError):
                    s.sendall(b"x")
                    s.recv(1)
            self.is_back(d, time.monotonic())
        service = self.rests(d)
        self.assertGreater(service["spawned"], 5, "those who waited are served")

    def test_fk_4_on_demand(self):
        """The datagram waits, and so does the process's turn: half a second at most."""
        d = self.start({"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"],
                        "restart": {"delay": "10s", "max_delay": "1m", "limit": "1/1h"}})
        with d.dial("s") as s:
            with Injection(d.pid, "clone:error=EAGAIN") as injection:
                s.send(b"x")
                wait_until(lambda: injection.count("clone") >= 7, "some tries")
            free = time.monotonic()
            self.assertEqual(s.recv(10), b"x")
            self.assertLess(time.monotonic() - free, 8 if SANITIZED else 4)
        self.assertEqual(d.service("s")["spawned"], 1)

    def test_fk_5_a_pool_that_cannot_be_refilled(self):
        d = self.start({"model": "pool", "exec": ["mp-echo"], "pool": {"min": 3, "max": 6},
                        # As of a worker that ends, of which there is none: it would not be over in time.
                        "restart": {"delay": "10m", "max_delay": "1h"}})
        d.wait_service("s", active=3)
        wait_until(lambda: (d.service("s")["workers"] or {}).get("idle") == 3, "three idle workers")
        workers = [pid for pid, _ in children_of(d.pid)]
        with Injection(d.pid, "clone:error=EAGAIN") as injection:
            # Whom it is serving just then has lost it.
            os.kill(workers[0], 9)
            d.wait_service("s", active=2)
            with self.strain(d, service="s"):
                wait_until(lambda: injection.count("clone") >= 3, "some tries")
                for _ in range(10):
                    self.assertEqual(d.ask("s", b"still"), b"still")
                self.assertTrue(process_alive(workers[1]) and process_alive(workers[2]))
        wait_until(lambda: d.service("s")["active"] >= 3, "the pool to be full again")

    @need_program("socat")
    @unittest.skipIf(SANITIZED, "there the daemon waits until a process has come to exec")
    def test_fk_8_a_backend_that_is_slow_in_exec(self):
        """Who waits for it is passed on when it is there, however late."""
        d = self.start({"model": "forward", "to": "unix:{dir}/backend", "exec": ["socat", "UNIX-LISTEN:{dir}/backend", "EXEC:cat"]})
        socat = os.path.realpath(program("socat"))
        with Injection(d.pid, "execve:delay_enter=300000", children=True, path=socat), d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(10), b"x")

    @need_program("socat")
    @unittest.skipIf(SANITIZED, "there the daemon waits until a process has come to exec")
    def test_fk_8_a_backend_that_ends_meanwhile(self):
        """Who is on his way to it has been let in, and waits for the next one."""
        d = self.start({"model": "forward", "to": "unix:{dir}/backend", "start": "now",
                        "exec": ["socat", "UNIX-LISTEN:{dir}/backend,fork,unlink-early", "EXEC:cat"]})
        d.wait_service("s", state="active")
        (backend,) = d.instances("s")
        forward = os.path.join(SERVICES, "mp-forward")
        with Injection(d.pid, "execve:delay_enter=1000000", children=True, path=forward), d.dial("s") as s:
            s.sendall(b"x")
            wait_until(lambda: len(d.instances("s")) == 2, "him to be on his way")
            os.kill(backend["pid"], signal.SIGKILL)
            self.assertEqual(s.recv(10), b"x")

    @unittest.skipIf(SANITIZED, "there the daemon waits until a process has come to exec")
    def test_fk_8_a_restart_that_is_slow_in_exec(self):
        """Who has asked for it is told when the next one is there, and not while it is on its way."""
        d = self.start({"model": "on-demand", "start": "now", "exec": ["sleep", "1000"]})
        d.wait_service("s", spawned=1, active=1)
        sleep = os.path.realpath(program("sleep"))
        with Injection(d.pid, "execve:delay_enter=600000", children=True, path=sleep):
            d.call("Restart", services=["s"])
            self.assertEqual(d.service("s")["spawned"], 2)

    @unittest.skipIf(SANITIZED, "there the daemon waits until a process has come to exec")
    def test_fk_8_a_program_that_hangs_in_exec(self):
        """It keeps its own places only: others are served, and those who wait for it when it is over."""
        d = self.start({"exec": ["cat"]})
        d.ask("s", b"x")
        cat = os.path.realpath(program("cat"))
        with self.strain(d, service=None), contextlib.ExitStack() as stack:
            with Injection(d.pid, "execve:delay_enter=600000000", children=True, path=cat):
                clients = dial_many(stack, d.port("s"), 20)
                wait_until(lambda: len(d.instances("s")) == 16, "all places to be taken")
                self.assertEqual(d.service("s")["active"], 0)
                self.assertEqual(d.service("s")["state"], "listening")
                for _ in range(5):
                    self.assertEqual(d.ask("canary", b"x"), b"x")
                failed = d.wait_service("s", spawn_failed=16)
                self.assertEqual((failed["last_error"]["step"], failed["last_error"]["errno"]), ("exec", errno.ETIMEDOUT))
                # Held by their tracer they do not die, and so keep their places.
                self.assertEqual(d.service("s")["queued"], 4)
                self.assertEqual(d.ask("canary", b"x"), b"x")
            for s in clients[16:]:
                s.settimeout(PATIENCE)
                s.sendall(b"y")
                self.assertEqual(s.recv(1), b"y")
        service = self.rests(d)
        self.assertEqual((service["spawned"], service["spawn_failed"]), (5, 16))

    def dies_early(self, inject):
        """What a service has to say of one whose first process is killed by strace."""
        d = self.start({"exec": ["cat"]})
        port = d.port("s")
        with Injection(d.pid, inject, children=True), contextlib.ExitStack() as stack:
            (s,) = dial_many(stack, port, 1)
            self.assertFalse(ends_by(s))
        before = d.wait_service("s", active=0, accepted=1)
        self.assertEqual(before["exited"]["ok"], 0)
        self.assertEqual(d.ask("s", b"x"), b"x")
        self.assertEqual(d.ask("canary", b"x"), b"x")
        self.rests(d)
        return d, before

    def test_fk_7_killed_on_its_way_to_exec(self):
        d, service = self.dies_early("close_range:signal=SIGKILL:when=1")
        self.assertEqual((service["spawned"], service["spawn_failed"]), (0, 1))
        failed = d.log(event="spawn_failed", service="s")
        self.assertEqual((len(failed), failed[0]["step"]), (1, "fds"))

    def test_fk_7_killed_in_exec(self):
        """Whether it has come to exec shows only when it has ended."""
        d, service = self.dies_early("execve:signal=SIGKILL:when=1")
        self.assertEqual(service["exited"]["signaled"], 1)
        ended = [e for e in d.log(event="ended", service="s") if e.get("signal") == "SIGKILL"]
        self.assertIn("before exec", ended[0]["message"])


if __name__ == "__main__":
    unittest.main()
