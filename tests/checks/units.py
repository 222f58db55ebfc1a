#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""systemd-analyze verify over the units of a build. The programs that they name are not installed on the machine that
builds, so the units are looked at as copies whose commands point into the build."""
import os
import re
import subprocess
import sys
import tempfile

PROGRAMS = {"mpinetd": "daemon/mpinetd", "mpctl": "ctl/mpctl"}


def main(folder):
    build = os.path.realpath(os.path.join(folder, "..", ".."))
    names = sorted(name for name in os.listdir(folder) if name.endswith((".service", ".socket")))
    if not names:
        print("no units were built")
        return 1
    with tempfile.TemporaryDirectory() as copies:
        for name in names:
            with open(os.path.join(folder, name), encoding="utf-8") as unit:
                text = re.sub(r"(?m)^(Exec\w+=)(\S*/)(mpinetd|mpctl)\b",
                              lambda m: f"{m[1]}{os.path.join(build, PROGRAMS[m[3]])}", unit.read())
            if "@" in re.sub(r"\S+@\S+\.service", "", text):
                print(f"{name}: a word was not replaced")
                return 1
            with open(os.path.join(copies, name), "w", encoding="utf-8") as unit:
                unit.write(text)
        # --man=no: the manual pages are not installed either.
        run = subprocess.run(["systemd-analyze", "verify", "--man=no", *(os.path.join(copies, n) for n in names)],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                             env={**os.environ, "SYSTEMD_UNIT_PATH": copies + ":"})
    complaints = [line for line in run.stdout.splitlines() if any(name in line for name in names)]
    print("\n".join(complaints) or f"{len(names)} units, nothing to say")
    return 1 if complaints or run.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
