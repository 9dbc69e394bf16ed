"""Settings each of which is allowed and which together describe nothing: refused, or the run is `unsupported`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.harness import worker
from oildrop.harness.messages import Emitter
from oildrop.rules import keys
from oildrop.rules.errors import UsageError
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]

OPEN = ["--division", "open", "--backend", "torch-cpu", "--runs", "1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["lm-pretrain", "--tier", "smoke", "--set", "model.heads=3"],
            "model.width = 128: must be a multiple of 2 * model.heads = 6; change one of the two",
        ),
        (
            ["lm-generate", "--set", "weights.source=random", "--set", "model.heads=3"],
            "model.width = 128: must be a multiple of 2 * model.heads = 6; change one of the two",
        ),
        (
            ["lm-generate", "--set", "data.manifest=books"],
            "data.manifest = books: lm-generate asks in the generated language alone; leave it empty",
        ),
        (["embed", "--tier", "smoke", "--set", "data.first_word=1000000"], "data.first_word is 1000000: it must lie"),
        (["lm-pretrain", "--tier", "smoke", "--set", "model.key_value_heads=3"], "a multiple of model.key_value_heads"),
    ],
)
@pytest.mark.parametrize("how", [[], ["--dry-run"]])
def test_what_settings_alone_show_is_refused_before_a_run_is_opened(
    words: list[str], said: str, how: list[str], tmp_path: Path, capsys: Capture
) -> None:
    store = tmp_path / "store"
    assert main(["run", *words, *OPEN, *how, "--store", str(store)]) == 2
    printed = capsys.readouterr().err
    assert said in " ".join(printed.split()) and "Traceback" not in printed
    assert not store.exists()


def test_what_only_the_worker_finds_ends_as_unsupported_in_its_words(tmp_path: Path, capsys: Capture) -> None:
    words = ["run", "lm-pretrain", "--tier", "smoke", *OPEN, "--set", "data.manifest=books", "--store", str(tmp_path)]
    assert main([*words, "--json"]) == 3
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    # Text in bytes needs the 256 bytes and a start token; the tier's language has 256 tokens.
    assert (run["outcome"], run["reason"]) == (
        "unsupported",
        "the model has 256 tokens, text in bytes needs 257: set model.vocabulary to 257 or more",
    )


@pytest.mark.parametrize("only", [None, frozenset((keys.OUTCOME,))])
def test_a_refusal_after_the_clock_started_is_a_crash(
    only: frozenset[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(started: bool) -> Any:
        def run(spec: Any, orders: Any, emitter: Emitter, heartbeat: Any) -> None:
            if started:
                emitter.emit(keys.RUN_START)
            raise UsageError("40 tokens: 32 fit; ask for fewer")

        return lambda spec: run

    spec, nothing = SimpleNamespace(backend="torch-cpu"), SimpleNamespace()
    claims = []
    for started in (False, True):
        monkeypatch.setattr(worker, "_run_of", refuse(started))
        emitter = Emitter(-1, only=only)
        claims.append(worker._attempt(spec, nothing, emitter, nothing))  # type: ignore[arg-type]
    assert claims == [
        ("unsupported", "40 tokens: 32 fit; ask for fewer"),
        ("crash", "UsageError: 40 tokens: 32 fit; ask for fewer"),
    ]
