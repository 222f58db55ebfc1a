# SPDX-License-Identifier: MIT
"""Sockets that a service manager passes in: adopted by address or by name, the others closed with a word."""
import os
import socket
import unittest

from harness import SERVICES, DaemonTest, free_port, need_program, read_all, sanitizer_environment, wait_until


@need_program("systemd-socket-activate")
class Activation(DaemonTest):
    def activate(self, config, *options):
        """A daemon that systemd-socket-activate starts when the first connection comes."""
        environment = {"MPINETD_LIBEXECDIR": SERVICES, **sanitizer_environment()}
        wrap = ["systemd-socket-activate", *options]
        for name, value in environment.items():
            wrap += ["-E", f"{name}={value}"]
        return self.daemon(config, wrap=wrap, wait=False)

    def first(self, d, connect):
        """Connects as soon as somebody listens, which starts the daemon; what comes back to "x"."""
        def attempt():
            try:
                return connect()
            except (ConnectionRefusedError, FileNotFoundError):
                return None
        s = wait_until(attempt, "systemd-socket-activate")
        with s:
            s.settimeout(20)
            s.sendall(b"x")
            s.shutdown(socket.SHUT_WR)
            answer = read_all(s)
        d.wait_ready()
        return answer

    def test_by_address(self):
        port, other = free_port(), free_port()
        folder = self.temporary_folder()
        d = self.activate({"services": {
            "echo": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]},
            "unix": {"listen": f"unix:{folder}/u.sock", "exec": ["cat"]},
            "own": {"listen": f"tcp:127.0.0.1:{other}", "exec": ["cat"]}}},
            "-l", f"127.0.0.1:{port}", "-l", f"{folder}/u.sock")
        self.assertEqual(self.first(d, lambda: socket.create_connection(("127.0.0.1", port), 5)), b"x")
        self.assertEqual([d.listener(name)["adopted"] for name in ("echo", "unix", "own")], [True, True, False])
        self.assertEqual(d.ask("unix", b"y"), b"y")
        self.assertEqual(d.ask("own", b"z"), b"z")
        d.mpctl("reload", check=0)
        self.assertTrue(d.listener("echo")["adopted"])
        self.assertEqual(d.ask("echo", b"again"), b"again")
        # It is the service manager's as well: nobody could close it for who connects.
        d.call("Stop", services=["echo"])
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.settimeout(20)
            s.sendall(b"z")
            s.shutdown(socket.SHUT_WR)
            wait_until(lambda: d.service("echo")["queued"] == 1, "it to be shown as waiting")
            d.call("Start", services=["echo"])
            self.assertEqual(read_all(s), b"z")
        d.stop()
        self.assertTrue(os.path.exists(f"{folder}/u.sock"), "a node that was passed in is not ours to remove")

    def test_more_announced_than_passed(self):
        """None of the daemon's own descriptors is taken for one of them."""
        script = "exec 3>&- 4>&- 5>&-; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\" 2> >(exec cat >&2)"
        d = self.daemon({"services": {"echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}}, wrap=["bash", "-c", script, "sh"])
        self.assertEqual(d.ask("echo", b"x"), b"x")
        self.assertTrue(d.wait_log(event="ended", service="echo"))
        self.assertIn("LISTEN_FDS announces more than there are", d.log_text())
        self.assertNotIn("closed", d.log_text())

    def test_by_name(self):
        port = free_port()
        d = self.activate({"services": {"s": {"listen": [{"endpoint": "tcp:127.0.0.1:0", "name": "web"}],
                                                "exec": ["mp-echo"]}}}, "-l", f"127.0.0.1:{port}", "--fdname=web")
        self.assertEqual(self.first(d, lambda: socket.create_connection(("127.0.0.1", port), 5)), b"x")
        listener = d.listener("s")
        self.assertEqual((listener["adopted"], listener["port"]), (True, port))

    def test_datagram(self):
        port = free_port()
        d = self.activate({"services": {"echo": {"listen": f"udp:127.0.0.1:{port}", "exec": ["mp-echo"]}}},
                          "-d", "-l", f"127.0.0.1:{port}")

        def answer():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(1)
                s.connect(("127.0.0.1", port))
                try:
                    s.send(b"x")
                    return s.recv(10)
                except (ConnectionRefusedError, TimeoutError):
                    return None
        self.assertEqual(wait_until(answer, "an answer"), b"x")
        d.wait_ready()
        self.assertTrue(d.listener("echo")["adopted"])

    def test_one_too_many_is_closed(self):
        port, stray = free_port(), free_port()
        d = self.activate({"services": {"echo": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}}},
                          "-l", f"127.0.0.1:{port}", "-l", f"127.0.0.1:{stray}")
        self.assertEqual(self.first(d, lambda: socket.create_connection(("127.0.0.1", port), 5)), b"x")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", stray), 5)
        self.assertIn(str(stray), d.log_text())

    def test_names_that_do_not_fit(self):
        """Two names for three sockets: the manager's mistake, and no reason to fall over."""
        ports = [free_port() for _ in range(3)]
        d = self.activate({"services": {f"s{i}": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}
                                        for i, port in enumerate(ports)}},
                          *[word for port in ports for word in ("-l", f"127.0.0.1:{port}")], "--fdname=a:b")
        self.assertEqual(self.first(d, lambda: socket.create_connection(("127.0.0.1", ports[0]), 5)), b"x")
        for i in range(3):
            self.assertEqual(d.ask(f"s{i}", b"y"), b"y")


class Variables(DaemonTest):
    """LISTEN_* that makes no sense, or was meant for somebody else."""

    def test_of_another_process(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            d = self.daemon({"services": {"echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}},
                            environment={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
            self.assertFalse(d.listener("echo")["adopted"])

    def test_garbage(self):
        for fds in ("x", "-1", "99999999999", "1000000", ""):
            d = self.daemon({"services": {"echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}}, wait=None,
                            wrap=["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"], environment={"LISTEN_FDS": fds})
            d.start()
            self.assertEqual(d.ask("echo", b"x"), b"x")
            d.stop()


if __name__ == "__main__":
    unittest.main()
