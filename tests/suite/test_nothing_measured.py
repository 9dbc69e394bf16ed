"""On a machine without a meter: real runs of every kind, none of whose metrics is a number that nobody measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from oildrop.harness import metering
from oildrop.harness.meters import open_meters as opening
from oildrop.results.bundle.read import read_bundle
from oildrop.results.layout import StoreLayout
from oildrop.results.rows import RunRow
from oildrop.results.views import list_runs
from oildrop.rules.catalogue import CATALOGUE, metrics_of
from oildrop.rules.judge import judge
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Metric
from oildrop.site.pages.addresses import run_address
from oildrop.site.pages.build import build_site
from oildrop.suite.cli.main import main

ONE = ["--runs", "1", "--backend", "torch-cpu"]
THREAD = ["--set", "execution.threads=1"]
RUNS = {
    "fixed_work": ["run", "image-classify", "--tier", "smoke", *ONE, *THREAD],
    "serve": ["run", "embed", "--tier", "smoke", "--scenario", "single-stream", *ONE, *THREAD],
    "to_target, out of time": ["run", "image-classify", "--tier", "nano", "--timeout", "1", *ONE],
    "to_target, unsupported": ["run", "image-classify", "--tier", "nano", "--runs", "1", "--backend", "jax-tpu"],
    "calibrate": ["calibrate", "--tier", "smoke", "--backend", "torch-cpu"],
}
COUNTED = {"restarts", "error_fraction", "goodput_per_s"}
"""Of these 0 is an answer: somebody looked, and there were none."""

ENERGY = [name for name, meaning in CATALOGUE.items() if re.search(r"energy|power", name)]
VALUED = ("measured", "modelled", "derived")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoreLayout, list[RunRow]]]:
    """The runs, made where no driver, no powercap zone and no outside meter is."""
    layout = StoreLayout(tmp_path_factory.mktemp("store"))
    nothing = tmp_path_factory.mktemp("nothing")
    bare = partial(opening.open_meters, root=nothing, environment={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metering, "open_meters", bare)
        patch.setattr(opening, "open_meters", bare)
        for words in RUNS.values():
            main([*words, "--store", str(layout.root)])
    yield layout, list_runs(layout)


def wrong(metric: Metric) -> str | None:
    """What is wrong with it: a gap without its reason, or a number in place of one."""
    if metric.value is None:
        gap = metric.status in ("not_measured", "not_applicable") and metric.reason
        return None if gap else f"{metric.name} is null as {metric.status} for {metric.reason!r}"
    if metric.status not in VALUED:
        return f"{metric.name} is {metric.value} and {metric.status}"
    if metric.value == 0 and metric.name not in COUNTED:
        return f"{metric.name} is 0 and {metric.status}"
    return None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_kind_of_run_was_made(rows: tuple[StoreLayout, list[RunRow]]) -> None:
    assert {row.spec.kind for row in rows[1]} == {"fixed_work", "serve", "to_target", "calibrate"}
    assert {"ok", "timeout", "unsupported"} <= {row.judgement.outcome for row in rows[1]}


@pytest.mark.slow
def test_no_metric_is_a_number_that_nobody_measured(rows: tuple[StoreLayout, list[RunRow]]) -> None:
    for row in rows[1]:
        assert {metric.name for metric in row.judgement.metrics} == set(metrics_of(row.spec.kind))
        assert [problem for metric in row.judgement.metrics if (problem := wrong(metric))] == []


@pytest.mark.slow
def test_a_probe_is_walked_too(rows: tuple[StoreLayout, list[RunRow]]) -> None:
    """Judged from the bundle of the served run, which differs from a probe's by its kind alone."""
    (served,) = [row for row in rows[1] if row.spec.kind == "serve"]
    evidence = read_bundle(rows[0].run_dir(served.spec.run_id))
    object.__setattr__(evidence, "spec", evidence.spec.model_copy(update={"kind": "probe"}))
    metrics = judge(evidence, load_rulebook()).metrics
    assert {metric.name for metric in metrics} == set(metrics_of("probe"))
    assert [problem for metric in metrics if (problem := wrong(metric))] == []


@pytest.mark.slow
def test_energy_is_missing_with_the_meters_own_reasons_in_the_run_and_on_its_page(
    rows: tuple[StoreLayout, list[RunRow]], tmp_path: Path
) -> None:
    _, found = rows
    build_site(found, load_rulebook(), tmp_path / "page", built_utc="2026-11-22T12:34:56Z")
    for row in found:
        page = unescape((tmp_path / "page" / run_address(row.spec.run_id).partition("#")[0]).read_text("utf-8"))
        energy = [metric for metric in row.judgement.metrics if metric.name in ENERGY and not metric.dims]
        for metric in energy:
            lines = re.findall(rf'<tr><th scope="row">[^\n]*<code>{metric.name}</code>[^\n]*</tr>', page)
            assert metric.value is None
            assert any(str(metric.reason) in line and '<td class="n null">' in line for line in lines), metric
        if row.judgement.outcome == "ok" and row.spec.kind in ("fixed_work", "serve"):
            assert any("no powercap zones" in str(metric.reason) for metric in energy)


@pytest.mark.parametrize(
    "change",
    [{"value": 0.0}, {"value": 1.0, "status": "not_measured"}, {"value": None, "reason": None},
     {"value": None, "status": "measured", "reason": "no meter"}],
)  # fmt: skip
def test_the_walk_finds_what_it_looks_for(change: dict[str, Any]) -> None:
    sound = Metric(name="energy_j", value=2.0, unit="J", status="measured", formula="energy/1", scope="device")
    assert wrong(sound) is None
    assert wrong(sound.model_copy(update=change)) is not None
