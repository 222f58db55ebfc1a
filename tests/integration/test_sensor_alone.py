# SPDX-License-Identifier: MIT
"""Sensors that have no program: nothing is started, over TCP, UNIX sockets and UDP."""
import socket

from harness import PATIENCE, DaemonTest, wait_until


class SensorAlone(DaemonTest):
    def test_without_exec(self):
        d = self.daemon({"defaults": {"prespawn": 2, "start": "now", "restart": {"policy": "always"}},
                         "services": {
                             "tcp": {"listen": "tcp:127.0.0.1:0", "sensor": True},
                             "unix": {"listen": "unix:{dir}/s", "sensor": True},
                             "udp": {"listen": "udp:127.0.0.1:0", "sensor": True},
                             "s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "prespawn": 0}}})
        self.assertEqual([s["state"] for s in d.status()["services"]], ["listening"] * 4)
        self.assertEqual(d.ask("s", b"x"), b"x")
        trap = d.listener("tcp")
        with socket.create_connection((trap["address"], trap["port"]), PATIENCE, ("127.0.7.1", 0)) as s:
            self.assertEqual(s.recv(1), b"")
        trap = d.listener("udp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.7.2", 0))
            s.sendto(b"anybody there?", (trap["address"], trap["port"]))
            wait_until(lambda: len(d.call("Bans")["bans"]) == 2, "both of them")
        listener = d.listener("s")
        for source in ("127.0.7.1", "127.0.7.2"):
            with socket.create_connection((listener["address"], listener["port"]), PATIENCE, (source, 0)) as s:
                self.assertEqual(s.recv(1), b"")
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(d.path("s"))
            self.assertEqual(s.recv(1), b"")
        self.assertEqual(len(d.call("Bans")["bans"]), 3)
        self.assertEqual(d.ask("s", b"x"), b"x")
        for name in ("tcp", "unix", "udp"):
            self.assertEqual((d.service(name)["spawned"], d.service(name)["state"]), (0, "listening"))
