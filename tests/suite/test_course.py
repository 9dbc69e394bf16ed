"""Runs of a set in their order: all of a plain one, and a search's one after the other's outcome."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.results.layout import StoreLayout
from oildrop.rules.records import RunSpec
from oildrop.suite.course import next_run
from oildrop.suite.planning import PlannedSet, plan
from oildrop.suite.request import RunRequest
from oildrop.suite.seeds import used_seed_indices


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> PlannedSet:
    request = RunRequest(benchmarks=("lm-generate",), backend="torch-cpu", scenario="server", runs=2)
    (planned,) = plan(request, StoreLayout(tmp_path_factory.mktemp("plan") / "store"))
    return planned


def ended(spec: RunSpec, outcome: str) -> Any:
    return SimpleNamespace(spec=spec, outcome=outcome, run_id=spec.run_id)


def follow(planned: PlannedSet, capacity: float) -> list[Any]:
    ran: list[Any] = []
    while (run := next_run(planned, ran)) is not None:
        assert run.number <= run.total
        assert run.spec.rate_per_s is not None
        ran.append(ended(run.spec, "ok" if run.spec.rate_per_s <= capacity else "target_missed"))
    return ran


def test_probes_come_first_and_all_name_the_first_run_as_their_parent(searched: PlannedSet) -> None:
    ran = follow(searched, 100.0)
    assert [(row.spec.kind, row.spec.rate_per_s) for row in ran] == [
        ("probe", 20.0), ("probe", 80.0), ("probe", 320.0), ("serve", 80.0), ("serve", 80.0),
    ]  # fmt: skip
    assert ran[0].spec.parent_run_id is None
    assert {row.spec.parent_run_id for row in ran[1:]} == {ran[0].run_id}
    assert len({row.run_id for row in ran}) == len(ran)


def test_each_run_says_how_to_repeat_it_at_its_rate(searched: PlannedSet) -> None:
    ran = follow(searched, 100.0)
    assert ran[2].spec.command[-4:] == ("--rate", "320", "--seeds", "1")
    assert ran[3].spec.command[-4:] == ("--rate", "80", "--seeds", "0")


def test_a_plain_set_is_its_specs_and_ends_early_where_it_is_unsupported(searched: PlannedSet) -> None:
    plain = replace(searched, search=None)
    first = next_run(plain, [])
    assert first is not None
    assert (first.spec, first.number, first.total) == (plain.specs[0], 1, 2)
    second = next_run(plain, [ended(first.spec, "crash")])
    assert second is not None
    assert second.spec == plain.specs[1]
    assert next_run(plain, [ended(first.spec, "ok"), ended(second.spec, "ok")]) is None
    assert next_run(plain, [ended(first.spec, "unsupported")]) is None


def test_probes_use_up_no_seed_of_the_runs_that_count(searched: PlannedSet, tmp_path: Any) -> None:
    layout = StoreLayout(tmp_path / "store")
    ran = follow(searched, 100.0)
    for row in ran[:4]:
        folder = layout.run_dir(row.run_id)
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(row.spec.model_dump_json(by_alias=True))
    set_id = ran[0].spec.set_id
    assert used_seed_indices(layout, set_id, "serve") == {0}
    assert used_seed_indices(layout, set_id, "probe") == {0, 1}
