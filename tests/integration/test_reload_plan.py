# SPDX-License-Identifier: MIT
"""What a reload does, as it says beforehand, and as it has done it."""
import json
import os
import signal
import socket
import unittest

from harness import PATIENCE, DaemonTest, VarlinkError, free_port, process_alive, wait_until


class PlanTest(DaemonTest):
    def change(self, services):
        self.d.write_config({"services": services})
        asked = self.d.call("CheckConfig")
        done = self.d.call("Reload")
        self.assertEqual(asked["plan"], done["plan"], "asked beforehand, it is the same")
        return [(i["service"], i["endpoint"] or i["object"], i["action"]) for i in done["plan"]]


class Plan(PlanTest):
    def setUp(self):
        self.port = free_port()
        self.services = {"a": {"listen": f"tcp:127.0.0.1:{self.port}", "exec": ["mp-echo"]},
                         "w": {"listen": "unix:{dir}/w", "exec": ["mp-echo"], "model": "pool", "pool": {"min": 1, "max": 2}}}
        self.d = self.daemon({"services": self.services})

    def test_steps(self):
        self.assertEqual(self.change(self.services), [])
        self.services["b"] = {**self.services["a"], "listen": ["unix:{dir}/b", f"tcp:127.0.0.1:{self.port}"]}
        self.services["a"] = {**self.services["a"], "listen": "tcp:127.0.0.1:0"}
        at = self.d.path("b")
        self.assertEqual(self.change(self.services), [
            ("a", "service", "change"), ("a", "tcp:127.0.0.1:0", "open"),
            ("b", "service", "add"), ("b", f"unix:{at}", "open"), ("b", f"tcp:127.0.0.1:{self.port}", "move")])
        self.services["w"]["environment"] = {"X": "1"}
        del self.services["b"]
        wait_until(lambda: self.d.instances("w"), "a worker")
        self.assertEqual(self.change(self.services), [
            ("b", "service", "remove"), ("b", f"unix:{at}", "close"), ("b", f"tcp:127.0.0.1:{self.port}", "close"),
            ("w", "service", "change"), ("w", "workers", "roll")])

    def test_for_people(self):
        self.services["a"]["listen"] = [{"endpoint": f"tcp:127.0.0.1:{self.port}", "backlog": 7}]
        self.d.write_config({"services": self.services})
        said = self.d.mpctl("reload", "--dry-run").stdout
        self.assertIn(f"a tcp:127.0.0.1:{self.port}: change, backlog", said)
        self.assertIn("nothing changed yet", said)
        self.assertIn(f"a tcp:127.0.0.1:{self.port}: change, backlog", self.d.mpctl("reload").stdout)
        document = json.loads(self.d.mpctl("reload", "--json").stdout)
        self.assertEqual((document["ok"], document["plan"]), (True, []))

    def test_options_in_place(self):
        """They are set on the socket that is open, and what is not given any more is as the kernel has it."""
        def backlog():
            return self.d.service("a")["listeners"][0]["backlog"]
        for options, wanted in (({"backlog": 7}, 7), ({"backlog": 9, "nodelay": True, "keepalive": {"idle": 9}}, 9)):
            self.services["a"]["listen"] = [{"endpoint": f"tcp:127.0.0.1:{self.port}", **options}]
            self.assertEqual(self.change(self.services)[1], ("a", f"tcp:127.0.0.1:{self.port}", "change"))
            self.assertEqual(backlog(), wanted)
        self.services["a"]["listen"] = f"tcp:127.0.0.1:{self.port}"
        self.change(self.services)
        self.assertGreater(backlog(), 9, "as the kernel has it again")


class AllOrNothing(DaemonTest):
    def test_each_place_in_the_list(self):
        """RL-3: one port that is taken, wherever it stands; nothing of the others is opened, changed or closed."""
        old = {f"s{i}": {"listen": [{"endpoint": f"tcp:127.0.0.1:{free_port()}", "backlog": 100}], "exec": ["mp-echo"]}
               for i in range(3)}
        d = self.daemon({"services": old})
        before = [s["listeners"] for s in d.status()["services"]]
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = f"tcp:127.0.0.1:{other.getsockname()[1]}"
            for place in range(4):
                listen = [f"tcp:127.0.0.1:{free_port()}" for _ in range(3)]
                listen.insert(place, taken)
                new = {name: {**s, "listen": [{**s["listen"][0], "backlog": 50}]} for name, s in old.items()}
                new["s1"] = {"listen": listen, "exec": ["mp-echo"]}
                d.write_config({"services": new})
                with self.assertRaises(VarlinkError) as caught:
                    d.call("Reload")
                self.assertEqual(caught.exception.name, "dev.mpinetd.Control.InvalidConfig")
                message, = [m for m in caught.exception.parameters["diagnostics"] if m["severity"] == "error"]
                self.assertIn(taken, message["message"])
                self.assertIn("Address already in use", message["message"])
                self.assertGreater(message["line"], 1)
                self.assertEqual([s["listeners"] for s in d.status()["services"]], before)
                for name in old:
                    self.assertEqual(d.ask(name, b"x"), b"x")

    def test_removed_with_connections(self):
        """RL-4: the listener is gone at once, those who are served are served to the end."""
        port = free_port()
        d = self.daemon({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}}})
        held = [d.dial("s") for _ in range(20)]
        for s in held:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
        d.write_config({"services": {}})
        d.call("Reload")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 2)
        for s in held:
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")
            s.close()
        wait_until(lambda: not d.status()["services"], "the end of the service")

    def test_on_demand_is_told_to_end(self):
        """A process that listens itself goes when what it has to serve is served."""
        port = free_port()
        d = self.daemon({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "model": "on-demand", "exec": ["mp-echo"]}}})
        self.assertEqual(d.ask("s", b"x"), b"x")
        pid = d.instances("s")[0]["pid"]
        d.write_config({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}}})
        d.call("Reload")
        wait_until(lambda: not process_alive(pid), "the end of the process")
        self.assertEqual(d.ask("s", b"x"), b"x")


class Coalesced(DaemonTest):
    def setUp(self):
        self.d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})

    def test_fifty_callers(self):
        """RL-6: each is told a generation that has the file as it was when he asked; they are not fifty reloads."""
        clients = [self.d.connect() for _ in range(50)]
        for i, client in enumerate(clients):
            with open(self.d.path("new"), "w", encoding="utf-8") as file:
                json.dump({"version": 1, "defaults": {"user": "self"}, "services": {
                    "s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "limits": {"instances": 100 + i}}}}, file)
            os.rename(self.d.path("new"), self.d.config_path)
            client.send("Reload")
        answers = [client.parameters_of(client.receive()) for client in clients]
        for client in clients:
            client.close()
        self.assertTrue(all(a["ok"] for a in answers))
        # Who has asked at almost the same time is heard in any order: what counts is what he is told of.
        limits = {a["generation"]: int(c["to"]) for a in answers for c in a["changes"]}
        for i, a in enumerate(answers):
            told = limits[max(g for g in limits if g <= a["generation"])]
            self.assertGreaterEqual(told, 100 + i, f"caller {i} is told of generation {a['generation']}")
        self.assertLess(max(a["generation"] for a in answers), 52)
        self.assertEqual(self.d.service("s")["instances_limit"], 149)

    def test_who_leaves_loses_the_answer(self):
        self.d.write_config({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "limits": {"instances": 7}}}})
        with self.d.connect() as client:
            client.send("Reload")
        wait_until(lambda: self.d.service("s")["instances_limit"] == 7, "the reload")

    def test_while_it_stops(self):
        """DM-5: a HUP is ignored, with a line; a Reload is an error."""
        with self.d.dial("s") as held, self.d.connect() as client:
            held.sendall(b"x")
            held.recv(1)
            os.kill(self.d.pid, signal.SIGTERM)
            wait_until(lambda: self.d.status()["daemon"]["state"] == "stopping", "the end to begin")
            os.kill(self.d.pid, signal.SIGHUP)
            self.d.wait_log(event="reload_failed")
            with self.assertRaises(VarlinkError) as caught:
                client.call("Reload")
            self.assertEqual(caught.exception.name, "dev.mpinetd.Control.InvalidState")
            self.assertEqual(self.d.status()["daemon"]["generation"], 1)
        # The last connection is over: so is the daemon, without being told once more.
        self.assertEqual(self.d.process.wait(PATIENCE), 0)

    def test_file_replaced_half_way(self):
        """Whatever the moment finds, the old config or the new one is in force, whole."""
        whole = json.dumps({"version": 1, "defaults": {"user": "self"}, "services": {
            "s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}, "t": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        good = 0
        for i in range(20):
            with open(self.d.config_path, "w", encoding="utf-8") as file:
                file.write(whole[:len(whole) * i // 19])
            try:
                good += self.d.call("Reload")["ok"]
            except VarlinkError as error:
                self.assertEqual(error.name, "dev.mpinetd.Control.InvalidConfig")
            self.assertIn(len(self.d.status()["services"]), (1, 2))
            self.assertEqual(self.d.ask("s", b"x"), b"x")
        self.assertGreaterEqual(good, 1)


if __name__ == "__main__":
    unittest.main()
