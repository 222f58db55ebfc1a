# SPDX-License-Identifier: MIT
"""mp-mqcat: with queues of its own, with descriptors passed by hand, and as a service of the daemon."""
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from harness import ROOT, SERVICES, DaemonTest, children_of, process_alive, sanitizer_environment, wait_until

MQCAT = os.path.join(SERVICES, "mp-mqcat")
DEADLINE = 30
LIBC = ctypes.CDLL(None, use_errno=True)


def environment(**more):
    return {**os.environ, "LANG": "C.UTF-8", **sanitizer_environment(), **more}


def run(*args, data=b"", **kw):
    """(status, stdout, stderr)"""
    process = subprocess.run([MQCAT, *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=DEADLINE, env=environment(), check=False, **kw)
    return process.returncode, process.stdout, process.stderr.decode()


def open_queue(name, flags=os.O_RDWR | os.O_NONBLOCK):
    fd = LIBC.mq_open(name.encode(), flags | os.O_CLOEXEC, 0o600, None)
    if fd < 0:
        raise OSError(ctypes.get_errno(), name)
    return fd


class Base(unittest.TestCase):
    count = 0

    def name(self, kind="posix"):
        """A name of a queue that is removed in the end."""
        Base.count += 1
        number = os.getpid() * 100 + Base.count
        name = f"/mpt-{number}" if kind == "posix" else f"sysv:{0x6d700000 + number % 0x10000}"
        self.addCleanup(run, "remove", name)
        return name

    def queue(self, *args, kind="posix"):
        name = self.name(kind)
        status, _, err = run("create", name, *args)
        if status and "no such queues" in err:
            self.skipTest(err)
        self.assertEqual((status, err), (0, ""))
        return name

    def check(self, *args, data=b"", status=0):
        """Its output; and that it ends as it should."""
        got, out, err = run(*args, data=data)
        self.assertEqual(got, status, err)
        if status == 0:
            self.assertEqual(err, "")
        else:
            self.assertTrue(err.startswith("mp-mqcat: "), err)
        return out if status == 0 else err

    def messages(self, name):
        return json.loads(self.check("status", "--json", name))["messages"]


class Tool(Base):
    def test_forms(self):
        for kind in ("posix", "sysv"):
            name = self.queue(kind=kind)
            with self.subTest(kind):
                self.check("send", name, "one", "two words", "")
                self.check("send", name, "--", "--dash")
                self.check("send", name, data=b"line\n\nend")
                self.assertEqual(self.check("drain", name), b"one\ntwo words\n\n--dash\nline\n\nend\n")
                self.check("send", "--null", name, data=b"a\nb\0c\0")
                self.check("send", "--raw", name, data=bytes(range(256)))
                self.assertEqual(self.check("receive", "-n", "2", "--null", name), b"a\nb\0c\0")
                self.assertEqual(self.check("receive", "--raw", name), bytes(range(256)))
                self.check("send", "--raw", name)
                self.assertEqual(self.messages(name), 1)
                self.assertEqual(self.check("drain", name), b"\n")
                self.check("send", name)  # no line, no message
                self.assertEqual(self.check("drain", name), b"")

    def test_priorities(self):
        name = self.queue()
        for priority in ("0", "5", "32767", "5"):
            self.check("send", "-p", priority, name, "m" + priority)
        self.assertEqual(self.check("drain", "--tags", name), b"32767\tm32767\n5\tm5\n5\tm5\n0\tm0\n")

    def test_types(self):
        name = self.queue(kind="sysv")
        for number in ("3", "1", "2", "1"):
            self.check("send", "-T", number, name, "m" + number)
        self.assertEqual(self.check("receive", "--type", "2", "--tags", name), b"2\tm2\n")
        self.assertEqual(self.check("drain", "--type", "-2", "--tags", name), b"1\tm1\n1\tm1\n")
        self.assertEqual(self.check("drain", name), b"m3\n")

    def test_empty_and_full(self):
        for kind, size in (("posix", ["--max-messages", "3", "--message-size", "8"]),
                           ("sysv", ["--max-messages", "3", "--message-size", "8"])):
            with self.subTest(kind):
                name = self.queue(*size, kind=kind)
                self.assertIn("the queue is empty; wait for a message with --wait", self.check("receive", name, status=3))
                self.check("send", name, "12345678", "12345678", "12345678")
                self.assertIn("the queue is full; take messages out", self.check("send", name, "x", status=3))
                err = self.check("send", "--timeout", "100ms", name, "x", status=3)
                self.assertIn("the queue is full", err)
                self.assertEqual(self.check("receive", "-n", "2", name), b"12345678\n" * 2)
                err = self.check("send", name, "a", "b", *["c" * 8] * 3, status=3)
                self.assertIn("was not sent, those before it were", err)

    def test_wait(self):
        for kind in ("posix", "sysv"):
            for option in (["--wait"], ["--timeout", "20s"], ["--timeout", "infinity"]):
                with self.subTest((kind, option)):
                    name = self.queue(kind=kind)
                    receiver = subprocess.Popen([MQCAT, "receive", *option, "-n", "2", name], env=environment(),
                                                stdout=subprocess.PIPE)
                    for word in ("first", "second"):
                        time.sleep(0.05)
                        self.check("send", name, word)
                    self.assertEqual(receiver.communicate(timeout=DEADLINE)[0], b"first\nsecond\n")
                    self.assertEqual(receiver.returncode, 0)

    def test_wait_for_room(self):
        name = self.queue("--max-messages", "2", "--message-size", "8")
        sender = subprocess.Popen([MQCAT, "send", "--wait", name], env=environment(), stdin=subprocess.PIPE)
        sender.stdin.write(b"".join(b"%d\n" % i for i in range(50)))
        sender.stdin.close()
        got = b"".join(self.check("receive", "--timeout", "20s", name) for _ in range(50))
        self.assertEqual(got, b"".join(b"%d\n" % i for i in range(50)))
        self.assertEqual(sender.wait(DEADLINE), 0)

    def test_too_long(self):
        name = self.queue("--max-messages", "2", "--message-size", "10")
        self.check("send", name, "x" * 10)
        err = self.check("send", name, "x" * 11, status=1)
        self.assertIn("message 1 has 11 bytes, and the queue takes 10", err)
        self.assertIn("create --message-size", err)
        err = self.check("send", name, data=b"short\n" + b"y" * 100000, status=1)
        self.assertIn("message 2 has more than the 10 bytes", err)
        self.assertEqual(self.check("drain", name), b"x" * 10 + b"\nshort\n")

    def test_create_and_status(self):
        old = os.umask(0o077)
        try:
            name = self.queue("--max-messages", "4", "--message-size", "100", "--mode", "0622")
        finally:
            os.umask(old)
        self.check("send", name, "x")
        self.assertEqual(json.loads(self.check("status", "--json", name)),
                         {"queue": name, "kind": "posix", "messages": 1, "max_messages": 4, "bytes": None,
                          "max_bytes": None, "message_size": 100, "mode": "0622", "uid": os.getuid(),
                          "gid": os.getgid()})
        self.assertIn(f"{name}: 1 message of at most 4\n".encode(), self.check("status", "mqueue:" + name))
        self.assertIn("exists already; look at it with: mp-mqcat status", self.check("create", name, status=1))
        sysv = self.queue("--max-messages", "4", "--message-size", "100", "--mode", "0640", kind="sysv")
        state = json.loads(self.check("status", "--json", sysv))
        self.assertEqual((state["kind"], state["max_bytes"], state["mode"]), ("sysv", 400, "0640"))
        self.check("remove", sysv)
        self.assertIn("there is no such queue", self.check("remove", sysv, status=1))

    def test_missing(self):
        for name in (self.name(), self.name("sysv")):
            for verb in ("send", "receive", "drain", "status"):
                self.assertIn(f"there is no such queue; make it with: mp-mqcat create {name}",
                              self.check(verb, name, status=1))

    def test_not_allowed(self):
        if os.getuid() != 0:
            self.skipTest("needs root")
        for kind in ("posix", "sysv"):
            name = self.queue("--mode", "0622", kind=kind)
            def other(*args):
                process = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", MQCAT, *args],
                                         stderr=subprocess.PIPE, env=environment(), timeout=DEADLINE, check=False)
                return process.returncode, process.stderr.decode()
            with self.subTest(kind):
                self.assertEqual(other("send", name, "x"), (0, ""))
                status, err = other("receive", name)
                self.assertEqual(status, 1)
                self.assertIn("its mode keeps this user out", err)
                self.assertEqual(other("remove", name)[0], 1)

    def test_output_that_fails(self):
        name = self.queue()
        self.check("send", name, "precious", "more")
        with open("/dev/full", "wb") as full:
            process = subprocess.run([MQCAT, "drain", name], stdout=full, stderr=subprocess.PIPE, env=environment(),
                                     timeout=DEADLINE, check=False)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"a message of 8 bytes was taken and could not be written", process.stderr)
        self.assertEqual(self.messages(name), 1)

    def test_usage(self):
        for args in ([], ["sing"], ["send"], ["send", "jobs"], ["receive", "--nonsense"], ["status", "/a", "--raw"],
                     ["work", "/a", "cat"], ["receive"]):
            with self.subTest(args):
                status, out, err = run(*args)
                self.assertEqual((status, out), (2, b""))
                self.assertIn("Try 'mp-mqcat --help'", err)

    def test_help(self):
        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(all(len(line) <= 80 for line in out.decode().splitlines()))
        self.assertEqual(run("-h"), (status, out, err))


class Work(Base):
    def work(self, name, *args, script, **kw):
        return subprocess.Popen([MQCAT, "work", name, *args, "--", "sh", "-c", script], env=environment(),
                                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw})

    def finish(self, process, status=0):
        out, err = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, status, err.decode())
        return out, err.decode()

    def test_message_and_environment(self):
        script = 'printf "%s|%s|" "$MP_MESSAGE" "${MP_PRIORITY-$MP_TYPE}"; cat; echo "|$MP_QUEUE"'
        for kind, option in (("posix", "--priority"), ("sysv", "--type")):
            with self.subTest(kind):
                name = self.queue(kind=kind)
                self.check("send", option, "7", name, "some text")
                out, _ = self.finish(self.work(name, "--idle", "0", script=script))
                self.assertEqual(out.decode(), f"some text|7|some text|{name}\n")

    def test_binary_message(self):
        name = self.queue()
        data = bytes(range(256))
        self.check("send", "--raw", name, data=data)
        out, _ = self.finish(self.work(name, "--idle", "0", script='cat; echo "${MP_MESSAGE-none}"'))
        self.assertEqual(out, data + b"none\n")

    def test_every_message_once(self):
        """Two workers, three commands each at once."""
        for kind in ("posix", "sysv"):
            with self.subTest(kind), tempfile.TemporaryDirectory() as folder:
                name = self.queue(kind=kind)
                workers = [self.work(name, "-j", "3", "--idle", "1s", script=f"cat >> {folder}/$MP_MESSAGE")
                           for _ in range(2)]
                self.check("send", "--wait", name, data=b"".join(b"%d\n" % i for i in range(60)))
                for worker in workers:
                    self.finish(worker)
                found = {}
                for number in os.listdir(folder):
                    with open(os.path.join(folder, number), encoding="ascii") as file:
                        found[number] = file.read()
                self.assertEqual(found, {str(i): str(i) for i in range(60)})

    def test_jobs_at_once(self):
        name = self.queue()
        self.check("send", name, "a", "b", "c", "d")
        worker = self.work(name, "-j", "3", "--idle", "0", script="read x; sleep 0.5")
        wait_until(lambda: len(children_of(worker.pid)) == 3, "three commands")
        self.assertEqual(self.messages(name), 1)
        self.finish(worker)
        self.assertEqual(self.messages(name), 0)

    def test_idle(self):
        name = self.queue()
        begin = time.monotonic()
        worker = self.work(name, "--idle", "700ms", script="echo $MP_MESSAGE")
        time.sleep(0.4)
        self.check("send", name, "late")
        self.assertEqual(self.finish(worker)[0], b"late\n")
        self.assertGreaterEqual(time.monotonic() - begin, 1.1)

    def test_failing_command(self):
        name, kept = self.queue(), self.queue()
        self.check("send", name, "bad", "good", "killed")
        script = 'case $MP_MESSAGE in bad) exit 3;; killed) kill -9 $$;; esac; echo $MP_MESSAGE'
        out, err = self.finish(self.work(name, "--idle", "0", "--failed", kept, script=script))
        self.assertEqual(out, b"good\n")
        self.assertIn("sh ended with 3", err)
        self.assertIn("sh ended by signal 9", err)
        self.assertEqual(self.check("drain", kept), b"bad\nkilled\n")
        self.check("send", name, "bad")
        _, err = self.finish(self.work(name, "--idle", "0", script=script), status=1)
        self.assertIn("a message of 3 bytes is dropped", err)

    def test_retries(self):
        name = self.queue()
        with tempfile.TemporaryDirectory() as folder:
            self.check("send", name, "again")
            script = f"cat >> {folder}/tries; echo >> {folder}/tries; [ $(wc -l < {folder}/tries) = 2 ]"
            _, err = self.finish(self.work(name, "--idle", "0", "--retries", "3", script=script))
            self.assertIn("again in 1 s", err)
            self.assertNotIn("again in 2 s", err)
            with open(f"{folder}/tries", encoding="ascii") as tries:
                self.assertEqual(tries.read(), "again\nagain\n")  # all of it each time

    def test_no_such_command(self):
        """Found out before a message is taken."""
        name = self.queue()
        self.check("send", name, "stays")
        for command in ("/nonexistent/x", "mpt-no-such-program", "/etc/passwd"):
            self.check("work", name, "--", command, status=1)
        self.assertEqual(self.check("drain", name), b"stays\n")

    def test_command_that_cannot_be_run(self):
        """Found out by running it: the message goes back, with its priority."""
        name = self.queue()
        self.check("send", "-p", "9", name, "stays")
        with tempfile.NamedTemporaryFile("w", suffix=".sh", delete=False) as file:
            file.write("#!/nonexistent/interpreter\n")
        self.addCleanup(os.unlink, file.name)
        os.chmod(file.name, 0o755)
        self.check("work", name, "--", file.name, status=1)
        self.assertEqual(self.check("drain", "--tags", name), b"9\tstays\n")

    def test_term(self):
        """The running command is waited for, the others stay in the queue."""
        name = self.queue()
        self.check("send", name, "one", "two")
        with tempfile.TemporaryDirectory() as folder:
            worker = self.work(name, script=f"echo began; while [ ! -e {folder}/go ]; do sleep 0.05; done; echo ended")
            self.assertEqual(worker.stdout.readline(), b"began\n")
            worker.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            self.assertIsNone(worker.poll())
            with open(f"{folder}/go", "w", encoding="ascii"):
                pass
            self.assertEqual(self.finish(worker)[0], b"ended\n")
        self.assertEqual(self.check("drain", name), b"two\n")

    def test_second_term(self):
        name = self.queue()
        self.check("send", name, "stuck")
        worker = self.work(name, script="echo began; exec sleep 1000")
        self.assertEqual(worker.stdout.readline(), b"began\n")
        child = children_of(worker.pid)[0][0]
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        self.finish(worker, status=1)
        self.assertFalse(process_alive(child))

    def test_term_while_a_retry_waits(self):
        name = self.queue()
        self.check("send", name, "again")
        worker = self.work(name, "--retries", "5", script="exit 1")
        self.assertIn(b"again in 1 s", worker.stderr.readline())
        worker.send_signal(signal.SIGTERM)
        self.finish(worker)
        self.assertEqual(self.check("drain", name), b"again\n")

    def test_signals_of_the_command_are_not_blocked(self):
        name = self.queue()
        self.check("send", name, "x")
        out, _ = self.finish(self.work(name, "--idle", "0", script="grep SigBlk /proc/self/status"))
        self.assertEqual(int(out.split()[1], 16), 0)

    def test_no_descriptor_leaks(self):
        name = self.queue()
        self.check("send", name, "x")
        out, _ = self.finish(self.work(name, "--idle", "0", "-j", "2", script="ls /proc/self/fd"))
        self.assertEqual(out.split(), [b"0", b"1", b"2", b"3"])  # 3 is that of ls


class Passed(Base):
    def start(self, fd, *args, listen=True, stdout=None, status=None):
        """mp-mqcat with the queue as descriptor 3 by LISTEN_FDS, or as its standard input."""
        out = tempfile.TemporaryFile()
        err = tempfile.TemporaryFile()
        self.addCleanup(out.close)
        self.addCleanup(err.close)
        env = environment()
        pid = os.fork()
        if pid == 0:
            try:
                source = fcntl.fcntl(fd, fcntl.F_DUPFD, 100)
                pipe = fcntl.fcntl(status, fcntl.F_DUPFD, 100) if status is not None else None
                os.dup2(stdout if stdout is not None else out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                if listen:
                    os.dup2(source, 3)
                    env.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="jobs")
                else:
                    os.dup2(source, 0)
                if pipe is not None:
                    os.dup2(pipe, 4)
                    env["MP_STATUS_FD"] = "4"
                os.closerange(5 if pipe is not None else 4 if listen else 3, 1024)
                os.execve(MQCAT, [MQCAT, *args], env)
            finally:
                os._exit(127)
        return pid, out, err

    def finish(self, started):
        pid, out, err = started
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        return status, out.read(), err.read().decode()

    def test_listen_fds(self):
        for flags in (os.O_RDWR | os.O_NONBLOCK, os.O_RDONLY, os.O_RDWR):
            name = self.queue()
            fd = open_queue(name, flags)
            self.addCleanup(os.close, fd)
            self.check("send", name, "a", "b", "c")
            with self.subTest(flags):
                self.assertEqual(self.finish(self.start(fd, "receive")), (0, b"a\n", ""))
                self.assertEqual(self.finish(self.start(fd, "drain", "-n", "1")), (0, b"b\n", ""))
                self.assertIn(f"{name}: 1 message of".encode(), self.finish(self.start(fd, "status"))[1])
                script = 'cat; echo " $MP_QUEUE ${LISTEN_FDS-none} ${LISTEN_PID-none}"; ls /proc/self/fd'
                status, out, err = self.finish(self.start(fd, "work", "--idle", "0", "--", "sh", "-c", script))
                self.assertEqual((status, err), (0, ""))
                self.assertEqual(out.decode().splitlines(), [f"c {name} none none", "0", "1", "2", "3"])
                # A queue that was passed to block does not.
                self.assertEqual(self.finish(self.start(fd, "drain")), (0, b"", ""))
                self.assertEqual(self.finish(self.start(fd, "receive"))[0], 3)

    def test_standard_input(self):
        """pass: stdio; the queue is the output, too, where nothing may go."""
        name = self.queue()
        fd = open_queue(name)
        self.addCleanup(os.close, fd)
        self.check("send", name, "a")
        status, _, err = self.finish(self.start(fd, "work", "--idle", "0", "--", "sh", "-c", "cat; echo :out",
                                                listen=False, stdout=fd))
        self.assertEqual((status, err), (0, "a:out\n"))
        self.assertEqual(self.messages(name), 0)

    def test_no_queue_among_them(self):
        with open("/dev/null", "rb") as null:
            status, _, err = self.finish(self.start(null.fileno(), "receive"))
        self.assertEqual(status, 2)
        self.assertIn("None was passed", err)

    def test_reports(self):
        name = self.queue()
        fd = open_queue(name)
        self.addCleanup(os.close, fd)
        self.check("send", name, "a", "bad", "b")
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        started = self.start(fd, "work", "--idle", "0", "--", "sh", "-c", '[ "$MP_MESSAGE" != bad ]', status=writer)
        os.close(writer)
        self.assertEqual(self.finish(started)[0], 1)  # one is dropped
        lines = os.read(reader, 65536).decode().splitlines()
        self.assertEqual(lines[0], "READY=1")
        last = dict(line.split("=") for line in lines)
        self.assertEqual((last["ACTIVE"], last["REQUESTS"], last["QUEUED"], last["X_FAILED"]), ("0", "2", "0", "1"))
        self.assertIn("ACTIVE=1", lines)
        self.assertIn("QUEUED=2", lines)


class Service(Base, DaemonTest):
    def jobs(self, name, *options, script, **more):
        d = self.daemon({"services": {"jobs": {
            "listen": [{"endpoint": "mqueue:" + name, "max_messages": 10, "message_size": 1024}],
            "exec": ["mp-mqcat", "work", *options, "--", "sh", "-c", script], **more}}})
        return d

    def done(self, d):
        """The words that the jobs wrote."""
        try:
            with open(d.path("done"), encoding="ascii") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def test_first_message_starts_the_worker(self):
        name = self.name()
        d = self.jobs(name, "--idle", "300ms", script='echo "$$MP_MESSAGE $$MP_SERVICE" >> {dir}/done')
        self.assertEqual(d.service("jobs")["spawned"], 0)
        self.check("send", name, "one")
        wait_until(lambda: self.done(d) == ["one", "jobs"], "the first job")
        wait_until(lambda: d.service("jobs")["active"] == 0, "its end")
        self.check("send", name, "two", "three")
        wait_until(lambda: len(self.done(d)) == 6, "the others")
        service = wait_until(lambda: (s := d.service("jobs"))["active"] == 0 and s, "the end")
        self.assertEqual((service["spawned"], service["exited"]["ok"], service["state"]), (2, 2, "listening"))

    def test_many(self):
        name = self.name()
        d = self.jobs(name, "-j", "2", "--idle", "0", script='echo "$$MP_MESSAGE" >> {dir}/done',
                      restart={"limit": "1000/1s"})
        self.check("send", "--wait", name, data=b"".join(b"%d\n" % i for i in range(100)))
        wait_until(lambda: len(self.done(d)) == 100, "all of them", deadline=DEADLINE)
        self.assertEqual(sorted(map(int, self.done(d))), list(range(100)))

    def test_stdio(self):
        name = self.name()
        d = self.jobs(name, "--idle", "300ms", script='echo "$$MP_MESSAGE"; cat >> {dir}/done', **{"pass": "stdio"})
        self.check("send", name, "one")
        wait_until(lambda: self.done(d) == ["one"], "the job")
        d.wait_log(message="one")
        self.assertEqual(self.messages(name), 0)

    def test_example(self):
        """The shipped config, with a queue of another name and shorter waits."""
        name = self.name()
        with open(os.path.join(ROOT, "conf", "examples", "job-queue.yaml"), encoding="utf-8") as file:
            text = file.read()
        text = text.replace("mqueue:/jobs", "mqueue:" + name).replace("sleep 1\n", "sleep 0.1\n")
        self.assertIn(name, text)
        d = self.daemon(text)
        self.check("send", "--wait", name, "first", "second")
        for word in ("first", "second"):
            d.wait_log(message=f"job of {len(word)} bytes: {word}")
        wait_until(lambda: d.service("jobs")["requests"] == 2, "two requests")
        self.assertEqual(json.loads(self.check("status", "--json", name))["mode"], "0622")


if __name__ == "__main__":
    unittest.main()
