# SPDX-License-Identifier: MIT
"""Limits of control groups, in a virtual machine whose kernel has all controllers in version 2, under a unit with Delegate=yes:
what is over its memory is killed and says so, who may make no more processes is told, all that is written is in force."""
import os
import re
import subprocess
import unittest

from harness import BUILD, ROOT, SANITIZED, SLOW, DaemonTest

CONFIG = """
version: 1
control: {socket: /run/mp.sock}
defaults: {user: root}
services:
  each:
    listen: tcp:127.0.0.1:9701
    exec: [/bin/bash, -c, 'a=x; while :; do a=$a$a; done']
    cgroup: {memory_max: 16M, per_instance: true}
  all:
    listen: tcp:127.0.0.1:9702
    exec: [/bin/bash, -c, 'a=x; while :; do a=$a$a; done']
    cgroup: {memory_max: 16M}
  forks:
    listen: tcp:127.0.0.1:9703
    exec: [/bin/sh, -c, 'for i in 1 2 3 4 5 6; do sleep 1000 >/dev/null 2>&1 & done; echo made']
    timeouts: {stop: 1s}
    cgroup: {pids_max: 5}
  files:
    listen: tcp:127.0.0.1:9704
    exec: [/bin/bash, -c, 'cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup); echo $(cat cpu.max io.weight pids.max memory.high)']
    cgroup: {cpu_max: 50%, io_weight: 50, pids_max: 7, memory_high: 32M, per_instance: true}
  one:
    listen: tcp:127.0.0.1:9705
    exec: [/bin/sleep, "1000"]
    cgroup: {pids_max: 1, per_instance: true}
  two:
    listen: tcp:127.0.0.1:9706
    exec: [/bin/sleep, "1000"]
    cgroup: {pids_max: 9}
"""
UNIT = """
[Service]
Type=notify
ExecStart=/opt/mpinetd -c /opt/mpinetd.yaml
Delegate=yes
KillMode=mixed
FileDescriptorStoreMax=64
"""
SCRIPT = r"""
ask() { exec 3<>/dev/tcp/127.0.0.1/$1 && cat <&3; }
ctl() { /opt/mpctl -s /run/mp.sock "$@"; }
tree=/sys/fs/cgroup/system.slice/mp.service
systemctl start mp || exit 1
for port in 9701 9702 9703; do ask $port; done
echo "files: $(ask 9704)"
echo "enabled: $(cat $tree/cgroup.subtree_control)"
echo "daemon: $(cat $tree/mpinetd/cgroup.procs | wc -l) there, $(cat $tree/cgroup.procs | wc -l) above"
echo "left: $(cat $tree/forks/all/cgroup.procs | wc -l)"
ctl stop forks
[ -e $tree/forks ] || echo "forks: gone"
ctl metrics | grep ^mpinetd_cgroup
exec 4<>/dev/tcp/127.0.0.1/9705 5<>/dev/tcp/127.0.0.1/9706
until [ -e $tree/one/1 ] && [ -n "$(cat $tree/two/all/cgroup.procs)" ]; do sleep 0.1; done
ctl upgrade >/dev/null && echo "upgraded: $(ask 9704)"
ctl is-active one two && echo "held: $(cat $tree/one/1/pids.max $tree/two/pids.max | paste -sd ' ')"
sed -i '/pids_max: 9/s/^/#/' /opt/mpinetd.yaml && ctl reload >/dev/null && echo "let go: $(cat $tree/two/pids.max)"
sed -i '/pids_max: 9/s/^#//' /opt/mpinetd.yaml && ctl reload >/dev/null && echo "taken back: $(cat $tree/two/pids.max)"
systemctl restart mp && echo "restarted: $(ask 9704)"
systemctl stop mp
mkdir -p /run/systemd/system/mp.service.d && printf '[Service]\nDelegate=no\n' >/run/systemd/system/mp.service.d/no.conf
systemctl daemon-reload && systemctl start mp && ctl is-active one
systemctl stop mp
journalctl -u mp --no-pager -o cat
"""


@unittest.skipUnless(SLOW, "takes a minute: MP_TEST_SLOW=1")
@unittest.skipIf(SANITIZED, "takes too long in a machine that is emulated")
class Limits(DaemonTest):
    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def copies(self):
        programs = {"/opt/mpinetd": f"{BUILD}/daemon/mpinetd", "/opt/mpctl": f"{BUILD}/ctl/mpctl"}
        found = [f"{source}:{target}" for target, source in programs.items()]
        for source in programs.values():
            out = subprocess.run(["ldd", source], stdout=subprocess.PIPE, text=True, check=True).stdout
            found += [f"{path}:{path}" for path in re.findall(r" => (/\S+)", out)]
        return [word for copy in sorted(set(found)) for word in ("--copy", copy)]

    def test_limits(self):
        self.folder = self.temporary_folder()
        command = [f"{ROOT}/tests/helpers/systemd-vm", "--timeout", "540", *self.copies(),
                   "--copy", self.write("mpinetd.yaml", CONFIG) + ":/opt/mpinetd.yaml",
                   "--copy", self.write("script", SCRIPT) + ":/opt/script", "--unit", self.write("mp.service", UNIT),
                   "--", "bash", "/opt/script"]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", timeout=600, check=False)
        said = run.stdout.replace("\r", "")
        if run.returncode == 77:
            self.skipTest(said.strip())
        self.assertEqual(run.returncode, 0, said)
        limits = "50000 100000 default 50 7 33554432"
        for line in (f"files: {limits}", "enabled: cpu io memory pids", "daemon: 1 there, 0 above", "forks: gone",
                     f"upgraded: {limits}", "held: 1 9", "let go: max", "taken back: 9", f"restarted: {limits}"):
            self.assertIn(f"{line}\n", said)
        for name in ("each", "all"):
            self.assertRegex(said, rf"\n{name}\[\d+\] \S+ ended: killed by SIGKILL after [^\n]* "
                                   r"\(out of memory: cgroup.memory_max 16M\)\n")
            self.assertRegex(said, rf'\nmpinetd_cgroup_oom_kills_total{{service="{name}"}} [1-9]')
        self.assertRegex(said, r"\nforks: its processes could not make others: cgroup.pids_max 5, \d+ times\n")
        self.assertRegex(said, r'\nmpinetd_cgroup_pids_limited_total{service="forks"} [1-9]')
        self.assertRegex(said, r"\none: [^\n]*mp.service is not the daemon's to divide: start it by a unit with Delegate=yes")
        self.assertNotIn("Failed to", said)


if __name__ == "__main__":
    unittest.main()
