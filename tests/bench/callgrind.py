# SPDX-License-Identifier: MIT
"""Instructions in user space, counted by valgrind's callgrind: the same from run to run, whatever else the machine does."""
import os
import re
import shutil
import signal

import daemons
import servers

TOTAL = re.compile(r"^(?:totals|summary): *(\d+)", re.MULTILINE)
# The daemon takes the way that works where vfork(2) is a fork(2) by itself; saying so makes it certain.
ENVIRONMENT = {"MPINETD_SPAWN": "vfork"}


def total(text):
    """The instructions that a file of callgrind has in all."""
    found = TOTAL.findall(text)
    if not found:
        raise RuntimeError("this is no output of callgrind")
    return int(found[-1])


def of_daemon(bench, program, keys, connections):
    """Instructions of a daemon that serves so many connections, one at a time, from its start to its end."""
    port = servers.free_port()
    folder = bench.new_folder("callgrind")
    wrap = [shutil.which("valgrind"), "--tool=callgrind", "--callgrind-out-file=" + os.path.join(folder, "out.%p")]
    config = {"s": daemons.service(port, bench.program(program), **keys)}
    with daemons.running(bench, config, port, environment=ENVIRONMENT, wrap=wrap) as server:
        if connections:
            daemons.serve(bench, port, connections)
        pid = server.pid
        server.process.send_signal(signal.SIGTERM)
        server.process.wait()
        if server.process.returncode != 0:
            raise RuntimeError(f"under valgrind the daemon ended with {server.process.returncode}")
    with open(os.path.join(folder, f"out.{pid}"), encoding="utf-8", errors="replace") as out:
        return total(out.read())


def each_connection(bench, program, keys, few=50, many=250):
    """Of each connection: what remains when the start, the end and the first ones are taken away."""
    return (of_daemon(bench, program, keys, many) - of_daemon(bench, program, keys, few)) / (many - few)
