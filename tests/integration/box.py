# SPDX-License-Identifier: MIT
"""Runs inside of the box of test_systemd.py, one function a run: the units are there, nothing is started yet."""
import json
import os
import signal
import socket
import subprocess
import sys
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


if __name__ == "__main__":
    globals()[sys.argv[1]]()
