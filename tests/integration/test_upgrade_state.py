# SPDX-License-Identifier: MIT
"""States that are not what they should be: the program that is to take over says so, and does not crash, hang, or do
anything to the daemon that runs (docs/faults.md, UP-9). And what happens when it finds out too late."""
import fcntl
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import unittest

import blob
from harness import MPINETD, SANITIZED, SLOW, wait_until
from test_upgrade import ANSWER, ECHO, UpgradeTest, sockets_of

HERE = os.path.dirname(os.path.realpath(__file__))


def memfd(data):
    """A sealed file in memory."""
    fd = os.memfd_create("state", os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    fcntl.fcntl(fd, 1033, 0x1 | 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: all of them
    return fd


def read_whole(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)


def prove(state, arguments, fds, timeout):
    """Lets mpinetd judge this state, with copies of these descriptors. (exit status, verdict, what it said); None: it
    hung, or the machine did. A verdict is the fields of the blob by their tags."""
    result = os.memfd_create("result")
    fd = memfd(state)
    try:
        run = subprocess.run([MPINETD, f"--accept-handover={fd}", *arguments, f"--result-fd={result}"], pass_fds=[*fds, fd, result],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False)
        data = read_whole(result)
        verdict = {f.tag: f.data for f in blob.decode(data)} if data else {}
        return run.returncode, verdict, run.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired:
        return None, {}, f"nothing within {timeout} s"
    finally:
        os.close(fd)
        os.close(result)


def main():
    """As the program that is to take over: keeps the state, and tries what it becomes when it is spoilt."""
    order = json.loads(os.environ["TEST_STATE_ORDER"])
    state = read_whole(int(sys.argv[1].split("=")[1]))
    own = {int(sys.argv[1].split("=")[1]), int(sys.argv[-1].split("=")[1])}
    fds = [struct.unpack("<i", f.data)[0] for f in blob.descriptors(blob.decode(state))]
    assert not own & set(fds)
    source = random.Random(order["seed"])
    end = time.monotonic() + order["seconds"]
    status, verdict, said = prove(state, sys.argv[2:-1], fds, 20)
    found = {"good": status == 0 and 1 in verdict, "first": f"{status} {verdict} {said}", "tried": 0, "taken": 0, "problems": [], "size": len(state), "descriptors": len(fds)}
    again = blob.encode(blob.decode(state))
    found["same"] = again == state

    def try_one(what, data):
        status, verdict, said = prove(data, sys.argv[2:-1], fds, 20)
        found["tried"] += 1
        found["taken"] += 1 in verdict
        if status != 0 or (1 not in verdict and not verdict.get(4)):
            found["problems"].append(f"{what}: exit status {status}, {verdict}, {said[-1500:]}")
    for n in (0, 1, 7, 8, 31, 32, 33, len(state) // 2, len(state) - 1):
        try_one(f"cut to {n}", state[:n])
    for byte in range(32):
        try_one(f"header, byte {byte}", state[:byte] + bytes([state[byte] ^ 1 << source.randrange(8)]) + state[byte + 1:])
    try_one("another format", blob.encode(blob.decode(state), fmt=2))
    try_one("another purpose", blob.encode(blob.decode(state), purpose=1))
    while time.monotonic() < end and len(found["problems"]) < 5:
        fields = blob.decode(state)
        seed = source.getrandbits(32)
        one = random.Random(seed)
        what = ", ".join(blob.spoil(fields, one) for _ in range(one.choice((1, 1, 1, 3))))
        try_one(f"seed {seed}: {what}", blob.encode(fields))
    with open(order["out"] + ".new", "w", encoding="utf-8") as out:
        json.dump(found, out)
    os.rename(order["out"] + ".new", order["out"])
    sys.exit(1)


# As the program that takes over, but with a state that has been spoilt between the proof and the deed.
LATE = f"""#!{sys.executable} -IS
import fcntl, os, sys
if sys.argv[1].startswith("--accept-handover="):
    os.execv({MPINETD!r}, sys.argv)
pid, fd = os.environ["MPINETD_HANDOVER"].split(":")
state = bytearray(os.pread(int(fd), os.fstat(int(fd)).st_size, 0))
for at in WHERE:
    state[at] ^= 255
new = os.memfd_create("state", os.MFD_ALLOW_SEALING)
os.write(new, state)
fcntl.fcntl(new, 1033, 15)
os.close(int(fd))
os.set_inheritable(new, True)
os.environ["MPINETD_HANDOVER"] = f"{{pid}}:{{new}}"
os.execve({MPINETD!r}, sys.argv, os.environ)
"""


def busy():
    """Services of all kinds, with something going on at each."""
    pool = {"listen": "tcp:127.0.0.1:0", "model": "pool", "exec": ["mp-echo"]}
    talks = "echo READY=1 >&$MP_STATUS_FD; echo STATUS=well >&$MP_STATUS_FD; printf 'half a line' >&2; read x; exit 3"
    return {"services": {
        "s": {**ECHO, "limits": {"rate_per_source": "100/s", "per_source": 50}}, "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]},
        "d": {"listen": "udp:127.0.0.1:0", "model": "on-demand", "exec": ["mp-echo"]}, "p": ECHO,
        "talks": {"listen": "tcp:127.0.0.1:0", "report": True, "notify": "status", "exec": ["/bin/sh", "-c", talks]},
        "passed": {**pool, "pool": {"min": 1, "max": 2, "handoff": "connection"}}, "workers": {**pool, "pool": {"min": 1, "max": 2}},
        "on": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": "unix:{dir}/u.sock"},
        "proxied": {**ECHO, "proxy_protocol": {"accept_from": ["127.0.0.0/8"]}},
        "mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"}, "named": {**ECHO, "tcpmux": "+named"},
        "sensor": {"listen": "tcp:127.0.0.1:0", "exec": ["/bin/true"], "sensor": True, "ban": {"for": "10m"},
                   "access": {"deny": ["192.0.2.0/24"]}},
        "full": {**ECHO, "limits": {"instances": 1}}}}


class States(UpgradeTest):
    def make_busy(self, d):
        held = []

        def hold(name, data=b""):
            s = d.dial(name)
            self.addCleanup(s.close)
            if data:
                s.sendall(data)
            held.append(s)
            return s
        for name in ("s", "talks", "passed", "workers", "on", "u"):
            hold(name, b"" if name == "talks" else b"x")
            if name != "talks":
                self.assertEqual(held[-1].recv(10), b"x")
        hold("proxied", b"PROXY TC")
        hold("mux", b"nam")
        hold("full", b"x")
        self.assertEqual(held[-1].recv(10), b"x")
        d.call("Pause", services=["p"])
        hold("p", b"waits")
        hold("full", b"waits")
        d.wait_service("full", state="full")
        d.call("Set", service="s", limits={"instances": 77})
        wait_until(lambda: [i for i in d.instances("talks") if i["status"] == "well"], "it to talk")
        follower = d.connect(ANSWER)
        self.addCleanup(follower.close)
        follower.send("Events", {"last": 5}, more=True)
        follower.receive()
        return held

    def test_spoilt(self):
        out = os.path.join(self.temporary_folder(), "found.json")
        order = {"seed": random.getrandbits(32), "out": out, "seconds": 20 if SLOW else 8 if SANITIZED else 4}
        d = self.daemon(busy(), environment={"TEST_STATE_ORDER": json.dumps(order), "BUILD_DIR": os.path.dirname(os.path.dirname(MPINETD)),
                                             "MP_TEST_SANITIZED": "1" if SANITIZED else ""})
        held = self.make_busy(d)
        sockets = sockets_of(d.pid)
        self.put(f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.path.insert(0, {HERE!r}.replace(chr(39), \"\")); "
                 f"import test_upgrade_state as t; t.main()' \"$@\"\n".replace(f"{HERE!r}.replace(chr(39), \"\")", f'"{HERE}"').encode())
        error = self.refused(d)
        self.assertEqual(error.parameters["step"], "proof", error)
        self.assertTrue(os.path.exists(out), d.log_text()[-3000:])
        with open(out, encoding="utf-8") as file:
            found = json.load(file)
        print(f"      a state of {found['size']} bytes with {found['descriptors']} descriptors: {found['tried']} spoilt ones, "
              f"{found['taken']} of them still good", flush=True)
        self.assertTrue(found["same"], "what the test makes of it is what it was")
        self.assertEqual(found["problems"], [], f"seed {order['seed']}")
        self.assertTrue(found["good"], "the unspoilt one: " + found["first"])
        self.assertGreater(found["tried"], 50)
        # The daemon has not noticed.
        self.assertEqual(sockets_of(d.pid), sockets)
        held[0].sendall(b"y")
        self.assertEqual(held[0].recv(10), b"y")
        self.upgrade(d)
        held[0].sendall(b"z")
        self.assertEqual(held[0].recv(10), b"z")
        for s in held:
            s.close()
        d.call("Resume", services=["p"])
        d.wait_service("s", active=0)

    def test_found_too_late(self):
        """Listeners and processes go on, with a new beginning; nobody is refused."""
        for where in ("[20]", "[24]", "[200]", "[len(state) - 1]"):
            with self.subTest(where=where):
                d = self.daemon({"services": {"s": ECHO, "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]},
                                              "dgram": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}}})
                # Ports that the kernel has chosen are not known to a new beginning.
                ports = {name: d.port(name) for name in ("s", "dgram")}
                d.write_config({"services": {"s": {**ECHO, "listen": f"tcp:127.0.0.1:{ports['s']}"},
                                             "u": {"listen": "unix:{dir}/u.sock", "exec": ["mp-echo"]},
                                             "dgram": {"listen": f"udp:127.0.0.1:{ports['dgram']}", "exec": ["mp-echo"]}}})
                held = [d.dial(name) for name in ("s", "u")]
                for s in held:
                    self.addCleanup(s.close)
                    s.sendall(b"x")
                    self.assertEqual(s.recv(10), b"x")
                self.put(LATE.replace("WHERE", where).encode())
                pid = d.pid
                d.process.send_signal(signal.SIGUSR2)
                d.wait_log(event="upgrade_failed")
                wait_until(lambda: len(d.log(event="running")) == 2, "the new beginning")
                for s in held:
                    s.sendall(b"y")
                    self.assertEqual(s.recv(10), b"y")
                self.assertEqual(d.call("Ping")["pid"], pid)
                status = {s["name"]: s for s in d.status()["services"]}
                self.assertTrue(all(l["adopted"] for s in status.values() for l in s["listeners"]), status)
                self.assertEqual(d.ask("s", b"new"), b"new")
                self.assertEqual(d.ask("u", b"new"), b"new")
                for s in held:
                    s.close()


if __name__ == "__main__":
    unittest.main()
