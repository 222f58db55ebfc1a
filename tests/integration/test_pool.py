# SPDX-License-Identifier: MIT
"""Pools: as many workers as the load asks for, by both handoffs; nothing is lost when they end, by themselves or not."""
import contextlib
import os
import random
import shutil
import signal
import tempfile
import threading
import time
import unittest

from harness import BUILD, PATIENCE, DaemonTest, cpu_seconds, exchange, free_port, process_alive, read_all, wait_until

# A worker for both handoffs, of the simplest kind: one connection at a time. It answers a line with its pid, and the
# variables it was told; "hold" is answered, and the connection kept until the client leaves; "die" ends it at once.
WORKER = r'''
import array, os, select, signal, socket, sys
mode = sys.argv[1:]
status = int(os.environ.get("MP_STATUS_FD", "-1"))
done = 0

def report(text):
    if status >= 0 and "silent" not in mode:
        os.write(status, text.encode())

ending = False

def on_term(*_):
    global ending
    ending = True
    report("STOPPING=1\n")

signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in mode else on_term)
if "crash" in mode:
    sys.exit(7)
if "crash-file" in mode and os.path.exists(mode[mode.index("crash-file") + 1]):
    sys.exit(7)
passed = int(os.environ.get("MP_CONNECTION_FD", "-1"))
if passed >= 0:
    sources = [socket.socket(fileno=passed)]
else:
    sources = [socket.socket(fileno=3 + i) for i in range(int(os.environ["LISTEN_FDS"]))]
    for source in sources:
        source.setblocking(False)  # another worker may be quicker

def take():
    """The next connection and its variables; None at the end."""
    while not ending:
        ready, _, _ = select.select(sources, [], [], 0.05)
        for source in ready:
            if passed < 0:
                try:
                    return source.accept()[0], ""
                except BlockingIOError:
                    continue
            data, control, _, _ = source.recvmsg(65536, 64)
            if not data and not control:
                return None
            fds = array.array("i", control[0][2])
            return socket.socket(fileno=fds[0]), data.decode()
    return None

def serve(s, text):
    file = s.makefile("rwb")
    line = file.readline().strip()
    if line == b"die":
        os._exit(9)
    file.write(b"%d %d\n" % (os.getpid(), done) + (text.encode() if line == b"tell" else b""))
    file.flush()
    if line == b"hold":
        file.read()

if "slow" in mode or "slower" in mode:
    import time
    time.sleep(0.3 if "slow" in mode else 3)
report("READY=1\n" if "mute" in mode else "READY=1\nACTIVE=0\nSTATUS=serving\n")
while True:
    got = take()
    if got is None:
        break
    if "mute" not in mode:
        report("ACTIVE=1\n")
    s, text = got
    try:
        serve(s, text)
    except OSError:
        pass
    s.close()
    done += 1
    report("REQUESTS=%d\n" % done + ("" if "mute" in mode else "ACTIVE=0\n"))
'''
HANDOFFS = ("listener", "connection")


class PoolTest(DaemonTest):
    def start(self, *mode, pool=None, name="s", **service):
        service = {"listen": "tcp:127.0.0.1:0", "model": "pool",
                   "exec": ["python3", "-ISu", "{dir}/worker.py", *mode], "pool": pool or {}, **service}
        folder = self.temporary_folder()
        with open(os.path.join(folder, "worker.py"), "w", encoding="utf-8") as file:
            file.write(WORKER)
        return self.daemon({"services": {name: service}}, folder=folder)

    @staticmethod
    def workers(d, **wanted):
        """Waits until the workers are as wanted, and returns the service."""
        last = {}

        def there():
            last.update(d.service("s"))
            return all(last["workers"][key] == value for key, value in wanted.items())
        try:
            wait_until(there, f"workers {wanted}", interval=0.03)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last}") from None
        return last

    @staticmethod
    def pids(d):
        return {i["pid"] for i in d.instances("s")}

    @staticmethod
    def ask(d, what=b"hello"):
        with d.dial_fast() as s:
            s.sendall(what + b"\n")
            return read_all(s).decode()

    def hold(self, d):
        """A connection that keeps a worker busy, and that worker's pid."""
        s = d.dial_fast()
        self.addCleanup(s.close)
        s.sendall(b"hold\n")
        return s, int(s.makefile("rb").readline().split()[0])


class Size(PoolTest):
    def test_min_at_the_start(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 3, "max": 6, "handoff": handoff})
                service = self.workers(d, idle=3, busy=0, starting=0)
                self.assertEqual(service["state"], "active")
                self.assertEqual((service["active"], service["spawned"], service["instances_limit"]), (3, 3, 6))
                self.assertIn(int(self.ask(d).split()[0]), self.pids(d))
                d.stop()

    def test_grows_and_shrinks(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 1, "max": 8, "spare_min": 1, "spare_max": 1, "handoff": handoff})
                self.workers(d, idle=1)
                held = []
                for n in range(1, 5):
                    held.append(self.hold(d))
                    self.workers(d, busy=n, idle=1)
                self.assertEqual(len({pid for _, pid in held}), 4)
                for s, _ in held:
                    s.close()
                self.workers(d, busy=0, idle=1, starting=0)
                service = d.wait_service("s", active=1)
                self.assertEqual(service["exited"]["ok"], service["spawned"] - 1)
                self.assertEqual(service["restarts"], 0)
                d.stop()

    def test_never_more_than_max(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 1, "max": 3, "handoff": handoff})
                held = [self.hold(d) for _ in range(3)]
                d.wait_service("s", state="full")
                with d.dial_fast() as late:
                    late.sendall(b"hello\n")
                    late.settimeout(0.3)
                    with self.assertRaises(TimeoutError):
                        late.recv(1)
                    self.assertEqual(d.service("s")["active"], 3)
                    held[0][0].close()
                    late.settimeout(PATIENCE)
                    self.assertIn(int(late.makefile("rb").readline().split()[0]), self.pids(d))
                d.wait_service("s", state="active")
                for s, _ in held:
                    s.close()
                d.stop()

    def test_silent_workers_stay_at_min(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start("silent", pool={"min": 2, "max": 8, "handoff": handoff})
                self.workers(d, busy=2, idle=0, starting=0)
                for _ in range(20):
                    self.ask(d)
                self.assertEqual(d.service("s")["active"], 2)
                self.assertEqual(d.service("s")["workers"], {"idle": 0, "busy": 2, "starting": 0})
                d.stop()

    def test_asleep_until_the_first(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 0, "spare_min": 0, "spare_max": 0, "handoff": handoff})
                d.wait_service("s", state="listening", active=0)
                self.ask(d)
                d.wait_service("s", state="listening", active=0)
                self.assertEqual(d.service("s")["spawned"], 1)
                self.ask(d)
                d.stop()


class Lives(PoolTest):
    def test_the_dead_are_replaced(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 2, "max": 4, "handoff": handoff}, restart={"limit": "1000/10s"})
                self.workers(d, idle=2)
                for _ in range(6):
                    # One that has not come to its program yet would be no worker that was killed.
                    self.workers(d, idle=2)
                    before = self.pids(d)
                    os.kill(next(iter(before)), signal.SIGKILL)
                    wait_until(lambda before=before: len(self.pids(d)) == 2 and self.pids(d) != before, "a new one")
                self.workers(d, idle=2)
                service = d.service("s")
                self.assertEqual(service["restarts"], 6)
                self.assertEqual(service["exited"]["signaled"], 6)
                d.stop()

    def test_crash_loop(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start("crash-file", "{dir}/broken", pool={"min": 2, "handoff": handoff},
                               restart={"limit": "3/10s", "delay": "100ms", "max_delay": "400ms"})
                self.workers(d, idle=2)
                with open(d.path("broken"), "w", encoding="utf-8"):
                    pass
                for pid in self.pids(d):
                    os.kill(pid, signal.SIGKILL)
                d.wait_service("s", state="backoff")
                at = d.service("s")["spawned"]
                time.sleep(1.2)
                self.assertLess(d.service("s")["spawned"] - at, 20)
                with d.dial_fast() as s:
                    s.sendall(b"hello\n")
                    os.unlink(d.path("broken"))
                    self.assertTrue(s.makefile("rb").readline())
                d.wait_service("s", state="active")
                self.workers(d, idle=2)
                d.stop()

    def test_failures_do_not_take_the_living(self):
        d = self.start("crash-file", "{dir}/broken", pool={"min": 1, "max": 4}, restart={"limit": "1/10s"})
        self.workers(d, idle=1)
        with open(d.path("broken"), "w", encoding="utf-8"):
            pass
        s, pid = self.hold(d)
        d.wait_service("s", state="backoff")
        s.close()
        self.workers(d, idle=1)
        self.assertEqual(int(self.ask(d).split()[0]), pid)

    def test_one_that_hangs(self):
        """It is ended by the watchdog; the others serve meanwhile."""
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 2, "max": 4, "handoff": handoff}, restart={"limit": "1000/10s"},
                               timeouts={"watchdog": "1s", "stop": "200ms"})
                s, pid = self.hold(d)
                self.assertTrue(self.ask(d))
                wait_until(lambda pid=pid: not process_alive(pid), "its end")
                self.assertEqual(read_all(s), b"")
                self.assertTrue(self.ask(d))
                self.assertGreaterEqual(d.service("s")["exited"]["timeout"], 1)
                d.stop()

    def test_recycled(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 2, "max": 4, "max_requests": 20, "handoff": handoff})
                self.workers(d, idle=2)
                first = self.pids(d)
                answers = []
                for _ in range(200):
                    answers.append(self.ask(d).split())
                    time.sleep(0.005)
                    # Where starts are slow a client may be much faster than its replacement.
                    if int(answers[-1][1]) >= 40:
                        pid = int(answers[-1][0])
                        wait_until(lambda d=d, pid=pid: pid not in self.pids(d), "its end")
                # Each goes on until another one is ready.
                self.assertLess(max(int(done) for _, done in answers), 80)
                self.assertGreater(len({pid for pid, _ in answers}), 4)
                wait_until(lambda d=d, first=first: not first & self.pids(d), "the first ones' end")
                self.workers(d, idle=2)
                service = d.service("s")
                self.assertEqual(service["exited"]["ok"], sum(service["exited"].values()))
                self.assertEqual(service["restarts"], 0)
                self.assertGreaterEqual(service["requests"], 190)
                d.stop()

    def test_killed_under_load(self):
        """Handoff connection: what a worker has not received goes to another."""
        d = self.start(pool={"min": 4, "max": 4, "handoff": "connection"}, restart={"limit": "100000/10s"})
        self.workers(d, idle=4)
        d.dial_fast().close()
        stop, lost, served = threading.Event(), [], []

        def client():
            while not stop.is_set():
                answer = ""
                with contextlib.suppress(OSError):
                    answer = self.ask(d)
                (served if answer else lost).append(answer)
        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        kills = 0
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < 3 or (passed < 30 and (kills <= 10 or len(served) <= 100)):
            pids = self.pids(d)
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(random.choice(sorted(pids)), signal.SIGKILL)
                    kills += 1
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertGreater(kills, 10)
        self.assertGreater(len(served), 100)
        self.assertLessEqual(len(lost), kills, "no more than those that were being served")
        self.workers(d, idle=4, busy=0)


class Renewal(PoolTest):
    def load(self, d, seconds_after=0.0):
        stop, failed, served = threading.Event(), [], []

        def client():
            while not stop.is_set():
                try:
                    answer = self.ask(d)
                except OSError as error:
                    answer = ""
                    failed.append(error)
                if not answer:
                    failed.append("nothing")
                served.append(answer)
        threads = [threading.Thread(target=client) for _ in range(4)]
        d.dial_fast().close()
        for thread in threads:
            thread.start()
        self.addCleanup(stop.set)

        def end():
            time.sleep(seconds_after)
            stop.set()
            for thread in threads:
                thread.join()
            return served, failed
        return end

    def test_rolling_restart(self):
        for handoff in HANDOFFS:
            for sizes in ({"min": 2, "max": 6}, {"min": 3, "max": 3}):
                with self.subTest(handoff=handoff, **sizes):
                    d = self.start("slow", pool={**sizes, "handoff": handoff}, notify="status")
                    self.workers(d, idle=sizes["min"], starting=0)
                    before = self.pids(d)
                    end = self.load(d)
                    watch, least = threading.Event(), []

                    def look(d=d, least=least, watch=watch):
                        while not watch.is_set():
                            workers = d.service("s")["workers"]
                            least.append(workers["idle"] + workers["busy"])
                            time.sleep(0.02)
                    watcher = threading.Thread(target=look)
                    watcher.start()
                    d.mpctl("restart", "s", check=0)
                    watch.set()
                    watcher.join()
                    served, failed = end()
                    self.assertEqual(failed, [])
                    self.assertGreater(len(served), 20)
                    self.assertFalse(before & self.pids(d))
                    self.assertGreaterEqual(min(least), sizes["min"])
                    d.stop()

    def test_reload_that_changes_the_program(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 2, "handoff": handoff})
                self.workers(d, idle=2)
                before = self.pids(d)
                end = self.load(d)
                with open(d.config_path, encoding="utf-8") as file:
                    text = file.read()
                d.write_config(text.replace('"pool": {', '"environment": {"MODE": "new"}, "pool": {'))
                d.mpctl("reload", check=0)
                wait_until(lambda d=d, before=before: not before & self.pids(d), "new workers")
                _, failed = end()
                self.assertEqual(failed, [])
                self.workers(d, busy=0, starting=0)
                # Those that are too many end now.
                environments = []
                for pid in self.pids(d):
                    with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                            open(f"/proc/{pid}/environ", "rb") as file:
                        environments.append(file.read())
                self.assertEqual([e for e in environments if e and b"MODE=new" not in e], [])
                self.assertNotEqual(environments, [])
                d.stop()

    def test_reload_of_sizes_keeps_workers(self):
        d = self.start(pool={"min": 2, "max": 4})
        self.workers(d, idle=2)
        before = self.pids(d)
        with open(d.config_path, encoding="utf-8") as file:
            text = file.read()
        d.write_config(text.replace('"min": 2', '"min": 5').replace('"max": 4', '"max": 9'))
        d.mpctl("reload", check=0)
        service = self.workers(d, idle=5)
        self.assertEqual(service["instances_limit"], 9)
        self.assertTrue(before < self.pids(d))

    def test_restart_with_a_broken_program(self):
        """The old ones stay, and whoever asked is told."""
        d = self.start("crash-file", "{dir}/broken", pool={"min": 2}, restart={"limit": "2/10s", "delay": "5s"})
        self.workers(d, idle=2)
        before = self.pids(d)
        with open(d.path("broken"), "w", encoding="utf-8"):
            pass
        d.mpctl("restart", "s", check=1)
        self.assertTrue(before <= self.pids(d))
        self.assertTrue(self.ask(d))

    def test_from_pool_and_back(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                port = free_port()
                d = self.start(pool={"min": 2, "handoff": handoff}, listen=f"tcp:127.0.0.1:{port}")
                self.workers(d, idle=2)
                with open(d.config_path, encoding="utf-8") as file:
                    text = file.read()
                d.write_config({"services": {"s": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]}}})
                d.mpctl("reload", check=0)
                d.wait_service("s", active=0, workers=None)
                self.assertEqual(d.ask("s", b"x"), b"x")
                d.write_config(text)
                d.mpctl("reload", check=0)
                self.workers(d, idle=2)
                self.assertTrue(self.ask(d))
                d.stop()


class Orders(PoolTest):
    def test_stop_and_start(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 3, "handoff": handoff})
                self.workers(d, idle=3)
                d.mpctl("stop", "s", check=0)
                self.assertEqual(d.wait_service("s", state="stopped")["active"], 0)
                self.assertEqual(d.service("s")["exited"]["ok"], 3)
                d.mpctl("start", "s", check=0)
                self.workers(d, idle=3)
                d.ports.clear()
                self.assertTrue(self.ask(d))
                d.stop()

    def test_stop_in_parallel_with_kill(self):
        d = self.start("deaf", pool={"min": 4}, timeouts={"stop": "300ms"})
        self.workers(d, idle=4)
        begin = time.monotonic()
        d.mpctl("stop", "s", check=0)
        self.assertLess(time.monotonic() - begin, 2)

    def test_drain(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 2, "max": 2, "handoff": handoff})
                self.workers(d, idle=2)
                held = [self.hold(d) for _ in range(2)]
                late = d.dial_fast()
                late.sendall(b"hello\n")
                threading.Timer(0.5, held[0][0].close).start()
                threading.Timer(0.8, held[1][0].close).start()
                d.mpctl("drain", "s", check=0)
                self.assertTrue(read_all(late), "who was queued is served")
                late.close()
                service = d.service("s")
                self.assertEqual((service["state"], service["active"]), ("stopped", 0))
                d.stop()

    def test_pause_and_resume(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 2, "handoff": handoff})
                self.workers(d, idle=2)
                d.mpctl("pause", "s", check=0)
                d.wait_service("s", state="paused")
                if handoff == "listener":
                    d.wait_service("s", active=0)
                with d.dial_fast() as s:
                    s.sendall(b"hello\n")
                    s.settimeout(0.4)
                    with self.assertRaises(TimeoutError):
                        s.recv(1)
                    d.mpctl("resume", "s", check=0)
                    s.settimeout(PATIENCE)
                    self.assertTrue(s.recv(100))
                self.workers(d, idle=2)
                d.stop()

    def test_kill(self):
        d = self.start(pool={"min": 2})
        self.workers(d, idle=2)
        before = self.pids(d)
        d.mpctl("kill", "-s", "KILL", "s", check=0)
        wait_until(lambda: not before & self.pids(d), "new ones")
        self.workers(d, idle=2)

    def test_they_end_with_the_daemon(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(pool={"min": 2, "handoff": handoff})
                self.workers(d, idle=2)
                pids = self.pids(d)
                d.kill()
                d.process = None
                wait_until(lambda pids=pids: not any(process_alive(pid) for pid in pids), "their end")


class Connections(PoolTest):
    """Handoff connection."""

    def test_variables(self):
        d = self.start(pool={"handoff": "connection"})
        with d.dial_fast() as s:
            s.sendall(b"tell\n")
            own = s.getsockname()
            lines = read_all(s).decode().splitlines()[1:]
        variables = dict(line.split("=", 1) for line in lines)
        self.assertEqual(variables, {
            "PROTO": "TCP", "TCPREMOTEIP": "127.0.0.1", "TCPREMOTEPORT": str(own[1]), "TCPLOCALIP": "127.0.0.1",
            "TCPLOCALPORT": str(d.port("s")), "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": str(own[1])})
        self.assertEqual(d.service("s")["accepted"], 1)

    def test_variables_of_unix(self):
        d = self.start(listen="unix:{dir}/sock", pool={"handoff": "connection"})
        with d.dial("s") as s:
            s.sendall(b"tell\n")
            variables = dict(line.split("=", 1) for line in read_all(s).decode().splitlines()[1:])
        self.assertEqual(variables, {
            "PROTO": "UNIX", "UNIXREMOTEEUID": str(os.geteuid()), "UNIXREMOTEEGID": str(os.getegid()),
            "UNIXREMOTEPID": str(os.getpid()), "UNIXLOCALPATH": d.path("sock")})

    def test_refuse_when_full(self):
        d = self.start(pool={"min": 2, "max": 2, "handoff": "connection"}, limits={"when_full": "refuse"})
        self.workers(d, idle=2)
        held = [self.hold(d) for _ in range(2)]
        with d.dial_fast() as s:
            self.assertEqual(read_all(s), b"")
        service = d.service("s")
        self.assertEqual(service["refused"]["instances"], 1)
        self.assertEqual(service["accepted"], 3)
        held[0][0].close()
        self.workers(d, idle=1)
        self.assertTrue(self.ask(d))

    def test_least_busy_first(self):
        d = self.start(pool={"min": 3, "max": 3, "handoff": "connection"})
        self.workers(d, idle=3)
        self.assertEqual(len({self.hold(d)[1] for _ in range(3)}), 3)

    def test_limits_instances_bounds_it(self):
        d = self.start(pool={"min": 2, "max": 8, "handoff": "connection"}, limits={"instances": 3})
        self.workers(d, idle=2)
        for _ in range(3):
            self.hold(d)
        self.workers(d, busy=3)
        service = d.wait_service("s", state="full")
        self.assertEqual((service["active"], service["instances_limit"]), (3, 3))
        d.mpctl("set", "s", "limits.instances=5", check=0)
        wait_until(lambda: 3 < d.service("s")["active"] <= 5, "more of them")


class Shown(PoolTest):
    def test_ps_status_metrics(self):
        d = self.start(pool={"min": 2})
        self.workers(d, idle=2)
        self.hold(d)
        self.workers(d, busy=1)
        instances = d.instances("s")
        self.assertEqual({i["status"] for i in instances if i["status"]}, {"serving"})
        self.assertIn(1, {i["active"] for i in instances})
        self.assertIn("serving", d.mpctl("ps", "s", check=0).stdout)
        self.assertRegex(d.mpctl("status", "s", check=0).stdout, r"busy 1|1 busy")
        self.assertIn('mpinetd_workers{service="s",state="busy"} 1', d.mpctl("metrics", check=0).stdout)

    def test_starting(self):
        d = self.start("slower", pool={"min": 2}, notify="status")
        service = d.wait_service("s", state="starting")
        self.assertEqual(service["workers"]["starting"], 2)
        d.wait_service("s", state="active")
        self.workers(d, idle=2, starting=0)


class Services(PoolTest):
    """The shipped services."""

    def test_echo(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start(exec=["mp-echo"], pool={"min": 2, "max": 4, "handoff": handoff})
                self.workers(d, idle=2)
                held = [d.dial_fast() for _ in range(10)]
                for n, s in enumerate(held):
                    s.sendall(b"%d" % n)
                for n, s in enumerate(held):
                    self.assertEqual(s.recv(10), b"%d" % n)
                    s.close()
                for n in range(50):
                    with d.dial_fast() as s:
                        self.assertEqual(exchange(s, b"%d" % n), b"%d" % n)
                wait_until(lambda d=d: d.service("s")["requests"] == 60, "the count of requests")
                d.mpctl("restart", "s", check=0)
                self.assertEqual(d.ask("s", b"x"), b"x")
                d.stop()


class Library(PoolTest):
    """Workers by libmp-service, which report by the scoreboard."""

    def start_library(self, handoff, **pool):
        return self.start(exec=[os.path.join(BUILD, "tests", "helpers", "pool-worker")],
                          pool={"min": 2, "max": 4, "handoff": handoff, **pool})

    def test_serves_and_reports(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start_library(handoff)
                self.workers(d, idle=2, starting=0)
                for _ in range(300):
                    self.assertIn(int(self.ask(d).split()[0]), self.pids(d))
                wait_until(lambda d=d: d.service("s")["requests"] == 300, "the count of requests")
                s, _ = self.hold(d)
                self.workers(d, busy=1)
                s.close()
                self.workers(d, busy=0)
                self.assertEqual(d.service("s")["report_errors"], 0)
                d.stop()

    def test_grows_to_max_and_resumes_at_once(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start_library(handoff)
                held = [self.hold(d) for _ in range(4)]
                self.assertEqual(len({pid for _, pid in held}), 4)
                d.wait_service("s", state="full")
                with d.dial_fast() as late:
                    late.sendall(b"x\n")
                    time.sleep(0.2)
                    begin = time.monotonic()
                    held[0][0].close()
                    self.assertTrue(late.recv(100))
                    self.assertLess(time.monotonic() - begin, 0.5)
                for s, _ in held:
                    s.close()
                d.stop()

    def test_none_that_can_be_started(self):
        """What they would share is given back, as by one that ends."""
        folder = tempfile.TemporaryDirectory(prefix="mpt-program-")
        self.addCleanup(folder.cleanup)
        program = shutil.copy(os.path.join(BUILD, "tests", "helpers", "pool-worker"), folder.name)
        d = self.start(exec=[program], pool={"min": 0, "spare_min": 0, "max": 4})
        os.unlink(program)
        with d.dial("s"):
            wait_until(lambda: d.service("s")["spawn_failed"] > 0, "a start that fails")
        d.mpctl("stop", "s")
        fds = f"/proc/{d.pid}/fd"
        wait_until(lambda: not any("scoreboard" in os.readlink(os.path.join(fds, fd)) for fd in map(str, d.quiet_descriptors())),
                   "the scoreboard to be gone")

    def test_quiet_when_idle(self):
        """Nobody looks at a scoreboard that does not change, and yet the next connection is seen."""
        d = self.start_library("listener")
        self.ask(d)
        self.workers(d, idle=2)
        time.sleep(1.5)
        before = cpu_seconds(d.pid)
        time.sleep(2)
        self.assertLess(cpu_seconds(d.pid) - before, 0.05)
        self.hold(d)
        self.workers(d, busy=1)

    def test_capacity(self):
        """One that takes several at once is passed several, and what it has not received is not lost with it."""
        d = self.start(exec=[os.path.join(BUILD, "tests", "helpers", "pool-worker"), "8"],
                       pool={"min": 2, "max": 2, "handoff": "connection"})
        self.workers(d, idle=2)
        held = [self.hold(d) for _ in range(2)]
        late = [d.dial_fast() for _ in range(8)]
        for s in late:
            s.sendall(b"x\n")
        wait_until(lambda: d.service("s")["accepted"] == 10, "all of them passed")
        os.kill(held[0][1], signal.SIGKILL)
        held[1][0].close()
        for s in late:
            self.assertTrue(s.recv(100))
            s.close()

    def test_rolling_restart_and_kills_under_load(self):
        for handoff in HANDOFFS:
            with self.subTest(handoff=handoff):
                d = self.start_library(handoff)
                self.workers(d, idle=2)
                d.dial_fast().close()
                stop, failed, served = threading.Event(), [], []

                def client(d=d, stop=stop, failed=failed, served=served):
                    while not stop.is_set():
                        try:
                            (served if self.ask(d) else failed).append(1)
                        except OSError as error:
                            failed.append(error)
                threads = [threading.Thread(target=client) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for _ in range(5):
                    d.mpctl("restart", "s", check=0)
                stop.set()
                for thread in threads:
                    thread.join()
                self.assertEqual(failed, [])
                self.assertGreater(len(served), 20)
                d.stop()


if __name__ == "__main__":
    unittest.main()
