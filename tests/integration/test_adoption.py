# SPDX-License-Identifier: MIT
"""Processes that outlive the daemon, and what the next one knows of them: the ledger, with a service manager of our own."""
import contextlib
import ctypes
import os
import signal
import socket
import time
import unittest

from harness import DaemonTest, exchange, free_port, need_program, wait_until
from supervisor import Supervisor

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Orphans become children of this process, which reaps them as an init does."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def alive(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


class Adoption(DaemonTest):
    def setUp(self):
        super().setUp()
        adopt_orphans()
        self.orphans = []
        self.supervisor = Supervisor(self.temporary_folder())
        self.addCleanup(self.supervisor.close)
        self.addCleanup(self.end_orphans)

    def end_orphans(self):
        for pid in self.orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.reap()

    def reap(self):
        """What an init does."""
        for pid in self.orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def wait_gone(self, pid):
        def gone():
            self.reap()
            return not alive(pid)
        wait_until(gone, f"process {pid} to end")

    def start(self, services, **more):
        d = self.daemon({"services": services, **more}, environment={"NOTIFY_SOCKET": self.supervisor.path})
        n = sum(len(s["listen"]) if isinstance(s["listen"], list) else 1 for s in services.values())
        wait_until(lambda: len(self.supervisor.kept()) == n, "the listeners to be kept")
        return d

    def again(self, d):
        self.orphans += [i["pid"] for i in d.instances()]
        d.kill()
        d.process = None
        self.supervisor.hand_over(d)
        d.start()

    def connect(self, d, name):
        s = socket.create_connection(("127.0.0.1", d.port(name)), 20)
        s.settimeout(30)
        s.sendall(b"hello")
        self.assertEqual(s.recv(5), b"hello")
        self.addCleanup(s.close)
        return s

    def test_no_place_for_it_any_more(self):
        """What has listened under another config is told to end, and then its service serves."""
        port = free_port()
        d = self.start({"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"], "model": "on-demand"}})
        with self.connect(d, "s"):
            (old,) = d.instances("s")
            d.write_config({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]}}})
            self.again(d)
            self.assertEqual([i["pid"] for i in d.instances("s")], [old["pid"]])
            wait_until(lambda: d.instances("s")[0]["state"] == "stopping", "its being told to end")
        self.wait_gone(old["pid"])
        self.assertEqual(d.ask("s", b"new"), b"new")
        self.assertEqual(d.service("s")["exited"]["unknown"], 1)

    def test_connections_live_on(self):
        d = self.start({"cat": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"], "limits": {"per_source": 2}}})
        a, b = self.connect(d, "cat"), self.connect(d, "cat")
        before = {i["pid"]: i for i in d.instances("cat")}
        self.again(d)
        after = {i["pid"]: i for i in d.instances("cat")}
        self.assertEqual(set(after), set(before))
        for pid, i in after.items():
            for key in ("service", "instance", "peer", "state", "since_usec"):
                self.assertEqual(i[key], before[pid][key], key)
            self.assertEqual(i["generation"], 0)
        s = d.service("cat")
        self.assertEqual((s["active"], s["spawned"], s["accepted"]), (2, 2, 2))
        # They count for their source: nobody else gets in from there.
        with socket.create_connection(("127.0.0.1", d.port("cat")), 20) as third:
            third.settimeout(20)
            self.assertEqual(third.recv(1), b"")
        self.assertEqual(d.service("cat")["refused"]["per_source"], 1)
        for c in (a, b):
            c.sendall(b"still")
            self.assertEqual(c.recv(5), b"still")
        self.assertEqual(exchange(a, b""), b"")
        wait_until(lambda: self.reap() or d.service("cat")["exited"]["unknown"] == 1, "its end")
        ended = wait_until(lambda: d.log(event="ended"), "a line about it")[0]
        self.assertEqual(ended["reason"], "unknown")
        self.assertIsNone(ended.get("exit_code"))
        # The place is free again, and numbers go on.
        c = self.connect(d, "cat")
        numbers = sorted(i["instance"] for i in d.instances("cat"))
        self.assertGreater(numbers[-1], max(i["instance"] for i in before.values()))
        for s in (b, c):
            s.close()
        wait_until(lambda: self.reap() or d.service("cat")["active"] == 0, "all to end")
        s = d.service("cat")
        self.assertEqual(s["spawned"], sum(s["exited"].values()))
        self.assertEqual(s["accepted"], s["spawned"] + s["spawn_failed"] + sum(s["refused"].values()) + s["gone"])

    def test_one_that_runs_on_demand_is_alone(self):
        d = self.start({"one": {"listen": f"udp:127.0.0.1:{free_port()}", "exec": ["mp-echo"]}})
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.settimeout(20)
        client.connect(("127.0.0.1", d.port("one")))
        client.send(b"x")
        self.assertEqual(client.recv(10), b"x")
        first = d.instances("one")[0]["pid"]
        self.again(d)
        self.assertEqual([i["pid"] for i in d.instances("one")], [first])
        self.assertEqual(d.service("one")["state"], "active")
        client.send(b"y")
        self.assertEqual(client.recv(10), b"y")
        self.assertEqual([i["pid"] for i in d.instances("one")], [first], "nobody is started beside it")
        d.mpctl("restart", "one", "--no-wait", check=0)
        self.wait_gone(first)
        client.send(b"z")
        self.assertEqual(client.recv(10), b"z")
        wait_until(lambda: d.service("one")["exited"]["unknown"] == 1, "its end")
        self.assertNotIn(first, [i["pid"] for i in d.instances("one")])

    def test_signals_reach_them(self):
        d = self.start({"cat": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"]}})
        a, b = self.connect(d, "cat"), self.connect(d, "cat")
        self.again(d)
        first = d.instances("cat")[0]["pid"]
        d.mpctl("kill", "-s", "KILL", str(first), check=0)
        self.wait_gone(first)
        wait_until(lambda: d.service("cat")["active"] == 1, "the first to be gone")
        second = d.instances("cat")[0]["pid"]
        d.mpctl("stop", "cat", "--no-wait", check=0)
        self.wait_gone(second)
        wait_until(lambda: d.service("cat")["state"] == "stopped", "the service to stop")
        self.assertEqual(d.service("cat")["exited"]["unknown"], 2)
        for s in (a, b):
            s.close()

    def test_the_dead_and_the_strange_are_not_adopted(self):
        cat = {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"]}
        d = self.start({"cat": cat, "gone": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"]}})
        a = self.connect(d, "cat")
        b = self.connect(d, "gone")
        dead = d.instances("cat")[0]["pid"]
        stays = d.instances("gone")[0]["pid"]
        self.orphans += [dead, stays]
        d.kill()
        d.process = None
        a.close()
        self.wait_gone(dead)
        d.write_config({"services": {"cat": cat}})
        self.supervisor.hand_over(d)
        d.start()
        self.assertEqual(d.instances(), [])
        self.assertTrue([e for e in d.log(level="warning") if f"process {stays} of service 'gone'" in e.get("message", "")])
        b.sendall(b"still")
        self.assertEqual(b.recv(5), b"still")

    def test_the_stop_ends_them(self):
        d = self.start({"cat": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"]}},
                       shutdown={"drain": "100ms"})
        self.connect(d, "cat")
        self.again(d)
        pid = d.instances("cat")[0]["pid"]
        d.process.send_signal(signal.SIGTERM)
        self.wait_gone(pid)
        self.assertEqual(d.process.wait(30), 0)
        d.process = None

    def test_left_behind_in_order(self):
        d = self.start({"cat": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"]}}, shutdown={"children": "leave"})
        a = self.connect(d, "cat")
        pid = d.instances("cat")[0]["pid"]
        for _ in range(3):
            self.orphans += [pid]
            d.stop(check=False)
            self.supervisor.hand_over(d)
            d.start()
            self.assertEqual([i["pid"] for i in d.instances("cat")], [pid])
        a.sendall(b"still")
        self.assertEqual(a.recv(5), b"still")

    def test_over_an_upgrade(self):
        """Adopted, upgraded in place, killed, adopted again: it is known all the time, and its place is struck out once."""
        d = self.start({"cat": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"]}})
        a = self.connect(d, "cat")
        self.again(d)
        b = self.connect(d, "cat")
        before = {i["pid"]: i["instance"] for i in d.instances("cat")}
        kept = self.supervisor.kept("")
        for _ in range(2):
            d.mpctl("upgrade", check=0)
        self.assertEqual({i["pid"]: i["instance"] for i in d.instances("cat")}, before)
        self.assertEqual({n: i for n, i in self.supervisor.kept("").items() if "probe" not in n},
                         {n: i for n, i in kept.items() if "probe" not in n})
        c = self.connect(d, "cat")
        before = {i["pid"]: i["instance"] for i in d.instances("cat")}
        self.again(d)
        self.assertEqual({i["pid"]: i["instance"] for i in d.instances("cat")}, before)
        d.mpctl("upgrade", check=0)
        for s in (a, b, c):
            self.assertEqual(exchange(s, b"over all of it"), b"over all of it")
        wait_until(lambda: self.reap() or d.service("cat")["active"] == 0, "them to end")
        self.assertEqual(d.service("cat")["exited"]["unknown"], 3)
        self.again(d)
        self.assertEqual(d.instances(), [])

    def test_workers_end_and_are_replaced(self):
        for handoff in ("listener", "connection"):
            with self.subTest(handoff=handoff):
                port = free_port()
                d = self.daemon({"services": {"p": {"listen": f"tcp:127.0.0.1:{port}", "model": "pool", "exec": ["mp-echo"],
                                                    "pool": {"min": 2, "max": 4, "handoff": handoff}}}},
                                environment={"NOTIFY_SOCKET": self.supervisor.path})
                wait_until(lambda d=d: len([i for i in d.instances("p") if i["state"] == "running"]) >= 2, "two workers")
                wait_until(self.supervisor.kept, "the listener to be kept")
                old = {i["pid"] for i in d.instances("p")}
                self.again(d)
                self.assertEqual(d.ask("p", b"x"), b"x")
                for pid in old:
                    self.wait_gone(pid)
                wait_until(lambda d=d: not old & {i["pid"] for i in d.instances("p")}, "the old ones to be forgotten")
                wait_until(lambda d=d: len(d.instances("p")) >= 2, "others in their place")
                s = d.service("p")
                self.assertEqual(s["spawned"], s["active"] + sum(s["exited"].values()))
                d.stop()
                self.supervisor.store.clear()

    @need_program("socat")
    def test_a_forward_goes_on(self):
        d = self.start({"f": {"listen": f"tcp:127.0.0.1:{free_port()}", "model": "forward", "to": "unix:{dir}/back.sock",
                              "exec": ["socat", "UNIX-LISTEN:{dir}/back.sock,fork,unlink-early", "EXEC:cat"]}})
        c = self.connect(d, "f")
        before = {i["pid"] for i in d.instances("f")}
        self.assertEqual(len(before), 2)
        self.again(d)
        self.assertEqual({i["pid"] for i in d.instances("f")}, before)
        c.sendall(b"still")
        self.assertEqual(c.recv(5), b"still")
        other = self.connect(d, "f")
        self.assertEqual(len({i["pid"] for i in d.instances("f")} - before), 1, "the backend is not started again")
        other.close()
        c.close()
        wait_until(lambda: self.reap() or d.service("f")["active"] == 0, "the connections to end")
        d.mpctl("stop", "f", "--no-wait", check=0)
        for pid in before:
            self.wait_gone(pid)

    def test_bans_outlive_a_restart(self):
        port = free_port()
        d = self.start({"bad": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["sh", "-c", "exit 3"],
                                "ban": {"after": "1/1m", "for": "10m", "exit_codes": [3]}}})
        with socket.create_connection(("127.0.0.1", port), 20) as s:
            s.settimeout(20)
            s.recv(1)
        banned = wait_until(lambda: d.call("Bans")["bans"], "the ban")
        d.stop()
        wait_until(lambda: self.supervisor.kept("state"), "the state in the store")
        self.supervisor.hand_over(d)
        d.start()
        again = d.call("Bans")["bans"]
        self.assertEqual([b["prefix"] for b in again], [b["prefix"] for b in banned])
        wait_until(lambda: "mpinetd.state" in self.supervisor.removed, "the state to be removed once it is read")

    def test_killed_at_any_moment(self):
        """Whatever the daemon is doing when it is killed: who lives is adopted, and is counted once."""
        d = self.start({"cat": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["cat"]},
                        "quick": {"listen": f"tcp:127.0.0.1:{free_port()}", "exec": ["true"]}})
        held = [self.connect(d, "cat") for _ in range(3)]
        for n in range(6):
            quick = []
            for _ in range(20):
                with contextlib.suppress(OSError):
                    quick.append(socket.create_connection(("127.0.0.1", d.port("quick")), 20))
            time.sleep(0.003 * n)
            self.again(d)
            self.assertEqual(len(d.instances("cat")), 3)
            for s in quick:
                s.close()
            for s in held:
                s.sendall(b"still")
                self.assertEqual(s.recv(5), b"still")
        wait_until(lambda: self.reap() or d.service("quick")["active"] == 0, "the quick ones to be over")


if __name__ == "__main__":
    unittest.main()
