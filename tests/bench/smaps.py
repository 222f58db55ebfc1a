# SPDX-License-Identifier: MIT
"""The memory of one process, from /proc/PID/smaps_rollup. parse() is pure."""
KIB = 1024


def parse(text):
    """{"Pss": bytes, "Private_Dirty": bytes, ...} of smaps_rollup."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0].endswith(":") and words[2] == "kB" and words[1].isdigit():
            found[words[0][:-1]] = int(words[1]) * KIB
    return found


def of(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return parse(file.read())


def private_dirty(pid):
    """What is the process's own and was written: code and files that it merely maps are not."""
    return of(pid)["Private_Dirty"]
