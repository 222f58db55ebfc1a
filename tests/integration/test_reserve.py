# SPDX-License-Identifier: MIT
"""What is kept back: when a service has taken all descriptors, all processes or all memory that there are, the control socket
answers, the config is loaded again, and services stop."""
import contextlib
import json
import os
import random
import resource
import time
import unittest

from faults import FaultTest, dial_many, ordinary_user, set_limit
from harness import SANITIZED, need_program, need_root, wait_until

MEMORY = "/sys/fs/cgroup/memory"


def size_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmSize:"))


def memory_cgroup_works():
    return os.geteuid() == 0 and os.access(f"{MEMORY}/memory.limit_in_bytes", os.W_OK)


class Reserve(FaultTest):
    weight = 20

    def check_control(self, d, name="s"):
        """All of it, by clients that come now, and by mpctl."""
        self.assertEqual(d.call("Ping")["pid"], d.pid)
        self.assertIn(name, [s["name"] for s in d.status()["services"]])
        self.assertEqual(d.mpctl("status", name).returncode, 0)
        self.assertGreater(len(d.instances(name)), 0)
        generation = d.status()["daemon"]["generation"]
        with open(d.config_path, encoding="utf-8") as f:
            config = json.load(f)
        config["services"]["canary"]["description"] = f"after generation {generation}"
        d.write_config(config)
        self.assertTrue(d.call("Reload")["ok"])
        self.assertEqual(d.status()["daemon"]["generation"], generation + 1)
        d.mpctl("reload", check=0)

    def check_end(self, d):
        """It stops while all that is still so."""
        d.mpctl("stop", "s", "--timeout", "60s", check=0)
        self.assertEqual(d.service("s")["state"], "stopped")
        self.assertEqual(d.service("s")["active"], 0)

    def test_descriptors(self):
        d = self.start({"exec": ["cat"], "timeouts": {"stop": "1s"}}, wrap=["prlimit", "--nofile=64:64", "--"])
        with contextlib.ExitStack() as stack:
            dial_many(stack, d.port("s"), 150)
            wait_until(lambda: d.log(event="error", service="s"), "the line that tells of it")
            self.check_control(d)
            self.assertEqual(d.ask("canary", b"x"), b"x")
            self.check_end(d)
        self.check_sums(d.service("s"))

    @need_root
    @need_program("setpriv", "prlimit")
    @unittest.skipIf(SANITIZED, "the leak check needs a process of its own")
    def test_processes(self):
        uid = random.randint(100000, 900000)
        d = self.start({"exec": ["cat"], "timeouts": {"stop": "1s"}},
                       others={"probe": {"listen": "tcp:127.0.0.1:0", "exec": ["{probe}"]}},
                       **ordinary_user(self, uid, before=["prlimit", "--nproc=10:10", "--"]))
        self.assertEqual(d.probe("probe")["rlimits"]["nproc"], [10, 10], "what is kept is not its limit")
        with contextlib.ExitStack() as stack:
            dial_many(stack, d.port("s"), 30)
            wait_until(lambda: d.service("s")["spawn_failed"] > 0, "the limit to be reached")
            self.assertEqual(d.service("s")["last_error"]["step"], "limit")
            # The daemon, and two that are kept; the last ones may just be coming to their program.
            d.wait_service("s", active=10 - 1 - 2)
            self.check_control(d)
            self.check_end(d)

    @unittest.skipIf(SANITIZED, "a sanitizer has memory of its own")
    def test_memory(self):
        d = self.start({"exec": ["cat"], "stderr": "discard", "timeouts": {"stop": "1s"}, "limits": {"instances": 20000}})
        d.status()
        d.ask("s", b"x")
        set_limit(d.pid, resource.RLIMIT_AS, (size_kib(d.pid) + 600) * 1024)
        with contextlib.ExitStack() as stack:
            clients = stack.enter_context(contextlib.ExitStack())
            for _ in range(20):
                dial_many(clients, d.port("s"), 200)
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: d.log(event="memory"), "memory to run out", deadline=0.5)
                    break
            self.assertEqual(len(d.log(event="memory", level="error")), 1)
            self.check_control(d)
            wait_until(lambda: d.service("s")["last_error"], "the line about the listener")
            self.assertEqual(d.service("s")["last_error"]["errno"], 12)
            before = d.service("s")
            time.sleep(1)
            after = d.service("s")
            self.assertEqual(after["accepted"], before["accepted"], "who waits is not burnt through")
            self.assertLessEqual(after["spawn_failed"], 2)
            # It goes on by itself, and then says so.
            set_limit(d.pid, resource.RLIMIT_AS, resource.RLIM_INFINITY)
            d.wait_log(event="memory", level="info")
            self.assertEqual(d.ask("canary", b"x"), b"x")
            set_limit(d.pid, resource.RLIMIT_AS, (size_kib(d.pid) + 600) * 1024)
            for _ in range(20):
                dial_many(clients, d.port("s"), 200)
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: len(d.log(event="memory", level="error")) > 1, "memory to run out", deadline=0.5)
                    break
            self.check_control(d)
            self.check_end(d)
        set_limit(d.pid, resource.RLIMIT_AS, resource.RLIM_INFINITY)
        self.check_sums(d.service("s"))

    @unittest.skipUnless(memory_cgroup_works(), "needs root and a memory cgroup")
    @unittest.skipIf(SANITIZED, "a sanitizer has memory of its own")
    def test_memory_of_a_cgroup(self):
        """Whoever takes it is killed for it, and not the daemon."""
        group = f"{MEMORY}/mpt-{os.getpid()}-{random.randint(0, 999999)}"
        os.mkdir(group)
        self.addCleanup(os.rmdir, group)
        eater = "x = []\nwhile True: x.append(bytearray(1 << 20))"
        d = self.start({"exec": ["/usr/bin/python3", "-c", eater], "timeouts": {"stop": "1s"}})
        self.addCleanup(d.stop)
        with open(f"{group}/memory.limit_in_bytes", "w", encoding="ascii") as f:
            f.write(str(64 << 20))
        with open(f"{group}/cgroup.procs", "w", encoding="ascii") as f:
            f.write(str(d.pid))
        with self.strain(d), contextlib.ExitStack() as stack:
            clients = dial_many(stack, d.port("s"), 10)
            wait_until(lambda: d.service("s")["exited"]["signaled"] == len(clients), "their end", deadline=60)
            self.assertTrue(d.call("Reload")["ok"])
        self.rests(d)


if __name__ == "__main__":
    unittest.main()
