"""Energy on the pages: in units that people read, with its scope and cap, and what a success costs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from oildrop.rules.records import Metric
from oildrop.site.pages.build import build_site


def metered(row: Any, values: dict[str, tuple[float, str]], *, scope: str = "node") -> Any:
    """The row with these metrics measured at `scope`."""
    made = {
        name: Metric(
            name=name, value=value, unit=unit, status="measured", formula=f"{name}/1", scope=scope,
            uncertainty=value / 100, sample_count=80,
        )
        for name, (value, unit) in values.items()
    }  # fmt: skip
    metrics = tuple(made.get(metric.name, metric) for metric in row.judgement.metrics)
    judgement = row.judgement.model_copy(update={"metrics": metrics})
    return type(row)(
        spec=row.spec, system=row.system, judgement=judgement, digest=row.digest, sealed=row.sealed,
        bundle_id=row.bundle_id,
    )  # fmt: skip


def pages(rows: list[Any], runs: Any, out: Path) -> tuple[str, str]:
    build_site(rows, runs.rulebook(), out, built_utc="2026-11-22T12:34:56Z")
    run = min(out.glob("r/*/index.html")).read_text("utf-8")
    return (out / "index.html").read_text("utf-8"), run.replace("\N{NARROW NO-BREAK SPACE}", " ").replace(
        "&#8239;", " "
    )


GOOD = {"energy_j": (7200.0, "J"), "power_w": (360.0, "W"), "energy_to_target_j": (6900.0, "J"),
        "energy_attempt_j": (9000.0, "J")}  # fmt: skip
FAILED = {"energy_attempt_j": (3000.0, "J")}


def test_a_run_shows_kilojoules_watt_hours_scope_and_cap(runs: Any, tmp_path: Path) -> None:
    row = metered(runs.row(1, points=4, seed_index=0), GOOD)
    index, run = pages([row], runs, tmp_path)
    assert "<b>7.20</b> kJ <small>2.00 Wh, node</small>" in run
    assert "<b>360</b> W <small>node; power cap" in run
    assert "± 72.0 J (95 %)" in run.replace("&#177;", "±")
    assert "Energy to target (kJ)" in index and ">6.90<" in index


def test_the_index_counts_the_energy_of_failed_runs(runs: Any, tmp_path: Path) -> None:
    good, bad = runs.row(1, points=4, seed_index=0), runs.row(2, outcome="timeout", points=4, seed_index=1)
    index, _ = pages([metered(good, GOOD), metered(bad, FAILED)], runs, tmp_path)
    assert "12.0 kJ a success, failures counted (node)" in index
    with open(next(tmp_path.glob("results-*-configurations.csv")), newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert (line["expected_energy_to_success_j"], line["energy_scope"], line["energy_reason"]) == (
        "12000.0",
        "node",
        "",
    )


def test_scopes_are_not_added_on_the_index(runs: Any, tmp_path: Path) -> None:
    good, bad = runs.row(1, points=4, seed_index=0), runs.row(2, outcome="timeout", points=4, seed_index=1)
    index, _ = pages([metered(good, GOOD), metered(bad, FAILED, scope="device")], runs, tmp_path)
    assert "a success, failures counted" not in index
    (path,) = tmp_path.glob("results-*-configurations.csv")
    assert "cover device and node, and scopes are never added" in path.read_text("utf-8")


def test_without_a_meter_the_index_has_no_column_of_energy_and_the_run_says_why(runs: Any, tmp_path: Path) -> None:
    index, run = pages([runs.row(1, points=4, seed_index=0)], runs, tmp_path)
    assert "Energy to target" not in index and "no RAPL domain is readable" in index
    assert run.count("no RAPL domain is readable") > 4
