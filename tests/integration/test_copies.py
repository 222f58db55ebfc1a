# SPDX-License-Identifier: MIT
"""The daemon closes what another process still has a copy of: here the one that is to prove an upgrade, which gets a copy of every
descriptor, and hangs. What the daemon waited for must be forgotten before it is closed: the kernel goes on telling of it as long
as there is a copy."""
import contextlib
import os
import signal
import socket
import unittest

from faults import Injection, tracing_works
from harness import PATIENCE, DaemonTest, VarlinkError, children_of, process_alive, read_all, wait_until
from proxy import PreludeTest
from test_upgrade import ANSWER, UpgradeTest, command_of

REFUSED = b"-Service not available\r\n"
HEADER = b"PROXY nonsense\r\n"
N = 3


class Copies(PreludeTest, UpgradeTest):
    def start(self):
        # Those who are refused are let go at once, or stay for a moment until they have read a banner.
        self.d = self.daemon({"services": {
            "mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"}, "named": {"exec": ["mp-echo"], "tcpmux": "named"},
            "said": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux", "limits": {"refuse_with": "banner"}, "banner": {"refused": "no\r\n"}},
            "proxied": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "proxy_protocol": {"accept_from": ["127.0.0.1"]}},
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        self.pid = self.d.pid

    @contextlib.contextmanager
    def copied(self):
        """All that is open when this begins has a copy until it ends."""
        self.put(b"#!/bin/sh\nexec sleep 1000\n")
        with self.d.connect(ANSWER * 2) as control:
            control.send("Upgrade")
            helper = wait_until(lambda: [pid for pid, _ in children_of(self.pid) if command_of(pid) == "sleep"], "it to run")[0]
            yield
            os.kill(helper, signal.SIGKILL)
            self.assertIn("error", control.receive())
        wait_until(lambda: not process_alive(helper), "the helper to end")

    def assert_goes_on(self):
        self.assertEqual(self.d.ask("echo", b"hello"), b"hello")
        self.assertEqual(self.d.call("Ping")["pid"], self.pid)

    def gone_on(self, name, sent, answer):
        """Connections that wait to say what they want, say it, are let go, and then send more, and go."""
        self.start()
        clients = [self.d.dial(name) for _ in range(N)]
        wait_until(lambda: self.d.listener(name)["queued"] == 0, "them to be accepted")
        with self.copied():
            for s in clients:
                s.sendall(sent)
            for s in clients:
                got = b""
                with contextlib.suppress(ConnectionResetError):
                    while len(got) < len(answer) and (part := s.recv(1000)):
                        got += part
                self.assertEqual(got, answer)
                self.assert_goes_on()
                with contextlib.suppress(OSError):
                    s.sendall(b"more")
                self.assert_goes_on()
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
                s.close()
                self.assert_goes_on()
        self.assert_goes_on()

    def test_unknown_name(self):
        self.gone_on("mux", b"nobody\r\n", REFUSED)
        wait_until(lambda: self.d.service("mux")["refused"]["access"] == N, "them to be counted")

    def test_name_that_is_none(self):
        self.gone_on("mux", b"\x1b\r\n", REFUSED)

    def test_help(self):
        self.gone_on("mux", b"help\r\n", b"named\r\n")

    def test_banner(self):
        self.gone_on("said", b"nobody\r\n", REFUSED + b"no\r\n")

    def test_header_that_is_none(self):
        self.gone_on("proxied", HEADER, b"")
        wait_until(lambda: self.d.service("proxied")["refused"]["proxy"] == N, "them to be counted")

    def test_whole_answer(self):
        """Who sends more than is read before his refusal has all of it nevertheless, though it had to be waited for."""
        self.start()
        for name, answer in (("mux", REFUSED), ("said", REFUSED + b"no\r\n")):
            for word, wanted in ((b"nobody\r\n", answer), (b"help\r\n", b"named\r\n")):
                with self.subTest(name=name, word=word), self.d.dial(name) as s:
                    s.sendall(word[:3])
                    wait_until(lambda name=name: self.d.listener(name)["queued"] == 0, "it to be accepted")
                    self.assert_goes_on()
                    s.settimeout(PATIENCE)
                    s.sendall(word[3:] + b"x" * 100000)
                    s.shutdown(socket.SHUT_WR)
                    self.assertEqual(read_all(s), wanted)


@unittest.skipUnless(tracing_works(), "processes cannot be traced here")
class Forgotten(DaemonTest):
    """The same for everything that is waited for in the course of a day: whatever is closed has been given up before, or the
    kernel would say that there is no such descriptor to give up."""

    @staticmethod
    def services(**more):
        def echo(**keys):
            return {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], **keys}
        return {"services": {"e": echo(), "lasts": echo(exec=["/bin/sh", "-c", "echo words >&2; read line; echo more >&2"]), "waits": echo(model="on-demand"),
                             "pool": echo(model="pool", pool={"min": 1, "max": 2, "handoff": "connection"}), "spare": echo(prespawn=1),
                             "talks": echo(report=True, exec=["/bin/sh", "-c", "echo READY=1 >&$MP_STATUS_FD; read line"]),
                             "told": echo(notify="sd_notify", exec=["/bin/sh", "-c", "read line"]), "relay": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/no"},
                             "idle": echo(timeouts={"idle": "1s"}), "datagrams": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]},
                             "full": echo(limits={"rate": "1/h burst 1", "when_full": "refuse", "refuse_with": "banner"}, banner={"refused": "no\r\n"}),
                             "proxied": echo(proxy_protocol={"accept_from": ["127.0.0.1"]}),
                             "mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"}, "named": {"exec": ["mp-echo"], "tcpmux": "named"}, **more}}

    def visit(self, d, name, sent):
        """In two pieces, so that the second is waited for."""
        with d.dial(name) as s, contextlib.suppress(OSError):
            s.sendall(sent[:3])
            d.call("Ping")
            s.sendall(sent[3:])
            s.shutdown(socket.SHUT_WR)
            s.settimeout(PATIENCE)
            read_all(s)

    def everything(self, d):
        for name in ("e", "lasts", "waits", "pool", "spare", "talks", "told", "relay", "idle", "full", "full", "proxied", "mux"):
            self.visit(d, name, b"hello\n")
        for sent in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nx", b"PROXY UNKNOWN\r\nx", b"PROXY "):
            self.visit(d, "proxied", sent)
        for sent in (b"named\r\nx", b"nobody\r\n", b"help\r\n", b"nam"):
            self.visit(d, "mux", sent)
        with d.dial("idle") as s:
            self.assertEqual(read_all(s), b"", "it is ended when nothing moves")
        with d.dial("datagrams") as s:
            s.send(b"x")
            self.assertEqual(s.recv(10), b"x")
        for order in ("Pause", "Resume", "Restart", "Drain", "Start", "Stop", "Start"):
            d.call(order, services=["e", "waits", "pool", "mux"])
        with d.connect() as follower:
            follower.send("Events", {}, more=True)
            follower.receive()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(d.socket)
            s.sendall(b"nonsense\0")

    def test_nothing_is_closed_before(self):
        d = self.daemon(self.services(comes={"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}))
        with Injection(d.pid, trace="epoll_ctl") as traced:
            self.everything(d)
            d.write_config(self.services(goes={"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}))
            d.call("Reload")
            with contextlib.suppress(VarlinkError):
                d.call("CheckConfig")
            self.everything(d)
        self.assertGreater(traced.text.count("EPOLL_CTL_DEL"), 50, "that is not what there was to do")
        self.assertEqual([line for line in traced.text.splitlines() if "EPOLL_CTL" in line and "= -1" in line], [])


if __name__ == "__main__":
    unittest.main()
