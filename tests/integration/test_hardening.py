# SPDX-License-Identifier: MIT
"""What went wrong once: each of these was found by reading or by an attacker's eyes, and must not come back."""
import json
import os
import socket
import stat
import subprocess
import sys
import time
import unittest

from harness import DaemonTest, Varlink, free_port, need_ipv6, need_root, read_all, wait_until
from test_activation import Activation as ActivationBase

DATAGRAM_SERVER = """
import os, socket, sys
s = socket.socket(fileno=0)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(b"%d" % os.getpid(), peer)
"""


def ask_udp(port, family=socket.AF_INET, data=b"x"):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(data, ("127.0.0.1" if family == socket.AF_INET else "::1", port))
        return int(s.recv(100))


class Nodes(DaemonTest):
    @need_root
    def test_reload_follows_no_link(self):
        folder = self.temporary_folder()
        victim = os.path.join(folder, "victim")
        with open(victim, "w", encoding="utf-8"):
            os.chmod(victim, 0o600)
        config = {"services": {"s": {"listen": [{"endpoint": f"unix:{folder}/s.sock", "mode": "0666"}], "exec": ["cat"]}}}
        d = self.daemon(config)
        os.unlink(f"{folder}/s.sock")
        os.symlink(victim, f"{folder}/s.sock")
        config["services"]["s"]["description"] = "changed"
        d.write_config(config)
        self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(stat.S_IMODE(os.stat(victim).st_mode), 0o600)
        os.unlink(f"{folder}/s.sock")

    def test_mode_changes_by_reload(self):
        folder = self.temporary_folder()
        config = {"services": {"s": {"listen": [{"endpoint": f"unix:{folder}/s.sock", "mode": "0666"}], "exec": ["cat"]}}}
        d = self.daemon(config)
        before = os.stat(f"{folder}/s.sock")
        config["services"]["s"]["listen"][0]["mode"] = "0600"
        d.write_config(config)
        self.assertTrue(d.call("Reload")["ok"])
        after = os.stat(f"{folder}/s.sock")
        self.assertEqual((stat.S_IMODE(before.st_mode), stat.S_IMODE(after.st_mode)), (0o666, 0o600))
        self.assertEqual(before.st_ino, after.st_ino)

    def test_node_stays_while_a_process_listens(self):
        folder = self.temporary_folder()
        path = f"{folder}/s.sock"
        config = {"services": {"s": {"listen": f"unix:{path}", "model": "on-demand", "start": "now",
                                     "exec": ["sh", "-c", "trap 'sleep 1; exit 0' TERM; echo ready >&2; "
                                                        "while :; do sleep 0.1; done"]}}}
        d = self.daemon(config)
        d.wait_log(event="stderr", message="ready")
        with Varlink(d.socket) as control:
            control.send("Stop", {"services": ["s"]})
            wait_until(lambda: d.service("s")["state"] == "draining")
            self.assertTrue(os.path.exists(path))
            self.assertNotIn("error", control.receive())
        self.assertFalse(os.path.exists(path))


class Slots(DaemonTest):
    def config(self, port, **more):
        return {"services": {"s": {"listen": f"udp:{port}", "model": "on-demand", "pass": "stdio",
                                   "exec": [sys.executable, "-c", DATAGRAM_SERVER], **more}}}

    @need_ipv6
    def test_reload_keeps_both_processes(self):
        port = free_port()
        d = self.daemon(self.config(port))
        four = ask_udp(port)
        d.write_config(self.config(port, description="changed"))
        self.assertTrue(d.call("Reload")["ok"])
        six = ask_udp(port, socket.AF_INET6)
        self.assertEqual(ask_udp(port), four)
        self.assertNotEqual(four, six)
        self.assertEqual(sorted(i["pid"] for i in d.instances("s")), sorted([four, six]))

    @need_ipv6
    def test_start_now_starts_no_second_ones(self):
        port = free_port()
        d = self.daemon(self.config(port, start="now"))
        d.wait_service("s", active=2)
        for i in range(3):
            d.write_config(self.config(port, start="now", description=f"change {i}"))
            self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(d.service("s")["active"], 2)
        self.assertEqual(d.service("s")["spawned"], 2)

    def test_endpoint_moves_between_services_of_slots(self):
        one, two = free_port(), free_port()
        while two == one:
            two = free_port()
        server = [sys.executable, "-c", DATAGRAM_SERVER]
        a = {"listen": f"udp:{one}", "model": "on-demand", "pass": "stdio", "exec": server}
        b = {"listen": [f"udp:127.0.0.1:{two}"], "model": "on-demand", "pass": "stdio", "exec": server}
        d = self.daemon({"services": {"a": a, "b": b}})
        d.write_config({"services": {"a": {**a, "listen": "udp:127.0.0.1:0"},
                                     "b": {**b, "pass": "listen_fds", "exec": ["mp-echo"],
                                           "listen": [f"udp:127.0.0.1:{two}", f"udp:{one}"]}}})
        self.assertTrue(d.call("Reload")["ok"])
        for port in (one, two):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(5)
                s.sendto(b"hello", ("127.0.0.1", port))
                self.assertEqual(s.recv(100), b"hello")


class Disable(DaemonTest):
    def test_closes_the_port(self):
        port = free_port()
        config = {"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]}}}
        d = self.daemon(config)
        config["services"]["s"]["enabled"] = False
        d.write_config(config)
        self.assertTrue(d.call("Reload")["ok"])
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)

    def test_ends_what_restarts_itself(self):
        config = {"services": {"s": {"listen": "tcp:127.0.0.1:0", "model": "on-demand", "start": "now",
                                     "restart": {"policy": "always", "delay": "10ms"}, "exec": ["sleep", "1000"]}}}
        d = self.daemon(config)
        d.wait_service("s", active=1)
        config["services"]["s"]["enabled"] = False
        d.write_config(config)
        d.call("Reload")
        d.wait_service("s", state="disabled", active=0)
        time.sleep(0.3)
        self.assertEqual(d.service("s")["spawned"], 1)


class Control(DaemonTest):
    def setUp(self):
        self.d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})

    def raw(self, *calls):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(self.d.socket)
        s.sendall(b"".join(json.dumps(c).encode() + b"\0" for c in calls))
        return s

    def call(self, method, **more):
        return {"method": "dev.mpinetd.Control." + method, **more}

    def test_half_closed_client_gets_all_answers(self):
        with self.raw(*[self.call("Status")] * 300) as s:
            s.shutdown(socket.SHUT_WR)
            answers = read_all(s)
        self.assertEqual(answers.count(b"\0"), 300)

    def test_oneway_takes_nothing_along(self):
        with self.raw(self.call("Start", parameters={"services": ["s"]}, oneway=True), self.call("Ping"),
                      self.call("Stop", parameters={"services": ["s"]}, oneway=True), self.call("Ping")) as s:
            s.shutdown(socket.SHUT_WR)
            answers = [json.loads(a) for a in read_all(s).split(b"\0")[:-1]]
        self.assertEqual(["pid" in a["parameters"] for a in answers], [True, True])
        self.d.wait_service("s", state="stopped")

    def test_many_calls_of_one_leave_room_for_others(self):
        with self.raw(*[self.call("CheckConfig")] * 500):
            slowest = 0
            for _ in range(20):
                start = time.monotonic()
                self.d.call("Ping")
                slowest = max(slowest, time.monotonic() - start)
            self.assertLess(slowest, 2)

    def test_stop_and_start_by_two(self):
        config = {"services": {"s": {"listen": "tcp:127.0.0.1:0", "timeouts": {"stop": "1s"},
                                     "exec": ["sh", "-c", "trap '' TERM; echo ready; sleep 1000"]}}}
        d = self.daemon(config)
        with d.dial("s") as s, Varlink(d.socket) as first:
            self.assertEqual(s.recv(100), b"ready\n")
            first.send("Stop", {"services": ["s"]})
            wait_until(lambda: d.service("s")["state"] == "draining")
            d.call("Start", services=["s"])
            self.assertIn("parameters", first.receive())
        d.wait_service("s", active=0)


class Environment(DaemonTest):
    def test_own_variables_are_not_passed_on(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["env"], "pass_environment": ["*"]}}},
                        environment={"REMOTE_ADDR": "evil", "MP_STATUS_FD": "7", "OTHER": "fine"})
        with d.dial("s") as s:
            seen = dict(line.split("=", 1) for line in read_all(s).decode().splitlines() if "=" in line)
        self.assertEqual((seen["REMOTE_ADDR"], seen["OTHER"]), ("127.0.0.1", "fine"))
        self.assertNotIn("MP_STATUS_FD", seen)


class Stopped(DaemonTest):
    @need_root
    def test_a_user_who_stops_its_processes_holds_up_nobody(self):
        d = self.daemon({"services": {
            "s": {"listen": "tcp:127.0.0.1:0", "exec": ["true"], "user": "games"},
            "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
        attacker = subprocess.Popen(["setpriv", "--reuid", "games", "--regid", "games", "--clear-groups", sys.executable,
                                     "-c", "import os, signal\nwhile True:\n  try: os.kill(-1, signal.SIGSTOP)\n"
                                           "  except OSError: pass"])
        try:
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                d.dial("s", 20).close()
        finally:
            attacker.kill()
            attacker.wait()
        # A child that was caught before exec is killed within its five seconds.
        wait_until(lambda: d.call("Ping"), "an answer", deadline=20)
        self.assertEqual(d.ask("canary", b"x", timeout=20), b"x")
        subprocess.run(["pkill", "-KILL", "-u", "games"], check=False)
        d.wait_idle("s")


class Adopted(ActivationBase):
    """Only what is added here; what is inherited runs where it stands."""

    def test_stopped_and_started_again(self):
        port = free_port()
        d = self.activate({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}}},
                          "-l", f"127.0.0.1:{port}")
        self.assertEqual(self.first(d, lambda: socket.create_connection(("127.0.0.1", port), 5)), b"x")
        d.mpctl("stop", "s", check=0)
        d.mpctl("start", "s", check=0)
        self.assertEqual((d.service("s")["state"], d.listener("s")["adopted"]), ("listening", True))
        self.assertEqual(d.ask("s", b"again"), b"again")

    @need_ipv6
    def test_one_socket_for_both_families(self):
        port = free_port()
        d = self.activate({"services": {"s": {"listen": f"tcp:{port}", "exec": ["mp-echo"]}}}, "-l", f"[::]:{port}")
        self.assertEqual(self.first(d, lambda: socket.create_connection(("127.0.0.1", port), 5)), b"x")
        s = d.service("s")
        self.assertEqual((s["state"], s["last_error"]), ("listening", None))


for name in [n for n in dir(ActivationBase) if n.startswith("test_")]:
    setattr(Adopted, name, None)


if __name__ == "__main__":
    unittest.main()
