# SPDX-License-Identifier: MIT
"""Completion of mpctl, asked of the shells themselves: what they offer, and what stands on the line after a TAB."""
import contextlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time

from harness import (MPCTL, PATIENCE, ROOT, DaemonTest, need_program, sanitizer_environment, wait_until)

SCRIPTS = os.path.join(ROOT, "ctl", "completion")
# Names with every character that a name may have and a shell may mind.
NAMES = ("alpha", "web@1", "web@2", "a.b", "a+c", "under_score", "da-sh")


def services():
    echo = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}
    return {"services": {**{name: dict(echo) for name in NAMES},
                         "off": {**echo, "enabled": False}, "cat": {**echo, "exec": ["cat"]}}}


class Completion(DaemonTest):
    """What all of these need: a folder with mpctl in it, for PATH."""

    def setUp(self):
        self.folder = self.temporary_folder()
        os.symlink(MPCTL, os.path.join(self.folder, "mpctl"))
        # Files that are offered, with blanks in the name.
        for name in ("new.yaml", "two words.yaml"):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write("version: 1\n")

    def environment(self, path):
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "LANG": "C.UTF-8", "HOME": self.folder, "TERM": "dumb",
                "MPCTL_SOCKET": path, "XDG_CONFIG_HOME": self.folder, "XDG_DATA_HOME": self.folder,
                **sanitizer_environment()}

    def dead_socket(self):
        """A socket's node where nobody listens any more."""
        path = os.path.join(self.folder, "dead.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.bind(path)
        return path

    def ask(self, path, *words):
        """{value: description} of `mpctl __complete`, which never fails and never speaks."""
        run = subprocess.run([MPCTL, "__complete", "--", *words], stdin=subprocess.DEVNULL, capture_output=True,
                             env=self.environment(path), timeout=60, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        text = run.stdout.decode()
        self.assertNotRegex(text, r"[\x00-\x08\x0b-\x1f\x7f]")
        lines = [line.split("\t") for line in text.splitlines()]
        self.assertTrue(all(len(line) == 2 for line in lines), text)
        return dict(lines)


class Complete(Completion):
    """The verb behind them all."""

    def test_live(self):
        d = self.daemon(services())
        names = self.ask(d.socket, "status", "")
        self.assertEqual(set(names), {*NAMES, "off", "cat"})
        self.assertEqual(names["off"], "disabled, tcp:127.0.0.1:0")
        self.assertRegex(names["alpha"], "^listening, tcp:127.0.0.1:")
        # What has been typed is not offered again; -s goes before MPCTL_SOCKET, also as -sPATH and in part.
        self.assertEqual(set(self.ask(d.socket, "stop", "web@1", "we")), {"web@2"})
        for option in (["-s", d.socket], [f"-s{d.socket}"], [f"--socket={d.socket}"], ["--sock", d.socket],
                       ["-s", "/nowhere", "-qs", d.socket]):
            self.assertEqual(set(self.ask("/nowhere", *option, "stop", "a")), {"alpha", "a.b", "a+c"}, option)
            self.assertEqual(set(self.ask("/nowhere", "stop", *option, "--", "a")), {"alpha", "a.b", "a+c"}, option)
        self.assertEqual(self.ask(d.socket, "-s", "/nowhere", "stop", ""), {})
        self.assertEqual(set(self.ask(d.socket, "events", "--service", "al")), {"alpha"})
        self.assertEqual(set(self.ask(d.socket, "events", "--service=al")), {"--service=alpha"})
        self.assertEqual(self.ask(d.socket, "events", "a"), {})

    def test_home(self):
        d = self.daemon(services())
        os.symlink(d.socket, os.path.join(self.folder, "mine.sock"))
        self.assertEqual(set(self.ask("/nowhere", "-s", "~/mine.sock", "status", "al")), {"alpha"})

    def test_kill(self):
        d = self.daemon(services())
        if "kill" not in self.ask(d.socket, ""):
            self.skipTest("this mpctl has no kill")
        with d.dial("cat") as one, d.dial("cat") as two:
            one.sendall(b"x")
            two.sendall(b"x")
            wait_until(lambda: len(d.instances("cat")) == 2)
            found = self.ask(d.socket, "kill", "")
            self.assertEqual(set(NAMES) - set(found), set())
            pids = {str(i["pid"]): f"cat {i['peer']}" for i in d.instances("cat")}
            self.assertEqual({pid: found[pid] for pid in pids}, pids)
            first = min(pids)
            self.assertNotIn(first, self.ask(d.socket, "kill", "-s", "HUP", first, ""))
            # -s is the signal behind the verb and the socket before it.
            self.assertIn("HUP", self.ask(d.socket, "kill", "-s", ""))
            self.assertEqual(self.ask("/nowhere", "-s", d.socket, "kill", "-s", "HUP", "al").keys(), {"alpha"})
            self.assertEqual(self.ask(d.socket, "kill", "--source", "::1", ""), {})

    def test_silent(self):
        """No daemon, a node that nobody listens on, no folder: nothing, at once."""
        for path in ("/nowhere/control.sock", self.dead_socket(), "", "x" * 200, self.folder):
            before = time.monotonic()
            self.assertEqual(self.ask(path, "status", ""), {}, path)
            self.assertIn("status", self.ask(path, "st"), path)
            self.assertLess(time.monotonic() - before, 5)

    def hanging(self, backlog):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(server.close)
        path = os.path.join(self.folder, "hangs.sock")
        server.bind(path)
        server.listen(backlog)
        return server, path

    def test_hanging_daemon(self):
        """One that does not answer, and one whose queue is full besides, cost about a second."""
        _, path = self.hanging(0)
        self.assert_soon_nothing(path)
        with contextlib.ExitStack() as stack:
            full = False
            while not full:
                client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                client.setblocking(False)
                try:
                    client.connect(path)
                except BlockingIOError:
                    full = True
            self.assert_soon_nothing(path)

    def assert_soon_nothing(self, path):
        before = time.monotonic()
        self.assertEqual(self.ask(path, "status", ""), {})
        self.assertLess(time.monotonic() - before, 4)

    def answer(self, *replies):
        """A server that answers each call with what is given, as bytes."""
        server, path = self.hanging(5)
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            connection, _ = server.accept()
            for reply in replies:
                connection.recv(65536)
                connection.sendall(reply)
            os._exit(0)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        return path

    def test_hostile_daemon(self):
        """What comes from outside: a name that a shell would take for something else is not offered."""
        bad = ["$(touch x)", "a b", "`id`", "a\\nb", "a\\tb", "\\u001b[2J", "a;b", "--json", "-x", "", "a'b", "a\\\\b",
               "é", "a/b", "*", "~", "a=b"]
        names = ",".join(f'{{"name":"{name}","state":"x\\n\\u001b[1m\\ty","listen":["t\\n"]}}' for name in [*bad, "good"])
        path = self.answer(b'{"parameters":{"services":[' + names.encode() + b"]}}\0")
        self.assertEqual(list(self.ask(path, "status", "")), ["good"])

    def test_nonsense(self):
        for reply in (b"\0", b"garbage\0", b"{}\0", b'{"parameters":{"services":7}}\0', b'{"error":"a.b"}\0', b"",
                      b'{"parameters":{"services":[1,null,{"name":3}]}}\0', b"{" * 100000 + b"\0"):
            with self.subTest(reply=reply[:40]):
                path = self.answer(reply)
                self.assertEqual(self.ask(path, "status", ""), {})
                os.unlink(path)


class Shell:
    """An interactive shell on a terminal. `mpctl` in it is a function that shows its arguments, so that what a TAB has
    put on the line is seen as the shell understands it."""

    def __init__(self, command, environment, setup, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, environment)
        self.screen = ""
        # The text that is waited for does not stand in what is typed.
        self.send(setup + "\nmpctl() { printf 'RAN'; printf '<%s>' \"$@\"; printf 'END\\n'; }; echo rea''dy\n")
        self.expect("ready\r?\n")

    def send(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.screen += re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[=>])", "", data.decode(errors="replace"))
            seconds = 0
        return True

    def expect(self, pattern, seconds=None):
        """Waits until it is on the screen, and forgets the screen up to there."""
        end = time.monotonic() + (seconds or 2 * PATIENCE)
        while not (found := re.search(pattern, self.screen)):
            if time.monotonic() > end or not self.read(0.1):
                raise AssertionError(f"no {pattern!r} on the screen: {self.screen[-2000:]!r}")
        seen, self.screen = self.screen[:found.end()], self.screen[found.end():]
        return found, seen

    def quiet(self, seconds=0.4):
        """Until nothing comes any more."""
        before = None
        while before != self.screen:
            before = self.screen
            self.read(seconds)

    def tab(self, line, keys="\t"):
        """Types, presses TAB, then RETURN: the arguments that the line has then."""
        self.quiet(0.05)
        self.screen = ""
        self.send(line)
        self.quiet(0.1)
        self.send(keys)
        # The shell reads on only when it has completed.
        self.send("\n")
        found, seen = self.expect(r"RAN(.*?)END\r?\n")
        return re.findall(r"<(.*?)>", found[1]), seen

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


# What is typed, and the arguments of the line then. None: it stays as it is.
TABS = [
    ("mpctl stat", ["status"]),
    ("mpctl status al", ["status", "alpha"]),
    ("mpctl status a.", ["status", "a.b"]),
    ("mpctl status a+", ["status", "a+c"]),
    ("mpctl stop und", ["stop", "under_score"]),
    ("mpctl stop da-", ["stop", "da-sh"]),
    ("mpctl stop web@1 we", ["stop", "web@1", "web@2"]),
    ("mpctl stop web@2 web@", ["stop", "web@2", "web@1"]),
    ("mpctl stop 'al", ["stop", "alpha"]),
    ("mpctl --color=al", ["--color=always"]),
    ("mpctl status --fai", ["status", "--failed"]),
    ("mpctl events --service=al", ["events", "--service=alpha"]),
    ("mpctl -q events --service und", ["-q", "events", "--service", "under_score"]),
    ("mpctl status -o LAST", ["status", "-o", "LAST-ERROR"]),
    ("mpctl status -o SERVICE,LAST", ["status", "-o", "SERVICE,LAST-ERROR"]),
    ("mpctl status -o +LAST", ["status", "-o", "+LAST-ERROR"]),
    ("mpctl check new", ["check", "new.yaml"]),
    ("mpctl check two", ["check", "two words.yaml"]),
    ("mpctl explain limits.wh", ["explain", "limits.when_full"]),
    ("mpctl status nosuch", ["status", "nosuch"]),
    ("mpctl nosuch ", ["nosuch"]),
]
TABS_SET = [
    ("mpctl set alpha limits.inst", ["set", "alpha", "limits.instances="]),
    ("mpctl set alpha limits.when_full=re", ["set", "alpha", "limits.when_full=refuse"]),
    ("mpctl kill -s HU", ["kill", "-s", "HUP"]),
]


class OnATerminal:
    """Mixed into the tests of a shell that has readline's or zle's TAB."""

    def tabs(self, d):
        return TABS + (TABS_SET if {"set", "kill"} <= self.ask(d.socket, "").keys() else [])

    def test_tab(self):
        d = self.daemon(services())
        shell = self.shell(d.socket)
        for line, wanted in self.tabs(d):
            with self.subTest(line=line):
                self.assertEqual(shell.tab(line)[0], wanted)

    def test_dead_socket(self):
        """TAB on the name of a service, where no daemon is: nothing is said, the line stays."""
        shell = self.shell(self.dead_socket())
        words, seen = shell.tab("mpctl status al", "\t\t")
        self.assertEqual(words, ["status", "al"])
        self.assertNotRegex(seen, "(?i)mpinetd|error|hint|not running")
        self.assertEqual(shell.tab("mpctl status --fai")[0], ["status", "--failed"])

    def test_own_binary(self):
        """The mpctl that is typed is the one that is asked."""
        d = self.daemon(services())
        shell = self.shell(d.socket)
        shell.send("PATH=/usr/bin:/bin\n")
        shell.send(f"{MPCTL} expl\t --help; echo so it i''s\n")
        _, seen = shell.expect(r"so it is\r?\n")
        self.assertIn("mpctl explain", seen)


@need_program("bash")
class Bash(OnATerminal, Completion):
    script = os.path.join(SCRIPTS, "mpctl.bash")

    def shell(self, path):
        setup = f"PS1='% '; PS2=; bind 'set bell-style none' 'set enable-bracketed-paste off'; . {self.script}"
        shell = Shell(["bash", "--norc", "--noprofile", "-i"], self.environment(path), setup, self.folder)
        self.addCleanup(shell.close)
        return shell

    def reply(self, path, *words):
        """COMPREPLY for words as bash would cut them."""
        quoted = " ".join("'" + word + "'" for word in words)
        script = (f". {self.script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _mpctl mpctl; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        run = subprocess.run(["bash", "--norc", "--noprofile", "-c", script], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, env=self.environment(path), timeout=60, check=False)
        self.assertEqual(run.stderr, "")
        return run.stdout.split()

    def test_function(self):
        d = self.daemon(services())
        self.assertEqual(self.reply(d.socket, "mpctl", "stat"), ["status"])
        self.assertEqual(set(self.reply(d.socket, "mpctl", "stop", "")), {*NAMES, "off", "cat"})
        self.assertEqual(self.reply("/nowhere", "mpctl", "-s", d.socket, "stop", "al"), ["alpha"])
        self.assertEqual(self.reply(d.socket, "mpctl", "--color", "n"), ["never"])
        self.assertEqual(self.reply(self.dead_socket(), "mpctl", "stop", ""), [])

    def test_no_expansion(self):
        """Nothing that is typed is run by pressing TAB."""
        d = self.daemon(services())
        trap = os.path.join(self.folder, "trap")
        self.reply(d.socket, "mpctl", f"$(touch {trap})", f"`touch {trap}`", "a")
        self.reply(d.socket, "mpctl", "status", f"$(touch {trap})")
        self.assertFalse(os.path.exists(trap))


@need_program("zsh")
class Zsh(OnATerminal, Completion):
    def shell(self, path):
        setup = (f"PS1='% '; fpath=({SCRIPTS} $fpath); autoload -Uz compinit; compinit -D -u; unsetopt beep zle_bracketed_paste; "
                 "zstyle ':completion:*' menu no; unsetopt auto_menu; PROMPT_EOL_MARK=")
        shell = Shell(["zsh", "-f", "-i"], self.environment(path), setup, self.folder)
        self.addCleanup(shell.close)
        return shell

    def test_descriptions(self):
        d = self.daemon(services())
        shell = self.shell(d.socket)
        _, seen = shell.tab("mpctl status ")
        self.assertRegex(seen, r"web@1 +-- +listening, tcp:127\.0\.0\.1:")
        _, seen = shell.tab("mpctl --")
        self.assertRegex(seen, r"--failed +-- +only services in state failed")


@need_program("fish")
class Fish(Completion):
    def offers(self, path, line):
        """{value: description}"""
        run = subprocess.run(["fish", "--no-config", "-c",
                              f"source {SCRIPTS}/mpctl.fish; complete -C {self.quote(line)}"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment(path),
                             cwd=self.folder, timeout=60, check=False)
        self.assertEqual(run.stderr, "")
        return dict((line.split("\t") + [""])[:2] for line in run.stdout.splitlines())

    @staticmethod
    def quote(line):
        return "'" + line.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def test_offers(self):
        d = self.daemon(services())
        self.assertIn("status", self.offers(d.socket, "mpctl st"))
        self.assertEqual(self.offers(d.socket, "mpctl st")["status"], "services and their state; all about the named ones")
        names = self.offers(d.socket, "mpctl status ")
        self.assertEqual(set(names), {*NAMES, "off", "cat"})
        self.assertRegex(names["web@1"], "^listening, ")
        self.assertEqual(self.offers(d.socket, "mpctl status --fai"), {"--failed": "only services in state failed"})
        self.assertEqual(set(self.offers(d.socket, "mpctl stop web@1 we")), {"web@2"})
        self.assertEqual(set(self.offers(d.socket, "mpctl --color=a")), {"--color=auto", "--color=always"})
        self.assertEqual(set(self.offers("/nowhere", f"mpctl -s {d.socket} stop al")), {"alpha"})
        self.assertEqual(set(self.offers(d.socket, "mpctl check ne")), {"new.yaml"})
        self.assertEqual(set(self.offers(d.socket, "mpctl stop 'al")), {"alpha"})
        self.assertEqual(self.offers(d.socket, "mpctl nosuch "), {})

    def test_dead_socket(self):
        path = self.dead_socket()
        self.assertEqual(self.offers(path, "mpctl status "), {})
        self.assertIn("status", self.offers(path, "mpctl st"))


