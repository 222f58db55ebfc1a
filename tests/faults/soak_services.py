# SPDX-License-Identifier: MIT
"""The config of a soak: one of each way in which connections come to processes, and services for those who mean no good."""
# Whom mp-client loads: each connection must be answered.
LOADED = ("forks", "ahead", "boxed", "local", "workers", "passed", "waits", "relay")
# Of these the daemon accepts, and nobody but their load comes.
COUNTED = ("forks", "ahead", "boxed", "local", "passed", "relay")


def echo(**keys):
    return {"listen": "tcp:127.0.0.1:0", "exec": ["mp-echo"], **keys}


def served(backend, n):
    """Those whose clients expect an answer; n changes something of them."""
    return {"canary": echo(), "held": echo(), "forks": echo(limits={"instances": 500 + n % 100}), "ahead": echo(prespawn=2),
            "boxed": echo(sandbox={"preset": "basic", "private_tmp": False}, prespawn=1), "local": {"listen": "unix:{dir}/local.sock", "exec": ["mp-echo"]},
            "workers": echo(model="pool", pool={"min": 2, "max": 4 + n % 2, "max_requests": 500}),
            "passed": echo(model="pool", pool={"min": 2, "max": 4, "handoff": "connection"}),
            "waits": echo(model="on-demand", timeouts={"stop": 5 + n % 3}),
            "datagrams": {"listen": "udp:127.0.0.1:0", "exec": ["mp-echo"], "timeouts": {"idle": "1s"}},
            "backend": {"listen": f"tcp:127.0.0.1:{backend}", "exec": ["mp-echo"]},
            "relay": {"listen": "tcp:127.0.0.1:0", "model": "forward", "to": f"tcp:127.0.0.1:{backend}"},
            "mux": {"listen": "tcp:127.0.0.1:0", "model": "tcpmux"}, "named": {"exec": ["mp-echo"], "tcpmux": "named"},
            "ordered": echo(),
            **({"comes": echo()} if n % 2 else {})}


def abused():
    """Those that fail, are killed, or have clients of the worst kind."""
    quick = {"delay": "50ms", "max_delay": "1s", "limit": "50/1s"}
    return {"crashes": echo(exec=["{bad-child}", "abort"], resources={"core": 0}), "fails": echo(exec=["/bin/false"]),
            "broken": echo(exec=["{dir}/broken"]), "lies": echo(exec=["{bad-child}", "bad-status"], report=True, timeouts={"lifetime": "500ms"}),
            "shouts": echo(exec=["{bad-child}", "say", "a \\e[31mred\\0 line\\n", "no end"], timeouts={"lifetime": "500ms"}),
            "talks": echo(report=True, exec=["/bin/sh", "-c", "echo STATUS=$$ >&$MP_STATUS_FD; echo words >&2; cat"]),
            "slow": echo(limits={"instances": 5}, timeouts={"idle": "1s"}), "picky": echo(limits={"per_source": 2, "rate_per_source": "20/s"}),
            "trap": echo(limits={"rate_per_source": "1/s"}, ban={"after": "3/10s", "for": "1s"}),
            "proxied": echo(proxy_protocol={"accept_from": ["127.0.0.0/8"]}, limits={"per_source": 2}),
            "mortal": echo(model="pool", pool={"min": 2, "max": 3, "handoff": "connection"}, restart=quick),
            "mortal-waits": echo(model="on-demand", restart=quick)}


def config(backend, n):
    # Who may only look can connect: an interpreter reads what he says.
    return {"control": {"mode": "0666"}, "services": {**served(backend, n), **abused()}}
