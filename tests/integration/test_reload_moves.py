# SPDX-License-Identifier: MIT
"""Reloads that move what listens: between `*` and one address, between families, services and models, while clients come."""
import itertools
import os
import socket
import time
import unittest

from harness import SERVICES, PATIENCE, DaemonTest, exchange, free_port, wait_until
from steady import Held, Load


class Moves(DaemonTest):
    """One port, written in different ways by turns, whose clients notice nothing."""
    def move(self, ways, host="127.0.0.1", rounds=6, **service):
        port = free_port()
        def config(way):
            names = way if isinstance(way, dict) else {"s": way}
            return {"services": {name: {"listen": [e.format(port=port) if isinstance(e, str) else
                                                   {**e, "endpoint": e["endpoint"].format(port=port)} for e in listen],
                                        "exec": ["mp-echo"], **service} for name, listen in names.items()}}
        d = self.daemon(config(ways[0]))
        wait_until(lambda: not any(li["error"] for s in d.status()["services"] for li in s["listeners"]), "its listeners")
        address = f"[{host}]" if ":" in host else host
        with Load(self, {"s": f"tcp:{address}:{port}"}) as load, Held(self, port, 3, host=host):
            for i, way in enumerate(itertools.islice(itertools.cycle(ways), 1, rounds + 1)):
                time.sleep(0.2)
                d.write_config(config(way))
                self.assertEqual(d.call("Reload")["generation"], i + 2)
        self.assertGreater(load.answered, 20)
        # One that has been removed is there until its last process has ended.
        wait_until(lambda: not any(s["active"] for s in d.status()["services"] if s["model"] == "per-connection"),
                   "the end of all processes")

    def test_any_and_one_address(self):
        self.move([["tcp:0.0.0.0:{port}"], ["tcp:127.0.0.1:{port}"]])

    def test_both_families_and_one_address(self):
        self.move([["tcp:{port}"], ["tcp:127.0.0.1:{port}"]])

    def test_both_families_and_one_of_them(self):
        self.move([["tcp:{port}"], ["tcp:0.0.0.0:{port}"]])

    def test_one_socket_and_two(self):
        self.move([["tcp:[::]:{port}"], ["tcp:{port}"]])

    def test_one_address_of_two(self):
        self.move([["tcp:{port}"], ["tcp:[::1]:{port}"]], host="::1")

    def test_only_v6(self):
        self.move([["tcp:[::]:{port}"], [{"endpoint": "tcp:[::]:{port}", "only_v6": True}]], host="::1")

    def test_to_another_service(self):
        self.move([{"a": ["tcp:{port}"]}, {"b": ["tcp:127.0.0.1:{port}"]}])

    def test_same_address_to_another_service(self):
        self.move([{"a": ["tcp:127.0.0.1:{port}"]}, {"b": ["tcp:127.0.0.1:{port}"]}])

    def test_reuse_port(self):
        self.move([["tcp:127.0.0.1:{port}"], [{"endpoint": "tcp:127.0.0.1:{port}", "reuse_port": True}]])

    def test_device(self):
        self.move([["tcp:127.0.0.1:{port}"], [{"endpoint": "tcp:127.0.0.1:{port}", "device": "lo"}]])

    def test_pool_that_passes_connections(self):
        self.move([["tcp:{port}"], ["tcp:127.0.0.1:{port}"]], model="pool",
                  pool={"min": 2, "max": 4, "handoff": "connection"})

    def test_pool_that_accepts(self):
        self.move([["tcp:{port}"], ["tcp:127.0.0.1:{port}"]], model="pool", pool={"min": 2, "max": 4})

    def test_on_demand(self):
        """Each has what waits where it listens until it has served that, and is told to end only then."""
        self.move([["tcp:{port}"], ["tcp:127.0.0.1:{port}"]], model="on-demand", rounds=4)

    def test_on_demand_twice(self):
        """Who has come to a socket that goes again, while the process of before still has somebody, is served after it."""
        port = free_port()

        def config(endpoint):
            return {"services": {"s": {"listen": endpoint, "exec": ["mp-echo"], "model": "on-demand"}}}
        d = self.daemon(config(f"tcp:{port}"))
        with d.dial("s") as first:
            first.sendall(b"first")
            self.assertEqual(first.recv(10), b"first")
            (old,) = d.instances("s")
            d.write_config(config(f"tcp:127.0.0.1:{port}"))
            d.call("Reload")
            waiting = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(5)]
            for s in waiting:
                self.addCleanup(s.close)
                s.settimeout(PATIENCE)
                s.sendall(b"waits")
            d.write_config(config(f"tcp:{port}"))
            d.call("Reload")
            self.assertEqual([i["pid"] for i in d.instances("s")], [old["pid"]])
            first.sendall(b"again")
            self.assertEqual(first.recv(10), b"again")
        for s in waiting:
            self.assertEqual(s.recv(10), b"waits")
            s.close()
        self.assertEqual(d.ask("s", b"after"), b"after")
        s = d.wait_service("s", active=1)
        self.assertEqual(s["spawned"], s["active"] + sum(s["exited"].values()))

    def test_on_demand_removed_while_somebody_waits(self):
        """Its process is told to end only when it has served who waits."""
        port = free_port()
        other = {"t": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}
        d = self.daemon({"services": {**other, "s": {"listen": f"tcp:127.0.0.1:{port}", "model": "on-demand",
                                                     "exec": ["sh", "-c", f"sleep 0.05; exec {SERVICES}/mp-echo"]}}})
        with socket.create_connection(("127.0.0.1", port), 20) as c:
            c.settimeout(20)
            c.sendall(b"x")
            d.write_config({"services": other})
            d.call("Reload")
            self.assertEqual(c.recv(1), b"x")

    def test_on_demand_removed_with_its_program(self):
        """Who waits cannot be served any more, and is told."""
        port = free_port()
        other = {"t": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}
        # By vfork(2) the daemon knows what becomes of its exec before it goes on.
        d = self.daemon({"services": {**other, "s": {"listen": f"tcp:127.0.0.1:{port}", "model": "on-demand",
                                                     "exec": ["{bad-child}", "sleep"]}}}, environment={"MPINETD_SPAWN": "vfork"})
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as c:
            d.wait_service("s", active=1)
            os.unlink(d.path("bad-child"))
            d.write_config({"services": other})
            d.call("Reload")
            with self.assertRaises(ConnectionResetError):
                c.recv(1)
        self.assertEqual([e["step"] for e in d.wait_log(event="spawn_failed", service="s")], ["exec"])
        wait_until(lambda: [s["name"] for s in d.status()["services"]] == ["t"], "its end")


class OfWhichNobodyHasCome(DaemonTest):
    """A UNIX socket that goes with a change of the model, when nobody waits there: no process is started for it."""

    def test_model_that_changes(self):
        for keys, spawned in (({"model": "on-demand"}, 0), ({"model": "pool", "pool": {"min": 1, "max": 1}}, 1)):
            with self.subTest(**keys):
                port = free_port()
                before = {"listen": [f"tcp:127.0.0.1:{port}", "unix:{dir}/s.sock"], "exec": ["mp-echo"]}
                d = self.daemon({"services": {"s": before}})
                d.write_config({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"], **keys}}})
                self.assertTrue(d.call("Reload")["ok"])
                wait_until(lambda d=d: not os.path.exists(d.path("s.sock")), "its node to go")
                self.assertEqual(d.service("s")["spawned"], spawned)
                d.write_config({"services": {"s": before}})
                self.assertTrue(d.call("Reload")["ok"])
                with socket.socket(socket.AF_UNIX) as c:
                    c.connect(d.path("s.sock"))
                    self.assertEqual(exchange(c, b"x"), b"x")


class OfAPausedService(DaemonTest):
    """Who waits for a service to go on is served before what he waits at is closed: there is nothing else to come."""
    OTHER = {"t": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}
    CHANGES = {"removed": None, "disabled": {"enabled": False}, "moved": {"listen": "unix:{dir}/new.sock"}}

    def reload_while_they_wait(self, **service):
        for change, keys in self.CHANGES.items():
            for listen in ("tcp:127.0.0.1:0", "unix:{dir}/old.sock"):
                with self.subTest(change, listen=listen):
                    service = {"exec": ["mp-echo"], **service, "listen": listen}
                    d = self.daemon({"services": {**self.OTHER, "s": service}})
                    d.call("Pause", services=["s"])
                    # A worker that accepts by itself is kept from it by ending.
                    d.wait_service("s", state="paused", active=1 if "connection" in service.get("pool", {}).values() else 0)
                    waiting = [d.dial("s") for _ in range(3)]
                    for s in waiting:
                        self.addCleanup(s.close)
                        s.settimeout(PATIENCE)
                        s.sendall(b"waits")
                    d.wait_service("s", state="paused", queued=3)
                    d.write_config({"services": {**self.OTHER, **({"s": {**service, **keys}} if keys else {})}})
                    self.assertTrue(d.call("Reload")["ok"])
                    for s in waiting:
                        self.assertEqual(s.recv(10), b"waits")
                        s.close()
                    if change == "moved":
                        d.wait_service("s", state="paused", active=1 if "connection" in service.get("pool", {}).values() else 0)
                    else:
                        wait_until(lambda: not [i for i in d.instances() if i["service"] == "s"], "what has served them to end")
                    d.stop()

    def test_per_connection(self):
        self.reload_while_they_wait()

    def test_one_at_a_time(self):
        self.reload_while_they_wait(limits={"instances": 1})

    def test_on_demand(self):
        self.reload_while_they_wait(model="on-demand")

    def test_on_demand_by_stdio(self):
        self.reload_while_they_wait(model="on-demand", **{"pass": "stdio"})

    def test_pool_that_accepts(self):
        self.reload_while_they_wait(model="pool", pool={"min": 1, "max": 2})

    def test_pool_that_passes_connections(self):
        self.reload_while_they_wait(model="pool", pool={"min": 1, "max": 2, "handoff": "connection"})


if __name__ == "__main__":
    unittest.main()
