# SPDX-License-Identifier: MIT
"""Real servers behind the daemon, real clients in front of it."""
import filecmp
import os
import pwd
import socket
import subprocess
import unittest

from harness import DaemonTest, need_program, program, wait_until


def run(*command, timeout=120, **options):
    """Runs a client; its output, or a failure that shows it."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False,
                            **{"stdin": subprocess.DEVNULL, **options} if "input" not in options else options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr.decode()}")
    return result.stdout


@need_program("sshd", "ssh", "ssh-keygen")
class Ssh(DaemonTest):
    """sshd -i, as inetd would run it."""

    def setUp(self):
        self.dir = self.temporary_folder()
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
            with open("/etc/shadow", encoding="utf-8") as shadow:
                if any(line.startswith(("root:!*", "root:!:")) for line in shadow):
                    self.skipTest("the account of root is locked")
        for key in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/{key}")
        with open(f"{self.dir}/sshd_config", "w", encoding="utf-8") as file:
            file.write(f"HostKey {self.dir}/host\nAuthorizedKeysFile {self.dir}/user.pub\nStrictModes no\nUsePAM no\n"
                       "PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n")
        self.d = self.daemon({"services": {"ssh": {
            "listen": "tcp:127.0.0.1:0", "exec": [program("sshd"), "-i", "-f", f"{self.dir}/sshd_config"],
            "sandbox": {"no_new_privileges": False}}}})

    def ssh(self, *command, **options):
        return run("ssh", "-p", str(self.d.port("ssh")), "-i", f"{self.dir}/user", "-o", "IdentitiesOnly=yes", "-o",
                   "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-F",
                   "/dev/null", f"{self.user}@127.0.0.1", *command, **options)

    def test_command(self):
        self.assertEqual(self.ssh("echo hello; id -un"), f"hello\n{self.user}\n".encode())
        service = self.d.wait_idle("ssh")
        self.assertEqual(service["spawned"], 1)

    def test_much_data(self):
        data = os.urandom(5_000_000)
        self.assertEqual(self.ssh("cat", input=data), data)
        self.d.wait_idle("ssh")

    def test_several_at_once(self):
        clients = [subprocess.Popen(["ssh", "-p", str(self.d.port("ssh")), "-i", f"{self.dir}/user", "-o",
                                     "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                                     "BatchMode=yes", "-F", "/dev/null", f"{self.user}@127.0.0.1", f"echo {i}"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                   for i in range(5)]
        for i, client in enumerate(clients):
            self.assertEqual(client.communicate(timeout=60)[0], b"%d\n" % i)
        self.d.wait_idle("ssh")


@need_program("rsync")
class Rsync(DaemonTest):
    def test_thousand_files(self):
        folder = self.temporary_folder()
        for i in range(1000):
            path = f"{folder}/tree/{i % 10}/{i % 7}"
            os.makedirs(path, exist_ok=True)
            with open(f"{path}/{i}", "wb") as file:
                file.write(os.urandom(i * 3))
        with open(f"{folder}/rsyncd.conf", "w", encoding="utf-8") as file:
            file.write(f"use chroot = no\n[tree]\npath = {folder}/tree\nread only = yes\n")
        d = self.daemon({"services": {"rsync": {
            "listen": "tcp:127.0.0.1:0", "exec": ["rsync", "--daemon", f"--config={folder}/rsyncd.conf"]}}})
        run("rsync", "-a", f"rsync://127.0.0.1:{d.port('rsync')}/tree/", f"{folder}/copy/")
        for base, _, names in os.walk(f"{folder}/tree"):
            other = base.replace(f"{folder}/tree", f"{folder}/copy")
            match, wrong, errors = filecmp.cmpfiles(base, other, names, shallow=False)
            self.assertEqual((len(match), wrong, errors), (len(names), [], []))
        listing = run("rsync", f"rsync://127.0.0.1:{d.port('rsync')}/")
        self.assertIn(b"tree", listing)
        self.assertEqual(sum(d.wait_idle("rsync")["exited"].values()), 2)


@need_program("git")
class Git(DaemonTest):
    def test_clone(self):
        folder = self.temporary_folder()
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8"}

        def git(*arguments):
            return run("git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "-c",
                       "init.defaultBranch=main", *arguments, env=environment)
        git("init", "-q", f"{folder}/tree")
        for i in range(20):
            with open(f"{folder}/tree/file{i}", "w", encoding="utf-8") as file:
                file.write(f"{i}\n" * 1000)
            git("-C", f"{folder}/tree", "add", ".")
            git("-C", f"{folder}/tree", "commit", "-q", "-m", f"commit {i}")
        git("clone", "-q", "--bare", f"{folder}/tree", f"{folder}/srv/repo.git")
        d = self.daemon({"services": {"git": {
            "listen": "tcp:127.0.0.1:0",
            "exec": ["git", "daemon", "--inetd", "--export-all", f"--base-path={folder}/srv", f"{folder}/srv"]}}})
        git("clone", "-q", f"git://127.0.0.1:{d.port('git')}/repo.git", f"{folder}/copy")
        self.assertEqual(git("-C", f"{folder}/copy", "rev-parse", "HEAD"),
                         git("-C", f"{folder}/tree", "rev-parse", "HEAD"))
        self.assertEqual(len(os.listdir(f"{folder}/copy")), 21)
        d.wait_idle("git")


SCRIPT = r"""
read -r method path version
length=0
while read -r name value; do
  case $name in
    [Cc]ontent-[Ll]ength:) length=${value%?};;
    ?) break;;
  esac
done
body="$method $path from $TCPREMOTEIP, $(head -c "$length" | wc -c) bytes"
printf 'HTTP/1.0 200 OK\r\nContent-Length: %s\r\n\r\n%s' "${#body}" "$body"
"""


class Http(DaemonTest):
    def setUp(self):
        self.d = self.daemon({"services": {"http": {"listen": "tcp:127.0.0.1:0",
                                                    "exec": ["sh", "-c", SCRIPT.replace("$", "$$")]}}})
        self.url = f"http://127.0.0.1:{self.d.port('http')}"

    @need_program("curl")
    def test_curl(self):
        self.assertEqual(run("curl", "-sS", f"{self.url}/a/b"), b"GET /a/b from 127.0.0.1, 0 bytes")
        self.assertEqual(run("curl", "-sS", "--data-binary", "@-", f"{self.url}/up", input=b"x" * 1000),
                         b"POST /up from 127.0.0.1, 1000 bytes")

    @need_program("curl")
    def test_curl_many(self):
        out = run("curl", "-sS", "--parallel", *[f"{self.url}/{i}" for i in range(30)])
        self.assertEqual(out.count(b"from 127.0.0.1"), 30)
        self.d.wait_idle("http")


class Tools(DaemonTest):
    """The tools that people try a service with."""

    def setUp(self):
        self.d = self.daemon({"services": {
            "tcp": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]},
            "unix": {"listen": "unix:{dir}/c.sock", "exec": ["cat"]},
            "seqpacket": {"listen": "unix-seqpacket:{dir}/s.sock", "exec": ["mp-echo"]},
            "udp": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"]}}})

    @need_program("socat")
    def test_socat(self):
        data = os.urandom(300_000)
        for address in (f"TCP:127.0.0.1:{self.d.port('tcp')}", f"UNIX-CONNECT:{self.d.path('c.sock')}"):
            self.assertEqual(run("socat", "-t", "10", "STDIO", address, input=data), data)
        self.assertEqual(run("socat", "-t", "1", "STDIO", f"UDP:127.0.0.1:{self.d.port('udp')}", input=b"hello"), b"hello")
        self.assertEqual(run("socat", "-t", "1", "STDIO", f"UNIX-CONNECT:{self.d.path('s.sock')},type=5",
                             input=b"hello"), b"hello")

    @need_program("socat")
    def test_socat_as_the_service(self):
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["socat", "STDIO", "SYSTEM:tr a-z A-Z"]}}})
        self.assertEqual(d.ask("s", b"hello"), b"HELLO")

    @need_program("nc")
    def test_nc(self):
        self.assertEqual(run("nc", "-N", "127.0.0.1", str(self.d.port("tcp")), input=b"hello"), b"hello")
        self.assertEqual(run("nc", "-N", "-U", self.d.path("c.sock"), input=b"hello"), b"hello")

    def test_plain_sockets(self):
        with socket.create_connection(("127.0.0.1", self.d.port("tcp")), 5) as s:
            for word in (b"one", b"two"):
                s.sendall(word)
                self.assertEqual(s.recv(10), word)
        wait_until(lambda: self.d.service("tcp")["active"] == 0, "the end")


if __name__ == "__main__":
    unittest.main()
