# SPDX-License-Identifier: MIT
"""Reloads of big configs, and many of them: nobody waits for one, and nothing is left of it."""
import os
import resource
import signal
import socket
import time
import unittest

from harness import COUNTED, PATIENCE, SANITIZED, DaemonTest, lasting_descriptors_of, resident_kib, wait_until, waited_seconds
from steady import Load


def say(text):
    print(f"      {text}", flush=True)


class Canary:
    """Asks one service again and again, and notes how long each answer takes. For how long the daemon was ready to go on,
    and did not get a processor, is not counted."""
    def __init__(self, d, name):
        self.port, self.pid, self.times = d.port(name), d.pid, []

    def ask(self):
        waited, start = waited_seconds(self.pid), time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port), 30) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        took = time.monotonic() - start
        self.times.append(max(0.0, took - (waited_seconds(self.pid) - waited)))

    def ask_while(self, condition):
        self.times = []
        while condition() or len(self.times) < 50:
            self.ask()
        return self.p99()

    def p99(self):
        return sorted(self.times)[len(self.times) * 99 // 100]


class Big(DaemonTest):
    def setUp(self):
        self.n = 500 if SANITIZED or COUNTED else 10000
        # Descriptors for the sockets of all of them are not to be had everywhere.
        self.enabled = "true" if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > self.n + 1000 else "false"

    def config(self, change):
        return ("version: 1\ndefaults: {user: self, enabled: " + self.enabled + "}\nservices:\n"
                "  canary: {listen: 'tcp:127.0.0.1:0', exec: mp-echo, enabled: true}\n" +
                "".join(f"  s{i}: {{listen: 'unix:{{dir}}/{i}', exec: mp-echo, description: {change(i)}}}\n"
                        for i in range(self.n)))

    def reload(self, d, canary, beside):
        """p99 of the answers while a reload is under way, and of those of another daemon that has nothing to do, which is asked
        in turn with it: as the machine is meanwhile."""
        generation = d.status()["daemon"]["generation"]
        os.kill(d.pid, signal.SIGHUP)
        with d.connect() as control:
            # The answer comes with the reload that follows, in the same breath.
            control.send("Reload")
            control.socket.setblocking(False)
            def waits():
                beside.ask()
                try:
                    control.socket.recv(1)
                except BlockingIOError:
                    return True
                return False
            beside.times = []
            busy = canary.ask_while(waits)
        wait_until(lambda: d.status()["daemon"]["generation"] >= generation + 1, "the reload")
        return busy, beside.p99()

    def look(self, d, canary, beside, what):
        """Whether the answers take no longer with a reload than without, as the machine is."""
        busy, idle = self.reload(d, canary, beside)
        longest, count = max(canary.times), len(canary.times)
        say(f"{self.n} services, changed: {what}: p99 {busy * 1000:.1f} ms, longest {longest * 1000:.1f} ms, of {count}; "
            f"of a daemon without a reload {idle * 1000:.1f} ms")
        # Under 20 ms where nobody else uses the machine.
        return busy < max(0.1, idle * 10)

    def test_ten_thousand_services(self):
        """While they are reloaded, all the same, one changed, all changed, the answers to others take no longer."""
        d = self.daemon(self.config(lambda i: "x"), wait=False)
        wait_until(lambda: os.path.exists(d.socket), "the start", 60)
        d.wait_ready()
        other = self.daemon({"services": {"canary": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        canary, beside = Canary(d, "canary"), Canary(other, "canary")
        for what, changed in (("none", lambda i: False), ("one", lambda i: i == 7), ("all", lambda i: True)):
            # A machine that has just become busy spoils one look; a daemon that stalls spoils each.
            for attempt in "abc":
                d.write_config(self.config(lambda i, a=attempt, c=changed, w=what: w + a if c(i) else "x"))
                if self.look(d, canary, beside, what):
                    break
            else:
                self.fail(f"changed: {what}: others wait for the reload")


class Many(DaemonTest):
    def test_nothing_is_left(self):
        """RL-9: descriptors are those of before, memory does not grow."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        def reload(times):
            for i in range(times):
                d.write_config({"services": {
                    "s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "limits": {"instances": 10 + i}},
                    **({"t": {"listen": "unix:{dir}/t", "exec": ["mp-echo"]}} if i % 2 else {})}})
                d.call("Reload")
        reload(20)
        before, memory = d.quiet_descriptors(), resident_kib(d.pid)
        reload(20 if SANITIZED else 80)
        wait_until(lambda: len(lasting_descriptors_of(d.pid)) <= len(before), "the descriptors of before")
        if not SANITIZED:
            self.assertLessEqual(resident_kib(d.pid), memory + 512)

    def test_storm_of_hup_under_load(self):
        """Each of them is taken, at most one more than there is time for."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        with Load(self, {"s": d.port("s")}, at_once=4):
            for _ in range(300):
                os.kill(d.pid, signal.SIGHUP)
                time.sleep(0.002)
            d.write_config({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "limits": {"instances": 77}}}})
            os.kill(d.pid, signal.SIGHUP)
            wait_until(lambda: d.service("s")["instances_limit"] == 77, "the last of them")

    def test_datagrams(self):
        """RL-8: what is queued at a socket that is kept is answered, each datagram once."""
        def config(i):
            return {"services": {"u": {
                "listen": [{"endpoint": "udp:127.0.0.1:0", "receive_buffer": (1 << 17) + 1024 * (i % 3)}],
                "exec": ["mp-echo"], "description": str(i), "environment": {"ROUND": str(i // 4)}}}}
        d = self.daemon(config(0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(PATIENCE)
            s.connect(("127.0.0.1", d.port("u")))
            for i in range(1, 31):
                d.write_config(config(i))
                sent = [b"%d/%d" % (i, k) for k in range(40)]
                with d.connect() as control:
                    for k, datagram in enumerate(sent):
                        s.send(datagram)
                        if k == 20:
                            control.send("Reload")
                    self.assertTrue(control.parameters_of(control.receive())["ok"])
                self.assertEqual(sorted(s.recv(64) for _ in sent), sorted(sent))
            s.setblocking(False)
            self.assertRaises(BlockingIOError, s.recv, 64)

    def test_connections_that_never_end(self):
        """RL-10: of each generation one, and the service is still one."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        held = []
        for i in range(15):
            held.append(d.dial("s"))
            held[-1].sendall(b"x")
            self.assertEqual(held[-1].recv(1), b"x")
            d.write_config({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "description": str(i)}}})
            d.call("Reload")
        self.assertEqual(sorted(i["generation"] for i in d.instances("s")), list(range(1, 16)))
        for s in held:
            s.sendall(b"y")
            self.assertEqual(s.recv(1), b"y")
            s.close()
        d.wait_idle("s")


if __name__ == "__main__":
    unittest.main()
