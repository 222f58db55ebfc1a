# SPDX-License-Identifier: MIT
"""`sandbox`: a child tries what each key forbids, under a daemon of root and under that of an ordinary user."""
import os
import shutil
import signal
import socket
import subprocess
import unittest

from harness import MPINETD, SANITIZED, children_of, need_program, need_root, process_state, wait_until
from sandbox import NOBODY, SandboxTest, descendants_of, has_user_namespaces, is_gone, landlock_abi


class Keys(SandboxTest):
    """Each key alone."""

    def test_nothing(self):
        self.assertEqual(self.tried({}, "list:/", "loopback", "read:/dev/zero", "list:/proc/1"),
                         {"list:/": "ok", "loopback": "ok", "read:/dev/zero": "ok", "list:/proc/1": "ok"})

    def test_private_tmp(self):
        with open(f"/tmp/mp-sandbox-{os.getpid()}", "w", encoding="utf-8") as mark:
            self.addCleanup(os.unlink, mark.name)
        got = self.tried({"private_tmp": True}, f"read:{mark.name}", "list:/tmp", "list:/var/tmp", f"make:{mark.name}",
                         "make:/var/tmp/x", f"write:{mark.name}")
        self.assertEqual(got, {f"read:{mark.name}": "ENOENT", "list:/tmp": "ENODATA", "list:/var/tmp": "ENODATA",
                               f"make:{mark.name}": "ok", "make:/var/tmp/x": "ok", f"write:{mark.name}": "ok"})
        self.assertFalse(os.path.exists("/var/tmp/x"))

    def test_private_tmp_of_each_process(self):
        d = self.begin({"e": {"exec": ["{trial}", "make:/tmp/once"], "sandbox": {"private_tmp": True}}})
        for _ in range(3):
            self.assertEqual(self.outcome(d), {"make:/tmp/once": "ok"})

    def test_read_only(self):
        folder = self.open_folder()
        got = self.tried({"read_only": ["/"]}, f"write:{folder}/x", f"read:{folder}/mark", f"truncate:{folder}/mark",
                         "write:/dev/null", "write:/proc/sys/kernel/hostname")
        self.assertEqual(got, {f"write:{folder}/x": "EROFS", f"read:{folder}/mark": "ok",
                               f"truncate:{folder}/mark": "EROFS", "write:/dev/null": "ok",
                               "write:/proc/sys/kernel/hostname": "EROFS" if self.AS_ROOT else "EACCES"})

    def test_read_write_below_read_only(self):
        folder = self.open_folder()
        os.mkdir(folder + "/rw", 0o777)
        os.chmod(folder + "/rw", 0o777)
        got = self.tried({"read_only": ["/"], "read_write": [folder + "/rw"]}, f"write:{folder}/x", f"write:{folder}/rw/x")
        self.assertEqual(got, {f"write:{folder}/x": "EROFS", f"write:{folder}/rw/x": "ok"})

    def test_the_nearest_path_decides(self):
        folder = self.open_folder()
        for name in ("rw", "rw/ro", "rw/ro/rw"):
            os.mkdir(f"{folder}/{name}")
            os.chmod(f"{folder}/{name}", 0o777)
        got = self.tried({"read_only": ["/", folder + "/rw/ro"], "read_write": [folder + "/rw/ro/rw", folder + "/rw"]},
                         *(f"write:{folder}/{name}x" for name in ("", "rw/", "rw/ro/", "rw/ro/rw/")))
        self.assertEqual(list(got.values()), ["EROFS", "ok", "EROFS", "ok"])

    def test_read_only_of_one_folder(self):
        folder = self.open_folder()
        other = self.open_folder()
        got = self.tried({"read_only": [folder]}, f"write:{folder}/x", f"write:{other}/x")
        self.assertEqual(got, {f"write:{folder}/x": "EROFS", f"write:{other}/x": "ok"})

    def open_folder(self):
        """One that everybody may write to, with a file in it."""
        folder = self.temporary_folder()
        os.chmod(folder, 0o777)
        with open(folder + "/mark", "w", encoding="utf-8") as mark:
            mark.write("mark")
        os.chmod(folder + "/mark", 0o666)
        return folder

    def test_hidden(self):
        folder = self.open_folder()
        os.mkdir(folder + "/inner")
        file = self.open_folder() + "/mark"
        got = self.tried({"hidden": [folder, file]}, f"read:{folder}/mark", f"list:{folder}", f"write:{folder}/x",
                         f"read:{file}")
        self.assertIn(got[f"list:{folder}"], ("EACCES", "ENODATA"))
        self.assertIn(got[f"read:{folder}/mark"], ("EACCES", "ENOENT"))
        self.assertIn(got[f"write:{folder}/x"], ("EACCES", "EROFS"))
        with open(file, encoding="utf-8") as mark:
            self.assertEqual(mark.read(), "mark")
        d = self.begin({"e": {"exec": ["/bin/cat", file], "sandbox": {"hidden": [file]}}})
        self.assertEqual(d.ask("e", b""), b"")

    def test_devices(self):
        got = self.tried({"devices": "minimal"}, "read:/dev/zero", "read:/dev/urandom", "write:/dev/null", "read:/dev/full",
                         "list:/dev/shm", "make:/dev/shm/x", "read:/dev/kmsg", "read:/dev/mem", "list:/dev/block",
                         "list:/dev/.host", "list:/dev/fd")
        self.assertEqual(got, {"read:/dev/zero": "ok", "read:/dev/urandom": "ok", "write:/dev/null": "ok",
                               "read:/dev/full": "ok", "list:/dev/shm": "ENODATA", "make:/dev/shm/x": "ok",
                               "read:/dev/kmsg": "ENOENT", "read:/dev/mem": "ENOENT", "list:/dev/block": "ENOENT",
                               "list:/dev/.host": "ENOENT", "list:/dev/fd": "ok"})

    def test_network_none(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            got = self.tried({"network": "none"}, f"connect:{port}", "loopback")
        self.assertEqual(got, {f"connect:{port}": "ECONNREFUSED", "loopback": "ok"})

    def test_network_is_shared_by_the_service(self):
        d = self.begin({name: {"exec": ["/bin/readlink", "/proc/self/ns/net"], "sandbox": {"network": "none"}}
                        for name in ("a", "b")})
        seen = {name: {d.ask(name, b"") for _ in range(3)} for name in "ab"}
        self.assertEqual((len(seen["a"]), len(seen["b"])), (1, 1))
        self.assertNotEqual(seen["a"], seen["b"])

    def test_private_users(self):
        d = self.begin({"e": {"exec": ["/bin/cat", "/proc/self/uid_map"], "sandbox": {"private_users": True}}})
        lines = [line.split() for line in d.ask("e", b"").decode().splitlines()]
        uid = 0 if self.AS_ROOT else NOBODY if os.geteuid() == 0 else os.geteuid()
        self.assertEqual(lines, [[str(uid), str(uid), "1"]])

    def test_private_ipc(self):
        got = self.tried({"private_ipc": True}, "host:elsewhere", f"shared:{self.shared_memory()}")
        self.assertEqual(got[f"shared:{self.key}"], "ENOENT")
        self.assertEqual(got["host:elsewhere"], "ok" if self.AS_ROOT else "EPERM")
        self.assertNotEqual(socket.gethostname(), "elsewhere")

    def shared_memory(self):
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        self.key = 0x4d500000 | os.getpid() & 0xffff
        segment = libc.shmget(self.key, 4096, 0o1666)
        self.assertGreaterEqual(segment, 0)
        self.addCleanup(libc.shmctl, segment, 0, None)
        return self.key

    @unittest.skipUnless(landlock_abi(), "the kernel has no Landlock")
    def test_landlock(self):
        folder, other = self.open_folder(), self.open_folder()
        got = self.tried({"landlock": {"read": ["/usr", other], "write": [folder]}}, f"write:{folder}/x",
                         f"read:{folder}/mark", f"write:{other}/x", f"read:{other}/mark", f"truncate:{other}/mark",
                         "read:/etc/passwd", "list:/etc", "list:/usr")
        self.assertEqual(got, {f"write:{folder}/x": "ok", f"read:{folder}/mark": "ok", f"write:{other}/x": "EACCES",
                               f"read:{other}/mark": "ok", f"truncate:{other}/mark": "EACCES",
                               "read:/etc/passwd": "EACCES", "list:/etc": "EACCES", "list:/usr": "ok"})

    def test_what_is_missing_has_its_name(self):
        for key, step in (({"read_only": ["/no/such"]}, "namespaces"), ({"hidden": ["/no/such"]}, "namespaces"),
                          ({"read_only": ["/"], "read_write": ["/no/such"]}, "namespaces"),
                          ({"landlock": {"read": ["/no/such"]}}, "sandbox")):
            if step == "sandbox" and not landlock_abi():
                continue
            with self.subTest(key=key):
                d = self.begin({"e": {"exec": ["{trial}"], "sandbox": key}})
                self.assertEqual(d.ask("e", b""), b"")
                error = d.service("e")["last_error"]
                self.assertEqual((error["step"], error["errno"]), (step, 2))
                self.assertRegex(error["message"], r"^(namespaces|sandbox): [a-z_.]+ /no/such: No such file or directory$")
                self.assertEqual(d.service("e")["spawn_failed"], 1)

    def test_failure_of_exec_is_not_the_sandbox_s(self):
        keys = {"seccomp": ["@service"], "private_tmp": True, "capabilities": []}
        for more in ({}, {"private_pids": True}):
            with self.subTest(more=more):
                d = self.begin({"e": {"exec": ["{trial}"], "sandbox": {**keys, **more}}})
                os.unlink(os.path.join(os.path.dirname(d.config_path), "trial"))
                self.assertEqual(d.ask("e", b""), b"")
                self.assertRegex(d.service("e")["last_error"]["message"], "^exec: No such file or directory")

    def test_what_may_be_missing(self):
        sandbox = {"read_only": ["-/no/such", "/usr"], "hidden": ["-/no/such"]}
        self.assertEqual(self.tried(sandbox, "list:/usr"), {"list:/usr": "ok"})


class Pids(SandboxTest):
    """private_pids: the daemon's child stands for the service in all that is seen of it."""

    def start(self, *argv, **service):
        return self.begin({"e": {"exec": [*argv], "sandbox": {"private_pids": True}, **service}})

    def test_what_it_sees(self):
        d = self.start("{trial}", f"signal:{os.getpid()}", "signal:1", "kill:1", "list:/proc/1", f"list:/proc/{os.getpid()}")
        lines = d.ask("e", b"").decode().splitlines()
        self.assertEqual(lines[0].split()[:4], ["self", "2", "0", "2"])
        self.assertEqual(lines[1], f"signal:{os.getpid()} ESRCH")
        # The first one is not to be had by a signal.
        self.assertIn(lines[2], ("signal:1 ok", "signal:1 EPERM"))
        self.assertEqual(lines[5], f"list:/proc/{os.getpid()} ENOENT")

    def test_the_first_cannot_be_looked_into(self):
        """By root neither, where that has no capabilities."""
        d = self.begin({"e": {"exec": ["{trial}", "trace:1", "read:/proc/1/mem", "read:/proc/1/environ"],
                              "sandbox": {"private_pids": True, "capabilities": []}}})
        got = self.outcome(d)
        self.assertEqual({value for value in got.values() if value == "ok"}, set(), got)

    def test_exit_status(self):
        for status in (0, 3, 127):
            with self.subTest(status=status):
                d = self.start("/bin/sh", "-c", f"exit {status}")
                d.ask("e", b"")
                self.assertEqual(d.wait_log(event="ended")[0]["exit_code"], status)

    def test_death_by_a_signal(self):
        for name in ("KILL", "TERM", "SEGV", "USR1", "HUP"):
            with self.subTest(signal=name):
                d = self.start("/bin/sh", "-c", f"kill -{name} $$$$")
                d.ask("e", b"")
                self.assertEqual(d.wait_log(event="ended")[0]["signal"], "SIG" + name)
                self.assertEqual(d.wait_idle("e")["exited"]["signaled"], 1)

    def test_signals_reach_it(self):
        d = self.start("/bin/sh", "-c", "trap 'echo got; exit 9' USR1; echo up; while :; do sleep 0.05; done")
        with d.dial("e") as client:
            self.assertEqual(client.recv(3), b"up\n")
            d.mpctl("kill", "-s", "USR1", "e", check=0)
            self.assertEqual(client.recv(4), b"got\n")
        self.assertEqual(d.wait_log(event="ended")[0]["exit_code"], 9)

    def test_it_is_what_ps_shows(self):
        """Memory of the program, which is stopped and goes on."""
        script = "import sys, time; x = bytearray(64 << 20); print('up', flush=True); sys.stdin.read()"
        d = self.start("/usr/bin/python3", "-c", script)
        with d.dial("e") as client:
            self.assertEqual(client.recv(3), b"up\n")
            shown = d.instances("e")[0]
            self.assertGreater(shown["memory"], 64 << 20)
            inside = [pid for pid in descendants_of(shown["pid"]) if process_state(pid) and len(children_of(pid)) == 0]
            d.mpctl("kill", "-s", "STOP", "e", check=0)
            wait_until(lambda: [pid for pid in inside if process_state(pid) == "T"], "it to be stopped")
            self.assertNotEqual(process_state(shown["pid"]), "T")
            d.mpctl("kill", "-s", "CONT", "e", check=0)
            wait_until(lambda: not [pid for pid in inside if process_state(pid) == "T"], "it to go on")
        self.assertEqual(d.wait_idle("e")["exited"]["ok"], 1)

    def test_a_reload_changes_nothing_of_it(self):
        """What runs is stopped where it is, whatever the config says of those that come; also after an upgrade."""
        program = ["/usr/bin/python3", "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
        sandbox = {"private_pids": True}
        config = {"services": {"e": {"listen": "tcp:127.0.0.1:0", "exec": program, "sandbox": sandbox}}}
        d = self.begin_with(config)
        with d.dial("e") as client:
            self.assertEqual(client.recv(3), b"up\n")
            pid = d.instances("e")[0]["pid"]
            inside = [p for p in descendants_of(pid) if len(children_of(p)) == 0]
            sandbox["private_pids"] = False
            d.write_config(config)
            self.assertTrue(d.call("Reload")["ok"])
            for _ in range(2):
                d.mpctl("kill", "-s", "STOP", "e", check=0)
                wait_until(lambda: [p for p in inside if process_state(p) == "T"], "it to be stopped")
                self.assertNotEqual(process_state(pid), "T")
                d.mpctl("kill", "-s", "CONT", "e", check=0)
                wait_until(lambda: not [p for p in inside if process_state(p) == "T"], "it to go on")
                d.mpctl("upgrade", check=0)
        d.wait_idle("e")

    def test_each_signal_reaches_it(self):
        """Those that would end the one outside, too, or that it would ignore."""
        for name in ("ALRM", "WINCH", "IO", "VTALRM", "TSTP", "CONT", "ABRT", "RTMIN+3"):
            with self.subTest(signal=name):
                d = self.start("/bin/bash", "-c", f"trap 'echo got; exit 9' {name}; echo up; while :; do sleep 0.05; done")
                with d.dial("e") as client:
                    self.assertEqual(client.recv(3), b"up\n")
                    number = signal.SIGRTMIN + 3 if "+" in name else getattr(signal, "SIG" + name)
                    os.kill(d.call("Instances")["instances"][0]["pid"], number)
                    self.assertEqual(client.recv(4), b"got\n")
                self.assertEqual(d.wait_log(event="ended")[0]["exit_code"], 9)

    def test_stop(self):
        d = self.start("{trial}", "--hold")
        with d.dial("e") as client:
            self.assertTrue(client.recv(100))
            d.mpctl("stop", "e", check=0)
            self.assertEqual(client.recv(100), b"")
        self.assertEqual(d.service("e")["exited"]["ok"], 1)

    def test_nothing_is_left_behind(self):
        d = self.start("/bin/sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & echo up; read x")
        with d.dial("e") as client:
            self.assertEqual(client.recv(3), b"up\n")
            known = descendants_of(d.pid)
            self.assertGreaterEqual(len(known), 5)
        wait_until(lambda: all(is_gone(pid) for pid in known), "all of the namespace to end")

    def test_kill_ends_all_of_it(self):
        d = self.start("/bin/sh", "-c", "setsid sleep 1000 & echo up; read x")
        with d.dial("e") as client:
            self.assertEqual(client.recv(3), b"up\n")
            known = descendants_of(d.pid)
            d.mpctl("kill", "-s", "KILL", "e", check=0)
            wait_until(lambda: all(is_gone(pid) for pid in known), "all of the namespace to end")
        self.assertEqual(d.wait_log(event="ended")[0]["signal"], "SIGKILL")

    def test_the_one_outside_is_killed(self):
        """By whoever: what it stood for ends with it."""
        d = self.start("{trial}", "--hold")
        with d.dial("e") as client:
            self.assertTrue(client.recv(100))
            known = descendants_of(d.pid)
            os.kill(d.call("Instances")["instances"][0]["pid"], signal.SIGKILL)
            wait_until(lambda: all(is_gone(pid) for pid in known), "all of the namespace to end")

    def test_no_connection_is_kept(self):
        """The client sees the end when the service closes its connection, not when all around it has ended."""
        d = self.start("/bin/sh", "-c", "exec <&- >&- 2>&-; while :; do sleep 1; done")
        with d.dial("e") as client:
            self.assertEqual(client.recv(1), b"")

    def test_failure_of_exec(self):
        folder = self.temporary_folder()
        with open(folder + "/script", "w", encoding="utf-8") as script:
            script.write("#!/no/such/interpreter\n")
        os.chmod(folder + "/script", 0o755)
        d = self.start(folder + "/script")
        d.ask("e", b"")
        self.assertEqual(d.service("e")["last_error"]["step"], "exec")
        self.assertEqual(d.service("e")["spawn_failed"], 1)
        wait_until(lambda: not children_of(d.pid), "no process to be left")

    def test_listen_pid(self):
        d = self.start("/bin/sh", "-c", "echo $$LISTEN_PID $$$$ $$LISTEN_FDS >&3", **{"pass": "listen_fds"})
        self.assertEqual(d.ask("e", b""), b"2 2 1\n")

    def test_notify(self):
        """Who reports is known though the daemon knows the one outside; a program that it starts may, too."""
        script = ("import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
                  "s.connect(os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)); s.send(b'READY=1'); "
                  "os.fork() or s.send(b'STATUS=by another'); time.sleep(100)")
        d = self.begin({"e": {"model": "on-demand", "start": "now", "notify": "sd_notify", "sandbox": {"private_pids": True},
                              "exec": ["/usr/bin/python3", "-c", script]}})
        wait_until(lambda: d.service("e")["status"] == "by another", "its status")
        self.assertEqual((d.service("e")["state"], d.service("e")["report_errors"]), ("active", 0))

    def test_on_demand_and_pool(self):
        d = self.begin({"o": {"model": "on-demand", "exec": ["mp-echo"], "sandbox": {"private_pids": True}},
                        "p": {"model": "pool", "exec": ["mp-echo"], "pool": {"min": 2, "max": 2},
                              "sandbox": {"private_pids": True, "private_tmp": True}}})
        self.assertEqual(d.ask("o", b"one"), b"one")
        self.assertEqual(d.ask("p", b"two"), b"two")

    def test_prespawn(self):
        d = self.start("mp-echo", prespawn=3)
        for i in range(10):
            self.assertEqual(d.ask("e", b"%d" % i), b"%d" % i)
        self.assertEqual(d.wait_idle("e")["spawned"], 10)
        self.assertEqual(d.service("e")["spawn_failed"], 0)


class Together(SandboxTest):
    """All of it at once, under each model and mode."""
    ALL = {"private_tmp": True, "private_ipc": True, "private_users": True, "private_pids": True, "devices": "minimal",
           "network": "none", "read_only": ["/"], "hidden": ["/home", "-/root"], "capabilities": []}

    def test_models(self):
        d = self.begin({
            "c": {"exec": ["mp-echo"], "sandbox": self.ALL},
            "s": {"exec": ["mp-echo"], "sandbox": self.ALL, "prespawn": 2},
            "l": {"exec": ["mp-echo"], "sandbox": self.ALL, "pass": "listen_fds"},
            "o": {"exec": ["mp-echo"], "sandbox": self.ALL, "model": "on-demand"},
            "p": {"exec": ["mp-echo"], "sandbox": self.ALL, "model": "pool", "pool": {"handoff": "connection", "min": 1}},
        })
        for name in "cslop":
            for _ in range(3):
                self.assertEqual(d.ask(name, b"hello"), b"hello", (name, d.log_text()[-2000:]))

    def test_modes(self):
        for mode in ("shared", "files", "vfork"):
            with self.subTest(mode=mode):
                services = {"c": {"exec": ["mp-echo"], "sandbox": self.ALL},
                            "m": {"exec": ["mp-echo"], "sandbox": self.ALL, "resources": {"oom_score_adjust": 100}},
                            "s": {"exec": ["mp-echo"], "sandbox": self.ALL, "prespawn": 2}}
                d = self.begin_in(mode, services)
                for name in "cms":
                    self.assertEqual(d.ask(name, b"hello"), b"hello", (name, d.log_text()[-2000:]))

    def begin_in(self, mode, services):
        import harness
        before = dict(harness.SPAWN)
        harness.SPAWN["MPINETD_SPAWN"] = mode
        try:
            # What runs in the daemon's memory when that ends keeps its part of it.
            keeps = {"ASAN_OPTIONS": "exitcode=66:detect_leaks=0"} if SANITIZED and mode != "vfork" else {}
            return self.begin(services, **keeps)
        finally:
            harness.SPAWN.clear()
            harness.SPAWN.update(before)

    def test_presets(self):
        for preset in ("basic", "strict"):
            with self.subTest(preset=preset):
                service = {"exec": ["mp-echo"], "sandbox": {"preset": preset}}
                d = self.begin({"c": service, "s": {**service, "prespawn": 2}, "o": {**service, "model": "on-demand"},
                                "p": {**service, "model": "pool"}, "l": {**service, "exec": ["/bin/cat"]}})
                for name in "csopl":
                    self.assertEqual(d.ask(name, b"hello"), b"hello", (name, d.log_text()[-2000:]))

    def test_nothing_is_left(self):
        d = self.begin({"e": {"exec": ["mp-echo"], "sandbox": self.ALL}})
        self.assertEqual(d.ask("e", b"hello"), b"hello")
        before = len(os.listdir(f"/proc/{d.pid}/fd"))
        for _ in range(20):
            self.assertEqual(d.ask("e", b"hello"), b"hello")
        d.wait_idle("e")
        wait_until(lambda: not children_of(d.pid), "the processes to end")
        wait_until(lambda: len(os.listdir(f"/proc/{d.pid}/fd")) <= before, "no descriptor more")
        d.mpctl("reload", check=0)
        self.assertEqual(d.ask("e", b"hello"), b"hello")

    def test_another_generation(self):
        d = self.begin({"e": {"exec": ["{trial}", "list:/tmp"], "sandbox": {}}})
        self.assertEqual(self.outcome(d), {"list:/tmp": "ok"})
        with open(d.config_path, encoding="utf-8") as file:
            text = file.read()
        with open(d.config_path, "w", encoding="utf-8") as file:
            file.write(text.replace('"sandbox": {}', '"sandbox": {"private_tmp": true, "network": "none"}'))
        d.mpctl("reload", check=0)
        self.assertEqual(self.outcome(d), {"list:/tmp": "ENODATA"})

    def test_upgrade(self):
        d = self.begin({"e": {"exec": ["mp-echo"], "sandbox": self.ALL}})
        with d.dial("e") as client:
            client.sendall(b"one")
            self.assertEqual(client.recv(3), b"one")
            d.mpctl("upgrade", check=0)
            client.sendall(b"two")
            self.assertEqual(client.recv(3), b"two")
            self.assertEqual(d.ask("e", b"three"), b"three")
        self.assertEqual(d.wait_idle("e")["exited"]["ok"], 2)


@need_root
class RootKeys(Keys):
    def test_read_write_keeps_what_was_read_only(self):
        """A mount that is read-only on the machine is not made writable by read_write above it."""
        folder = self.open_folder()
        os.mkdir(folder + "/inner", 0o777)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder + "/inner"], check=True)
        self.addCleanup(subprocess.run, ["umount", folder + "/inner"], check=True)
        got = self.tried({"read_only": ["/"], "read_write": [folder]}, f"write:{folder}/x", f"write:{folder}/inner/x")
        self.assertEqual(got, {f"write:{folder}/x": "ok", f"write:{folder}/inner/x": "EROFS"})

    def test_mounts_stay_inside(self):
        before = open("/proc/self/mountinfo", encoding="utf-8").read()
        self.tried({"private_tmp": True, "devices": "minimal", "read_only": ["/"], "hidden": ["/home"]}, "list:/")
        self.assertEqual(open("/proc/self/mountinfo", encoding="utf-8").read(), before)

    def test_capabilities(self):
        d = self.begin({name: {"exec": ["/bin/grep", "Cap", "/proc/self/status"], "user": user,
                               "sandbox": {"capabilities": kept}}
                        for name, user, kept in (("none", "nobody", []), ("some", "nobody", ["NET_BIND_SERVICE", "KILL"]),
                                                 ("root", "root", ["CHOWN"]), ("bare", "root", []))})
        def sets(name):
            return {line.split()[0][3:-1]: int(line.split()[1], 16) for line in d.ask(name, b"").decode().splitlines()}
        self.assertEqual(sets("none"), dict.fromkeys(("Inh", "Prm", "Eff", "Bnd", "Amb"), 0))
        self.assertEqual(sets("some"), dict.fromkeys(("Inh", "Prm", "Eff", "Bnd", "Amb"), 1 << 10 | 1 << 5))
        self.assertEqual(sets("root"), {"Inh": 1, "Prm": 1, "Eff": 1, "Bnd": 1, "Amb": 0})
        self.assertEqual(sets("bare"), dict.fromkeys(("Inh", "Prm", "Eff", "Bnd", "Amb"), 0))

    def test_devices_cannot_be_made(self):
        """By root neither, where it may: what is made in /dev is no device."""
        d = self.begin({"e": {"exec": ["/bin/sh", "-c", "mknod /dev/made c 1 5 && head -c 1 /dev/made 2>&1"], "user": "root",
                              "sandbox": {"devices": "minimal", "capabilities": ["MKNOD", "DAC_OVERRIDE"]}}})
        self.assertIn(b"Permission denied", d.ask("e", b""))

    @need_program("unshare", "mount")
    def test_message_queues_of_the_machine(self):
        """They are files, too, where that is mounted."""
        d = self.begin({"e": {"exec": ["/bin/ls", "-a", "/dev/mqueue"], "sandbox": {"private_ipc": True}}})
        d.stop()
        script = ("mount --make-rprivate / && mount -t tmpfs none /dev && mkdir /dev/mqueue && "
                  "mount -t mqueue none /dev/mqueue && touch /dev/mqueue/mark && mknod -m 666 /dev/null c 1 3 && exec \"$@\"")
        d.wrap = ["unshare", "-m", "-i", "sh", "-c", script, "sh"]
        d.start()
        self.assertEqual(d.ask("e", b"").split(), [b".", b".."])

    def test_root_without_capabilities(self):
        got = self.tried({"capabilities": []}, "mount:/mnt", "chroot:/", "user:1", "node:/tmp/mp-no-such-node", "bind:1", user="root")
        self.assertEqual(set(got.values()), {"EPERM", "EACCES"}, got)

    def test_root_cannot_leave(self):
        got = self.tried({"private_users": True, "read_only": ["/"], "private_pids": True, "hidden": ["/home"]},
                         "remount:/", "unmount:/home", "node:/tmp/mp-no-such-node", "trace:1", "write:/etc/x", "user:7", user="root")
        self.assertEqual({name for name, value in got.items() if value == "ok"}, set())

    def test_root_directory(self):
        folder = self.temporary_folder()
        for name in ("bin", "tmp", "dev", "proc", "etc", "home"):
            os.mkdir(f"{folder}/{name}")
        os.symlink("/etc", folder + "/link")
        with open(folder + "/etc/inner", "w", encoding="utf-8") as mark:
            mark.write("mark")
        shutil.copy(os.path.join(os.path.dirname(MPINETD), "..", "tests", "helpers", "trial"), folder + "/bin/trial")
        d = self.begin({"e": {"exec": ["/bin/trial", "read:/etc/inner", "write:/etc/x", "write:/link/x", "list:/tmp",
                                       "read:/dev/zero", "read:/dev/mem", "list:/proc/self", "list:/usr", "list:/home"],
                              "user": "root", "root_directory": folder,
                              "sandbox": {"read_only": ["/link"], "private_tmp": True, "devices": "minimal",
                                          "private_pids": True, "hidden": ["/home"]}}})
        self.assertEqual(self.outcome(d), {
            "read:/etc/inner": "ok", "write:/etc/x": "EROFS", "write:/link/x": "EROFS", "list:/tmp": "ENODATA",
            "read:/dev/zero": "ok", "read:/dev/mem": "ENOENT", "list:/proc/self": "ok", "list:/usr": "ENOENT",
            "list:/home": "ENODATA"})

    def test_root_directory_is_all_there_is(self):
        """Also for root, who may call chroot(2) in a user namespace of its own."""
        folder = self.temporary_folder()
        for name in ("bin", "tmp", "proc"):
            os.mkdir(f"{folder}/{name}")
        shutil.copy(os.path.join(os.path.dirname(MPINETD), "..", "tests", "helpers", "trial"), folder + "/bin/trial")
        for more in ({}, {"private_pids": True}, {"private_users": False}):
            with self.subTest(more=more):
                d = self.begin({"e": {"exec": ["/bin/trial", "escape:/etc/passwd"], "user": "root", "root_directory": folder,
                                      "sandbox": {"private_users": True, "read_only": ["/"], "private_tmp": True, **more}}})
                self.assertEqual(self.outcome(d), {"escape:/etc/passwd": "ENOENT"})

    def test_hidden_file_without_a_device(self):
        """A path that may be missing is still hidden where it is there."""
        folder = self.temporary_folder()
        for name in ("bin", "etc"):
            os.mkdir(f"{folder}/{name}")
        with open(folder + "/etc/inner", "w", encoding="utf-8") as mark:
            mark.write("mark")
        shutil.copy(os.path.join(os.path.dirname(MPINETD), "..", "tests", "helpers", "trial"), folder + "/bin/trial")
        d = self.begin({"e": {"exec": ["/bin/trial", "read:/etc/inner"], "user": "root", "root_directory": folder,
                              "sandbox": {"hidden": ["-/etc/inner", "-/etc/missing"]}}})
        self.assertEqual(d.ask("e", b""), b"")
        self.assertEqual(d.service("e")["last_error"]["message"],
                         "namespaces: hidden /etc/inner: No such device or address "
                         "(there is no /dev/null to be put in place of a file)")

    def test_root_directory_that_is_gone(self):
        folder = self.temporary_folder()
        os.makedirs(folder + "/root/bin")
        shutil.copy(os.path.join(os.path.dirname(MPINETD), "..", "tests", "helpers", "trial"), folder + "/root/bin/trial")
        d = self.begin({"e": {"exec": ["/bin/trial"], "user": "root", "root_directory": folder + "/root",
                              "sandbox": {"private_tmp": True}}})
        os.rename(folder + "/root", folder + "/moved")
        self.assertEqual(d.ask("e", b""), b"")
        self.assertEqual(d.service("e")["last_error"]["step"], "root_directory")

    def test_users_and_groups_of_another_user(self):
        d = self.begin({"e": {"exec": ["/bin/sh", "-c", "id -u; id -g; cat /proc/self/uid_map"], "user": "nobody",
                              "supplementary_groups": ["daemon", "adm"], "sandbox": {"private_users": True}}})
        lines = d.ask("e", b"").decode().split()
        self.assertEqual(lines, ["65534", "65534", "0", "0", "1", "65534", "65534", "1"])


@need_root
class RootPids(Pids):
    pass


@need_root
class RootTogether(Together):
    pass


@unittest.skipUnless(has_user_namespaces(), "no user namespaces for ordinary users here")
class OrdinaryKeys(Keys):
    AS_ROOT = False

    @need_program("strace")
    @unittest.skipIf(SANITIZED, "it would be looked for leaks in a traced process")
    def test_none_of_the_daemon_s_memory_is_lent(self):
        """While namespaces are made ahead their maps are written: of a process that its user may look into."""
        d = self.begin({"e": {"exec": ["mp-echo"], "sandbox": {"private_users": True, "network": "none"}}})
        tracer = subprocess.Popen(["strace", "-qq", "-e", "trace=openat", "-e", "inject=openat:delay_enter=300000", "-o", "/dev/null",
                                   "-p", str(d.pid)])
        seen = set()
        try:
            wait_until(lambda: self.is_traced(d.pid), "strace")
            with d.dial("e") as client:
                client.sendall(b"x")
                client.setblocking(False)
                def answered():
                    seen.update(self.open_programs(d.pid))
                    try:
                        return client.recv(1)
                    except BlockingIOError:
                        return None
                wait_until(answered, "the answer", interval=0.001)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(60)
        self.assertIn("mp-init", seen)
        self.assertLessEqual(seen, {"mp-init", "mp-echo"})

    def is_traced(self, pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            return "TracerPid:\t0\n" not in status.read()

    def open_programs(self, pid):
        """Of the children of `pid` those into which their user may look."""
        for child, _ in children_of(pid):
            try:
                if os.stat(f"/proc/{child}/uid_map").st_uid != 0:
                    yield os.path.basename(os.readlink(f"/proc/{child}/exe"))
            except OSError:
                pass


@unittest.skipUnless(has_user_namespaces(), "no user namespaces for ordinary users here")
class OrdinaryPids(Pids):
    AS_ROOT = False


@unittest.skipUnless(has_user_namespaces(), "no user namespaces for ordinary users here")
class OrdinaryTogether(Together):
    AS_ROOT = False


# The classes that these are made of are no tests themselves.
del Keys, Pids, Together

if __name__ == "__main__":
    unittest.main()
