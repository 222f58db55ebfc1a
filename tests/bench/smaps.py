# SPDX-License-Identifier: MIT
"""The memory of one process, from /proc/PID/smaps_rollup. parse() is pure."""
KIB = 1024


def parse(text):
    """{"Pss": bytes, "Private_Dirty": bytes, ...} of smaps_rollup; "Own" is what the process has written for itself, in
    memory that belongs to no file. Private_Dirty is nearly the same, but has in it the pages of a program that was built
    only just now and is not on the disk yet."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0].endswith(":") and words[2] == "kB" and words[1].isdigit():
            found[words[0][:-1]] = int(words[1]) * KIB
    if "Pss_Anon" in found:
        found["Own"] = found["Pss_Anon"] + found.get("Pss_Shmem", 0)
    return found


def of(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return parse(file.read())


def own(pid):
    """Bytes that the process has written for itself."""
    return of(pid)["Own"]
