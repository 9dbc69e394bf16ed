"""Where the bounds of decoding stand: at the better of the options that a run may declare."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
OURS = ("bench_decode", "decode", "in_child", "our_loop", "pairs", "table")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module("bench_decode")
    for name in OURS:
        sys.modules.pop(name, None)


def bounds(bench: Any, monkeypatch: pytest.MonkeyPatch, theirs: float) -> dict[str, float | None]:
    """The bound of every row, where transformers read `theirs` of the bandwidth and the compiled step is faster."""

    def measured(name: str, what: str, framework: str, *numbers: int) -> Any:
        if what == "transformers_bandwidth":
            return [[theirs, 1.01 * theirs], [1.0, 1.0]]
        return [[2.0, 2.1] if "inductor" in name else [1.0, 1.1], [1.0, 1.0]]

    monkeypatch.setattr(bench, "measured", measured)
    return {row.name.removeprefix("lm-generate "): row.at_least for row in bench.main()}


def test_the_better_option_is_bound(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bounds(bench, monkeypatch, theirs=0.4)
    times = {name: bound for name, bound in found.items() if "over transformers'" in name}
    assert len(times) == 8
    assert all(bound == (2.0 if "inductor" in name else None) for name, bound in times.items())
    shares = {name: bound for name, bound in found.items() if "over measured" in name}
    assert len(shares) == 9 and [bound for bound in shares.values() if bound is not None] == [0.6]


def test_where_transformers_read_over_half_all_of_the_bandwidth_is_asked_for(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bounds(bench, monkeypatch, theirs=0.55)
    assert not any(bound for name, bound in found.items() if name.startswith("small, fp32") and "tokens/s" in name)
    shares = [bound for name, bound in found.items() if name.startswith("small, fp32") and "bytes/s" in name]
    assert shares == [None, None, 0.9]


def test_an_option_that_cannot_be_had_leaves_the_bound_to_the_other(bench: Any) -> None:
    table = sys.modules["table"]
    row = table.Row(name="eager", value=1.0, low=1.0, high=1.0, unit="ratio", count=2)
    skipped = table.Skipped(name="inductor", reason="no compiler")
    assert [getattr(row, "at_least", None) for row in bench.with_bound([row, skipped], 2.0)] == [2.0, None]
    assert bench.with_bound([skipped], 2.0) == [skipped]
