"""Asking a module in a child: answers, hangs, deaths."""

from pathlib import Path

import pytest

from oildrop.harness.meters.isolation import Answer, ask_module
from oildrop.harness.meters.nvidia import describe_in_child


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(code: str, limit_s: float = 5.0) -> Answer:
        (tmp_path / "child_module.py").write_text(code)
        return ask_module("child_module", limit_s=limit_s)

    return run


def test_the_last_line_is_the_answer(ask) -> None:
    assert ask("print('noise')\nprint('{\"a\": 1}')") == Answer(value={"a": 1})


def test_a_module_that_hangs_is_ended_with_its_children(ask) -> None:
    sleep = "import time; time.sleep(60)"
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', '{sleep}'])\n{sleep}"
    assert ask(code, limit_s=0.3).reason == "child_module gave no answer within 0.3 s"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.abort()", "ended with signal 6 and no answer"),
        ("raise SystemExit(3)", "ended with exit status 3 and no answer"),
        ("pass", "ended with exit status 0 and no answer"),
        ("print('yes')", "not JSON"),
    ],
)
def test_a_module_that_dies_or_babbles(ask, code: str, reason: str) -> None:
    answer = ask(code)
    assert answer.value is None and reason in (answer.reason or "")


def test_the_nvidia_child_answers_or_says_why() -> None:
    answer = describe_in_child()
    assert (answer.value is None) == bool(answer.reason)
