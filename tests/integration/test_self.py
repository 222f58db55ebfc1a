# SPDX-License-Identifier: MIT
"""The daemon itself: what it may, and who may look into it; and that the programs it starts have nothing of that."""
import os
import re
import signal
import subprocess
import unittest

from harness import (ROOT, SANITIZED, DaemonTest, VarlinkError, children_of, need_program, need_root,
                     sanitizer_environment, wait_until)

LINUX_CAPABILITIES = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct
sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore""".split()


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def names(mask):
    return {name for i, name in enumerate(LINUX_CAPABILITIES) if mask >> i & 1}


def core_limit(pid):
    with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
        return next(line.split()[4:6] for line in f if line.startswith("Max core file size"))


def documented():
    """The capabilities that docs/security.md lists as the daemon's."""
    with open(os.path.join(ROOT, "docs", "security.md"), encoding="utf-8") as f:
        return {name.lower() for name in re.findall(r"^\| `CAP_([A-Z_]+)` \|", f.read(), re.MULTILINE)}


PROBE = {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"], "pass_environment": ["ASAN_OPTIONS"]}
CAT = {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}


@need_root
class Capabilities(DaemonTest):
    def test_what_the_daemon_has(self):
        d = self.daemon({"services": {"s": CAT}})
        mine = int(status_of(os.getpid())["CapEff"], 16)
        has = names(int(status_of(d.pid)["CapEff"], 16))
        self.assertEqual(has, names(mine) & documented())
        self.assertFalse(has & {"sys_module", "sys_rawio", "sys_boot", "sys_time", "sys_ptrace", "syslog", "mac_admin", "bpf"})
        # Nothing that a program could get, under whatever user.
        status = status_of(d.pid)
        self.assertEqual([int(status[name], 16) for name in ("CapInh", "CapAmb")], [0, 0])

    def test_what_programs_have(self):
        """Root's all that there is, with no_new_privileges as without; anybody else's nothing."""
        d = self.daemon({"services": {
            "root": {**PROBE, "user": "root"},
            "free": {**PROBE, "user": "root", "sandbox": {"no_new_privileges": False}},
            "ahead": {**PROBE, "user": "root", "prespawn": 1},
            "nobody": {**PROBE, "user": "nobody"}}})
        mine = status_of(os.getpid())
        for when in ("at first", "after an upgrade"):
            for name in ("root", "free", "ahead"):
                status = d.probe(name)["status"]
                for field in ("CapEff", "CapPrm", "CapBnd"):
                    self.assertEqual(names(int(status[field], 16)), names(int(mine["CapBnd"], 16)), (when, name, field))
            status = d.probe("nobody")["status"]
            self.assertEqual([int(status[field], 16) for field in ("CapEff", "CapPrm", "CapInh", "CapAmb")], [0] * 4)
            if when == "at first":
                d.call("Upgrade")
        self.assertEqual(names(int(status_of(d.pid)["CapEff"], 16)), names(int(mine["CapEff"], 16)) & documented())

    @need_program("setpriv")
    def test_what_it_was_given(self):
        """Ambient ones of a unit, say: the daemon keeps of them what it uses."""
        d = self.daemon({"services": {"s": PROBE}},
                        wrap=["setpriv", "--inh-caps=+net_bind_service,+sys_time", "--ambient-caps=+net_bind_service,+sys_time", "--"])
        self.assertEqual(names(int(status_of(d.pid)["CapEff"], 16)) & {"net_bind_service", "sys_time"}, {"net_bind_service"})


# AddressSanitizer sets the limit of core dumps itself, in the daemon and in the probe: not for these tests.
OWN_LIMIT = {"ASAN_OPTIONS": sanitizer_environment()["ASAN_OPTIONS"] + ":disable_coredump=0"}


@need_root
@need_program("prlimit")
class Seclusion(DaemonTest):
    def test_no_core_dumps(self):
        """The daemon's own limit is 0; its programs have the one that it was started with, over upgrades, too."""
        d = self.daemon({"services": {"s": PROBE, "held": CAT}}, wrap=["prlimit", "--core=4096:1048576"], environment=OWN_LIMIT)
        for _ in range(3):
            self.assertEqual(core_limit(d.pid), ["0", "1048576"])
            self.assertEqual(d.probe("s")["rlimits"]["core"], [4096, 1048576])
            d.call("Upgrade")
        with d.dial("held") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            pid, = (pid for pid, state in children_of(d.pid) if state != "Z")
            self.assertEqual(core_limit(pid), ["4096", "1048576"])

    @need_program("strace")
    def test_a_failed_upgrade_leaves_it(self):
        d = self.daemon({"services": {"s": PROBE}}, wrap=["prlimit", "--core=4096:1048576"], environment=OWN_LIMIT)
        self.assertNotIn("ALLOW_CORE", d.log_text())
        # Past the proof, whatever execve(2) says then.
        tracer = subprocess.Popen(["strace", "-qq", "-e", "trace=execve", "-e", "inject=execve:error=ENOMEM", "-o", "/dev/null",
                                   "-p", str(d.pid)], stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: status_of(d.pid)["TracerPid"] != "0", "strace")
            with self.assertRaises(VarlinkError):
                d.call("Upgrade")
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(60)
        self.assertEqual(core_limit(d.pid), ["0", "1048576"])
        self.assertEqual(d.probe("s")["rlimits"]["core"], [4096, 1048576])

    def test_for_who_debugs_it(self):
        d = self.daemon({"services": {"s": PROBE}}, wrap=["prlimit", "--core=4096:1048576"],
                        environment={**OWN_LIMIT, "MPINETD_ALLOW_CORE": "1"})
        self.assertEqual(core_limit(d.pid), ["4096", "1048576"])
        self.assertTrue([e for e in d.log(level="warning") if "MPINETD_ALLOW_CORE is set" in e["message"]])
        self.assertNotIn("MPINETD_ALLOW_CORE", d.probe("s")["env"])

    @need_program("strace", "unshare")
    @unittest.skipIf(SANITIZED, "it is told of each call")
    def test_where_a_change_of_user_would_open_it(self):
        """fs.suid_dumpable other than 0: each process that changes its user closes its memory again, and no signal can make it dump
        core before. With 1 that memory is its own: another that shared it might have no capabilities any more that keep its user off."""
        for value, closes in (("0", False), ("1", True), ("2", True)):
            with self.subTest(value):
                d = self.daemon({"services": {"s": {**CAT, "user": "nobody"}}}, wait=None)
                with open(d.path("value"), "w", encoding="utf-8") as f:
                    f.write(value + "\n")
                script = f"mount --bind {d.path('value')} /proc/sys/fs/suid_dumpable && exec \"$@\""
                if subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
                    self.skipTest("no mount namespaces")
                d.wrap = ["unshare", "-m", "sh", "-c", script, "sh"]
                d.start()
                tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=clone,clone3,rt_sigprocmask,prctl,setresuid,capset", "-o", d.path("trace"), "-p", str(d.pid)],
                                          stderr=subprocess.PIPE, text=True)
                try:
                    wait_until(lambda: status_of(d.pid)["TracerPid"] != "0", "strace")
                    self.assertEqual(d.ask("s", b"x"), b"x")
                    d.wait_idle("s")
                finally:
                    tracer.send_signal(signal.SIGINT)
                    tracer.communicate(timeout=60)
                with open(d.path("trace"), encoding="utf-8") as f:
                    text = f.read()
                self.assertIn("setresuid(", text)
                before, behind = text.split("setresuid(", 1)
                self.assertEqual("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)" in behind, closes, text)
                # Until then nobody of its user may look into it: it has more capabilities than they.
                self.assertEqual("prctl(PR_SET_KEEPCAPS, 1" in before, closes, text)
                self.assertEqual(bool(re.search(r"clone3?\(.*CLONE_VM", before)), value != "1", text)
                self.assertEqual(bool(re.search(r"rt_sigprocmask\(SIG_SETMASK, ~\[\], NULL", before)), closes, text)
                if closes:
                    self.assertRegex(behind, r"(?s)SUID_DUMP_DISABLE\).*capset\(.*permitted=0")
                d.stop()


if __name__ == "__main__":
    unittest.main()
