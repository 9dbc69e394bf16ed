"""Puts the record of this machine together."""

from __future__ import annotations

from collections.abc import Callable

from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.nvidia import describe_in_child
from oildrop.harness.system.accelerators import read_accelerators
from oildrop.harness.system.cpu import read_cpu
from oildrop.harness.system.memory import read_memory
from oildrop.harness.system.operating_system import read_operating_system
from oildrop.harness.system.power_cap import read_power_cap
from oildrop.harness.system.software import read_software
from oildrop.harness.system.source import Gaps, Host, this_host
from oildrop.rules.system import System


def probe_system(
    salt: str = "", *, host: Host | None = None, describe: Callable[[], Answer] = describe_in_child
) -> System:
    """This machine, not yet redacted; every unknown is None with its reason in `missing`.

    Args:
        salt: The store's secret, under the device ids.
        host: Another machine's files and commands, for tests.
        describe: Asks NVIDIA's library in a child process; called only where its driver left a trace.
    """
    host = host or this_host()
    gaps = Gaps()
    accelerators, drivers = read_accelerators(host, salt, gaps, describe=describe)
    return System(
        cpu=read_cpu(host, gaps),
        memory=read_memory(host, gaps),
        os=read_operating_system(host, gaps),
        accelerators=accelerators,
        power_cap_w=read_power_cap(host, gaps),
        software=read_software(host, drivers, salt, gaps),
        missing=dict(sorted(gaps.reasons.items())),
    )
