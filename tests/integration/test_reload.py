# SPDX-License-Identifier: MIT
"""Reload: all of it or nothing, and what has not changed is not touched."""
import contextlib
import json
import os
import signal
import socket
import threading
import time
import unittest

from faults import Injection, tracing_works
from harness import PATIENCE, DaemonTest, VarlinkError, descriptors_of, exchange, free_port, wait_until


def inodes(d):
    """{port or path: inode} of the daemon's listening sockets."""
    found = {}
    for fd in descriptors_of(d.pid):
        with contextlib.suppress(FileNotFoundError):  # the connection of the control client that has just gone
            target = os.readlink(f"/proc/{d.pid}/fd/{fd}")
            if target.startswith("socket:["):
                found[fd] = target
    return found


class ReloadTest(DaemonTest):
    def setUp(self):
        self.config = {"services": {
            "a": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]},
            "b": {"listen": ["unix:{dir}/b.sock"], "exec": ["cat"]},
            "u": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}}}
        self.d = self.daemon(self.config)

    def reload(self):
        self.d.write_config(self.config)
        return self.d.call("Reload")

    def generation(self):
        return self.d.status()["daemon"]["generation"]


class Keep(ReloadTest):
    def test_nothing_changed(self):
        before, port = inodes(self.d), self.d.port("a")
        answer = self.reload()
        self.assertEqual((answer["ok"], answer["generation"], answer["changes"]), (True, 2, []))
        self.assertEqual(self.d.port("a"), port, "port 0 keeps what the kernel chose")
        after = inodes(self.d)
        self.assertLessEqual(set(before.values()), set(after.values()))

    def test_counters_and_instances_go_on(self):
        with self.d.dial("a") as s:
            s.sendall(b"x")
            s.recv(1)
            pid = self.d.instances("a")[0]["pid"]
            self.config["services"]["a"]["description"] = "changed"
            self.reload()
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")
            instance = self.d.instances("a")[0]
            self.assertEqual((instance["pid"], instance["generation"]), (pid, 1))
        self.assertEqual(self.d.wait_idle("a")["accepted"], 1)

    def test_control_connection_lasts(self):
        with self.d.connect() as control:
            control.call("Ping")
            self.reload()
            self.assertEqual(control.call("Status")["daemon"]["generation"], 2)

    def test_on_demand_process_lasts(self):
        with self.d.dial("u") as s:
            s.send(b"x")
            s.recv(10)
            pid = self.d.instances("u")[0]["pid"]
            self.reload()
            s.send(b"y")
            self.assertEqual(s.recv(10), b"y")
        self.assertEqual(self.d.instances("u")[0]["pid"], pid)

    def test_backlog_is_kept(self):
        self.config["services"]["a"]["limits"] = {"instances": 1}
        self.reload()
        with self.d.dial("a") as first, self.d.dial("a") as second:
            first.sendall(b"x")
            first.recv(1)
            second.sendall(b"y")
            self.config["services"]["a"]["limits"] = {"instances": 2}
            answer = self.reload()
            self.assertEqual([(c["service"], c["action"], c["key"], c["from"], c["to"]) for c in answer["changes"]],
                             [("a", "change", "limits.instances", "1", "2")])
            second.settimeout(5)
            self.assertEqual(second.recv(1), b"y")


class Change(ReloadTest):
    def test_add_and_remove(self):
        self.config["services"]["new"] = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}
        path = self.d.path("b.sock")
        del self.config["services"]["b"]
        answer = self.reload()
        self.assertEqual({(c["service"], c["action"]) for c in answer["changes"]}, {("new", "add"), ("b", "remove")})
        self.assertEqual(self.d.ask("new", b"x"), b"x")
        self.assertFalse(os.path.exists(path))
        self.assertNotIn("b", [s["name"] for s in self.d.status()["services"]])

    def test_removed_service_lets_its_connections_end(self):
        with self.d.dial("a") as s:
            s.sendall(b"x")
            s.recv(1)
            del self.config["services"]["a"]
            self.reload()
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")

    def test_what_is_not_given_is_null(self):
        service, steps = self.config["services"]["a"], []
        for text in ("once", "twice", None):
            service.pop("description", None)
            if text:
                service["description"] = text
            self.d.write_config(self.config)
            plan = self.d.call("CheckConfig")["changes"]
            self.assertEqual(self.reload()["changes"], plan)
            steps += [(c["key"], c["from"], c["to"]) for c in plan]
        self.assertEqual(steps, [("description", None, "once"), ("description", "once", "twice"), ("description", "twice", None)])
        self.d.call("Set", service="a", limits={"rate": "5/s"})
        self.assertEqual([(c["key"], c["from"], c["to"]) for c in self.d.call("Set", service="a", limits={"rate": "none"})["changes"]],
                         [("limits.rate", "5/s", None)])

    def test_program_changes_for_the_next_connection(self):
        self.config["services"]["a"]["exec"] = ["sh", "-c", "echo new"]
        self.reload()
        self.assertEqual(self.d.ask("a"), b"new\n")

    def test_endpoint_moves(self):
        old = self.d.port("a")
        new = free_port()
        self.config["services"]["a"]["listen"] = f"tcp:127.0.0.1:{new}"
        self.reload()
        self.assertEqual(self.d.port("a"), new)
        self.assertEqual(self.d.ask("a", b"x"), b"x")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", old), 2)

    def test_endpoint_goes_to_another_service(self):
        port = self.d.port("a")
        self.config["services"]["a"]["listen"] = f"tcp:127.0.0.1:{free_port()}"
        self.config["services"]["c"] = {"listen": f"tcp:127.0.0.1:{port}", "exec": ["cat"]}
        self.assertTrue(self.reload()["ok"])
        self.assertEqual(self.d.port("c"), port)
        self.assertEqual(self.d.ask("c", b"x"), b"x")

    def test_disable_and_enable(self):
        self.config["services"]["a"]["enabled"] = False
        self.reload()
        self.assertEqual(self.d.service("a")["state"], "disabled")
        del self.config["services"]["a"]["enabled"]
        self.reload()
        self.assertEqual(self.d.ask("a", b"x"), b"x")

    def test_by_hup(self):
        self.config["services"]["a"]["description"] = "by signal"
        self.d.write_config(self.config)
        os.kill(self.d.pid, signal.SIGHUP)
        wait_until(lambda: self.generation() == 2, "the second generation")
        self.assertTrue(self.d.wait_log(event="reloaded"))

    def test_control_socket_stays(self):
        """One that moved would leave everybody behind who talks to it: each reload says that it has not."""
        self.config["control"] = {"socket": "{dir}/control.sock"}
        # All of its command line but -s and what follows that.
        d = self.daemon(self.config, wrap=["bash", "-c", 'exec "${@:1:3}" "${@:6}"', "sh"])
        d.write_config({**self.config, "control": {"socket": "{dir}/other.sock"}})
        for _ in range(2):
            (said,) = (w for w in d.call("Reload")["diagnostics"] if "control.socket" in w["message"])
            self.assertEqual((said["severity"], said["message"]),
                             ("warning", f"control.socket: it stays at {d.path('control.sock')} for as long as the daemon runs"))
            self.assertGreater(said["line"], 1)
        self.assertFalse(os.path.exists(d.path("other.sock")))
        d.write_config(self.config)
        self.assertNotIn("control.socket", str(d.call("Reload")["diagnostics"]))
        # Left out, it would be at the usual place.
        del self.config["control"]
        d.write_config(self.config)
        self.assertIn("control.socket: it stays at", str(d.call("Reload")["diagnostics"]))

    def test_stopped_stays_stopped(self):
        self.d.call("Stop", services=["a"])
        self.reload()
        self.assertEqual(self.d.service("a")["state"], "stopped")


class ComesBack(DaemonTest):
    """What a process still listens on, and is wanted again: it is the same, with its node, after a failed try as well."""
    PROGRAM = ["sh", "-c", 'trap "test -e $0 && exit" TERM; while :; do sleep 0.1; done', "{dir}/end"]

    def come_back(self, endpoint, poke, **keys):
        config = {"services": {"s": {"listen": endpoint, "model": "on-demand", "exec": self.PROGRAM, **keys},
                               "other": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}}
        d = self.daemon(config)
        held = poke(d)
        d.wait_service("s", active=1)
        pid = d.instances("s")[0]["pid"]
        s = config["services"].pop("s")
        d.write_config(config)
        d.call("Reload")
        config["services"]["s"] = s
        with socket.create_server(("127.0.0.1", 0)) as taken:
            config["services"]["taken"] = {"listen": f"tcp:127.0.0.1:{taken.getsockname()[1]}", "exec": ["cat"]}
            d.write_config(config)
            with self.assertRaises(VarlinkError):
                d.call("Reload")
        self.assertEqual(d.service("s")["listeners"], [])
        del config["services"]["taken"]
        d.write_config(config)
        self.assertTrue(d.call("Reload")["ok"])
        os.kill(pid, signal.SIGKILL)
        # Whoever has come before is not lost, and is what starts the next one.
        wait_until(lambda: [i for i in d.instances("s") if i["pid"] != pid], "a process of the new service")
        del held
        with open(d.path("end"), "w", encoding="ascii"):
            return d

    def unix(self, kind):
        def poke(d):
            c = socket.socket(socket.AF_UNIX, kind)
            c.connect(d.path("s"))
            if kind == socket.SOCK_DGRAM:
                c.send(b"x")
            return c
        return poke

    def test_unix(self):
        d = self.come_back("unix:{dir}/s", self.unix(socket.SOCK_STREAM))
        self.unix(socket.SOCK_STREAM)(d)

    def test_unix_datagrams(self):
        d = self.come_back("unix-dgram:{dir}/s", self.unix(socket.SOCK_DGRAM))
        self.unix(socket.SOCK_DGRAM)(d)

    def test_fifo(self):
        def poke(d):
            fd = os.open(d.path("s"), os.O_WRONLY | os.O_NONBLOCK)
            self.addCleanup(os.close, fd)
            os.write(fd, b"x")
        poke(self.come_back("fifo:{dir}/s", poke))

    def test_tcp(self):
        port = free_port()
        def poke(d):
            return socket.create_connection(("127.0.0.1", port), 10)
        poke(self.come_back(f"tcp:127.0.0.1:{port}", poke))

    def test_vsock(self):
        """Nobody may be there to connect: it is started by itself."""
        try:
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as s:
                s.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
                port = s.getsockname()[1]
        except OSError:
            self.skipTest("this kernel has no vsock")
        self.come_back(f"vsock:any:{port}", lambda d: None, start="now")


class OnlyTold(DaemonTest):
    """Who was drained has got its TERM and no more; when its service goes, it ends in time."""
    DEAF = ["/usr/bin/python3", "-ISc", "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.write(2, b'deaf\\n')\n"
            "while True: signal.pause()"]

    def test_service_that_goes(self):
        for keys in ({"model": "on-demand", "start": "now"}, {"model": "pool", "pool": {"min": 1, "max": 1}}):
            with self.subTest(**keys):
                config = {"services": {"s": {"listen": "tcp:127.0.0.1:0", "timeouts": {"stop": "300ms"}, "exec": self.DEAF, **keys},
                                       "other": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}}
                d = self.daemon(config)
                d.wait_log(event="stderr", service="s")
                d.mpctl("drain", "--no-wait", "s")
                wait_until(lambda d=d: d.instances("s")[0]["state"] == "stopping", "that it is told")
                del config["services"]["s"]
                d.write_config(config)
                self.assertTrue(d.call("Reload")["ok"])
                wait_until(lambda d=d: [s["name"] for s in d.status()["services"]] == ["other"], "its end")


class AllOrNothing(ReloadTest):
    BAD = {
        "syntax": "version: 1\nservices: {",
        "unknown key": "version: 1\nservices:\n  a:\n    listen: tcp:1\n    exec: [cat]\n    limts: {}\n",
        "missing program": "version: 1\ndefaults: {user: self}\nservices:\n  a: {listen: tcp:127.0.0.1:0, exec: [/no/such]}\n",
        "conflict": "version: 1\ndefaults: {user: self}\nservices:\n  a: {listen: tcp:127.0.0.1:70, exec: [cat]}\n"
                    "  z: {listen: tcp:127.0.0.1:70, exec: [cat]}\n",
        "empty": "",
        "binary": "\x00\x01\x02",
    }

    def test_bad_config_stays_out(self):
        before = inodes(self.d)
        for name, text in self.BAD.items():
            with self.subTest(name):
                self.d.write_config(text)
                with self.assertRaises(VarlinkError) as caught:
                    self.d.call("Reload")
                self.assertEqual(caught.exception.name, "dev.mpinetd.Control.InvalidConfig")
                self.assertTrue(caught.exception.parameters["diagnostics"])
                for diagnostic in caught.exception.parameters["diagnostics"]:
                    self.assertTrue(diagnostic["file"].startswith("/"), "absolute in the daemon's replies")
                self.assertEqual(self.generation(), 1)
                self.assertLessEqual(set(before.values()), set(inodes(self.d).values()))
                self.assertEqual(self.d.ask("a", b"x"), b"x")
        last = self.d.status()["daemon"]["last_reload"]
        self.assertEqual(last["ok"], False)
        self.assertTrue(last["error"])
        self.assertTrue(self.d.wait_log(event="reload_failed"))
        run = self.d.mpctl("reload", check=1)
        self.assertIn("generation 1 stays in force", run.stderr)

    def test_taken_port_changes_nothing(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            self.config["services"]["a"]["exec"] = ["sh", "-c", "echo new"]
            self.config["services"]["n"] = {"listen": ["tcp:127.0.0.1:0", f"tcp:127.0.0.1:{other.getsockname()[1]}"],
                                            "exec": ["cat"]}
            before = inodes(self.d)
            with self.assertRaises(VarlinkError) as caught:
                self.reload()
            self.assertIn("in use", json.dumps(caught.exception.parameters).lower())
            wait_until(lambda: sorted(before.values()) == sorted(inodes(self.d).values()), "the same sockets as before")
        self.assertEqual(self.generation(), 1)
        self.assertEqual(self.d.ask("a", b"x"), b"x")

    @unittest.skipUnless(tracing_works(), "needs strace, and to be allowed to")
    def test_one_family_is_missing(self):
        """Of both families the one that is there is enough, as at the start."""
        port = free_port()
        self.config["services"]["n"] = {"listen": f"tcp:{port}", "exec": ["mp-echo"]}
        injection = Injection(self.d.pid, "socket:error=EAFNOSUPPORT:when=2")
        with injection:
            self.reload()
        self.assertRegex(injection.text, r"socket\(AF_INET6, .*INJECTED")
        service = self.d.service("n")
        self.assertEqual((service["state"], [li["error"] for li in service["listeners"]]), ("listening", [None]))
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as c:
            self.assertEqual(exchange(c, b"x"), b"x")

    def test_config_file_gone(self):
        os.unlink(self.d.config_path)
        with self.assertRaises(VarlinkError):
            self.d.call("Reload")
        self.assertEqual(self.d.ask("a", b"x"), b"x")

    def test_check_config_changes_nothing(self):
        self.config["services"]["new"] = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}
        self.d.write_config(self.config)
        answer = self.d.call("CheckConfig")
        self.assertEqual((answer["ok"], [c["service"] for c in answer["changes"]]), (True, ["new"]))
        self.assertEqual(self.generation(), 1)


class UnderLoad(ReloadTest):
    def test_no_connection_is_lost(self):
        stop = threading.Event()
        failures, served = [], [0]
        port = self.d.port("a")

        def client():
            while not stop.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", port), 10) as s:
                        s.sendall(b"x")
                        if s.recv(1) != b"x":
                            failures.append("no answer")
                        served[0] += 1
                except OSError as error:
                    failures.append(repr(error))
        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for i in range(20):
                self.config["services"]["a"]["description"] = f"number {i}"
                self.config["services"]["extra"] = {"listen": f"unix:{{dir}}/x{i}.sock", "exec": ["cat"]}
                self.assertTrue(self.reload()["ok"])
                time.sleep(0.02)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(served[0], 20)
        self.assertEqual(self.generation(), 21)

    def test_nothing_is_left_over(self):
        """Listeners come and go; in the end there are as many descriptors as at the start."""
        original = dict(self.config["services"])
        before = len(descriptors_of(self.d.pid))
        for i in range(10):
            self.config["services"] = {**original, f"x{i}": {"listen": ["tcp:0", f"unix:{{dir}}/{i}.sock"],
                                                             "exec": ["cat"]}}
            self.reload()
        self.config["services"] = original
        self.reload()
        wait_until(lambda: len(descriptors_of(self.d.pid)) <= before, "the descriptors of the start")

    def test_storm_of_hup(self):
        for _ in range(200):
            os.kill(self.d.pid, signal.SIGHUP)
        wait_until(lambda: self.generation() > 1, "a reload")
        self.assertEqual(self.d.ask("a", b"x"), b"x")


if __name__ == "__main__":
    unittest.main()
