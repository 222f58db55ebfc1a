# SPDX-License-Identifier: MIT
"""The datagram that would start a process: its sender is asked for before, and what is refused is taken away."""
import contextlib
import os
import shutil
import socket
import struct
import sys
import time
import unittest

from harness import DaemonTest, User, cpu_seconds, need_root, stays, wait_until
from strain import Strain

HERE = "127.0.0.1"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def forge(source, source_port, port, data=b"forged", target=HERE):
    """A datagram with a sender of one's choice: needs root."""
    udp = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                         socket.inet_aton(source), socket.inet_aton(target))
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + udp, (target, 0))


def waiting(d, name="s"):
    """How many bytes wait in the queues of the service's UDP sockets."""
    port = d.port(name)
    with open("/proc/net/udp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if int(row[1].split(":")[1], 16) == port)


class KnockTest(DaemonTest):
    def start(self, *child, listen="udp:127.0.0.1:0", **service):
        child = ["{bad-child}", *child] if child else ["{bad-child}", "udp", "1"]
        service = {"listen": listen, "model": "on-demand", "pass": "stdio", "exec": child, **service}
        return self.daemon({"services": {"s": service, "canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})

    def ask(self, d, data=b"x", source=HERE, seconds=10.0):
        """The answer, or None."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            s.settimeout(seconds)
            s.sendto(data, (HERE, d.port("s")))
            try:
                return s.recv(1000)
            except TimeoutError:
                return None

    def send(self, d, source=HERE, data=b"x", n=1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            for _ in range(n):
                s.sendto(data, (HERE, d.port("s")))

    def wait_refused(self, d, reason, n):
        wait_until(lambda: d.service("s")["refused"][reason] >= n, f"{n} refused for {reason}")
        self.assertEqual(d.service("s")["refused"][reason], n)


class Refused(KnockTest):
    def test_access(self):
        d = self.start(access={"allow": ["127.0.0.2"]})
        self.send(d)
        self.wait_refused(d, "access", 1)
        self.assertEqual(waiting(d), 0, "it has been taken away")
        service = d.service("s")
        self.assertEqual((service["spawned"], service["accepted"], service["state"]), (0, 0, "listening"))
        event = d.wait_log(event="refused", service="s")[0]
        self.assertEqual((event["reason"], event["peer"].split(":")[0]), ("access", HERE))
        self.assertIn("nothing allows it", event["message"])
        self.assertTrue(self.ask(d, source="127.0.0.2"))
        self.assertEqual(d.wait_service("s", active=0)["spawned"], 1)

    def test_one_behind_many_that_are_refused(self):
        """Many more than one wake-up looks at, empty ones among them; nothing is thrown away that is not refused."""
        d = self.start(access={"deny": ["127.0.0.3"]})
        with Strain(self, d), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.2", 0))
            s.settimeout(10)
            for i in range(5):
                self.send(d, "127.0.0.3", b"" if i % 2 else b"x", n=40)
                s.sendto(b"honest", (HERE, d.port("s")))
                self.assertTrue(s.recv(100))
            self.wait_refused(d, "access", 200)
        self.assertEqual(d.wait_service("s", active=0, spawned=5)["spawn_failed"], 0)

    def test_an_empty_datagram_is_one(self):
        d = self.start("udp", "1", access={"deny": ["127.0.0.3"]})
        self.send(d, "127.0.0.3", b"")
        self.wait_refused(d, "access", 1)
        self.assertTrue(self.ask(d, b""))
        d.wait_service("s", active=0, spawned=1)

    def test_rate_per_source(self):
        d = self.start(limits={"rate_per_source": "1/1h"})
        self.assertTrue(self.ask(d, source="127.0.0.2"))
        d.wait_service("s", active=0, spawned=1)
        self.send(d, "127.0.0.2", n=3)
        self.wait_refused(d, "rate_per_source", 3)
        self.assertTrue(self.ask(d, source="127.0.0.3"))
        d.wait_service("s", active=0, spawned=2)

    def test_rate_waits(self):
        d = self.start(limits={"rate": "1/1h"})
        self.assertTrue(self.ask(d))
        d.wait_service("s", active=0, spawned=1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            s.sendto(b"later", (HERE, d.port("s")))
            d.wait_service("s", state="throttled")
            stays(lambda: waiting(d) > 0, "the datagram in the queue")
            self.assertEqual(sum(d.service("s")["refused"].values()), 0)
            d.call("Set", service="s", limits={"rate": "1000/s"})
            self.assertTrue(s.recv(100))
        d.wait_service("s", active=0, spawned=2, state="listening")

    def test_rate_refuses(self):
        d = self.start(limits={"rate": "1/1h", "when_full": "refuse"})
        self.assertTrue(self.ask(d))
        d.wait_service("s", active=0, spawned=1)
        self.send(d, n=20)
        self.wait_refused(d, "rate", 20)
        self.assertEqual(waiting(d), 0)

    def test_rate_takes_one_token_a_start(self):
        d = self.start(limits={"rate": "4/1h burst 4"})
        for i in range(4):
            self.assertTrue(self.ask(d))
            d.wait_service("s", active=0, spawned=i + 1)
        self.send(d)
        d.wait_service("s", state="throttled")

    def test_hours(self):
        other_day = time.strftime("%a", time.localtime(time.time() + 3 * 86400))
        d = self.start(access={"hours": [f"{other_day} 10:00-11:00"]})
        self.send(d, n=2)
        self.wait_refused(d, "hours", 2)
        self.assertEqual(d.service("s")["spawned"], 0)

    def test_sensor_bans(self):
        d = self.start(sensor=True, ban={"for": "1h"})
        self.send(d, "127.0.0.9")
        self.wait_refused(d, "banned", 1)
        with socket.socket() as s:
            s.bind(("127.0.0.9", 0))
            s.settimeout(10)
            s.connect((HERE, d.port("canary")))
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(s.recv(1), b"")
        self.assertEqual(d.service("canary")["refused"]["banned"], 1)
        self.assertEqual(d.service("s")["spawned"], 0)

    def test_ban_after(self):
        d = self.start(limits={"rate_per_source": "1/1h"}, ban={"after": "3/1m", "for": "1h"})
        self.assertTrue(self.ask(d, source="127.0.0.2"))
        d.wait_service("s", active=0, spawned=1)
        self.send(d, "127.0.0.2", n=10)
        wait_until(lambda: d.service("s")["refused"]["banned"] > 0, "a ban")
        self.assertTrue(self.ask(d, source="127.0.0.3"))

    def test_reload_brings_rules(self):
        d = self.start()
        self.assertTrue(self.ask(d))
        d.wait_service("s", active=0)
        d.write_config({"services": {"s": {"listen": "udp:127.0.0.1:0", "model": "on-demand", "pass": "stdio",
                                           "exec": ["{bad-child}", "udp", "1"], "access": {"deny": ["any"]}}}})
        self.assertTrue(d.call("Reload")["ok"])
        self.send(d)
        self.wait_refused(d, "access", 1)


class Failures(KnockTest):
    def test_the_datagram_waits_for_a_program_that_is_missing(self):
        """Refusals apart, nothing is thrown away: who was let in once is let in when it works."""
        folder = self.temporary_folder()
        d = self.start(exec=[f"{folder}/server", "udp", "1"], limits={"rate_per_source": "1/1h"},
                       restart={"delay": "100ms", "max_delay": "200ms", "limit": "1/1h"})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            shutil.copy(d.helper("bad-child"), f"{folder}/server")
            d.call("Reload")
            d.wait_service("s", state="listening")
            os.rename(f"{folder}/server", f"{folder}/away")
            s.sendto(b"x", (HERE, d.port("s")))
            wait_until(lambda: d.service("s")["spawn_failed"] >= 3, "some tries")
            self.assertGreater(waiting(d), 0)
            os.rename(f"{folder}/away", f"{folder}/server")
            self.assertTrue(s.recv(100))
        self.assertEqual(sum(d.wait_service("s", active=0)["refused"].values()), 0)


class ShutDown(DaemonTest):
    """A socket that its process has shut down: the kernel says for ever that there is something to read."""
    CHILD = ("import contextlib, socket\n"
             "s = socket.socket(fileno=0)\n"
             "s.recv(100)\n"
             "with contextlib.suppress(OSError):\n"
             "    s.shutdown(socket.SHUT_RD)\n")

    def check(self, listen, family, address):
        d = self.daemon({"services": {"s": {"listen": listen, "model": "on-demand", "pass": "stdio",
                                            "exec": [sys.executable, "-c", self.CHILD]}}})
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", address(d))
        d.wait_service("s", spawned=1, active=0)
        wait_until(lambda: d.service("s")["exited"]["ok"] == 1, "its end")
        before = cpu_seconds(d.pid)
        time.sleep(1)
        self.assertLess(cpu_seconds(d.pid) - before, 0.3, "the daemon asks again and again")

    def test_udp(self):
        self.check("udp:127.0.0.1:0", socket.AF_INET, lambda d: (HERE, d.port("s")))

    def test_unix(self):
        self.check("unix-dgram:{dir}/s", socket.AF_UNIX, lambda d: d.path("s"))


def send_unix(path, name=None):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        if name:
            s.bind(name)
        s.sendto(b"x", path)


class Users(KnockTest):
    """Datagrams over UNIX sockets have users as sources, whether they have a name or not."""

    @need_root
    def test_uid(self):
        d = self.start("udp", "1", listen="unix-dgram:{dir}/s.sock", access={"allow": ["uid:1"]})
        path = d.path("s.sock")
        send_unix(path)
        self.wait_refused(d, "access", 1)
        self.assertEqual(d.wait_log(event="refused")[0]["peer"], "uid:0")
        User(2).run(send_unix, path)
        self.wait_refused(d, "access", 2)
        User(1).run(send_unix, path)
        d.wait_service("s", spawned=1, active=0)
        send_unix(path)
        self.wait_refused(d, "access", 3)

    @need_root
    def test_gid(self):
        d = self.start("udp", "1", listen="unix-dgram:{dir}/s.sock", access={"deny": ["gid:5"]})
        User(7, 5).run(send_unix, d.path("s.sock"))
        self.wait_refused(d, "access", 1)
        User(7, 6).run(send_unix, d.path("s.sock"))
        d.wait_service("s", spawned=1, active=0)

    def test_without_rules_nothing_changes(self):
        d = self.start("udp", "1", listen="unix-dgram:{dir}/s.sock")
        send_unix(d.path("s.sock"), d.path("client.sock"))
        d.wait_service("s", spawned=1, active=0)

    def test_descriptors_that_come_along_are_not_kept(self):
        d = self.start("udp", "1", listen="unix-dgram:{dir}/s.sock", access={"deny": ["any"]})
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, open("/dev/null", "rb") as file:
            s.connect(d.path("s.sock"))
            for _ in range(20):
                socket.send_fds(s, [b"x"], [file.fileno()] * 100)
        self.wait_refused(d, "access", 20)
        wait_until(lambda: len(d.quiet_descriptors()) <= len(d.baseline), "the descriptors of before")


@need_root
class Guards(KnockTest):
    """Senders that no honest client has start nothing, and are answered by nobody."""

    def test_port_0(self):
        d = self.start()
        forge("127.0.0.5", 0, d.port("s"))
        self.wait_refused(d, "access", 1)
        self.assertIn("port 0", d.wait_log(event="refused")[0]["message"])
        self.assertEqual(d.service("s")["spawned"], 0)

    def test_itself(self):
        for listen in ("udp:127.0.0.1:0", "udp:0.0.0.0:0"):
            with self.subTest(listen=listen):
                d = self.start(listen=listen)
                forge(HERE, d.port("s"), d.port("s"))
                self.wait_refused(d, "access", 1)
                self.assertIn("loop", d.wait_log(event="refused")[0]["message"])
                self.assertEqual(d.service("s")["spawned"], 0)

    def test_the_same_port_of_another_is_honest(self):
        d = self.start()
        forge("127.0.0.5", d.port("s"), d.port("s"))
        d.wait_service("s", spawned=1, active=0)
        self.assertEqual(sum(d.service("s")["refused"].values()), 0)


if __name__ == "__main__":
    unittest.main()
