# SPDX-License-Identifier: MIT
"""Runs inside of the box of test_systemd.py, one function a run: the units are there, nothing is started yet."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from harness import BUILD, children_of, exchange, wait_until

CONFIG = "/etc/mpinetd/mpinetd.yaml"


def systemctl(*arguments, check=True):
    run = subprocess.run(["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if check and run.returncode != 0:
        status = subprocess.run(["systemctl", "status", "--no-pager", "-l", "mpinetd.service"], stdout=subprocess.PIPE,
                                text=True, check=False).stdout
        raise AssertionError(f"systemctl {' '.join(arguments)}: {run.stdout}\n{status}")
    return run


def show(name, unit="mpinetd.service"):
    return subprocess.run(["systemctl", "show", "-P", name, unit], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def mpctl(*arguments):
    return subprocess.run([f"{BUILD}/ctl/mpctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)


def status():
    return json.loads(mpctl("status", "--json").stdout)


def ask(port, text=b"x"):
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        return exchange(s, text)


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r}, not {wanted!r}")


def notify():
    systemctl("start", "mpinetd.service")
    # READY=1 means that every listener is open: no waiting here.
    equal(ask(7), b"x", "an answer right after the start")
    equal(ask(1008), b"", "the service that talks on stderr")
    equal(show("ActiveState"), "active", "the state")
    if not show("StatusText"):
        raise AssertionError("no STATUS=")
    equal(int(show("MainPID")), status()["daemon"]["pid"], "the main process")
    wait_until(lambda: status()["daemon"]["children"] == 0, "the children to end")
    systemctl("stop", "mpinetd.service")
    equal((show("ActiveState"), show("Result")), ("inactive", "success"), "after the stop")


def socket_activation():
    systemctl("start", "mpinetd.socket")
    equal(show("ActiveState"), "inactive", "the service, before a connection")
    equal(ask(7), b"x", "the first answer")
    equal(show("ActiveState"), "active", "the service, after it")
    adopted = {s["name"]: s["listeners"][0]["adopted"] for s in status()["services"]}
    equal((adopted["echo"], adopted["cat"]), (True, False), "what was adopted")
    first = show("MainPID")
    systemctl("restart", "mpinetd.service")
    equal(ask(7), b"x", "after a restart")
    if show("MainPID") == first:
        raise AssertionError("it was not restarted")
    systemctl("stop", "mpinetd.service")
    equal(ask(7), b"x", "the socket stays, and starts it again")


def reload():
    systemctl("start", "mpinetd.service")
    with open(CONFIG, "a", encoding="utf-8") as file:
        file.write("  new: {listen: tcp:127.0.0.1:1009, exec: [cat]}\n")
    systemctl("reload", "mpinetd.service")
    equal(ask(1009), b"x", "the new service")
    equal(status()["daemon"]["generation"], 2, "the generation")
    with open(CONFIG, "a", encoding="utf-8") as file:
        file.write("  wrong: {nope: 1}\n")
    if systemctl("reload", "mpinetd.service", check=False).returncode == 0:
        raise AssertionError("a bad config was taken")
    equal((show("ActiveState"), ask(7)), ("active", b"x"), "after a refused reload")
    equal(status()["daemon"]["generation"], 2, "the generation")


def notify_reload():
    """systemctl sends HUP, and is back when the new config is in force."""
    systemctl("start", "mpinetd.service")
    equal(show("Type"), "notify-reload", "the type")
    for n in range(5):
        with open(CONFIG, "a", encoding="utf-8") as file:
            file.write(f"  new{n}: {{listen: tcp:127.0.0.1:{2000 + n}, exec: [cat]}}\n")
        systemctl("reload", "mpinetd.service")
        equal(ask(2000 + n), b"x", "the new service")
    with open(CONFIG, "a", encoding="utf-8") as file:
        file.write("  wrong: {nope: 1}\n")
    # How it went is not told in this way; that it is over is.
    systemctl("reload", "mpinetd.service")
    equal((show("ActiveState"), ask(7)), ("active", b"x"), "after a refused reload")
    equal(status()["daemon"]["last_reload"]["ok"], False, "what the daemon says of it")


def watchdog():
    systemctl("start", "mpinetd.service")
    pid = int(show("MainPID"))
    time.sleep(3)
    equal((int(show("MainPID")), show("NRestarts")), (pid, "0"), "it feeds the watchdog")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", "the restart", deadline=20)
    equal(ask(7), b"x", "after the restart")


def stop_ends_all():
    systemctl("start", "mpinetd.service")
    pid = int(show("MainPID"))
    with socket.create_connection(("127.0.0.1", 1007), 5) as s:
        s.sendall(b"x")
        s.recv(1)
        children = [child for child, _ in children_of(pid)]
        equal(len(children), 1, "children")
        start = time.monotonic()
        # The connection is left open: it has the drain of ten seconds, then TERM.
        systemctl("stop", "mpinetd.service")
        if not 5 < time.monotonic() - start < 40:
            raise AssertionError(f"it took {time.monotonic() - start:.1f} s")
    equal((show("ActiveState"), show("Result")), ("inactive", "success"), "after the stop")
    if os.path.exists(f"/proc/{children[0]}"):
        raise AssertionError("an instance is left")


def crash():
    systemctl("start", "mpinetd.service")
    pid = int(show("MainPID"))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", "the restart", deadline=20)
    equal(ask(7), b"x", "after the crash")


class Load:
    """Clients that come all the time, over TCP and by a path: each has to get back what it has sent. A stop and a start
    may take as long as they like; nobody may be refused or lose his connection."""

    def __init__(self, threads=4):
        self.end = threading.Event()
        self.served = 0
        self.problems = []
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def _dial(self, n):
        if n % 2:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(60)
            s.connect("/run/path.sock")
            return s
        return socket.create_connection(("127.0.0.1", 7), 60)

    def _run(self, n):
        number = 0
        while not self.end.is_set():
            number += 1
            text = f"{n} {number}".encode()
            try:
                with self._dial(n) as s:
                    s.settimeout(60)
                    got = exchange(s, text)
                if got != text:
                    self.problems.append(f"{text} was answered with {got}")
                self.served += 1
            except OSError as error:
                self.problems.append(f"{text}: {error!r}")
            time.sleep(0.002)

    def wait(self, more=50):
        """Until @more have been served."""
        wanted = self.served + more
        wait_until(lambda: self.served >= wanted or self.problems, "clients to be served", deadline=60)

    def done(self):
        self.end.set()
        for thread in self.threads:
            thread.join(70)
        equal(self.problems[:10], [], f"of {self.served} served, not served well")


def under_load(times, restart):
    systemctl("start", "mpinetd.service")
    load = Load()
    load.wait()
    pids = {show("MainPID")}
    for _ in range(int(times)):
        restart()
        load.wait()
        pids.add(show("MainPID"))
    load.done()
    equal(len(pids), int(times) + 1, "main processes")


def restarts(times):
    under_load(times, lambda: systemctl("restart", "mpinetd.service"))


def crashes(times):
    """Killed outright: what it was serving dies with it (KillMode=mixed), but who waits in a queue is served."""
    systemctl("start", "mpinetd.service")
    inodes = listening_inodes()
    for n in range(int(times)):
        pid = int(show("MainPID"))
        os.kill(pid, signal.SIGSTOP)
        waiting = [socket.create_connection(("127.0.0.1", port), 60) for port in (7, 1007)]
        os.kill(pid, signal.SIGKILL)
        for s in waiting:
            with s:
                s.settimeout(60)
                equal(exchange(s, b"who waits"), b"who waits", "an answer after the crash")
        wait_until(lambda n=n: show("NRestarts") == str(n + 1) and show("ActiveState") == "active", "the restart", deadline=20)
        equal(listening_inodes(), inodes, "the same sockets")


def upgrades(times):
    """In place: the same main process, the same sockets, the same store, and a watchdog that is fed by each of them."""
    systemctl("start", "mpinetd.service")
    pid, inodes = show("MainPID"), listening_inodes()
    wait_until(lambda: show("NFileDescriptorStore") == "7", "all to be in the store")
    s = session()
    load = Load()
    for _ in range(int(times)):
        load.wait()
        run = mpctl("upgrade")
        equal(run.returncode, 0, f"an upgrade: {run.stdout}{run.stderr}")
        talk(s)
    load.wait()
    # Longer than WatchdogSec.
    time.sleep(3)
    load.done()
    check = (show("MainPID"), listening_inodes(), show("NRestarts"), show("ActiveState"))
    equal(check, (pid, inodes, "0", "active"), "after the upgrades")
    wait_until(lambda: show("NFileDescriptorStore") == "7", "the same in the store")
    talk(s)
    os.kill(int(pid), signal.SIGSTOP)
    wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", "the watchdog to bite", deadline=30)
    equal(listening_inodes(), inodes, "the same sockets")
    equal(ask(7), b"x", "after the restart")


def listening_inodes():
    """{port: inode} of the listening sockets of IPv4."""
    with open("/proc/net/tcp", encoding="utf-8") as table:
        rows = [line.split() for line in table][1:]
    return {int(row[1].split(":")[1], 16): row[9] for row in rows if row[3] == "0A"}


def store():
    systemctl("start", "mpinetd.service")
    # Five listeners, the ledger, and the probe that tells whether all are kept.
    wait_until(lambda: show("NFileDescriptorStore") == "7", "all to be in the store")
    before = listening_inodes()
    systemctl("restart", "mpinetd.service")
    equal(listening_inodes(), before, "the same sockets")
    wait_until(lambda: show("NFileDescriptorStore") == "7", "the same after a restart")
    equal(mpctl("drain", "cat").returncode, 0, "a drain")
    wait_until(lambda: show("NFileDescriptorStore") == "6", "a closed one to be taken out")
    equal(1007 in listening_inodes(), False, "that nobody listens there")
    equal(mpctl("start", "cat").returncode, 0, "a start")
    wait_until(lambda: show("NFileDescriptorStore") == "7", "it to be kept again")
    equal(ask(1007), b"x", "an answer")
    systemctl("stop", "mpinetd.service")
    equal(listening_inodes(), {}, "after a stop nobody listens")
    systemctl("start", "mpinetd.service")
    equal(ask(7), b"x", "an answer after a new start")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect("/run/path.sock")
        equal(exchange(s, b"x"), b"x", "an answer by the path, whose node was left")


def small_store():
    systemctl("start", "mpinetd.service")
    wait_until(lambda: show("NFileDescriptorStore") == "3", "the store to be full")
    equal(ask(7), b"x", "an answer")
    systemctl("restart", "mpinetd.service")
    equal((ask(7), ask(1007)), (b"x", b"x"), "answers after a restart")
    # Which of them are kept is not known; that none is that has been closed must be.
    for name, port in (("echo", 7), ("cat", 1007)):
        equal(mpctl("drain", name).returncode, 0, "a drain")
        wait_until(lambda port=port: port not in listening_inodes(), "nobody to listen there")


def session():
    s = socket.create_connection(("127.0.0.1", 1007), 20)
    s.settimeout(20)
    talk(s)
    return s


def talk(s):
    s.sendall(b"still there")
    equal(s.recv(20), b"still there", "what a session says")


def check_adopted(pid):
    instances = json.loads(mpctl("ps", "--json").stdout)["instances"]
    equal([(i["pid"], i["service"], i["generation"]) for i in instances], [(pid, "cat", 0)], "what was adopted")
    service = next(s for s in status()["services"] if s["name"] == "cat")
    equal((service["active"], service["spawned"], service["exited"]["unknown"]), (1, 1, 0), "how it counts")


def check_end(s):
    equal(exchange(s, b""), b"", "the end of the session")
    def ended():
        service = next(one for one in status()["services"] if one["name"] == "cat")
        return (service["active"], service["exited"]["unknown"]) == (0, 1)
    wait_until(ended, "its end to be counted")


def sessions():
    systemctl("start", "mpinetd.service")
    s = session()
    pid = json.loads(mpctl("ps", "--json").stdout)["instances"][0]["pid"]
    for _ in range(3):
        systemctl("restart", "mpinetd.service")
        check_adopted(pid)
        talk(s)
    check_end(s)


def sessions_and_crash():
    systemctl("start", "mpinetd.service")
    s = session()
    pid = json.loads(mpctl("ps", "--json").stdout)["instances"][0]["pid"]
    for n in range(3):
        os.kill(int(show("MainPID")), signal.SIGKILL)
        wait_until(lambda n=n: show("NRestarts") == str(n + 1) and show("ActiveState") == "active", "the restart", deadline=20)
        check_adopted(pid)
        talk(s)
    check_end(s)


def group_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))


def groups():
    """The daemon in a group of its own below the unit's, each session in another; over an upgrade and a crash."""
    unit = "/system.slice/mpinetd.service"
    systemctl("start", "mpinetd.service")
    main = int(show("MainPID"))
    equal(group_of(main), f"{unit}/mpinetd", "the daemon's group")
    s = session()
    pid = json.loads(mpctl("ps", "--json").stdout)["instances"][0]["pid"]
    own = group_of(pid)
    equal(own, f"{unit}/cat/1", "the session's group")
    mpctl("upgrade")
    equal((int(show("MainPID")), group_of(main), group_of(pid)), (main, f"{unit}/mpinetd", own), "after an upgrade")
    os.kill(main, signal.SIGKILL)
    wait_until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", "the restart", deadline=20)
    check_adopted(pid)
    equal((group_of(int(show("MainPID"))), group_of(pid)), (f"{unit}/mpinetd", own), "after a crash")
    talk(s)
    with socket.create_connection(("127.0.0.1", 1007), 20) as another:
        talk(another)
        wait_until(lambda: os.path.exists(f"/sys/fs/cgroup{unit}/cat/2"), "the group of another session")
    check_end(s)
    wait_until(lambda: not os.path.exists("/sys/fs/cgroup" + own), "its group to be removed")
    systemctl("stop", "mpinetd.service")
    wait_until(lambda: not os.path.exists("/sys/fs/cgroup" + unit), "the unit's group to be removed")


def tree_of(pid):
    """It, and all that comes from it."""
    return [pid] + [one for child, _ in children_of(pid) for one in tree_of(child)]


def instances(service):
    return [i["pid"] for i in json.loads(mpctl("ps", "--json").stdout)["instances"] if i["service"] == service]


def confined(pid, main):
    """Of what stands for an instance the last is the service: which namespaces are the daemon's, and what it may not."""
    last = tree_of(pid)[-1]
    same = [kind for kind in ("mnt", "pid", "net", "ipc", "user")
            if os.readlink(f"/proc/{last}/ns/{kind}") == os.readlink(f"/proc/{main}/ns/{kind}")]
    with open(f"/proc/{last}/status", encoding="utf-8") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return same, fields["NoNewPrivs"], fields["Seccomp"], int(fields["CapEff"], 16)


def members(group):
    found = []
    for folder, _, files in os.walk(f"/sys/fs/cgroup{group}"):
        if "cgroup.procs" in files:
            with open(f"{folder}/cgroup.procs", encoding="utf-8") as file:
                found += file.read().split()
    return found


def covered():
    """What a sandbox mounts something on, as the machine has it."""
    with open("/proc/1/mounts", encoding="utf-8") as file:
        return sorted(line for line in file if line.split()[1] in ("/", "/tmp", "/var/tmp", "/dev", "/proc", "/home", "/root"))


def isolation():
    """Sandboxes and groups of services below the unit's: over a reload and an upgrade, and nothing of them after a stop."""
    group = "/system.slice/mpinetd.service"
    mounts = covered()
    systemctl("start", "mpinetd.service")
    main = int(show("MainPID"))
    equal(ask(2007), b"x", "an answer from a sandbox")
    one, other = [socket.create_connection(("127.0.0.1", port), 20) for port in (2008, 2009)]
    with one, other:
        for s in (one, other):
            s.settimeout(20)
            talk(s)
        held, shared = instances("each"), instances("shared")
        for _ in range(2):
            equal(confined(held[0], main), ([], "1", "2", 0), "what the service is in")
            equal({group_of(pid) for pid in tree_of(held[0])}, {f"{group}/each/1"}, "the group of an instance")
            equal({group_of(pid) for pid in tree_of(shared[0])}, {f"{group}/shared/all"}, "the group of a service")
            equal(group_of(main), f"{group}/mpinetd", "the daemon's group")
            systemctl("reload", "mpinetd.service")
            equal(mpctl("upgrade").returncode, 0, "an upgrade")
            equal((int(show("MainPID")), instances("each"), instances("shared")), (main, held, shared), "who is there")
            for s in (one, other):
                talk(s)
        # What has left its session is ended with the service.
        wait_until(lambda: len(members(f"{group}/shared")) >= 2, "it to have started another")
        equal(mpctl("stop", "shared").returncode, 0, "a stop")
        equal(os.path.exists(f"/sys/fs/cgroup{group}/shared"), False, "the group of what is stopped")
        talk(one)
        known = tree_of(main)
        systemctl("stop", "mpinetd.service")
    wait_until(lambda: not os.path.exists(f"/sys/fs/cgroup{group}"), "the unit's group to be removed")
    equal([pid for pid in known if os.path.exists(f"/proc/{pid}")], [], "processes that are left")
    equal((show("ActiveState"), show("Result")), ("inactive", "success"), "after the stop")
    equal(covered(), mounts, "what is mounted")


def unprivileged():
    for program in ("systemd-sysusers", "systemd-tmpfiles --create --prefix=/run"):
        subprocess.run(program.split(), check=True)
    with open("/etc/passwd", encoding="utf-8") as users:
        equal([line.split(":")[0] for line in users if line.startswith("mpinetd:")], ["mpinetd"], "the user")
    systemctl("start", "mpinetd-unprivileged.socket")
    equal(ask(7), b"x", "an answer")
    equal(ask(2009, b""), b"mpinetd\n", "who serves")
    pid = show("MainPID", "mpinetd-unprivileged.service")
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    equal([int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")], [0] * 4, "its capabilities")
    equal(fields["NoNewPrivs"], "1", "no new privileges")
    systemctl("reload", "mpinetd-unprivileged.service")
    systemctl("restart", "mpinetd-unprivileged.service")
    equal((ask(7), ask(2009, b"")), (b"x", b"mpinetd\n"), "after a restart")


def catalog():
    # The folders of catalogs are below /usr, which is not ours.
    subprocess.run(["mount", "-t", "tmpfs", "catalog", "/usr/local/lib"], check=True)
    os.makedirs("/usr/local/lib/systemd/catalog")
    shutil.copy("/opt/mpinetd.catalog", "/usr/local/lib/systemd/catalog")
    subprocess.run(["journalctl", "--update-catalog"], check=True)
    systemctl("start", "mpinetd.service")
    systemctl("stop", "mpinetd.service")
    subprocess.run(["journalctl", "--sync"], check=True)
    text = subprocess.run(["journalctl", "-x", "--no-pager", "-t", "mpinetd"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    for subject in ("mpinetd is running", "mpinetd has stopped"):
        if f"Subject: {subject}" not in text:
            raise AssertionError(f"no '{subject}' in {text}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
