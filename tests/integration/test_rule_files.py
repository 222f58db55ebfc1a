# SPDX-License-Identifier: MIT
"""Files of access rules: missing, wrong, changed, shared."""
import os
import socket

from harness import PATIENCE, DaemonTest, wait_until


def rules(**more):
    return {"listen": "tcp:127.0.0.1:0", "exec": ["cat"], "access": {"deny": ["file:{dir}/denied"]}, **more}


class RuleFiles(DaemonTest):
    def write(self, d, text):
        # As editors do it: there is never half a file.
        with open(d.path("denied.new"), "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(d.path("denied.new"), d.path("denied"))

    def is_served(self, d, name="s", source="127.0.0.1"):
        listener = d.listener(name)
        with socket.create_connection((listener["address"], listener["port"]), PATIENCE, (source, 0)) as s:
            s.settimeout(PATIENCE)
            try:
                s.sendall(b"x")
                return s.recv(1) == b"x"
            except (ConnectionResetError, BrokenPipeError):
                return False

    def test_missing_at_start(self):
        """Who has rules that cannot be read does not serve, rather than serve everybody; others do."""
        d = self.daemon({"services": {"s": rules(), "good": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]}}})
        self.assertEqual(d.ask("good", b"x"), b"x")
        failed = d.service("s")
        self.assertEqual(failed["state"], "failed")
        self.assertIn("/denied: No such file", failed["last_error"]["message"])
        self.assertGreater(failed["last_error"]["line"], 0)
        # It comes with a mistake in it, and is not taken.
        self.write(d, "127.0.0.2\nnonsense\n")
        wait_until(lambda: "nonsense" in (d.service("s")["last_error"] or {"message": ""})["message"], "the mistake")
        wrong = d.service("s")
        self.assertEqual((wrong["state"], wrong["last_error"]["file"], wrong["last_error"]["line"]),
                         ("failed", d.path("denied"), 2), wrong)
        self.write(d, "127.0.0.2\n")
        d.wait_service("s", state="listening")
        self.assertTrue(self.is_served(d))
        self.assertFalse(self.is_served(d, source="127.0.0.2"))

    def test_reload_with_a_mistake_changes_nothing(self):
        d = self.daemon({"services": {"s": rules()}}, wait=None)
        self.write(d, "127.0.0.2\n")
        d.start()
        self.write(d, "127.0.0.3\n   1.2.3.4.5  # no address\n")
        run = d.mpctl("reload", check=1)
        self.assertIn(d.path("denied") + ":2:4: error: '1.2.3.4.5' is not a", run.stdout + run.stderr)
        self.assertTrue(self.is_served(d, source="127.0.0.3"))
        self.assertFalse(self.is_served(d, source="127.0.0.2"))
        os.unlink(d.path("denied"))
        d.mpctl("reload", check=1)
        self.assertFalse(self.is_served(d, source="127.0.0.2"))

    def test_changes_are_told(self):
        """Though the words of the config stay the same."""
        d = self.daemon({"services": {"a": rules(), "b": rules(access={"allow": ["127.0.0.0/8"]})}}, wait=None)
        self.write(d, "127.0.0.2\n")
        d.start()
        self.assertEqual(d.call("Reload")["changes"], [])
        self.write(d, "127.0.0.2\n# and\n127.0.0.3\n")
        for answer in (d.call("CheckConfig"), d.call("Reload")):
            words = f"[file:{d.path('denied')}]"
            self.assertEqual(answer["changes"], [{"service": "a", "action": "change", "key": "access.deny",
                                                  "from": f"{words} (1 rule)", "to": f"{words} (2 rules)"}])
        self.assertFalse(self.is_served(d, "a", "127.0.0.3"))
        self.assertTrue(self.is_served(d, "b", "127.0.0.3"))

    def test_many_rules_for_many_services(self):
        d = self.daemon({"defaults": {"access": {"deny": ["file:{dir}/denied"]}},
                         "services": {f"s{i}": {"listen": "tcp:127.0.0.1:0", "exec": ["cat"]} for i in range(30)}},
                        wait=None)
        self.write(d, "".join(f"10.{i >> 8 & 255}.{i & 255}.0/24\n" for i in range(65536)) + "127.0.0.2\n")
        d.start()
        for name in ("s0", "s29"):
            self.assertTrue(self.is_served(d, name))
            self.assertFalse(self.is_served(d, name, "127.0.0.2"))
