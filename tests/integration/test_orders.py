# SPDX-License-Identifier: MIT
"""start, stop, restart, pause, resume, drain: what each does in each state, to each model, under load, and to whoever
waits for it."""
import os
import shutil
import socket
import tempfile
import threading
import time
import unittest

from harness import DaemonTest, VarlinkError, process_alive, read_all, stays, wait_ignores, wait_until


class OrderTest(DaemonTest):
    def order(self, d, verb, *names):
        return d.call(verb, services=list(names or ["s"]))

    def refused(self, d, verb, *names):
        """The reason with which it is refused."""
        with self.assertRaises(VarlinkError) as caught:
            self.order(d, verb, *names)
        self.assertEqual(caught.exception.name, "dev.mpinetd.Control.InvalidState", caught.exception)
        return caught.exception.parameters

    def state(self, d, name="s"):
        return d.service(name)["state"]

    def one(self, **service):
        """A per-connection service that copies."""
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], **service}}})

    @staticmethod
    def answers(s, timeout=None):
        s.settimeout(timeout or 10)
        try:
            return s.recv(1) == b"x"
        except TimeoutError:
            return False

    def held(self, d, n=1, name="s"):
        """Connections that are being served."""
        held = []
        for _ in range(n):
            s = d.dial(name)
            self.addCleanup(s.close)
            s.sendall(b"x")
            self.assertTrue(self.answers(s))
            held.append(s)
        return held

    def waiting(self, d, n=1, name="s"):
        """Connections that are not served yet, with something to answer."""
        waiting = []
        for _ in range(n):
            s = d.dial(name)
            self.addCleanup(s.close)
            s.sendall(b"x")
            waiting.append(s)
        return waiting


class EveryState(OrderTest):
    """A table of what each verb makes of each state: the state after it, or why not."""
    STOPPED = "it is stopped; start it instead"
    DRAINING = "it is draining; start it instead"
    DISABLED = "it has 'enabled: false' in its config"
    TABLE = {
        "listening": {"Start": "listening", "Stop": "stopped", "Restart": "listening", "Pause": "paused",
                      "Resume": "listening", "Drain": "stopped"},
        "paused": {"Start": "listening", "Stop": "stopped", "Restart": "paused", "Pause": "paused",
                   "Resume": "listening", "Drain": "stopped"},
        "stopped": {"Start": "listening", "Stop": "stopped", "Restart": "listening", "Pause": (STOPPED,),
                    "Resume": (STOPPED,), "Drain": "stopped"},
        "drained": {"Start": "listening", "Stop": "stopped", "Restart": "listening", "Pause": (STOPPED,),
                    "Resume": (STOPPED,), "Drain": "stopped"},
        "disabled": {"Start": (DISABLED,), "Stop": "stopped", "Restart": (DISABLED,), "Pause": (DISABLED,),
                     "Resume": (DISABLED,), "Drain": "stopped"},
    }
    MODELS = {
        "tcp": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]},
        "unix": {"listen": "unix:{dir}/s.sock", "exec": ["cat"]},
        "seqpacket": {"listen": "unix-seqpacket:@mpt-{dir}", "exec": ["cat"]},
        "listen_fds": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "model": "on-demand"},
        "wait": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"], "model": "on-demand", "pass": "stdio"},
        "dgram": {"listen": "unix-dgram:{dir}/d.sock", "exec": ["{bad-child}", "sleep"], "model": "on-demand"},
    }

    def bring(self, d, state):
        if state == "disabled":
            text = open(d.config_path, encoding="utf-8").read()
            d.write_config(text.replace('"exec"', '"enabled": false, "exec"'))
            d.call("Reload")
        elif state != "listening":
            self.order(d, {"paused": "Pause", "stopped": "Stop", "drained": "Drain"}[state])
        self.assertEqual(self.state(d), "stopped" if state == "drained" else state)

    def check_model(self, model):
        for state, row in self.TABLE.items():
            for verb, result in row.items():
                with self.subTest(model=model, state=state, verb=verb):
                    d = self.daemon({"services": {"s": self.MODELS[model]}})
                    self.bring(d, state)
                    if isinstance(result, tuple):
                        self.assertEqual(self.refused(d, verb), {"service": "s", "reason": result[0]})
                        result = "stopped" if state == "drained" else state
                    else:
                        self.assertEqual(self.order(d, verb), {"services": ["s"], "progress": None})
                    service = d.service("s")
                    self.assertEqual(service["state"], result)
                    self.check_order(service, state, verb)
                    self.assertEqual([l["error"] for l in service["listeners"]], [None])
                    self.check_served(d, model, result)
                    d.stop()

    def check_order(self, service, state, verb):
        """Who asked for what holds now."""
        action = {"paused": "pause", "stopped": "stop"}.get(service["state"])
        if service["state"] == "stopped" and "Drain" == verb and state not in ("stopped", "drained"):
            action = "drain"
        if state == "drained" and service["state"] == "stopped" and verb != "Stop":
            action = "drain"
        if action is None:
            self.assertIsNone(service["order"])
        else:
            self.assertEqual((service["order"]["action"], service["order"]["uid"]), (action, os.geteuid()))
            self.assertLess(abs(service["order"]["time_usec"] / 1e6 - time.time()), 60)

    def check_served(self, d, model, state):
        if model in ("dgram", "wait"):
            return
        if state in ("stopped", "disabled"):
            with self.assertRaises((ConnectionRefusedError, FileNotFoundError)):
                d.dial("s")
        elif state == "paused":
            with d.dial("s") as s:
                s.sendall(b"x")
                self.assertFalse(self.answers(s, 0.15))
        else:
            self.assertEqual(d.ask("s", b"hello"), b"hello")


for _model in EveryState.MODELS:
    setattr(EveryState, f"test_{_model}", lambda self, model=_model: self.check_model(model))


class Pause(OrderTest):
    def test_what_waited_is_served_after_resume(self):
        d = self.one()
        [live] = self.held(d)
        self.order(d, "Pause")
        waiting = self.waiting(d, 5)
        self.assertFalse(self.answers(waiting[0], 0.3))
        live.sendall(b"x")
        self.assertTrue(self.answers(live), "instances go on")
        service = d.service("s")
        self.assertEqual((service["state"], service["queued"], service["active"]), ("paused", 5, 1))
        self.order(d, "Resume")
        for s in waiting:
            self.assertTrue(self.answers(s))
        self.assertIsNone(d.service("s")["order"])
        self.assertEqual([e["message"] for e in d.log(event="state", service="s")],
                         ["listening -> paused: pause", "paused -> listening: resume"])

    def test_on_demand(self):
        d = self.one(exec=["mp-echo"], model="on-demand")
        self.order(d, "Pause")
        [waiting] = self.waiting(d)
        stays(lambda: d.service("s")["spawned"] == 0, "a paused service", seconds=0.4)
        self.order(d, "Resume")
        self.assertTrue(self.answers(waiting))
        self.assertEqual(self.state(d), "active")
        self.order(d, "Pause")
        service = d.service("s")
        self.assertEqual((service["state"], service["active"]), ("paused", 1))

    def test_a_process_is_started_again_after_resume(self):
        """restart.policy holds over a pause: what would have been started is started then."""
        d = self.one(exec=["{bad-child}", "sleep", "300"], model="on-demand", start="now",
                     restart={"policy": "always", "delay": "20ms"})
        d.wait_service("s", active=1)
        self.order(d, "Pause")
        d.wait_service("s", active=0)
        spawned = d.service("s")["spawned"]
        stays(lambda: d.service("s")["spawned"] == spawned, "a paused service", seconds=0.4)
        self.order(d, "Resume")
        wait_until(lambda: d.service("s")["spawned"] > spawned, "the next process")

    def test_over_a_reload(self):
        d = self.one()
        port = d.port("s")
        self.order(d, "Pause")
        text = open(d.config_path, encoding="utf-8").read()
        d.write_config(text.replace('"tcp:127.0.0.1:0"', f'["tcp:127.0.0.1:0", "unix:{d.dir}/new.sock"]'))
        d.call("Reload")
        service = d.service("s")
        self.assertEqual((service["state"], service["order"]["action"]), ("paused", "pause"))
        self.assertEqual(service["listeners"][0]["port"], port)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(d.path("new.sock"))
            s.sendall(b"x")
            self.assertFalse(self.answers(s, 0.3), "a new listener is open, and not polled")
            self.order(d, "Resume")
            self.assertTrue(self.answers(s))

    def test_failed_is_not_hidden_and_tried_again(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            d = self.one(listen=f"tcp:127.0.0.1:{other.getsockname()[1]}")
            self.assertEqual(self.state(d), "failed")
            self.order(d, "Pause")
            service = d.service("s")
            self.assertEqual((service["state"], service["order"]["action"]), ("failed", "pause"))
        d.wait_service("s", state="paused")
        self.order(d, "Resume")
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_all_or_nothing(self):
        d = self.daemon({"services": {name: {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]} for name in "abc"}})
        self.order(d, "Stop", "b")
        self.assertEqual(self.refused(d, "Pause", "a", "b", "c")["service"], "b")
        self.assertEqual([self.state(d, name) for name in "abc"], ["listening", "stopped", "listening"])
        with self.assertRaises(VarlinkError) as caught:
            self.order(d, "Pause", "a", "nosuch")
        self.assertEqual(caught.exception.parameters, {"service": "nosuch"})
        self.assertEqual(self.state(d, "a"), "listening")
        self.assertEqual(self.order(d, "Pause", "[ac]")["services"], ["a", "c"])
        self.assertEqual([self.state(d, name) for name in "abc"], ["paused", "stopped", "paused"])


class Drain(OrderTest):
    def in_background(self, d, verb, name="s"):
        """The call, under way: a connection on which the answer comes."""
        control = d.connect()
        self.addCleanup(control.close)
        control.send(verb, {"services": [name]})
        return control

    def check_queue_of_a_full_service(self, listen, queue=6, **service):
        d = self.one(listen=listen, limits={"instances": 1}, **service)
        [live] = self.held(d)
        waiting = self.waiting(d, queue)
        control = self.in_background(d, "Drain")
        d.wait_service("s", state="draining", active=1)
        live.sendall(b"x")
        self.assertTrue(self.answers(live), "connections are left alone")
        live.close()
        for s in waiting:
            self.assertTrue(self.answers(s), "who was queued is served")
            s.close()
        self.assertEqual(control.parameters_of(control.receive())["services"], ["s"])
        service = d.service("s")
        self.assertEqual((service["state"], service["spawned"], service["exited"]["ok"]),
                         ("stopped", queue + 1, queue + 1))
        self.assertEqual((service["gone"], service["order"]["action"]), (0, "drain"))
        return d

    def test_of_what_cannot_be_started(self):
        """What waits cannot be served: after a few tries it is over."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        program = os.path.join(folder, "bad")
        with open(program, "w", encoding="utf-8") as f:
            f.write("#!/no/such/interpreter\n")
        os.chmod(program, 0o755)
        d = self.one(listen="udp:127.0.0.1:0", exec=[program], restart={"delay": "10ms", "max_delay": "20ms"})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", d.port("s")))
            s.send(b"x")
            wait_until(lambda: d.service("s")["spawn_failed"] > 0, "a start fails")
            self.order(d, "Drain")
        self.assertEqual(d.service("s")["state"], "stopped")

    def test_queue_of_a_full_service_tcp(self):
        d = self.check_queue_of_a_full_service("tcp:127.0.0.1:0")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", d.port("s")), 2)
        self.order(d, "Start")
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_queue_of_a_full_service_unix(self):
        d = self.check_queue_of_a_full_service("unix:{dir}/s.sock")
        self.assertFalse(os.path.exists(d.path("s.sock")))
        self.order(d, "Start")
        self.assertEqual(d.ask("s", b"x"), b"x")

    def test_queue_of_a_full_service_abstract(self):
        self.check_queue_of_a_full_service(f"unix-seqpacket:@mpt-{os.getpid()}-drain", queue=3)

    def test_connections_are_not_signalled(self):
        d = self.one()
        held = self.held(d, 3)
        control = self.in_background(d, "Drain")
        d.wait_service("s", state="draining")
        wait_until(lambda: d.log(event="state", service="s"), "the log line")
        with self.assertRaises(ConnectionRefusedError):
            wait_until(lambda: d.dial_fast("s").close(), "the listener to close", deadline=5)
        time.sleep(0.3)
        for s in held:
            s.sendall(b"x")
            self.assertTrue(self.answers(s))
            s.close()
        control.receive()
        self.assertEqual(d.service("s")["exited"]["ok"], 3)

    def test_a_full_service_refuses_over_its_limit(self):
        """when_full: refuse holds for what is queued as well."""
        d = self.one(limits={"instances": 1, "when_full": "refuse"})
        [live] = self.held(d)
        self.order(d, "Pause")
        [waiting] = self.waiting(d)
        control = self.in_background(d, "Drain")
        self.assertEqual(read_all(waiting), b"")
        live.close()
        control.receive()
        self.assertEqual(d.service("s")["refused"]["instances"], 1)

    def test_of_a_paused_service(self):
        d = self.one()
        self.order(d, "Pause")
        waiting = self.waiting(d, 4)
        control = self.in_background(d, "Drain")
        for s in waiting:
            self.assertTrue(self.answers(s))
            s.close()
        control.receive()
        self.assertEqual(self.state(d), "stopped")

    def hammer(self, d, seconds_after, act, n=4, unix=False, until_refused=False):
        """Clients that connect one after the other; act() after a while. How each try ended."""
        counts = {"served": 0, "refused": 0, "lost": 0}
        problems = []
        over = threading.Event()
        address = d.path("s.sock") if unix else ("127.0.0.1", d.port("s"))

        def client():
            while not over.is_set():
                with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as s:
                    s.settimeout(10)
                    try:
                        s.connect(address)
                    except (ConnectionRefusedError, FileNotFoundError):
                        counts["refused"] += 1
                        time.sleep(0.01)
                        continue
                    try:
                        s.sendall(b"x")
                        s.shutdown(socket.SHUT_WR)
                        if s.recv(10) == b"x":
                            counts["served"] += 1
                            continue
                        problems.append("nothing came")
                    except OSError as error:
                        problems.append(repr(error))
                    counts["lost"] += 1
        threads = [threading.Thread(target=client) for _ in range(n)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: counts["served"] > 20, "traffic")
            act()
            if until_refused:
                wait_until(lambda: counts["refused"], "somebody to be refused")
            time.sleep(seconds_after)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(counts["lost"], 0, problems[:5])
        return counts

    def test_under_load_tcp(self):
        d = self.one()
        counts = self.hammer(d, 0.3, lambda: self.order(d, "Drain"), until_refused=True)
        service = d.service("s")
        self.assertEqual((service["state"], service["spawned"]), ("stopped", counts["served"]))

    def test_under_load_unix(self):
        d = self.one(listen="unix:{dir}/s.sock")
        counts = self.hammer(d, 0.3, lambda: self.order(d, "Drain"), unix=True, n=8, until_refused=True)
        self.assertEqual((self.state(d), d.service("s")["spawned"]), ("stopped", counts["served"]))

    def test_under_load_on_demand(self):
        d = self.one(exec=["mp-echo"], model="on-demand")
        counts = self.hammer(d, 0.3, lambda: self.order(d, "Drain"), until_refused=True)
        self.assertEqual(self.state(d), "stopped")

    def test_pause_and_resume_under_load(self):
        d = self.one()

        def act():
            for _ in range(5):
                self.order(d, "Pause")
                time.sleep(0.05)
                self.order(d, "Resume")
                time.sleep(0.05)
        counts = self.hammer(d, 0.1, act)
        self.assertEqual(counts["refused"], 0)

    def test_restart_under_load_on_demand(self):
        d = self.one(exec=["mp-echo"], model="on-demand")

        def act():
            for _ in range(5):
                self.order(d, "Restart")
                time.sleep(0.05)
        counts = self.hammer(d, 0.1, act)
        self.assertEqual(counts["refused"], 0, "the listener stays open")
        self.assertGreaterEqual(d.service("s")["spawned"], 6)

    def test_restart_of_connections_refuses_nobody(self):
        d = self.one(exec=["mp-echo"])
        self.assertEqual(self.hammer(d, 0.1, lambda: None)["refused"], 0)
        held = self.held(d, 3)
        port = d.port("s")
        with d.connect() as control:
            control.send("Restart", {"services": ["s"]})
            for _ in range(20):
                socket.create_connection(("127.0.0.1", port), 5).close()
            control.receive()
        self.assertEqual(d.ask("s", b"x"), b"x")
        for s in held:
            self.assertEqual(read_all(s), b"")

    def test_on_demand_serves_its_queue(self):
        """A process that takes one connection each: what is queued needs several."""
        for handoff in ("listen_fds", "stdio"):
            with self.subTest(handoff=handoff):
                d = self.one(exec=["{bad-child}", "accept", "1"], model="on-demand", **{"pass": handoff})
                self.order(d, "Pause")
                waiting = [d.dial("s") for _ in range(5)]
                self.order(d, "Drain")
                pids = {read_all(s).split()[1] for s in waiting}
                self.assertEqual(len(pids), 5)
                for s in waiting:
                    s.close()
                service = d.service("s")
                self.assertEqual((service["state"], service["spawned"], service["exited"]["ok"]), ("stopped", 5, 5))
                d.stop()

    def test_on_demand_unix_serves_its_queue(self):
        d = self.one(listen="unix:{dir}/s.sock", exec=["{bad-child}", "accept", "2"], model="on-demand")
        self.order(d, "Pause")
        waiting = [d.dial("s") for _ in range(4)]
        self.order(d, "Drain")
        for s in waiting:
            self.assertTrue(read_all(s))
            s.close()
        self.assertEqual(self.state(d), "stopped")
        self.assertFalse(os.path.exists(d.path("s.sock")))

    def test_datagrams_that_wait_are_answered(self):
        d = self.one(listen="udp:127.0.0.1:0", exec=["{bad-child}", "udp", "1"], **{"pass": "stdio"})
        self.order(d, "Pause")
        clients = [d.dial("s") for _ in range(4)]
        for i, s in enumerate(clients):
            s.send(b"%d" % i)
        self.order(d, "Drain")
        for i, s in enumerate(clients):
            self.assertEqual(s.recv(100).split()[0], b"%d" % i)
            s.close()
        self.assertEqual(self.state(d), "stopped")

    def test_on_demand_gets_term_only(self):
        """It may take its time: KILL does not follow, until somebody says stop."""
        d = self.one(exec=["{bad-child}", "hang"], model="on-demand", start="now", timeouts={"stop": "300ms"})
        d.wait_service("s", active=1)
        [instance] = d.instances("s")
        wait_ignores(instance["pid"])
        control = self.in_background(d, "Drain")
        d.wait_service("s", state="draining")
        stays(lambda: process_alive(instance["pid"]), "the process", seconds=0.8)
        self.assertEqual(d.instances("s")[0]["state"], "stopping")
        start = time.monotonic()
        self.order(d, "Stop")
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(control.receive()["parameters"]["services"], ["s"], "stop leads to the same end")
        service = d.service("s")
        self.assertEqual((service["state"], service["exited"]["ok"], service["order"]["action"]), ("stopped", 1, "stop"))

    def test_start_while_it_drains(self):
        """The queue has its old length again, and nobody is lost."""
        for listen in ("tcp:127.0.0.1:0", "unix:{dir}/s.sock"):
            with self.subTest(listen=listen):
                d = self.one(listen=listen, limits={"instances": 1})
                [live] = self.held(d)
                waiting = self.waiting(d, 3)
                control = self.in_background(d, "Drain")
                d.wait_service("s", state="draining")
                time.sleep(0.25)
                self.order(d, "Start")
                self.assertEqual(control.receive()["parameters"], {"service": "s", "reason": "start was asked for meanwhile"})
                if listen.startswith("tcp"):
                    self.assertGreater(d.listener("s")["backlog"], 3)
                live.close()
                for s in waiting:
                    self.assertTrue(self.answers(s))
                    s.close()
                d.wait_service("s", state="listening")
                self.assertEqual(d.ask("s", b"x"), b"x")
                control.close()
                d.stop()

    def test_stop_while_it_drains(self):
        d = self.one()
        held = self.held(d, 2)
        control = self.in_background(d, "Drain")
        d.wait_service("s", state="draining")
        self.order(d, "Stop")
        self.assertIn("parameters", control.receive())
        for s in held:
            self.assertEqual(read_all(s), b"")

    def test_reload_while_it_drains(self):
        """Neither breaks what is queued, nor opens what is new."""
        d = self.one(limits={"instances": 1})
        port = d.port("s")
        [live] = self.held(d)
        waiting = self.waiting(d, 3)
        control = self.in_background(d, "Drain")
        d.wait_service("s", state="draining")
        text = open(d.config_path, encoding="utf-8").read()
        d.write_config(text.replace('"tcp:127.0.0.1:0"', f'["tcp:127.0.0.1:{port}", "unix:{d.dir}/new.sock"]'))
        d.call("Reload")
        self.assertEqual(self.state(d), "draining")
        self.assertFalse(os.path.exists(d.path("new.sock")))
        live.close()
        for s in waiting:
            self.assertTrue(self.answers(s))
            s.close()
        control.receive()
        d.call("Reload")
        self.assertEqual((self.state(d), d.service("s")["order"]["action"]), ("stopped", "drain"))
        self.order(d, "Start")
        self.assertTrue(os.path.exists(d.path("new.sock")))
        self.assertEqual(d.port("s"), port)

    def test_removed_and_disabled_while_it_drains(self):
        for change in ("removed", "disabled"):
            with self.subTest(change=change):
                d = self.daemon({"services": {
                    "s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "limits": {"instances": 1}},
                    "other": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
                [live] = self.held(d)
                control = self.in_background(d, "Drain")
                d.wait_service("s", state="draining")
                config = {"services": {"other": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}}
                if change == "disabled":
                    config["services"]["s"] = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "enabled": False}
                d.write_config(config)
                d.call("Reload")
                self.assertEqual(self.state(d), "draining")
                live.sendall(b"x")
                self.assertTrue(self.answers(live))
                live.close()
                self.assertIn("parameters", control.receive())
                control.close()
                d.stop()

    def test_a_stopped_service_takes_no_listener(self):
        """An endpoint that moves to a stopped or drained service is closed; to a paused one it stays open, and waits."""
        for verb in ("Stop", "Drain", "Pause"):
            with self.subTest(verb=verb):
                d = self.daemon({"services": {"a": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]},
                                              "b": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
                port = d.port("a")
                self.order(d, verb, "b")
                d.write_config({"services": {"b": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]}}})
                d.call("Reload")
                if verb == "Pause":
                    with socket.create_connection(("127.0.0.1", port), 5) as s:
                        s.sendall(b"x")
                        self.assertFalse(self.answers(s, 0.2))
                        self.order(d, "Resume", "b")
                        self.assertTrue(self.answers(s))
                else:
                    d.wait_service("b", state="stopped")
                    with self.assertRaises(ConnectionRefusedError):
                        socket.create_connection(("127.0.0.1", port), 2)
                d.stop()

    def test_progress_on_demand(self):
        """First the queue, then the process that takes its time."""
        d = self.one(exec=["{bad-child}", "hang"], model="on-demand", start="now", timeouts={"stop": "100ms"})
        d.wait_service("s", active=1)
        self.addCleanup(d.call, "Stop", services=["s"])
        wait_ignores(d.instances("s")[0]["pid"])
        late = d.dial("s")
        self.addCleanup(late.close)
        with d.connect() as control:
            control.send("Drain", {"services": ["s"]}, more=True)
            self.assertRegex(control.receive()["parameters"]["progress"], r"^s: serving what is queued, 1 running \(oldest \ds\)$")
            stays(lambda: d.instances("s")[0]["state"] == "running", "a process with a queue", seconds=0.4)

    def test_adopted_socket(self):
        """It stays with whoever passed it; its queue has its old length when it is taken again."""
        with socket.socket() as passed:
            passed.bind(("127.0.0.1", 0))
            passed.listen(64)
            port = passed.getsockname()[1]
            os.set_inheritable(passed.fileno(), True)
            d = self.daemon({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]}}}, wait=None)
            d.wrap = ["sh", "-c", f"exec 3<&{passed.fileno()}; LISTEN_PID=$$ exec \"$@\"", "sh"]
            d.environment = {"LISTEN_FDS": "1"}
            d.pass_fds = (passed.fileno(),)
            d.start()
            self.assertTrue(d.listener("s")["adopted"])
            self.order(d, "Drain")
            self.assertEqual(self.state(d), "stopped")
            late = socket.create_connection(("127.0.0.1", port), 5)
            self.addCleanup(late.close)
            late.sendall(b"x")
            self.assertFalse(self.answers(late, 0.2))
            self.order(d, "Start")
            self.assertTrue(self.answers(late))
            self.assertGreater(d.listener("s")["backlog"], 1)


class Restart(OrderTest):
    def test_on_demand_runs_again_without_traffic(self):
        d = self.one(exec=["mp-echo"], model="on-demand")
        self.assertEqual(d.ask("s", b"x"), b"x")
        [before] = d.instances("s")
        self.order(d, "Restart")
        [after] = d.instances("s")
        self.assertNotEqual(before["pid"], after["pid"])
        service = d.service("s")
        self.assertEqual((service["state"], service["restarts"], service["exited"]["ok"]), ("active", 1, 1))

    def test_idle_on_demand_stays_idle(self):
        d = self.one(exec=["mp-echo"], model="on-demand")
        self.order(d, "Restart")
        self.assertEqual((self.state(d), d.service("s")["spawned"]), ("listening", 0))

    def test_slots_of_their_own(self):
        """With handoff stdio only what ran runs again."""
        d = self.one(listen="udp:0", exec=["{bad-child}", "sleep"], **{"pass": "stdio"})
        with d.dial("s") as s:
            s.send(b"x")
            d.wait_service("s", active=1)
            self.order(d, "Restart")
        service = d.service("s")
        self.assertEqual((service["active"], service["spawned"]), (1, 2))

    def test_ends_connections_and_waits_for_them(self):
        d = self.one(exec=["{bad-child}", "hang"], timeouts={"stop": "300ms"})
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"hanging\n")
            start = time.monotonic()
            self.order(d, "Restart")
            self.assertGreater(time.monotonic() - start, 0.25)
        service = d.service("s")
        self.assertEqual((service["state"], service["active"], service["exited"]["ok"]), ("listening", 0, 1))

    def test_of_a_paused_service(self):
        d = self.one(exec=["mp-echo"], model="on-demand")
        self.assertEqual(d.ask("s", b"x"), b"x")
        self.order(d, "Pause")
        self.order(d, "Restart")
        service = d.service("s")
        self.assertEqual((service["state"], service["active"], service["order"]["action"]), ("paused", 0, "pause"))

    def test_during_backoff(self):
        d = self.one(exec=["{bad-child}", "mark", "{dir}/marks", "1"], model="on-demand", start="now",
                     restart={"policy": "always", "delay": "10s", "max_delay": "60s", "limit": "1/60s"})
        d.wait_service("s", state="backoff")
        with open(d.path("marks"), encoding="utf-8") as file:
            before = len(file.read().split())
        self.order(d, "Restart")

        def marked():
            with open(d.path("marks"), encoding="utf-8") as file:
                return len(file.read().split()) > before
        wait_until(marked, "a start without the delay", deadline=5)

    def test_that_fails(self):
        """What ran cannot be started any more: the answer says why."""
        folder = self.temporary_folder()
        program = os.path.join(folder, "program")
        os.symlink("/bin/sleep", program)
        d = self.one(exec=[program, "1000"], model="on-demand", start="now")
        d.wait_service("s", active=1)
        os.unlink(program)
        with self.assertRaises(VarlinkError) as caught:
            self.order(d, "Restart")
        self.assertEqual(caught.exception.name, "dev.mpinetd.Control.Failed")
        self.assertEqual((caught.exception.parameters["step"], caught.exception.parameters["errno"]), ("exec", 2))
        self.assertIn("mpctl: restart s: exec: No such file", d.mpctl("restart", "s", check=1).stderr)

    def test_twice(self):
        d = self.one(exec=["mp-echo"], model="on-demand")
        self.assertEqual(d.ask("s", b"x"), b"x")
        with d.connect() as one, d.connect() as two:
            one.send("Restart", {"services": ["s"]})
            two.send("Restart", {"services": ["s"]})
            self.assertIn("parameters", one.receive())
            self.assertIn("parameters", two.receive())
        self.assertEqual((self.state(d), d.service("s")["active"]), ("active", 1))


class Waiting(OrderTest):
    def start(self, n=3, **service):
        d = self.one(exec=["{bad-child}", "hang"], timeouts={"stop": "60s"}, **service)
        held = [d.dial("s") for _ in range(n)]
        for s in held:
            self.addCleanup(s.close)
            self.assertEqual(s.recv(100), b"hanging\n")
        return d

    def kill_one(self, d):
        os.kill(d.instances("s")[0]["pid"], 9)

    def test_progress(self):
        for verb, text in (("Stop", "s: {} still running (oldest 0s)"), ("Restart", "s: {} still running (oldest 0s)"),
                           ("Drain", "s: closed to new connections, {} running (oldest 0s)")):
            with self.subTest(verb=verb):
                d = self.start()
                with d.connect() as control:
                    control.send(verb, {"services": ["s"]}, more=True)
                    for n in (3, 2, 1):
                        reply = control.receive()
                        self.assertTrue(reply["continues"])
                        self.assertEqual(reply["parameters"]["services"], ["s"])
                        said = reply["parameters"]["progress"]
                        self.assertRegex(said, text.format(n).replace("(", r"\(").replace(")", r"\)").replace("0s", r"\ds"))
                        self.kill_one(d)
                    reply = control.receive()
                    self.assertFalse(reply.get("continues", False))
                    self.assertEqual(reply["parameters"], {"services": ["s"], "progress": None})
                d.stop()

    def test_progress_is_bounded(self):
        d = self.start(20)
        with d.connect() as control:
            control.send("Stop", {"services": ["s"]}, more=True)
            first = control.receive()["parameters"]["progress"]
            self.assertIn("20 still running", first)
            start = time.monotonic()
            for instance in d.instances("s"):
                os.kill(instance["pid"], 9)
                time.sleep(0.02)
            replies = 0
            while control.receive().get("continues"):
                replies += 1
            self.assertLessEqual(replies, (time.monotonic() - start) * 5 + 2)

    def test_several_services(self):
        d = self.daemon({"services": {name: {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "hang"],
                                             "timeouts": {"stop": "500ms"}} for name in "abc"}})
        held = [d.dial(name) for name in "abc"]
        for s in held:
            self.addCleanup(s.close)
            s.recv(100)
        with d.connect() as control:
            control.send("Stop", {"services": ["*"]}, more=True)
            reply = control.receive()["parameters"]
            self.assertEqual(reply["services"], ["a", "b", "c"])
            self.assertRegex(reply["progress"], r"^a: 1 still running \(oldest \ds\); and 2 more$")
            while control.receive().get("continues"):
                pass
        self.assertEqual([self.state(d, name) for name in "abc"], ["stopped"] * 3)

    def test_client_that_leaves(self):
        """The deed goes on, and its place is free at once."""
        d = self.start(1)
        baseline = len(d.quiet_descriptors())
        control = d.connect()
        control.send("Stop", {"services": ["s"]}, more=True)
        control.receive()
        self.assertEqual(self.state(d), "draining")
        control.close()
        wait_until(lambda: len(d.quiet_descriptors()) <= baseline, "the connection to be gone")
        self.assertEqual(self.state(d), "draining")
        self.kill_one(d)
        d.wait_service("s", state="stopped")

    def test_overtaken(self):
        for first, second, reason in (("Stop", "Start", "start was asked for meanwhile"),
                                      ("Drain", "Restart", None), ("Restart", "Pause", "pause was asked for meanwhile"),
                                      ("Restart", "Stop", "stop was asked for meanwhile")):
            with self.subTest(first=first, second=second):
                d = self.start(1)
                with d.connect() as control, d.connect() as other:
                    control.send(first, {"services": ["s"]})
                    wait_until(lambda: d.instances("s")[0]["state"] == "stopping" or self.state(d) == "draining", first)
                    other.send(second, {"services": ["s"]})
                    reply = control.receive()
                    self.assertEqual(reply["error"], "dev.mpinetd.Control.InvalidState")
                    self.assertEqual(reply["parameters"]["service"], "s")
                    self.assertEqual(reply["parameters"]["reason"], reason or "restart was asked for meanwhile")
                    self.kill_one(d)
                    self.assertNotIn("error", other.receive())
                d.stop()

    def test_no_call_is_taken_while_one_waits(self):
        d = self.start(1)
        with d.connect() as control:
            control.send("Stop", {"services": ["s"]})
            control.send("Ping")
            wait_until(lambda: self.state(d) == "draining", "the stop")
            self.kill_one(d)
            self.assertEqual(control.receive()["parameters"]["services"], ["s"])
            self.assertIn("version", control.receive()["parameters"])

    def test_daemon_that_ends(self):
        d = self.one(exec=["{bad-child}", "hang"], timeouts={"stop": "400ms"})
        with d.dial("s") as s, d.connect() as control:
            s.recv(100)
            control.send("Drain", {"services": ["s"]}, more=True)
            control.receive()
            d.process.terminate()
            wait_until(lambda: d.log(event="stopping"), "the stop")
            self.assertEqual(self.refused(d, "Start")["reason"], "the daemon is stopping")
            self.order(d, "Stop")


class Audit(OrderTest):
    def test_one_line_each(self):
        d = self.daemon({"services": {name: {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]} for name in ("git", "web")}})
        uid = os.geteuid()
        for method, parameters, said in (
                ("Stop", {"services": ["git", "web"]}, "stop of git, web"),
                ("Start", {"services": ["*"]}, "start of *"),
                ("Pause", {"services": ["git"]}, "pause of git"),
                ("Resume", {"services": ["git"]}, "resume of git"),
                ("Drain", {"services": ["git"]}, "drain of git"),
                ("Restart", {"services": ["git"]}, "restart of git"),
                ("Set", {"service": "git", "limits": {"instances": 7, "limits.when_full": "refuse"}},
                 "set of git: instances=7, limits.when_full=refuse"),
                ("Reload", {}, "reload"),
                ("Start", {"services": ["\x1b[31m\nforged"]}, r"start of \x1b[31m\x0aforged"),
                ("Start", {"services": ["ü" * 50]}, "start of " + "ü" * 32 + "…"),
                ("Signal", {"service": "git", "signal": "HUP"}, "signal HUP of git"),
                ("Signal", {"pid": 77, "signal": 9}, "signal 9 of pid 77"),
                ("Signal", {"source": "192.0.2.0/24", "signal": "SIGTERM"}, "signal SIGTERM of source 192.0.2.0/24"),
                ("Stop", {"services": [f"n{i}" for i in range(2000)]},
                 "stop of n0, n1, n2, n3, n4, n5, n6, n7 and 1992 more")):
            before = len(d.log(event="control"))
            with d.connect() as control:
                control.send(method, parameters)
                control.receive()
            lines = wait_until(lambda n=before: d.log(event="control")[n:], f"the line of {method}")
            self.assertEqual([line["message"] for line in lines], [f"{said} by uid {uid}"], method)
        before = len(d.log(event="control"))
        d.call("Status")
        d.call("CheckConfig")
        stays(lambda: len(d.log(event="control")) == before, "the log", seconds=0.2)


if __name__ == "__main__":
    unittest.main()
