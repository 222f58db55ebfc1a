# SPDX-License-Identifier: MIT
"""States that released versions have written, kept in tests/handover: each later version can take over from them.

    tests/handover/VERSION.state        the blob
    tests/handover/VERSION.json         what its descriptors were, for others to be put in their places

To keep those of a version that is about to be released:
    BUILD_DIR=build python3 tests/integration/test_handover_versions.py --write"""
import fcntl
import glob
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import blob
from harness import MPINETD, PATIENCE, ROOT, Daemon, DaemonTest, VarlinkError, sanitizer_environment, wait_until

STORED = os.path.join(ROOT, "tests", "handover")
# As long as the folders of tests are; in the stored states it stands for them.
FOLDER = "/tmp/mpt-________"
# An address of loopback that nothing else uses.
HOST, PORT = "127.93.17.5", 12007


def services():
    """One of each kind, with programs that are everywhere."""
    sleep = ["/bin/sleep", "1000"]
    return {"log": {"level": "debug"}, "control": {"manage": ["root"]}, "services": {
        "connection": {"listen": [f"tcp:{HOST}:{PORT}", "unix:{dir}/a.sock"], "exec": ["/bin/cat"],
                       "limits": {"per_source": 5, "rate_per_source": "10/s", "rate": "100/s"},
                       "access": {"deny": ["192.0.2.0/24", "2001:db8::/32"]}, "ban": {"after": "5/1m", "for": "10m"}},
        "told": {"listen": "unix:{dir}/b.sock", "report": True, "notify": "status", "timeouts": {"watchdog": "1h", "lifetime": "1d"},
                 "exec": ["/bin/sh", "-c", "echo READY=1 >&$MP_STATUS_FD; echo STATUS=all well >&$MP_STATUS_FD; "
                          "echo X_WARMTH=7 >&$MP_STATUS_FD; printf 'half a line' >&2; exec sleep 1000"]},
        "demand": {"listen": ["unix-dgram:{dir}/c.sock", f"udp:{HOST}:{PORT}"], "start": "now", "exec": sleep},
        "pool": {"listen": "unix:{dir}/d.sock", "model": "pool", "exec": sleep, "pool": {"min": 2, "max": 3, "spare_min": 0}},
        "passed": {"listen": "unix:{dir}/e.sock", "model": "pool", "exec": sleep,
                   "pool": {"min": 1, "max": 1, "spare_min": 0, "handoff": "connection"}},
        "mux": {"listen": f"tcp:{HOST}:{PORT + 1}", "model": "tcpmux"},
        "named": {"listen": "unix:{dir}/f.sock", "tcpmux": "+named", "exec": ["/bin/cat"]},
        "paused": {"listen": "unix:{dir}/g.sock", "exec": ["/bin/cat"]},
        "off": {"listen": "unix:{dir}/h.sock", "exec": ["/bin/cat"], "enabled": False},
        "fifo": {"listen": "fifo:{dir}/fifo", "model": "on-demand", "exec": sleep},
        "sensor": {"listen": f"tcp:{HOST}:{PORT + 2}", "exec": ["/bin/true"], "sensor": True, "ban": {"for": "1h"}}}}


def bind(s, address):
    """Somebody else may be running the same test."""
    def bound():
        try:
            s.bind(tuple(address) if isinstance(address, list) else address)
            return True
        except OSError:
            return False
    wait_until(bound, f"{address} to be free")


# ---- descriptors: what they are, and others like them
def describe(fd):
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode):
        link = os.readlink(f"/proc/self/fd/{fd}")
        return {"kind": "fifo", "path": link} if link.startswith("/") else {"kind": "pipe"}
    if stat.S_ISREG(mode):
        link = os.readlink(f"/proc/self/fd/{fd}")
        if link.startswith("/memfd:"):
            return {"kind": "memfd", "size": os.fstat(fd).st_size}
        return {"kind": "file", "path": link}
    if not stat.S_ISSOCK(mode):
        return {"kind": "other", "link": os.readlink(f"/proc/self/fd/{fd}")}
    with socket.socket(fileno=os.dup(fd)) as s:
        if s.family == socket.AF_NETLINK:
            return {"kind": "netlink", "protocol": s.proto}
        name = s.getsockname()
        name = "@" + name[1:].decode("latin-1") if isinstance(name, bytes) else name
        listens = s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens or (s.type == socket.SOCK_DGRAM and name):
            return {"kind": "bound", "family": int(s.family), "type": int(s.type), "address": name, "listens": listens}
        return {"kind": "connected", "family": int(s.family), "type": int(s.type)}


def make_like(what):
    """A descriptor of that kind, and what must stay open beside it."""
    kind = what["kind"]
    if kind == "pipe":
        ends = os.pipe()
        return ends[0], ends[1]
    if kind == "fifo":
        if not os.path.exists(what["path"]):
            os.mkfifo(what["path"])
        return os.open(what["path"], os.O_RDWR | os.O_NONBLOCK), None
    if kind == "memfd":
        fd = os.memfd_create("like")
        os.ftruncate(fd, what["size"])
        return fd, None
    if kind == "file":
        return os.open(what["path"], os.O_RDWR | os.O_CREAT, 0o600), None
    if kind == "netlink":
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, what["protocol"])
        return s.detach(), None
    if kind == "bound":
        s = socket.socket(what["family"], what["type"])
        address = what["address"]
        if isinstance(address, str) and address.startswith("@"):
            address = "\0" + address[1:]
        if what["family"] != socket.AF_UNIX:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bind(s, address)
        if what["listens"]:
            s.listen()
        return s.detach(), None
    if kind == "connected" and what["family"] == socket.AF_UNIX:
        a, b = socket.socketpair(socket.AF_UNIX, what["type"])
        return a.detach(), b.detach()
    if kind == "connected":
        with socket.create_server(("127.0.0.1", 0)) as server:
            a = socket.create_connection(server.getsockname())
            b, _ = server.accept()
        return a.detach(), b.detach()
    raise AssertionError(f"nothing is like {what}")


def dump():
    """As the program that is to take over: keeps what it gets, and declines."""
    state_fd, out = int(sys.argv[2].split("=")[1]), os.environ["TEST_STATE_OUT"]
    state = os.pread(state_fd, os.fstat(state_fd).st_size, 0)
    fds = [struct.unpack("<i", f.data)[0] for f in blob.descriptors(blob.decode(state))]
    with open(out + ".json", "w", encoding="utf-8") as file:
        json.dump({str(fd): describe(fd) for fd in sorted(fds)}, file)
    with open(out + ".new", "wb") as file:
        file.write(state)
    os.rename(out + ".new", out)
    sys.exit(1)


def prove():
    """Puts descriptors of the same kinds in their places, and lets the program judge the state: prints its verdict."""
    state_path, like_path, config = sys.argv[2:5]
    leave_out = int(sys.argv[5])
    with open(like_path, encoding="utf-8") as file:
        like = {int(fd): what for fd, what in json.load(file).items()}
    made, others = {}, []
    for fd, what in like.items():
        got, other = make_like(what)
        made[fd] = fcntl.fcntl(got, fcntl.F_DUPFD, 600)
        os.close(got)
        if other is not None:
            others.append(fcntl.fcntl(other, fcntl.F_DUPFD, 900))
            os.close(other)
    with open(state_path, "rb") as file:
        state = file.read()
    fd = os.memfd_create("state", os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(state)
    fcntl.fcntl(fd, 1033, 0x1 | 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: all of them
    state_fd, result = fcntl.fcntl(fd, fcntl.F_DUPFD, 500), fcntl.fcntl(os.memfd_create("result"), fcntl.F_DUPFD, 501)

    def put():
        os.closerange(3, 500)
        for number, source in made.items():
            if number != leave_out:
                os.dup2(source, number)
        for source in made.values():
            os.close(source)
        for kept in (state_fd, result):
            os.set_inheritable(kept, True)
    # close_fds would close what put() has made.
    run = subprocess.run([MPINETD, f"--accept-handover={state_fd}", "-c", config, f"--result-fd={result}"], preexec_fn=put,
                         close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                         pass_fds=())
    data = os.pread(result, os.fstat(result).st_size, 0)
    verdict = {f.tag: f.data for f in blob.decode(data)} if data else {}
    print(json.dumps({"status": run.returncode, "ok": 1 in verdict, "why": verdict.get(4, b"").decode(), "said":
                      run.stdout.decode(errors="replace")[-2000:]}))


def write():
    """A state of the program as it is built."""
    version = subprocess.run([MPINETD, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    folder = tempfile.mkdtemp(prefix="mpt-", dir="/tmp")
    out = os.path.join(folder, "state")
    program = os.path.join(folder, "mpinetd")
    shutil.copy(MPINETD, program)
    d = Daemon(services(), folder=folder, program=program, environment={"TEST_STATE_OUT": out, "BUILD_DIR": os.environ["BUILD_DIR"],
                                                                        "MPINETD_LIBEXECDIR": "/usr/libexec/mpinetd"})
    held = []
    try:
        for name in ("a", "b", "d", "g"):
            s = socket.socket(socket.AF_UNIX)
            s.connect(d.path(name + ".sock"))
            held.append(s)
        for port, data in ((PORT, b"hello"), (PORT + 1, b"nam"), (PORT + 2, b"")):
            s = socket.create_connection((HOST, port))
            s.sendall(data)
            held.append(s)
        d.call("Pause", services=["paused"])
        d.call("Set", service="connection", limits={"instances": 7})
        wait_until(lambda: [i for i in d.instances("told") if i["status"] == "all well"], "it to talk")
        wait_until(lambda: d.call("Bans")["bans"], "a ban")
        follower = d.connect()
        follower.send("Events", {"last": 3}, more=True)
        os.rename(program, program + ".old")
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nexec {sys.executable} {os.path.realpath(__file__)} --dump \"$@\"\n")
        os.chmod(program, 0o755)
        try:
            d.call("Upgrade")
        except VarlinkError as error:
            print(error.parameters["message"])
        time.sleep(0.2)
        os.makedirs(STORED, exist_ok=True)
        with open(out, "rb") as file:
            state = file.read().replace(folder.encode(), FOLDER.encode())
        with open(os.path.join(STORED, version + ".state"), "wb") as file:
            file.write(blob.encode(blob.decode(state)))
        with open(out + ".json", encoding="utf-8") as file:
            like = json.load(file)
        with open(os.path.join(STORED, version + ".json"), "w", encoding="utf-8") as file:
            rows = ",\n".join(f'"{fd}": {json.dumps(what)}' for fd, what in like.items())
            file.write("{\n" + rows.replace(folder, FOLDER) + "\n}\n")
    finally:
        for s in held:
            s.close()
        d.call("Stop", services=["*"])
        d.stop(check=False)
        shutil.rmtree(folder)


class Versions(DaemonTest):
    def judge(self, folder, version, leave_out=-1, wrap=(), more=()):
        """The verdict on the stored state of that version, with its folder in place of the one of then, and @more fields."""
        assert len(folder) == len(FOLDER)
        paths = []
        for ending in (".state", ".json"):
            with open(os.path.join(STORED, version + ending), "rb") as file:
                data = file.read().replace(FOLDER.encode(), folder.encode())
            paths.append(os.path.join(folder, "stored" + ending))
            with open(paths[-1], "wb") as file:
                file.write(blob.encode([*blob.decode(data), *more]) if ending == ".state" else data)
        config = {"version": 1, "defaults": {"user": "self"}, **services()}
        with open(os.path.join(folder, "mpinetd.yaml"), "w", encoding="utf-8") as file:
            file.write(json.dumps(config).replace("{dir}", folder))
        run = subprocess.run([*wrap, sys.executable, os.path.realpath(__file__), "--prove", *paths, os.path.join(folder, "mpinetd.yaml"),
                              str(leave_out)], capture_output=True, text=True, timeout=PATIENCE * 6, check=False,
                             env={**os.environ, "MPINETD_LIBEXECDIR": "/usr/libexec/mpinetd", **sanitizer_environment()})
        self.assertEqual(run.returncode, 0, run.stderr)
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        return json.loads(run.stdout)

    def test_all(self):
        versions = sorted(os.path.basename(path)[:-len(".state")] for path in glob.glob(os.path.join(STORED, "*.state")))
        self.assertTrue(versions)
        for version in versions:
            with self.subTest(version=version):
                found = self.judge(self.temporary_folder(), version)
                self.assertTrue(found["ok"], found)
                self.assertEqual(found["status"], 0)

    def test_what_only_a_newer_version_knows(self):
        """It is passed over."""
        version = sorted(os.path.basename(path)[:-len(".state")] for path in glob.glob(os.path.join(STORED, "*.state")))[-1]
        more = (blob.Field(60000, blob.STR, b"of another time"), blob.Field(60001, blob.FIELDS, [blob.Field(1, blob.U64, bytes(8))]))
        found = self.judge(self.temporary_folder(), version, more=more)
        self.assertTrue(found["ok"], found)

    def test_without_one_of_its_descriptors(self):
        """What stands in it must be there."""
        version = sorted(os.path.basename(path)[:-len(".json")] for path in glob.glob(os.path.join(STORED, "*.json")))[-1]
        with open(os.path.join(STORED, version + ".json"), encoding="utf-8") as file:
            fds = sorted(int(fd) for fd in json.load(file))
        for fd in fds[::5]:
            found = self.judge(self.temporary_folder(), version, leave_out=fd)
            self.assertFalse(found["ok"])
            self.assertEqual((found["status"], found["why"]), (0, f"it cannot read the state: descriptor {fd} is not open"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--dump"]:
        dump()
    elif sys.argv[1:2] == ["--prove"]:
        prove()
    elif sys.argv[1:2] == ["--write"]:
        write()
    else:
        unittest.main()
