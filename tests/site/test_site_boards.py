"""Grouping, order and ranks of configurations; failures over several pages."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from oildrop.site.pages.boards import boards_of
from oildrop.site.pages.build import build_site


def configuration(runs, start, *, time_s, **other):
    return [
        runs.row(start + k, time_s=time_s + 0.01 * k, seed_index=k, machine=runs.system(start), points=2, **other)
        for k in range(5)
    ]


def ranks(rows):
    (board,) = boards_of(rows)
    return {part.rows[0].system.cpu.model.split()[1]: part.rank for part in board.configurations}


def test_a_failed_run_that_carries_a_time_still_never_reached_the_target(runs):
    failed = configuration(runs, 10, time_s=5.0)
    failed = [
        type(row)(
            spec=row.spec, system=row.system, judgement=row.judgement.model_copy(update={"outcome": "accuracy_fail"}),
            digest=row.digest, sealed=True, bundle_id=None,
        )
        for row in failed
    ]  # fmt: skip
    assert failed[0].headlines["time_to_target_s"].value == 5.0
    assert ranks([*configuration(runs, 20, time_s=10.0), *failed]) == {"9020": (1, 1), "9010": (2, 2)}


def test_ranks_are_given_within_a_division_and_only_to_five_runs(runs):
    rows = [
        *configuration(runs, 10, time_s=5.0, division="open"),
        *configuration(runs, 20, time_s=10.0),
        *configuration(runs, 30, time_s=7.0)[:4],
    ]
    assert ranks(rows) == {"9010": (1, 1), "9020": (1, 1), "9030": None}
    (board,) = boards_of(rows)
    assert [part.summary.standing for part in board.configurations] == ["ranked", "provisional", "ranked"]
    assert [part.summary.division for part in board.configurations] == ["closed", "closed", "open"]


def test_runs_of_a_kind_without_headline_are_shown_unranked(runs):
    row = runs.row(1, points=2)
    row = type(row)(
        spec=row.spec.model_copy(update={"kind": "calibrate"}), system=row.system, judgement=row.judgement,
        digest=row.digest, sealed=True, bundle_id=None,
    )  # fmt: skip
    ((configuration_,),) = [board.configurations for board in boards_of([row])]
    assert configuration_.summary.standing == "unranked" and configuration_.rank is None
    assert configuration_.summary.reason == "runs of kind calibrate have no headline metric"


def test_runs_with_a_prefix_cache_and_those_whose_prompts_begin_alike_have_boards_of_their_own(runs, served):
    machine = runs.system()

    def row(number, **changes):
        made = served.served_row(f"20261125-{number}", machine, seed_index=number)
        settings = {**made.spec.settings, **changes}
        spec = made.spec.model_copy(update={"settings": settings, "workload_id": f"workload-{number}"})
        return replace(made, spec=spec)

    cached, shared = {"execution.prefix_cache": "on"}, {"requests.shared_prefix_tokens": 16}
    boards = boards_of([row(1), row(2, **cached), row(3, **shared), row(4, **cached, **shared), row(5)])
    assert [(board.where, board.slug, len(board.rows)) for board in boards] == [
        ("nano single-stream", "lm-generate-nano.in.single-stream", 2),
        ("nano single-stream, 16 shared tokens", "lm-generate-nano.in.single-stream.with.16-shared-tokens", 1),
        ("nano single-stream, prefix cache", "lm-generate-nano.in.single-stream.with.prefix-cache", 1),
        (
            "nano single-stream, prefix cache, 16 shared tokens",
            "lm-generate-nano.in.single-stream.with.prefix-cache-16-shared-tokens",
            1,
        ),
    ]


def test_scenarios_have_boards_of_their_own_and_probes_stand_last_and_uncounted(runs, served):
    machine = runs.system()
    rows = [runs.row(1, points=2), *served.served_rows(machine)]
    boards = boards_of(rows)
    assert [(board.name, board.slug) for board in boards] == [
        ("lm-pretrain nano", "lm-pretrain-nano"),
        ("lm-generate nano concurrency", "lm-generate-nano.in.concurrency"),
        ("lm-generate nano offline", "lm-generate-nano.in.offline"),
        ("lm-generate nano server", "lm-generate-nano.in.server"),
        ("lm-generate nano single-stream", "lm-generate-nano.in.single-stream"),
    ]
    serve, probes = boards[3].configurations
    assert (serve.summary.kind, serve.summary.metric) == ("serve", "requests_per_s")
    assert serve.summary.estimate == pytest.approx(80.0)
    assert (probes.summary.kind, probes.summary.standing, probes.summary.estimate) == ("probe", "unranked", None)
    assert "none is counted" in probes.summary.reason
    assert len(probes.rows) == 4


def test_without_an_estimate_the_cheaper_success_comes_first_whatever_the_metric(runs):
    rows = [
        runs.row(10 * machine + k, tier="smoke", machine=runs.system(machine), seed_index=k, time_s=time_s, points=2,
                 outcome=outcome)
        for machine, time_s in ((1, 30.0), (2, 5.0), (3, 12.0))
        for k, outcome in enumerate(("ok", "crash"))
    ]  # fmt: skip
    (board,) = boards_of(rows)
    assert {part.summary.metric for part in board.configurations} == {"train_samples_per_s"}
    costs = [part.summary.expected_time_to_success_s for part in board.configurations]
    assert costs == sorted(costs) and costs[0] < costs[-1]


@pytest.mark.parametrize(("scenario", "scales", "order"), [
    ("single-stream", (2.0, 1.0), [1, 0]),  # by latency: lower is better
    ("offline", (1.0, 2.0), [1, 0]),        # by requests a second: higher is better
])  # fmt: skip
def test_served_configurations_are_ordered_by_the_better_headline(runs, served, scenario, scales, order):
    machines = [runs.system(index) for index in range(2)]
    rows = []
    for index, (machine, scale) in enumerate(zip(machines, scales, strict=True)):
        rate = scale if scenario == "offline" else None
        made = served.served_row(f"2026112{index}-run", machine, scenario=scenario, scale=scale, rate_per_s=rate)
        rows.append(made)
    (board,) = boards_of(rows)
    assert [part.rows[0].run_id for part in board.configurations] == [rows[index].run_id for index in order]


def test_a_thousand_failures_go_to_several_pages_and_none_is_left_out(runs, tmp_path):
    rows = [runs.row(k, outcome="crash" if k < 700 else "lost", points=2) for k in range(1010)]
    build_site(rows, runs.rulebook(), tmp_path / "page", built_utc="2026-11-22T12:00:00Z")
    texts = [(tmp_path / "page" / name).read_text("utf-8") for name in (
        "failures.html", "failures.page-2.html", "failures.page-3.html")]  # fmt: skip
    found = [re.findall(r"#run-([0-9a-z-]+)\"", text) for text in texts]
    assert [len(page) for page in found] == [500, 500, 10]
    assert sorted(run_id for page in found for run_id in page) == sorted(row.run_id for row in rows)
    assert "Ended by an error: 700 runs, 501 to 700 on this page." in texts[1]
    assert 'href="failures.page-2.html#outcome-lost"' in texts[0]
