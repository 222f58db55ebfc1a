# SPDX-License-Identifier: MIT
"""Real servers in the sandboxes that docs/sandbox.md recommends for them: each recipe is taken from there as it stands, a
real client does real work, and a child in the server's place tries what it may not."""
import os
import re
import socket
import subprocess
import threading
import unittest

from harness import ROOT, need_program, need_root, program
from sandbox import SandboxTest, has_user_namespaces, landlock_abi

REFUSED = {"EACCES", "EPERM", "EROFS", "ENOENT", "ENODATA", "ECONNREFUSED", "ESRCH", "ENOSYS"}


def run(*command, **options):
    """Runs a client; its output, or a failure that shows it."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False,
                            **{"stdin": subprocess.DEVNULL, **options} if "input" not in options else options)
    if result.returncode != 0:
        said = (result.stdout + result.stderr).decode()
        raise AssertionError(f"{' '.join(command)}: exit status {result.returncode}\n{said}")
    return result.stdout


def recipe(name):
    """The config below this heading of the document."""
    with open(f"{ROOT}/docs/sandbox.md", encoding="utf-8") as file:
        text = file.read()
    found = re.search(rf"^### {re.escape(name)}\n(?:(?!^#).*\n)*?```yaml\n((?:(?!```).*\n)*)```$", text, re.M)
    if not found:
        raise AssertionError(f"docs/sandbox.md has no config for {name}")
    return found[1]


class RecipeTest(SandboxTest):
    def setUp(self):
        self.folder = self.folder_for_all()

    def config(self, name, text=None, **replace):
        """The recipe, or another text, with ports and folders of this test: each word to be replaced has to be there."""
        text, n = re.subn(r"(?m)^(    listen: (?:tcp|udp)):\d+$", r"\1:127.0.0.1:0", text or recipe(name))
        self.assertEqual(n, 1, text)
        for old, new in replace.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        return text

    def place(self, name, *contents):
        """A folder of the machine that the service is told of, for everybody to look into."""
        path = f"{self.folder}/{name}"
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)
        for inner, text in contents:
            with open(f"{path}/{inner}", "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(f"{path}/{inner}", 0o644)
        return path

    def forbidden(self, text, *attempts, allowed=()):
        """What a child gets that the same sandbox is around: of @attempts nothing, of @allowed all."""
        words = ", ".join(f"'{a}'" for a in (*attempts, *allowed))
        text, n = re.subn(r"(?m)^    exec: \[.*\]$", f"    exec: [{{trial}}, {words}]", text)
        self.assertEqual(n, 1)
        text = re.sub(r"(?m)^    listen: udp.*\n    pass: stdio$", "    listen: tcp:127.0.0.1:0", text)
        d = self.begin_with(text)
        name = re.search(r"(?m)^  (\w+):$", text)[1]
        got = self.outcome(d, name)
        for attempt in attempts:
            self.assertIn(got[attempt], REFUSED, (attempt, got))
        self.assertEqual({got[attempt] for attempt in allowed} - {"ok"}, set(), got)

    def machine(self):
        """What nobody in a strict sandbox is to have: a port of the machine, a file of another user's home, and so on."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        return (f"connect:{server.getsockname()[1]}", "trace:1", "mount:/mnt", "unshare:user", "chroot:/", "write:/etc/x",
                "write:/usr/x", "read:/etc/shadow", f"signal:{os.getpid()}", "read:/dev/mem", "list:/home", "list:/root",
                "node:/tmp/mpt-node")

    def served(self, d, name, n=1):
        """All went well with so many of its processes."""
        service = d.wait_idle(name)
        self.assertEqual((service["spawn_failed"], service["last_error"]), (0, None), service)
        self.assertGreaterEqual(service["exited"]["ok"], n, service)


@unittest.skipUnless(landlock_abi(), "the kernel has no Landlock")
class Files(RecipeTest):
    """Those that run as nobody, under a daemon of root and under one of nobody."""

    def git_environment(self):
        return {"PATH": os.environ["PATH"], "HOME": self.folder, "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8"}

    def git(self, *arguments):
        return run(program("git"), "-c", "user.name=Test", "-c", "user.email=test@example.org", "-c",
                   "init.defaultBranch=main", *arguments, env=self.git_environment())

    def place_repository(self):
        """The folder of a repository of five commits, repo.git, which everybody may have."""
        place, git = self.place("git"), self.git
        git("init", "-q", f"{self.folder}/tree")
        for i in range(5):
            with open(f"{self.folder}/tree/file{i}", "w", encoding="utf-8") as file:
                file.write(f"{i}\n" * 1000)
            git("-C", f"{self.folder}/tree", "add", ".")
            git("-C", f"{self.folder}/tree", "commit", "-q", "-m", f"commit {i}")
        git("clone", "-q", "--bare", f"{self.folder}/tree", f"{place}/repo.git")
        with open(f"{place}/repo.git/git-daemon-export-ok", "w", encoding="utf-8"):
            pass
        run("chown", "-R", "nobody", place) if os.geteuid() == 0 else None
        return place

    def clone(self, text):
        """What a client does; the daemon of @text."""
        d, git = self.begin_with(text), self.git
        url = f"git://127.0.0.1:{d.port('git')}/repo.git"
        git("clone", "-q", url, f"{self.folder}/copy")
        self.assertEqual(git("-C", f"{self.folder}/copy", "rev-parse", "HEAD"),
                         git("-C", f"{self.folder}/tree", "rev-parse", "HEAD"))
        self.assertEqual(len(os.listdir(f"{self.folder}/copy")), 6)
        git("clone", "-q", "--depth=1", url, f"{self.folder}/shallow")
        self.served(d, "git", 2)
        return d

    @need_program("git")
    def test_git(self):
        place = self.place_repository()
        text = self.config("git", **{"/srv/git": place})
        d = self.clone(text)
        # What is not exported, or lies elsewhere, is not there.
        self.assertNotEqual(subprocess.run(["git", "ls-remote", f"git://127.0.0.1:{d.port('git')}/../tree"],
                                           env=self.git_environment(), capture_output=True, check=False).returncode, 0)
        self.forbidden(text, *self.machine(), f"write:{place}/x", f"list:{self.folder}/tree", "list:/srv",
                       allowed=(f"list:{place}/repo.git", f"read:{place}/repo.git/HEAD"))

    @need_program("git")
    def test_git_by_the_example(self):
        """But for the limits of a control group, for which not every machine has a tree."""
        with open(f"{ROOT}/conf/examples/sandboxed-git.yaml", encoding="utf-8") as file:
            text, n = re.subn(r"(?m)^    cgroup:.*\n(?:      .*\n)+", "", file.read())
        self.assertEqual(n, 1)
        self.clone(self.config("git", text, **{"/srv/git": self.place_repository()}))

    @need_program("rsync")
    def test_rsync(self):
        files, upload = self.place("files"), self.place("upload")
        self.give(upload) if self.wrap() else os.chown(upload, 65534, 65534)
        for i in range(200):
            with open(f"{files}/{i}", "wb") as file:
                file.write(os.urandom(i * 30))
        conf = (f"use chroot = no\n[files]\npath = {files}\n[upload]\npath = {upload}\nread only = no\n")
        self.place("etc", ("rsyncd.conf", conf))
        text = self.config("rsync", **{"/etc/rsyncd.conf": f"{self.folder}/etc/rsyncd.conf", "/srv/upload": upload})
        d = self.begin_with(text)
        url = f"rsync://127.0.0.1:{d.port('rsync')}"
        run("rsync", "-a", f"{url}/files/", f"{self.folder}/copy/")
        run("diff", "-r", files, f"{self.folder}/copy")
        run("rsync", "-r", f"{files}/", f"{url}/upload/")
        run("diff", "-r", files, upload)
        self.served(d, "rsync", 2)
        refused = subprocess.run(["rsync", "-a", f"{files}/1", f"{url}/files/new"], capture_output=True, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertFalse(os.path.exists(f"{files}/new"))
        self.forbidden(text, *self.machine(), f"write:{files}/x", allowed=(f"write:{upload}/x", f"read:{files}/1"))

    PAGE = r"""
import os, sys, urllib.request
request = sys.stdin.readline().split()
while sys.stdin.readline().strip():
    pass
path = request[1]
body = ""
if path.startswith("/keep/"):
    with open(os.path.dirname(__file__) + "/data/kept", "a") as kept:
        kept.write(path[6:] + "\n")
elif path.startswith("/fetch/"):
    try:
        body = urllib.request.urlopen("http://127.0.0.1:" + path[7:], timeout=5).read().decode()
    except Exception as error:
        body = "not fetched"
elif path.startswith("/read"):
    try:
        body = open(path[5:]).read()
    except OSError as error:
        body = error.strerror
print(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}", end="", flush=True)
"""

    ELSEWHERE = """while read -r x && [ "$${x%?}" ]; do :; done; printf 'HTTP/1.0 200 OK\\r\\n\\r\\nelsewhere'"""

    @need_program("curl")
    def test_script(self):
        web = self.place("web", ("page.py", self.PAGE))
        data = self.place("web/data")
        os.chown(data, 65534, 65534) if os.geteuid() == 0 else None
        text = self.config("A script that answers", **{"/srv/web": web})
        d = self.begin_with(text)
        url = f"http://127.0.0.1:{d.port('http')}"
        run("curl", "-sS", f"{url}/keep/one", f"{url}/keep/two")
        with open(f"{data}/kept", encoding="utf-8") as kept:
            self.assertEqual(kept.read(), "one\ntwo\n")
        self.assertEqual(run("curl", "-sS", f"{url}/read/etc/shadow"), b"Permission denied")
        self.assertEqual(run("curl", "-sS", f"{url}/read{data}/kept"), b"one\ntwo\n")
        self.assertIn(run("curl", "-sS", f"{url}/read{self.folder}/none"), (b"Permission denied", b"No such file or directory"))
        # Another server of the machine: that the page can be had by others shows that it is the sandbox.
        other = self.begin({"o": {"exec": ["/bin/sh", "-c", self.ELSEWHERE]}})
        self.assertEqual(run("curl", "-sS", f"http://127.0.0.1:{other.port('o')}"), b"elsewhere")
        self.assertEqual(run("curl", "-sS", f"{url}/fetch/{other.port('o')}"), b"not fetched")
        self.served(d, "http", 5)
        self.forbidden(text, *self.machine(), f"write:{web}/x", allowed=(f"write:{data}/x", f"read:{web}/page.py"))
        d = self.begin_with(text.replace("      preset: strict\n", "      preset: strict\n      network: host\n"))
        self.assertEqual(run("curl", "-sS", f"http://127.0.0.1:{d.port('http')}/fetch/{other.port('o')}"), b"elsewhere")

    @need_program("sqlite3")
    def test_sqlite(self):
        data = self.place("data")
        run("sqlite3", f"{data}/books.db", "create table books (title text, year int); insert into books values ('Utopia', 1516)")
        run("chown", "-R", "65534:65534", data) if os.geteuid() == 0 else None
        text = self.config("sqlite", **{"/srv/data": data})
        d = self.begin_with(text)
        self.assertEqual(d.ask("query", b"select title from books where year < 1600;\n"), b"Utopia\n")
        self.assertEqual(d.ask("query", b"insert into books values ('Candide', 1759);\n"), b"")
        self.assertEqual(run("sqlite3", f"{data}/books.db", "select count(*) from books"), b"2\n")
        insert = b"insert into books select 'copy', random() from books limit 1;\n"
        clients = [threading.Thread(target=d.ask, args=("query", insert)) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(60)
        # One waits for the other's lock, or is told that it is taken.
        self.assertGreaterEqual(int(run("sqlite3", f"{data}/books.db", "select count(*) from books")), 3)
        said = d.ask("query", b".shell cat /etc/shadow /etc/passwd 2>&1; echo x > /etc/mpt\n"
                              + f".shell echo > {self.folder}/out\n".encode())
        self.assertIn(b"/etc/passwd: Permission denied", said)
        self.assertNotIn(b"root:", said)
        self.assertFalse(os.path.exists("/etc/mpt") or os.path.exists(f"{self.folder}/out"))
        self.forbidden(text, *self.machine(), f"write:{self.folder}/x", "read:/proc/self/status",
                       allowed=(f"write:{data}/x", f"read:{data}/books.db"))


@need_root
class RootFiles(Files):
    pass


@unittest.skipUnless(has_user_namespaces(), "no user namespaces for ordinary users here")
class OrdinaryFiles(Files):
    AS_ROOT = False


@need_root
@need_program("sshd", "ssh", "ssh-keygen", "unshare", "mount")
class Ssh(RecipeTest):
    """A user of this test alone, whom the machine's other users never see."""
    UID = 54321

    def setUp(self):
        super().setUp()
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.home = self.place("home")
        for key in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.folder}/{key}")
        os.makedirs(f"{self.home}/.ssh")
        os.makedirs(f"{self.folder}/keys")
        for name in (f"{self.home}/.ssh/authorized_keys", f"{self.folder}/keys/tester"):
            with open(f"{self.folder}/user.pub", encoding="utf-8") as key, open(name, "w", encoding="utf-8") as file:
                file.write(key.read())
        run("chown", "-R", f"{self.UID}:{self.UID}", self.home)
        for name, line in (("passwd", f"tester:x:{self.UID}:{self.UID}::{self.home}:/bin/sh"), ("group", f"tester:x:{self.UID}:"),
                           ("shadow", "tester:*:19000:0:99999:7:::")):
            with open(f"/etc/{name}", encoding="utf-8") as own, open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
                file.write(own.read().rstrip("\n") + f"\n{line}\n")
            os.chmod(f"{self.folder}/{name}", 0o640 if name == "shadow" else 0o644)
        with open(f"{self.folder}/sshd_config", "w", encoding="utf-8") as file:
            file.write(f"HostKey {self.folder}/host\nUsePAM yes\nPidFile none\nPasswordAuthentication no\n"
                       "KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n")

    def wrap(self):
        binds = " && ".join(f"mount --bind {self.folder}/{name} /etc/{name}" for name in ("passwd", "group", "shadow"))
        return ["unshare", "-m", "sh", "-c", binds + ' && exec "$@"', "sh"]

    def give(self, path):
        pass

    def options(self, port):
        return ["-P" if port < 0 else "-p", str(abs(port)), "-i", f"{self.folder}/user", "-o", "IdentitiesOnly=yes", "-o",
                "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-F", "/dev/null"]

    def ssh(self, d, *command, **options):
        flags = options.pop("flags", ())
        return run("ssh", *self.options(d.port("ssh")), *flags, "tester@127.0.0.1", *command, **options)

    def test_login(self):
        text = self.config("ssh", **{"[/usr/sbin/sshd, -i": f"[{program('sshd')}, -i, -f, {self.folder}/sshd_config"})
        d = self.begin_with(text)
        self.assertEqual(self.ssh(d, "id -un; id -u; pwd"), f"tester\n{self.UID}\n{self.home}\n".encode())
        data = os.urandom(1_000_000)
        self.assertEqual(self.ssh(d, "cat > kept; cat kept", input=data), data)
        self.assertIn(b"/dev/pts/", self.ssh(d, "tty", flags=["-tt"]))
        said = self.ssh(d, "grep -E '^(Cap(Eff|Prm|Inh|Amb)|NoNewPrivs|Seccomp):' /proc/self/status; touch /usr/x /etc/x 2>&1; "
                           "mount -t tmpfs none /mnt 2>&1; unshare -m true 2>&1; cat /etc/shadow 2>&1; ls /dev/mem 2>&1; "
                           "true").decode()
        fields = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
        self.assertEqual({int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}, {0}, said)
        self.assertEqual((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"))
        for word in ("touch: cannot touch '/usr/x': Read-only", "touch: cannot touch '/etc/x': Read-only", "mount: ", "unshare: ",
                     "cat: /etc/shadow: Permission denied", "ls: cannot access '/dev/mem'"):
            self.assertIn(word, said)
        self.assertEqual(d.wait_idle("ssh")["spawn_failed"], 0)
        self.forbidden(text, "mount:/mnt", "remount:/", "write:/usr/x", "write:/etc/x", "trace:1", "unshare:mount",
                       "read:/dev/mem", "host:elsewhere", "node:/root/mpt-node",
                       allowed=("read:/etc/shadow", f"write:{self.folder}/x"))

    @need_program("sftp")
    def test_sftp(self):
        jail = self.place("jail")
        os.makedirs(f"{jail}/in")
        os.chown(f"{jail}/in", self.UID, self.UID)
        text = self.config("sftp", **{"[/usr/sbin/sshd, -i": f"[{program('sshd')}, -i, -f, {self.folder}/sshd_config",
                                      "/etc/ssh/keys": f"{self.folder}/keys", "/srv/sftp": jail})
        d = self.begin_with(text)
        mine = f"{self.folder}/mine"
        with open(mine, "wb") as file:
            file.write(os.urandom(300_000))
        batch = f"put {mine} /in/theirs\nget /in/theirs {self.folder}/back\nls /\n"
        said = run("sftp", *self.options(-d.port("sftp")), "-b", "-", "tester@127.0.0.1", input=batch.encode()).decode()
        self.assertIn("in", said)
        run("cmp", mine, f"{self.folder}/back")
        run("cmp", mine, f"{jail}/in/theirs")
        refused = subprocess.run(["sftp", *self.options(-d.port("sftp")), "-b", "-", "tester@127.0.0.1"], check=False,
                                 input=b"get /etc/passwd /dev/null\n", capture_output=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(d.wait_idle("sftp")["spawn_failed"], 0)
        self.forbidden(text, *(a for a in self.machine() if a.split(":")[0] not in ("chroot", "read")), "write:/var/x",
                       allowed=(f"write:{jail}/x", "chroot:/"))


@need_root
@need_program("in.tftpd", "curl")
class Tftp(RecipeTest):
    def test_tftp(self):
        place = self.place("tftp", ("boot", "boot this\n" * 1000))
        text = self.config("TFTP", **{"/srv/tftp": place, "/usr/sbin/in.tftpd": program("in.tftpd"), '"60"': '"1"'})
        d = self.begin_with(text)
        got = run("curl", "-sS", "--tftp-no-options", f"tftp://127.0.0.1:{d.port('tftp')}/boot")
        self.assertEqual(got, b"boot this\n" * 1000)
        missing = subprocess.run(["curl", "-sS", f"tftp://127.0.0.1:{d.port('tftp')}/none"], capture_output=True, check=False)
        self.assertNotEqual(missing.returncode, 0)
        self.assertIsNone(d.service("tftp")["last_error"])
        self.forbidden(text, "mount:/mnt", "write:/etc/x", f"write:{place}/x", "read:/dev/mem", "list:/root",
                       f"signal:{os.getpid()}", "trace:1", "node:/tmp/mpt-node", allowed=("chroot:/", f"read:{place}/boot"))


# The class that these are made of is no test itself.
del Files, RecipeTest

if __name__ == "__main__":
    unittest.main()
