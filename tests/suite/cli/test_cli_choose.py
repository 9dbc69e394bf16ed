"""`oildrop choose`: words to a question, the answer on the screen and as a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oildrop.results import ingest, views
from oildrop.results.costs import Economics, rates_of
from oildrop.results.rows import RunRow
from oildrop.rules.loading import load_rulebook
from oildrop.rules.loading_prices import load_prices
from oildrop.rules.prices import parse_price, prices_of
from oildrop.rules.records import Colocation
from oildrop.rules.system import Accelerator, System
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]
NOISE = (1.0, 1.03, 0.98, 1.01, 0.99)


def configuration(
    row: Callable[..., RunRow], name: str, times: list[float | None], scenario: str | None = None, **fields: Any
) -> list[RunRow]:
    """Runs of one workload; `None` for a crash."""
    settings = {"execution.dtype": name} | ({} if scenario is None else {"scenario.name": scenario})
    return [
        row(
            "ok" if time_s else "crash", time_s=time_s, run_id=f"{name}-{k}", seed=k, workload_id=name[0] * 16,
            settings=settings, **fields,
        )
        for k, time_s in enumerate(times)
    ]  # fmt: skip


@pytest.fixture
def listed(row: Callable[..., RunRow], monkeypatch: pytest.MonkeyPatch) -> list[RunRow]:
    """Three configurations on one machine: a fast one of which two runs crashed, a sure one, a slow one."""
    rows = [
        *configuration(row, "bf16", [10.0, 10.4, None, None, 10.2]),
        *configuration(row, "fp32", [20.0 * k for k in NOISE]),
        *configuration(row, "slow", [40.0 * k for k in NOISE[::-1]]),
        *configuration(row, "old", [1.0, 1.1], benchmark_sha256="c" * 64),
    ]
    monkeypatch.setattr(ingest, "refresh", lambda layout: [])
    monkeypatch.setattr(
        views, "list_runs", lambda layout, benchmark=None: [r for r in rows if benchmark in (None, r.spec.benchmark)]
    )
    return rows


def ask(capsys: Capture, *words: str) -> dict[str, Any]:
    code = main(["choose", "lm-pretrain", *words, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (2 if "error" in document else 0)
    if "answers" in document:
        [answer] = document.pop("answers")
        document |= answer
    return document


def test_each_scenario_has_an_answer_of_its_own(
    row: Callable[..., RunRow], listed: list[RunRow], capsys: Capture
) -> None:
    """Server is fastest in bf16 and offline in fp32; one table for both would compare unlike things."""
    seconds = {"offline": {"bf16": 8.0, "fp32": 4.0}, "server": {"bf16": 10.0, "fp32": 20.0}}
    for scenario, of_dtype in seconds.items():
        for dtype, time_s in of_dtype.items():
            times: list[float | None] = [time_s * k for k in NOISE]
            listed += configuration(row, f"{dtype}-{scenario}", times, benchmark="lm-generate", scenario=scenario)
    words = ["choose", "lm-generate", "--minimize", "time_to_target_s"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["answers"]
    assert {each["scenario"]: each["winner"] for each in found} == {
        "offline": "fp32-offline-0",
        "server": "bf16-server-0",
    }
    assert [len(each["entries"]) for each in found] == [2, 2]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.index("Scenario offline: ") < shown.index("Scenario server: ")
    assert main([*words, "--scenario", "server"]) == 0
    assert "Scenario" not in capsys.readouterr().out


def test_the_document_holds_the_whole_answer(listed: list[RunRow], capsys: Capture) -> None:
    found = ask(capsys, "--minimize", "time_to_target_s", "--min", "success_rate=0.9")
    assert (found["schema"], found["objective"], found["tier"]) == ("oildrop.choose/1", "time_to_target_s", "nano")
    assert [entry["key"] for entry in found["entries"]] == ["fp32-0", "slow-0"]
    assert found["winner"] == "fp32-0"
    assert found["frontier"] == ["fp32-0"]
    assert {each["key"]: each["why"] for each in found["left_out"]} == {"bf16-0": "constraint", "old-0": "unlike"}
    [rival] = found["rivals"]
    assert rival["told"] and rival["comparison"]["verdict"] == "a_better"
    assert found["pricing"]["table_date"] == "2026-11-28"
    assert found["configurations"]["fp32-0"]["price_per_hour"] is None


def test_runs_beside_another_are_not_chosen_from_with_those_alone(listed: list[RunRow], capsys: Capture) -> None:
    place = Colocation(experiment_id="e", pair=1, beside_run_id="r", beside_workload_id="w", beside="lm-generate nano")
    fast = [replace(row, spec=row.spec.model_copy(update={"colocation": place})) for row in listed[:5]]
    listed[:5] = fast
    found = ask(capsys, "--minimize", "time_to_target_s")
    assert found["winner"] == "fp32-0"
    reasons = {each["key"]: each["reason"] for each in found["left_out"]}
    assert reasons["bf16-0"] == "another track than that of the newest run"


def test_cost_counts_what_failed(listed: list[RunRow], capsys: Capture) -> None:
    """Every attempt took 30 s: at 120 an hour one costs 1, and three successes of five cost 5/3 each."""
    found = ask(capsys, "--minimize", "cost", "--price", "120EUR/h")
    costs = {entry["key"]: entry["values"]["cost_to_target"] for entry in found["entries"]}
    assert costs["fp32-0"]["value"] == pytest.approx(1.0)
    assert costs["bf16-0"]["value"] == pytest.approx(5 / 3)
    assert costs["bf16-0"]["unit"] == "EUR"
    assert found["winner"] in ("fp32-0", "slow-0")
    assert main(["choose", "lm-pretrain", "--minimize", "cost", "--price", "120EUR/h"]) == 0
    shown = capsys.readouterr().out
    assert "price: 120 EUR/h (stated with --price)" in shown
    assert "cannot be told from" in shown


def test_without_a_price_everything_is_left_out_and_says_so(listed: list[RunRow], capsys: Capture) -> None:
    assert main(["choose", "lm-pretrain", "--minimize", "cost"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "No configuration satisfies this" in shown
    assert "no price for system ssssssssssssssss: name one with --price" in shown


def test_nothing_within_the_bounds_is_an_answer_too(listed: list[RunRow], capsys: Capture) -> None:
    found = ask(capsys, "--minimize", "time_to_target_s", "--max", "time_to_target_s=1")
    assert found["winner"] is None and found["entries"] == []
    assert found["left_out"][0]["key"] == "bf16-0"
    assert found["sentence"].startswith("No configuration satisfies this; the nearest miss is ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--minimize", "time_to_targets"], "did you mean time_to_target_s"),
        (["--minimize", "ttft_s_p99"], "runs of kind to_target have no metric"),
        (["--maximize", "cost"], "use --minimize cost_to_target"),
        ([], "--minimize METRIC (or cost) or --maximize METRIC"),
        (["--minimize", "cost", "--maximize", "mfu"], "one of the two"),
        (["--minimize", "cost", "--max", "power_w"], "--max 'power_w' is not METRIC=NUMBER"),
        (["--minimize", "cost", "--max", "power_w=nan"], "is not METRIC=NUMBER"),
        (["--minimize", "cost", "--max", "powr_w=3"], "did you mean power_w"),
        (["--minimize", "cost", "--tier", "nanno"], "did you mean nano"),
        (["--minimize", "cost", "--price", "12"], "use 2.49/h"),
        (["--minimize", "cost", "--provider", "Lamda"], "Lambda"),
        (["--minimize", "cost", "--grid", "Frence"], "France"),
        (["--minimize", "cost", "--price", "1EUR/h", "--electricity", "0.3/kWh"], "give both in one currency"),
        (
            ["--minimize", "cost", "--scenario", "server"],
            "lm-pretrain nano have no scenario; leave --scenario server out",
        ),
        (["--minimize", "cost", "--prices", "/nonexistent.toml"], "No such file"),
    ],
)
def test_wrong_words_name_value_limit_and_fix(
    words: list[str], told: str, listed: list[RunRow], capsys: Capture
) -> None:
    assert told in ask(capsys, *words)["error"]["message"]


def test_an_unknown_benchmark_and_an_empty_store(tmp_path: Path, capsys: Capture) -> None:
    assert main(["choose", "lm-pretrian", "--minimize", "cost", "--store", str(tmp_path)]) == 2
    assert "lm-pretrain" in capsys.readouterr().err
    assert main(["choose", "lm-pretrain", "--minimize", "cost", "--store", str(tmp_path)]) == 2
    assert "there is no run of lm-pretrain to choose from" in capsys.readouterr().err


def test_a_part_has_the_tables_price_times_its_devices(row: Callable[..., RunRow], machine: System) -> None:
    rulebook, economics = load_rulebook(), Economics(prices=prices_of(load_prices().rows, provider="AWS"))
    accelerator = Accelerator(
        vendor="NVIDIA",
        model="NVIDIA H100 80GB HBM3",
        device_id="a",
        memory_bytes=None,
        power_limit_w=None,
        driver=None,
    )
    gpu = machine.model_copy(update={"accelerators": (accelerator,) * 8})

    def rates(price: str | None = None, **fields: Any) -> Any:
        settings = {"execution.devices": 2, **fields.pop("settings", {})}
        plain = row(backend=fields.pop("backend", "torch-cuda"), settings=settings)
        found = RunRow(spec=plain.spec, system=gpu, judgement=plain.judgement, digest=plain.digest, sealed=True,
                       bundle_id=None)  # fmt: skip
        stated = [parse_price(price, ["s" * 16])] if price else []
        prices = prices_of(load_prices().rows, stated, provider="AWS") if stated else economics.prices
        return rates_of(found, Economics(prices=prices, electricity_per_kwh=0.3), rulebook)

    assert rates().per_hour == pytest.approx(55.04 / 8 * 2)
    assert rates().electricity_per_kwh is None  # a rent holds it
    assert rates(backend="torch-cpu").why == "no price for system ssssssssssssssss: name one with --price"
    assert rates("9/h").per_hour == pytest.approx(9.0)
    assert rates("9/h").electricity_per_kwh == 0.3
    assert "another machine" in rates(settings={"execution.prefill_machine": "other"}).why
