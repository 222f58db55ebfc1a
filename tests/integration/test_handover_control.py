# SPDX-License-Identifier: MIT
"""Control clients, bans, rates and events over an upgrade in place: nobody notices it, in the middle of whatever he does."""
import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import (MPCTL, PATIENCE, User, Varlink, VarlinkError, children_of, exchange, need_program, need_root, read_all,
                     sanitizer_environment, stays, wait_ignores, wait_until)
from test_top import TopTest
from test_upgrade import ANSWER, ECHO, UpgradeTest

DEAF = {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "deaf"], "timeouts": {"stop": "1m"}}
REFUSES = {"when_full": "refuse"}
# So much of a reply waits in the daemon at the most, beside what the socket holds.
STREAM_PAUSE = 128 << 10


def message(method, parameters=None, **flags):
    return json.dumps({"method": Varlink.INTERFACE + method, "parameters": parameters or {}, **flags}).encode() + b"\0"


def ask_for(name):
    """A call whose answer shows which one it answers."""
    return message("Describe", {"service": name})


def is_answer(reply, name):
    return reply == {"error": Varlink.INTERFACE + "NoSuchService", "parameters": {"service": name}}


class ControlTest(UpgradeTest):
    def client(self, d):
        control = d.connect(ANSWER)
        self.addCleanup(control.close)
        return control

    def assert_answers(self, control, names):
        for name in names:
            reply = control.receive()
            self.assertTrue(is_answer(reply, name), (name, reply))

    def wait_unread(self, control):
        """Until what waits to be read does not grow any more: the daemon has stopped writing."""
        seen = [0, 0]

        def still():
            with contextlib.suppress(BlockingIOError):
                n = len(control.socket.recv(1 << 24, socket.MSG_PEEK | socket.MSG_DONTWAIT))
                seen[0], seen[1] = n, seen[1] + 1 if n == seen[0] else 0
            return seen[0] > 0 and seen[1] > 10
        wait_until(still, "a reply that is half read", interval=0.02)
        return seen[0]


class Requests(ControlTest):
    def test_cut_anywhere(self):
        """Half of a request before, the rest after."""
        d = self.daemon({"services": {"s": ECHO}})
        bytes_of_two = ask_for("one") + ask_for("two")
        first = len(ask_for("one"))
        for cuts in ((0, 1, 10, first - 1), (first, first + 1, first + 20, len(bytes_of_two) - 1)):
            clients = [(cut, self.client(d)) for cut in cuts]
            for cut, control in clients:
                control.socket.sendall(bytes_of_two[:cut])
            self.upgrade(d)
            for cut, control in clients:
                control.socket.sendall(bytes_of_two[cut:])
                self.assert_answers(control, ("one", "two"))
                self.assertEqual(control.call("Ping")["pid"], d.pid)

    def test_pipelined(self):
        """Many calls without a pause, and upgrades meanwhile: each is answered once, in its order."""
        d = self.daemon({"services": {"s": ECHO}})
        control, stop = self.client(d), threading.Event()
        sent = [0]

        def send():
            while not stop.is_set() and sent[0] < 20000:
                n = sent[0]
                control.socket.sendall(b"".join(ask_for(f"n{n + i}") for i in range(20)))
                sent[0] += 20
                time.sleep(0.001)
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        answers = []
        reader = threading.Thread(target=lambda: answers.extend(self.read_until(control, stop, sent)), daemon=True)
        reader.start()
        for _ in range(3):
            self.upgrade(d)
        stop.set()
        thread.join(PATIENCE)
        reader.join(PATIENCE * 3)
        self.assertFalse(thread.is_alive() or reader.is_alive())
        for n, reply in enumerate(answers):
            self.assertTrue(is_answer(reply, f"n{n}"), (n, reply))
        self.assertEqual(len(answers), sent[0])

    @staticmethod
    def read_until(control, stop, sent):
        n = 0
        while not stop.is_set() or n < sent[0]:
            if n < sent[0]:
                yield control.receive()
                n += 1
            else:
                time.sleep(0.001)

    def test_64_clients(self):
        """As many as one user may have, each in the middle of something; and not one more afterwards."""
        d = self.daemon({"services": {"s": ECHO}})
        clients = [self.client(d) for _ in range(63)]
        for i, control in enumerate(clients):
            control.socket.sendall(ask_for(f"a{i}")[:-1 - i])
        self.upgrade(d)
        for i, control in enumerate(clients):
            control.socket.sendall(ask_for(f"a{i}")[-1 - i:])
        for i, control in enumerate(clients):
            self.assert_answers(control, (f"a{i}",))
        clients.append(self.client(d))
        self.assertEqual(clients[-1].call("Ping")["pid"], d.pid)
        turned_away = self.client(d)
        with self.assertRaises(OSError):
            turned_away.call("Ping")
        clients[0].close()
        wait_until(lambda: self.gets_in(d), "a place")

    @staticmethod
    def gets_in(d):
        with contextlib.suppress(OSError):
            return d.call("Ping")
        return None

    @need_root
    def test_who_may_what(self):
        """Whoever could only look can only look."""
        d = self.daemon({"control": {"mode": "0666"}, "services": {"s": ECHO}})
        connected, upgraded = d.path("connected"), d.path("upgraded")
        os.mkdir(connected, 0o777)
        os.chmod(connected, 0o777)

        def stranger(path):
            with Varlink(path, ANSWER) as control:
                control.call("Ping")
                os.mkdir(os.path.join(connected, "yes"))
                wait_until(lambda: os.path.exists(upgraded), "the upgrade", deadline=ANSWER)
                try:
                    control.call("Stop", services=["s"])
                except VarlinkError as error:
                    return error.name, control.call("Status")["services"][0]["state"]
                return None
        process, pipe = User(65533).start(stranger, d.socket)
        with pipe:
            wait_until(lambda: os.listdir(connected), "the stranger", deadline=ANSWER)
            self.upgrade(d)
            os.mkdir(upgraded)
            self.assertTrue(pipe.poll(ANSWER))
            self.assertEqual(pipe.recv(), (True, (Varlink.INTERFACE + "NotAllowed", "listening")))
        process.join(PATIENCE)


class Replies(ControlTest):
    """Long replies that have been read half: the rest comes from the next program."""
    N = 300

    def start(self):
        text = "x" * 900
        return self.daemon({"services": {f"s{i:03}": {"listen": f"unix:{{dir}}/{i}.sock", "exec": ["mp-echo"],
                                                      "environment": {"LONG": text}, "description": text}
                                         for i in range(self.N)}})

    def test_streams(self):
        d = self.start()
        names = [f"s{i:03}" for i in range(self.N)]
        with d.connect(ANSWER) as control:
            families = re.findall("^# TYPE (.*)$", control.call("Metrics")["metrics"], re.MULTILINE)
        config, metrics, whole, status = (self.client(d) for _ in range(4))
        for control in (config, metrics, whole, status):
            # A small one, so that little is enough to fill it.
            control.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        config.send("GetConfig", more=True)
        metrics.send("Metrics", more=True)
        whole.send("Metrics")
        status.send("Status", {"services": ["s*", "s00?"]})
        made = {control: self.wait_unread(control) + STREAM_PAUSE for control in (config, metrics, whole, status)}
        for _ in range(2):
            self.upgrade(d)
        parts, seen = self.all_parts(config), []
        for part in parts:
            seen += part["config"]["services"]
        self.assertEqual(seen, names)
        self.assertGreater(len(json.dumps(parts)), made[config], "not all of it was there before")
        for control in (metrics, whole):
            text = "".join(part["metrics"] for part in self.all_parts(control))
            self.assertEqual(re.findall("^# TYPE (.*)$", text, re.MULTILINE), families)
            accepted = re.findall(r'^mpinetd_connections_accepted_total{service="(s\d+)"}', text, re.MULTILINE)
            self.assertEqual(accepted or names, names)
            samples = collections.Counter(line.rsplit(" ", 1)[0] for line in text.splitlines() if line[:1] != "#")
            self.assertEqual([name for name, n in samples.items() if n > 1], [])
            self.assertGreater(len(text), made[control], "not all of it was there before")
        self.assertEqual([s["name"] for s in status.parameters_of(status.receive())["services"]], names)
        for control in (config, metrics, whole, status):
            self.assertEqual(control.call("Ping")["pid"], d.pid)

    @staticmethod
    def all_parts(control):
        parts = []
        while True:
            reply = control.receive()
            parts.append(control.parameters_of(reply))
            if not reply.get("continues"):
                return parts

    def test_pipelined_behind_long_ones(self):
        d = self.start()
        control = self.client(d)
        for i in range(4):
            control.send("Metrics")
            control.socket.sendall(ask_for(f"x{i}"))
        self.wait_unread(control)
        self.upgrade(d)
        for i in range(4):
            self.assertTrue(control.parameters_of(control.receive())["metrics"].endswith("\n"))
            self.assert_answers(control, (f"x{i}",))


class Waiting(ControlTest):
    """Who has given an order gets his answer, whichever program carries it out."""

    def deaf(self, d, name="s"):
        s = d.dial(name)
        self.addCleanup(s.close)
        pid = wait_until(lambda: d.instances(name), "its process")[-1]["pid"]
        # Whatever fails, the daemon ends.
        self.addCleanup(self.end, d, pid)
        wait_ignores(pid)
        return pid

    @staticmethod
    def end(d, pid):
        with contextlib.suppress(ProcessLookupError):
            if d.process.poll() is None and pid in dict(children_of(d.pid)):
                os.kill(pid, signal.SIGKILL)

    def test_orders(self):
        d = self.daemon({"services": {name: DEAF for name in ("drained", "restarted", "stopped")}})
        pids = {name: self.deaf(d, name) for name in ("drained", "restarted", "stopped")}
        clients = {}
        for name, verb in (("drained", "Drain"), ("restarted", "Restart"), ("stopped", "Stop")):
            clients[name] = self.client(d)
            clients[name].send(verb, {"services": [name]}, more=True)
            self.assertTrue(clients[name].receive()["continues"], "progress")
        self.upgrade(d)
        for name, control in clients.items():
            os.kill(pids[name], signal.SIGKILL)
            while (reply := control.receive()).get("continues"):
                pass
            self.assertEqual(control.parameters_of(reply)["services"], [name])
            self.assertEqual(control.call("Ping")["pid"], d.pid)
        self.assertEqual({s["name"]: s["state"] for s in d.status()["services"]},
                         {"drained": "stopped", "restarted": "listening", "stopped": "stopped"})

    def test_overtaken(self):
        """An order that another one overtakes in the next program."""
        d = self.daemon({"services": {"s": DEAF}})
        pid = self.deaf(d)
        control = self.client(d)
        control.send("Stop", {"services": ["s"]})
        d.wait_service("s", state="draining")
        self.upgrade(d)
        d.call("Start", services=["s"])
        with self.assertRaises(VarlinkError) as caught:
            control.parameters_of(control.receive())
        self.assertEqual(caught.exception.name, Varlink.INTERFACE + "InvalidState")
        os.kill(pid, signal.SIGKILL)

    def test_mpctl(self):
        """The tool itself: stop that waits, and whoever follows."""
        d = self.daemon({"services": {"s": DEAF, "echo": ECHO}})
        pid = self.deaf(d)
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **sanitizer_environment()}
        with open(d.path("events"), "w+", encoding="utf-8") as events:
            follower = subprocess.Popen([MPCTL, "-s", d.socket, "--json", "events", "-f", "-n", "0"], stdout=events,
                                        stderr=subprocess.STDOUT, env=environment)
            self.addCleanup(follower.wait)
            self.addCleanup(follower.kill)
            stop = subprocess.Popen([MPCTL, "-s", d.socket, "--timeout", "2m", "stop", "s"], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True, env=environment)
            self.addCleanup(stop.stdout.close)
            self.addCleanup(stop.kill)
            d.wait_service("s", state="draining")

            def told(what, n=1, service=None):
                with open(d.path("events"), encoding="utf-8") as file:
                    lines = [line.replace(" ", "") for line in file]
                return sum(f'"event":"{what}"' in line and (not service or f'"service":"{service}"' in line)
                           for line in lines) >= n
            # It says nothing before something happens.
            wait_until(lambda: d.ask("echo", b"x") and told("ended"), "the first event of it")
            for _ in range(2):
                self.upgrade(d)
            d.call("Reload")
            wait_until(lambda: told("upgraded", 2) and told("reloaded"), "the upgrades to be told", deadline=ANSWER)
            self.assertIsNone(stop.poll())
            os.kill(pid, signal.SIGKILL)
            output = stop.communicate(timeout=ANSWER)[0]
            self.assertEqual(stop.returncode, 0, output)
            wait_until(lambda: told("ended", service="s"), "its end")
            self.assertIsNone(follower.poll())
            events.seek(0)
            self.assertNotIn("missed", events.read().replace('"missed": 0', "").replace('"missed":0', ""))

    def test_shutdown(self):
        """A daemon that ends does so in the program that began with it, and answers."""
        d = self.daemon({"shutdown": {"drain": "1m"}, "services": {"s": ECHO}})
        held = d.dial("s")
        self.addCleanup(held.close)
        self.assertEqual(held.send(b"x"), 1)
        self.assertEqual(held.recv(1), b"x")
        self.upgrade(d)
        control = self.client(d)
        control.send("Shutdown")
        wait_until(lambda: d.status()["daemon"]["state"] == "stopping", "the stop")
        with self.assertRaises(VarlinkError) as caught, d.connect(ANSWER) as other:
            other.call("Upgrade")
        self.assertEqual(caught.exception.name, Varlink.INTERFACE + "InvalidState")
        self.assertEqual(exchange(held, b"last"), b"last")
        self.assertEqual(control.receive(), {"parameters": {}})
        self.assertEqual(d.process.wait(PATIENCE), 0)


class Events(ControlTest):
    def test_followers_miss_nothing(self):
        """Of a service and of all, through upgrades and a reload: each event once, in its order."""
        d = self.daemon({"services": {"s": ECHO, "other": ECHO}})
        seen = {None: [], "s": []}
        problems = []

        def read(control, events):
            try:
                while True:
                    part = control.parameters_of(control.receive())
                    events += part["events"]
                    if part["missed"]:
                        problems.append(part["missed"])
            except (OSError, ValueError):
                pass
        for service, events in seen.items():
            control = d.connect(10 * ANSWER)
            self.addCleanup(control.close)
            self.addCleanup(control.socket.shutdown, socket.SHUT_RDWR)
            control.send("Events", {"last": 0, **({"service": service} if service else {})}, more=True)
            self.assertEqual(control.receive()["parameters"]["events"], [])
            threading.Thread(target=read, args=(control, events), daemon=True).start()
        ends = 0
        for turn in range(3):
            for _ in range(5):
                d.ask("s", b"x")
                d.ask("other", b"x")
                ends += 1
            self.upgrade(d)
            d.call("Reload")
        d.wait_idle("s")
        d.wait_idle("other")

        def complete():
            return all(sum(e["event"] == "ended" and e["service"] == "s" for e in events) == ends for events in seen.values())
        wait_until(complete, "all events", deadline=ANSWER)
        self.assertEqual(problems, [])
        for service, events in seen.items():
            of_s = [e for e in events if e["service"] == "s" and e["event"] in ("started", "ended")]
            self.assertEqual(len(of_s), 2 * ends)
            self.assertEqual(len({(e["event"], e["instance"]) for e in of_s}), 2 * ends)
        self.assertEqual(sum(e["event"] == "upgraded" for e in seen[None]), 3)
        # What is kept is what was told: of before as of after, and in one order.
        for service, events in seen.items():
            what = {"service": service} if service else {}
            wait_until(lambda: d.call("Events", last=1000, **what)["events"][-len(events):] == events, f"the same events of {service}")

    def test_output_is_kept(self):
        """Lines of output, apart from the events; asked for together they stand in their order."""
        d = self.daemon({"services": {"s": {**ECHO, "exec": ["/bin/sh", "-c", "echo line $MP_INSTANCE >&2"]}}})
        for _ in range(3):
            d.ask("s")
            d.wait_idle("s")
        before = d.call("Events", service="s", last=1000)["events"]
        self.assertEqual(sum(e["event"] == "stderr" for e in before), 3)
        self.upgrade(d)
        after = d.call("Events", service="s", last=1000)["events"]
        self.assertEqual(after[:len(before)], before)
        d.ask("s")
        wait_until(lambda: sum(e["event"] == "stderr" for e in d.call("Events", service="s", last=1000)["events"]) == 4, "one more")


class Tables(ControlTest):
    """Who is banned, who has used up his rate, who has how many connections."""

    @staticmethod
    def dial_from(d, host, name="s"):
        listener = d.listener(name)
        s = socket.create_connection((listener["address"], listener["port"]), PATIENCE, (host, 0))
        return s

    def served(self, d, host, name="s"):
        with self.dial_from(d, host, name) as s:
            return exchange(s, b"x") == b"x"

    def test_bans(self):
        d = self.daemon({"services": {
            "s": {**ECHO, "access": {"deny": ["127.0.0.66", "127.0.0.77"]}, "ban": {"after": "3/1h", "for": "1h"}},
            "trap": {**ECHO, "sensor": True, "ban": {"for": "5h"}}}})
        for _ in range(3):
            self.assertFalse(self.served(d, "127.0.0.66"))
        self.assertFalse(self.served(d, "127.0.0.88", "trap"))
        # Two strikes of three.
        for _ in range(2):
            self.assertFalse(self.served(d, "127.0.0.77"))
        before = wait_until(lambda: (bans := d.call("Bans")["bans"]) and len(bans) == 2 and bans, "two bans")
        for _ in range(2):
            self.upgrade(d)
        after = d.call("Bans")["bans"]
        for one, other in zip(before, after):
            for key in ("since_usec", "until_usec"):
                # Shown by another clock, which may be set.
                self.assertLess(abs(one.pop(key) - other.pop(key)), 2e6)
            self.assertLess(other.pop("remaining_usec"), one.pop("remaining_usec"))
            self.assertEqual(one, other)
        self.assertFalse(self.served(d, "127.0.0.88"))
        self.assertEqual(d.service("s")["refused"]["banned"], 1)
        self.assertTrue(self.served(d, "127.0.0.1"))
        # The third strike.
        self.assertFalse(self.served(d, "127.0.0.77"))
        wait_until(lambda: len(d.call("Bans")["bans"]) == 3, "the third ban")
        self.assertEqual(d.call("Unban", prefix="127.0.0.0/8")["lifted"], 3)
        self.assertTrue(self.served(d, "127.0.0.88"))

    def test_rates(self):
        d = self.daemon({"services": {
            "all": {**ECHO, "limits": {"rate": "1/1h burst 4", **REFUSES}},
            "each": {**ECHO, "limits": {"rate_per_source": "1/1h burst 3"}}}})
        for _ in range(2):
            self.assertTrue(self.served(d, "127.0.0.1", "all"))
            self.assertTrue(self.served(d, "127.0.0.1", "each"))
        self.upgrade(d)
        for name, more in (("all", 2), ("each", 1)):
            self.assertEqual([self.served(d, "127.0.0.1", name) for _ in range(more + 2)], [True] * more + [False] * 2)
        self.assertTrue(self.served(d, "127.0.0.2", "each"))
        self.upgrade(d)
        self.assertFalse(self.served(d, "127.0.0.1", "all"))
        self.assertFalse(self.served(d, "127.0.0.1", "each"))

    def test_per_source(self):
        """Connections count for their source before and after, and no longer than they live."""
        d = self.daemon({"services": {"s": {**ECHO, "limits": {"per_source": 2}}}})
        held = [self.dial_from(d, "127.0.0.5") for _ in range(2)]
        for s in held:
            self.addCleanup(s.close)
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        for _ in range(2):
            self.upgrade(d)
            self.assertFalse(self.served(d, "127.0.0.5"))
            self.assertTrue(self.served(d, "127.0.0.6"))
        self.assertEqual(exchange(held[0], b"x"), b"x")
        wait_until(lambda: d.service("s")["active"] == 1, "its end")
        self.assertTrue(self.served(d, "127.0.0.5"))
        self.assertEqual(d.service("s")["refused"]["per_source"], 2)

    def test_measures(self):
        d = self.daemon({"services": {"s": ECHO, "closed": {**ECHO, "access": {"deny": ["any"]}}}})
        for _ in range(20):
            d.ask("s", b"x")
            self.assertFalse(self.served(d, "127.0.0.9", "closed"))
        d.wait_idle("s")

        def look(name):
            found = d.call("Describe", service=name)
            kept = {key: found[key] for key in ("latency", "duration", "refused_sources", "sources") if key in found}
            # When somebody came is worked out from two clocks at each look.
            return re.sub(r'"\w*time_usec": \d+', "", json.dumps(kept))
        before = {name: look(name) for name in ("s", "closed")}
        self.upgrade(d)
        self.assertEqual({name: look(name) for name in ("s", "closed")}, before)
        self.assertIn('"accepted": 20', before["s"])
        self.assertIn("127.0.0.9", before["closed"])

    def test_linger(self):
        """Who is being told that he is refused is told to the end."""
        d = self.daemon({"services": {"s": {**ECHO, "access": {"deny": ["any"]}, "banner": {"refused": "not you\n"},
                                            "limits": {"refuse_with": "banner"}}}})
        sockets = []
        for _ in range(10):
            s = self.dial_from(d, "127.0.0.1")
            self.addCleanup(s.close)
            s.sendall(b"unread")
            sockets.append(s)
        wait_until(lambda: d.service("s")["refused"]["access"] == 10, "the refusals")
        self.upgrade(d)
        for s in sockets:
            with contextlib.suppress(OSError):
                s.sendall(b"more that is unread")
            self.assertEqual(s.recv(100), b"not you\n")
            self.assertEqual(read_all(s), b"")


@need_program("tmux", "bash")
class Top(TopTest, UpgradeTest):
    def test_goes_on(self):
        """The live view shows what happens after an upgrade, and a reload."""
        t = self.start(services={"alpha": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}})
        pid = self.pid_of_top(t)
        self.upgrade(self.d)
        self.d.call("Reload")
        for _ in range(7):
            self.d.ask("alpha", b"x")
        t.wait(lambda screen: any("alpha" in line and re.search(r"\b0\.\d|\b[1-9]", line) for line in screen.split("\n")),
               "alpha's rate")
        self.assertEqual(self.pid_of_top(t), pid)
        stays(lambda: "alpha" in t.screen(), "the view", seconds=0.5)
        t.keys("q")
        self.check_terminal(t)


if __name__ == "__main__":
    unittest.main()
