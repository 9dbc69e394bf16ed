"""Limits that a control group sets on processors and memory, in both of its versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from oildrop.harness.system.source import Host, as_integer

UNLIMITED_BYTES = 2**60
"""Version 1 writes a page-rounded 2^63 where no memory limit is set; no machine has this much."""


def cpu_quota_cores(host: Host) -> float | None:
    """Smallest processor quota over this process's groups, in cores; None when none is set."""
    quotas = [_quota_v2(host.text(f"{group}/cpu.max")) for group in _groups(host, "")]
    quotas += [
        _quota_v1(host.integer(f"{group}/cpu.cfs_quota_us"), host.integer(f"{group}/cpu.cfs_period_us"))
        for group in _groups(host, "cpu")
    ]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit_bytes(host: Host) -> int | None:
    """Smallest memory limit over this process's groups, in bytes; None when none is set."""
    limits = [host.integer(f"{group}/memory.max") for group in _groups(host, "")]
    limits += [host.integer(f"{group}/memory.limit_in_bytes") for group in _groups(host, "memory")]
    return min((limit for limit in limits if limit is not None and limit < UNLIMITED_BYTES), default=None)


def parse_membership(text: str, controller: str) -> str | None:
    """Path of the group in the text of /proc/self/cgroup; controller `` asks for version 2."""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and controller in controllers.split(","):
            return path
    return None


def _groups(host: Host, controller: str) -> Iterator[str]:
    """Folders of the group and of all above it: a limit anywhere on the way holds."""
    path = parse_membership(host.text("proc/self/cgroup") or "", controller)
    if path is None:
        return
    for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified") if not controller else (_mount_v1(host, controller),):
        group = PurePosixPath(path)
        # A container sees the outer path but mounts its own group at the top: that is why missing folders are passed.
        for folder in (group, *group.parents):
            yield f"{mount}/{str(folder).lstrip('/')}".rstrip("/")


def _mount_v1(host: Host, controller: str) -> str:
    joined = "sys/fs/cgroup/cpu,cpuacct"
    return joined if controller == "cpu" and host.exists(joined) else f"sys/fs/cgroup/{controller}"


def _quota_v2(text: str | None) -> float | None:
    fields = (text or "").split()
    if len(fields) != 2 or fields[0] == "max":
        return None
    return _quota_v1(as_integer(fields[0]), as_integer(fields[1]))


def _quota_v1(quota_us: int | None, period_us: int | None) -> float | None:
    if quota_us is None or period_us is None or quota_us <= 0 or period_us <= 0:
        return None
    return quota_us / period_us
