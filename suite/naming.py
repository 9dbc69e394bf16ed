"""What a run is called, when it was planned, and the command line that repeats it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from oildrop.harness.endpoint.address import parse_address
from oildrop.rules.canonical import sha256_bytes
from oildrop.suite.asked import NAME
from oildrop.suite.request import RunRequest

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def repeat_command(
    request: RunRequest, changes: Mapping[str, str], benchmark: str, tier: str, backend: str, index: int | None
) -> tuple[str, ...]:
    """The command line that makes this very run again; of a search's run the rate is put in when it is known."""
    parts = ["oildrop", "run", benchmark, "--tier", tier, "--backend", backend]
    if request.division != "closed":
        parts += ["--division", request.division]
    if request.server is not None:
        parts += ["--endpoint", parse_address(request.server.url).shown]
    for key, value in changes.items():
        parts += ["--scenario", value] if key == NAME else ["--set", f"{key}={value}"]
    if request.rate_per_s is not None:
        parts += ["--rate", f"{request.rate_per_s:.16g}"]
    if request.timeout_s is not None:
        parts += ["--timeout", f"{request.timeout_s:g}"]
    if request.memory_limit_bytes is not None:
        parts += ["--memory-limit", str(request.memory_limit_bytes)]
    if request.max_restarts:
        parts += ["--max-restarts", str(request.max_restarts)]
    if index is not None:
        parts += ["--seeds", str(index)]
    return tuple(parts)


def utc_now() -> str:
    """The wall clock in UTC to the millisecond, ISO 8601 ending in Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id() -> str:
    """A run's name: UTC to the microsecond, then 24 random bits; sortable by time."""
    now_ns = time.time_ns()
    moment = datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y%m%d-%H%M%S")
    return f"{moment}-{now_ns % 10**9 // 1000:06d}-{secrets.token_hex(3)}"


def boot_id(salt: str) -> str | None:
    """Which start of this machine it is, hashed with the store's salt; None where nobody says."""
    try:
        boot = BOOT_ID_FILE.read_text().strip()
    except OSError:
        return None
    return sha256_bytes(f"{salt}{boot}".encode())[:16]
