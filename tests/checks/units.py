#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The units of a build: systemd-analyze verify has nothing to say, with and without each drop-in, and what
systemd-analyze security thinks of them is not worse than docs/systemd.md says. The programs that they name are not
installed on the machine that builds, so the units are looked at as copies whose commands point into the build."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAMS = {"mpinetd": "daemon/mpinetd", "mpctl": "ctl/mpctl"}
ROOT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
# The systemd that knows what stands in a drop-in.
NEEDS = {"notify-reload.conf": 253, "delegate-subgroup.conf": 254}
DROP_INS = os.path.join(ROOT, "conf", "units", "drop-ins")
# The exposure that systemd 252 finds, at most: 10 is all there is.
EXPOSURE = {("mpinetd.service", None): 9.5, ("mpinetd.service", "strict.conf"): 3.2,
            ("mpinetd-unprivileged.service", None): 1.5}


def systemd_version():
    said = subprocess.run(["systemd-analyze", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return int(re.match(r"systemd (\d+)", said)[1])


def analyze(copies, *arguments):
    return subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": copies + ":"})


def verify(copies, names, with_what):
    # --man=no: the manual pages are not installed either.
    run = analyze(copies, "verify", "--man=no", *(os.path.join(copies, n) for n in names))
    complaints = [line for line in run.stdout.splitlines() if copies in line or any(name in line for name in names)]
    if complaints or run.returncode:
        print(f"{with_what}:", "\n".join(complaints) or run.stdout)
    return not complaints and run.returncode == 0


def exposure(copies, name, drop_in):
    run = analyze(copies, "security", "--offline=true", "--no-pager", os.path.join(copies, name))
    found = re.search(r"exposure level for \S+: ([\d.]+)", run.stdout)
    if not found:
        print(f"{name}: no exposure level: {run.stdout[-500:]}")
        return False
    bound = EXPOSURE[name, drop_in]
    print(f"{name}{' with ' + drop_in if drop_in else ''}: exposure {found[1]}, at most {bound}")
    return float(found[1]) <= bound


def copy_units(folder, names, copies):
    build = os.path.realpath(os.path.join(folder, "..", ".."))
    for name in names:
        with open(os.path.join(folder, name), encoding="utf-8") as unit:
            text = re.sub(r"(?m)^(Exec\w+=)(\S*/)(mpinetd|mpctl)\b",
                          lambda m: f"{m[1]}{os.path.join(build, PROGRAMS[m[3]])}", unit.read())
        if re.search(r"@\w+@", text):
            print(f"{name}: a word was not replaced")
            return False
        with open(os.path.join(copies, name), "w", encoding="utf-8") as unit:
            unit.write(text)
    return True


def catalog():
    """The journal's catalog has an entry for each number that the daemon sends, and no other."""
    with open(os.path.join(ROOT, "daemon", "message-id.c"), encoding="utf-8") as source:
        sent = set(re.findall(r'"([0-9a-f]{32})"', source.read()))
    with open(os.path.join(ROOT, "conf", "journal", "mpinetd.catalog"), encoding="utf-8") as file:
        entries = re.findall(r"(?m)^-- ([0-9a-f]{32})$", file.read())
    if not sent or sent != set(entries) or len(entries) != len(sent):
        print("conf/journal/mpinetd.catalog and daemon/message-id.c differ:", sorted(sent ^ set(entries)))
        return False
    return True


def main(folder):
    names = sorted(name for name in os.listdir(folder) if name.endswith((".service", ".socket")))
    if not names:
        print("no units were built")
        return 1
    with tempfile.TemporaryDirectory() as copies:
        if not copy_units(folder, names, copies):
            return 1
        good = verify(copies, names, "as they are") and catalog()
        for name, drop_in in EXPOSURE:
            good = (exposure(copies, name, drop_in) if drop_in is None else True) and good
        place = os.path.join(copies, "mpinetd.service.d")
        for drop_in in sorted(os.listdir(DROP_INS)):
            if systemd_version() < NEEDS.get(drop_in, 0):
                continue
            os.mkdir(place)
            shutil.copy(os.path.join(DROP_INS, drop_in), place)
            good = verify(copies, ["mpinetd.service"], f"with {drop_in}") and good
            if ("mpinetd.service", drop_in) in EXPOSURE:
                good = exposure(copies, "mpinetd.service", drop_in) and good
            shutil.rmtree(place)
    print(f"{len(names)} units" + (", nothing to say" if good else ""))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
