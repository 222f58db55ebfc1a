# SPDX-License-Identifier: MIT
"""What servers are started with, without starting them."""
import os
import tempfile
import unittest
from unittest import mock

import daemons
from packages import Unavailable
import peers
import servers


class Peers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.bench = servers.Bench("build", folder.name, folder.name, daemon="/bin/true")
        self.bench.program = lambda name: "/programs/" + name
        self.bench.packages = mock.Mock()
        self.bench.packages.command.return_value = ["/the/peer"]
        self.bench.packages.find.return_value = "/the/parser"

    def all_of(self, name, idle=()):
        """Its words, and everything in files that it is given."""
        folder = self.bench.new_folder(name)
        words, _ = peers.command(self.bench, name, "raw", 7001, folder, idle)
        text = " ".join(words)
        for path in [os.path.join(at, file) for at, _, files in os.walk(folder) for file in files]:
            with open(path, encoding="utf-8") as f:
                text += " " + f.read()
        return text

    def test_program_and_port(self):
        for name in peers.STARTERS:
            with self.subTest(name=name):
                text = self.all_of(name)
                self.assertIn("7001", text)
                self.assertIn("/programs/svc-raw", text)

    def test_idle_services(self):
        idle = [("127.9.9.%d" % i, 10000 + i) for i in range(1, 4)]
        for name in ("mpinetd", *peers.MANY):
            with self.subTest(name=name):
                text = self.all_of(name, idle)
                for address, port in idle:
                    self.assertIn(address, text)
                    self.assertIn(str(port), text)

    def test_who_cannot_have_many(self):
        for name in set(peers.STARTERS) - set(peers.MANY) - {"mpinetd"}:
            with self.subTest(name=name), self.assertRaises(Unavailable):
                self.all_of(name, [("127.0.0.2", 7002)])

    def test_descriptors_for_many(self):
        idle = [("127.9.9.9", 10000 + i) for i in range(peers.FEW + 1)]
        self.assertTrue(self.all_of("xinetd", idle).startswith("prlimit --nofile="))
        self.assertTrue(self.all_of("xinetd", idle[:3]).startswith("/the/peer"))
        # mpinetd raises its limit by itself, and is measured with that.
        self.assertTrue(self.all_of("mpinetd", idle).startswith("/bin/true"))


class Ports(unittest.TestCase):
    def test_wildcard_ports(self):
        text = ("  sl  local_address rem_address   st tx_queue rx_queue\n"
                "   0: 00000000:07E8 00000000:0000 0A 00000000:00000000\n"
                "   1: 0100007F:1F40 00000000:0000 0A 00000000:00000000\n"  # of one address
                "   2: 00000000:2710 0100007F:C000 01 00000000:00000000\n"  # no listener
                "   3: 00000000000000000000000000000000:50D4 00000000000000000000000000000000:0000 0A 00000000:00000000\n")
        self.assertEqual(daemons.wildcard_ports(text), {2024, 20692})

    def test_first_port(self):
        for taken, count, expect in ((set(), 10, 10000), ({10005}, 10, 10500), ({10005}, 5, 10000), ({12000, 20692}, 10000, 21000)):
            with self.subTest(taken=taken, count=count), mock.patch.object(daemons, "wildcard_ports", return_value=taken):
                self.assertEqual(daemons.first_port(count), expect)
        with mock.patch.object(daemons, "wildcard_ports", return_value=set()), self.assertRaises(Unavailable):
            daemons.first_port(60000)


if __name__ == "__main__":
    unittest.main()
