"""`oildrop plan --compile`: one document, the same in words, and usage errors; a stand-in answers for the compiler."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oildrop.harness.meters.isolation import Answer
from oildrop.rules.errors import Unsupported
from oildrop.suite import plan_compile
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]

SAID = {
    "device_kind": "TPU v5 lite",
    "chips": 4,
    "jax": "0.10.2",
    "libtpu": "0.0.52",
    "lower_s": 1.0,
    "compile_s": 75.0,
}
FOUND = SAID | {
    "memory": {"code": 2**20, "arguments": 3 * 2**20, "outputs": 2**21, "aliased": 2**21, "temporaries": 2**20},
    "xla": {"flop": 1e12, "moved_bytes": 2**30},
    "collectives": {"all-reduce": 3, "all-gather": 0},
}


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answers `answers[0]` to everybody, and keeps what it was asked in the rest of the list."""
    answers: list[dict[str, Any]] = [FOUND]

    def ask(task: str, settings: Any, mesh: Any, **named: Any) -> Answer:
        answers.append({"mesh": str(mesh), **named})
        reason = answers[0].get("reason")
        return Answer(reason=reason) if reason else Answer(value=answers[0])

    monkeypatch.setattr(plan_compile.compile_plan, "__kwdefaults__", {"ask": ask})
    monkeypatch.setattr(plan_compile, "require_compiler", lambda: None)
    return answers


def call(capsys: Capture, *words: str, code: int = 0) -> tuple[str, str]:
    assert main(["plan", "lm-pretrain", *words]) == code
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_the_document_holds_the_compilers_answer_and_ours(capsys: Capture, compiler: list[dict[str, Any]]) -> None:
    found = json.loads(call(capsys, "--tier", "small", "--compile", "tpu:v5e-4", "--json")[0])
    assert found["schema"] == "oildrop.plan-compile/1"
    assert (found["tier"], found["division"], found["dtype"]) == ("small", "closed", "bf16")
    assert (found["target"], found["device"], found["chips"]) == ("tpu:v5e-4", "Google TPU v5e", 4)
    assert found["mesh"] == {"data": 4, "model": 1, "sharded": False}
    assert found["memory"]["total"] == 5 * 2**20 and found["fits"] is True
    assert (found["xla_flop_per_step"], found["compile_s"]) == (4e12, 75.0)


def test_words_say_what_is_the_compilers_and_what_is_ours(capsys: Capture, compiler: list[dict[str, Any]]) -> None:
    shown = call(capsys, "--tier", "small", "--compile", "tpu:v5e-4")[0]
    for words in ("v5e:2x2: 4 chips Google TPU v5e", "jax 0.10.2, libtpu 0.0.52", "1 min 15 s", "5 MiB", "16 GiB",
                  "it fits", "enter nothing", "a step: 3 all-reduce", "at 100 % MFU", "provisional"):  # fmt: skip
        assert words in shown


def test_not_fitting_is_an_answer(capsys: Capture, compiler: list[dict[str, Any]]) -> None:
    compiler[0] = SAID | {"refused": "RESOURCE_EXHAUSTED: 26.09G exceeds 15.75G"}
    shown = call(capsys, "--tier", "base", "--compile", "tpu:v5e-4")[0]
    assert "it does not fit: RESOURCE_EXHAUSTED: 26.09G exceeds 15.75G" in shown
    assert "more chips: --compile tpu:v5e-16" in shown
    assert "not counted, no program was made" in shown


def test_mesh_state_and_limit_reach_the_compiler(capsys: Capture, compiler: list[dict[str, Any]]) -> None:
    shown = call(capsys, "--compile", "tpu:v4-8", "--mesh", "data=2,model=2", "--timeout", "7")[0]
    assert compiler[1] == {"mesh": "data=2,model=2", "topology": "v4:2x2x1", "chip_config": "megacore", "limit_s": 7.0}
    assert "can be compiled only" in shown and "no fp32 peak" in shown


def test_a_silent_compiler_is_an_error_that_names_the_limit(capsys: Capture, compiler: list[dict[str, Any]]) -> None:
    compiler[0] = {"reason": "gave no answer within 7 s"}
    assert "no answer within 7 s" in call(capsys, "--compile", "tpu:v5e-4", "--timeout", "7", code=1)[1]


def test_without_libtpu_the_install_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise Unsupported("nothing can be compiled for a TPU: pip install 'oildrop[jax,tpu]'")

    monkeypatch.setattr(plan_compile, "require_compiler", missing)
    assert "pip install 'oildrop[jax,tpu]'" in call(capsys, "--compile", "tpu:v5e-4", code=1)[1]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--compile", "tpu:v5e-3"], "tpu:v5e-4"),
        (["--compile", "tpu:v5e-4", "--mesh", "data=3"], "the slice has 4"),
        (["--compile", "tpu:v5e-4", "--device", "NVIDIA H200"], "leave --device and --devices out"),
        (["--compile", "tpu:v5e-4", "--devices", "4"], "leave --device and --devices out"),
        (["--compile", "tpu:v5e-4", "--timeout", "0"], "--timeout 0"),
        (["--mesh", "data=4"], "--compile tpu:v5e-4"),
    ],
)
def test_a_wrong_word_is_a_usage_error(words: list[str], offered: str, capsys: Capture) -> None:
    assert offered in call(capsys, *words, code=2)[1]
