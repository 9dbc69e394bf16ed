"""Caches that were sent from the process that read a prompt to the one that decoded."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.records import Metric

FORMULA = "transfer_mean/1"


def transfer_metrics(case: Case) -> Iterator[Metric]:
    """`transfer_s` and `transfer_bytes`, means over the caches sent while the clock ran."""
    event = case.evidence.first(keys.SERVED)
    meta = {} if event is None else event.meta
    count, ns, sent_bytes = (meta.get(f"transfer_{name}") for name in ("count", "ns", "bytes"))
    for name, total, unit in (("transfer_s", ns, 1e9), ("transfer_bytes", sent_bytes, 1)):
        if case.evidence.spec.settings.get("execution.transfer", "none") == "none":
            reason = "prompts are read where tokens are decoded"
            yield absent(name, reason, formula=FORMULA, scope="run", status="not_applicable")
        elif not isinstance(count, int) or not isinstance(total, int) or count < 1:
            yield absent(name, "the log tells of no cache that was sent", formula=FORMULA, scope="run")
        else:
            spread = _clock_bound_s(case) if name == "transfer_s" else None
            yield present(
                name, total / unit / count, formula=FORMULA, scope="run", sample_count=count, uncertainty=spread
            )


def _clock_bound_s(case: Case) -> float | None:
    """By how much the clocks of two machines may be apart beyond what was corrected; None where there is one."""
    told = [event.meta.get("clock_bound_ns") for event in case.evidence.all(keys.PROCESS)]
    bounds = [bound for bound in told if isinstance(bound, int)]
    return max(bounds) / 1e9 if bounds else None
