# SPDX-License-Identifier: MIT
"""EX: programs that cannot be run. The ids are those of docs/faults.md."""
import errno
import os
import random
import shutil
import stat
import subprocess
import unittest

from faults import FaultTest, Injection, ordinary_user, running_as_root, tracing_works
from harness import need_program, need_root

# What execve(2) takes of one word (MAX_ARG_STRLEN), its NUL counted.
WORD_MAX = 131072


class ExTest(FaultTest):
    def fails(self, d, step, error, times=1):
        """A connection is closed with nothing said; step and errno are in status, in the log and in what is counted, and the
        text names them."""
        before = d.service("s")
        for _ in range(times):
            self.assertEqual(d.ask("s", b"x"), b"")
        service = d.wait_service("s", spawn_failed=before["spawn_failed"] + times, active=0)
        last = service["last_error"]
        self.assertEqual((last["step"], last["errno"]), (step, error), last)
        self.assertIn(os.strerror(error), last["message"])
        logged = d.wait_log(event="spawn_failed", service="s", step=step, errno=error)[-1]
        self.assertEqual(logged["error"], os.strerror(error))
        self.assertEqual(service["spawned"], before["spawned"], "what was never run was not spawned")
        self.assertIn(f"{step}: {os.strerror(error)}", d.mpctl("status", "s").stdout)
        self.check_sums(service)

    def works(self, d, reply=b"x"):
        self.assertEqual(d.ask("s", b"x"), reply)
        self.rests(d)

    def program(self, text="#!/bin/cat\n", mode=0o755):
        """A file that can be run, in a folder of its own."""
        path = os.path.join(self.temporary_folder(), "program")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path


class Exec(ExTest):
    def test_ex_1_missing_a_folder_not_executable(self):
        """What was all right when it was loaded, and is not when it is wanted."""
        path = self.program()
        shutil.copy("/bin/cat", path)
        d = self.start({"exec": [path]})
        with self.strain(d):
            self.works(d)
            os.rename(path, path + ".away")
            self.fails(d, "exec", errno.ENOENT)
            os.mkdir(path)
            self.fails(d, "exec", errno.EACCES)
            os.rmdir(path)
            os.rename(path + ".away", path)
            os.chmod(path, 0o644)
            self.fails(d, "exec", errno.EACCES, times=20)
            os.chmod(path, 0o755)
            self.works(d)

    def test_ex_2_no_interpreter(self):
        d = self.start({"exec": [self.program("#!/no/such/interpreter\n")]})
        with self.strain(d):
            self.fails(d, "exec", errno.ENOENT)
        self.rests(d)

    def test_ex_2_no_program_of_this_machine(self):
        with open("/bin/cat", "rb") as file:
            head = bytearray(file.read(20000))
        head[18:20] = b"\xff\x7f"
        path = self.program()
        with open(path, "wb") as file:
            file.write(head)
        d = self.start({"exec": [path]})
        with self.strain(d):
            self.fails(d, "exec", errno.ENOEXEC)
        self.rests(d)

    def test_ex_4_open_for_writing(self):
        path = self.program()
        shutil.copy("/bin/cat", path)
        d = self.start({"exec": [path]})
        with self.strain(d):
            with open(path, "ab"):
                self.fails(d, "exec", errno.ETXTBSY, times=3)
            self.works(d)

    def test_ex_5_folder_gone(self):
        folder = os.path.join(self.temporary_folder(), "w")
        os.mkdir(folder)
        d = self.start({"exec": ["cat"], "working_directory": folder})
        with self.strain(d):
            self.works(d)
            os.rmdir(folder)
            self.fails(d, "working_directory", errno.ENOENT)
            os.mkdir(folder)
            self.works(d)

    @need_root
    def test_ex_5_folder_closed_for_the_user(self):
        """Told when it is loaded, and tried again."""
        folder = self.temporary_folder()
        os.chmod(folder, 0o700)
        uid = str(random.randint(200000, 900000))
        d = self.start({"exec": ["cat"], "working_directory": folder, "user": uid, "group": uid})
        with self.strain(d):
            service = d.service("s")
            self.assertEqual(service["state"], "failed")
            self.assertIn("working_directory", service["last_error"]["message"] + service["last_error"]["step"])
            os.chmod(folder, 0o755)
            d.wait_service("s", state="listening")
            self.works(d)

    @need_root
    def test_ex_5_folder_closed_later(self):
        """It is entered as the user: what that may not do, root does not do for him."""
        folder = self.temporary_folder()
        os.chmod(folder, 0o755)
        uid = str(random.randint(200000, 900000))
        d = self.start({"exec": ["cat"], "working_directory": folder, "user": uid, "group": uid})
        with self.strain(d):
            self.works(d)
            os.chmod(folder, 0o700)
            self.fails(d, "working_directory", errno.EACCES)
            os.chown(folder, int(uid), int(uid))
            self.works(d)

    def test_ex_7_words_that_are_too_long(self):
        for service in ({"exec": ["cat", "x" * WORD_MAX]}, {"exec": ["cat"], "environment": {"A": "x" * WORD_MAX}}):
            with self.subTest(keys=list(service)):
                d = self.start(service)
                with self.strain(d):
                    self.fails(d, "exec", errno.E2BIG)
                    self.assertEqual(d.ask("s", b"x"), b"")
                self.rests(d)

    @need_root
    def test_ex_8_more_than_it_may_give(self):
        """Of a daemon that is nobody."""
        uid = random.randint(200000, 900000)
        for words, resources, step in (("--nofile=200:200", {"nofile": 400}, "rlimits"), ("--nice=0:0", {"nice": -5}, "priority")):
            with self.subTest(resources=resources):
                wrap = ordinary_user(self, uid)
                wrap["wrap"] = ["prlimit", words, "--", *wrap["wrap"]]
                d = self.start({"exec": ["mp-echo"], "resources": resources}, **wrap)
                with self.strain(d):
                    self.fails(d, step, errno.EPERM if step == "rlimits" else errno.EACCES)
                d.stop()

    def test_ex_10_loop_of_links(self):
        path = self.program()
        d = self.start({"exec": [path]})
        os.unlink(path)
        os.symlink(path + ".other", path)
        os.symlink(path, path + ".other")
        with self.strain(d):
            self.fails(d, "exec", errno.ELOOP)
        self.rests(d)

    @need_root
    @need_program("mount", "umount")
    def test_ex_10_mounted_noexec(self):
        folder = self.temporary_folder()
        if subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=False, stderr=subprocess.DEVNULL).returncode:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        os.chmod(folder, 0o755)
        shutil.copy("/bin/cat", folder + "/program")
        d = self.start({"exec": [folder + "/program"]})
        with self.strain(d):
            self.works(d)
            subprocess.run(["mount", "-o", "remount,noexec", folder], check=True)
            self.fails(d, "exec", errno.EACCES)
            subprocess.run(["mount", "-o", "remount,exec", folder], check=True)
            self.works(d)

    @need_root
    def test_ex_10_set_user_id(self):
        """Under no_new_privileges it runs as who it was; without, as its owner."""
        uid = str(random.randint(200000, 900000))
        path = self.program()
        probe = self.program()
        d = self.start({"exec": [path], "user": uid, "group": uid}, others={
            "free": {"listen": "tcp:127.0.0.1:0", "exec": [path], "user": uid, "group": uid, "sandbox": {"no_new_privileges": False}}})
        shutil.copy(d.helper("probe"), probe)
        os.chmod(probe, 0o4755)
        os.rename(probe, path)
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            self.skipTest("this folder is mounted nosuid")
        with self.strain(d):
            self.assertEqual(d.probe("s")["uids"][:2], [int(uid)] * 2)
            self.assertEqual(d.probe("free")["uids"][:2], [int(uid), 0])
        self.rests(d)
        self.assertTrue(os.stat(path).st_mode & stat.S_ISUID)

    def test_ex_11_ends_with_127(self):
        d = self.start({"exec": ["/bin/sh", "-c", "exit 127"]})
        with self.strain(d):
            for _ in range(5):
                self.assertEqual(d.ask("s", b"x"), b"")
            service = d.wait_service("s", spawned=5, active=0)
        self.assertEqual((service["spawn_failed"], service["exited"]["failed"]), (0, 5))
        self.assertEqual(d.wait_log(event="ended", service="s")[0]["exit_code"], 127)
        self.rests(d)


class Steps(ExTest):
    """It dies on its way: that it did is told, with the step, and never an errno that nobody had."""
    CALLS = {"close_range": "fds", "setsid": "session", "rt_sigprocmask": "session", "prlimit64": "rlimits", "chdir": "working_directory",
             "setgroups": "groups", "setresgid": "groups", "setresuid": "user", "prctl": "sandbox"}

    @unittest.skipUnless(running_as_root() and tracing_works(), "needs root, strace, and to be allowed to")
    def test_ex_13_killed_at_each_step(self):
        for mode in ("shared", "files", "vfork"):
            d = self.start({"exec": ["cat"], "user": "65534", "group": "65534", "resources": {"core": 0}, "working_directory": "/tmp"},
                           environment={"MPINETD_SPAWN": mode})
            # Whoever is started meanwhile is killed, the canary's processes as well.
            with self.strain(d, service=None):
                for n, (call, step) in enumerate(self.CALLS.items()):
                    with self.subTest(mode=mode, call=call):
                        with Injection(d.pid, f"{call}:signal=SIGKILL", children=True):
                            self.assertFalse(d.ask("s", b""))
                            service = d.wait_service("s", spawn_failed=n + 1, active=0)
                        last = service["last_error"]
                        self.assertEqual((service["spawned"], last["step"], last["errno"]), (0, step, errno.ESRCH), last)
                self.assertEqual(d.ask("s", b"x"), b"x")
            self.rests(d)


if __name__ == "__main__":
    unittest.main()
