# SPDX-License-Identifier: MIT
"""log.success and log.failure: which facts the log has of each instance; traffic by the kernel's account."""
import os
import socket
import struct
import sys

from harness import DaemonTest, need_ipv6, need_program, need_root, read_all, wait_until

ALL = ["pid", "peer", "user", "exit", "duration", "traffic", "cpu", "memory"]
ALWAYS = {"time", "level", "event", "service", "instance", "reason", "message"}
STANDARD = ALWAYS | {"pid", "peer", "exit_code", "duration_usec"}


class LogTest(DaemonTest):
    def start(self, success=None, failure=None, options=None, **service):
        log = {key: value for key, value in (("success", success), ("failure", failure)) if value is not None}
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"],
                                               **({"log": log} if log else {}), **service}}}, **(options or {}))

    def ended(self, d, n=1):
        return wait_until(lambda: len(found := d.log(event="ended")) >= n and found, f"{n} ends")[n - 1]

    def events(self, d, kind):
        return [e for e in d.call("Events", service="s")["events"] if e["event"] == kind]


class Facts(LogTest):
    def test_standard(self):
        d = self.start()
        d.ask("s", b"abc")
        line = self.ended(d)
        self.assertEqual(set(line), STANDARD)
        self.assertRegex(line["message"], r"^ended: exit 0 after [0-9.]+ ms$")

    def test_all(self):
        d = self.start(success=ALL)
        d.ask("s", b"abc")
        line = self.ended(d)
        self.assertEqual(set(line), STANDARD | {"user", "bytes_in", "bytes_out", "cpu_usec", "memory"})
        self.assertRegex(line["message"], r"^ended: exit 0 after [0-9.]+ m?s, 3 B in, 3 B out, cpu [0-9.]+ ms, "
                                          r"memory (at most )?[0-9.]+ [KM]iB, user \S+$")
        self.assertEqual((line["bytes_in"], line["bytes_out"]), (3, 3))
        started = d.log(event="started")[0]
        self.assertEqual(started["user"], line["user"])
        self.assertEqual(started["message"], f"started, user {line['user']}")

    @need_root
    def test_user(self):
        d = self.start(success=["user"], user="nobody", group="nogroup")
        d.ask("s", b"abc")
        line = self.ended(d)
        self.assertEqual(line["user"], "nobody")
        self.assertEqual(line["message"], "ended, user nobody")
        self.assertEqual(set(line), ALWAYS | {"user"})

    def test_left_out(self):
        """In the log; the event has them."""
        d = self.start(success=["exit"])
        d.ask("s", b"abc")
        line = self.ended(d)
        self.assertEqual(set(line), ALWAYS | {"exit_code"})
        self.assertEqual(line["message"], "ended: exit 0")
        started = d.log(event="started")[0]
        self.assertEqual(set(started), ALWAYS - {"reason"})
        for kind in "started", "ended":
            event = self.events(d, kind)[0]
            self.assertGreater(event["pid"], 0)
            self.assertTrue(event["peer"].startswith("127.0.0.1:"))
        self.assertIsInstance(self.events(d, "ended")[0]["duration_usec"], int)

    def test_well_or_not(self):
        d = self.start(success=["duration"], failure=["exit", "cpu"], exec=["sh", "-c", "read n; exit $n"])
        d.ask("s", b"0\n")
        d.ask("s", b"3\n")
        wait_until(lambda: len(d.log(event="ended")) == 2, "both ends")
        good, bad = sorted(d.log(event="ended"), key=lambda line: line["reason"] != "ok")
        self.assertEqual(set(good), ALWAYS | {"duration_usec"})
        self.assertEqual(set(bad), ALWAYS | {"exit_code", "cpu_usec"})
        self.assertEqual(bad["exit_code"], 3)

    def test_signal(self):
        d = self.start(failure=["exit"], exec=["{bad-child}", "abort"], resources={"core": 0})
        d.ask("s")
        line = self.ended(d)
        self.assertEqual((line["signal"], line["message"]), ("SIGABRT", "ended: killed by SIGABRT"))
        self.assertNotIn("duration_usec", line)

    def test_none(self):
        """Neither its start nor its end is in the log; both are events."""
        d = self.start(success=[], exec=["sh", "-c", "read n; exit $n"])
        d.ask("s", b"0\n")
        d.ask("s", b"3\n")
        line = self.ended(d)
        self.assertEqual(line["exit_code"], 3)
        self.assertEqual(d.log(event="started"), [])
        wait_until(lambda: len(self.events(d, "ended")) == 2, "both ends")
        self.assertEqual(len(d.log(event="ended")), 1)
        self.assertEqual(len(self.events(d, "started")), 2)

    def test_refusals(self):
        """As those who fail: the peer only where it is wanted, with none of them no line."""
        for failure in (["peer"], ["cpu"], []):
            with self.subTest(failure=failure):
                d = self.start(failure=failure, limits={"instances": 1, "when_full": "refuse"})
                with d.dial("s") as s:
                    s.sendall(b"x")
                    self.assertEqual(s.recv(1), b"x")
                    with d.dial("s") as other:
                        self.assertEqual(read_all(other), b"")
                    event = wait_until(lambda: self.events(d, "refused"), "the refusal")[0]
                    self.assertTrue(event["peer"].startswith("127.0.0.1:"))
                    lines = d.log(event="refused")
                    self.assertEqual(["peer" in line for line in lines], {0: []}.get(len(failure), ["peer" in failure]))

    def test_text(self):
        d = self.start(success=["exit", "traffic"], failure=["exit"], options={"options": ["--log-format", "text"]})
        d.ask("s", b"abcde")
        wait_until(lambda: " s: ended: exit 0, 5 B in, 5 B out\n" in d.log_text(), "the line")
        self.assertIn(" s: started\n", d.log_text())

    def test_on_demand_and_pool(self):
        """They have no connection of their own: what is wanted of it is left out."""
        for model in ({"model": "on-demand", "start": "now"}, {"model": "pool", "pool": {"min": 1}}):
            with self.subTest(**model):
                d = self.start(success=ALL, failure=ALL, exec=["{bad-child}", "sleep"], **model)
                wait_until(lambda: d.log(event="started"), "a process")
                d.call("Stop", services=["s"])
                line = self.ended(d)
                self.assertLessEqual({"user", "cpu_usec", "memory", "pid"}, set(line))
                self.assertFalse({"peer", "bytes_in", "bytes_out"} & set(line))
                self.assertNotIn("traffic", line["message"])

    def test_defaults(self):
        """From there they hold for every service."""
        d = self.daemon({"defaults": {"log": {"success": ["traffic"]}},
                         "services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]},
                                      "t": {"listen": "tcp:127.0.0.1:0", "model": "on-demand",
                                            "exec": ["{bad-child}", "sleep"]}}})
        d.ask("s", b"abc")
        self.assertEqual(self.ended(d)["bytes_in"], 3)


class Usage(LogTest):
    def test_cpu(self):
        code = "import time\nwhile time.process_time() < 0.5: pass"
        d = self.start(success=["cpu"], exec=[sys.executable, "-c", code])
        d.ask("s")
        line = self.ended(d)
        self.assertGreater(line["cpu_usec"], 490_000)
        self.assertRegex(line["message"], r"^ended, cpu [0-9.]+ m?s$")

    def test_memory(self):
        size = 256 << 20
        d = self.start(success=["memory"], exec=[sys.executable, "-c", f"bytearray(b'x') * {size}"])
        d.ask("s")
        line = self.ended(d)
        self.assertGreater(line["memory"], size)
        self.assertRegex(line["message"], r"^ended, memory [0-9]+ MiB$")

    def test_little_memory(self):
        """The kernel does not tell less than the daemon itself has."""
        d = self.start(success=["memory"])
        d.ask("s")
        self.assertRegex(self.ended(d)["message"], r"^ended, memory (at most )?[0-9.]+ MiB$")


class Traffic(LogTest):
    FACTS = {"success": ["peer", "traffic"], "failure": ["peer", "traffic"]}

    def start(self, **service):
        return super().start(**{**self.FACTS, **service})

    def bytes_of(self, d, n=1):
        line = self.ended(d, n)
        return line.get("bytes_in"), line.get("bytes_out")

    def test_echo(self):
        """To the byte, though the end of a stream is one to the kernel."""
        d = self.start()
        for n, size in enumerate((0, 1, 5, 1000, 300000), 1):
            d.ask("s", b"x" * size)
            self.assertEqual(self.bytes_of(d, n), (size, size))

    @need_ipv6
    def test_tcp6(self):
        d = self.start(listen="tcp:[::1]:0")
        d.ask("s", b"hello")
        self.assertEqual(self.bytes_of(d), (5, 5))

    @need_ipv6
    def test_ipv4_by_an_ipv6_socket(self):
        d = self.start(listen={"endpoint": "tcp:[::]:0", "only_v6": False})
        with socket.create_connection(("127.0.0.1", d.port("s"))) as s:
            s.sendall(b"hello")
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"hello")
        self.assertEqual(self.bytes_of(d), (5, 5))

    def test_behind_a_proxy(self):
        """The proxy's connection is counted, its header with it, and told as the real peer's."""
        header = b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 80\r\n"
        d = self.start(proxy_protocol={"accept_from": ["127.0.0.1"]})
        self.assertEqual(d.ask("s", header + b"hello"), b"hello")
        self.assertEqual(self.bytes_of(d), (len(header) + 5, 5))
        self.assertEqual(self.ended(d)["peer"], "192.0.2.1:5000")

    def test_set_up_ahead(self):
        d = self.start(prespawn=1)
        d.ask("s", b"hello")
        self.assertEqual(self.bytes_of(d), (5, 5))

    def test_the_server_ends_first(self):
        d = self.start(exec=["printf", "0123456789"])
        with d.dial("s") as s:
            self.assertEqual(read_all(s), b"0123456789")
            # The peer has not ended.
            self.assertEqual(self.bytes_of(d), (0, 10))

    def test_both_ways_and_the_server_ends_first(self):
        d = self.start(exec=["head", "-n1"])
        with d.dial("s") as s:
            s.sendall(b"hello\n")
            self.assertEqual(read_all(s), b"hello\n")
            self.assertEqual(self.bytes_of(d), (6, 6))

    def test_not_taken_yet(self):
        """What the process has sent counts, also when the peer has not read it yet."""
        size = 400000
        d = self.start(exec=["head", "-c", str(size), "/dev/zero"])
        with d.dial("s") as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.assertEqual(self.bytes_of(d), (0, size))

    def test_reset_by_the_peer(self):
        d = self.start(exec=["cat"])
        with d.dial("s") as s:
            s.sendall(b"hello")
            self.assertEqual(s.recv(10), b"hello")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.assertEqual(self.bytes_of(d), (5, 5))

    def test_over_long_before_its_process(self):
        """The kernel has told of its end while the process went on."""
        d = self.start(exec=["sh", "-c", "head -n1; exec 0<&- 1>&-; sleep 1; exit 0"])
        with d.dial("s") as s:
            s.sendall(b"hello\n")
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"hello\n")
        self.assertEqual(self.bytes_of(d), (6, 6))

    def test_given_to_another(self):
        """It lives on: what has passed until now is told."""
        d = self.start(exec=["sh", "-c", "exec 3<&0; head -n1; cat <&3 & exit 0"])
        with d.dial("s") as s:
            s.sendall(b"hello\n")
            self.assertEqual(s.recv(100), b"hello\n")
            self.assertEqual(self.bytes_of(d), (6, 6))

    def test_unix(self):
        """The kernel keeps no account of it."""
        d = self.start(listen="unix:{dir}/s.sock")
        d.ask("s", b"hello")
        line = self.ended(d)
        self.assertFalse({"bytes_in", "bytes_out"} & set(line))
        self.assertEqual(line["message"], "ended")

    def test_forward(self):
        """Of the connection that came in."""
        d = self.daemon({"services": {
            "back": {"listen": "unix:{dir}/back.sock", "exec": ["mp-echo"], "log": {"success": []}},
            "s": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/back.sock", "log": self.FACTS}}})
        d.ask("s", b"hello")
        self.assertEqual(self.bytes_of(d), (5, 5))

    def test_many_at_once(self):
        """Each has its own, in whatever order they end; and each place is given back at once."""
        d = self.start(limits={"instances": 20})
        connections = [d.dial_fast() for _ in range(60)]
        sizes = {}
        for n, s in enumerate(connections):
            sizes[f"127.0.0.1:{s.getsockname()[1]}"] = n
            s.sendall(b"x" * n)
            s.shutdown(socket.SHUT_WR)
        for n, s in enumerate(connections):
            with s:
                self.assertEqual(len(read_all(s)), n)
        self.ended(d, 60)
        for line in d.log(event="ended"):
            n = sizes[line["peer"]]
            self.assertEqual((line["bytes_in"], line["bytes_out"]), (n, n))

    def test_until_the_daemon_ends(self):
        """The last one is told before it does."""
        d = self.start(exec=["cat"])
        with d.dial("s") as s:
            s.sendall(b"hello")
            self.assertEqual(s.recv(10), b"hello")
            d.process.send_signal(15)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"")
        wait_until(lambda: d.process.poll() is not None, "its end")
        d.stop()
        self.assertEqual(self.bytes_of(d), (5, 5))

    def test_of_a_service_that_is_removed(self):
        d = self.start(exec=["cat"])
        with d.dial("s") as s:
            s.sendall(b"hello")
            self.assertEqual(s.recv(10), b"hello")
            d.write_config({"services": {}})
            d.call("Reload")
        wait_until(lambda: d.status()["services"] == [], "its end")
        line = self.ended(d)
        self.assertEqual((line["service"], line["bytes_in"], line["bytes_out"]), ("s", 5, 5))

    def test_descriptors(self):
        """None of the connections; and one for the kernel's word only where that is wanted."""
        d = self.start(stderr="discard")
        before = d.quiet_descriptors()
        with d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            self.assertEqual(d.quiet_descriptors(), before)
            port = d.port("s")
            self.assertEqual(self.listens(d), 1)
            d.write_config({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}}})
            d.call("Reload")
            self.assertEqual(self.listens(d), 1, "it has a connection yet")
        wait_until(lambda: self.listens(d) == 0, "its being closed")

    @staticmethod
    def listens(d):
        """How many of its sockets listen to the kernel's word of connections."""
        inodes = set()
        for fd in os.listdir(f"/proc/{d.pid}/fd"):
            try:
                inodes.add(os.readlink(f"/proc/{d.pid}/fd/{fd}"))
            except FileNotFoundError:
                continue
        with open(f"/proc/{d.pid}/net/netlink", encoding="ascii") as table:
            rows = [line.split() for line in table][1:]
        # Of NETLINK_SOCK_DIAG, with groups.
        return sum(row[1] == "4" and int(row[3], 16) != 0 and f"socket:[{row[9]}]" in inodes for row in rows)

    def test_nobody_listens_unasked(self):
        d = self.start(success=["cpu"], failure=["cpu"])
        d.ask("s", b"x")
        self.assertEqual(self.listens(d), 0)

    @need_root
    @need_program("setpriv")
    def test_ordinary_user(self):
        """Where the kernel tells everybody; where it does not, that is said."""
        folder = self.temporary_folder()
        os.chown(folder, 65534, 65534)
        # The capability lets it reach the build, wherever that lies.
        wrap = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search",
                "--ambient-caps=+dac_read_search"]
        d = self.start(options={"wrap": wrap, "folder": folder})
        d.ask("s", b"hello")
        line = self.ended(d)
        if d.log(event="traffic"):
            self.assertIn("the kernel does not tell", d.log(event="traffic")[0]["message"])
            self.assertIn("traffic unknown", line["message"])
        else:
            self.assertEqual((line["bytes_in"], line["bytes_out"]), (5, 5))


class KillBySource(DaemonTest):
    """mpctl kill --source."""

    def test_prefix(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        port = d.port("s")
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.1.1", 0)) as one, \
                socket.create_connection(("127.0.0.1", port), source_address=("127.0.2.1", 0)) as other:
            for s in one, other:
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")
            d.mpctl("kill", "--source", "127.0.1.0/24", check=0)
            self.assertEqual(one.recv(1), b"")
            other.sendall(b"y")
            self.assertEqual(other.recv(1), b"y")

    def test_behind_a_proxy(self):
        """The real peer counts."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"],
                                            "proxy_protocol": {"accept_from": ["127.0.0.1"]}}}})
        with d.dial("s") as one, d.dial("s") as other:
            for n, s in enumerate((one, other)):
                s.sendall(b"PROXY TCP4 192.0.2.%d 198.51.100.1 5000 80\r\nx" % n)
                self.assertEqual(s.recv(1), b"x")
            self.assertNotEqual(d.mpctl("kill", "--source", "127.0.0.0/8").returncode, 0)
            d.mpctl("kill", "--source", "192.0.2.0", check=0)
            self.assertEqual(one.recv(1), b"")
            other.sendall(b"y")
            self.assertEqual(other.recv(1), b"y")

    def test_uid(self):
        d = self.daemon({"services": {"s": {"listen": "unix:{dir}/s.sock", "exec": ["mp-echo"]}}})
        with d.dial("s") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            self.assertNotEqual(d.mpctl("kill", "--source", f"uid:{os.geteuid() + 1}").returncode, 0)
            d.mpctl("kill", "--source", f"uid:{os.geteuid()}", check=0)
            self.assertEqual(s.recv(1), b"")


if __name__ == "__main__":
    import unittest
    unittest.main()
