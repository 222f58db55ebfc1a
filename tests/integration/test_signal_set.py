# SPDX-License-Identifier: MIT
"""Signal: to instances and nobody else. Set: limits until the next reload."""
import json
import os
import socket
import subprocess
import unittest

from harness import DaemonTest, VarlinkError, need_ipv6, need_program, need_root, process_alive, read_all, stays, wait_until

NO_INSTANCE = "dev.mpinetd.Control.NoSuchInstance"
INVALID = "org.varlink.service.InvalidParameter"


class CallTest(DaemonTest):
    def fails(self, d, error, method, **parameters):
        with self.assertRaises(VarlinkError) as caught:
            d.call(method, **parameters)
        self.assertEqual(caught.exception.name, error, caught.exception)
        return caught.exception.parameters


class Signal(CallTest):
    SERVICES = {
        "a": {"listen": ["tcp:127.0.0.1:0", "unix:{dir}/a.sock"], "exec": ["{bad-child}", "sleep"]},
        "ab": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "hang"]},
        "d": {"listen": "udp:127.0.0.1:0", "exec": ["{bad-child}", "sleep"], "start": "now", "model": "on-demand"},
    }

    def setUp(self):
        self.d = self.daemon({"shutdown": {"drain": "0s"}, "services": self.SERVICES})
        self.d.wait_service("d", active=1)

    def live(self, name, n=1):
        """Connections whose process runs; of "hang" with all signals as it wants them."""
        sockets = []
        for _ in range(n):
            s = self.d.dial(name)
            self.addCleanup(s.close)
            if name == "ab":
                self.assertEqual(s.recv(100), b"hanging\n")
            sockets.append(s)
        self.d.wait_service(name, active=n)
        return sockets

    def test_by_name(self):
        self.live("a", 3)
        self.assertEqual(self.d.call("Signal", service="a", signal="TERM"), {"services": ["a"], "signaled": 3})
        service = self.d.wait_service("a", active=0)
        self.assertEqual((service["exited"]["signaled"], service["exited"]["ok"]), (3, 0), "it was not asked for")
        self.assertEqual({e["signal"] for e in self.d.log(event="ended", service="a")}, {"SIGTERM"})
        self.assertEqual(self.d.service("d")["active"], 1)

    def test_by_glob(self):
        self.live("a")
        self.live("ab")
        self.assertEqual(self.d.call("Signal", service="a*", signal="KILL"), {"services": ["a", "ab"], "signaled": 2})
        self.d.wait_service("ab", active=0)

    def test_on_demand(self):
        self.assertEqual(self.d.call("Signal", service="d", signal="SIGUSR1"), {"services": ["d"], "signaled": 1})
        self.assertEqual(self.d.wait_service("d", active=0)["exited"]["signaled"], 1)

    def test_names_and_numbers(self):
        for written, name in (("HUP", "SIGHUP"), ("SIGHUP", "SIGHUP"), ("sighup", "SIGHUP"), (1, "SIGHUP"), ("1", "SIGHUP"),
                              (64, "SIGRTMAX"), ("RTMIN+2", "SIGRTMIN+2"), (9, "SIGKILL")):
            with self.subTest(written=written):
                spawned = self.d.service("a")["spawned"]
                with self.d.dial("a"):
                    self.d.wait_service("a", active=1, spawned=spawned + 1)
                    self.d.call("Signal", service="a", signal=written)
                    self.d.wait_service("a", active=0)
                del name

    def test_bad_signals(self):
        self.live("a")
        for bad in (0, "0", -1, 65, "65", "", "SIG", "NOSUCH", "SIGSIGHUP", "HUP ", "9 9", 1.5, "1.0"):
            with self.subTest(bad=bad):
                self.assertEqual(self.fails(self.d, INVALID, "Signal", service="a", signal=bad), {"parameter": "signal"})
        for bad in (None, [], {}, True):
            with self.subTest(bad=bad):
                self.assertEqual(self.fails(self.d, INVALID, "Signal", service="a", signal=bad), {"parameter": "signal"})
        self.assertEqual(self.d.service("a")["active"], 1)

    def test_by_pid(self):
        self.live("a", 2)
        first, second = [i["pid"] for i in self.d.instances("a")]
        self.assertEqual(self.d.call("Signal", pid=first, signal="TERM"), {"services": ["a"], "signaled": 1})
        wait_until(lambda: not process_alive(first), "its end")
        self.assertTrue(process_alive(second))
        self.d.wait_service("a", active=1)
        self.assertEqual(self.fails(self.d, NO_INSTANCE, "Signal", pid=first, signal="TERM"), {"instance": str(first)})

    def test_never_a_foreign_process(self):
        with subprocess.Popen(["sleep", "60"]) as other:
            for pid in (other.pid, os.getpid(), self.d.pid, 4000000, 2**31, 2**31 + other.pid, 2**32 + other.pid, 2**62):
                self.assertEqual(self.fails(self.d, NO_INSTANCE, "Signal", pid=pid, signal="KILL"), {"instance": str(pid)})
            for pid in (0, 1, -1, -other.pid):
                self.assertEqual(self.fails(self.d, INVALID, "Signal", pid=pid, signal="KILL"), {"parameter": "pid"})
            stays(lambda: process_alive(other.pid), "a foreign process", seconds=0.2)
            other.kill()
        self.assertEqual(self.d.service("d")["active"], 1)

    def test_never_what_an_instance_left_behind(self):
        """A grandchild is no instance, though of the same process group."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "group"]}}})
        with d.dial("s") as s:
            self.assertEqual(s.recv(10), b"group\n")
            [instance] = d.instances("s")
            with open(f"/proc/{instance['pid']}/task/{instance['pid']}/children", encoding="utf-8") as file:
                grandchild = int(file.read().split()[0])
            self.assertEqual(self.fails(d, NO_INSTANCE, "Signal", pid=grandchild, signal="KILL")["instance"], str(grandchild))
            d.call("Signal", service="s", signal="USR1")
            d.wait_service("s", active=0)
            self.assertTrue(process_alive(grandchild), "a signal goes to the process alone")
            os.kill(grandchild, 9)

    def test_kill_goes_to_the_group(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "group"]}}})
        with d.dial("s") as s:
            self.assertEqual(s.recv(10), b"group\n")
            [instance] = d.instances("s")
            with open(f"/proc/{instance['pid']}/task/{instance['pid']}/children", encoding="utf-8") as file:
                grandchild = int(file.read().split()[0])
            d.call("Signal", pid=instance["pid"], signal=9)
            wait_until(lambda: not process_alive(grandchild), "the end of the group")

    def test_by_source(self):
        self.live("a", 2)
        self.live("ab")
        for wrong in ("127.0.1.0/24", "127.0.0.2", "2001:db8::/48", "::/0", "uid:1", "uid:0"):
            self.assertEqual(self.fails(self.d, NO_INSTANCE, "Signal", source=wrong, signal="KILL"), {"instance": wrong})
        self.assertEqual(self.d.call("Signal", source="127.0.0.0/8", signal="KILL"), {"services": ["a", "ab"], "signaled": 3})
        self.d.wait_service("a", active=0)
        self.assertEqual(self.d.service("d")["active"], 1, "an on-demand process has no peer")

    def test_by_uid(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.d.path("a.sock"))
            self.d.wait_service("a", active=1)
            self.live_uid = f"uid:{os.geteuid()}"
            self.assertEqual(self.d.call("Signal", source=self.live_uid, signal="TERM"), {"services": ["a"], "signaled": 1})
            self.assertEqual(read_all(s), b"")

    @need_ipv6
    def test_ipv4_is_ipv4_wherever_it_came_in(self):
        with socket.socket(socket.AF_INET6) as both:
            both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            both.bind(("::", 0))
            both.listen()
            port = both.getsockname()[1]
            os.set_inheritable(both.fileno(), True)
            d = self.daemon({"services": {"s": {"listen": {"endpoint": "tcp:[::]:%d" % port, "only_v6": False},
                                                "exec": ["{bad-child}", "sleep"]}}}, wait=None)
            d.wrap = ["sh", "-c", f"exec 3<&{both.fileno()}; LISTEN_PID=$$ exec \"$@\"", "sh"]
            d.environment = {"LISTEN_FDS": "1"}
            d.pass_fds = (both.fileno(),)
            d.start()
            with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("::1", port)):
                d.wait_service("s", active=2)
                self.assertEqual(d.call("Signal", source="127.0.0.1", signal="TERM")["signaled"], 1)
                d.wait_service("s", active=1)
                self.assertEqual(d.call("Signal", source="::1/128", signal="TERM")["signaled"], 1)

    def test_bad_sources(self):
        for bad in ("", "nosuch", "127.0.0.0/33", "127.0.0.1:80", "[::1]", "uid:root", "uid:-1", "gid:0", "any", "1.2.3",
                    "::/129", "127.0.0.1/", "x" * 5000):
            self.assertEqual(self.fails(self.d, INVALID, "Signal", source=bad, signal="TERM"), {"parameter": "source"})

    def test_targets(self):
        self.assertEqual(self.fails(self.d, INVALID, "Signal", signal="TERM"), {"parameter": "service"})
        self.assertEqual(self.fails(self.d, INVALID, "Signal", service="a", pid=77, signal="TERM"), {"parameter": "pid"})
        self.assertEqual(self.fails(self.d, "dev.mpinetd.Control.NoSuchService", "Signal", service="nosuch", signal="TERM"),
                         {"service": "nosuch"})
        self.assertEqual(self.fails(self.d, NO_INSTANCE, "Signal", service="a", signal="TERM"), {"instance": "a"})

    def test_stopping_instances_take_signals(self):
        [s] = self.live("ab")
        with self.d.connect() as control:
            control.send("Stop", {"services": ["ab"]})
            wait_until(lambda: self.d.instances("ab")[0]["state"] == "stopping", "the stop")
            self.assertEqual(self.d.call("Signal", service="ab", signal="KILL")["signaled"], 1)
            control.receive()
        self.assertEqual(read_all(s), b"")
        self.assertEqual(self.d.service("ab")["exited"]["ok"], 1, "it had been asked to end")

    def test_stop_and_continue(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
        with d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            d.call("Signal", service="s", signal="STOP")
            s.sendall(b"y")
            s.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                s.recv(1)
            d.call("Signal", service="s", signal="CONT")
            s.settimeout(10)
            self.assertEqual(s.recv(1), b"y")

    @need_root
    @need_program("setpriv")
    def test_others_may_not(self):
        self.live("a")
        os.chmod(self.d.socket, 0o666)
        code = ("import json,socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
                "s.sendall(json.dumps({'method':'dev.mpinetd.Control.Signal','parameters':{'service':'a','signal':'KILL'}})"
                ".encode()+b'\\0'); print(s.recv(4096).decode().rstrip('\\0'))")
        out = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "/usr/bin/python3", "-c", code,
                              self.d.socket], capture_output=True, text=True, check=False)
        self.assertIn("dev.mpinetd.Control.NotAllowed", out.stdout, out.stderr)
        self.d.wait_log(event="control", message="signal KILL of a by uid 65533: not allowed")
        self.assertEqual(self.d.service("a")["active"], 1)


class Set(CallTest):
    def start(self, **limits):
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "limits": limits}}})

    @staticmethod
    def answers(s, timeout):
        s.settimeout(timeout)
        try:
            return s.recv(1) == b"x"
        except TimeoutError:
            return False

    def connected(self, d, n):
        sockets = [d.dial("s") for _ in range(n)]
        for s in sockets:
            self.addCleanup(s.close)
            s.sendall(b"x")
        return sockets

    def test_raised_serves_at_once(self):
        d = self.start(instances=1)
        first, second, third = self.connected(d, 3)
        self.assertTrue(self.answers(first, 10))
        d.wait_service("s", state="full")
        self.assertFalse(self.answers(second, 0.2))
        self.assertEqual(d.call("Set", service="s", limits={"limits.instances": 3}),
                         {"changes": [{"service": "s", "action": "change", "key": "limits.instances", "from": "1", "to": "3"}]})
        self.assertTrue(self.answers(second, 10))
        self.assertTrue(self.answers(third, 10))
        self.assertEqual(d.service("s")["instances_limit"], 3)
        [line] = d.wait_log(event="set")
        self.assertEqual((line["level"], line["service"], line["message"]),
                         ("info", "s", f"limits.instances 1 -> 3 by uid {os.geteuid()}"))

    def test_what_is_not_set_is_none(self):
        """In the log and for people; in replies it is empty."""
        d = self.start()
        arrow = "(?:->|→)"
        self.assertRegex(d.mpctl("set", "s", "limits.rate=5/s", check=0).stdout, f"limits.rate none {arrow} 5/s\n")
        self.assertRegex(d.mpctl("status", "s", check=0).stdout, rf"\(set: limits.rate none {arrow} 5/s, until")
        self.assertRegex(d.mpctl("reload", "--dry-run", check=0).stdout, f"limits.rate 5/s {arrow} none\n")
        self.assertRegex(d.mpctl("set", "s", "limits.rate=none", check=0).stdout, f"limits.rate 5/s {arrow} none\n")
        self.assertEqual([e["message"] for e in d.log(event="set")],
                         [f"limits.rate none -> 5/s by uid {os.geteuid()}", f"limits.rate 5/s -> none by uid {os.geteuid()}"])

    def test_lowered_ends_nobody(self):
        d = self.start(instances=5)
        live = self.connected(d, 3)
        for s in live:
            self.assertTrue(self.answers(s, 10))
        d.call("Set", service="s", limits={"instances": "1"})
        service = d.service("s")
        self.assertEqual((service["state"], service["active"], service["instances_limit"]), ("full", 3, 1))
        [late] = self.connected(d, 1)
        live[0].close()
        live[1].close()
        d.wait_service("s", active=1)
        self.assertFalse(self.answers(late, 0.2))
        live[2].sendall(b"x")
        self.assertTrue(self.answers(live[2], 10))
        live[2].close()
        self.assertTrue(self.answers(late, 10))

    def test_when_full(self):
        d = self.start(instances=1)
        [first] = self.connected(d, 1)
        self.assertTrue(self.answers(first, 10))
        changes = d.call("Set", service="s", limits={"when_full": "refuse"})["changes"]
        self.assertEqual([(c["key"], c["from"], c["to"]) for c in changes], [("limits.when_full", "wait", "refuse")])
        [second] = self.connected(d, 1)
        self.assertEqual(read_all(second), b"")
        self.assertEqual(d.service("s")["refused"]["instances"], 1)

    def test_lasts_until_the_next_reload(self):
        d = self.start(instances=50)
        d.call("Set", service="s", limits={"instances": 80})
        d.call("Pause", services=["s"])
        d.call("Resume", services=["s"])
        self.assertEqual(d.service("s")["instances_limit"], 80)
        back = [{"service": "s", "action": "change", "key": "limits.instances", "from": "80", "to": "50"}]
        self.assertEqual(d.call("CheckConfig")["changes"], back)
        self.assertEqual(d.call("Describe", service="s")["set"],
                         [{"service": "s", "action": "change", "key": "limits.instances", "from": "50", "to": "80"}])
        self.assertEqual(d.service("s")["instances_limit"], 80)
        self.assertEqual(d.call("Reload")["changes"], back)
        self.assertEqual(d.call("Describe", service="s")["set"], [])
        self.assertEqual(d.service("s")["instances_limit"], 50)
        self.assertEqual(d.call("Reload")["changes"], [])

    def test_that_the_config_has_caught_up_with(self):
        d = self.start(instances=50)
        d.call("Set", service="s", limits={"instances": 80})
        with open(d.config_path, encoding="utf-8") as file:
            text = file.read()
        d.write_config(text.replace("50", "80"))
        self.assertEqual(d.call("Reload")["changes"], [])
        d.write_config(text.replace("50", "90"))
        self.assertEqual([(c["from"], c["to"]) for c in d.call("Reload")["changes"]], [("80", "90")])

    def test_nothing_new(self):
        d = self.start(instances=50)
        self.assertEqual(d.call("Set", service="s", limits={"instances": 50}), {"changes": []})
        self.assertEqual(d.log(event="set"), [])

    def test_all_or_nothing(self):
        d = self.start(instances=50)
        failure = self.fails(d, "dev.mpinetd.Control.InvalidConfig", "Set", service="s",
                             limits={"instances": 80, "instancs": 5, "when_full": "sometimes"})
        self.assertEqual((failure["ok"], failure["generation"], failure["changes"]), (False, 1, []))
        diagnostics = failure["diagnostics"]
        self.assertEqual([(x["severity"], x["code"], x["file"], x["line"]) for x in diagnostics],
                         [("error", "unknown-key", None, None), ("error", "bad-value", None, None)])
        self.assertIn("instances", diagnostics[0]["hint"])
        self.assertEqual(d.service("s")["instances_limit"], 50)
        self.assertEqual(d.log(event="set"), [])

    def test_what_would_not_hold(self):
        """A process that accepts by itself asks nobody about its peers."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "exec": ["cat"]}}})
        failure = self.fails(d, "dev.mpinetd.Control.InvalidConfig", "Set", service="s",
                             limits={"per_source": 5, "rate": "5/s"})
        self.assertEqual([(x["code"], x["file"], x["line"]) for x in failure["diagnostics"]], [("conflict", None, None)])
        self.assertIn("limits.per_source cannot hold", failure["diagnostics"][0]["message"])
        self.assertEqual(d.call("Describe", service="s")["set"], [])
        changes = d.call("Set", service="s", limits={"rate": "5/s", "load": 1000})["changes"]
        self.assertEqual([(c["key"], c["to"]) for c in changes], [("limits.rate", "5/s"), ("limits.load", "1000")])

    def test_every_limit(self):
        d = self.start()
        limits = {"instances": "7", "per_source": "3", "source_prefix.ipv4": "24", "limits.source_prefix.ipv6": "56",
                  "rate": "100/s burst 200", "rate_per_source": "50/m", "load": "500.5", "when_full": "refuse",
                  "refuse_with": "reset"}
        changes = d.call("Set", service="s", limits=limits)["changes"]
        self.assertEqual({c["key"]: c["to"] for c in changes},
                         {"limits." + key.removeprefix("limits."): value for key, value in limits.items()})
        taken = {"per_source": "none", "rate": "none", "rate_per_source": "none", "load": "none"}
        changes = d.call("Set", service="s", limits=taken)["changes"]
        self.assertEqual({c["key"] for c in changes}, {"limits." + key for key in taken})
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_bad_values(self):
        d = self.start()
        for limits in ({"instances": 0}, {"instances": -1}, {"instances": "many"}, {"instances": ""}, {"instances": 1.5},
                       {"instances": 10**12}, {"": 5}, {"limits.": 5}, {"exec": "sh"}, {"user": "root"},
                       {"limits.instances.x": 5}, {"instances=5": "6"}, {"x" * 5000: "1"}, {"instances": "\u001b[31m"}):
            with self.subTest(limits=limits):
                failure = self.fails(d, "dev.mpinetd.Control.InvalidConfig", "Set", service="s", limits=limits)
                self.assertGreaterEqual(len(failure["diagnostics"]), 1)
                self.assertNotIn("\x1b", json.dumps(failure, ensure_ascii=False))
        for limits in ({}, {"instances": None}, {"instances": [5]}, {"instances": True}, [], "instances=5", None):
            with self.subTest(limits=limits):
                self.assertEqual(self.fails(d, INVALID, "Set", service="s", limits=limits), {"parameter": "limits"})
        self.assertEqual(self.fails(d, "dev.mpinetd.Control.NoSuchService", "Set", service="s*", limits={"instances": 5}),
                         {"service": "s*"})
        self.assertEqual(d.service("s")["instances_limit"], 1000)

    def test_a_stopped_service(self):
        d = self.start(instances=1)
        d.call("Stop", services=["s"])
        d.call("Set", service="s", limits={"instances": 2})
        d.call("Start", services=["s"])
        self.assertEqual(d.service("s")["instances_limit"], 2)
        for s in self.connected(d, 2):
            self.assertTrue(self.answers(s, 10))


if __name__ == "__main__":
    unittest.main()
