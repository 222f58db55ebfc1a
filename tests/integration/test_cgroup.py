# SPDX-License-Identifier: MIT
"""Control groups: where processes are, what is left of them after a stop, what is said of what cannot be had. Limits need
controllers, which a machine may have given to version 1: those are in test_cgroup_vm.py."""
import os
import re
import subprocess
import unittest

from faults import FaultTest, Injection, tracing_works
from harness import BUILD, DaemonTest, descriptors_of, free_port, need_program, need_root, process_alive, wait_until


def unified():
    """The folder of this process's group of version 2, or None."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        mounts = [line.split() for line in f if " - cgroup2 " in line and line.split()[3] == "/"]
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        own = re.search("^0::(/.*)$", f.read(), re.M)
    return os.path.join(mounts[0][4], own[1].lstrip("/")) if mounts and own else None


def can_divide():
    """Whether a daemon that is started here can have a tree of its own, without what others have being moved."""
    folder = unified()
    return folder and not os.path.exists(os.path.join(folder, "cgroup.type")) and os.access(folder, os.W_OK)


def controllers():
    with open(os.path.join(unified(), "cgroup.controllers"), encoding="utf-8") as f:
        return f.read().split()


def processes(folder):
    found = []
    for path, _, files in os.walk(folder):
        if "cgroup.procs" in files:
            with open(os.path.join(path, "cgroup.procs"), encoding="utf-8") as f:
                found += [int(line) for line in f]
    return found


def path_of(pid):
    """What a descriptor of the process leads to; "" of one that it has closed since."""
    def path(fd):
        try:
            return os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            return ""
    return path


WHERE = ["/bin/sh", "-c", "sed -n s/^0:://p /proc/self/cgroup"]
# It leaves its session, twice over, and says who is left.
ESCAPES = ["/bin/sh", "-c", "setsid sh -c 'setsid sleep 1000 >/dev/null 2>&1 & echo $!'"]
# The same, and takes no TERM.
STUBBORN = ["/bin/sh", "-c", "setsid sh -c 'trap \"\" TERM; setsid sleep 1000 >/dev/null 2>&1 & echo $!'"]


@need_root
@unittest.skipUnless(can_divide(), "the tests are not in the root of a cgroup2 file system that they may write to")
class CgroupTest(DaemonTest):
    def start(self, **services):
        for service in services.values():
            service.setdefault("listen", "tcp:127.0.0.1:0")
            service.setdefault("user", "root")
        return self.daemon({"services": services})

    def group(self, d, service):
        return d.call("Describe", service=service)["cgroup"]

    def where(self, d, service):
        return d.ask(service).decode().strip()


class Groups(CgroupTest):
    def test_of_a_service(self):
        d = self.start(s={"exec": WHERE, "cgroup": {"per_instance": False}})
        group = self.group(d, "s")
        self.assertEqual(os.path.join(unified(), self.where(d, "s").lstrip("/")), group["path"] + "/all")
        self.assertEqual(self.where(d, "s"), self.where(d, "s"))
        d.stop()
        self.assertFalse(os.path.exists(os.path.dirname(group["path"])))

    def test_of_an_instance(self):
        d = self.start(s={"exec": WHERE, "cgroup": {"per_instance": True}})
        path = self.group(d, "s")["path"]
        seen = {self.where(d, "s") for _ in range(5)}
        self.assertEqual(len(seen), 5)
        d.wait_idle("s")
        wait_until(lambda: not [name for name in os.listdir(path) if name.isdigit()], "groups to be removed")

    def test_of_one_set_up_ahead(self):
        d = self.start(s={"exec": WHERE, "prespawn": 2, "cgroup": {"per_instance": True}})
        self.assertEqual(len({self.where(d, "s") for _ in range(5)}), 5)

    def test_without(self):
        d = self.start(s={"exec": WHERE})
        self.assertEqual(os.path.join(unified(), self.where(d, "s").lstrip("/")).rstrip("/"), unified().rstrip("/"))
        self.assertIsNone(self.group(d, "s"))
        d.wait_idle("s")
        self.assertFalse([path for path in map(path_of(d.pid), descriptors_of(d.pid)) if path.startswith(unified())])

    def test_names(self):
        d = self.start(**{"memory.max": {"exec": WHERE, "cgroup": {"per_instance": True}},
                          "mpinetd": {"exec": WHERE, "cgroup": {"per_instance": True}}})
        self.assertRegex(self.where(d, "memory.max"), "/_memory.max/1$")
        self.assertRegex(self.where(d, "mpinetd"), "/_mpinetd/1$")

    def test_removed_from_outside(self):
        d = self.start(s={"exec": WHERE, "cgroup": {"per_instance": False}},
                       t={"exec": WHERE, "cgroup": {"per_instance": True}})
        for name in "st":
            self.where(d, name)
            d.wait_idle(name)
            path = self.group(d, name)["path"]
            wait_until(lambda: not [n for n in os.listdir(path) if n.isdigit()], "groups to be removed")
            if name == "s":
                os.rmdir(path + "/all")
            os.rmdir(path)
            self.assertTrue(self.where(d, name))
            self.assertEqual(d.service(name)["spawn_failed"], 0)

    def test_no_room_for_a_moment(self):
        """Who gets no group is not served; those that run are not forgotten, and the service comes back by itself."""
        d = self.start(s={"exec": ["/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & read x"], "cgroup": {"per_instance": True}})
        with d.dial("s"):
            path = wait_until(lambda: self.group(d, "s"), "its group")["path"]
            wait_until(lambda: len(processes(path)) == 2, "it to start another process")
            with open(path + "/cgroup.max.descendants", "w", encoding="utf-8") as f:
                f.write("1")
            self.assertEqual(d.ask("s"), b"")
            self.assertEqual(d.service("s")["last_error"]["step"], "cgroup")
        wait_until(lambda: not processes(path), "what it has left behind to be killed")
        wait_until(lambda: d.service("s")["state"] == "listening", "it to be as before")
        with d.dial("s"):
            wait_until(lambda: len(processes(path)) == 2, "the next one to run")

    def test_one_that_cannot_be_had_can_be_removed(self):
        d = self.start(s={"exec": WHERE, "cgroup": {"per_instance": False}})
        base = os.path.dirname(self.group(d, "s")["path"])
        services = {name: {"listen": "tcp:127.0.0.1:0", "exec": WHERE, "user": "root", "cgroup": {"per_instance": False}}
                    for name in "st"}
        with open(base + "/cgroup.max.descendants", "w", encoding="utf-8") as f:
            f.write("2")
        d.write_config({"services": services})
        d.call("Reload")
        self.assertEqual(d.service("t")["last_error"]["step"], "cgroup")
        del services["t"]
        d.write_config({"services": services})
        d.call("Reload")
        wait_until(lambda: [s["name"] for s in d.call("Status")["services"]] == ["s"], "it to be gone")

    def test_let_go_before_an_upgrade(self):
        """Whose config has no group any more, and who has processes in one: they are known after an upgrade, too."""
        services = {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "user": "root", "cgroup": {"per_instance": True}}}
        d = self.daemon({"services": services})
        with d.dial("s") as held:
            held.sendall(b"x")
            self.assertEqual(held.recv(1), b"x")
            path = self.group(d, "s")["path"]
            del services["s"]["cgroup"]
            d.write_config({"services": services})
            d.call("Reload")
            d.call("Upgrade")
            self.assertEqual(len(processes(path)), 1)
        wait_until(lambda: not os.path.exists(path), "the group to be removed with the last of it")

    def test_two_daemons(self):
        one = self.start(s={"exec": WHERE, "cgroup": {"per_instance": False}})
        two = self.start(s={"exec": WHERE, "cgroup": {"per_instance": False}})
        self.assertNotEqual(self.where(one, "s"), self.where(two, "s"))
        two.stop()
        self.assertTrue(self.where(one, "s"))


class Ends(CgroupTest):
    def test_nothing_is_left_by_an_instance(self):
        d = self.start(s={"exec": ESCAPES, "cgroup": {"per_instance": True}})
        pid = int(d.ask("s"))
        wait_until(lambda: not process_alive(pid), "the end of what was left")

    def test_nothing_is_left_by_stop(self):
        d = self.start(s={"exec": ESCAPES, "cgroup": {"per_instance": False}})
        pid = int(d.ask("s"))
        d.wait_idle("s")
        self.assertTrue(process_alive(pid))
        d.call("Stop", services=["s"])
        self.assertFalse(process_alive(pid))
        self.assertEqual(d.service("s")["state"], "stopped")

    def test_stubborn(self):
        d = self.start(s={"exec": STUBBORN, "timeouts": {"stop": "500ms"}, "cgroup": {"per_instance": False}})
        pid = int(d.ask("s"))
        d.wait_idle("s")
        d.call("Stop", services=["s"])
        self.assertFalse(process_alive(pid))

    def test_end_of_the_daemon(self):
        d = self.start(s={"exec": ESCAPES, "cgroup": {"per_instance": False}})
        path = self.group(d, "s")["path"]
        pid = int(d.ask("s"))
        d.wait_idle("s")
        d.stop()
        self.assertFalse(process_alive(pid))
        self.assertFalse(os.path.exists(path))

    def test_removed_service(self):
        d = self.start(s={"exec": ESCAPES, "cgroup": {"per_instance": False}}, t={"exec": ["cat"]})
        path = self.group(d, "s")["path"]
        pid = int(d.ask("s"))
        d.wait_idle("s")
        d.write_config({"services": {"t": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "user": "root"}}})
        d.call("Reload")
        wait_until(lambda: not process_alive(pid), "the end of what was left")
        wait_until(lambda: not os.path.exists(path), "the group to be removed")

    def test_kill_reaches_all_of_an_instance(self):
        program = ["/bin/sh", "-c", "trap '' TERM; (trap '' TERM; setsid sleep 1000 & echo $!); exec 1>&-; sleep 1000"]
        d = self.start(s={"exec": program, "timeouts": {"stop": "300ms"}, "cgroup": {"per_instance": True}})
        with d.dial("s") as s:
            left = int(s.recv(64))
            d.call("Stop", services=["s"])
            self.assertFalse(process_alive(left))

    def test_upgrade_leaves_them(self):
        d = self.start(s={"exec": ESCAPES, "cgroup": {"per_instance": False}},
                       t={"exec": ["cat"], "cgroup": {"per_instance": True}})
        pid = int(d.ask("s"))
        with d.dial("t") as held:
            held.sendall(b"x")
            self.assertEqual(held.recv(1), b"x")
            path = self.group(d, "t")["path"]
            d.call("Upgrade")
            self.assertTrue(process_alive(pid))
            held.sendall(b"y")
            self.assertEqual(held.recv(1), b"y")
            self.assertEqual(self.group(d, "t")["path"], path)
            self.assertEqual(len(processes(path)), 1)
        d.wait_idle("t")
        wait_until(lambda: not [n for n in os.listdir(path) if n.isdigit()], "the group to be removed")
        d.call("Stop", services=["s"])
        self.assertFalse(process_alive(pid))

    def test_killed_daemon(self):
        d = self.start(s={"exec": ["cat"], "cgroup": {"per_instance": False}})
        path = self.group(d, "s")["path"]
        with d.dial("s") as held:
            held.sendall(b"x")
            self.assertEqual(held.recv(1), b"x")
            left = processes(path)
            d.kill()
            d.start()
            self.assertEqual(self.group(d, "s")["path"], path)
            self.assertEqual(processes(path), left)
            held.sendall(b"y")
            self.assertEqual(held.recv(1), b"y")
        d.call("Stop", services=["s"])


# In a container's groups: one daemon stops its service, and what becomes of the other's of the same name.
TWO = r"""
echo $$ >$1/cgroup.procs
exec unshare --cgroup --mount bash -c '
cd $1 && mkdir tree && mount -t cgroup2 none tree || exit 77
for n in 1 2; do
    "$2" -c $n.yaml 2>$n.log &
    pids="$pids $!"
    until grep -q "is running" $n.log; do kill -0 $! || exit 1; sleep 0.05; done
done
exec 5<>/dev/tcp/127.0.0.1/$(sed -n "s/.*listening on tcp:127.0.0.1:\\([0-9]*\\).*/\\1/p" 2.log)
echo one >&5 && read -t 10 x <&5 && echo $x
"$3" -s $1/1.sock stop s
echo two >&5 && read -t 10 x <&5 && echo $x
exec 5>&-
kill $pids
wait
find tree -depth -mindepth 1 -type d -exec rmdir {} + 2>/dev/null
exit 0' bash "$2" "$3" "$4"
"""


class Container(CgroupTest):
    @need_program("unshare")
    def test_two_daemons(self):
        folder, group = self.temporary_folder(), f"{unified()}/mpt-{os.getpid()}"
        os.mkdir(group)
        for n in (1, 2):
            with open(f"{folder}/{n}.yaml", "w", encoding="utf-8") as f:
                f.write(f"version: 1\ncontrol: {{socket: {folder}/{n}.sock}}\nservices:\n  s: {{listen: 'tcp:127.0.0.1:{free_port()}', "
                        "user: root, exec: [/bin/cat], timeouts: {stop: 1s}, cgroup: {per_instance: false}}\n")
        run = subprocess.run(["bash", "-c", TWO, "bash", group, folder, f"{BUILD}/daemon/mpinetd", f"{BUILD}/ctl/mpctl"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        wait_until(lambda: not processes(group), "all to end")
        for path, _, _ in os.walk(group, topdown=False):
            os.rmdir(path)
        if run.returncode == 77:
            self.skipTest("cgroup2 cannot be mounted here")
        self.assertRegex(run.stdout, "(?s)one\n.*two\n", run.stdout)


class Missing(CgroupTest):
    def setUp(self):
        super().setUp()
        if "memory" in controllers():
            self.skipTest("no controller is missing here")

    def test_start(self):
        d = self.start(s={"exec": WHERE, "cgroup": {"memory_max": "64M", "pids_max": 5}},
                       t={"exec": WHERE, "cgroup": {"per_instance": True}})
        s = d.service("s")
        self.assertEqual(s["state"], "failed")
        self.assertEqual(s["last_error"]["step"], "cgroup")
        self.assertRegex(s["last_error"]["message"], "^the memory and pids controllers are not there in .*Delegate=yes")
        self.assertTrue(self.where(d, "t"))

    def test_reload(self):
        d = self.start(s={"exec": WHERE})
        d.write_config({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": WHERE, "user": "root",
                                           "cgroup": {"memory_max": "64M"}}}})
        with self.assertRaisesRegex(Exception, "InvalidConfig"):
            d.call("Reload")
        check = d.call("CheckConfig")
        self.assertFalse(check["ok"])
        self.assertEqual([x["code"] for x in check["diagnostics"]], ["not-allowed"])
        self.assertTrue(self.where(d, "s"))


@need_program("strace")
class Faults(CgroupTest, FaultTest):
    """What cannot be had is told, by its step, and the next one is served."""
    def setUp(self):
        super().setUp()
        if not tracing_works():
            self.skipTest("processes cannot be traced here")

    def fail(self, per_instance, inject, error):
        d = self.start(s={"exec": WHERE, "cgroup": {"per_instance": per_instance}})
        self.assertTrue(self.where(d, "s"))
        d.wait_idle("s")
        with Injection(d.pid, inject):
            self.assertEqual(d.ask("s"), b"")
        self.assertEqual(d.service("s")["last_error"]["errno"], error)
        d.call("Start", services=["s"])
        wait_until(lambda: d.service("s")["state"] == "listening", "listening again")
        self.assertTrue(self.where(d, "s"))
        return d

    def test_mkdir(self):
        for word, number in (("EACCES", 13), ("ENOSPC", 28), ("ENOMEM", 12)):
            with self.subTest(word):
                self.fail(True, f"mkdirat:error={word}", number)

    def test_clone(self):
        for word, number in (("EAGAIN", 11), ("EBUSY", 16), ("ENODEV", 19), ("EACCES", 13)):
            with self.subTest(word):
                self.fail(False, f"clone3:error={word}", number)

    def test_without_clone3(self):
        for word in ("ENOSYS", "EPERM", "EINVAL", "E2BIG"):
            with self.subTest(word):
                d = self.start(s={"exec": WHERE, "cgroup": {"per_instance": True}})
                with Injection(d.pid, f"clone3:error={word}"):
                    self.assertRegex(self.where(d, "s"), "/s/1$")
                self.assertRegex(self.where(d, "s"), "/s/2$")
                self.assertEqual(d.service("s")["spawn_failed"], 0)


if __name__ == "__main__":
    unittest.main()
