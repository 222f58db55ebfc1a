# SPDX-License-Identifier: MIT
"""The daemon under configs of a measurement's own: with many services, with other keys than the default."""
import contextlib
import itertools
import json
import os
import subprocess
import time

from packages import Unavailable
from servers import Server, write
import slices

# Where ports in a row begin to be looked for, and in which steps.
FIRST_PORT, PORT_STEP = 10000, 500
# TCP_LISTEN in /proc/net/tcp.
LISTEN = "0A"
# In one file of a config.
FILE_SERVICES = 1000


# Of the addresses that this process has taken.
taken = itertools.count(1)


def private_address():
    """An address of the loopback that nobody else uses, so that thousands of its ports are free."""
    pid = os.getpid()
    return f"127.{64 + pid % 128}.{pid // 128 % 256}.{1 + next(taken) % 250}"


def wildcard_ports(text):
    """Those of /proc/net/tcp or tcp6 on which somebody listens at all addresses. Pure."""
    found = set()
    for fields in (line.split() for line in text.splitlines()[1:]):
        address, port = fields[1].split(":")
        if fields[3] == LISTEN and not address.strip("0"):
            found.add(int(port, 16))
    return found


def first_port(count):
    """The first of so many ports that can be bound on an address that nobody else has."""
    taken_ports = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            taken_ports |= wildcard_ports(file.read())
    for first in range(FIRST_PORT, 65536 - count, PORT_STEP):
        if not taken_ports.intersection(range(first, first + count)):
            return first
    raise Unavailable(f"no {count} ports in a row are free")


def service(port, program, address="127.0.0.1", **keys):
    """A service as it is configured by default, under the user that runs the daemon."""
    user = {"user": "root"} if os.geteuid() == 0 else {}
    return {"listen": f"tcp:{address}:{port}", "exec": [program], **user, **keys}


def idle_endpoints(count):
    """So many on an address of their own: [(address, port)]"""
    address, first = private_address(), first_port(count)
    return [(address, first + i) for i in range(count)]


def idle_services(count, address, program, first=None):
    """So many that nobody connects to, each on a port of its own."""
    first = first or first_port(count)
    return {f"idle-{i}": service(first + i, program, address) for i in range(count)}


def config_text(services):
    """YAML as people write it, so that reading it costs what it costs them."""
    lines = ["version: 1", "services:"]
    for name, keys in services.items():
        lines.append(f"  {name}:")
        lines += [f"    {key}: {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def write_config(folder, services):
    """The path of a config; of many services it includes others, as one file has its bound."""
    names = list(services)
    parts = [names[i:i + FILE_SERVICES] for i in range(0, len(names), FILE_SERVICES)]
    text = config_text({name: services[name] for name in parts[0]})
    if len(parts) > 1:
        text = "include: [services.d/*.yaml]\n" + text
        os.mkdir(os.path.join(folder, "services.d"))
    for i, part in enumerate(parts[1:]):
        write(folder, f"services.d/{i:03}.yaml", config_text({name: services[name] for name in part}))
    return write(folder, "mpinetd.yaml", text)


def command(bench, folder, services):
    """The words that start the daemon with these services, {name: {key: value}}; everything else is as users have it."""
    if not os.access(bench.daemon, os.X_OK):
        raise Unavailable("%s is not built" % bench.daemon)
    return [bench.daemon, "-c", write_config(folder, services), "-s", os.path.join(folder, "control.sock"), "--log-target",
            "stderr"]


def start(bench, services, port, name="mpinetd", environment=None, wrap=()):
    """The daemon, ready on @port of 127.0.0.1; the caller stops it."""
    folder = bench.new_folder("mpinetd")
    argv = [*wrap, *command(bench, folder, services)]
    return Server(name, argv, port, folder, environment=environment).wait_ready()


@contextlib.contextmanager
def running(bench, services, port, **more):
    server = start(bench, services, port, **more)
    try:
        yield server
    finally:
        server.stop()


def serve(bench, port, connections, concurrency=1, send=None):
    """The load client's result of so many connections. One that went wrong is the end."""
    argv = [bench.program("load"), "--port", str(port), "--concurrency", str(concurrency), "--connections", str(connections)]
    argv += ["--send", send] if send else []
    result = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout)
    if slices.bad(result):
        raise RuntimeError(f"port {port}: {result['wrong']} wrong answers, errors: {result['errors']}")
    return result


def wait_until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come true within {seconds} s")
        time.sleep(0.02)
