# SPDX-License-Identifier: MIT
"""mpctl config: what a daemon works with, or a file comes to, and where each value came from."""
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import unittest

from harness import MPCTL, SERVICES, DaemonTest, sanitizer_environment

try:
    import yaml
except ImportError:
    yaml = None
try:
    import jsonschema
except ImportError:
    jsonschema = None

MAIN = """\
version: 1
include: services.d/*.yaml
log: {level: warning}
defaults:
  user: self
  start: now
  limits: {instances: 50}
"""
GIT = """\
services:
  git:
    description: "repositories: all of them"
    listen:
      - tcp:127.0.0.1:0
      - endpoint: "unix:{dir}/git.sock"
        mode: "0600"
    exec: [cat, "${HOME_OF_NOBODY:-$${x}}", "a\\nb\\n"]
    environment: {TOKEN: open-sesame, "NO": "yes"}
    limits:
      instances: 7
"""
OTHER = """\
services:
  other: {listen: "udp:127.0.0.1:0", exec: [mp-echo]}
"""


class ConfigTest(DaemonTest):
    def folder_with_config(self):
        folder = self.temporary_folder()
        os.mkdir(folder + "/services.d")
        for name, text in (("mpinetd.yaml", MAIN), ("services.d/git.yaml", GIT.replace("{dir}", folder)),
                           ("services.d/other.yaml", OTHER)):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        return folder

    def mpctl(self, *arguments, status=0, folder=None, environment=None):
        """(stdout, stderr) of mpctl, which ends with this status. It has no daemon but one that is named."""
        run = subprocess.run([MPCTL, *arguments], cwd=folder or "/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=60, check=False,
                             env={"PATH": os.environ["PATH"], "MPINETD_LIBEXECDIR": SERVICES, "LANG": "C.UTF-8",
                                  **sanitizer_environment(), **(environment or {})})
        out, err = run.stdout.decode("utf-8", "strict"), run.stderr.decode("utf-8", "strict")
        self.assertEqual(run.returncode, status, out + err)
        return out, err

    def document(self, *arguments, **options):
        return json.loads(self.mpctl("--json", "config", *arguments, **options)[0])


class OfAFile(ConfigTest):
    def test_document(self):
        folder = self.folder_with_config()
        document = self.document("-c", "mpinetd.yaml", folder=folder)
        self.assertEqual(list(document), ["generation", "path", "files", "config", "origins"])
        self.assertEqual(document["generation"], 0)
        self.assertEqual(document["path"], "mpinetd.yaml")
        self.assertEqual(document["files"], ["mpinetd.yaml", "services.d/git.yaml", "services.d/other.yaml"])
        self.assertEqual(document["origins"], [])
        self.assertEqual(list(document["config"]), ["version", "control", "log", "shutdown", "services"])
        git = document["config"]["services"]["git"]
        self.assertEqual(git["listen"], ["tcp:127.0.0.1:0", {"endpoint": f"unix:{folder}/git.sock", "mode": "0600"}])
        self.assertEqual(git["exec"], ["cat", "${x}", "a\nb\n"])
        self.assertEqual(git["environment"], {"TOKEN": "open-sesame", "NO": "yes"})
        self.assertEqual(git["limits"], {"instances": 7, "source_prefix": {"ipv4": 32, "ipv6": 64}, "when_full": "wait",
                                         "refuse_with": "close"})
        self.assertIs(git["enabled"], True)
        self.assertNotIn("start", git, "it does not fit its model")
        self.assertEqual(document["config"]["services"]["other"]["start"], "now")

    def test_origins(self):
        folder = self.folder_with_config()
        document = self.document("-c", "mpinetd.yaml", "--origin", folder=folder)
        origins = {(o["key"], o["applied"]): o for o in document["origins"]}
        self.assertEqual(len(origins), len(document["origins"]), "none is there twice")
        expected = {
            "log.level": ("file", "mpinetd.yaml", 3),
            "log.format": ("default", None, None),
            "services.git.limits.instances": ("service", "services.d/git.yaml", 11),
            "services.git.user": ("defaults", "mpinetd.yaml", 5),
            "services.git.listen[1].mode": ("service", "services.d/git.yaml", 7),
            "services.other.limits.instances": ("defaults", "mpinetd.yaml", 7),
            "services.other.start": ("defaults", "mpinetd.yaml", 6),
        }
        for key, (source, file, line) in expected.items():
            origin = origins[key, True]
            self.assertEqual((origin["from"], origin["file"], origin["line"]), (source, file, line), key)
        self.assertEqual(origins["services.git.start", False]["note"], "does not fit model per-connection")

    def test_yaml_loads_again(self):
        """What is printed comes to the same config, secrets and all; and once more to the same text."""
        folder = self.folder_with_config()
        before = self.document("-c", "mpinetd.yaml", folder=folder)["config"]
        for options in ((), ("--origin",)):
            text, _ = self.mpctl("config", "-c", "mpinetd.yaml", *options, folder=folder)
            with open(folder + "/again.yaml", "w", encoding="utf-8") as file:
                file.write(text)
            self.assertEqual(self.document("-c", "again.yaml", folder=folder)["config"], before)
            self.mpctl("check", "again.yaml", folder=folder)
        plain, _ = self.mpctl("config", "-c", "mpinetd.yaml", folder=folder)
        self.assertEqual(self.mpctl("config", "-c", "again.yaml", folder=folder)[0], plain)

    @unittest.skipUnless(yaml, "needs Python's yaml module")
    def test_others_read_the_same(self):
        """PyYAML, which reads YAML 1.1, finds what the JSON says."""
        folder = self.folder_with_config()
        text, _ = self.mpctl("config", "-c", "mpinetd.yaml", "--origin", folder=folder)
        document = self.document("-c", "mpinetd.yaml", folder=folder)["config"]
        document["services"]["git"]["exec"][1] = "$${x}"  # as it must stand in a file
        self.assertEqual(yaml.safe_load(text), document)

    @unittest.skipUnless(yaml, "needs Python's yaml module")
    def test_any_text(self):
        folder = self.temporary_folder()
        rng = random.Random(4711)
        letters = "abyn019_.-+:#'\"\\,[]{}&*!|>%@`~?=/ \n\t\u00e9\u2028"
        texts = ["".join(rng.choice(letters) for _ in range(rng.randrange(12))) for _ in range(300)]
        config = {"version": 1, "services": {f"s{i}": {"listen": "tcp:127.0.0.1:0", "user": "self", "exec": ["cat", t]}
                                             for i, t in enumerate(texts)}}
        with open(folder + "/c.yaml", "w", encoding="utf-8") as file:
            json.dump(config, file)
        text, _ = self.mpctl("config", "-c", "c.yaml", folder=folder)
        services = yaml.safe_load(text)["services"]
        for i, t in enumerate(texts):
            self.assertEqual(services[f"s{i}"]["exec"], ["cat", t])

    @unittest.skipUnless(yaml and jsonschema, "needs Python's yaml and jsonschema modules")
    def test_fits_the_schema(self):
        folder = self.folder_with_config()
        schema = json.loads(self.mpctl("schema")[0])
        text, _ = self.mpctl("config", "-c", "mpinetd.yaml", folder=folder)
        jsonschema.Draft7Validator(schema).validate(yaml.safe_load(text))

    def test_comments(self):
        folder = self.folder_with_config()
        text, _ = self.mpctl("config", "-c", folder + "/mpinetd.yaml", "--origin")
        self.assertRegex(text, r"(?m)^  level: warning +# mpinetd\.yaml:3$")
        self.assertRegex(text, r"(?m)^      instances: 7 +# services\.d/git\.yaml:11$")
        self.assertRegex(text, r"(?m)^      instances: 50 +# defaults, mpinetd\.yaml:7$")
        self.assertRegex(text, r"(?m)^    stderr: log +# default$")
        self.assertRegex(text, r"(?m)^    # start: not applied, does not fit model per-connection "
                               r"\(defaults, mpinetd\.yaml:6\)$")
        columns = {line.index("# ") for line in text.splitlines() if "  # " in line.lstrip() and "git.sock" not in line}
        self.assertEqual(len(columns), 1, "comments stand below each other")

    def test_plain(self):
        folder = self.folder_with_config()
        text, _ = self.mpctl("--plain", "config", "-c", "mpinetd.yaml", folder=folder)
        lines = [line.split("\t") for line in text.splitlines()]
        self.assertEqual({len(line) for line in lines}, {3})
        self.assertIn(["services.git.limits.instances", "7", "services.d/git.yaml:11"], lines)
        self.assertIn(["services.git.exec[2]", "a\\x0ab\\x0a", "services.d/git.yaml:8"], lines)

    def test_names(self):
        folder = self.folder_with_config()
        text, _ = self.mpctl("config", "-c", "mpinetd.yaml", "g*", folder=folder)
        self.assertTrue(text.startswith("services:\n  git:\n"), text)
        self.assertNotIn("other:", text)
        document = self.document("-c", "mpinetd.yaml", "--origin", "other", folder=folder)
        self.assertEqual(list(document["config"]), ["services"])
        self.assertEqual({o["key"].split(".")[1] for o in document["origins"]}, {"other"})
        _, err = self.mpctl("config", "-c", "mpinetd.yaml", "gti", folder=folder, status=4)
        self.assertIn("did you mean 'git'?", err)
        self.mpctl("config", "-c", "mpinetd.yaml", "x*", folder=folder, status=4)
        out, _ = self.mpctl("config", "-c", "mpinetd.yaml", "git", "nothing", folder=folder, status=4)
        self.assertIn("  git:\n", out)

    def test_errors(self):
        folder = self.folder_with_config()
        with open(folder + "/services.d/bad.yaml", "w", encoding="utf-8") as file:
            file.write("services: {bad: {listen: tcp:1, exce: [cat]}}\n")
        out, err = self.mpctl("config", "-c", "mpinetd.yaml", folder=folder, status=1)
        self.assertEqual(out, "")
        self.assertIn("services.d/bad.yaml:1:33: error: unknown key 'exce'", err)
        out, err = self.mpctl("--json", "config", "-c", "mpinetd.yaml", folder=folder, status=1)
        self.assertEqual(json.loads(out)["error"], "dev.mpinetd.Control.InvalidConfig")
        _, err = self.mpctl("config", "-c", "none.yaml", folder=folder, status=1)
        self.assertIn("No such file", err)

    def test_missing_program_is_shown_all_the_same(self):
        folder = self.folder_with_config()
        out, err = self.mpctl("config", "-c", "mpinetd.yaml", folder=folder,
                              environment={"MPINETD_LIBEXECDIR": "/nonexistent"})
        self.assertIn("  other:\n", out)
        self.assertRegex(err, r"\d warnings?: 'mpctl check mpinetd.yaml' shows")

    def test_colour_is_for_comments_alone(self):
        folder = self.folder_with_config()
        text, _ = self.mpctl("--color", "always", "config", "-c", "mpinetd.yaml", "--origin", folder=folder)
        without, _ = self.mpctl("config", "-c", "mpinetd.yaml", "--origin", folder=folder)
        self.assertIn("\033[2m# default\033[0m\n", text)
        self.assertEqual(text.replace("\033[2m", "").replace("\033[0m", ""), without)

    def test_no_daemon(self):
        """The file that a daemon would read, where there is one; else nobody answers."""
        home = self.temporary_folder()
        # It may be that only root can look into the build folder, and root has no config of his own.
        program = shutil.copy(MPCTL, home)
        environment = {"XDG_CONFIG_HOME": home, "HOME": home, "MPCTL_SOCKET": home + "/none.sock",
                       **sanitizer_environment()}
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

        def run():
            return subprocess.run([program, "config"], env=environment, cwd="/", text=True, check=False, timeout=60,
                                  stdin=subprocess.DEVNULL, capture_output=True, **user)
        if not os.path.exists("/etc/mpinetd/mpinetd.yaml"):
            self.assertEqual(run().returncode, 6)
        os.mkdir(home + "/mpinetd")
        with open(home + "/mpinetd/mpinetd.yaml", "w", encoding="utf-8") as file:
            file.write("version: 1\n")
        result = run()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("log:\n  level: info\n", result.stdout)
        self.assertEqual(result.stderr, f"no daemon answers: {home}/mpinetd/mpinetd.yaml as it would be loaded\n")


class InParts(ConfigTest):
    """Against a daemon that only says what it is told to."""
    ORIGIN = {"from": "default", "file": None, "line": None, "column": None, "applied": True, "note": None}
    PARTS = [
        {"generation": 3, "path": "/c.yaml", "files": ["/c.yaml"],
         "config": {"version": 1, "log": {"level": "info"}, "services": {"b": {"enabled": True}}},
         "origins": [{"key": "log.level", **ORIGIN}, {"key": "services.b.enabled", **ORIGIN}]},
        {"generation": 3, "path": "/c.yaml", "files": [],
         "config": {"services": {"a": {"environment": {"X": None, "Y": None}, "enabled": True}}},
         "origins": [{"key": "services.a.enabled", **ORIGIN}]},
        {"generation": 3, "path": "/c.yaml", "files": [], "config": {"services": {}}, "origins": []},
    ]

    def serve(self, replies):
        """Answers one call with these messages; the path of its socket."""
        path = self.temporary_folder() + "/control.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()

        def run():
            with contextlib.suppress(OSError), listener.accept()[0] as peer:
                listener.close()  # nobody answers a second time
                request = b""
                while not request.endswith(b"\0"):
                    request += peer.recv(65536)
                self.request = json.loads(request[:-1])
                for reply in replies:
                    peer.sendall(json.dumps(reply).encode() + b"\0")
                peer.recv(1)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        return path

    def parts(self):
        return self.serve([{"parameters": part, "continues": i + 1 < len(self.PARTS)}
                           for i, part in enumerate(self.PARTS)])

    def test_parts_make_one_document(self):
        document = self.document("-s", self.parts(), "--origin")
        self.assertEqual((self.request["more"], self.request["parameters"]), (True, {"origin": True}))
        self.assertEqual(document["generation"], 3)
        self.assertEqual(document["files"], ["/c.yaml"])
        self.assertEqual(document["config"], {**self.PARTS[0]["config"],
                                              "services": {**self.PARTS[0]["config"]["services"],
                                                           **self.PARTS[1]["config"]["services"]}})
        self.assertEqual([o["key"] for o in document["origins"]],
                         ["log.level", "services.b.enabled", "services.a.enabled"])

    def test_what_is_not_shown(self):
        out, _ = self.mpctl("-s", self.parts(), "config", "a")
        self.assertEqual(out, "services:\n  a:\n"
                              "    # environment: not shown to who may not manage mpinetd: X, Y\n"
                              "    enabled: true\n")

    def test_an_error_ends_it(self):
        first = {"parameters": self.PARTS[0], "continues": True}
        second = {"error": "dev.mpinetd.Control.NotAllowed", "parameters": {"method": "GetConfig"}}
        out, _ = self.mpctl("-s", self.serve([first, second]), "config", status=5)
        self.assertEqual(out, "")


class OfADaemon(ConfigTest):
    def start(self):
        folder = self.folder_with_config()
        with open(folder + "/mpinetd.yaml", encoding="utf-8") as file:
            text = file.read()
        return self.daemon(text, folder=folder)

    def test_as_loaded(self):
        d = self.start()
        mine = self.document("-c", d.config_path, "--origin")
        theirs = self.document("-s", d.socket, "--origin")
        self.assertEqual(theirs["generation"], 1)
        self.assertEqual({**theirs, "generation": 0}, mine)
        self.assertEqual(self.mpctl("-s", d.socket, "config")[0], self.mpctl("config", "-c", d.config_path)[0])

    def test_set_shows(self):
        d = self.start()
        d.mpctl("set", "git", "limits.instances=9", check=0)
        text, _ = self.mpctl("-s", d.socket, "config", "git", "--origin")
        self.assertRegex(text, r"(?m)^      instances: 9 +# set, until the next reload$")
        d.mpctl("reload", check=0)
        text, _ = self.mpctl("-s", d.socket, "config", "git", "--origin")
        self.assertRegex(text, r"(?m)^      instances: 7 +# services\.d/git\.yaml:11$")

    def test_many_services_come_in_parts(self):
        d = self.daemon({"services": {f"s{i}": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "enabled": False}
                                      for i in range(500)}})
        with d.connect() as control:
            parts = list(control.call_more("GetConfig", origin=True))
        self.assertGreater(len(parts), 1)
        self.assertIn("version", parts[0]["config"])
        self.assertFalse(any("version" in part["config"] for part in parts[1:]))
        names = [name for part in parts for name in part["config"]["services"]]
        self.assertEqual(sorted(names), sorted(f"s{i}" for i in range(500)))
        document = self.document("-s", d.socket)
        self.assertEqual(len(document["config"]["services"]), 500)


if __name__ == "__main__":
    unittest.main()
