# SPDX-License-Identifier: MIT
"""banner.greeting: sent to who is admitted, before the service starts."""
import socket
import struct
import unittest

from harness import DaemonTest, exchange, read_all, wait_until
from proxy import receive, wait_accounted

GREETING = "Welcome to this service.\r\nIt is monitored.\r\n"
BYTES = GREETING.encode()


class Greeting(DaemonTest):
    def start(self, **keys):
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"],
                                               "banner": {"greeting": GREETING}, **keys}}})

    def test_before_the_service(self):
        for keys in ({}, {"listen": "unix:{dir}/s.sock"}, {"pass": "listen_fds"}, {"prespawn": 1}):
            with self.subTest(keys=keys):
                d = self.start(**keys)
                for _ in range(3):
                    self.assertEqual(d.ask("s", b"hello"), BYTES + b"hello")
                wait_accounted(d, "s", accepted=3, spawned=3)

    def test_client_that_says_nothing(self):
        d = self.start()
        with d.dial("s") as s:
            self.assertEqual(receive(s, len(BYTES)), BYTES)
            s.sendall(b"x")
            self.assertEqual(receive(s, 1), b"x")

    def test_pool(self):
        d = self.start(model="pool", pool={"handoff": "connection", "min": 1, "max": 2})
        for _ in range(5):
            self.assertEqual(d.ask("s", b"hello"), BYTES + b"hello")

    def test_forward(self):
        d = self.daemon({"services": {
            "back": {"listen": "unix:{dir}/back.sock", "exec": ["mp-echo"]},
            "s": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/back.sock",
                  "banner": {"greeting": GREETING}}}})
        self.assertEqual(d.ask("s", b"hello"), BYTES + b"hello")

    def test_longest(self):
        """It fits a new connection, whether its client reads or not."""
        text = "x" * 4094 + "\r\n"
        d = self.start(banner={"greeting": text})
        for name in ("first", "second"):
            self.assertEqual(d.ask("s", name.encode()), text.encode() + name.encode())
        wait_accounted(d, "s", accepted=2, spawned=2)

    def test_of_a_file(self):
        folder = self.temporary_folder()
        with open(folder + "/motd", "w", encoding="ascii") as file:
            file.write("from a file\n")
        d = self.start(banner={"greeting": f"file:{folder}/motd"})
        self.assertEqual(d.ask("s", b"x"), b"from a file\nx")

    def test_refused_hear_nothing_of_it(self):
        d = self.start(access={"deny": ["any"]})
        with d.dial("s") as s:
            self.assertEqual(exchange(s, b"hello"), b"")
        wait_accounted(d, "s", accepted=1, spawned=0)

    def test_client_that_has_gone(self):
        """Nothing is started for who cannot be greeted."""
        d = self.start()
        d.call("Pause", services=["s"])
        with d.dial("s") as s:
            # A reset, when it is closed.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        d.call("Resume", services=["s"])
        service = wait_accounted(d, "s", accepted=1)
        self.assertEqual((service["gone"], service["spawned"]), (1, 0))
        self.assertEqual(d.ask("s", b"x"), BYTES + b"x")

    def test_reload(self):
        d = self.start()
        port = d.port("s")
        d.write_config({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"],
                                           "banner": {"greeting": "new\n"}}}})
        self.assertTrue(d.call("Reload")["ok"])
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(b"x")
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"new\nx")
        wait_until(lambda: d.service("s")["active"] == 0, "its end")


if __name__ == "__main__":
    unittest.main()
