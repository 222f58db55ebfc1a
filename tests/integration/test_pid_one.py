# SPDX-License-Identifier: MIT
"""The daemon as the first process of a PID namespace, as in a container: it reaps, its signals mean what they always do, its end
is the end of all; mpctl ping tells whether it is well; and the Containerfile's steps lead to something that works."""
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from harness import (BUILD, MPCTL, MPINETD, PATIENCE, ROOT, SANITIZED, Daemon, DaemonTest, children_of, free_port, need_program,
                     need_root, process_alive, program, read_all, wait_until)

# Forks twice, so that nobody but PID 1 is left to reap.
ORPHANS = "for i in 1 2 3 4 5; do (sleep 0.$i & setsid sleep 0.$i &) ; done; cat"
N_ORPHANS = 10


class First(Daemon):
    """Its process is that of unshare; `inner` is the daemon's number out here."""

    def start(self, wait=True):
        super().start(wait=False)
        self.inner = wait_until(self._find, "the daemon in its namespace")
        self.process.send_signal = lambda sig: os.kill(self.inner, sig)
        if wait:
            self.wait_ready()
        return self

    def _find(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log_text()[-3000:]}")
        for pid, state in children_of(self.process.pid):
            if state != "Z" and os.readlink(f"/proc/{pid}/exe") == MPINETD:
                return pid
        return None


class PidOneTest(DaemonTest):
    def begin(self, service, kind="root", **more):
        flags = {"root": ["-pf", "--mount-proc"], "user": ["-Urpf", "--mount-proc"]}[kind]
        if subprocess.run(["unshare", *flags, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
            self.skipTest(f"no namespaces here: unshare {' '.join(flags)}")
        d = First({"services": {"s": {"listen": "tcp:127.0.0.1:0", **service}}, **more}, wrap=["unshare", *flags])
        self.addCleanup(d.remove)
        self.addCleanup(d.stop)
        self.assertEqual(d.call("Ping")["pid"], 1)
        return d


@need_program("unshare")
class PidOne(PidOneTest):
    def kinds(self):
        for kind in ("root", "user") if os.geteuid() == 0 else ("user",):
            with self.subTest(kind):
                yield kind

    def test_dm_10_orphans(self):
        for kind in self.kinds():
            d = self.begin({"exec": ["sh", "-c", ORPHANS]}, kind)
            for _ in range(3):
                self.assertEqual(d.ask("s", b"x"), b"x")
            wait_until(lambda: not children_of(d.inner), "that all are reaped")
            os.kill(d.inner, signal.SIGUSR1)
            said = d.wait_log(event="summary")[0]["message"]
            self.assertEqual(int(re.search(r"(\d+) orphans", said).group(1)), 3 * N_ORPHANS)
            s = d.service("s")
            self.assertEqual((s["active"], s["exited"]["ok"]), (0, 3))
            d.stop()

    def test_dm_10_many_orphans_at_once(self):
        d = self.begin({"exec": ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.3 & sleep 0.3 & sleep 0.3 &); done"]},
                       "root" if os.geteuid() == 0 else "user")
        for _ in range(10):
            d.dial("s").close()
        wait_until(lambda: d.service("s")["exited"]["ok"] == 10 and not children_of(d.inner), "that all are reaped")

    def test_dm_10_signals(self):
        for kind in self.kinds():
            d = self.begin({"exec": ["cat"]}, kind)
            generation = d.call("Ping") and d.status()["daemon"]["generation"]
            os.kill(d.inner, signal.SIGHUP)
            wait_until(lambda: d.status()["daemon"]["generation"] == generation + 1, "the reload")
            os.kill(d.inner, signal.SIGUSR1)
            d.wait_log(event="summary")
            for sig in (signal.SIGPIPE, signal.SIGALRM, signal.SIGUSR1, signal.SIGTSTP, signal.SIGTTIN):
                os.kill(d.inner, sig)
            self.assertEqual(d.ask("s", b"x"), b"x")
            os.kill(d.inner, signal.SIGUSR2)
            d.wait_log(event="upgraded")
            self.assertEqual(d.call("Ping")["pid"], 1)
            self.assertEqual(d.ask("s", b"x"), b"x")
            d.stop(signal.SIGINT)

    def test_dm_10_term_drains(self):
        for kind in self.kinds():
            d = self.begin({"exec": ["cat"]}, kind, shutdown={"drain": "30s"})
            with d.dial("s") as s:
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")
                os.kill(d.inner, signal.SIGTERM)
                d.wait_log(event="stopping")
                s.sendall(b"y")
                self.assertEqual(s.recv(1), b"y")
            self.assertEqual(d.process.wait(PATIENCE), 0)
            d.process = None

    def test_dm_10_its_end_is_the_end_of_all(self):
        for kind in self.kinds():
            d = self.begin({"exec": ["sh", "-c", "setsid sh -c 'trap \"\" TERM HUP; echo here; sleep 1000' & cat"]}, kind)
            with d.dial("s") as s:
                self.assertEqual(s.recv(5), b"here\n")
                left = [pid for pid, _ in children_of(d.inner)]
                os.kill(d.inner, signal.SIGQUIT)
                self.assertEqual(read_all(s), b"")
                self.assertEqual(d.process.wait(PATIENCE), 0)
            self.assertFalse([pid for pid in left if process_alive(pid)])
            d.process = None

    def test_health(self):
        d = self.begin({"exec": ["cat"]}, "root" if os.geteuid() == 0 else "user")

        def ping():
            begin = time.monotonic()
            status = d.mpctl("ping", "--timeout", "1s", "-q").returncode
            self.assertLess(time.monotonic() - begin, 5)
            return status
        self.assertEqual(ping(), 0)
        os.kill(d.inner, signal.SIGSTOP)
        try:
            self.assertEqual(ping(), 6)
        finally:
            os.kill(d.inner, signal.SIGCONT)
        self.assertEqual(ping(), 0)
        d.stop()
        self.assertEqual(ping(), 6)


def steps():
    """[(word, text)] of the Containerfile."""
    with open(os.path.join(ROOT, "Containerfile"), encoding="utf-8") as f:
        text = "".join(line for line in f if not line.startswith("#"))
    return [tuple(line.split(None, 1)) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


class Containerfile(DaemonTest):
    def of(self, word):
        return [text for name, text in steps() if name == word]

    def test_images_are_short_names(self):
        for image in self.of("FROM"):
            self.assertRegex(image, r"^debian:12-slim( AS \w+)?$")

    def test_what_is_copied_is_there(self):
        stages = {text.split(" AS ")[1] for text in self.of("FROM") if " AS " in text}
        for text in self.of("COPY"):
            *options, source, _ = text.split()
            if options:
                self.assertIn(options[0].removeprefix("--from="), stages)
            else:
                self.assertTrue(os.path.exists(os.path.join(ROOT, source)), source)

    def test_packages(self):
        """What ./dev installs in order to build."""
        with open(os.path.join(ROOT, "dev"), encoding="utf-8") as f:
            wanted = re.search(r"^packages_build=\((.*?)\)", f.read(), re.M | re.S).group(1).split()
        self.assertEqual(sorted(wanted), sorted(re.search(r"recommends(.*?)&&", self.of("RUN")[0]).group(1).split()))

    def test_config(self):
        run = subprocess.run([MPINETD, "-t", "-c", os.path.join(ROOT, "conf", "container.yaml")], check=False, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={**os.environ, "MPINETD_LIBEXECDIR": os.path.join(BUILD, "services")})
        self.assertEqual(run.returncode, 0, run.stdout)

    def test_health_check(self):
        command = json.loads(re.search(r"CMD (\[.*\])", self.of("HEALTHCHECK")[0]).group(1))
        self.assertEqual(command[0], "mpctl")
        run = subprocess.run([MPCTL, "-s", "/nonexistent/control.sock", *command[1:]], check=False)
        self.assertEqual(run.returncode, 6)

    @need_root
    @need_program("unshare", "chroot", "meson", "ldd", "ninja")
    @unittest.skipIf(SANITIZED, "its libraries want more than a container has")
    def test_its_steps(self):
        """Installed into a tree of its own with the libraries that it needs, and started as the entry point says: as root, and
        as the user that is made for it."""
        tree, port = self.tree(), free_port()
        entry = json.loads(self.of("ENTRYPOINT")[0])
        for user in (["--userspec=0:0"], ["--userspec=100:101"]):
            with self.subTest(user):
                process = subprocess.Popen(["unshare", "-mpf", f"--mount-proc={tree}/proc", program("chroot"), *user, tree, *entry],
                                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                           env={"PORT": str(port), "PATH": "/usr/sbin:/usr/bin"})
                self.addCleanup(process.stderr.close)
                self.addCleanup(process.kill)

                def healthy():
                    return subprocess.run([program("chroot"), tree, "mpctl", "ping", "--timeout", "2s", "-q"], check=False,
                                          stderr=subprocess.DEVNULL, env={"PATH": "/usr/bin", "MPCTL_SOCKET": self.socket}
                                          ).returncode == 0
                try:
                    wait_until(healthy, "the health check")
                except AssertionError as error:
                    process.kill()
                    raise AssertionError(f"{error}: {process.stderr.read().decode()[-2000:]}") from None
                self.assertIn("listening", self.ctl(tree, "status", "--plain"))
                (inner,) = [pid for pid, _ in children_of(process.pid)]
                os.kill(inner, signal.SIGTERM)
                self.assertEqual(process.wait(PATIENCE), 0)
                # A container begins with what the image has.
                os.unlink(f"{tree}{self.socket}.lock")

    def ctl(self, tree, *arguments):
        return subprocess.run([program("chroot"), tree, "mpctl", *arguments], check=True, stdout=subprocess.PIPE, text=True,
                              env={"PATH": "/usr/bin", "MPCTL_SOCKET": self.socket}).stdout

    socket = "/run/mpinetd/control.sock"

    def tree(self):
        tree = self.temporary_folder()
        for folder in ("dev", "proc", "run/mpinetd", "tmp", "etc/mpinetd", "usr/sbin", "usr/bin", "usr/lib"):
            os.makedirs(os.path.join(tree, folder))
        os.symlink("usr/lib", os.path.join(tree, "lib"))
        os.symlink("usr/lib", os.path.join(tree, "lib64"))
        os.mknod(os.path.join(tree, "dev/null"), 0o666 | 0o020000, os.makedev(1, 3))
        os.chmod(os.path.join(tree, "dev/null"), 0o666)
        self.assertIn("install -d -m 1777 /run/mpinetd", self.of("RUN")[2])
        os.chmod(os.path.join(tree, "run/mpinetd"), 0o1777)
        with open(os.path.join(tree, "etc/passwd"), "w", encoding="ascii") as f:
            f.write("root:x:0:0:root:/root:/bin/sh\nmpinetd:x:100:101::/nonexistent:/usr/sbin/nologin\n")
        with open(os.path.join(tree, "etc/group"), "w", encoding="ascii") as f:
            f.write("root:x:0:\nmpinetd:x:101:\n")
        # The build here has a prefix of its own, where its programs expect themselves.
        staging = self.temporary_folder()
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", staging], check=True,
                       stdout=subprocess.DEVNULL)
        wanted = {}
        for folder, _, files in os.walk(staging):
            for name in ("mpinetd", "mpctl", "mp-echo"):
                if name in files and "bash-completion" not in folder and os.access(os.path.join(folder, name), os.X_OK):
                    wanted[name] = os.path.join(folder, name)
        for name, source in wanted.items():
            for target in (source.removeprefix(staging), f"/usr/{'sbin' if name == 'mpinetd' else 'bin'}/{name}"):
                os.makedirs(os.path.dirname(tree + target), exist_ok=True)
                shutil.copy2(source, tree + target)
            for line in subprocess.run(["ldd", source], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
                path = next((word for word in line.split() if word.startswith("/")), None)
                if path:
                    shutil.copy2(path, os.path.join(tree, "usr/lib", os.path.basename(path)))
        self.assertEqual(sorted(wanted), ["mp-echo", "mpctl", "mpinetd"])
        shutil.copy(os.path.join(ROOT, "conf", "container.yaml"), os.path.join(tree, "etc/mpinetd/mpinetd.yaml"))
        with open(os.path.join(tree, "etc/mpinetd/mpinetd.yaml"), encoding="utf-8") as f:
            text = f.read()
        # Beside whatever has this port on the machine.
        with open(os.path.join(tree, "etc/mpinetd/mpinetd.yaml"), "w", encoding="utf-8") as f:
            f.write(text.replace("tcp:7777", "tcp:127.0.0.1:${PORT}"))
        return tree


if __name__ == "__main__":
    unittest.main()
