# SPDX-License-Identifier: MIT
"""Model tcpmux (RFC 1078): services reached by their names through one port."""
import contextlib
import os
import socket
import time
import unittest

from harness import (PATIENCE, descriptors_of, parse_probe, read_all, stays, wait_until)
from proxy import ECHO, PreludeTest, read_environment, receive, v1, wait_accepted, wait_accounted

REFUSED = b"-Service not available\r\n"
DATA = b"first bytes of the client\r\nhelp\r\n\0\xff"


class TcpmuxTest(PreludeTest):
    def start(self, door=None, **services):
        return self.daemon(self.config(door, **services))

    @staticmethod
    def config(door=None, **services):
        return {"services": {"mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux", **(door or {})}, **services}}

    @staticmethod
    def service(name, execute=None, **keys):
        return {"exec": execute or ["cat"], "tcpmux": name, **keys}

    def ask(self, d, sent, source=None):
        """All that comes back, whatever it is."""
        address = ("127.0.0.1", d.port("mux"))
        with socket.create_connection(address, PATIENCE, source_address=(source, 0) if source else None) as s:
            with contextlib.suppress(OSError):
                s.sendall(sent)
                s.shutdown(socket.SHUT_WR)
            return read_all(s)


class Names(TcpmuxTest):
    def test_own_answer(self):
        """Without a plus the service answers by itself: nothing is added, and no byte is missing."""
        d = self.start(e=self.service("echo"))
        self.assertEqual(self.ask(d, b"echo\r\n" + DATA), DATA)

    def test_plus(self):
        d = self.start(e=self.service("+echo"))
        self.assertEqual(self.ask(d, b"echo\r\n" + DATA), b"+Go\r\n" + DATA)

    def test_case(self):
        d = self.start(e=self.service("EcHo"), f=self.service("+other"))
        for name in (b"echo", b"ECHO", b"eChO"):
            self.assertEqual(self.ask(d, name + b"\r\n" + DATA), DATA)
        self.assertEqual(self.ask(d, b"OTHER\r\n"), b"+Go\r\n")

    def test_pieces(self):
        """The name may come in any pieces, and with data right behind it."""
        d = self.start(e=self.service("+echo"))
        whole = b"echo\r\n" + DATA
        for cut in range(1, 9):
            with d.dial("mux") as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                s.sendall(whole[:cut])
                time.sleep(0.02)
                s.sendall(whole[cut:])
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(s), b"+Go\r\n" + DATA, cut)

    def test_answer_comes_before_the_client_goes_on(self):
        d = self.start(e=self.service("+echo"))
        with d.dial("mux") as s:
            for byte in b"echo\r\n":
                s.sendall(bytes([byte]))
            self.assertEqual(receive(s, 5), b"+Go\r\n")
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")

    def test_line_feed_alone(self):
        d = self.start(e=self.service("echo"))
        self.assertEqual(self.ask(d, b"echo\n" + DATA), DATA)

    def test_help(self):
        d = self.start(z=self.service("zeta"), a=self.service("+Alpha"), b=self.service("beta", enabled=False),
                       c={"listen": "unix:{dir}/c.sock", "exec": ["cat"]})
        for word in (b"help\r\n", b"HELP\r\n"):
            self.assertEqual(self.ask(d, word), b"Alpha\r\nzeta\r\n")
        # What else the client sends costs it nothing of the answer.
        self.assertEqual(self.ask(d, b"help\r\n" + b"x" * 100000), b"Alpha\r\nzeta\r\n")
        wait_accounted(d, "mux", requests=3, accepted=0)

    def test_unknown(self):
        d = self.start(e=self.service("echo"))
        for name in (b"", b"ech", b"echoo", b"+echo", b"e", b"mux", b"echo "):
            with self.subTest(name=name):
                self.assertEqual(self.ask(d, name + b"\r\n" + DATA), REFUSED)
        service = wait_accounted(d, "mux", accepted=7)
        self.assertEqual(service["refused"]["access"], 7)
        self.assertIn("'ech'", d.log(event="refused", service="mux")[1]["message"])
        self.assertEqual(d.service("e")["accepted"], 0)

    def test_malformed(self):
        d = self.start(e=self.service("echo"))
        cases = {b"x" * 300: "too long", b"x" * 70000: "too long", b"echo\r" + DATA: "byte",
                 b"\x1b[2J\r\n": "byte", b"\xff\xfd\x18": "byte"}
        for n, (sent, why) in enumerate(cases.items(), 1):
            with self.subTest(sent=sent[:20]):
                self.assertEqual(self.ask(d, sent), REFUSED)
                wait_until(lambda n=n: len(d.log(event="refused", service="mux", reason="proxy")) == n, "its refusal")
                self.assertIn(why, d.log(event="refused", service="mux")[-1]["message"])
        wait_accounted(d, "mux", accepted=len(cases))

    def test_late(self):
        d = self.start(e=self.service("echo"))
        with d.dial("mux") as silent, d.dial("mux") as slow:
            slow.sendall(b"ec")
            for s in (silent, slow):
                self.assertEqual(read_all(s), REFUSED)
        service = wait_accounted(d, "mux", accepted=2)
        self.assertEqual(service["refused"]["proxy"], 2)
        self.assertIn("within 3 s", d.log(event="refused", service="mux")[0]["message"])

    def test_gone(self):
        d = self.start(e=self.service("echo"))
        for sent in (b"", b"ech"):
            with d.dial("mux") as s:
                s.sendall(sent)
        service = wait_accounted(d, "mux", accepted=2)
        self.assertEqual(service["gone"], 2)

    def test_environment(self):
        """What the service is told is as if the client had come to it."""
        d = self.start(e=self.service("probe", ["{probe}"], user="self"))
        with d.dial("mux") as s:
            own = s.getsockname()[1]
            s.sendall(b"probe\r\n")
            environment = parse_probe(read_all(s))["env"]
        self.assertEqual((environment["MP_SERVICE"], environment["PROTO"], environment["TCPREMOTEIP"],
                          environment["TCPREMOTEPORT"], environment["TCPLOCALPORT"]),
                         ("e", "TCP", "127.0.0.1", str(own), str(d.port("mux"))))

    def test_greeting(self):
        d = self.start(e=self.service("+echo", banner={"greeting": "welcome\r\n"}))
        self.assertEqual(self.ask(d, b"echo\r\nx"), b"+Go\r\nwelcome\r\nx")

    def test_listener_of_its_own_as_well(self):
        d = self.start(e=self.service("+echo", listen="unix:{dir}/e.sock"))
        self.assertEqual(self.ask(d, b"echo\r\nx"), b"+Go\r\nx")
        self.assertEqual(d.ask("e", b"x"), b"x")

    def test_prespawn(self):
        d = self.start(e=self.service("+echo", prespawn=2))
        for _ in range(4):
            self.assertEqual(self.ask(d, b"echo\r\n" + DATA), b"+Go\r\n" + DATA)

    def test_behind_a_proxy(self):
        """Header, then name."""
        d = self.start({"proxy_protocol": {"accept_from": ["127.0.0.1"]}},
                       e=self.service("+echo", ECHO, access={"deny": ["192.0.2.13"]}))
        with d.dial("mux") as s:
            s.sendall(v1("192.0.2.1", "198.51.100.2") + b"echo\r\n" + DATA)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(receive(s, 5), b"+Go\r\n")
            environment, rest = read_environment(s)
            self.assertEqual((environment["TCPREMOTEIP"], rest + read_all(s)), ("192.0.2.1", DATA))
        self.assertEqual(self.ask(d, v1("192.0.2.13", "198.51.100.2") + b"echo\r\n" + DATA), REFUSED)
        wait_accounted(d, "e", accepted=2, spawned=1)
        wait_accounted(d, "mux", requests=2)


    def test_its_own_proxies(self):
        """Whom the service that is named asks for a header, it asks at its own port."""
        header = v1("192.0.2.1", "198.51.100.2")
        d = self.start(e=self.service("echo", listen="tcp:127.0.0.1:0", proxy_protocol={"accept_from": ["127.0.0.1"]}))
        self.assertEqual(self.ask(d, b"echo\r\n" + DATA), DATA)
        self.assertEqual(self.ask(d, b"echo\r\n" + header + DATA), header + DATA)
        self.assertEqual(d.ask("e", header + DATA), DATA)
        self.assertEqual(d.ask("e", DATA), b"")
        check = d.mpctl("check", d.config_path, check=0)
        self.assertRegex(check.stdout + check.stderr, "warning: service 'e': by 'mux' it is reached without the header")


class Admission(TcpmuxTest):
    """Both have a say: the service of the port, and the one that is named."""

    def test_who_waits_is_served_when_the_way_in_is_closed(self):
        """Who has named a service is one of its own, whatever becomes of the service of the port."""
        d = self.start(e=self.service("echo", limits={"rate": "1/2s"}))
        with d.dial("mux") as first, d.dial("mux") as second:
            first.sendall(b"echo\r\n")
            d.wait_service("e", spawned=1)
            second.sendall(b"echo\r\nx")
            d.wait_service("mux", requests=2)
            d.call("Stop", services=["mux"])
            self.assertEqual(second.recv(1), b"x")
        d.wait_service("e", spawned=2, active=0, state="failed")

    def test_rate_is_over_by_itself(self):
        """One without a listener of its own: nobody has to come for its state to be what it is."""
        d = self.start(e=self.service("echo", limits={"rate": "1/1s"}))
        for _ in range(2):
            self.assertEqual(self.ask(d, b"echo\r\n" + DATA), DATA)
        d.wait_service("e", spawned=2, active=0)
        d.wait_service("e", state="listening")

    def test_account(self):
        d = self.start(e=self.service("echo"), f=self.service("+other", access={"deny": ["any"]}))
        for sent in (b"echo\r\n", b"echo\r\n", b"other\r\n", b"help\r\n", b"nobody\r\n", b""):
            self.ask(d, sent)
        mux = wait_accounted(d, "mux", requests=4, accepted=2)
        self.assertEqual((mux["refused"]["access"], mux["gone"], mux["spawned"], mux["active"]), (1, 1, 0, 0))
        wait_accounted(d, "e", accepted=2, spawned=2)
        other = wait_accounted(d, "f", accepted=1, spawned=0)
        self.assertEqual(other["refused"]["access"], 1)

    def test_access_of_the_named(self):
        d = self.start(e=self.service("+echo", access={"deny": ["127.0.0.2"]}))
        self.assertEqual(self.ask(d, b"echo\r\nx", "127.0.0.2"), REFUSED)
        self.assertEqual(self.ask(d, b"echo\r\nx", "127.0.0.3"), b"+Go\r\nx")

    def test_access_of_the_port(self):
        d = self.start({"access": {"deny": ["127.0.0.2"]}}, e=self.service("+echo"))
        self.assertEqual(self.ask(d, b"echo\r\nx", "127.0.0.2"), b"")
        self.assertEqual(self.ask(d, b"help\r\n", "127.0.0.3"), b"echo\r\n")
        self.assertEqual(d.service("mux")["refused"]["access"], 1)

    def test_per_source(self):
        d = self.start(e=self.service("+echo", limits={"per_source": 1}))
        with d.dial("mux") as s:
            s.sendall(b"echo\r\n")
            self.assertEqual(receive(s, 5), b"+Go\r\n")
            self.assertEqual(self.ask(d, b"echo\r\n"), REFUSED)
            self.assertEqual(self.ask(d, b"echo\r\n", "127.0.0.2"), b"+Go\r\n")
        wait_accounted(d, "e", accepted=3, spawned=2)

    def test_slow_ones_of_one_source(self):
        """limits.per_source of the port bounds those who do not name a service."""
        d = self.start({"limits": {"per_source": 2}}, e=self.service("echo"))
        with d.dial("mux") as first, d.dial("mux") as second:
            first.sendall(b"e")
            second.sendall(b"e")
            wait_accepted(d, "mux")
            self.assertEqual(self.ask(d, b"echo\r\nx"), b"")
            self.assertEqual(self.ask(d, b"echo\r\nx", "127.0.0.2"), b"x")
            first.sendall(b"cho\r\n")
            wait_until(lambda: d.service("e")["active"] == 1, "it is passed on")
            self.assertEqual(self.ask(d, b"echo\r\nx"), b"x")

    def test_refused_when_full(self):
        d = self.start(e=self.service("+echo", limits={"instances": 1, "when_full": "refuse"},
                                      banner={"refused": "come back\r\n"}))
        with d.dial("mux") as s:
            s.sendall(b"echo\r\n")
            self.assertEqual(receive(s, 5), b"+Go\r\n")
            self.assertEqual(self.ask(d, b"echo\r\n"), REFUSED + b"come back\r\n")
        wait_accounted(d, "e", accepted=2, spawned=1)

    def test_wait_when_full(self):
        """Nothing is said until there is room."""
        d = self.start(e=self.service("+echo", limits={"instances": 1}))
        with d.dial("mux") as first, d.dial("mux") as second:
            first.sendall(b"echo\r\n")
            self.assertEqual(receive(first, 5), b"+Go\r\n")
            second.sendall(b"echo\r\nx")
            wait_until(lambda: d.service("mux")["requests"] == 2, "it is passed on")
            second.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                second.recv(1)
            second.settimeout(PATIENCE)
            self.assertEqual(d.service("e")["state"], "full")
            first.close()
            self.assertEqual(receive(second, 6), b"+Go\r\nx")
        wait_accounted(d, "e", accepted=2, spawned=2)

    def test_rate(self):
        """A service without a listener is looked at again when its rate allows it."""
        d = self.start(e=self.service("+echo", limits={"rate": "5/s burst 1"}))
        began = time.monotonic()
        for _ in range(4):
            self.assertEqual(self.ask(d, b"echo\r\nx"), b"+Go\r\nx")
        self.assertGreater(time.monotonic() - began, 0.5)

    def test_too_many_wait(self):
        d = self.start(e=self.service("+echo", limits={"instances": 1}))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(d.dial_fast("mux")) for _ in range(40)]
            for s in clients:
                s.sendall(b"echo\r\n")
            wait_until(lambda: d.service("mux")["refused"]["instances"] >= 20, "refusals")
            self.assertLess(len(descriptors_of(d.pid)), 80)
        passed = 40 - d.service("mux")["refused"]["instances"]
        wait_accounted(d, "mux", requests=passed)
        wait_accounted(d, "e", accepted=passed)

    def test_not_started(self):
        """A program that cannot be executed is told of as the service's failure."""
        d = self.start(e=self.service("+echo", ["/bin/cat"]))
        os_path = d.path("program")
        with open(os_path, "w", encoding="ascii") as file:
            file.write("#!/nowhere\n")
        os.chmod(os_path, 0o755)
        d.write_config(self.config(e=self.service("echo", [os_path])))
        self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(self.ask(d, b"echo\r\n"), b"")
        wait_accounted(d, "e", spawn_failed=1)


class States(TcpmuxTest):
    def test_listening_while_it_is_reached(self):
        d = self.start(e=self.service("echo"))
        self.assertEqual(d.service("e")["state"], "listening")
        self.assertEqual(d.service("e")["listeners"], [])
        d.call("Stop", services=["mux"])
        d.wait_service("e", state="failed")
        d.call("Start", services=["mux"])
        d.wait_service("e", state="listening")
        self.assertEqual(self.ask(d, b"echo\r\nx"), b"x")

    def test_orders(self):
        d = self.start(e=self.service("+echo"))
        for order, state, back in (("Stop", "stopped", "Start"), ("Pause", "paused", "Resume"),
                                   ("Drain", "stopped", "Start")):
            with self.subTest(order=order):
                d.call(order, services=["e"])
                d.wait_service("e", state=state)
                self.assertEqual(self.ask(d, b"echo\r\nx"), REFUSED)
                self.assertEqual(self.ask(d, b"help\r\n"), b"")
                d.call(back, services=["e"])
                d.wait_service("e", state="listening")
                self.assertEqual(self.ask(d, b"echo\r\nx"), b"+Go\r\nx")
        self.assertEqual(d.service("mux")["refused"]["instances"], 3)

    def test_stop_while_they_wait(self):
        d = self.start(e=self.service("+echo", limits={"instances": 1}))
        with d.dial("mux") as first, d.dial("mux") as second, d.dial("mux") as third:
            first.sendall(b"echo\r\n")
            self.assertEqual(receive(first, 5), b"+Go\r\n")
            second.sendall(b"echo\r\n")
            third.sendall(b"ec")
            wait_until(lambda: d.service("mux")["requests"] == 2, "it is passed on")
            d.call("Stop", services=["e"])
            self.assertEqual(read_all(second), b"")
            third.sendall(b"ho\r\n")
            self.assertEqual(read_all(third), REFUSED)
        wait_accounted(d, "e", accepted=2, gone=1, state="stopped")

    def test_drain(self):
        """Who has been passed on is served."""
        d = self.start(e=self.service("+echo", limits={"instances": 1}))
        with d.dial("mux") as first, d.dial("mux") as second:
            first.sendall(b"echo\r\n")
            self.assertEqual(receive(first, 5), b"+Go\r\n")
            second.sendall(b"echo\r\nx")
            wait_until(lambda: d.service("mux")["requests"] == 2, "it is passed on")
            d.mpctl("drain", "--no-wait", "e", check=0)
            stays(lambda: d.service("e")["state"] == "draining", "it drains", 0.3)
            first.close()
            self.assertEqual(receive(second, 6), b"+Go\r\nx")
            second.close()
        wait_accounted(d, "e", accepted=2, spawned=2, state="stopped")

    def test_drain_of_the_port(self):
        d = self.start(e=self.service("+echo"))
        with d.dial("mux") as s, d.dial("mux") as other:
            s.sendall(b"ec")
            other.sendall(b"e")
            wait_accepted(d, "mux")
            d.mpctl("drain", "--no-wait", "mux", check=0)
            s.sendall(b"ho\r\nx")
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"+Go\r\nx")
        wait_until(lambda: d.service("mux")["state"] == "stopped", "it is drained")

    def test_reload(self):
        d = self.start(e=self.service("echo"))
        port = d.port("mux")

        def reload(**services):
            d.write_config(self.config({"listen": f"tcp:127.0.0.1:{port}"}, **services))
            self.assertTrue(d.call("Reload")["ok"])
        with d.dial("mux") as s:
            s.sendall(b"new\r")
            reload(e=self.service("+other"), f=self.service("+new"))
            s.sendall(b"\nx")
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"+Go\r\nx", "a name is looked up when it is there")
        self.assertEqual(self.ask(d, b"echo\r\n"), REFUSED)
        self.assertEqual(self.ask(d, b"other\r\nx"), b"+Go\r\nx")
        reload()
        self.assertEqual(self.ask(d, b"other\r\n"), REFUSED)
        reload(e=self.service("echo"))
        self.assertEqual(self.ask(d, b"echo\r\nx"), b"x")
        d.wait_service("e", state="listening")

    def test_removed_while_it_runs(self):
        d = self.start(e=self.service("echo"))
        with d.dial("mux") as s:
            s.sendall(b"echo\r\nx")
            self.assertEqual(s.recv(1), b"x")
            d.write_config({"services": {}})
            self.assertTrue(d.call("Reload")["ok"])
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")
        wait_until(lambda: not d.status()["services"], "both are gone")

    def test_two_ports(self):
        """Each name can be had through any of them."""
        d = self.start(e=self.service("echo"), mux2={"listen": "unix:{dir}/mux.sock", "model": "tcpmux"})
        self.assertEqual(self.ask(d, b"echo\r\nx"), b"x")
        self.assertEqual(d.ask("mux2", b"echo\r\nx"), b"x")
        d.call("Stop", services=["mux"])
        self.assertEqual(d.service("e")["state"], "listening")
        self.assertEqual(d.ask("mux2", b"echo\r\nx"), b"x")


if __name__ == "__main__":
    unittest.main()
