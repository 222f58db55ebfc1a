# SPDX-License-Identifier: MIT
"""Each system call of each step of a sandbox fails once: the program does not run, the failure has its step, key, path and
errno, the next connection is served, and nothing is left behind."""
import collections
import errno
import os
import re
import shutil
import unittest

from faults import FaultTest, Injection, tracing_works
from harness import MPINETD, children_of, descriptors_of, exchange, need_program, need_root, wait_until
from sandbox import SandboxTest, descendants_of, has_user_namespaces, landlock_abi

# What is asked of the kernel: by the process that becomes the service (and mp-init), and by the daemon ahead of the first.
STEPS = ("setns,unshare,mount,umount2,pivot_root,chroot,chdir,open_tree,move_mount,mount_setattr,mkdirat,symlinkat,unlinkat,openat,"
         "pipe2,dup3,close_range,fcntl,prctl,capset,setgroups,setresgid,setresuid,setsid,landlock_create_ruleset,landlock_add_rule,"
         "landlock_restrict_self,seccomp,execveat,execve")
AHEAD = "unshare,socket,ioctl,dup2,dup3,prctl,execveat"

# A line of strace: what it is, the step, and what the message names; None: whatever it says, it goes on.
DEVICE = r'(/dev(?:/[^"]*)?)"'
ROWS = [
    (r"setns\(.*CLONE_NEWUSER", "namespaces", "user namespace"),
    (r"setns\(.*CLONE_NEWNET", "namespaces", "network none"),
    (r"unshare\(", "namespaces", "own namespaces"),
    (r"pipe2\(", "namespaces", "private_pids"),
    (r'mount\(NULL, "/", NULL', "namespaces", "mounts /"),
    (r'mount\("([^"]+)", "\1", NULL, MS_BIND\|MS_REC', "root_directory", r"root_directory \1"),
    (r'chdir\("([^"]+/root)"\)', "root_directory", r"root_directory {root}"),
    (r'pivot_root\("\.", "\."', "root_directory", r"root_directory {root}"),
    (r'umount2\("\.", MNT_DETACH', "root_directory", r"root_directory {root}"),
    (r'open_tree\(AT_FDCWD, "/dev"', "namespaces", "devices /dev"),
    (r'open_tree\(AT_FDCWD, "([^"]+)"', "namespaces", r"read_write \1"),
    (r'mount\("proc", "/proc"', "namespaces", "private_pids /proc"),
    (r'mount\("tmpfs", "((?:/var)?/tmp)"', "namespaces", r"private_tmp \1"),
    (r'mount\("mqueue", "/dev/mqueue"', "namespaces", "private_ipc /dev/mqueue"),
    (rf'mount\("[^"]*", "{DEVICE}', "namespaces", r"devices \1"),
    (r'mount_setattr\(AT_FDCWD, "([^"]+)"', "namespaces", r"read_only \1"),
    (rf'move_mount\([^"]*"", AT_FDCWD, "{DEVICE}', "namespaces", r"devices \1"),
    (r'move_mount\([^"]*"", AT_FDCWD, "([^"]+)"', "namespaces", r"read_write \1"),
    (rf'mkdirat\(AT_FDCWD, "{DEVICE}', "namespaces", r"devices \1"),
    (rf'symlinkat\("[^"]*", AT_FDCWD, "{DEVICE}', "namespaces", r"devices \1"),
    (rf'unlinkat\(AT_FDCWD, "{DEVICE}, AT_REMOVEDIR', "namespaces", r"devices \1"),
    (rf'umount2\("{DEVICE}', "namespaces", r"devices \1"),
    (rf'openat\(AT_FDCWD, "{DEVICE}, O_WRONLY\|O_CREAT\|O_EXCL', "namespaces", r"devices \1"),
    (r'mount\("tmpfs", "([^"]+)", "tmpfs", MS_RDONLY', "namespaces", r"hidden \1"),
    (r'mount\("/dev/null", "([^"]+)"', "namespaces", r"hidden \1"),
    (r"prctl\(PR_SET_KEEPCAPS", "sandbox", "capabilities"),
    (r"prctl\(PR_CAP_AMBIENT", "sandbox", "capabilities"),
    (r"capset\(", "sandbox", "capabilities"),
    (r"setgroups\(", "groups", ""),
    (r"setresgid\(", "groups", ""),
    (r"setresuid\(", "user", ""),
    (r"prctl\(PR_SET_NO_NEW_PRIVS", "sandbox", ""),
    (r"landlock_create_ruleset\(", "sandbox", "landlock"),
    (r'openat\(AT_FDCWD, "[^"]+", (O_RDONLY\|O_CLOEXEC\|O_PATH|O_PATH\|O_CLOEXEC)', "sandbox", "landlock"),
    (r"landlock_add_rule\(", "sandbox", "landlock"),
    (r"landlock_restrict_self\(", "sandbox", "landlock"),
    (r"seccomp\(SECCOMP_SET_MODE_FILTER", "sandbox", "seccomp"),
]
# In the one that is to be the first of a process namespace.
FIRST = [
    (r"prctl\(PR_SET_NO_NEW_PRIVS", "namespaces", "private_pids"),
    (r"setgroups\(|setresgid\(|setresuid\(|capset\(", "namespaces", "private_pids"),
    (r"prctl\(PR_SET_PDEATHSIG", "namespaces", "private_pids"),
    (r"fcntl\(\d+, F_DUPFD_CLOEXEC|dup3\(|close_range\(2", "namespaces", "private_pids"),
    (r"execveat\(", "namespaces", "mp-init"),
]
ERRORS = {"mount": ("EPERM", "ENOMEM"), "mkdirat": ("ENOSPC",), "symlinkat": ("ENOSPC",), "openat": ("EACCES", "EMFILE"),
          "open_tree": ("EMFILE",), "pipe2": ("EMFILE",), "unshare": ("ENOSPC", "EPERM"), "execveat": ("ENOMEM",), "fcntl": ("EMFILE",),
          "dup3": ("EMFILE",), "seccomp": ("ENOMEM",), "landlock_create_ruleset": ("EOPNOTSUPP", "ENOMEM"), "clone": ("EAGAIN",),
          "landlock_add_rule": ("ENOMEM",), "landlock_restrict_self": ("E2BIG",), "setresuid": ("EAGAIN", "EPERM"),
          "socketpair": ("ENFILE",), "socket": ("EMFILE",), "ioctl": ("EPERM",), "write": ("EPERM",), "close_range": ("ENOMEM",)}
# So many of one kind are made to fail.
MOST = 2


class Call:
    """One that was seen: in which process, what, and the how manieth of its name there."""

    def __init__(self, pid, name, number, text):
        self.pid, self.name, self.number, self.text = pid, name, number, text


def calls_of(text, own):
    """What strace has seen of processes other than @own, or of it as well, in their order."""
    numbers, found = {}, []
    for line in text.splitlines():
        m = re.match(r"(?:\[pid +(\d+)\] )?(\w+)\((.*)", line)
        if m:
            pid = int(m[1] or own)
            numbers[pid, m[2]] = number = numbers.get((pid, m[2]), 0) + 1
            found.append(Call(pid, m[2], number, f"{m[2]}({m[3]}"))
    return found


def gist(call):
    """What it is, whatever its numbers are."""
    text = re.sub(r"mpt-\w+|0x[0-9a-f]+|\d+|[][, ]", "", call.text)
    return re.split(r"[={<]|/usr/bin/strace", text)[0].rstrip(")")[:60]


@need_program("strace")
class Steps(SandboxTest, FaultTest):
    weight = 15

    def setUp(self):
        super().setUp()
        if not tracing_works():
            self.skipTest("processes cannot be traced here")

    # ---- one that fails
    def fails(self, d, call, error, step, where):
        number = getattr(errno, error)
        before = d.service("e")["spawn_failed"]
        told = len(d.log(event="spawn_failed"))
        with Injection(d.pid, f"{call.name}:error={error}:when={call.number}", children=True) as injection:
            self.assertEqual(self.ask(d), b"", f"the program has run in spite of {error} of {call.text}")
        failed = [c for c in calls_of(injection.text, d.pid) if "(INJECTED)" in c.text]
        self.assertEqual([gist(c) for c in failed[:1]], [gist(call)])
        service = d.wait_service("e", spawn_failed=before + 1)
        last = service["last_error"]
        message = f"{step}: {where}: {os.strerror(number)}" if where else f"{step}: {os.strerror(number)}"
        self.assertEqual((last["step"], last["errno"]), (step, number), (call.text, last))
        self.assertTrue(last["message"].startswith(message) or not where, (call.text, last["message"], message))
        event = wait_until(lambda: d.log(event="spawn_failed")[told:], "the event")[-1]
        self.assertEqual((event["step"], event["errno"]), (step, number))
        self.assertIn(os.strerror(number), event["message"])

    def nothing_is_left(self, d):
        wait_until(lambda: not children_of(d.pid), "all processes to end")
        def as_before():
            (fds, mounts), (fds_before, mounts_before) = self.holds(d), self.held
            return not collections.Counter(fds) - collections.Counter(fds_before) and mounts == mounts_before
        wait_until(as_before, "descriptors and mounts as before")

    def holds(self, d):
        fds = []
        for fd in descriptors_of(d.pid):
            try:
                fds.append(re.sub(r"\d+", "", os.readlink(f"/proc/{d.pid}/fd/{fd}")))
            except FileNotFoundError:
                pass
        # The loop makes one for each clock when it first needs it.
        fds = [fd for fd in fds if "timerfd" not in fd]
        with open(f"/proc/{d.pid}/mounts", encoding="utf-8") as mounts:
            return sorted(fds), mounts.read()

    def ask(self, d):
        """Without a word on the control socket: what the daemon does for that is not to be counted."""
        with d.dial_fast("e") as s:
            return exchange(s, b"hello")

    def serves(self, d):
        self.assertEqual(self.ask(d), b"hello", d.log_text()[-2000:])

    def learn(self, d, calls):
        d.ports["e"] = d.port("e")
        with Injection(d.pid, trace=calls, children=True) as seen:
            self.serves(d)
            wait_until(lambda: not children_of(d.pid), "all processes to end")
        return calls_of(seen.text, d.pid)

    # ---- the steps of each process
    def expect(self, calls, rows, root):
        """(call, step, where) of those that are to fail: the first of its name and number is the one that does."""
        kinds, taken, found = {}, set(), []
        path = None
        for call in calls:
            step, where = self.row_of(call, rows, root)
            if call.name == "openat" and where == "landlock":
                path = re.search(r'"([^"]+)"', call.text)[1]
            if where == "landlock" and call.name in ("openat", "landlock_add_rule"):
                where = f"landlock.read {path}" if path in self.landlock else "landlock"
            if step is None or (call.name, call.number) in taken:
                continue
            kind = (call.name, step, where.split(" ")[0])
            kinds[kind] = kinds.get(kind, 0) + 1
            if kinds[kind] <= MOST:
                taken.add((call.name, call.number))
                found.append((call, step, where, kinds[kind] == 1))
        return found

    def row_of(self, call, rows, root):
        for pattern, step, where in rows:
            m = re.match(pattern, call.text)
            if m:
                return step, m.expand(where.replace("{root}", root))
        return None, None

    def sweep(self, services, rows, expected_steps, root="", **environment):
        d = self.begin(services, **environment)
        self.serves(d)
        self.nothing_left_at_first(d)
        calls = self.until_program(self.learn(d, STEPS))
        wanted = self.expect([c for c in calls if c.pid != d.pid], rows, root)
        wanted = [row for row in wanted if self.is_first(row[0], calls)]
        self.assertLessEqual(expected_steps, {f"{step} {where.split(' ')[0]}".strip() for _, step, where, _ in wanted})
        for call, step, where, is_first in wanted:
            for error in ERRORS.get(call.name, ("EPERM",))[:None if is_first else 1]:
                with self.subTest(call=call.text[:80], error=error):
                    self.fails(d, call, error, step, where)
                    self.serves(d)
                    self.nothing_is_left(d)
        return len(wanted)

    def nothing_left_at_first(self, d):
        d.wait_idle("e")
        d.ports["e"] = d.port("e")
        wait_until(lambda: not children_of(d.pid), "all processes to end")
        d.quiet_descriptors()
        self.held = self.holds(d)

    def until_program(self, calls):
        """Without what processes do of their own, once they are programs."""
        ended, found = set(), []
        for call in calls:
            if call.pid not in ended:
                found.append(call)
            if call.name in ("execve", "execveat"):
                ended.add(call.pid)
        return found

    def all_of_it(self, folder):
        self.landlock = ["/", "/usr"]
        return {"private_tmp": True, "private_ipc": True, "private_users": True, "devices": "minimal", "network": "none",
                "read_only": ["/"], "read_write": [folder], "hidden": ["/home", folder + "/file"], "seccomp": ["@service"],
                "capabilities": ["CHOWN"] if self.AS_ROOT else [],
                **({"landlock": {"read": self.landlock}} if landlock_abi() else {})}

    def folder(self):
        folder = self.folder_for_all()
        self.give(folder)
        with open(folder + "/file", "w", encoding="utf-8") as file:
            file.write("hidden")
        return folder

    STEPS_OF_ALL = {"namespaces network", "namespaces own", "namespaces mounts", "namespaces devices", "namespaces read_write",
                    "namespaces private_tmp", "namespaces read_only", "namespaces hidden", "namespaces user", "sandbox",
                    "sandbox capabilities", "sandbox seccomp"}

    def test_each_step(self):
        steps = self.STEPS_OF_ALL | ({"sandbox landlock", "sandbox landlock.read"} if landlock_abi() else set())
        user = {"user": "nobody"} if self.AS_ROOT else {}
        self.sweep({"e": {"exec": ["mp-echo"], "sandbox": self.all_of_it(self.folder()), **user}}, ROWS,
                   steps | ({"groups", "user"} if self.AS_ROOT else set()))

    def test_message_queues(self):
        if not os.path.isdir("/dev/mqueue"):
            self.skipTest("no /dev/mqueue here")
        self.sweep({"e": {"exec": ["mp-echo"], "sandbox": {"private_ipc": True}}}, ROWS, {"namespaces private_ipc"})

    def test_process_namespace(self):
        """Of the three processes that it takes: where an earlier one fails there is no later one."""
        d = self.begin({"e": {"exec": ["mp-echo"], "sandbox": {"private_pids": True}}})
        self.serves(d)
        self.nothing_left_at_first(d)
        seen = self.until_program(self.learn(d, STEPS + ",clone"))
        calls = [c for c in seen if c.pid != d.pid]
        pids = list(dict.fromkeys(c.pid for c in calls))
        self.assertEqual(len(pids), 3)
        outer, first, service = pids
        wanted = self.expect([c for c in calls if c.pid == first], FIRST, "")
        wanted += self.expect([c for c in calls if c.pid == service], ROWS, "")
        wanted += [(c, "namespaces", "private_pids", False) for c in calls if c.pid == outer and c.name in ("clone", "pipe2")]
        # The same number of an earlier process, or of the daemon, would fail first.
        wanted = [row for row in wanted if self.is_first(row[0], seen)]
        self.assertLessEqual({"execveat", "mount", "clone"}, {c.name for c, *_ in wanted})
        for call, step, where, _ in wanted:
            with self.subTest(call=call.text[:80]):
                self.fails(d, call, ERRORS.get(call.name, ("EPERM",))[0], step, where)
                self.serves(d)
                self.nothing_is_left(d)

    def is_first(self, call, calls):
        return next(c for c in calls if (c.name, c.number) == (call.name, call.number)) is call

    # ---- what is made ahead, once for all processes
    def test_made_ahead(self):
        services = {"e": {"exec": ["mp-echo"], "sandbox": {"private_users": True, "network": "none", "private_pids": True}}}
        with_trace = self.begin(services)
        self.nothing_left_at_first(with_trace)
        calls = self.ahead(self.learn(with_trace, AHEAD), with_trace.pid)
        with_trace.stop()
        d = self.begin(services)
        self.nothing_left_at_first(d)
        self.assertLessEqual({"unshare", "socket", "ioctl", "execveat"}, {c.name for c, _ in calls})
        with Injection(d.pid, "openat:error=EPERM", path=os.path.join(os.path.dirname(d.config_path), "mp-init")):
            self.assertEqual(self.ask(d), b"")
        self.assertRegex(d.wait_service("e", spawn_failed=1)["last_error"]["message"], "^namespaces: mp-init: Operation not permitted")
        for call, where in calls:
            # Of a shortage it would be waited for the end.
            with self.subTest(call=call.text[:80]):
                self.fails(d, call, "EPERM", "namespaces", where)
                self.nothing_is_left(d)
        self.serves(d)

    def ahead(self, calls, own):
        """Those of the first process that the daemon starts: that one makes them."""
        found, maker = [], next(c.pid for c in calls if c.pid != own)
        for call in calls:
            where = None
            if re.match(r"unshare\(CLONE_NEWNET|socket\(|ioctl\(", call.text):
                where = "network none"
            elif re.match(r"unshare\(CLONE_NEWUSER|execveat\(|dup2\(|dup3\(|prctl\(PR_SET_NO_NEW_PRIVS", call.text):
                where = "user namespace"
            if where and call.pid == maker:
                found.append((call, where))
        return found

    # ---- with spares
    def test_spares(self):
        """One that waits ahead of a connection fails as well: it is told, and replaced."""
        d = self.begin({"e": {"exec": ["mp-echo"], "prespawn": 1, "sandbox": {"preset": "basic"}}})
        self.serves(d)
        wait_until(lambda: len(children_of(d.pid)) == 1, "the next spare")
        with Injection(d.pid, "mount:error=ENOMEM:when=2", children=True):
            self.assertEqual(d.ask("e", b"by the spare"), b"by the spare")
            wait_until(lambda: d.service("e")["last_error"], "the failure of the next one")
        last = d.service("e")["last_error"]
        self.assertEqual((last["step"], last["errno"]), ("namespaces", errno.ENOMEM))
        for _ in range(3):
            self.serves(d)
        wait_until(lambda: len(descendants_of(d.pid)) == 1, "a spare, and nothing else")


@need_root
class RootSteps(Steps):
    def test_root_directory(self):
        base = self.folder_for_all()
        root = base + "/root"
        for name in ("bin", "tmp", "dev", "proc"):
            os.makedirs(f"{root}/{name}")
        shutil.copy(os.path.join(os.path.dirname(MPINETD), "..", "tests", "helpers", "trial"), root + "/bin/trial")
        self.landlock = []
        self.serves = lambda d: self.assertIn(b"list:/bin ok", self.ask(d))  # pylint: disable=method-hidden
        self.sweep({"e": {"exec": ["/bin/trial", "list:/bin"], "user": "root", "root_directory": root,
                          "sandbox": {"private_tmp": True, "devices": "minimal"}}}, ROWS,
                   {"root_directory root_directory", "namespaces private_tmp", "namespaces devices"}, root)


@unittest.skipUnless(has_user_namespaces(), "no user namespaces for ordinary users here")
class OrdinarySteps(Steps):
    AS_ROOT = False


# The class that these are made of is no test itself.
del Steps

if __name__ == "__main__":
    unittest.main()
