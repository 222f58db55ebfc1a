# SPDX-License-Identifier: MIT
"""Namespaces that all processes of a service share are made by another process: however long that takes, everybody else is
served meanwhile, and it has an end."""
import contextlib
import errno
import os
import re
import select
import signal
import time
import unittest

from faults import Injection, ends_by, tracing_works
from harness import SANITIZED, DaemonTest, children_of, need_program, need_root, process_state, wait_until

NETWORK = {"network": "none"}
# So long they may take.
MAKING_SECONDS = 5


@need_root
@need_program("strace")
class Namespaces(DaemonTest):
    """The process that makes them is stopped on its way, as one is that waits for the kernel."""

    def begin(self, also=None, **services):
        if not tracing_works():
            self.skipTest("strace may not trace here")
        # The leak sanitizer cannot look into processes there.
        more = {"environment": {"ASAN_OPTIONS": "detect_leaks=0"}} if SANITIZED else {}
        quick = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}
        rest = {name: {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "sandbox": NETWORK, **more, **s} for name, s in services.items()}
        self.config = {"services": {"quick": quick, **rest, **(also or {})}}
        # Nor can the helpers of a daemon that is traced.
        own = {"ASAN_OPTIONS": "exitcode=66:detect_leaks=0"} if SANITIZED else {}
        return self.daemon(self.config, environment=own)

    def stopped(self, d):
        return [pid for pid, _ in children_of(d.pid) if process_state(pid) in ("T", "t")]

    def stops(self, d):
        """While it lasts, whoever makes namespaces does not come to an end."""
        return Injection(d.pid, "unshare:signal=SIGSTOP", children=True)

    def wait_stopped(self, d):
        wait_until(lambda: self.stopped(d), "the process that makes namespaces to be stopped")
        return self.stopped(d)

    def waiting(self, d, name="slow", text=b"x"):
        """A client that has said something."""
        client = d.dial_fast(name)
        self.addCleanup(client.close)
        client.sendall(text)
        return client

    def let_go(self, pids):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def go_on(self, d, pids, client):
        """They come to their end. Who waited is served, unless he has been given up on a machine that has stopped for seconds."""
        self.let_go(pids)
        client.shutdown(1)
        self.assertIn(client.recv(10), (b"x", b""))
        self.assertEqual(d.ask("slow", b"again"), b"again")

    def test_others_are_served_meanwhile(self):
        d = self.begin(slow={})
        with self.stops(d):
            client = self.waiting(d)
            pids = self.wait_stopped(d)
            self.assertEqual(d.ask("quick", b"hello"), b"hello")
            self.assertEqual(d.service("slow")["spawned"], 0)
        self.go_on(d, pids, client)

    def test_it_has_an_end(self):
        d = self.begin(slow={})
        with self.stops(d):
            self.assertEqual(d.ask("slow", b"x", timeout=60), b"")
            error = d.wait_service("slow", spawn_failed=1)["last_error"]
            self.assertEqual((error["step"], error["errno"]), ("namespaces", errno.ETIMEDOUT))
            self.assertRegex(error["message"], "^namespaces: network none: .*did not make it in time")
            self.assertEqual(self.stopped(d), [])
        self.assertEqual(d.ask("slow", b"again"), b"again")
        self.assertEqual(d.wait_idle("slow")["spawn_failed"], 1)

    def test_stopped_together_with_the_daemon(self):
        """In that time it could do nothing: it has all of it once more."""
        d = self.begin(slow={})
        with self.stops(d):
            client = self.waiting(d)
            pids = self.wait_stopped(d)
            os.kill(d.pid, signal.SIGSTOP)
            try:
                time.sleep(MAKING_SECONDS + 1.5)
            finally:
                os.kill(d.pid, signal.SIGCONT)
            # The second one is answered in a later turn than that in which it was found to be late.
            for _ in range(2):
                self.assertEqual(d.service("slow")["spawn_failed"], 0)
            self.assertEqual(self.stopped(d), pids)
        self.let_go(pids)
        client.shutdown(1)
        self.assertIn(client.recv(10), (b"x", b""))

    def test_who_waits_together_fails_together(self):
        """Not one after the other, each after a time of his own."""
        mux = {"mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"}}
        for name, text, keys, also in (("slow", b"", {}, {}), ("mux", b"slow\r\n", {"tcpmux": "slow"}, mux),
                                       ("slow", b"PROXY UNKNOWN\r\n", {"proxy_protocol": {"accept_from": ["127.0.0.1"]}}, {})):
            with self.subTest(**keys):
                d = self.begin(also, slow=keys)
                with self.stops(d) as injection:
                    clients = [self.waiting(d, name, text or b"x") for _ in range(5)]
                    self.assertEqual([ends_by(client, 60) or b"" for client in clients], [b""] * 5)
                    service = d.wait_service("slow", spawn_failed=5)
                    self.assertEqual((service["accepted"], service["last_error"]["errno"]), (5, errno.ETIMEDOUT))
                # For all of them it was tried once, or again where the machine has stopped for a second.
                self.assertLess(len(re.findall(r"\bunshare\(", injection.text)), 5, injection.text)
                self.assertEqual(d.ask(name, text + b"again"), b"again")
                self.assertEqual(d.wait_idle("slow")["spawn_failed"], 5)

    def test_each_kind_of_process_waits(self):
        """Also who does not start by traffic."""
        d = self.begin(now={"model": "on-demand", "start": "now", "pass": "listen_fds", "exec": ["mp-echo"], "enabled": False},
                       ahead={"prespawn": 2}, pool={"model": "pool", "exec": ["mp-echo"], "pool": {"min": 1, "max": 1}},
                       demand={"model": "on-demand", "exec": ["mp-echo"]})
        config = self.config
        config["services"]["now"]["enabled"] = True
        # What was set up at the start is set up again by another config.
        for name in ("ahead", "pool"):
            config["services"][name]["umask"] = "0077"
        d.write_config(config)
        with self.stops(d):
            d.call("Reload")
            wait_until(lambda: len(self.stopped(d)) >= 3, "three services to be prepared")
            client = self.waiting(d, "demand")
            wait_until(lambda: len(self.stopped(d)) >= 4, "the fourth")
            pids = self.stopped(d)
            self.assertEqual(d.service("now")["spawned"], 0)
        self.let_go(pids)
        wait_until(lambda: d.service("now")["active"] == 1, "start: now to hold")
        for name in ("now", "ahead", "pool", "demand"):
            self.assertEqual(d.ask(name, b"hello"), b"hello", name)

    def test_an_order_is_answered_when_it_is_done(self):
        d = self.begin(now={"model": "on-demand", "start": "now", "exec": ["mp-echo"]},
                       pool={"model": "pool", "exec": ["mp-echo"], "pool": {"min": 1, "max": 1}})
        wait_until(lambda: d.service("now")["active"] == d.service("pool")["active"] == 1, "both to run")
        d.call("Stop", services=["pool"])
        # Another program knows nothing of what this one has made.
        d.call("Upgrade")
        with d.connect() as restart, d.connect() as start:
            with self.stops(d):
                restart.send("Restart", {"services": ["now"]})
                start.send("Start", {"services": ["pool"]})
                wait_until(lambda: len(self.stopped(d)) == 2, "both to be prepared")
                pids = self.stopped(d)
                d.call("Ping")
                self.assertEqual(select.select([restart.socket, start.socket], [], [], 0.1)[0], [])
            self.let_go(pids)
            restart.parameters_of(restart.receive())
            start.parameters_of(start.receive())
        self.assertEqual([d.service(name)["active"] for name in ("now", "pool")], [1, 1])

    def test_a_pause_meanwhile(self):
        """What was to start at once does so when it goes on; who has asked for the start is told that it has been overtaken."""
        d = self.begin(now={"model": "on-demand", "start": "now", "pass": "listen_fds", "exec": ["mp-echo"], "enabled": False})
        self.config["services"]["now"]["enabled"] = True
        d.write_config(self.config)
        with self.stops(d):
            d.call("Reload")
            pids = self.wait_stopped(d)
            with d.connect() as control:
                control.send("Start", {"services": ["now"]})
                wait_until(lambda: "start of now" in d.log_text(), "the order")
                d.call("Pause", services=["now"])
                self.assertEqual(control.receive().get("error"), control.INTERFACE + "InvalidState")
        self.let_go(pids)
        wait_until(lambda: not self.stopped(d) and not children_of(d.pid), "namespaces to be there")
        self.assertEqual(d.service("now")["spawned"], 0)
        d.call("Resume", services=["now"])
        wait_until(lambda: d.service("now")["active"] == 1, "start: now to hold")

    def test_a_reload_meanwhile(self):
        d = self.begin(slow={})
        with self.stops(d):
            client = self.waiting(d)
            first = self.wait_stopped(d)
            self.config["services"]["slow"]["umask"] = "0077"
            d.write_config(self.config)
            self.assertTrue(d.call("Reload")["ok"])
            wait_until(lambda: self.stopped(d) and not set(first) & set(self.stopped(d)), "another to be at it")
            second = self.stopped(d)
        self.go_on(d, second, client)

    def test_an_upgrade_meanwhile(self):
        d = self.begin(slow={})
        with self.stops(d):
            client = self.waiting(d)
            pids = self.wait_stopped(d)
        d.mpctl("upgrade", check=0)
        client.shutdown(1)
        self.assertEqual(client.recv(10), b"x")
        self.let_go(pids)
        self.assertEqual(d.ask("slow", b"again"), b"again")
        # What was made for the program before is none that has come from elsewhere.
        wait_until(lambda: not any(process_state(pid) for pid in pids), "it to be reaped")
        os.kill(d.pid, signal.SIGUSR1)
        self.assertIn(" 0 orphans reaped", d.wait_log(event="summary")[0]["message"])

    def test_a_shortage(self):
        """It is waited for, as with any other step."""
        d = self.begin(slow={})
        with Injection(d.pid, "unshare:error=ENOMEM", children=True):
            self.assertEqual(d.ask("slow", b"x"), b"")
            error = d.wait_service("slow", spawn_failed=1)["last_error"]
            self.assertEqual((error["step"], error["errno"]), ("namespaces", errno.ENOMEM))
        self.assertEqual(d.ask("slow", b"again"), b"again")

    def hurries(self, d, client, expected):
        """What @client gets, unless the machine has stopped for seconds, so that the namespaces have been given up."""
        answer = b""
        with contextlib.suppress(OSError):
            client.shutdown(1)
            while data := client.recv(10):
                answer += data
        if not any(entry.get("errno") == errno.ETIMEDOUT or "in time" in entry["message"] for entry in d.log(event="spawn_failed")):
            self.assertEqual(answer, expected)

    def remove(self, *names):
        for name in names:
            del self.config["services"][name]

    def test_nothing_is_made_for_nobody(self):
        """A reload that takes services away where nobody waits has nothing to wait for."""
        names = [f"idle{i}" for i in range(8)]
        folder = self.temporary_folder()
        unix = {name: {"listen": f"unix:{folder}/{name}"} for name in names[:4]}
        d = self.begin(**{name: unix.get(name, {}) for name in names})
        self.remove(*names)
        d.write_config(self.config)
        with Injection(d.pid, trace="fork,vfork,clone,clone3") as calls:
            self.assertTrue(d.call("Reload")["ok"])
            wait_until(lambda: [s["name"] for s in d.status()["services"]] == ["quick"], "all to be gone")
        self.assertLess(len(re.findall(r"\b(?:fork|vfork|clone|clone3)\(", calls.text)), len(names), calls.text)

    def test_who_is_accepted_waits_also_when_the_service_goes(self):
        """By the name that they have said they belong to it."""
        names = ("disabled", "removed")
        d = self.begin(also={"mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"}}, **{name: {"tcpmux": name} for name in names})
        clients = []
        with self.stops(d):
            for name in names:
                clients.append(d.dial("mux"))
                self.addCleanup(clients[-1].close)
                clients[-1].sendall(name.encode() + b"\r\nx")
            wait_until(lambda: len(self.stopped(d)) == 2, "both to be prepared")
            self.config["services"]["disabled"]["enabled"] = False
            self.remove("removed")
            d.write_config(self.config)
            self.assertTrue(d.call("Reload")["ok"])
            wait_until(lambda: len(self.stopped(d)) == 2, "both to be prepared")
            d.call("Ping")
            pids = self.stopped(d)
        self.let_go(pids)
        for client in clients:
            self.hurries(d, client, b"x")
        self.assertEqual(d.log(event="gone"), [])

    def test_a_restart_of_what_was_paused_meanwhile(self):
        d = self.begin(now={"model": "on-demand", "start": "now", "pass": "listen_fds", "exec": ["mp-echo"], "enabled": False})
        self.config["services"]["now"]["enabled"] = True
        d.write_config(self.config)
        with self.stops(d):
            d.call("Reload")
            pids = self.wait_stopped(d)
            d.call("Pause", services=["now"])
            d.call("Restart", services=["now"])
        self.let_go(pids)
        self.assertEqual(d.service("now")["spawned"], 0)
        d.call("Resume", services=["now"])
        wait_until(lambda: d.service("now")["active"] == 1, "start: now to hold")

    def test_a_pool_that_goes_meanwhile(self):
        """Who waits for its first worker is served by it."""
        for change in ("removed", "disabled"):
            with self.subTest(change):
                d = self.begin(pool={"model": "pool", "exec": ["mp-echo"], "pool": {"min": 0, "spare_min": 0, "max": 4}})
                with self.stops(d):
                    client = d.dial("pool")
                    self.addCleanup(client.close)
                    client.sendall(b"x")
                    self.wait_stopped(d)
                    if change == "removed":
                        self.remove("pool")
                    else:
                        self.config["services"]["pool"]["enabled"] = False
                    d.write_config(self.config)
                    self.assertTrue(d.call("Reload")["ok"])
                    pids = self.wait_stopped(d)
                self.let_go(pids)
                self.hurries(d, client, b"x")
                if change == "removed":
                    wait_until(lambda: [s["name"] for s in d.status()["services"]] == ["quick"], "it to be gone")
                else:
                    wait_until(lambda: d.service("pool")["active"] == 0, "the worker to end")
                d.stop()

    def test_a_pool_by_connection_that_goes_meanwhile(self):
        """Its workers get nothing but connections: who has none is counted and told of."""
        pool = {"model": "pool", "exec": ["mp-echo"], "pool": {"min": 0, "spare_min": 0, "max": 4, "handoff": "connection"}}
        d = self.begin(disabled=pool, removed=pool)
        with self.stops(d):
            clients = [d.dial(name) for name in ("disabled", "removed")]
            for client in clients:
                self.addCleanup(client.close)
            wait_until(lambda: len(self.stopped(d)) == 2, "both to be prepared")
            self.config["services"]["disabled"]["enabled"] = False
            self.remove("removed")
            d.write_config(self.config)
            self.assertTrue(d.call("Reload")["ok"])
            for name in ("disabled", "removed"):
                self.assertIn("no worker", d.wait_log(event="gone", service=name)[0]["message"])
            wait_until(lambda: [s["name"] for s in d.status()["services"]] == ["disabled", "quick"], "it to be gone")
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(client.recv(1), b"")
        service = d.service("disabled")
        self.assertEqual((service["accepted"], service["gone"]), (1, 1))

    def test_a_pool_that_drains_meanwhile(self):
        """To look at it again and again is no start."""
        d = self.begin(pool={"model": "pool", "exec": ["mp-echo"], "pool": {"min": 0, "spare_min": 0, "max": 4}})
        with self.stops(d), d.connect() as drain:
            client = d.dial("pool")
            self.addCleanup(client.close)
            client.sendall(b"x")
            self.wait_stopped(d)
            drain.send("Drain", {"services": ["pool"]})
            wait_until(lambda: d.service("pool")["state"] == "draining", "the order")
            for i in range(8):
                self.config["services"]["pool"]["description"] = str(i)
                d.write_config(self.config)
                self.assertTrue(d.call("Reload")["ok"])
            pids = self.wait_stopped(d)
            self.let_go(pids)
            self.hurries(d, client, b"x")
            drain.parameters_of(drain.receive())


if __name__ == "__main__":
    unittest.main()
