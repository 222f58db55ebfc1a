# SPDX-License-Identifier: MIT
"""Headers of the PROXY protocol as a proxy writes them, and a service that tells what it has been told."""
import functools
import ipaddress
import struct

from harness import DaemonTest, read_all, wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Tells its environment, then an empty line, then echoes.
ECHO = ["sh", "-c", "env; echo; exec cat"]


# So often a test is tried whose connections were too late for the daemon, as on a machine that is too busy.
TRIES = 5


def again_when_late(test):
    @functools.wraps(test)
    def run(self):
        for left in reversed(range(TRIES)):
            self.daemons = []
            try:
                test(self)
                return
            except (AssertionError, OSError):
                if left == 0 or not any("within 3 s" in d.log_text() for d in self.daemons):
                    raise
    return run


class PreludeTest(DaemonTest):
    """The daemon waits three seconds for what it has to read of a connection. A test in which something has to be done
    within that time is tried again when that was too short."""

    def __init_subclass__(cls):
        for name, test in list(vars(cls).items()):
            if name.startswith("test_"):
                setattr(cls, name, again_when_late(test))

    def daemon(self, config, **options):
        daemon = super().daemon(config, **options)
        self.daemons.append(daemon)
        return daemon


def wait_accepted(daemon, name):
    """Waits until nobody is left in the queues of its listeners."""
    wait_until(lambda: all(listener["queued"] == 0 for listener in daemon.service(name)["listeners"]),
               "they are accepted")


def v1(source, destination, source_port=5000, destination_port=80):
    kind = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {kind} {source} {destination} {source_port} {destination_port}\r\n".encode()


def v2(source, destination, source_port=5000, destination_port=80, tlvs=b"", family=None):
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    addresses += struct.pack("!HH", source_port, destination_port)
    if family is None:
        family = 0x21 if ":" in source else 0x11
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(addresses) + len(tlvs)) + addresses + tlvs


def v2_unix(source, destination):
    addresses = source.ljust(108, b"\0") + destination.ljust(108, b"\0")
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x31, len(addresses)) + addresses


V2_LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


def receive(s, n):
    """The next n bytes, or less at the end."""
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            break
        data += more
    return data


def read_environment(s):
    """What ECHO says before it echoes: the environment, and what has come behind it."""
    data = b""
    while b"\n\n" not in data:
        more = s.recv(65536)
        if not more:
            raise AssertionError(f"the connection ended after {data!r}")
        data += more
    head, rest = data.split(b"\n\n", 1)
    return dict(line.split("=", 1) for line in head.decode().splitlines() if "=" in line), rest


def converse(s, sent):
    """Sends, closes its half; returns (environment, all that comes back)."""
    s.sendall(sent)
    s.shutdown(1)
    environment, rest = read_environment(s)
    return environment, rest + read_all(s)


def accounted(service):
    """Whether each connection that was accepted has come to one of its ends."""
    return service["active"] == 0 and service["accepted"] == (
        service["spawned"] + service["spawn_failed"] + sum(service["refused"].values()) + service["gone"]) and (
            service["spawned"] == sum(service["exited"].values()))


def wait_accounted(daemon, name, **wanted):
    """Waits until nothing is under way, and the counters add up; returns the service."""
    last = {}

    def there():
        last.update(daemon.service(name))
        return accounted(last) and all(last.get(key) == value for key, value in wanted.items())
    try:
        wait_until(there, "the account")
    except AssertionError as error:
        raise AssertionError(f"{error}: {wanted} of {last}") from None
    return last
