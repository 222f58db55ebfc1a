# SPDX-License-Identifier: MIT
"""CF: configs. Each is judged by `mpinetd -t`, by a start and by a reload, which leaves the old one in force. The ids are
those of docs/faults.md."""
import json
import os
import random
import re
import resource
import subprocess
import time
import unittest

from faults import FaultTest
from harness import MPCTL, MPINETD, PATIENCE, SANITIZED, SERVICES, User, VarlinkError, need_root, sanitizer_environment

GOOD = "version: 1\ndefaults: {user: self}\nservices:\n  echo: {listen: tcp:127.0.0.1:0, exec: [mp-echo]}\n"
# How long a verdict may take that has to come at once, and what address space it may need.
AT_ONCE = 10 if SANITIZED else 2
SPACE = 1 << 29
# Not ours to judge: what this machine has not.
OF_THIS_MACHINE = ("not-found", "not-allowed")


def bounded():
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))


class ConfigTest(FaultTest):
    def setUp(self):
        self.folder = self.temporary_folder()
        self.path = os.path.join(self.folder, "c.yaml")

    def write(self, text, path=None):
        with open(path or self.path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)

    def run_check(self, *command):
        """(exit status, stderr) of it, within its time and space."""
        run = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=PATIENCE + 3 * AT_ONCE, check=False, preexec_fn=bounded,
                             env={"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES, **sanitizer_environment()})
        return run.returncode, run.stderr.decode("utf-8", "strict")

    def verdict(self, text=None):
        """By both programs: 0, or 1 with the errors told by place."""
        if text is not None:
            self.write(text)
        said = [self.run_check(*words) for words in ((MPINETD, "-t", "-c", "c.yaml"), (MPCTL, "check", "c.yaml"))]
        self.assertEqual(said[0][0], said[1][0], said)
        self.assertIn(said[0][0], (0, 1), said)
        if said[0][0]:
            self.assertRegex(said[0][1], r"(?m)^c\.yaml(:\d+:\d+)?: error: |error: ")
        return said[0]

    def refused(self, text, words=""):
        status, said = self.verdict(text)
        self.assertEqual(status, 1, (text[:200], said))
        if words:
            self.assertRegex(said, words)
        return said

    def taken(self, text):
        status, said = self.verdict(text)
        self.assertEqual(status, 0, (text[:200], said))

    def reload_refused(self, d, text):
        """The running one goes on as it is."""
        generation = d.status()["daemon"]["generation"]
        self.write(text, d.config_path)
        with self.assertRaises(VarlinkError) as caught:
            d.call("Reload")
        self.assertTrue(caught.exception.name.endswith("InvalidConfig"), caught.exception)
        self.assertEqual(d.status()["daemon"]["generation"], generation)


class Text(ConfigTest):
    weight = 5

    def test_cf_1_syntax(self):
        broken = (GOOD + "\tx: 1\n", GOOD + "  x: [1\n", GOOD + "x-a: 'open\n", GOOD + "x-a: {a: 1\n", GOOD + " x-a: 1\n", GOOD + "x-a: @1\n",
                  GOOD.replace("  echo", "   echo") + "  b: {}\n", "%YAML 9.9\n---\n" + GOOD, GOOD + "x-a: *none\n", GOOD + "? [a, b]\n", "- " + GOOD)
        d = self.start({"exec": ["mp-echo"]})
        with self.strain(d):
            for text in broken:
                with self.subTest(text=text[-30:]):
                    self.assertRegex(self.refused(text), r"(?m)^c\.yaml:\d+:\d+: error: ")
                    self.reload_refused(d, text)

    def test_cf_1_every_beginning_by_reload(self):
        """Each is taken or refused as -t says, and what it says is in force."""
        whole = GOOD + "x-a: &a {b: [1, 'two', \"th\\x72ee\"]}\nlog: {level: info}\n"
        d = self.daemon(GOOD)
        generation = d.status()["daemon"]["generation"]
        for n in range(0, len(whole), 7 if SANITIZED else 3):
            self.write(whole[:n], d.config_path)
            try:
                answer = d.call("Reload")
                self.assertGreaterEqual(answer["generation"], generation)
                generation = answer["generation"]
            except VarlinkError as error:
                self.assertTrue(error.name.endswith("InvalidConfig"), error)
            self.assertEqual(d.status()["daemon"]["generation"], generation, n)
        self.write(GOOD, d.config_path)
        d.call("Reload")
        self.assertEqual(d.ask("echo", b"x"), b"x")

    def test_cf_2_bombs_and_loops(self):
        wide = "x-0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"x-{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
        merges = "x-0: &a0 {k0: 1}\n" + "".join(f"x-{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 20)}], k{i}: 1}}\n" for i in range(1, 10))
        many = "x-a: [" + ", ".join(f"&a{i} 1" for i in range(100000)) + "]\n"
        d = self.start({"exec": ["mp-echo"]})
        # The bomb of merges has the same keys over and over, and that many anchors are merely many: bounded, whatever is said of them.
        for name, text, must in (("aliases", wide + GOOD, True), ("a loop", "x-a: &a [*a]\n" + GOOD, True), ("a loop of two", "x-a: &a {b: &b [*a], c: *b}\n" + GOOD, True),
                                 ("a loop of merges", "x-a: &a {<<: *a}\n" + GOOD, True), ("merges", merges + GOOD, False), ("anchors", many + GOOD, False)):
            with self.subTest(name):
                self.write(text)
                start = time.monotonic()
                status, said = self.run_check(MPINETD, "-t", "-c", "c.yaml")
                self.assertLess(time.monotonic() - start, AT_ONCE + 4, name)
                self.assertIn(status, (1,) if must else (0, 1), said[:500])
                if must:
                    with self.strain(d):
                        self.reload_refused(d, text)

    def test_cf_2_sound_ones(self):
        self.taken(GOOD.replace("services:", "x-a: &a {rate: 5/s}\nx-b: &b {instances: 3}\nservices:\n  m: {listen: tcp:127.0.0.1:0, "
                                "exec: &e [mp-echo], limits: {<<: [*a, *b], per_source: 2}}\n  n: {listen: tcp:127.0.0.1:0, exec: *e}"))

    def test_cf_7_bytes(self):
        """Not one is cut at a NUL, nor taken for something else than it is."""
        describe = GOOD.replace("exec:", "description: \"%s\", exec:").encode()
        for text, good in ((describe.replace(b"%s", b"a\\0b"), False), (describe.replace(b"%s", b"a\0b"), False),
                           (describe.replace(b"%s", b"\xff"), False), (describe.replace(b"%s", b"\xc0\x80"), False),
                           (describe.replace(b"%s", b"\xed\xa0\x80"), False), (describe.replace(b"%s", b"\xf5\x80\x80\x80"), False),
                           (GOOD.encode("utf-16"), False), (GOOD.encode("utf-16-be"), False), (GOOD.encode("utf-32"), False),
                           (b"\xef\xbb\xbf" + GOOD.encode(), True), (GOOD.replace("\n", "\r\n").encode(), True),
                           (describe.replace(b"%s", "h\u00e9 \U0001f600".encode()), True)):
            with self.subTest(text=text[:40]):
                status, said = self.verdict(text)
                self.assertEqual(status, 0 if good else 1, said)
        status, said = self.verdict(GOOD.replace("exec: [mp-echo]", 'exec: [mp-echo, "a\\0b"]'))
        self.assertEqual(status, 1, said)


class Keys(ConfigTest):
    weight = 5

    def explained(self):
        told = subprocess.run([MPCTL, "explain", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=60,
                              env={"PATH": os.environ["PATH"], **sanitizer_environment()})
        return json.loads(told.stdout)["keys"]

    def test_cf_4_each_level(self):
        for text, key in ((GOOD + "version: 1\n", "version"), (GOOD + "log: {level: info, level: info}\n", "level"),
                          (GOOD + "  echo: {listen: tcp:127.0.0.1:0, exec: [cat]}\n", "echo"),
                          (GOOD.replace("exec:", "user: self, user: self, exec:"), "user"),
                          (GOOD.replace("exec:", "limits: {rate: 1/s, rate: 1/s}, exec:"), "rate"),
                          (GOOD.replace("exec:", "limits: {source_prefix: {ipv4: 1, ipv4: 2}}, exec:"), "ipv4"),
                          (GOOD.replace("exec:", "environment: {A: b, A: b}, exec:"), "A"),
                          (GOOD.replace("tcp:127.0.0.1:0", "[{endpoint: tcp:127.0.0.1:0, name: a, name: a}]"), "name"),
                          (GOOD.replace("exec:", "'exec': [cat], exec:"), "exec")):
            with self.subTest(key=key):
                said = self.refused(text, r"\[duplicate-key\]")
                self.assertIn(f"'{key}'", said)

    def test_cf_10_one_endpoint_in_each_of_its_guises(self):
        os.mkdir(os.path.join(self.folder, "a"))
        os.symlink("a", os.path.join(self.folder, "b"))
        f = self.folder
        for one, other in (("tcp:127.0.0.1:7001", "tcp:127.0.0.1:7001"), ("tcp:0.0.0.0:7001", "tcp:127.0.0.1:7001"), ("tcp:7001", "tcp:[::1]:7001"),
                           ("tcp:7001", "tcp:0.0.0.0:7001"), ("tcp:[::]:7001", "tcp:7001"), ("udp:7001", "udp:127.0.0.1:7001"), ("tcp:[::1]:7001", "tcp:[0::0:1]:7001"),
                           (f"unix:{f}/x", f"unix:{f}/x"), (f"unix:{f}/x", f"unix:{f}//x"), (f"unix:{f}/a/x", f"unix:{f}/a/./x"), (f"unix:{f}/a/x", f"unix:{f}/b/x"),
                           ("unix:@x", "unix:@x"), (f"unix:{f}/x", f"unix-dgram:{f}/x")):
            with self.subTest(one=one, other=other):
                said = self.refused(GOOD + f"  a: {{listen: ['{one}'], exec: [cat]}}\n  b: {{listen: ['{other}'], exec: [cat]}}\n", r"\[conflict\]")
                self.assertLessEqual({"5", "6"}, set(re.findall(r"c\.yaml:(\d+):\d+", said)), said)
        for one, other in (("tcp:127.0.0.1:7001", "tcp:127.0.0.2:7001"), ("tcp:7001", "udp:7001"), ("tcp:0.0.0.0:7001", "tcp:[::1]:7001"),
                           ("tcp:0", "tcp:0"), ("unix:@x", "unix:@y")):
            with self.subTest(one=one, other=other):
                self.taken(GOOD + f"  a: {{listen: ['{one}'], exec: [cat]}}\n  b: {{listen: ['{other}'], exec: [cat]}}\n")

    # What an example needs beside itself; by the key's beginning.
    BESIDE = {"pool": {"model": "pool"}, "to": {"model": "forward", "exec": None}, "proxy_protocol.send": {"model": "forward", "to": "tcp:127.0.0.1:9", "exec": None},
              "start": {"model": "on-demand"}, "sensor": {"exec": None, "ban.for": None}, "restart": {"model": "on-demand"}, "tcpmux": {"listen": None},
              "timeouts.watchdog": {"notify": "sd_notify"}, "timeouts.start": {"notify": "sd_notify"}, "pass": {}, "listen": {"listen": None}, "exec": {"exec": None}}
    # Where an example does not stand on its own, this stands for it.
    INSTEAD = {"version": "", "services": "", "include": "include: [none.d/*.yaml]", "model": "model: on-demand", "defaults": "defaults: {user: self, umask: '0022'}"}

    def service_with(self, key, line):
        """A config with a service that has this line."""
        words = {"listen": "tcp:127.0.0.1:0", "exec": "[mp-echo]"}
        for beginning, beside in self.BESIDE.items():
            if key == beginning or key.startswith(beginning + "."):
                words.update(beside)
        names = {line.split(":")[0]}
        text = "".join(f"    {name}: {value}\n" for name, value in words.items() if value is not None and name not in names)
        return f"version: 1\ndefaults: {{user: self}}\nservices:\n  s:\n{text}    {line}\n"

    def config_with(self, entry, line):
        if entry["scope"] not in ("service", "listen", "endpoint"):
            name = line.split(":")[0]
            return (GOOD if name not in ("services", "defaults", "version") else
                    "\n".join(x for x in GOOD.splitlines() if not x.startswith(name) and not (name == "services" and x.startswith("  "))) + "\n") + line + "\n"
        return self.service_with(entry["key"], line)

    def errors_of(self, text):
        """{code} of the errors."""
        self.write(text)
        _, said = self.run_check(MPCTL, "check", "c.yaml")
        return {code for code in re.findall(r"error: .*\[([a-z-]+)\]$", said, re.M)}, said

    @staticmethod
    def spoilt(entry):
        """A line in which the key has a value that it cannot have."""
        first, *rest = entry["key"].split(".")
        value = "[[1]]" if entry["type"] in ("variables", "services by name", "keys of a service") else "{no_such: 1}"
        for name in reversed(rest):
            value = f"{{{name}: {value}}}"
        return f"{first}: {value}"

    def test_cf_16_each_key(self):
        """Its own example is taken, and what it cannot be is refused at its place."""
        checked = 0
        for entry in self.explained():
            key = entry["key"]
            if key == "x-*":
                self.taken(GOOD + "x-whatever: {a: [b]}\n")
                self.refused(GOOD + "xwhatever: 1\n", r"\[unknown-key\]")
                continue
            with self.subTest(key=key):
                line = self.INSTEAD.get(key, entry["example"])
                codes, said = self.errors_of(self.config_with(entry, line) if line else GOOD)
                self.assertLessEqual(codes, set(OF_THIS_MACHINE), said)
                codes, said = self.errors_of(self.config_with(entry, self.spoilt(entry)))
                self.assertTrue(codes - set(OF_THIS_MACHINE), said)
                self.assertTrue(codes & {"wrong-type", "bad-value", "unknown-key", "missing-key"}, said)
                checked += 1
        self.assertGreater(checked, 90)


class Files(ConfigTest):
    weight = 5

    def at_once(self, status, words, *, timeout=AT_ONCE + 8):
        start = time.monotonic()
        got, said = self.run_check(MPINETD, "-t", "-c", "c.yaml")
        self.assertLess(time.monotonic() - start, timeout)
        self.assertEqual(got, status, said[:500])
        self.assertRegex(said, words)
        got, said = self.run_check(MPCTL, "check", "c.yaml")
        self.assertEqual(got, status, said[:500])

    def test_cf_8_no_config_at_all(self):
        for text, words in (("", "version"), ("# only words\n", "version"), ("---\n", ""), ("---\n...\n---\n" + GOOD, ""), (GOOD + "---\n" + GOOD, "document"),
                            ("version: 1\n" + "---\n" * 3, "document"), ("just words\n", ""), ("7\n", ""), ("null\n", "")):
            with self.subTest(text=text[:20]):
                self.refused(text, words)

    def test_cf_8_more_than_it_reads(self):
        self.write(GOOD + "x-a: '" + "x" * 50_000_000 + "'\n")
        self.at_once(1, "1 MiB|too large|large")
        with open(self.path, "wb") as file:
            file.truncate(1 << 30)
        self.at_once(1, "1 MiB|too large|large")

    def test_cf_8_what_is_no_file(self):
        def place(make):
            if os.path.lexists(self.path):
                os.unlink(self.path)
            make()
        for name, make in (("a FIFO", lambda: os.mkfifo(self.path)), ("zeros", lambda: os.symlink("/dev/zero", self.path)),
                           ("nothing", lambda: os.symlink("/dev/null", self.path)), ("a loop", lambda: os.symlink("c.yaml", self.path)),
                           ("nobody", lambda: os.symlink("/no/such/file", self.path))):
            with self.subTest(name):
                place(make)
                self.at_once(1, "error")
        os.unlink(self.path)
        os.mkdir(self.path)
        self.at_once(1, "directory|folder|regular file")

    def test_cf_8_by_reload(self):
        d = self.start({"exec": ["mp-echo"]})
        with self.strain(d):
            for make in (lambda path: os.mkfifo(path), lambda path: os.symlink("/dev/zero", path), os.mkdir,
                         lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 30)):
                os.unlink(d.config_path)
                make(d.config_path)
                with self.assertRaises(VarlinkError) as caught:
                    d.call("Reload")
                self.assertTrue(caught.exception.name.endswith("InvalidConfig"), caught.exception)
                (os.rmdir if os.path.isdir(d.config_path) else os.unlink)(d.config_path)
                self.write("", d.config_path)

    @need_root
    def test_cf_11_unreadable(self):
        self.write(GOOD)
        os.chmod(self.path, 0o600)
        os.chmod(self.folder, 0o755)
        somebody = User(random.randint(200000, 900000))
        status, said = somebody.run(self.run_check, MPCTL, "check", "c.yaml")
        self.assertEqual(status, 1, said)
        self.assertIn("Permission denied", said)
        self.assertNotIn("mp-echo", said)

    def test_cf_13_a_folder_of_includes(self):
        """Other names are left alone; one that goes while it is read is told or left out, and nobody crashes."""
        d = os.path.join(self.folder, "d")
        os.mkdir(d)
        for name in ("x.yaml.bak", "x.yaml.dpkg-new", "x.yaml~", ".x.yaml", "x.yml", "x.yaml.swp"):
            self.write("this: is wrong\n", os.path.join(d, name))
        for n in range(200):
            self.write(f"services: {{s{n}: {{listen: tcp:127.0.0.1:0, exec: [mp-echo]}}}}\n", os.path.join(d, f"{n:03}.yaml"))
        main = "include: [d/*.yaml]\n" + GOOD
        self.taken(main)
        os.symlink("gone", os.path.join(d, "y.yaml"))
        self.refused(main, "y.yaml")
        os.unlink(os.path.join(d, "y.yaml"))
        for n in range(200, 700):
            self.write("services: {}\n", os.path.join(d, f"{n:03}.yaml"))
        self.refused(main, "512|files")

    def test_cf_13_files_that_come_and_go(self):
        d = os.path.join(self.folder, "d")
        os.mkdir(d)
        self.write("include: [d/*.yaml]\n" + GOOD)
        stop = os.path.join(self.folder, "stop")
        busy = subprocess.Popen(["/bin/sh", "-c", "while [ ! -e stop ]; do for i in 1 2 3 4 5; do echo 'services: {}' >d/t; mv d/t d/$i.yaml; done; rm -f d/*.yaml; done"],
                                cwd=self.folder, stderr=subprocess.DEVNULL)
        try:
            for _ in range(15 if SANITIZED else 60):
                status, said = self.run_check(MPINETD, "-t", "-c", "c.yaml")
                self.assertIn(status, (0, 1), said)
                if status:
                    self.assertRegex(said, r"No such file|not found|missing|cannot be")
        finally:
            self.write("", stop)
            busy.wait()


if __name__ == "__main__":
    unittest.main()
