"""Which devices answered: how many share the rate, and whether a meter here could see them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.devices import devices_of
from oildrop.rules.measures.making import absent
from oildrop.rules.measures.resources import busy_metric, memory_metric
from oildrop.rules.records import Metric

COUNTED = re.compile(r"(\d{1,6})\s*[xX]\s")
"""As `2 x NVIDIA H100 80GB` begins."""

ASKED = "endpoint"
"""The backend of a run that asks a server: its worker is the load generator."""

ANOTHER_HOST = "://<host>"
"""What the log has in place of the name of a server's machine, where it is not the one that asks."""


def devices_that_served(case: Case) -> int | str:
    """How many like devices answered, or why no such number is known."""
    system = case.evidence.system
    if system is not None and system.declared is not None:
        named = [COUNTED.match(each) for each in system.declared.accelerators]
        count = sum(1 if number is None else int(number[1]) for number in named)
        return count or "nobody said how many devices the server has: name them with --system FILE"
    return unlike_devices(case) or devices_of(case)


def unlike_devices(case: Case) -> str | None:
    """Why the work is no single kind of device's; None where it is."""
    settings, backend = case.evidence.spec.settings, case.evidence.spec.backend
    if settings.get("execution.prefill_machine") == "other":
        return "prompts were read on another machine"
    reader = settings.get("execution.prefill_backend")
    if settings.get("execution.transfer", "none") == "none" or not reader or reader == backend:
        return None
    return f"prompts were read by another device ({reader}) than the one that decoded ({backend})"


def out_of_sight(case: Case) -> str | None:
    """Why no meter of this machine saw what answered; None where one may have."""
    if case.evidence.spec.settings.get("execution.prefill_machine") == "other":
        return "prompts were read on another machine, whose power no meter of this one saw"
    event = case.evidence.last(keys.SERVE)
    if event is None or ANOTHER_HOST not in str(event.meta.get("endpoint", "")):
        return None
    return "the server runs on another machine: what this one's meters saw is the load generator"


def resource_metrics(case: Case) -> Iterator[Metric]:
    """`busy_fraction` and `memory_peak_bytes` of what answered; nobody here knows a server's memory."""
    if case.evidence.spec.backend != ASKED:
        yield from (busy_metric(case), memory_metric(case))
        return
    unseen = out_of_sight(case)
    if unseen is None:
        yield busy_metric(case)
    else:
        yield absent("busy_fraction", unseen, formula="busy_device/1", scope="device")
    reason = "the worker is the load generator; nobody reads the server's memory"
    yield absent("memory_peak_bytes", reason, formula="memory_peak/1", scope="process")
