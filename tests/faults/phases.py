# SPDX-License-Identifier: MIT
"""What the daemon does while something fails once, and how that is judged: a phase has faults(), all that can fail in it by
one of the means of inject.py, and case(), which has one of them happen and returns what came of it."""
import contextlib
import os
import signal
import subprocess

from harness import PATIENCE, SANITIZER_WORDS, VarlinkError, exchange, wait_until
from inject import DAEMON, SUCCESSOR, Outcome
from scenario import Broken, Scenario, children, ports, settle

RUNNING = ("connect", "report", "control", "interpret", "reload", "upgrade")
# Whose requests an interpreter reads is asked of the environment.
ENVIRONMENT = {"interpret": {"MPINETD_INTERPRETER": "always"}}
# Images other than the daemon itself whose allocations are counted.
ALLOCATING = {"reload": ("1+",), "upgrade": ("1+", SUCCESSOR)}
# Without these there is no going on: a reload that loses one is refused, and so is an upgrade. Whose address is in use is
# opened another way (open-beside.c).
NEEDED = {"reload": ("memfd_create", "socket", "bind"), "upgrade": ("memfd_create", "execve")}
# Of a daemon that is to get ready where something else has the machine. What keeps it from starting is the phase start's.
TRIES = 3


class NotTold(Broken):
    """That something failed was not said; which is right where it has been said shortly before."""


class Result:
    """ended: the daemon has, as it may; anew: it goes on from its config and its listeners; refused: what it was asked for."""

    def __init__(self, outcome):
        self.reached, self.ended, self.anew, self.refused = outcome.reached, False, False, False
        self.broken = self.log = None

    def breaks(self, what, scenario):
        self.broken = str(what)[:600]
        self.log = scenario.processes() + scenario.said()[-6000:]


class Phase:
    def __init__(self, name, means):
        self.name, self.means = name, means
        self.scenario = None

    def make(self):
        self.done()
        self.scenario = Scenario({**self.means.environment, **ENVIRONMENT.get(self.name, {})})
        return self.scenario

    def done(self):
        if self.scenario:
            self.scenario.stop()
        self.scenario = None


class Running(Phase):
    """One of what a daemon does that is up, and is to go on."""

    def fresh(self):
        for n in range(TRIES):
            try:
                self.means.stop()
                self.make().start()
                self.scenario.get_ready()
                return
            except (AssertionError, OSError, VarlinkError) as error:
                print(f"      {self.name}: a daemon did not get ready: {error}", flush=True)
                if n == TRIES - 1:
                    raise

    def run(self):
        return getattr(self.scenario, self.name)()

    def faults(self):
        """Of two runs the one that has more."""
        self.fresh()
        images = () if self.means.kind == "calls" else ((DAEMON, *ALLOCATING.get(self.name, ())),)
        found = []
        for _ in range(2):
            found = max(found, self.means.faults(self.scenario.d.pid, self.run, *images), key=len)
            self.scenario.whole()
        return found

    def case(self, fault):
        try:
            return self.run_case(fault)
        except NotTold:
            self.fresh()
        try:
            return self.run_case(fault)
        except NotTold as broken:
            result = Result(Outcome())
            result.breaks(broken, self.scenario)
            self.done()
            return result

    def run_case(self, fault):
        if self.scenario is None:
            self.fresh()
        scenario = self.scenario
        scenario.mark()
        before = scenario.state() if self.name == "reload" else None
        reply = None
        with self.means.failing(scenario.d.pid, fault) as outcome:
            reply = self.run()
        result = Result(outcome)
        result.refused = isinstance(reply, VarlinkError)
        if fault.image == SUCCESSOR and self.behind_exec(result):
            self.done()
            return result
        try:
            self.check_reply(fault, result, reply, before)
            scenario.whole()
            self.check_told(fault, outcome)
        except NotTold:
            raise
        except Broken as broken:
            result.breaks(broken, scenario)
            self.done()
        return result

    def behind_exec(self, result):
        """Whether it could not go on where the program before it has left off, but has done right."""
        scenario = self.scenario
        if scenario.d.process.poll() is not None:
            result.ended = scenario.ended_well()
            return result.ended
        if "upgrade_failed" not in scenario.said():
            return False
        result.anew = True
        try:
            scenario.serves_anew()
        except (AssertionError, OSError, VarlinkError) as error:
            result.breaks(f"it does not go on anew: {error}", scenario)
        return True

    def check_reply(self, fault, result, reply, before):
        """RL-7, UP-6: all of it, or nothing, and said why."""
        if self.name not in NEEDED:
            return
        if not result.refused:
            if fault.image == DAEMON and result.reached and fault.call in NEEDED[self.name] and fault.error != "EADDRINUSE" and self.scenario.d.process.poll() is None:
                raise Broken(f"{fault} is no reason to refuse it")
            return
        if reply.name.rpartition(".")[2] not in ("Failed", "InvalidConfig"):
            raise Broken(f"the reply is {reply}")
        text = str(reply.parameters)
        if reply.parameters.get("errno") != fault.errno and not reply.parameters.get("message") and "diagnostics" not in text:
            raise Broken(f"it does not say why: {reply}")
        if self.scenario.state() != (before or self.scenario.state()):
            raise Broken(f"refused, and yet changed: {before}, {self.scenario.state()}")

    def check_told(self, fault, outcome):
        """Of a process that did not come to its program, or whose program has failed, step and errno are told."""
        if not fault.in_child or not outcome.reached or outcome.went_on or not outcome.ended:
            return
        # Who waits for a connection and does not get it is replaced by another one, which serves it.
        if fault.call == "recvmsg" and not fault.image.endswith("+"):
            return
        said = self.scenario.said()
        if fault.image.endswith("+"):
            if not any(f'"level":"{level}"' in said for level in ("warning", "error", "critical")):
                raise NotTold(f"a program of ours has ended with {outcome.ended}, and nothing is said of it")
        elif f'"errno":{fault.errno}' not in said and os.strerror(fault.errno) not in said:
            raise NotTold(f"a process ended with {outcome.ended} before its program, and its errno is not told")


class Start(Phase):
    """From the first call of its own until it serves: it goes on, or says why it ends."""

    def begin(self, wrap):
        self.make().start(wrap)
        self.scenario.d.ports.update(ports())
        return self.scenario

    def faults(self):
        def run(wrap):
            self.begin(wrap)
            self.ready()
            self.end()
        return self.means.start_faults(run)

    def ready(self):
        """Whether it has come up; else it has ended."""
        wait_until(self.scenario.answers, "its control socket, or its end", interval=0.005)
        return self.scenario.d.process.poll() is None

    def end(self):
        process = self.scenario.d.process
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        self.done()

    def case(self, fault):
        result = None
        try:
            with self.means.starting(fault) as (wrap, outcome):
                scenario = self.begin(wrap)
                problem = None
                try:
                    self.judge(scenario)
                except (AssertionError, OSError, VarlinkError) as error:
                    problem = error
            result = Result(outcome)
            result.ended = scenario.d.process.poll() is not None
            of_libc = outcome.in_libc and scenario.d.process.returncode in (-signal.SIGSEGV, -signal.SIGABRT)
            if problem and not of_libc:
                result.breaks(problem, scenario)
        finally:
            self.end()
        return result

    def judge(self, scenario):
        d = scenario.d
        if not self.ready():
            if not scenario.ended_well():
                raise Broken(f"it ended with {d.process.returncode}, and said {d.log_text()!r}")
            if os.path.exists(d.socket):
                raise Broken("it ended, and left its control socket")
            return
        def settled():
            # Of whom it cannot be told who he is, is turned away.
            with contextlib.suppress(ConnectionError):
                return scenario.settled()
        # What could not be had at once is tried again.
        wait_until(settled, "all services to be in order", interval=0.01, deadline=PATIENCE * 2)
        for name in ("s", "w"):
            with d.dial_fast(name) as c:
                answer = exchange(c, b"x")
            if answer != b"x":
                raise Broken(f"{name} does not answer")


class Stop(Phase):
    """From SIGTERM to its end: it ends, with 0, and leaves nothing."""
    # What takes the socket away, or finds out whether it is its own.
    REMOVING = ("unlink", "unlinkat", "newfstatat", "openat", "flock", "connect", "socket")

    def begin(self):
        scenario = self.make()
        scenario.start()
        d = scenario.d
        scenario.wait_ready()
        d.ports.update(ports())
        with d.dial_fast("s") as c:
            c.sendall(b"x")
            c.recv(1)
        settle(d.pid)
        return d

    def order(self):
        d = self.scenario.d
        d.process.send_signal(signal.SIGTERM)
        try:
            return d.process.wait(PATIENCE + 5)
        except subprocess.TimeoutExpired:
            return None

    def faults(self):
        self.means.stop()
        d = self.begin()
        return [f for f in self.means.faults(d.pid, self.order) if not f.in_child]

    def case(self, fault):
        d = self.begin()
        before = children(d.pid)
        with self.means.failing(d.pid, fault) as outcome:
            status = self.order()
        result = Result(outcome)
        result.ended = True
        left = [pid for pid in before if os.path.exists(f"/proc/{pid}") and self.scenario.alive(pid)]
        if status != 0:
            result.breaks(f"its status is {status}", self.scenario)
        elif left:
            result.breaks(f"processes are left: {left}", self.scenario)
        elif os.path.exists(d.socket) and fault.call not in self.REMOVING:
            result.breaks("its control socket is left", self.scenario)
        elif any(word in d.log_text() for word in SANITIZER_WORDS):
            result.breaks("a sanitizer spoke", self.scenario)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return result


PHASES = {"start": Start, **{name: Running for name in RUNNING}, "stop": Stop}
