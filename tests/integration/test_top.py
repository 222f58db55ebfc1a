# SPDX-License-Identifier: MIT
"""mpctl top in a terminal: tmux is the terminal, the daemon is the real one."""
import os
import re
import shlex
import signal
import subprocess
import time
import unittest

from harness import (MPCTL, PATIENCE, SANITIZER_WORDS, DaemonTest, need_program, process_alive, process_state,
                     sanitizer_environment, wait_until)

PROMPT = "ready> "


class Terminal:
    """A tmux server of its own with one window, in which a shell runs."""

    def __init__(self, folder, width=80, height=24, environment=None):
        self.commands = 0
        self.command = ["tmux", "-S", os.path.join(folder, "tmux.sock"), "-f", "/dev/null", "-u"]
        # A word of a sanitizer goes to a file: on the screen it would be lost.
        self.report = os.path.join(folder, "sanitizer")
        sanitizer = {name: f"log_path={self.report}:{value}"
                     for name, value in sanitizer_environment().items()}
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": folder, "TERM": "xterm-256color",
                            "SHELL": "/bin/sh", **sanitizer, **(environment or {})}
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height), "env", f"PS1={PROMPT}", "bash", "--norc",
                  "--noprofile", "--noediting")
        self.wait(lambda screen: screen.startswith(PROMPT.strip()), "a prompt")

    def tmux(self, *arguments, check=True):
        return subprocess.run([*self.command, *arguments], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=check, timeout=60).stdout

    def close(self):
        self.tmux("kill-server", check=False)

    def screen(self, colors=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if colors else []))

    def lines(self):
        return [line.rstrip() for line in self.screen().split("\n")]

    def state(self, name):
        """What tmux knows of the pane: alternate_on, cursor_flag, pane_title, ..."""
        return self.tmux("display-message", "-p", "#{" + name + "}").rstrip("\n")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def run(self, command):
        self.type(command)
        self.keys("Enter")

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, condition, what):
        """Until the screen is as wanted; returns it."""
        last = {}

        def look():
            last["screen"] = self.screen()
            return last["screen"] if condition(last["screen"]) else None
        try:
            return wait_until(look, what, deadline=3 * PATIENCE, interval=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n{last['screen']}") from None

    def wait_for(self, *texts):
        return self.wait(lambda screen: all(text in screen for text in texts), f"{texts} on the screen")

    def wait_without(self, text):
        return self.wait(lambda screen: text not in screen, f"a screen without {text!r}")

    def output_of(self, command):
        """Runs it in the shell, and returns what it prints."""
        self.commands += 1
        end = f"\ndone {self.commands}\n"
        self.run(f"clear; {command}; echo d''one {self.commands}")
        screen = self.wait(lambda screen: end in "\n" + screen, f"the end of {command}")
        return ("\n" + screen).split(end, maxsplit=1)[0].strip("\n")


def rows_of(screen):
    """The names in the table of services, in their order."""
    names = []
    for line in screen.split("\n"):
        found = re.match(r"[●○×‖] (\S+) ", line)
        if found:
            names.append(found.group(1))
    return names


@need_program("tmux", "bash")
class TopTest(DaemonTest):
    SERVICES = {"alpha": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]},
                "beta": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"],
                         "limits": {"instances": 1, "when_full": "refuse"}},
                "broken": {"listen": "tcp:127.0.0.1:0", "exec": ["/nonexistent"]},
                "off": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], "enabled": False},
                "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}}

    def terminal(self, **options):
        t = Terminal(self.temporary_folder(), **options)
        self.addCleanup(self.check_report, t)
        self.addCleanup(t.close)
        return t

    def check_report(self, t):
        folder, name = os.path.split(t.report)
        for file in os.listdir(folder):
            if file.startswith(name):
                with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as report:
                    text = report.read()
                self.assertFalse(any(word in text for word in SANITIZER_WORDS), text)

    def start(self, *options, services=None, wait="per second:", **terminal):
        """A daemon, and top in a terminal, when it shows rates."""
        self.d = self.daemon({"services": services or self.SERVICES})
        t = self.terminal(**terminal)
        self.stty = t.output_of("stty -a")
        t.run("clear; " + self.command(*options))
        t.wait_for("q quit", wait)
        t.wait_without("accept –")
        return t

    def command(self, *options):
        return shlex.join([MPCTL, "-s", self.d.socket, "top", "-d", "200ms", *options])

    def pid_of_top(self, t):
        shell = int(t.state("pane_pid"))

        def find():
            with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as children:
                found = children.read().split()
            return int(found[0]) if found else None
        return wait_until(find, "the process of top")

    def check_terminal(self, t):
        """It is as it was before top; and the shell has it."""
        t.wait(lambda screen: screen.rstrip().endswith(PROMPT.strip()) and "per second" not in screen, "the prompt")
        self.assertEqual((t.state("alternate_on"), t.state("cursor_flag"), t.state("keypad_cursor_flag")),
                         ("0", "1", "0"))
        self.assertEqual(t.output_of("stty -a"), self.stty)


class Screen(TopTest):
    def test_80x24(self):
        t = self.start()
        with self.d.dial("alpha") as one, self.d.dial("alpha") as two, self.d.dial("beta"):
            screen = t.wait_for("alpha: 2 instances", f"127.0.0.1:{one.getsockname()[1]} ",
                                f"127.0.0.1:{two.getsockname()[1]} ")
            lines = screen.split("\n")
            self.assertRegex(lines[0], rf"^mpinetd \S+  pid {self.d.pid}  up \S+  5 services, 1 failed  generation 1"
                                       r"  every 200ms$")
            self.assertRegex(lines[1], r"^per second: accept [\d.]+  refuse [\d.]+(  | \().*spawn [\d.]+  exit [\d.]+$")
            self.assertRegex(lines[3], r"^  SERVICE↑  STATE +NOW +MAX  ACCEPT/S  REFUSE/S  SPAWN/S  EXIT/S  REFUSED$")
            self.assertRegex(lines[4], r"^● alpha     listening    2  1 000 ")
            self.assertRegex(lines[5], r"^● beta      (listening|full) ")
            self.assertRegex(lines[6], r"^× broken    failed       0  1 000 ")
            self.assertRegex(lines[7], r"^○ off       disabled     –  1 000         –         –        –       –        –$")
            self.assertRegex(lines[8], r"^● udp       listening    0  1 000 ")
            self.assertRegex(lines[10], r"^alpha: 2 instances$")
            self.assertRegex(lines[11], r"^ *PID  PEER +STATE +AGE +CPU +MEM +REQUESTS  STATUS$")
            for line in lines[12:14]:
                self.assertRegex(line, r"^ *\d+  127.0.0.1:\d+ +running +\d+s +(–|[\d.]+%) +[\d.]+[KM] ")
            self.assertRegex(lines[23], r"^q quit  \? help  s sort  / filter  f failed  i instances  space pause  K kill$")
            self.assertTrue(all(len(line) <= 80 for line in lines))
            # The one who comes over the limit is refused, and counted with the reason.
            self.d.ask("beta", b"x")
            t.wait(lambda s: re.search(r"^● beta .* 1$", s, re.M), "a refusal")
        t.wait_for("alpha: no instances")
        t.keys("q")
        self.check_terminal(t)

    def test_sizes(self):
        t = self.start()
        t.resize(60, 15)
        screen = t.wait(lambda s: "i instances" in s.split("\n")[14] and rows_of(s), "15 lines")
        lines = screen.split("\n")
        self.assertEqual(rows_of(screen), ["alpha", "beta", "broken", "off", "udp"])
        self.assertIn("1 failed", lines[0])
        self.assertTrue(all(len(line) <= 60 for line in lines))
        t.resize(200, 50)
        screen = t.wait(lambda s: "K kill" in s.split("\n")[49], "50 lines")
        self.assertRegex(screen.split("\n")[3], r"ACCEPTED +QUEUED +SINCE")
        self.assertIn("there is no /nonexistent", screen)
        t.resize(20, 5)
        screen = t.wait(lambda s: s.startswith("mpinetd") and "accept/s" in s, "5 lines")
        self.assertEqual(rows_of(screen)[:2], ["alpha", "beta"])
        t.resize(10, 2)
        t.wait_for("too small")
        t.resize(80, 24)
        t.wait(lambda s: "q quit" in s.split("\n")[23], "24 lines again")
        t.keys("q")
        self.check_terminal(t)

    def test_many(self):
        """More services than lines, with names as long as they come."""
        long = "a-name-that-is-as-long-as-names-may-be-or-nearly-so"
        services = {f"s{i:02}": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]} for i in range(40)}
        t = self.start(services={long: {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}, **services})
        screen = t.wait_for(long + "  listening", "rows 1 to ")
        t.keys("End")
        screen = t.wait_for("● s39", " of 41")
        self.assertNotIn("● s00", screen)
        t.keys("Home")
        t.wait_for("● s00")
        t.keys("NPage", "NPage")
        t.wait_without("● s00")

    def test_colors(self):
        t = self.start()
        for options, environment, colored in ((["--color=always"], "", True), ([], "NO_COLOR=1 ", False),
                                              (["--color=never"], "", False), ([], "TERM=vt100 ", False)):
            with self.subTest(options=options, environment=environment):
                t.keys("q")
                t.wait_without("per second")
                t.run("clear; " + environment + self.command(*options))
                t.wait_for("q quit", "● alpha")
                screen = t.screen(colors=True)
                self.assertEqual(bool(re.search("\x1b\\[[0-9;]*3[1-7]m", screen)), colored, repr(screen))
                # The selected line stands out in any case.
                self.assertRegex(screen, "\x1b\\[[0-9;]*7m(\x1b\\[[0-9;]*m)*● alpha")


class Keys(TopTest):
    def test_sort(self):
        t = self.start("-S", "state")
        t.wait_for("STATE↑")
        self.assertEqual(rows_of(t.screen())[0], "broken")
        self.assertEqual(rows_of(t.screen())[-1], "off")
        t.keys("r")
        self.assertEqual(rows_of(t.wait_for("STATE↓"))[0], "off")
        t.keys("s")
        t.wait_for("NOW↓")
        with self.d.dial("udp") as s:
            s.send(b"x")
            t.wait(lambda screen: rows_of(screen)[0] == "udp", "udp on top")
        # The selection stays with its service, wherever that goes.
        t.keys("Home")
        t.wait_for("udp: 1 instance")
        t.keys("r")
        t.wait(lambda screen: "NOW↑" in screen and rows_of(screen)[-1] == "udp" and "udp: 1 instance" in screen,
               "udp at the end, and still selected")

    def test_move(self):
        t = self.start()
        t.wait_for("alpha: no instances")
        for key, name in (("j", "beta"), ("Down", "broken"), ("k", "beta"), ("Up", "alpha"), ("End", "udp"), ("Home", "alpha"),
                          ("NPage", "udp"), ("PPage", "alpha")):
            t.keys(key)
            t.wait_for(f"{name}: no instances")

    def test_filter(self):
        t = self.start()
        with self.d.dial("beta") as s:
            peer = f"127.0.0.1:{s.getsockname()[1]}"
            t.wait(lambda screen: re.search(r"^● beta +(full|listening) +1 ", screen, re.M), "the connection")
            t.type("/ALP")
            t.wait(lambda screen: rows_of(screen) == ["alpha"] and "/ALP_" in screen, "alpha alone")
            t.keys("BSpace", "BSpace", "BSpace")
            t.type("fail")
            t.wait(lambda screen: rows_of(screen) == ["broken"], "what is failed")
            t.keys("Enter")
            t.wait_for("filter 'fail'", "q quit")
            # Keys are keys again.
            t.keys("?")
            t.wait_for("any key: back")
            t.keys("x", "Escape")
            t.wait(lambda screen: len(rows_of(screen)) == 5, "all again")
            # By the peer of a connection, of whatever service.
            t.type("/" + peer)
            t.wait(lambda screen: rows_of(screen) == ["beta"] and "beta: 1 instance" in screen and
                   f"  {peer} " in screen, "the peer")
            t.type("9999")
            t.wait_for("no service or peer matches")
            t.keys("Escape")
            t.wait(lambda screen: len(rows_of(screen)) == 5 and "/" + peer not in screen, "all again")

    def test_failed(self):
        t = self.start("--failed")
        self.assertEqual(rows_of(t.wait_for("only failed (f: all)")), ["broken"])
        t.keys("f")
        t.wait(lambda screen: len(rows_of(screen)) == 5, "all")
        t.keys("f")
        t.wait(lambda screen: rows_of(screen) == ["broken"], "the failed one")

    def test_help_and_instances(self):
        t = self.start()
        t.keys("?")
        screen = t.wait_for("mpctl top: keys", "/        filter by name, state or peer", "any key: back")
        self.assertNotIn("alpha", screen)
        # Any key leaves the help, and does no more: not even q.
        t.keys("q")
        t.wait_for("alpha: no instances")
        t.keys("i")
        t.wait_without("alpha: no instances")
        t.keys("i")
        t.wait_for("alpha: no instances")

    def test_pause_and_delay(self):
        t = self.start()
        t.keys("Space")
        t.wait_for("paused (space goes on)")
        # A look that was under way may still bring it.
        with self.d.dial("beta"):
            self.d.wait_service("beta", active=1)
            before = t.screen()
            time.sleep(0.6)
            self.assertEqual(t.screen(), before)
            t.keys("Space")
            t.wait(lambda screen: re.search(r"^● beta +\S+ +1 ", screen, re.M), "the connection")
        for key, delay in (("+", "500ms"), ("+", "1s"), ("+", "2s"), ("-", "1s")):
            t.keys(key)
            t.wait_for(f"every {delay}")

    def test_kill(self):
        t = self.start()
        with self.d.dial("alpha") as one, self.d.dial("alpha") as two, self.d.dial("alpha") as three:
            t.wait_for("alpha: 3 instances")
            first = min(instance["pid"] for instance in self.d.instances("alpha"))
            # No is no, and so is every other key.
            t.keys("K")
            t.wait_for("send TERM to all 3 instances of alpha? y/n")
            t.keys("n")
            t.wait_for("q quit")
            self.assertEqual(self.d.service("alpha")["active"], 3)
            t.keys("Tab", "K")
            t.wait_for(f"send TERM to process {first} of alpha? y/n")
            t.keys("y")
            t.wait_for("TERM was sent to 1 process", "alpha: 2 instances")
            self.assertFalse(process_alive(first))
            t.keys("Tab", "K")
            t.wait_for("send TERM to all 2 instances of alpha? y/n")
            t.keys("y")
            t.wait_for("TERM was sent to 2 processes", "alpha: no instances")
            for s in (one, two, three):
                self.assertEqual(s.recv(1), b"")


class WaysOut(TopTest):
    def test_q(self):
        t = self.start()
        t.keys("q")
        self.check_terminal(t)
        t.run("clear; " + self.command() + "; echo status $?")
        t.wait_for("q quit", "● alpha")
        t.keys("q")
        t.wait_for("status 0")

    def test_signals(self):
        t = self.start()
        for n, sig in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)):
            with self.subTest(signal=sig.name):
                if n > 0:
                    t.run("clear; " + self.command())
                    t.wait_for("q quit", "● alpha")
                os.kill(self.pid_of_top(t), sig)
                self.check_terminal(t)

    def test_keys_that_signal(self):
        t = self.start()
        t.keys("C-c")
        self.check_terminal(t)

    def test_crash(self):
        """As well as it can be done: the screen, the cursor and the modes."""
        t = self.start()
        for n, sig in enumerate((signal.SIGSEGV, signal.SIGABRT)):
            with self.subTest(signal=sig.name):
                if n > 0:
                    t.run("clear; " + self.command())
                    t.wait_for("q quit", "● alpha")
                pid = self.pid_of_top(t)
                os.kill(pid, sig)
                wait_until(lambda pid=pid: not process_alive(pid), "the end of top")
                t.wait(lambda screen: "per second" not in screen, "the shell's screen")
                self.assertEqual((t.state("alternate_on"), t.state("cursor_flag")), ("0", "1"))
                self.assertEqual(t.output_of("stty -a"), self.stty)
        # What the sanitizers say of these is no news.
        for file in os.listdir(os.path.dirname(t.report)):
            if file.startswith("sanitizer"):
                os.unlink(os.path.join(os.path.dirname(t.report), file))

    def test_suspend(self):
        t = self.start()
        pid = self.pid_of_top(t)
        t.keys("C-z")
        wait_until(lambda: process_state(pid) == "T", "top to be stopped")
        t.wait_for("Stopped")
        self.assertEqual((t.state("alternate_on"), t.state("cursor_flag")), ("0", "1"))
        self.assertEqual(t.output_of("stty -a"), self.stty)
        t.run("fg")
        t.wait_for("q quit", "● alpha")
        t.keys("j")
        t.wait_for("beta: no instances")
        # The same without having been told.
        os.kill(pid, signal.SIGSTOP)
        t.wait_for("Stopped")
        t.run("fg")
        t.wait_for("q quit", "● alpha")
        t.keys("q")
        self.check_terminal(t)

    def test_terminal_goes(self):
        t = self.start()
        pid = self.pid_of_top(t)
        t.close()
        wait_until(lambda: not process_alive(pid), "the end of top")


class Daemons(TopTest):
    def test_restart(self):
        """A daemon that ends and comes back is no reason to end."""
        t = self.start()
        t.keys("j")
        t.wait_for("beta: no instances")
        # It would find our connection open.
        self.d.stop(check=False)
        t.wait_for("mpinetd does not answer; trying again", "beta")
        t.keys("?")
        t.wait_for("any key: back")
        t.keys("x")
        self.d.start()
        t.wait(lambda screen: "does not answer" not in screen and f"pid {self.d.pid} " in screen and
               "beta: no instances" in screen, "the new daemon")
        with self.d.dial("beta"):
            t.wait_for("beta: 1 instance")
        t.keys("q")
        self.check_terminal(t)

    def test_reload(self):
        t = self.start()
        self.d.write_config({"services": {"omega": self.SERVICES["alpha"], "beta": self.SERVICES["beta"]}})
        self.d.call("Reload")
        t.wait(lambda screen: rows_of(screen) == ["beta", "omega"], "the new services")

    def test_daemon_hangs(self):
        """Keys work while no answer comes."""
        t = self.start()
        os.kill(self.d.pid, signal.SIGSTOP)
        try:
            t.keys("End")
            t.wait_for("mpinetd does not answer; trying again")
            t.keys("?")
            t.wait_for("any key: back")
            t.keys("x", "s", "s")
            t.wait_for("NOW↓")
        finally:
            os.kill(self.d.pid, signal.SIGCONT)
        t.wait(lambda screen: "does not answer" not in screen, "an answer")
        os.kill(self.d.pid, signal.SIGSTOP)
        try:
            t.keys("q")
            self.check_terminal(t)
        finally:
            os.kill(self.d.pid, signal.SIGCONT)

    def test_escape_sequences(self):
        """What a process says of itself changes neither the terminal's title nor its colours."""
        say = r"printf 'STATUS=\033]2;owned\007 \033[31mred\033[2J \302\23331m end\n' >&$MP_STATUS_FD; exec cat"
        t = self.start(width=160, services={"evil": {"listen": "tcp:127.0.0.1:0", "report": True,
                                                     "exec": ["sh", "-c", say]}})
        title = t.state("pane_title")
        with self.d.dial("evil"):
            screen = t.wait(lambda s: s.count(r"\x1b]2;owned\x07 \x1b[31mred\x1b[2J \x9b31m end") == 2, "the status text")
        self.assertIn("per second:", screen)
        self.assertEqual(t.state("pane_title"), title)


class Usage(TopTest):
    def test_not_a_terminal(self):
        d = self.daemon({"services": {}})
        for options in ([], ["-d", "1s"], ["-S", "NOW"]):
            run = d.mpctl("top", *options, check=2)
            self.assertEqual(run.stdout, "")
            self.assertIn("needs a terminal", run.stderr)
            self.assertIn("mpctl status", run.stderr)
            self.assertIn("--json", run.stderr)
        for option in ("--json", "--plain"):
            run = d.mpctl("top", option, check=2)
            self.assertEqual(run.stdout, "")
            self.assertIn("status", run.stderr)
        self.assertIn("ACCEPT/S", d.mpctl("top", "-o", "help", check=0).stdout)

    def test_refused(self):
        """Each with its exit status and a hint, on a terminal that is left alone."""
        self.d = self.daemon({"services": {}})
        t = self.terminal(width=150)
        top = self.command()
        for command, status, text in ((f"TERM=dumb {top}", 2, "cursor"), (f"TERM= {top}", 2, "TERM is not set"),
                                      (f"TERM=no-such {top}", 2, "does not know this kind of terminal"),
                                      (f"{top} --json", 2, "mpctl status"), (f"{top} -S NOWW", 2, "did you mean 'NOW'?"),
                                      (f"{top} -o NAME", 2, "-S names"),
                                      (f"{top} </dev/null", 2, "needs a terminal"),
                                      (f"{MPCTL} -s {self.d.dir}/none top", 6, "mpinetd is not running")):
            with self.subTest(command=command):
                output = t.output_of(f"{command}; echo status $?")
                self.assertIn(f"status {status}", output)
                self.assertIn(text, output.replace("\n", ""))


if __name__ == "__main__":
    unittest.main()
