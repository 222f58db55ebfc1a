# SPDX-License-Identifier: MIT
"""Connections and datagrams reach the programs, with exactly what the contract says that a process gets."""
import contextlib
import os
import signal
import socket
import time
import unittest

from harness import (DaemonTest, children_of, descriptors_of, has_ipv6, need_ipv6, need_root, parse_probe,
                     process_state, read_all, user_of, wait_until)


class Echo(DaemonTest):
    """mp-echo on every kind of stream endpoint."""

    def setUp(self):
        endpoints = {"tcp4": "tcp:127.0.0.1:0", "unix": "unix:{dir}/e.sock", "seqpacket": "unix-seqpacket:{dir}/s.sock",
                     "abstract": f"unix:@mpt-{os.getpid()}-{time.monotonic_ns()}"}
        if has_ipv6():
            endpoints["tcp6"] = "tcp:[::1]:0"
        self.d = self.daemon({"services": {name: {"listen": e, "exec": ["mp-echo"]} for name, e in endpoints.items()}})

    def echo(self, name):
        text = os.urandom(5000)
        with self.d.dial(name) as s:
            s.sendall(text)
            got = b""
            while len(got) < len(text):
                got += s.recv(65536)
            self.assertEqual(got, text)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(s), b"")
        service = self.d.wait_idle(name)
        self.assertEqual((service["accepted"], service["spawned"], service["exited"]["ok"]), (1, 1, 1))

    def test_tcp4(self):
        self.echo("tcp4")

    @need_ipv6
    def test_tcp6(self):
        self.echo("tcp6")

    def test_unix(self):
        self.echo("unix")

    def test_seqpacket(self):
        self.echo("seqpacket")

    def test_abstract(self):
        self.echo("abstract")

    def test_many_at_once(self):
        clients = [self.d.dial("tcp4") for _ in range(50)]
        for i, s in enumerate(clients):
            s.sendall(b"%d" % i)
        for i, s in enumerate(clients):
            self.assertEqual(s.recv(100), b"%d" % i)
        self.assertEqual(self.d.service("tcp4")["active"], 50)
        for s in clients:
            s.close()
        self.assertEqual(self.d.wait_idle("tcp4")["exited"]["ok"], 50)


class Endpoints(DaemonTest):
    @need_ipv6
    def test_port_alone_is_both_families(self):
        d = self.daemon({"services": {"echo": {"listen": "tcp:0", "exec": ["mp-echo"]}}})
        listeners = d.service("echo")["listeners"]
        self.assertEqual([item["address"] for item in listeners], ["0.0.0.0", "::"])
        self.assertEqual(listeners[0]["port"], listeners[1]["port"])
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, listeners[0]["port"]), 5) as s:
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")

    def test_unix_mode_and_removal(self):
        d = self.daemon({"services": {
            "a": {"listen": [{"endpoint": "unix:{dir}/a.sock", "mode": "0640"}], "exec": ["mp-echo"]},
            "b": {"listen": "unix:{dir}/b.sock", "exec": ["mp-echo"]},
            "c": {"listen": [{"endpoint": "unix:{dir}/c.sock", "remove_on_stop": False}], "exec": ["mp-echo"]}}})
        self.assertEqual(os.stat(d.path("a.sock")).st_mode & 0o777, 0o640)
        self.assertEqual(os.stat(d.path("b.sock")).st_mode & 0o777, 0o666)
        d.stop()
        self.assertFalse(os.path.exists(d.path("a.sock")))
        self.assertTrue(os.path.exists(d.path("c.sock")))

    def test_stale_unix_node_is_replaced(self):
        folder = self.temporary_folder()
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(folder + "/e.sock")
        d = self.daemon({"services": {"e": {"listen": f"unix:{folder}/e.sock", "exec": ["mp-echo"]}}})
        self.assertEqual(d.ask("e", b"x"), b"x")

    def test_live_unix_node_is_left_alone(self):
        folder = self.temporary_folder()
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(folder + "/e.sock")
            s.listen()
            inode = os.stat(folder + "/e.sock").st_ino
            d = self.daemon({"services": {"e": {"listen": f"unix:{folder}/e.sock", "exec": ["mp-echo"]}}})
            service = d.service("e")
            self.assertEqual(service["state"], "failed")
            self.assertIsNotNone(service["listeners"][0]["error"])
            self.assertEqual(os.stat(folder + "/e.sock").st_ino, inode)

    def test_regular_file_is_left_alone(self):
        folder = self.temporary_folder()
        with open(folder + "/e.sock", "w", encoding="utf-8") as file:
            file.write("mine")
        d = self.daemon({"services": {"e": {"listen": f"unix:{folder}/e.sock", "exec": ["mp-echo"]}}})
        self.assertEqual(d.service("e")["state"], "failed")
        with open(folder + "/e.sock", encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    def test_taken_port_is_retried(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            d = self.daemon({"services": {"e": {"listen": f"tcp:127.0.0.1:{port}", "exec": ["mp-echo"]},
                                          "other": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
            self.assertEqual(d.service("e")["state"], "failed")
            self.assertEqual(d.ask("other", b"serves"), b"serves")
        d.wait_service("e", state="listening")
        self.assertEqual(d.ask("e", b"x"), b"x")
        d.baseline = d.quiet_descriptors()

    def test_socket_options(self):
        d = self.daemon({"services": {"e": {"listen": [{
            "endpoint": "tcp:127.0.0.1:0", "backlog": 7, "nodelay": True,
            "keepalive": {"idle": "60s", "interval": "10s", "count": 5}}], "exec": ["mp-echo"]}}})
        self.assertEqual(d.listener("e")["backlog"], 7)
        self.assertEqual(d.ask("e", b"x"), b"x")


class PerConnection(DaemonTest):
    def start(self, **service):
        service = {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}", "one", "two"], **service}
        self.d = self.daemon({"services": {"p": service}})
        return self.d

    def probe(self, **service):
        return self.start(**service).probe("p")

    def test_stdio_descriptors(self):
        p = self.probe()
        self.assertEqual(sorted(p["by_fd"]), [0, 1, 2])
        self.assertEqual(p["by_fd"][0]["inode"], p["by_fd"][1]["inode"])
        self.assertEqual(p["by_fd"][0]["type"], "socket")
        self.assertFalse(p["by_fd"][0]["listening"])
        self.assertFalse(p["by_fd"][0]["nonblock"], "a connection is blocking")
        self.assertEqual(p["by_fd"][2]["type"], "pipe")
        self.assertFalse(any(item["cloexec"] for item in p["fds"]))

    def test_listen_fds_descriptors(self):
        p = self.probe(**{"pass": "listen_fds"})
        self.assertEqual(sorted(p["by_fd"]), [0, 1, 2, 3])
        self.assertEqual(p["by_fd"][0]["target"], "/dev/null")
        self.assertEqual((p["by_fd"][3]["type"], p["by_fd"][3]["nonblock"]), ("socket", False))
        self.assertEqual((p["env"]["LISTEN_FDS"], p["env"]["LISTEN_FDNAMES"]), ("1", "connection"))
        self.assertEqual(p["env"]["LISTEN_PID"], str(p["pid"]))

    def test_argv_and_program_name(self):
        self.assertEqual(self.probe()["argv"], [self.d.path("probe"), "one", "two"])

    def test_argv0(self):
        self.assertEqual(self.probe(argv0="in.probed")["argv"], ["in.probed", "one", "two"])

    def test_exec_as_one_string(self):
        d = self.daemon({"services": {"p": {"listen": "tcp:127.0.0.1:0",
                                           "exec": "{probe} 'a b' c\\ d \"\""}}})
        self.assertEqual(d.probe("p")["argv"][1:], ["a b", "c d", ""])

    def test_process_surroundings(self):
        p = self.probe()
        self.assertEqual((p["umask"], p["cwd"]), (0o022, "/"))
        self.assertEqual(p["sid"], p["pid"], "a session of its own")
        self.assertEqual(p["ppid"], self.d.pid)
        self.assertEqual(p["status"]["NoNewPrivs"], "1")
        for mask in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd"):
            self.assertEqual(int(p["status"][mask], 16), 0, mask)

    def test_environment(self):
        p = self.probe()
        self.assertEqual((p["env"]["MP_SERVICE"], p["env"]["MP_INSTANCE"]), ("p", "1"))
        self.assertEqual((p["env"]["PROTO"], p["env"]["TCPREMOTEIP"], p["env"]["TCPLOCALIP"]),
                         ("TCP", "127.0.0.1", "127.0.0.1"))
        self.assertEqual(p["env"]["TCPLOCALPORT"], str(self.d.port("p")))
        self.assertEqual((p["env"]["REMOTE_ADDR"], p["env"]["REMOTE_PORT"]), ("127.0.0.1", p["env"]["TCPREMOTEPORT"]))
        for name in ("PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL"):
            self.assertIn(name, p["env"])
        for name in ("NOTIFY_SOCKET", "MPINETD_LIBEXECDIR", "ASAN_OPTIONS", "LISTEN_FDS", "MP_STATUS_FD"):
            self.assertNotIn(name, p["env"])

    def test_environment_of_the_service(self):
        d = self.daemon({"services": {"p": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"],
                                           "environment": {"PATH": "/only", "MINE": "a=b c", "MP_SERVICE": "other"},
                                           "pass_environment": ["KEEP_*"]}}},
                        environment={"SECRET": "x", "KEEP_A": "1", "KEEP_B": "2"})
        env = d.probe("p")["env"]
        self.assertEqual((env["PATH"], env["MINE"], env["MP_SERVICE"]), ("/only", "a=b c", "other"))
        self.assertEqual((env["KEEP_A"], env["KEEP_B"]), ("1", "2"))
        self.assertNotIn("SECRET", env)

    def test_environment_of_unix(self):
        p = self.probe(listen="unix:{dir}/p.sock")
        self.assertEqual(p["env"]["PROTO"], "UNIX")
        self.assertEqual((p["env"]["UNIXREMOTEEUID"], p["env"]["UNIXREMOTEEGID"], p["env"]["UNIXREMOTEPID"]),
                         (str(os.geteuid()), str(os.getegid()), str(os.getpid())))
        self.assertEqual(p["env"]["UNIXLOCALPATH"], self.d.path("p.sock"))

    @need_ipv6
    def test_environment_of_ipv6(self):
        p = self.probe(listen="tcp:[::1]:0")
        self.assertEqual((p["env"]["PROTO"], p["env"]["TCPREMOTEIP"]), ("TCP6", "::1"))

    def test_umask_and_folder(self):
        p = self.probe(umask="0077", working_directory="{dir}")
        self.assertEqual((p["umask"], p["cwd"]), (0o077, self.d.dir))

    def test_resources(self):
        p = self.probe(resources={"nofile": 77, "core": 0, "file_size": "1M", "cpu_time": 60, "nice": 7,
                                  "oom_score_adjust": 500})
        self.assertEqual(p["rlimits"]["nofile"], [77, 77])
        self.assertEqual(p["rlimits"]["core"], [0, 0])
        self.assertEqual(p["rlimits"]["fsize"], [1 << 20, 1 << 20])
        self.assertEqual(p["rlimits"]["cpu"], [60, 60])
        self.assertEqual((p["nice"], p["oom_score_adj"]), (7, 500))

    def test_limits_are_those_of_the_daemons_start(self):
        d = self.daemon({"services": {"p": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"]}}},
                        wrap=["prlimit", "--nofile=300:900", "--"])
        self.assertEqual(d.probe("p")["rlimits"]["nofile"], [300, 900])

    def test_inherited_descriptors_and_signals_stay_out(self):
        """What the daemon's own parent left open, ignored or blocked does not reach a service."""
        extra = [os.dup2(os.open("/dev/null", os.O_RDONLY), fd) for fd in range(60, 80)]
        self.addCleanup(lambda: [os.close(fd) for fd in extra])
        script = "trap '' HUP PIPE CHLD USR1; exec \"$@\""
        d = self.daemon({"services": {"p": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"]}}},
                        wrap=["sh", "-c", script, "sh"], pass_fds=extra)
        p = d.probe("p")
        self.assertEqual(sorted(p["by_fd"]), [0, 1, 2])
        self.assertEqual(int(p["status"]["SigIgn"], 16), 0)
        d.wait_idle("p")  # SIGCHLD was ignored: it is reaped all the same

    def test_half_close(self):
        d = self.daemon({"services": {"h": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", "half-close"]}}})
        self.assertEqual(d.ask("h", b"x" * 100000), b"got 100000 bytes, then the end\n")

    def test_no_descriptor_of_a_connection_is_kept(self):
        d = self.start(exec=["cat"], stderr="discard")
        before = len(d.quiet_descriptors())
        clients = [d.dial("p") for _ in range(20)]
        for s in clients:
            s.sendall(b"x")
            s.recv(1)
        self.assertEqual(len(d.quiet_descriptors()), before)
        for s in clients:
            s.close()
        d.wait_idle("p")

    @need_root
    def test_user(self):
        uid, gid = user_of("nobody")
        d = self.daemon({"services": {"p": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"], "user": "nobody"}}})
        p = d.probe("p")
        self.assertEqual((p["uids"], p["gids"]), ([uid, uid], [gid, gid]))
        self.assertEqual([g for g in p["groups"] if g != gid], [])
        self.assertEqual((p["env"]["USER"], p["env"]["LOGNAME"]), ("nobody", "nobody"))
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            self.assertEqual(int(p["status"][name], 16), 0, name)

    @need_root
    def test_group_and_supplementary_groups(self):
        p = self.probe(user="nobody", group="daemon", supplementary_groups=["adm", "tty"])
        import grp
        self.assertEqual(p["gids"][0], grp.getgrnam("daemon").gr_gid)
        self.assertEqual(sorted(g for g in p["groups"] if g != p["gids"][0]),
                         sorted([grp.getgrnam("adm").gr_gid, grp.getgrnam("tty").gr_gid]))

    @need_root
    def test_no_new_privileges_off(self):
        self.assertEqual(self.probe(sandbox={"no_new_privileges": False})["status"]["NoNewPrivs"], "0")

    @need_root
    def test_root_directory(self):
        d = self.daemon({"services": {"p": {"description": "{probe}", "listen": "tcp:127.0.0.1:0", "exec": ["/probe"],
                                            "root_directory": "{dir}"}}})
        self.assertEqual(parse_probe(d.ask("p"))["cwd"], "/")


class Stderr(DaemonTest):
    def start(self, mode, *child, **service):
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["{bad-child}", *child],
                                           "stderr": mode, **service}}})

    def test_log_line_by_line(self):
        d = self.start("log", "stderr", "5")
        d.ask("s")
        lines = wait_until(lambda: self.stderr_lines(d, 5), "five lines")
        self.assertEqual(lines, [f"line {i}" for i in range(5)])

    @staticmethod
    def stderr_lines(d, at_least):
        lines = [e["message"] for e in d.log(service="s") if e.get("message", "").startswith(("line ", "part", "bell"))]
        return lines if len(lines) >= at_least else None

    def test_log_joins_writes_and_keeps_the_rest(self):
        d = self.start("log", "say", "part one, ", "part two\\npart three without an end")
        d.ask("s")
        lines = wait_until(lambda: self.stderr_lines(d, 2), "two lines")
        self.assertEqual(lines, ["part one, part two", "part three without an end"])

    def test_log_is_escaped(self):
        d = self.start("log", "say", "bell \\a and \\e[31mred\\n")
        d.ask("s")
        wait_until(lambda: self.stderr_lines(d, 1), "the line")
        self.assertNotIn("\x1b", d.log_text())

    def test_socket(self):
        d = self.start("socket", "stderr", "3")
        self.assertEqual(d.ask("s"), b"line 0\nline 1\nline 2\n")

    def test_discard(self):
        d = self.start("discard", "stderr", "3")
        self.assertEqual(d.ask("s"), b"")
        d.wait_idle("s")
        self.assertNotIn("line 1", d.log_text())

    def test_inherit(self):
        d = self.start("inherit", "stderr", "3")
        self.assertEqual(d.ask("s"), b"")
        wait_until(lambda: "line 2\n" in d.log_text(), "the raw line")

    def test_closed_early(self):
        d = self.start("log", "close-stderr")
        with d.dial("s") as s:
            self.assertEqual(s.recv(100), b"closed\n")
            self.assertEqual(d.service("s")["active"], 1, "the end of a pipe is no end of a process")
        self.assertEqual(d.wait_idle("s")["exited"]["ok"], 1)

    def shell(self, script):
        return self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["sh", "-c", script]}}})

    @staticmethod
    def story(d, pid):
        """What the log has of a process, in its order."""
        return [e["message"] if e["event"] == "stderr" else e["event"] for e in d.log(service="s", pid=pid)]

    def test_log_of_many_short_ones(self):
        """All that each has said, under its own number, between its start and its end."""
        d = self.shell("echo one >&2; echo two of $$$$ >&2; printf three >&2")
        for _ in range(5):
            with contextlib.ExitStack() as stack:
                for s in [stack.enter_context(d.dial("s")) for _ in range(8)]:
                    read_all(s)
        d.wait_service("s", spawned=40, active=0)
        wait_until(lambda: len(d.log(event="ended")) == 40, "all to be told of")
        for pid in {e["pid"] for e in d.log(event="ended")}:
            self.assertEqual(self.story(d, pid), ["started", "one", f"two of {pid}", "three", "ended"])

    def test_log_of_a_long_one(self):
        """What it says is told while it runs, soon after its start and later."""
        d = self.shell("echo early >&2; read x; echo $x >&2; read x; echo last words >&2")
        with d.dial("s") as s:
            pid = d.wait_log(event="stderr", message="early")[0]["pid"]
            s.sendall(b"later\n")
            d.wait_log(event="stderr", message="later")
            self.assertEqual(self.story(d, pid), ["started", "early", "later"])
            s.sendall(b"\n")
            self.assertEqual(read_all(s), b"")
        d.wait_log(event="ended")
        self.assertEqual(self.story(d, pid), ["started", "early", "later", "last words", "ended"])

    def test_log_of_those_it_leaves_behind(self):
        """A process of its own that outlives it is heard as well, whether it speaks at once or later."""
        d = self.shell("(echo at once >&2; while ! [ -e {dir}/go ]; do sleep 0.05; done; echo later >&2) </dev/null >/dev/null & "
                       "echo mine >&2")
        self.assertEqual(d.ask("s"), b"")
        pid = d.wait_log(event="ended")[0]["pid"]
        d.wait_log(event="stderr", message="at once")
        with open(d.path("go"), "w", encoding="utf-8"):
            pass
        d.wait_log(event="stderr", message="later")
        story = self.story(d, pid)
        self.assertLess(story.index("mine"), story.index("ended"))
        self.assertEqual((story[0], story[-1]), ("started", "later"))
        self.assertEqual(sorted(story), sorted(["started", "mine", "at once", "ended", "later"]))

    def test_flood_is_read_in_portions(self):
        d = self.start("log", "stderr", "20000")
        d.ask("s")
        d.wait_idle("s")
        self.assertEqual(d.call("Ping").__class__, dict)


class Reaping(DaemonTest):
    def kill_at_once(self, d, pids):
        """The daemon gets one signal for all of them."""
        os.kill(d.pid, signal.SIGSTOP)
        wait_until(lambda: process_state(d.pid) == "T", "the daemon to stand still")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all(process_state(pid) == "Z" for pid in pids), "all of them to be dead")
        os.kill(d.pid, signal.SIGCONT)

    def test_many_at_once(self):
        """Of many processes, whichever and however many end at the same time, each is taken soon, and others are served."""
        d = self.daemon({"services": {"s": {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"]}}})
        with contextlib.ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(d.dial("s"))
            d.wait_service("s", active=150)
            pids = [i["pid"] for i in sorted(d.instances("s"), key=lambda i: i["instance"])]
            left, signaled = 150, 0
            for gone in (pids[:2], pids[70:72], pids[-1:], pids[2:50] + pids[100:149], pids[50:70]):
                self.kill_at_once(d, gone)
                left -= len(gone)
                signaled += len(gone)
                d.wait_service("s", active=left)
                self.assertEqual(d.service("s")["exited"]["signaled"], signaled)
                self.assertEqual(d.ask("s", b"x"), b"x")
                d.wait_service("s", active=left)
            wait_until(lambda: len(d.log(event="ended")) == signaled + 5, "all to be told of")
            self.assertEqual(len({e["pid"] for e in d.log(event="ended", signal="SIGKILL")}), signaled)


class OnDemand(DaemonTest):
    def start(self, child, **service):
        return self.daemon({"services": {"s": {"model": "on-demand", "exec": ["{bad-child}", *child], **service}}})

    def test_stream_listen_fds(self):
        d = self.start(["accept", "2"], listen=["tcp:127.0.0.1:0", "unix:{dir}/x.sock"])
        line = d.ask("s").decode().split()
        self.assertEqual((line[3], line[5], line[7]), ("0", "2", "s:s"))
        again = d.ask("s").decode().split()
        self.assertEqual((again[1], again[3]), (line[1], "1"), "the same process serves the next one")
        d.wait_service("s", state="listening", active=0, spawned=1)
        self.assertNotEqual(d.ask("s").decode().split()[1], line[1])
        service = d.service("s")
        self.assertEqual((service["accepted"], service["spawned"], service["state"]), (0, 2, "active"))

    def test_stream_stdio(self):
        d = self.start(["accept", "1"], listen="tcp:127.0.0.1:0", **{"pass": "stdio"})
        line = d.ask("s").decode().split()
        self.assertEqual((line[5], line[7]), ("-", "-"))
        d.wait_service("s", active=0, state="listening")

    @need_ipv6
    def test_stdio_has_a_slot_for_each_listener(self):
        d = self.start(["accept", "2"], listen="tcp:0", **{"pass": "stdio"})
        port = d.port("s")
        pids = []
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), 5) as s:
                pids.append(read_all(s).split()[1])
        self.assertNotEqual(pids[0], pids[1])
        self.assertEqual(d.service("s")["active"], 2)

    @need_ipv6
    def test_listen_fds_gets_all(self):
        d = self.daemon({"services": {"s": {"listen": [{"endpoint": "tcp:0", "name": "web"}, "unix:{dir}/x.sock"],
                                           "model": "on-demand",
                                           "exec": ["{probe}", "--to", "{dir}/out"]}}})
        with socket.create_connection(("::1", d.port("s")), 5):
            wait_until(lambda: os.path.exists(d.path("out")), "the probe's file")
        d.call("Stop", services=["s"])
        with open(d.path("out"), "rb") as out:
            p = parse_probe(out.read())
        self.assertEqual((p["env"]["LISTEN_FDS"], p["env"]["LISTEN_FDNAMES"]), ("3", "web:web:s"))
        self.assertEqual([p["by_fd"][fd]["family"] for fd in (3, 4, 5)],
                         [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
        self.assertTrue(all(p["by_fd"][fd]["listening"] for fd in (3, 4, 5)))
        status_fd = int(p["env"]["MP_STATUS_FD"])
        self.assertEqual(sorted(p["by_fd"]), sorted({0, 1, 2, 3, 4, 5, status_fd}))
        self.assertEqual((p["by_fd"][status_fd]["type"], p["by_fd"][status_fd]["access"]), ("pipe", os.O_WRONLY))

    def test_udp_wait(self):
        d = self.start(["udp", "3"], listen="udp:127.0.0.1:0", **{"pass": "stdio"})
        with d.dial("s") as s:
            pids = set()
            for i in range(3):
                s.send(b"%d" % i)
                text, pid = s.recv(100).split()
                self.assertEqual(text, b"%d" % i)
                pids.add(pid)
            self.assertEqual(len(pids), 1)
            d.wait_service("s", active=0)
            s.send(b"again")
            self.assertNotIn(s.recv(100).split()[1], pids)

    def test_udp_listen_fds(self):
        d = self.start(["udp", "1"], listen="udp:127.0.0.1:0")
        with d.dial("s") as s:
            s.send(b"x")
            self.assertEqual(s.recv(100).split()[0], b"x")
        d.wait_service("s", active=0)

    def test_unix_dgram(self):
        d = self.start(["udp", "1"], listen="unix-dgram:{dir}/d.sock")
        with d.dial("s") as s:
            s.bind(d.path("client.sock"))
            s.send(b"x")
            self.assertEqual(s.recv(100).split()[0], b"x")
        d.wait_service("s", active=0)

    def test_no_datagram_is_lost_between_processes(self):
        d = self.start(["udp", "1"], listen="udp:127.0.0.1:0", **{"pass": "stdio", "restart": {"limit": "1000/s"}})
        with d.dial("s") as s:
            for i in range(20):
                s.send(b"%d" % i)
            got = sorted(int(s.recv(100).split()[0]) for _ in range(20))
        self.assertEqual(got, list(range(20)))
        d.wait_service("s", active=0, spawned=20)


class Shipped(DaemonTest):
    """The five small services over TCP and UDP."""

    def setUp(self):
        self.names = ("echo", "discard", "daytime", "chargen", "time")
        services = {}
        for name in self.names:
            services[name] = {"listen": "tcp:127.0.0.1:0", "exec": ["mp-" + name]}
            services[name + "-udp"] = {"listen": "udp:127.0.0.1:0", "exec": ["mp-" + name]}
        self.d = self.daemon({"services": services})

    def datagram(self, name, data, answer=True):
        with self.d.dial(name) as s:
            s.send(data)
            if answer:
                return s.recv(65536)
            s.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                s.recv(65536)
            return b""

    def test_echo(self):
        self.assertEqual(self.d.ask("echo", b"hello"), b"hello")
        self.assertEqual(self.datagram("echo-udp", b"hello"), b"hello")

    def test_discard(self):
        self.assertEqual(self.d.ask("discard", b"hello"), b"")
        self.datagram("discard-udp", b"hello", answer=False)

    def test_daytime(self):
        year = time.strftime("%Y").encode()
        self.assertIn(year, self.d.ask("daytime"))
        self.assertIn(year, self.datagram("daytime-udp", b"x" * 100))

    def test_time(self):
        answer = self.d.ask("time")
        self.assertEqual(len(answer), 4)
        self.assertAlmostEqual(int.from_bytes(answer, "big") - 2208988800, time.time(), delta=5)
        answer = self.datagram("time-udp", b"12345678")
        self.assertAlmostEqual(int.from_bytes(answer, "big") - 2208988800, time.time(), delta=5)

    def test_chargen(self):
        with self.d.dial("chargen") as s:
            got = b""
            while len(got) < 74 * 100:
                got += s.recv(65536)
        lines = got.split(b"\r\n")[:100]
        self.assertTrue(all(len(line) == 72 for line in lines))
        self.assertEqual(lines[0][1:], lines[1][:-1], "each line begins one character further")
        self.d.wait_idle("chargen")

    def test_datagram_processes_are_one_for_each_socket(self):
        for _ in range(5):
            self.datagram("echo-udp", b"x")
        service = self.d.service("echo-udp")
        self.assertEqual((service["active"], service["spawned"], service["state"]), (1, 1, "active"))
        self.assertEqual(len(children_of(self.d.pid)), 1)
        self.assertNotEqual(descriptors_of(self.d.pid), [])


if __name__ == "__main__":
    unittest.main()
