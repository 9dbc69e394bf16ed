"""`oildrop compare` of configurations that differ in the number of devices."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from oildrop.results import ingest, views
from oildrop.results.rows import RunRow
from oildrop.suite.cli.main import main
from oildrop.suite.cli.scaling import scaling_of
from oildrop.suite.cli.sides import sides_of

RATE = "train_tokens_per_s_per_device"


@pytest.fixture
def side(row: Callable[..., RunRow]) -> Callable[..., list[RunRow]]:
    """Five runs on some devices, each at its rate a device."""

    def make(devices: int, rates: tuple[float, ...], **more: Any) -> list[RunRow]:
        settings = {"execution.devices": devices, "execution.dtype": more.pop("dtype", "fp32")}
        names = {"workload_id": f"w{devices}", "set_id": f"set-{devices}"}
        runs = [
            row(run_id=f"n{devices}-{seed}", seed=seed, settings=settings, **names, **more)
            for seed in range(len(rates))
        ]
        return [with_rate(run, rate) for run, rate in zip(runs, rates, strict=True)]

    return make


def with_rate(run: RunRow, rate: float) -> RunRow:
    """The row with one more headline metric."""
    metric = run.headlines["time_to_target_s"].model_copy(update={"name": RATE, "value": rate, "unit": "tokens/s"})
    run.headlines[RATE] = metric  # type: ignore[index]
    return run


ONE = (1000.0, 1010.0, 990.0, 1005.0, 995.0)
FOUR = (899.0, 910.0, 890.0, 905.5, 895.5)


def test_efficiency_is_the_rate_a_device_on_many_over_that_on_one(side: Any) -> None:
    one, four = side(1, ONE), side(4, FOUR)
    logs = [math.log(many / few) for many, few in zip(FOUR, ONE, strict=True)]
    low = fmean(logs) - 2.7764451 * stdev(logs) / math.sqrt(5)
    for first, second in ((one, four), (four, one)):
        a, b = sides_of(first[0], second[0], [*one, *four])
        found = scaling_of((first[0], a), (second[0], b))
        assert found is not None
        assert found.ratio == pytest.approx(math.exp(fmean(logs)))
        assert found.ci95_low == pytest.approx(math.exp(low))
        assert "execution.devices 4" in found.a


def test_nothing_is_said_where_more_differs(side: Any) -> None:
    one, four = side(1, ONE), side(4, FOUR, dtype="bf16")
    a, b = sides_of(one[0], four[0], [*one, *four])
    assert scaling_of((one[0], a), (four[0], b)) is None


def test_compare_says_it_in_words_and_in_json(
    side: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*side(1, ONE), *side(4, FOUR)]
    monkeypatch.setattr(ingest, "refresh", lambda layout: [])
    monkeypatch.setattr(views, "list_runs", lambda layout: rows)
    monkeypatch.setattr(views, "find_run", lambda layout, name: next(row for row in rows if row.run_id == name))
    assert main(["compare", "n4-0", "n1-0", "--json", "--store", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scaling_efficiency"]["ratio"] == pytest.approx(0.9, abs=1e-3)
    assert main(["compare", "n4-0", "n1-0", "--store", str(tmp_path)]) == 0
    assert "Scaling efficiency of A (execution.devices 4)" in " ".join(capsys.readouterr().out.split())
