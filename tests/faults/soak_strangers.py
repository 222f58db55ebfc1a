# SPDX-License-Identifier: MIT
"""Somebody who may only look, at the control socket of a daemon: whose messages an interpreter reads. Run in a process of his own."""
import contextlib
import json
import random
import socket

from harness import PATIENCE, Varlink, VarlinkError

READING = (("Ping", {}), ("Status", {}), ("Describe", {"service": "forks"}), ("Instances", {}), ("Events", {"last": 50}), ("Metrics", {}),
           ("GetConfig", {"origin": True}), ("Bans", {}))
FORBIDDEN = (("Set", {"service": "forks", "limits": {"rate": "1/s"}}), ("Stop", {"services": ["*"]}), ("Reload", {}), ("Upgrade", {}), ("Shutdown", {}))
HOSTILE = (b"\0" * 3000, b'{"method":"x' + b"[" * 70000, b'{"method":"dev.mpinetd.Control.Status"}\0' * 200, b"{", b'{"method":1}\0', b"\xff\xfe{}\0" * 100)


def ask(path, method, parameters):
    with Varlink(path, PATIENCE * 6) as v:
        return v.call(method, **parameters)


def throw(path, data):
    """Sends that, and goes without reading what comes."""
    with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
        s.settimeout(PATIENCE)
        s.connect(path)
        s.sendall(data)


def turn(path, n, source):
    """One of it all: "looks", "refused" or "hostile"."""
    if n % 3 == 0:
        # The process that reads may be killed just now, and with it goes the connection: once.
        with contextlib.suppress(ConnectionError, TimeoutError):
            ask(path, *READING[n // 3 % len(READING)])
            return "looks"
        ask(path, *READING[n // 3 % len(READING)])
        return "looks"
    if n % 3 == 1:
        with contextlib.suppress(ConnectionError, TimeoutError):
            try:
                ask(path, *FORBIDDEN[n // 3 % len(FORBIDDEN)])
            except VarlinkError as error:
                if error.name.endswith("NotAllowed"):
                    return "refused"
            raise AssertionError(f"{FORBIDDEN[n // 3 % len(FORBIDDEN)]} was done for somebody")
        return "refused"
    throw(path, source.randbytes(5000) if n % 2 else HOSTILE[n // 6 % len(HOSTILE)])
    return "hostile"


def stranger(path, over, every):
    """Goes on until it is over; {"looks", "refused", "hostile": how often, "problems": [text]}."""
    done, source, n = {"looks": 0, "refused": 0, "hostile": 0, "problems": []}, random.Random(7), 0
    while not over.wait(every):
        try:
            done[turn(path, n, source)] += 1
        except (AssertionError, OSError, VarlinkError, ValueError, json.JSONDecodeError) as error:
            done["problems"].append(f"a stranger, {n}: {error!r}")
        n += 1
    return done
