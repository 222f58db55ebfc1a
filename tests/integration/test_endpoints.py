# SPDX-License-Identifier: MIT
"""Endpoints that are not plain sockets of the network: fifos, message queues, seqpacket, vsock, passed by name."""
import ctypes
import errno
import grp
import os
import pwd
import random
import socket
import stat
import subprocess
import threading
import unittest

from harness import (PATIENCE, DaemonTest, User, cpu_seconds, exchange, need_root, parse_probe, read_all,
                     stays, wait_until)

LIBC = ctypes.CDLL(None, use_errno=True)

# What the services of these tests run: takes all there is on a descriptor, appends it to a file, and ends when nothing
# has come for a while.
TAKE = """
import ctypes, os, select, sys
libc = ctypes.CDLL(None, use_errno=True)
kind, fd, out, idle = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
most = int(sys.argv[5]) if len(sys.argv) > 5 else 10 ** 9
assert os.get_blocking(fd), "it is handed over blocking"
with open(out + ".starts", "a") as f:
    f.write(f"{os.getpid()}\\n")
buffer = ctypes.create_string_buffer(65536)
taken = 0
with open(out, "ab", buffering=0) as f:
    while taken < most and select.select([fd], [], [], idle)[0]:
        if kind == "mqueue":
            n = libc.mq_receive(fd, buffer, len(buffer), None)
            assert n >= 0, ctypes.get_errno()
            f.write(buffer.raw[:n] + b"\\n")
            taken += 1
        else:
            f.write(os.read(fd, 65536))
"""


class Attributes(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_long), ("max_messages", ctypes.c_long), ("message_size", ctypes.c_long),
                ("messages", ctypes.c_long), ("reserved", ctypes.c_long * 4)]


class Queue:
    """A POSIX message queue, opened by its name."""

    def __init__(self, name, flags=os.O_RDWR, mode=0o600, attributes=None):
        self.name = name
        given = ctypes.byref(Attributes(0, *attributes)) if attributes else None
        self.fd = LIBC.mq_open(name.encode(), flags | os.O_CLOEXEC, mode, given)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def send(self, data, priority=0):
        if LIBC.mq_send(self.fd, data, len(data), priority) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    @property
    def attributes(self):
        a = Attributes()
        LIBC.mq_getattr(self.fd, ctypes.byref(a))
        return a.max_messages, a.message_size, a.messages

    @property
    def stat(self):
        return os.fstat(self.fd)


def queue_exists(name):
    try:
        Queue(name).__exit__()
    except FileNotFoundError:
        return False
    return True


def need_mqueue(thing):
    return unittest.skipUnless(os.path.isdir("/proc/sys/fs/mqueue"), "this kernel has no POSIX message queues")(thing)


class EndpointTest(DaemonTest):
    def setUp(self):
        self.queue = f"/mpt-{os.getpid()}-{random.randrange(1 << 30)}"
        self.addCleanup(LIBC.mq_unlink, self.queue.encode())

    def start(self, config, **options):
        """The daemon with TAKE at {dir}/take.py; {queue} stands for a name of this test's own."""
        d = self.daemon({}, wait=None, **options)
        with open(d.path("take.py"), "w", encoding="utf-8") as file:
            file.write(TAKE)
        self.configure(d, config)
        d.start()
        return d

    def configure(self, d, services):
        def fill(value):
            if isinstance(value, dict):
                return {k: fill(v) for k, v in value.items()}
            if isinstance(value, list):
                return [fill(v) for v in value]
            return value.replace("{queue}", self.queue) if isinstance(value, str) else value
        d.write_config({"services": fill(services)})

    @staticmethod
    def take(kind, fd=3, idle=0.2, most=None):
        return ["python3", "{dir}/take.py", kind, str(fd), "{dir}/out", str(idle)] + ([str(most)] if most else [])

    @staticmethod
    def out(d):
        try:
            with open(d.path("out"), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    @staticmethod
    def starts(d):
        try:
            with open(d.path("out.starts"), encoding="ascii") as file:
                return len(file.read().split())
        except FileNotFoundError:
            return 0


class Fifo(EndpointTest):
    def fifo(self, d, data, name="f"):
        """As a shell would write there."""
        subprocess.run(["sh", "-c", 'cat > "$1"', "sh", d.path(name)], input=data, check=True, timeout=20)

    def test_written_by_a_shell_starts_a_process(self):
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")}})
        self.assertTrue(stat.S_ISFIFO(os.stat(d.path("f")).st_mode))
        listener = d.listener("s")
        self.assertEqual((listener["type"], listener["path"], listener["address"], listener["port"]),
                         ("fifo", d.path("f"), None, None))
        stays(lambda: self.starts(d) == 0, "no process before there is something to read", seconds=0.2)
        self.fifo(d, b"one\n")
        d.wait_service("s", active=1)
        wait_until(lambda: self.out(d) == b"one\n", "what was written")
        d.wait_service("s", active=0, state="listening")
        self.assertEqual(self.starts(d), 1)
        self.fifo(d, b"two\n")
        wait_until(lambda: self.out(d) == b"one\ntwo\n", "the next one gets it")
        d.wait_service("s", active=0)
        self.assertEqual((self.starts(d), d.service("s")["exited"]["ok"]), (2, 2))

    def test_two_writers_lose_nothing_between_processes(self):
        """Processes come and go while two write: each line arrives once, and whole."""
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo", idle=0.01),
                              "restart": {"limit": "1000/1s"}}})

        def write(letter):
            with open(d.path("f"), "wb", buffering=0) as f:
                for i in range(400):
                    f.write(b"%c%06d\n" % (letter, i))
                    if i % 40 == 39:
                        threading.Event().wait(0.05)
        writers = [threading.Thread(target=write, args=(ord(c),)) for c in "ab"]
        for w in writers:
            w.start()
        for w in writers:
            w.join()
        wait_until(lambda: len(self.out(d)) >= 800 * 8, "all of it")
        lines = self.out(d).split()
        for c in (b"a", b"b"):
            self.assertEqual([x for x in lines if x.startswith(c)], [b"%b%06d" % (c, i) for i in range(400)])
        self.assertGreater(self.starts(d), 1)

    def test_waits_while_nobody_runs(self):
        """What is written to a paused service is there when it goes on."""
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")}})
        d.call("Pause", services=["s"])
        self.fifo(d, b"patience\n")
        stays(lambda: self.starts(d) == 0, "paused", seconds=0.2)
        d.call("Resume", services=["s"])
        wait_until(lambda: self.out(d) == b"patience\n", "what was written")

    def test_restart_and_the_next_process(self):
        """A restart, a kill and a crash lose nothing of what nobody has read."""
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo", idle=60)}})
        with open(d.path("f"), "wb", buffering=0) as f:
            f.write(b"a")
            wait_until(lambda: self.out(d) == b"a", "the first byte")
            d.mpctl("restart", "s", check=0)
            f.write(b"b")
            wait_until(lambda: self.out(d) == b"ab", "the second byte")
            d.mpctl("kill", "-s", "KILL", "s", check=0)
            f.write(b"c")
            wait_until(lambda: self.out(d) == b"abc", "the third byte")

    def test_moves_to_another_service(self):
        d = self.start({"a": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")}})
        d.call("Pause", services=["a"])
        self.fifo(d, b"for whom?")
        inode = os.stat(d.path("f")).st_ino
        self.configure(d, {"b": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")}})
        d.mpctl("reload", check=0)
        wait_until(lambda: self.out(d) == b"for whom?", "what was written before")
        self.assertEqual(os.stat(d.path("f")).st_ino, inode)
        d.wait_service("b", active=0)
        d.stop()
        self.assertFalse(os.path.exists(d.path("f")), "it is still the daemon's own")

    @need_root
    def test_of_an_ordinary_user(self):
        """The process gets it open: it need not be allowed to open it."""
        d = self.start({"s": {"listen": "fifo:{dir}/f", "pass": "stdio", "user": "nobody", "exec": ["head", "-n1"]}})
        self.fifo(d, b"hello\n")
        wait_until(lambda: d.log(service="s", message="hello"), "what it read")

    def test_stdio_has_it_on_0_alone(self):
        """What a process prints must not come back to it as input."""
        d = self.start({"s": {"listen": "fifo:{dir}/f", "pass": "stdio", "exec": ["{probe}"]}})
        self.fifo(d, b"x")
        line = wait_until(lambda: [e for e in d.log(service="s", event="stderr") if "environ" in e["message"]],
                          "what the probe says")
        self.assertTrue(line)
        self.assertNotIn("LISTEN_FDS", line[0]["message"])
        text = "\n".join(e["message"] for e in d.log(service="s", event="stderr"))
        self.assertIn(d.path("f"), text)

    def test_no_hangup_spins(self):
        """When the last writer has gone nothing is readable: no process, no work for the daemon."""
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")}})
        os.close(os.open(d.path("f"), os.O_WRONLY))
        stays(lambda: self.starts(d) == 0, "an empty fifo", seconds=0.5)

    def test_mode_and_removal(self):
        d = self.start({"plain": {"listen": "fifo:{dir}/plain", "exec": ["cat"]},
                        "open": {"listen": [{"endpoint": "fifo:{dir}/open", "mode": "0622"}], "exec": ["cat"]},
                        "stays": {"listen": [{"endpoint": "fifo:{dir}/stays", "remove_on_stop": False}],
                                  "exec": ["cat"]}})
        self.assertEqual([stat.S_IMODE(os.stat(d.path(n)).st_mode) for n in ("plain", "open", "stays")],
                         [0o600, 0o622, 0o600])
        self.configure(d, {"plain": {"listen": [{"endpoint": "fifo:{dir}/plain", "mode": "0640"}], "exec": ["cat"]},
                           "stays": {"listen": [{"endpoint": "fifo:{dir}/stays", "remove_on_stop": False}],
                                     "exec": ["cat"]}})
        d.mpctl("reload", check=0)
        self.assertEqual(stat.S_IMODE(os.stat(d.path("plain")).st_mode), 0o640)
        self.assertFalse(os.path.exists(d.path("open")), "its service is gone")
        d.call("Stop", services=["plain"])
        self.assertFalse(os.path.exists(d.path("plain")))
        d.call("Start", services=["plain"])
        self.assertTrue(os.path.exists(d.path("plain")))
        d.stop()
        self.assertEqual([os.path.exists(d.path(n)) for n in ("plain", "stays")], [False, True])

    def test_one_that_was_there_stays(self):
        folder = self.temporary_folder()
        os.mkfifo(f"{folder}/f")
        os.chmod(f"{folder}/f", 0o644)
        d = self.start({"s": {"listen": f"fifo:{folder}/f", "exec": self.take("fifo")}})
        with open(f"{folder}/f", "wb") as f:
            f.write(b"hello")
        wait_until(lambda: self.out(d) == b"hello", "what was written")
        d.stop()
        self.assertEqual(stat.S_IMODE(os.stat(f"{folder}/f").st_mode), 0o644, "neither removed nor changed")

    def test_anothers_is_not_removed(self):
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": ["cat"]}})
        os.unlink(d.path("f"))
        os.mkfifo(d.path("f"))
        d.stop()
        self.assertTrue(os.path.exists(d.path("f")))

    def test_what_is_no_fifo_is_left_alone(self):
        folder = self.temporary_folder()
        with open(f"{folder}/file", "w", encoding="ascii") as file:
            file.write("precious")
        os.symlink(f"{folder}/nowhere", f"{folder}/link")
        s = socket.socket(socket.AF_UNIX)
        s.bind(f"{folder}/socket")
        names = ["file", "link", "socket", "missing/f"]
        d = self.start({n.replace("/", "-"): {"listen": f"fifo:{folder}/{n}", "exec": ["cat"]} for n in names})
        for n in names:
            service = d.service(n.replace("/", "-"))
            self.assertEqual(service["state"], "failed", n)
            self.assertTrue(service["listeners"][0]["error"].startswith("fifo: "), service["listeners"])
        with open(f"{folder}/file", encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")
        os.mkdir(f"{folder}/missing")
        os.unlink(f"{folder}/link")
        d.wait_service("link", state="listening")
        d.wait_service("missing-f", state="listening")
        d.baseline = d.quiet_descriptors()
        s.close()

    def test_reload_keeps_it(self):
        """Neither what waits in it nor who has it open notices."""
        def config(n):
            return {"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo"), "limits": {"instances": n}}}
        d = self.start(config(5))
        d.call("Pause", services=["s"])
        with open(d.path("f"), "wb", buffering=0) as f:
            f.write(b"before ")
            inode = os.stat(d.path("f")).st_ino
            self.configure(d, config(6))
            d.mpctl("reload", check=0)
            self.assertEqual(os.stat(d.path("f")).st_ino, inode)
            f.write(b"after")
        d.call("Resume", services=["s"])
        wait_until(lambda: self.out(d) == b"before after", "what was written")

    def test_failed_reload_leaves_nothing(self):
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": ["cat"]}})
        self.configure(d, {"s": {"listen": ["fifo:{dir}/f", "fifo:{dir}/g", "fifo:{dir}/no/h"], "exec": ["cat"]}})
        self.assertEqual(d.mpctl("reload").returncode, 1)
        self.assertEqual([os.path.exists(d.path(n)) for n in "fg"], [True, False])

    def test_drain(self):
        """What is queued is served, then it closes."""
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")}})
        self.fifo(d, b"last words")
        d.mpctl("drain", "s", check=0)
        self.assertEqual(self.out(d), b"last words")
        self.assertEqual(d.service("s")["state"], "stopped")
        self.assertFalse(os.path.exists(d.path("f")))
        d.mpctl("start", "s", check=0)
        self.fifo(d, b", and more")
        wait_until(lambda: self.out(d) == b"last words, and more", "it is there again")

    def test_drain_under_a_writer_that_never_ends(self):
        d = self.start({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo", idle=60),
                              "timeouts": {"stop": "1s"}}})
        over = threading.Event()

        def write():
            with open(d.path("f"), "wb", buffering=0) as f:
                while not over.is_set():
                    try:
                        f.write(b"x" * 100)
                    except BrokenPipeError:
                        return
                    over.wait(0.002)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            wait_until(lambda: self.out(d), "what is written")
            d.mpctl("drain", "s", check=0)
            self.assertEqual(d.service("s")["state"], "stopped")
        finally:
            over.set()
            writer.join()

    def test_several_in_one_service(self):
        """One process gets them all, in the order of the config."""
        d = self.start({"s": {"listen": [{"endpoint": "fifo:{dir}/f", "name": "one"}, "udp:127.0.0.1:0",
                                         {"endpoint": "fifo:{dir}/g", "name": "two"}], "exec": self.take("fifo", fd=5)}})
        self.fifo(d, b"x", "g")
        wait_until(lambda: self.out(d) == b"x", "what was written to the last of them")

    @need_root
    def test_owner(self):
        d = self.start({"s": {"listen": [{"endpoint": "fifo:{dir}/f", "mode": "0620", "user": "nobody",
                                          "group": "daemon"}], "exec": self.take("fifo")}})
        st = os.stat(d.path("f"))
        self.assertEqual((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)),
                         (pwd.getpwnam("nobody").pw_uid, grp.getgrnam("daemon").gr_gid, 0o620))

        def write(path):
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except PermissionError:
                return "not allowed"
            os.write(fd, b"hi")
            return "written"
        gid = grp.getgrnam("daemon").gr_gid
        self.assertEqual(User(4711).run(write, d.path("f")), "not allowed")
        self.assertEqual(User(4711, gid=gid).run(write, d.path("f")), "written")
        wait_until(lambda: self.out(d) == b"hi", "what was written")


@need_mqueue
class MessageQueue(EndpointTest):
    def test_wakes_a_worker(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")}})
        listener = d.listener("s")
        self.assertEqual((listener["type"], listener["path"], listener["queued"]), ("mqueue", self.queue, 0))
        with Queue(self.queue) as q:
            self.assertEqual(listener["backlog"], q.attributes[0])
            q.send(b"one")
            wait_until(lambda: self.out(d) == b"one\n", "the message")
            d.wait_service("s", active=0, state="listening")
            q.send(b"two")
            wait_until(lambda: self.out(d) == b"one\ntwo\n", "the next message")
        d.wait_service("s", active=0)
        self.assertEqual(self.starts(d), 2)

    def test_messages_outlive_processes(self):
        """Each process takes three and ends: all arrive, once, by their priority."""
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue", most=3),
                              "restart": {"limit": "1000/1s"}}})
        d.call("Pause", services=["s"])
        with Queue(self.queue) as q:
            for i in range(10):
                q.send(b"%d" % i, priority=i % 2)
            listener = d.listener("s")
            self.assertEqual((listener["queued"], listener["backlog"]), (10, q.attributes[0]))
            self.assertEqual(d.service("s")["queued"], 10)
            self.assertEqual(self.starts(d), 0)
            d.call("Resume", services=["s"])
            wait_until(lambda: self.out(d).split() == [b"1", b"3", b"5", b"7", b"9", b"0", b"2", b"4", b"6", b"8"],
                       "all messages")
            d.wait_service("s", active=0, queued=0)
        self.assertEqual(self.starts(d), 4)

    def test_many_senders(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue", idle=0.02),
                              "restart": {"limit": "1000/1s"}}})

        def send(letter):
            with Queue(self.queue) as q:
                for i in range(200):
                    q.send(b"%c%d" % (letter, i))
                    if i % 50 == 49:
                        threading.Event().wait(0.1)
        senders = [threading.Thread(target=send, args=(ord(c),)) for c in "abc"]
        for s in senders:
            s.start()
        for s in senders:
            s.join()
        wait_until(lambda: len(self.out(d).split()) >= 600, "all messages")
        lines = self.out(d).split()
        for c in b"abc":
            self.assertEqual([x for x in lines if x[0] == c], [b"%c%d" % (c, i) for i in range(200)])

    @need_root
    def test_attributes_and_mode(self):
        d = self.start({"s": {"listen": [{"endpoint": "mqueue:{queue}", "max_messages": 7, "message_size": 100,
                                          "mode": "0620", "group": "daemon"}], "exec": self.take("mqueue")}})
        with Queue(self.queue) as q:
            self.assertEqual(q.attributes, (7, 100, 0))
            self.assertEqual((stat.S_IMODE(q.stat.st_mode), q.stat.st_gid), (0o620, grp.getgrnam("daemon").gr_gid))
            with self.assertRaises(OSError) as caught:
                q.send(b"x" * 101)
            self.assertEqual(caught.exception.errno, errno.EMSGSIZE)
            self.assertEqual(d.listener("s")["backlog"], 7)
            self.configure(d, {"s": {"listen": [{"endpoint": "mqueue:{queue}", "mode": "0600"}],
                                     "exec": self.take("mqueue")}})
            d.mpctl("reload", check=0)
            self.assertEqual(stat.S_IMODE(q.stat.st_mode), 0o600)
            self.assertFalse(d.log(event="listening", level="warning"))
            self.configure(d, {"s": {"listen": [{"endpoint": "mqueue:{queue}", "max_messages": 5}],
                                     "exec": self.take("mqueue")}})
            d.mpctl("reload", check=0)
            self.assertEqual(q.attributes, (7, 100, 0), "a queue cannot change")
            self.assertEqual(d.service("s")["state"], "listening")

    @need_root
    def test_permissions(self):
        d = self.start({"s": {"listen": [{"endpoint": "mqueue:{queue}", "mode": "0602"}],
                              "exec": self.take("mqueue")},
                        "closed": {"listen": "mqueue:{queue}-closed", "exec": ["cat"]}})

        def send(name):
            try:
                with Queue(name, os.O_WRONLY) as q:
                    q.send(b"hi")
            except PermissionError:
                return "not allowed"
            return "sent"
        self.assertEqual(User(4711).run(send, self.queue), "sent")
        self.assertEqual(User(4711).run(send, self.queue + "-closed"), "not allowed")
        wait_until(lambda: self.out(d) == b"hi\n", "the message")

    def test_one_attribute_alone(self):
        d = self.start({"s": {"listen": [{"endpoint": "mqueue:{queue}", "max_messages": 3}], "exec": ["cat"]}})
        with open("/proc/sys/fs/mqueue/msgsize_default", encoding="ascii") as file:
            size = int(file.read())
        with Queue(self.queue) as q:
            self.assertEqual(q.attributes, (3, size, 0))
        self.assertEqual(d.listener("s")["backlog"], 3)

    def test_one_that_was_there(self):
        """Is used as it is, with a warning when it is not what the config asks for, and stays."""
        with Queue(self.queue, os.O_RDWR | os.O_CREAT, 0o640, attributes=(4, 64)) as q:
            q.send(b"early")
            d = self.start({"s": {"listen": [{"endpoint": "mqueue:{queue}", "max_messages": 9, "message_size": 64,
                                              "mode": "0600"}], "exec": self.take("mqueue")}})
            wait_until(lambda: self.out(d) == b"early\n", "the message that waited")
            warning = d.wait_log(event="listening", level="warning", service="s")
            self.assertIn("max_messages 4, message_size 64", str(warning))
            self.assertEqual((q.attributes[0], stat.S_IMODE(q.stat.st_mode)), (4, 0o640))
            d.stop()
        self.assertTrue(queue_exists(self.queue))

    def test_removal(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")},
                        "stays": {"listen": [{"endpoint": "mqueue:{queue}-stays", "remove_on_stop": False}],
                                  "exec": ["cat"]}})
        self.addCleanup(LIBC.mq_unlink, f"{self.queue}-stays".encode())
        self.assertTrue(queue_exists(self.queue))
        d.call("Stop", services=["s"])
        self.assertFalse(queue_exists(self.queue))
        d.call("Start", services=["s"])
        with Queue(self.queue) as q:
            q.send(b"x")
        wait_until(lambda: self.out(d) == b"x\n", "the message")
        d.wait_service("s", active=0)
        d.stop()
        self.assertEqual((queue_exists(self.queue), queue_exists(f"{self.queue}-stays")), (False, True))

    def test_messages_are_not_thrown_away(self):
        """A queue that the daemon has made stays while messages are in it: the next start serves them."""
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")}})
        d.call("Pause", services=["s"])
        with Queue(self.queue) as q:
            q.send(b"important")
        d.stop()
        self.assertTrue(d.log(message=f"mqueue:{self.queue} is not removed, messages in it: 1"))
        self.assertTrue(queue_exists(self.queue))
        d.start()
        wait_until(lambda: self.out(d) == b"important\n", "the message that waited")

    def test_one_that_it_left_is_still_its_own(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")}})
        d.call("Pause", services=["s"])
        with Queue(self.queue) as q:
            q.send(b"x")
        d.call("Stop", services=["s"])
        self.assertTrue(queue_exists(self.queue))
        d.call("Start", services=["s"])
        wait_until(lambda: self.out(d) == b"x\n", "the message that waited")
        d.wait_service("s", active=0)
        d.call("Stop", services=["s"])
        self.assertFalse(queue_exists(self.queue))

    def test_removed_when_its_last_reader_has_ended(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue", idle=60)}})
        with Queue(self.queue) as q:
            q.send(b"x")
        wait_until(lambda: self.out(d) == b"x\n", "the message")
        d.call("Stop", services=["s"])
        self.assertFalse(queue_exists(self.queue))
        d.call("Start", services=["s"])
        self.assertTrue(queue_exists(self.queue))

    def test_anothers_is_not_removed(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": ["cat"]}})
        LIBC.mq_unlink(self.queue.encode())
        with Queue(self.queue, os.O_RDWR | os.O_CREAT):
            pass
        d.stop()
        self.assertTrue(queue_exists(self.queue))

    def test_reload_keeps_it(self):
        def config(n):
            return {"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue"), "limits": {"instances": n}}}
        d = self.start(config(5))
        d.call("Pause", services=["s"])
        with Queue(self.queue) as q:
            q.send(b"before")
            self.configure(d, config(6))
            d.mpctl("reload", check=0)
            q.send(b"after")
            self.assertEqual(q.attributes[2], 2)
            with Queue(self.queue) as again:
                self.assertEqual(again.stat.st_ino, q.stat.st_ino)
        d.call("Resume", services=["s"])
        wait_until(lambda: self.out(d) == b"before\nafter\n", "both messages")

    def test_drain(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")}})
        with Queue(self.queue) as q:
            for word in b"one", b"two", b"three":
                q.send(word)
        d.mpctl("drain", "s", check=0)
        self.assertEqual(self.out(d), b"one\ntwo\nthree\n")
        self.assertEqual((d.service("s")["state"], queue_exists(self.queue)), ("stopped", False))

    @need_root
    def test_limits_of_the_kernel(self):
        """An ordinary user may not have more than msg_max: said so, and the others serve."""
        with open("/proc/sys/fs/mqueue/msg_max", encoding="ascii") as file:
            most = int(file.read())
        d = self.daemon({}, wait=None, wrap=["setpriv", "--reuid=4711", "--clear-groups", "--bounding-set=-all"])
        self.configure(d, {
            "s": {"listen": [{"endpoint": "mqueue:{queue}", "max_messages": most + 1}], "exec": ["cat"]},
            "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}})
        os.chown(d.dir, 4711, -1)
        d.start()
        service = d.wait_service("s", state="failed")
        self.assertEqual(service["listeners"][0]["error"],
                         "above the limits in /proc/sys/fs/mqueue: Invalid argument")
        self.assertEqual(d.ask("echo", b"x"), b"x")

    def test_killed_daemon_leaves_the_queue(self):
        d = self.start({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")}})
        d.call("Pause", services=["s"])
        with Queue(self.queue) as q:
            q.send(b"survivor")
        d.kill()
        d.start()
        wait_until(lambda: self.out(d) == b"survivor\n", "the message")


class OrdinaryUser(EndpointTest):
    @need_root
    def test_all_kinds(self):
        d = self.daemon({}, wait=None, wrap=["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups",
                                             "--bounding-set=-all"])
        with open(d.path("take.py"), "w", encoding="utf-8") as file:
            file.write(TAKE)
        self.configure(d, {"f": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")},
                           "q": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")},
                           "s": {"listen": "unix-seqpacket:{dir}/s", "exec": ["cat"]}})
        os.chown(d.dir, 4711, 4711)
        d.start()
        self.assertEqual(os.stat(d.path("f")).st_uid, 4711)
        with open(d.path("f"), "wb") as f:
            f.write(b"fifo\n")
        wait_until(lambda: self.out(d) == b"fifo\n", "what was written")
        with Queue(self.queue) as q:
            self.assertEqual(q.stat.st_uid, 4711)
            q.send(b"queue")
        wait_until(lambda: self.out(d) == b"fifo\nqueue\n", "the message")
        with d.dial("s") as s:
            s.send(b"packet")
            self.assertEqual(s.recv(100), b"packet")
        for name in "f", "q":
            d.wait_service(name, active=0)
        d.stop()
        self.assertEqual((os.path.exists(d.path("f")), queue_exists(self.queue)), (False, False))


class Seqpacket(EndpointTest):
    def test_messages_come_back(self):
        d = self.start({"echo": {"listen": "unix-seqpacket:{dir}/echo", "exec": ["mp-echo"]},
                        "many": {"listen": "unix-seqpacket:{dir}/many", "model": "on-demand", "exec": ["mp-echo"]},
                        "cat": {"listen": "unix-seqpacket:{dir}/cat", "exec": ["cat"]},
                        "abstract": {"listen": f"unix-seqpacket:@mpt-{os.getpid()}-{random.randrange(1 << 30)}",
                                     "exec": ["cat"]}})
        for name in "cat", "abstract", "echo", "many":
            with d.dial(name) as s:
                for message in b"one", b"two" * 1000, b"\0":
                    s.send(message)
                    self.assertEqual(s.recv(65536), message, "messages keep their bounds")
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(s.recv(100), b"")
        d.wait_service("cat", active=0, accepted=1)

    def test_one_abstract_name_for_all_kinds(self):
        """unix(7): each type of socket has its own. A reload that takes one away leaves the others alone."""
        name = f"@mpt-{os.getpid()}-{random.randrange(1 << 30)}"
        services = {"stream": {"listen": f"unix:{name}", "exec": ["echo", "stream"]},
                    "packets": {"listen": f"unix-seqpacket:{name}", "exec": ["echo", "packets"]},
                    "datagrams": {"listen": f"unix-dgram:{name}", "exec": self.take("datagrams")}}
        d = self.start(services)
        self.assertEqual((d.ask("stream"), d.ask("packets")), (b"stream\n", b"packets\n"))
        with d.dial("datagrams") as s:
            s.send(b"datagram")
        wait_until(lambda: self.out(d) == b"datagram", "the datagram")
        for gone in "stream", "datagrams":
            del services[gone]
            self.configure(d, services)
            d.mpctl("reload", check=0)
            self.assertEqual(d.ask("packets"), b"packets\n")
        with socket.socket(socket.AF_UNIX) as s:
            self.assertRaises(ConnectionRefusedError, s.connect, "\0" + name[1:])

    def test_environment(self):
        d = self.start({"s": {"listen": "unix-seqpacket:{dir}/s", "exec": ["{probe}"]}})
        with d.dial("s") as s:
            s.shutdown(socket.SHUT_WR)
            probe = parse_probe(read_all(s))
        self.assertEqual((probe["env"]["PROTO"], probe["env"]["UNIXREMOTEEUID"], probe["env"]["UNIXLOCALPATH"]),
                         ("UNIX", str(os.geteuid()), d.path("s")))

    def test_listen_fds(self):
        d = self.start({"s": {"listen": "unix-seqpacket:{dir}/s", "pass": "listen_fds",
                              "exec": ["sh", "-c", 'echo "$LISTEN_FDS $LISTEN_FDNAMES" >&3']}})
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"1 connection\n")

    def test_on_demand(self):
        accept = ("import os, socket, sys\n"
                  "s = socket.socket(fileno=int(sys.argv[1]))\n"
                  "c, _ = s.accept()\n"
                  "c.send(str(os.getpid()).encode())\n"
                  "c.recv(10)\n")
        for handoff, fd in (("listen_fds", "3"), ("stdio", "0")):
            d = self.start({"s": {"listen": "unix-seqpacket:{dir}/s", "model": "on-demand", "pass": handoff,
                                  "exec": ["python3", "-c", accept, fd], "restart": {"limit": "100/1s"}}})
            pids = set()
            for _ in range(3):
                with d.dial("s") as s:
                    pids.add(s.recv(100))
            self.assertEqual(len(pids), 3, "one process after the other, and no connection lost")
            d.wait_service("s", active=0, state="listening")


class Vsock(EndpointTest):
    def vsock(self):
        try:
            s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
            s.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        except OSError:
            return None
        with s:
            return s.getsockname()[1]

    def test_bound_or_refused(self):
        d = self.start({"s": {"listen": "vsock:any:0", "exec": ["cat"]},
                        "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}})
        if self.vsock() is None:
            service = d.wait_service("s", state="failed")
            self.assertRegex(service["listeners"][0]["error"], "^(socket|bind): ")
        else:
            listener = d.wait_service("s", state="listening")["listeners"][0]
            self.assertEqual((listener["type"], listener["address"], listener["path"]), ("vsock", "any", None))
            port = listener["port"]
            self.assertGreater(port, 0)
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as s:
                with self.assertRaises(OSError) as caught:
                    s.bind((socket.VMADDR_CID_ANY, port))
                self.assertEqual(caught.exception.errno, errno.EADDRINUSE)
            d.mpctl("reload", check=0)
            self.assertEqual(d.port("s"), port, "the port that the kernel chose is kept")
        self.assertEqual(d.ask("echo", b"x"), b"x")

    def test_orders(self):
        if self.vsock() is None:
            self.skipTest("this kernel has no vsock")
        d = self.start({"s": {"listen": "vsock:any:0", "exec": ["cat"]},
                        "t": {"listen": "vsock:any:0", "model": "on-demand", "exec": ["cat"]}})
        self.assertNotEqual(d.port("s"), d.port("t"))
        for verb, state in (("pause", "paused"), ("resume", "listening"), ("drain", "stopped"), ("start", "listening"),
                            ("restart", "listening"), ("stop", "stopped")):
            d.mpctl(verb, "s", "t", check=0)
            self.assertEqual([d.service(n)["state"] for n in "st"], [state, state], verb)

    @unittest.skipUnless(os.uname().machine == "x86_64", "the filter is for x86-64")
    def test_kernel_without_it(self):
        """A filter answers as such a kernel does: the service has failed, is tried again, and the others serve."""
        script = ("import ctypes, os, struct, sys\n"
                  "f = [(0x20, 0, 0, 0), (0x15, 0, 3, 41), (0x20, 0, 0, 16), (0x15, 0, 1, 40),\n"
                  "     (0x06, 0, 0, 0x50000 + 97), (0x06, 0, 0, 0x7fff0000)]\n"
                  "code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *i) for i in f))\n"
                  "program = struct.pack('HxxxxxxP', len(f), ctypes.addressof(code))\n"
                  "libc = ctypes.CDLL(None)\n"
                  "assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0\n"
                  "os.execvp(sys.argv[1], sys.argv[1:])\n")
        d = self.start({"s": {"listen": "vsock:any:9", "exec": ["cat"]},
                        "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}, wrap=["python3", "-c", script])
        service = d.wait_service("s", state="failed")
        self.assertEqual(service["listeners"][0]["error"], "socket: Address family not supported by protocol")
        self.assertEqual(d.ask("echo", b"x"), b"x")
        self.assertEqual(d.mpctl("status", "s").returncode, 3)

    def test_address_of_nobody(self):
        """A CID that is not ours: failed with a reason, tried again, and the others serve."""
        d = self.start({"s": {"listen": "vsock:4294967200:9", "exec": ["cat"]},
                        "echo": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}})
        service = d.wait_service("s", state="failed")
        self.assertRegex(service["listeners"][0]["error"],
                         "(Cannot assign requested address|Address family not supported by protocol)$")
        self.assertEqual(service["listeners"][0]["address"], "4294967200")
        self.assertIn("cannot listen on vsock:4294967200:9", service["last_error"]["message"])
        self.assertEqual(d.ask("echo", b"x"), b"x")


class Passed(EndpointTest):
    def activate(self, services):
        """A daemon that is not yet started: see pass_fds."""
        d = self.daemon({}, wait=None)
        with open(d.path("take.py"), "w", encoding="utf-8") as file:
            file.write(TAKE)
        self.configure(d, services)
        return d

    def pass_fds(self, d, fds, names):
        """Starts the daemon with @fds as 3, 4, … and their names."""
        script = ("import os, sys\n"
                  "fds = [int(x) for x in sys.argv[1].split(',')]\n"
                  "high = [os.dup2(fd, 500 + i, inheritable=True) for i, fd in enumerate(fds)]\n"
                  "for fd in fds:\n"
                  "    os.close(fd)\n"
                  "for i, fd in enumerate(high):\n"
                  "    os.dup2(fd, 3 + i, inheritable=True)\n"
                  "    os.close(fd)\n"
                  "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])\n"
                  "os.execvp(sys.argv[3], sys.argv[3:])\n")
        d.wrap = ["python3", "-c", script, ",".join(str(fd) for fd in fds), ":".join(names)]
        d.pass_fds = tuple(fds)
        d.start()

    def test_fifo_by_its_path(self):
        d = self.activate({"s": {"listen": "fifo:{dir}/f", "exec": self.take("fifo")}})
        os.mkfifo(d.path("f"))
        fd = os.open(d.path("f"), os.O_RDWR | os.O_NONBLOCK)
        os.write(fd, b"early ")
        self.pass_fds(d, [fd], ["anything"])
        self.assertTrue(d.listener("s")["adopted"])
        os.write(fd, b"late")
        wait_until(lambda: self.out(d) == b"early late", "what was written")
        d.mpctl("reload", check=0)
        self.assertTrue(d.listener("s")["adopted"])
        d.stop()
        self.assertTrue(os.path.exists(d.path("f")), "it belongs to who passed it")
        os.close(fd)

    def test_fifo_of_another_path_is_not_taken(self):
        d = self.activate({"s": {"listen": [{"endpoint": "fifo:{dir}/f", "name": "web"}], "exec": ["cat"]}})
        os.mkfifo(d.path("g"))
        fd = os.open(d.path("g"), os.O_RDWR | os.O_NONBLOCK)
        self.pass_fds(d, [fd], ["web"])
        self.assertFalse(d.listener("s")["adopted"])
        self.assertIn("fifo 'web' (by its name) was passed in, but no service listens there", d.log_text())
        os.close(fd)

    @need_mqueue
    def test_queue_by_its_name(self):
        d = self.activate({"s": {"listen": "mqueue:{queue}", "exec": self.take("mqueue")}})
        with Queue(self.queue, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK) as q:
            self.pass_fds(d, [q.fd], ["anything"])
            self.assertTrue(d.listener("s")["adopted"])
            q.send(b"x")
            wait_until(lambda: self.out(d) == b"x\n", "the message")
            d.wait_service("s", active=0)
        d.stop()
        self.assertTrue(queue_exists(self.queue))

    def test_by_name_alone(self):
        """systemd:NAME takes what has that name, whatever it is."""
        d = self.activate({"web": {"listen": "systemd:web", "exec": ["cat"]},
                           "local": {"listen": "systemd:local", "exec": ["cat"]},
                           "jobs": {"listen": "systemd:jobs", "model": "on-demand", "exec": self.take("fifo")},
                           "none": {"listen": "systemd:none", "exec": ["cat"]}})
        os.mkfifo(d.path("f"))
        fifo = os.open(d.path("f"), os.O_RDWR | os.O_NONBLOCK)
        web = socket.create_server(("127.0.0.1", 0))
        local = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        local.bind(d.path("u"))
        local.listen()
        self.pass_fds(d, [fifo, local.fileno(), web.fileno()], ["jobs", "local", "web"])
        listeners = {name: d.listener(name) for name in ("web", "local", "jobs", "none")}
        self.assertEqual([(x["type"], x["path"], x["address"], x["port"], x["adopted"]) for x in listeners.values()],
                         [("tcp", None, "127.0.0.1", web.getsockname()[1], True),
                          ("unix-seqpacket", d.path("u"), None, None, True),
                          ("fifo", None, None, None, True),
                          ("systemd", None, None, None, False)])
        self.assertEqual(listeners["none"]["error"], "no socket of that name was passed in")
        self.assertEqual(d.service("none")["state"], "failed")
        self.assertEqual(d.ask("web", b"x"), b"x")
        with d.dial("local") as s:
            s.send(b"y")
            self.assertEqual(s.recv(10), b"y")
        os.write(fifo, b"z")
        wait_until(lambda: self.out(d) == b"z", "what was written")
        d.mpctl("reload", check=0)
        self.assertEqual(d.ask("web", b"again"), b"again")
        d.mpctl("stop", "web", check=0)
        d.mpctl("start", "web", check=0)
        self.assertEqual(d.ask("web", b"restarted"), b"restarted")
        os.close(fifo)
        web.close()
        local.close()

    def test_several_of_one_name(self):
        """A socket unit with two lines gives both its name: one is taken by that, the other by its address, or it is told how."""
        for beside in (None, 0, 1):
            with self.subTest(beside=beside):
                sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
                at = ["tcp:127.0.0.1:%d" % s.getsockname()[1] for s in sockets]
                d = self.activate({"s": {"listen": ["systemd:web"] + ([] if beside is None else [at[beside]]), "exec": ["cat"]}})
                self.pass_fds(d, [s.fileno() for s in sockets], ["web", "web"])
                for i, s in enumerate(sockets):
                    address = s.getsockname()
                    s.close()
                    if beside is not None or i == 0:
                        with socket.create_connection(address, PATIENCE) as c:
                            self.assertEqual(exchange(c, b"x"), b"x")
                    else:
                        self.assertRaises(ConnectionRefusedError, socket.create_connection, address, PATIENCE)
                self.assertTrue(all(x["adopted"] for x in d.service("s")["listeners"]))
                said = f"systemd:web has taken another of that name: closed; to listen there as well, add {at[1]}"
                self.assertEqual(said in d.log_text(), beside is None)
                self.assertNotIn("no service listens there", d.log_text())
                d.stop()

    def test_several_fifos_of_one_name(self):
        d = self.activate({"s": {"listen": "systemd:jobs", "model": "on-demand", "exec": self.take("fifo")}})
        fds = []
        for name in ("f", "g"):
            os.mkfifo(d.path(name))
            fds.append(os.open(d.path(name), os.O_RDWR | os.O_NONBLOCK))
            self.addCleanup(os.close, fds[-1])
        self.pass_fds(d, fds, ["jobs", "jobs"])
        self.assertTrue(d.listener("s")["adopted"])
        self.assertIn("fifo 'jobs' was passed in, but systemd:jobs has taken another of that name: closed; "
                      "give it a name of its own", d.log_text())

    def test_fifo_that_can_only_be_read(self):
        """Without a writer it reports a hang-up for ever: that costs nothing, and data wakes the service."""
        d = self.activate({"s": {"listen": "fifo:{dir}/f", "exec": ["head", "-c", "5"], "pass": "stdio"}})
        os.mkfifo(d.path("f"))
        fd = os.open(d.path("f"), os.O_RDONLY | os.O_NONBLOCK)
        self.pass_fds(d, [fd], ["jobs"])
        self.assertTrue(d.listener("s")["adopted"])
        os.close(os.open(d.path("f"), os.O_WRONLY))
        before = cpu_seconds(d.pid)
        stays(lambda: d.service("s")["spawned"] == 0, "nothing to read", seconds=1)
        self.assertLess(cpu_seconds(d.pid) - before, 0.2)
        with open(d.path("f"), "wb", buffering=0) as f:
            f.write(b"hello")
            wait_until(lambda: d.log(service="s", message="hello"), "what was written")
        os.close(fd)

    def test_what_does_not_suit_the_model(self):
        d = self.activate({"s": {"listen": "systemd:dns", "exec": ["cat"]}})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            self.pass_fds(d, [s.fileno()], ["dns"])
        self.assertEqual(d.service("s")["state"], "failed")
        self.assertEqual(d.listener("s")["error"], "what was passed in has no connections: write model: on-demand")

    def test_what_is_nothing_to_listen_on(self):
        d = self.activate({"s": {"listen": "fifo:{dir}/f", "exec": ["cat"]}})
        os.mkfifo(d.path("g"))
        fd = os.open(d.path("g"), os.O_RDWR)
        with open("/dev/null", "rb") as null, open(d.path("file"), "wb") as file, open(d.path("g"), "wb") as writer:
            self.pass_fds(d, [null.fileno(), file.fileno(), writer.fileno()], ["null", "file", "writer"])
        os.close(fd)
        self.assertEqual(d.service("s")["state"], "listening")
        self.assertIn("('null') was passed in, but is nothing to listen on: closed", d.log_text())
        self.assertIn("('writer') was passed in, but is nothing to listen on: closed", d.log_text())
        self.assertIn("('file') was passed in, but is nothing to listen on: closed", d.log_text())


if __name__ == "__main__":
    unittest.main()
