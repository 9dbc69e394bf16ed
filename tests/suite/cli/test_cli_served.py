"""Served runs on the screen: headline, arrivals, probes, exit codes, and what cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from oildrop.results.rows import RunRow
from oildrop.rules.errors import UsageError
from oildrop.rules.records import Judgement, Metric
from oildrop.suite.cli.headlines import what_came_of, what_was_run
from oildrop.suite.cli.main import main
from oildrop.suite.cli.output import screen
from oildrop.suite.cli.progress import ended_line, number_text
from oildrop.suite.cli.reports import searches_told, summary_sentence
from oildrop.suite.cli.run import exit_code
from oildrop.suite.cli.show import print_metrics
from oildrop.suite.cli.sides import sides_of
from oildrop.suite.cli.sweep import print_report, sweep_document
from oildrop.suite.execute import ExecutionReport

Capture = pytest.CaptureFixture[str]
RowFactory = Callable[..., RunRow]


def served(
    row: RowFactory, outcome: str = "ok", *, scenario: str = "server", reason: str | None = None,
    values: dict[str, float] | None = None, **spec: Any,
) -> RunRow:  # fmt: skip
    settings = {"scenario.name": scenario, "scenario.concurrency": 8, **spec.pop("settings", {})}
    fields = {"kind": "serve", "benchmark": "lm-generate", "settings": settings, **spec}
    made = row(outcome, reason=reason, **fields)
    metrics = tuple(
        Metric(name=name, value=value, unit="requests/s", status="derived", formula="test/1", scope="run")
        for name, value in (values or {"requests_per_s": 79.5}).items()
    )
    judgement = Judgement(
        run_id=made.run_id, outcome=outcome, reason=reason, metrics=metrics, findings=(), judge_version="1",
        tables_sha256="0" * 16,
    )  # fmt: skip
    return RunRow(
        spec=made.spec, system=None, judgement=judgement, digest=made.digest, sealed=True, bundle_id=None, elapsed_s=9.0
    )


def shape_of(prompt: tuple[int, int], output: tuple[int, int], *, depth: int = 0, slots: int = 8) -> dict[str, int]:
    """Settings of the least and most tokens of prompts and answers."""
    return {
        "requests.prompt_tokens_min": prompt[0], "requests.prompt_tokens_max": prompt[1],
        "requests.output_tokens_min": output[0], "requests.output_tokens_max": output[1],
        "requests.depth_tokens": depth, "execution.slots": slots,
    }  # fmt: skip


def test_failed_requests_stand_beside_the_headline(row: RowFactory) -> None:
    run = served(row, reason="3 of 400 requests failed: 3 cut", rate_per_s=80.0)
    assert what_came_of(run) == "79.5 requests/s; 3 of 400 requests failed: 3 cut"
    assert what_was_run(run.spec) == "lm-generate nano torch-cpu server at 80 queries/s"


def test_a_search_says_between_which_rates_the_highest_lies(row: RowFactory) -> None:
    first = served(row, kind="probe", rate_per_s=20.0)
    others = [
        served(row, outcome, kind=kind, rate_per_s=rate, parent_run_id=first.run_id)
        for outcome, kind, rate in (("target_missed", "probe", 80.0), ("ok", "serve", 20.0))
    ]
    alone = served(row, rate_per_s=5.0)
    assert searches_told([first, *others, alone]) == [
        "lm-generate nano server: The highest rate that holds the bounds lies between 20 and 80 queries a second."
    ]


def test_a_probe_says_whether_its_rate_held(row: RowFactory) -> None:
    held = served(row, kind="probe", rate_per_s=20.0)
    missed = served(row, "target_missed", kind="probe", rate_per_s=320.0, reason="93.00% of 200 were in time")
    assert what_came_of(held) == "held its bounds"
    assert what_came_of(missed) == "93.00% of 200 were in time"
    assert what_was_run(held.spec).endswith("server at 20 queries/s (probe)")
    assert number_text(held.spec, 2, 4) == "probe 2 of at most 4"


def test_concurrency_is_named_with_its_number(row: RowFactory) -> None:
    assert what_was_run(served(row, scenario="concurrency").spec).endswith("concurrency 8")


@pytest.mark.parametrize(
    ("scenario", "settings", "words"),
    [
        ("concurrency", {}, "concurrency 8"),
        ("concurrency", shape_of((16, 16), (9, 9)), "concurrency 8, pp16 tg9, batch 8"),
        ("concurrency", shape_of((16, 16), (9, 9), slots=16), "concurrency 8, pp16 tg9"),
        ("concurrency", shape_of((8, 16), (9, 9)), "concurrency 8"),  # prompts of many lengths are no shape
        ("offline", shape_of((1, 1), (9, 9), depth=32), "offline, tg8 @ d32, batch 8"),
        ("server", shape_of((16, 16), (1, 1)), "server, pp16"),
        (
            "server",
            {"execution.weights": "int8", "execution.draft": "small-one"},
            "server, int8 weights, draft small-one",
        ),
        ("server", {"execution.weights": "as-trained", "execution.draft": "", "execution.transfer": "none"}, "server"),
        ("server", {"execution.transfer": "shared-memory"}, "server, prefill elsewhere by shared-memory"),
        (
            "server",
            {
                "execution.prefix_cache": "on",
                "execution.transfer": "tcp",
                "execution.prefill_machine": "other",
                "execution.prefill_backend": "torch-cuda",
            },
            "server, prefix cache, prefill on another machine (torch-cuda) by tcp",
        ),
    ],
)
def test_what_was_run_says_how_requests_were_answered(
    row: RowFactory, scenario: str, settings: dict[str, Any], words: str
) -> None:
    run = served(row, scenario=scenario, settings=settings)
    assert what_was_run(run.spec) == f"lm-generate nano torch-cpu {words}"


def test_a_cell_is_named_on_its_line_with_its_place_in_the_sweep(row: RowFactory) -> None:
    run = served(row, "oom", scenario="concurrency", settings=shape_of((16, 16), (9, 9), depth=32), reason="9 GiB")
    line = ended_line(run, 1, 1, 3, 4).plain
    assert "concurrency 8, pp16 tg9 @ d32, batch 8  set 3 of 4, run 1 of 1  9 GiB" in line
    assert "set" not in ended_line(run, 1, 1).plain


def test_the_table_of_a_sweep_names_cells_and_says_of_which_nothing_came(
    row: RowFactory, tmp_path: Any, capsys: Capture
) -> None:
    from oildrop.results.layout import StoreLayout

    deep = {**shape_of((16, 16), (9, 9), depth=32), "execution.draft": "small-one"}
    rows = [
        served(row, scenario="concurrency", settings=shape_of((1, 1), (9, 9)), run_id="fits"),
        served(row, "oom", scenario="concurrency", settings=deep, run_id="deep", reason="9 GiB of 8 GiB"),
    ]
    print_report(StoreLayout(tmp_path), ExecutionReport(rows=rows, cancelled=False))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1].startswith("tg8 8 –") and lines[2].startswith("pp16 tg9 @ d32, draft small-one 8 –")
    assert "pp16 tg9 @ d32, batch 8, draft small-one: oom, 9 GiB of 8 GiB (run deep)" in lines


def test_trainings_are_named_as_ever(row: RowFactory) -> None:
    assert what_was_run(row().spec) == "lm-pretrain nano torch-cpu"


@pytest.mark.parametrize(
    ("probes", "finals", "code"),
    [
        (["ok", "target_missed"], ["ok"], 0),
        (["ok"], ["target_missed"], 1),
        (["ok"], [], 1),
        ([], ["unsupported"], 3),
    ],
)
def test_probes_decide_no_exit_code(row: RowFactory, probes: list[str], finals: list[str], code: int) -> None:
    rows = [served(row, outcome, kind="probe", rate_per_s=1.0) for outcome in probes]
    rows += [served(row, outcome, rate_per_s=1.0) for outcome in finals]
    assert exit_code(ExecutionReport(rows=rows, cancelled=False)) == code


def test_the_sentence_names_the_scenario() -> None:
    summary = {
        "benchmark": "lm-generate", "tier": "nano", "scenario": "offline", "backend": "torch-cpu", "division": "closed",
        "runs": 1, "ok": 1, "metric": "requests_per_s", "estimate": 41.25, "ci95_low": None, "ci95_high": None,
        "reason": "1 run has no interval", "standing": "unranked",
    }  # fmt: skip
    assert summary_sentence(summary) == (
        "lm-generate nano offline on torch-cpu, closed: 1 of 1 runs ok; 41.25 requests/s, without an interval: "
        "1 run has no interval; unranked."
    )


def test_a_probe_is_compared_with_nothing(row: RowFactory) -> None:
    probe = served(row, kind="probe", rate_per_s=20.0, run_id="a-probe", set_id="set-1")
    run = served(row, rate_per_s=20.0, run_id="a-run", set_id="set-2")
    with pytest.raises(UsageError, match="a-probe is a probe of a search"):
        sides_of(run, probe, [run, probe])


def test_unlike_scenarios_are_refused_by_name(row: RowFactory) -> None:
    from oildrop.rules.comparison import compare

    server = served(row, run_id="a", set_id="set-1", rate_per_s=20.0)
    offline = served(row, scenario="offline", run_id="b", set_id="set-2", workload_id="x" * 16)
    with pytest.raises(UsageError, match=r"in scenario server.*in scenario offline"):
        compare(*sides_of(server, offline, [server, offline]))


def test_list_tells_scenarios_with_their_terms(capsys: Capture) -> None:
    assert main(["list", "lm-generate"]) == 0
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if line.split()[:2] == ["nano", "server"]]
    assert "10 s and 64 queries" in line
    assert "to the first token" in line
    assert "--scenario" in shown
    assert main(["list", "lm-generate", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tiers"]["nano"]["kind"] == "serve"
    assert document["tiers"]["nano"]["scenarios"]["multi-stream"]["samples_per_query"] == 8


def test_a_sweep_document_has_a_cell_a_run_and_null_where_there_is_no_rate(row: RowFactory, tmp_path: Any) -> None:
    from oildrop.results.layout import StoreLayout

    shape = {"requests.prompt_tokens_max": 128, "requests.output_tokens_max": 16, "scenario.concurrency": 4}
    fits = served(row, scenario="concurrency", settings=shape, run_id="fits", values={"decode_tokens_per_s": 55.0})
    oom = served(row, "oom", scenario="concurrency", settings=shape, run_id="oom", reason="9 GiB", values={"mbu": 1.0})
    document = sweep_document(StoreLayout(tmp_path), [fits, oom])
    assert document["schema"] == "oildrop.sweep/1"
    first, second = document["cells"]
    assert (first["prompt_tokens"], first["output_tokens"], first["batch"]) == (128, 16, 4)
    assert (first["decode_tokens_per_s"], first["prefill_tokens_per_s"]) == (55.0, None)
    assert (second["outcome"], second["reason"], second["decode_tokens_per_s"]) == ("oom", "9 GiB", None)
    assert [run["run_id"] for run in document["runs"]] == ["fits", "oom"]


def test_rates_that_were_given_are_configurations_of_their_own_and_never_ranked(row: RowFactory) -> None:
    from oildrop.results.document import set_runs
    from oildrop.rules.summary import summarise

    given = [
        served(row, run_id=f"given-{rate:g}", rate_per_s=rate, values={"requests_per_s": rate}, seed_index=index)
        for index, rate in enumerate((5.0, 40.0))
    ]
    found = [
        served(
            row, run_id=f"found-{k}", rate_per_s=80.0 + k, parent_run_id="a-probe", values={"requests_per_s": 80.0 + k}
        )
        for k in range(2)
    ]
    summaries = summarise(set_runs([*given, *found]))
    assert [(one.rate_per_s, one.runs) for one in summaries] == [(None, 2), (40.0, 1), (5.0, 1)]
    assert [one.estimate for one in summaries] == [pytest.approx((80.0 * 81.0) ** 0.5), 40.0, pytest.approx(5.0)]
    assert all("never ranked" in str(one.reason) for one in summaries[1:])
    a, b = sides_of(given[0], given[1], [*given, *found])
    assert (len(a.runs), len(b.runs)) == (1, 1)
    assert "5 queries/s" in a.label and "40 queries/s" in b.label


def test_a_run_of_which_no_metric_has_a_value_says_so_and_why(tmp_path: Any, capsys: Capture) -> None:
    place = ["--store", str(tmp_path)]
    assert main(["run", "embed", "--tier", "smoke", "--backend", "jax-tpu", "--runs", "1", *place]) == 3
    capsys.readouterr()
    assert main(["show", "last", *place]) == 0
    shown = capsys.readouterr().out.splitlines()
    said = shown.index("No metric has a value: the run is unsupported (cannot run here).")
    assert shown[said - 1] == shown[said + 1] == "" and shown[said + 2].startswith("metric without a value")
    assert not any(line.startswith("metric ") and "value" in line.split()[1:2] for line in shown)


def test_a_judgement_that_lists_no_metric_says_so_and_what_to_do(row: RowFactory, capsys: Capture) -> None:
    print_metrics(screen(), row(run_id="old"), ())
    assert capsys.readouterr().out == (
        "This run has no metrics: its judgement (version 1) lists none; `oildrop check old` judges it again.\n"
    )
