"""How long libtpu takes to compile large tiers for slices that are not here, and how much of a chip they take.

Tier small on four chips of each generation, and tier pod on 128 chips of v5p. One compilation each: the machine's load
is in the seconds, not in the bytes.
"""

from __future__ import annotations

from typing import Any

from table import Row

from oildrop.rules.errors import Unsupported
from oildrop.rules.loading import load_rulebook
from oildrop.rules.settings import resolve
from oildrop.suite.plan_compile import COMPILE_LIMIT_S, compile_plan, require_compiler, wanted
from oildrop.suite.plan_sizes import job_of

JOBS = (
    ("small", "tpu:v4-8"),
    ("small", "tpu:v5e-4"),
    ("small", "tpu:v5p-8"),
    ("small", "tpu:v6e-4"),
    ("pod", "tpu:v5p-256"),
)
AT_MOST_S = 600.0


def main() -> list[Row]:
    """Three rows a job; none where libtpu is not installed."""
    try:
        require_compiler()
    except Unsupported as error:
        print(error)
        return []
    return [row for tier, target in JOBS for row in _rows(tier, target)]


def _rows(tier: str, target: str) -> list[Row]:
    rulebook = load_rulebook()
    benchmark = rulebook.benchmarks["lm-pretrain"]
    job = job_of(benchmark, benchmark.tiers[tier], resolve(benchmark, tier, "closed", {}).settings)
    plan = compile_plan(wanted(rulebook, job, target, None), limit_s=COMPILE_LIMIT_S)
    if not plan["fits"]:
        raise RuntimeError(f"{tier} does not fit {target}: {plan['refused']}")
    total, what = plan["memory"]["total"], f"{tier} for {target}"
    return [
        _row(f"{what}: compiling", plan["compile_s"], "s", at_most=AT_MOST_S),
        _row(f"{what}: memory over the chip's", total / plan["memory_bytes"], "", at_most=1.0),
        _row(f"{what}: memory over our formula's", total / plan["formula_bytes"], "", at_least=0.3, at_most=1.5),
    ]


def _row(name: str, value: float, unit: str, **bounds: Any) -> Row:
    return Row(name=name, value=value, low=value, high=value, unit=unit, count=1, **bounds)
