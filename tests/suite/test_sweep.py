"""Shapes of a sweep as settings, and its table from runs that were made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oildrop.results.layout import StoreLayout
from oildrop.rules.errors import UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.suite.cli.main import main
from oildrop.suite.planning import plan
from oildrop.suite.request import RunRequest
from oildrop.suite.sweep import Cell, cell_of, cells_of, changes_of

GENERATE = load_rulebook().benchmarks["lm-generate"]
Capture = pytest.CaptureFixture[str]


def changes(prompt: int, output: int, batch: int = 1, depth: int = 0, **asked: str) -> dict[str, str]:
    cell = Cell(prompt_tokens=prompt, output_tokens=output, batch=batch, depth_tokens=depth)
    return changes_of(cell, GENERATE, "nano", weights="random", asked=asked)


def test_every_combination_is_a_cell() -> None:
    cells = cells_of((128, 512), (128,), (1, 4, 16))
    assert [(cell.prompt_tokens, cell.output_tokens, cell.batch) for cell in cells] == [
        (128, 128, 1), (128, 128, 4), (128, 128, 16), (512, 128, 1), (512, 128, 4), (512, 128, 16),
    ]  # fmt: skip


def test_a_cell_fixes_lengths_batch_and_slots() -> None:
    found = changes(8, 16, 4)
    assert found == {
        "scenario.name": "concurrency", "weights.source": "random",
        "requests.prompt_tokens_min": "8", "requests.prompt_tokens_max": "8",
        "requests.output_tokens_min": "16", "requests.output_tokens_max": "16",
        "requests.depth_tokens": "0",
        "scenario.concurrency": "4", "execution.slots": "4", "data.document_tokens": "64",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "output", "document"),
    [(32, 33, "64"), (33, 33, "512"), (128, 128, "512"), (512, 1, "512"), (512, 2, "2048"), (4000, 97, "4096")],
)
def test_the_document_is_the_shortest_that_holds_both_with_its_start_token(
    prompt: int, output: int, document: str
) -> None:
    assert changes(prompt, output)["data.document_tokens"] == document


def test_lengths_that_no_document_holds_are_refused_with_the_limit() -> None:
    with pytest.raises(UsageError, match=r"--prefill 32700 and --decode 128 make 32828 tokens.*holds 32769"):
        changes(32700, 128)
    with pytest.raises(UsageError, match=r"--depth 32000, --prefill 700 and --decode 128 make 32828 tokens"):
        changes(700, 128, depth=32000)


@pytest.mark.parametrize(("depth", "document"), [(0, "64"), (16, "64"), (17, "512"), (448, "512"), (4096, "8192")])
def test_the_document_holds_the_depth_too(depth: int, document: str) -> None:
    found = changes(33, 16, depth=depth)
    assert (found["requests.depth_tokens"], found["data.document_tokens"]) == (str(depth), document)


def test_long_documents_are_assessed_as_at_the_larger_tiers_unless_asked_otherwise() -> None:
    assert "assess.most" not in changes(8, 16)
    assert changes(512, 128)["assess.reference"] == "fp32"
    assert "assess.reference" not in changes(512, 128, **{"assess.reference": "float64"})


def test_prefill_alone_and_decode_alone_are_cells() -> None:
    prefill, decode, deep = cells_of((512,), (0,), (1,)) + cells_of((0,), (128,), (4,), (0, 4096))
    assert (prefill.prompt_tokens, prefill.output_tokens, prefill.test) == (512, 1, "pp512")
    # The first token of an answer comes from its prompt, so that 128 decoded ones are the rest of 129.
    assert (decode.prompt_tokens, decode.output_tokens, decode.test) == (1, 129, "tg128")
    assert (deep.depth_tokens, deep.test) == (4096, "tg128 @ d4096")
    assert changes(1, 129)["requests.prompts"] == "repeated"
    with pytest.raises(UsageError, match="leave nothing to measure"):
        cells_of((0,), (0,), (1,))


def test_all_requests_at_once_are_scenario_offline(tmp_path: Path, capsys: Capture) -> None:
    words = ["--prefill", "8", "--decode", "8", "--batch", "2", "--depth", "16", "--scenario", "offline"]
    place = ["--backend", "torch-cpu", "--store", str(tmp_path / "store")]
    assert main(["sweep", "lm-generate", *words, *place, "--dry-run", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["sets"]
    settings = one["runs"][0]["settings"]
    assert (settings["scenario.name"], settings["requests.depth_tokens"], settings["execution.slots"]) == (
        "offline", 16, 2,
    )  # fmt: skip


def test_what_a_sweep_sets_cannot_be_set_beside_it() -> None:
    with pytest.raises(UsageError, match=r"execution\.slots=3: a sweep sets this itself"):
        changes(8, 8, **{"execution.slots": "3"})


def test_a_benchmark_without_shapes_is_refused_by_name() -> None:
    pretrain = load_rulebook().benchmarks["lm-pretrain"]
    with pytest.raises(UsageError, match="lm-pretrain has no setting"):
        changes_of(Cell(prompt_tokens=8, output_tokens=8, batch=1), pretrain, "nano", weights="random", asked={})


def test_each_cell_is_a_set_of_its_own_in_division_open(tmp_path: Path) -> None:
    variants = tuple(changes(8, 8, batch) for batch in (1, 2))
    request = RunRequest(benchmarks=("lm-generate",), backend="torch-cpu", runs=1, division="open", variants=variants)
    sets = plan(request, StoreLayout(tmp_path / "store"))
    assert [cell_of(one.specs[0]).batch for one in sets] == [1, 2]
    assert [len(one.specs) for one in sets] == [1, 1]
    assert len({one.specs[0].workload_id for one in sets}) == 2
    assert "--set requests.prompt_tokens_min=8" in " ".join(sets[0].specs[0].command)


def test_a_dry_run_shows_each_cell(tmp_path: Path, capsys: Capture) -> None:
    store = tmp_path / "store"
    words = ["--prefill", "8,16", "--decode", "8", "--batch", "1,2", "--backend", "torch-cpu", "--store", str(store)]
    assert main(["sweep", "lm-generate", *words, "--dry-run", "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    settings = [one["runs"][0]["settings"] for one in document["sets"]]
    assert [(one["requests.prompt_tokens_max"], one["execution.slots"]) for one in settings] == [
        (8, 1), (8, 2), (16, 1), (16, 2),
    ]  # fmt: skip
    assert not store.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch", "0"], "--batch '0'"),
        (["--prefill", "a"], "--prefill 'a'"),
        (["--depth", "-1"], "--depth '-1'"),
        (["--scenario", "server"], "unknown scenario 'server'"),
        (["--weights", "mine"], "weights.source = 'mine'"),
        (["--tier", "vast"], "unknown tier 'vast'"),
    ],
)
def test_a_wrong_call_is_refused_in_words(words: list[str], said: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["sweep", "lm-generate", *words, "--store", str(tmp_path / "store")]) == 2
    assert said in capsys.readouterr().err
