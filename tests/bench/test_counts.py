# SPDX-License-Identifier: MIT
"""The parts of the benchmark that read what others write, with samples of it."""
import os
import tempfile
import unittest

import callgrind
import daemons
import guard
import ktrace
import smaps
import start
import strace
import traces

# strace 6.1 -f -qq -s 0 -e signal=none, shortened: two connections, one of which is cut off at the end.
SAMPLE = """\
100   <... epoll_wait resumed>[{events=EPOLLIN, data={u32=7, u64=7}}], 21, -1) = 1
100   accept4(4, {sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("127.0.0.1")}, [28 => 16], SOCK_CLOEXEC) = 9
100   clone(child_stack=0x7f, flags=CLONE_VM|CLONE_VFORK|SIGCHLD <unfinished ...>
201   dup3(9, 0, 0)                     = 0
201   dup3(9, 1, 0)                     = 1
201   execve("/none", [""...], 0x7f /* 15 vars */) = -1 ENOENT (No such file or directory)
201   setsid( <unfinished ...>
201   <... setsid resumed>)             = 201
201   execve("/bin/x", [""...], 0x7f /* 15 vars */ <unfinished ...>
100   <... clone resumed>)              = 201
201   <... execve resumed>)             = 0
100   close(9)                          = 0
201   write(1, ""..., 6)                = 6
201   exit_group(0)                     = ?
100   epoll_wait(5,  <unfinished ...>
201   +++ exited with 0 +++
100   <... epoll_wait resumed>[{events=EPOLLIN, data={u32=6, u64=6}}], 21, -1) = 1
100   accept4(4, NULL, NULL, SOCK_CLOEXEC) = -1 EAGAIN (Resource temporarily unavailable)
100   wait4(201, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], WNOHANG, NULL) = 201
100   epoll_wait(5, 0x7f, 21, -1)       = ? ERESTARTSYS (To be restarted if SA_RESTART is set)
100   accept4(4, NULL, NULL, SOCK_CLOEXEC) = 9
100   clone(child_stack=0x7f, flags=CLONE_VM|CLONE_VFORK|SIGCHLD) = 202
202   dup3(9, 0, 0)                     = 0
100   close(9
"""

# /sys/kernel/tracing/trace; in the names of processes there may be anything.
KERNEL_SAMPLE = """\
# tracer: nop
         mpinetd-123     [001] ..... 51980.445790: sys_exit: NR 232 = 1
         mpinetd-123     [001] ..... 51980.445791: sys_enter: NR 288 (4, 7ffc, 7ffd, 80000, 0, 0)
         mpinetd-123     [001] ..... 51980.445792: sys_exit: NR 288 = 9
         mpinetd-123     [001] ..... 51980.445793: sys_enter: NR 56 (4111, 7f, 0, 0, 0, 0)
 a-7 [000] x: b-201     [000] ..... 51980.445794: sys_exit: NR 56 = 0
 a-7 [000] x: b-201     [000] ..... 51980.445795: sys_enter: NR 112 (0, 0, 0, 0, 0, 0)
         mpinetd-123     [001] ..... 51980.445796: sys_exit: NR 56 = 201
 a-7 [000] x: b-201     [000] ..... 51980.445797: sys_exit: NR 112 = 201
 a-7 [000] x: b-201     [000] ..... 51980.445798: sys_enter: NR 59 (7f, 7f, 7f, 0, 0, 0)
         svc-raw-201     [000] ..... 51980.445799: sys_exit: NR 59 = 0
CPU:0 [LOST 3 EVENTS]
         mpinetd-123     [001] ..... 51980.445800: sys_enter: NR 999 (1, 1, 1, 1, 1, 1)
"""

SMAPS = """\
55d0c0a3f000-7ffd1d7f5000 ---p 00000000 00:00 0                          [rollup]
Rss:                3452 kB
Pss:                1741 kB
Pss_Dirty:           428 kB
Pss_Anon:            400 kB
Pss_File:           1337 kB
Pss_Shmem:             4 kB
Shared_Clean:       2096 kB
Private_Clean:       928 kB
Private_Dirty:       428 kB
Swap:                  0 kB
"""


class Strace(unittest.TestCase):
    def setUp(self):
        self.calls = strace.parse(SAMPLE.splitlines())

    def test_calls_are_taken_once_in_their_order(self):
        """Those that strace splits in two as well; what began before it came is left out."""
        names = [c.name for c in self.calls if c.pid == 100]
        self.assertEqual(names, ["accept4", "clone", "close", "epoll_wait", "accept4", "wait4", "epoll_wait", "accept4",
                                 "clone", "close"])

    def test_results(self):
        results = {}
        for call in self.calls:
            results.setdefault((call.pid, call.name), []).append(call.result)
        self.assertEqual(results[100, "clone"], [201, 202])
        self.assertEqual(results[100, "accept4"], [9, -1, 9])
        self.assertEqual(results[100, "epoll_wait"], [1, None])
        self.assertEqual(results[201, "execve"], [-1, 0])
        self.assertEqual(results[201, "setsid"], [201])
        self.assertEqual(results[201, "exit_group"], [None])
        self.assertEqual(results[100, "wait4"], [201])

    def test_what_a_child_does_before_exec(self):
        """An execve(2) that failed is a call of the child; one that never came to its program is left out."""
        self.assertEqual(traces.before_exec(self.calls, {100}), {201: ["dup3", "dup3", "execve", "setsid"]})

    def test_what_belongs_to_a_connection(self):
        """From one that was accepted to the next; the last is cut off."""
        self.assertEqual(traces.by_connection(self.calls, {100}),
                         [["accept4", "clone", "close", "epoll_wait", "accept4", "wait4", "epoll_wait"]])

    def test_nothing(self):
        self.assertEqual(strace.parse(["", "strace: Process 1 attached", "100   --- SIGCHLD {si_signo=SIGCHLD} ---"]), [])
        self.assertEqual(traces.by_connection([], {100}), [])
        self.assertIsNone(traces.summary([]))

    def test_summary(self):
        found = traces.summary([["a", "b"], ["a"], ["a", "a", "a", "b"]])
        self.assertEqual((found["median"], found["mean"], found["least"], found["most"]), (2, 2.33, 1, 4))
        self.assertEqual(found["calls"], {"a": 1.67, "b": 0.67})

    def test_result_of(self):
        for text, result in (("5) = 0", 0), ('"a) = 7", 1) = 3', 3), ("5) = -1 EBADF (Bad file descriptor)", -1),
                             ("NULL) = 0x55d0", 0x55D0), ("0) = ?", None), ("5 <unfinished ...>", None),
                             ("5, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)", 0x8002)):
            with self.subTest(text):
                self.assertEqual(strace.result_of(text), result)


class KernelTrace(unittest.TestCase):
    KNOWN = {288: "accept4", 56: "clone", 59: "execve", 232: "epoll_wait", 112: "setsid"}

    def setUp(self):
        self.calls = ktrace.parse(KERNEL_SAMPLE.splitlines(), self.KNOWN)

    def test_calls_are_taken_in_their_order(self):
        self.assertEqual([(c.pid, c.name, c.result) for c in self.calls], [
            (123, "accept4", 9), (123, "clone", 201), (201, "setsid", 201), (201, "execve", 0), (123, "number 999", None)])

    def test_a_process_before_exec(self):
        self.assertEqual(traces.before_exec(self.calls, {123}), {201: ["setsid"]})

    def test_numbers(self):
        text = "#define __NR_read 0\n#define __NR_write 1\n#define __X 7\n#define __NR_syscalls __NR_x\n"
        self.assertEqual(ktrace.numbers(text), {0: "read", 1: "write"})

    @unittest.skipUnless(ktrace.works(), "no tracing by the kernel here")
    def test_a_process(self):
        """What it traces of this process is what this process does."""
        with tempfile.TemporaryDirectory() as folder, ktrace.Trace(os.getpid(), folder) as trace:
            os.getppid()
            os.close(os.open("/dev/null", os.O_RDONLY))
        names = [c.name for c in trace.calls]
        at = names.index("getppid")
        self.assertEqual(names[at:at + 3], ["getppid", "openat", "close"])
        self.assertEqual(trace.calls[at].result, os.getppid())


class Smaps(unittest.TestCase):
    def test_parse(self):
        found = smaps.parse(SMAPS)
        self.assertEqual((found["Private_Dirty"], found["Pss"], found["Rss"]), (428 * 1024, 1741 * 1024, 3452 * 1024))
        self.assertEqual(found["Own"], 404 * 1024)
        self.assertNotIn("Own", smaps.parse("Pss:  7 kB\n"))


class Callgrind(unittest.TestCase):
    def test_total(self):
        """The last line that has one, whichever of the two names it goes by."""
        self.assertEqual(callgrind.total("version: 1\nevents: Ir\nsummary: 12\n\nfn=(1) a\n1 7\ntotals: 4047417\n"), 4047417)
        self.assertEqual(callgrind.total("events: Ir\nsummary: 12\n"), 12)
        with self.assertRaises(RuntimeError):
            callgrind.total("fn=(1) totals\n")


class Guard(unittest.TestCase):
    BOUNDS = {"calls": {"a: daemon": 12, "a: child": 8}, "instructions": {"a": 1000}, "memory": {"b": 500},
              "cpu": {"limit": 1.5}}

    def states(self, calls, instructions, cpu):
        results = {"calls": calls, "instructions": instructions, "memory": {"b": 549}, "cpu": cpu}
        return [v.state for v in guard.verdicts(self.BOUNDS, results)]

    def test_verdicts(self):
        for calls, instructions, cpu, expect in (
                ({"a: daemon": 12, "a: child": 8}, {"a": 1100}, {"limit": 1.5}, ["holds"] * 5),
                ({"a: daemon": 13, "a: child": 8}, {"a": 1101}, {"limit": 1.6}, ["MISSED", "holds", "MISSED", "holds", "MISSED"]),
                # What could not be counted, or has no bound, is left out.
                ({"a: daemon": 12.5, "b: daemon": 99}, {}, {}, ["MISSED", "holds"])):
            with self.subTest(str(calls)):
                self.assertEqual(self.states(calls, instructions, cpu), expect)

    def test_the_bounds_name_what_there_is(self):
        bounds = guard.read_bounds()
        kinds = {f"{case}: {who}" for case in guard.CASES for who in ("daemon", "child")}
        self.assertLessEqual(set(bounds["calls"]), kinds)
        self.assertLessEqual(set(bounds["instructions"]), set(guard.CASES))


class Config(unittest.TestCase):
    def test_text(self):
        self.assertEqual(daemons.config_text({"s": {"listen": "tcp:127.0.0.1:1", "exec": ["/a b"]}}),
                         'version: 1\nservices:\n  s:\n    listen: "tcp:127.0.0.1:1"\n    exec: ["/a b"]\n')

    def test_many_services_are_in_several_files(self):
        with tempfile.TemporaryDirectory() as folder:
            config = {f"s{i}": daemons.service(i, "/x") for i in range(2 * daemons.FILE_SERVICES + 1)}
            path = daemons.write_config(folder, config)
            with open(path, encoding="utf-8") as file:
                self.assertTrue(file.read().startswith("include: "))
            self.assertEqual(sorted(os.listdir(os.path.join(folder, "services.d"))), ["000.yaml", "001.yaml"])


class Start(unittest.TestCase):
    def test_the_kernel_is_asked_about_one_listener(self):
        with start.socket.socket() as sock, start.Listeners() as listeners:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            self.assertFalse(listeners.there("127.0.0.1", port))
            sock.listen()
            self.assertTrue(listeners.there("127.0.0.1", port))
            self.assertFalse(listeners.there("127.0.0.2", port))


if __name__ == "__main__":
    unittest.main()
