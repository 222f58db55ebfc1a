# SPDX-License-Identifier: MIT
"""On demand with unmodified programs: gunicorn and nbdkit by LISTEN_FDS, in.tftpd by inetd's wait."""
import os
import random
import socket
import struct
import subprocess
import threading
import time
import unittest
import urllib.request

from harness import DaemonTest, need_program, need_root, process_alive, program, stays, wait_until

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getppid()]
"""


@need_program("gunicorn")
class Gunicorn(DaemonTest):
    def start(self, idle="1s", **service):
        folder = self.temporary_folder()
        with open(os.path.join(folder, "hello.py"), "w", encoding="utf-8") as file:
            file.write(APP)
        return self.daemon({"services": {"web": {
            "listen": "tcp:127.0.0.1:0", "model": "on-demand", "notify": "sd_notify",
            "timeouts": {"idle": idle, "start": "30s", "stop": "10s"},
            "exec": [program("gunicorn"), "--chdir", "{dir}", "--graceful-timeout", "5", "hello:app"],
            **service}}}, folder=folder)

    @staticmethod
    def get(d):
        """The pid of gunicorn's master, which its workers tell."""
        with urllib.request.urlopen(f"http://127.0.0.1:{d.port('web')}/", timeout=30) as reply:
            return int(reply.read())

    def test_first_connection_starts_it(self):
        d = self.start(idle="none")
        self.assertEqual(d.service("web")["spawned"], 0)
        pid = self.get(d)
        service = d.wait_service("web", state="active", active=1)
        self.assertEqual(service["status"], "Gunicorn arbiter booted")
        self.assertEqual(d.instances("web")[0]["pid"], pid)
        self.assertEqual(self.get(d), pid)
        self.assertEqual(d.service("web")["report_errors"], 0)

    def test_start_waits_until_it_is_ready(self):
        d = self.start(idle="none", start="now")
        d.wait_service("web", state="active")
        d.call("Restart", services=["web"])
        self.assertEqual(d.service("web")["state"], "active")

    def test_idle(self):
        """Ended when nobody is connected, and started by whoever comes next."""
        d = self.start()
        first = self.get(d)
        wait_until(lambda: not process_alive(first), "its end")
        service = d.wait_service("web", state="listening", active=0)
        self.assertEqual((service["exited"]["timeout"], service["exited"]["failed"]), (1, 0))
        self.assertNotEqual(self.get(d), first)

    def test_kept_alive_connection(self):
        """One that sends nothing for a while is a connection all the same."""
        d = self.start()
        with socket.create_connection(("127.0.0.1", d.port("web"))) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            d.wait_service("web", state="active")
            pid = d.instances("web")[0]["pid"]
            stays(lambda: process_alive(pid), "a server with a connection", seconds=2.5)
            s.sendall(b"\r\n")
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200"))

    def test_under_load(self):
        """Whoever comes while it ends is served by the next one."""
        d = self.start(idle="400ms")
        pids, lost, end = set(), [], time.monotonic() + 10

        def client(seed):
            chance = random.Random(seed)
            while time.monotonic() < end:
                try:
                    pids.add(self.get(d))
                except OSError as error:
                    lost.append(error)
                time.sleep(chance.choice([0.1, 0.4, 0.7, 0.8, 0.85, 1.2]))
        threads = [threading.Thread(target=client, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(lost, [])
        self.assertEqual(d.service("web")["exited"]["failed"], 0)


@need_program("nbdkit")
class Nbdkit(DaemonTest):
    def start(self, **service):
        return self.daemon({"services": {"disk": {
            "listen": "unix:{dir}/nbd.sock", "model": "on-demand", "timeouts": {"idle": "1s"},
            "exec": [program("nbdkit"), "--foreground", "memory", "size=8M"], **service}}})

    @staticmethod
    def greet(s):
        """The first words of the protocol: NBDMAGIC IHAVEOPT and flags."""
        data = b""
        while len(data) < 18:
            more = s.recv(18 - len(data))
            if not more:
                break
            data += more
        return data[:16]

    def test_idle(self):
        for listen in ("unix:{dir}/nbd.sock", "tcp:127.0.0.1:0"):
            with self.subTest(listen=listen):
                d = self.start(listen=listen)
                with d.dial("disk") as s:
                    self.assertEqual(self.greet(s), b"NBDMAGICIHAVEOPT")
                    pid = d.instances("disk")[0]["pid"]
                    stays(lambda: process_alive(pid), "a disk in use", seconds=2.5)
                wait_until(lambda: not process_alive(pid), "its end")
                service = d.wait_service("disk", state="listening")
                self.assertEqual(service["exited"]["timeout"], 1)
                with d.dial("disk") as s:
                    self.assertEqual(self.greet(s), b"NBDMAGICIHAVEOPT")
                    self.assertNotEqual(d.instances("disk")[0]["pid"], pid)
                d.stop()

    @need_program("nbdinfo")
    def test_a_real_client(self):
        d = self.start()
        size = subprocess.run(["nbdinfo", "--size", f"nbd+unix:///?socket={d.path('nbd.sock')}"], timeout=30,
                              check=True, stdout=subprocess.PIPE).stdout
        self.assertEqual(int(size), 8 << 20)


@need_root
@need_program("in.tftpd")
class Tftpd(DaemonTest):
    """It serves for a second after each request, and then ends: time and again, and not a request is lost."""

    def start(self):
        folder = self.temporary_folder()
        with open(os.path.join(folder, "file"), "w", encoding="utf-8") as file:
            file.write("forty-two\n" * 40)
        os.chmod(os.path.join(folder, "file"), 0o644)
        service = {"listen": "udp:127.0.0.1:0", "pass": "stdio", "user": "root", "restart": {"limit": "100/10s"},
                   "exec": [program("in.tftpd"), "-t", "1", "-u", "nobody", "-s", folder]}
        return self.daemon({"services": {"tftp": service}}, folder=folder)

    @staticmethod
    def fetch(port):
        """One file in one block; it is asked for once, so that a request that is lost shows."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.sendto(struct.pack("!H", 1) + b"file\0octet\0", ("127.0.0.1", port))
            data, peer = s.recvfrom(600)
            s.sendto(struct.pack("!HH", 4, 1), peer)
            return data

    def test_no_request_is_lost(self):
        d = self.start()
        port, lost, end = d.port("tftp"), [], time.monotonic() + 9

        def client(seed):
            chance = random.Random(seed)
            while time.monotonic() < end:
                try:
                    data = self.fetch(port)
                    if data[:4] != struct.pack("!HH", 3, 1) or len(data) != 404:
                        lost.append(data)
                except OSError as error:
                    lost.append(error)
                # Around the time at which it gives up waiting.
                time.sleep(chance.choice([0, 0.3, 0.95, 0.99, 1.0, 1.01, 1.05, 1.5]))
        threads = [threading.Thread(target=client, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(lost, [])
        wait_until(lambda: d.service("tftp")["active"] == 0, "its end")
        service = d.service("tftp")
        self.assertGreater(service["spawned"], 1)
        self.assertEqual(service["exited"]["failed"] + service["exited"]["signaled"], 0)

    @need_program("tftp")
    def test_a_real_client(self):
        d = self.start()
        for _ in range(3):
            target = d.path("fetched")
            subprocess.run(["tftp", "-m", "binary", "127.0.0.1", str(d.port("tftp")), "-c", "get", "file", target],
                           timeout=30, check=True, stdin=subprocess.DEVNULL)
            with open(target, encoding="utf-8") as file:
                self.assertEqual(len(file.read()), 400)
            os.unlink(target)
            time.sleep(1.3)


if __name__ == "__main__":
    unittest.main()
