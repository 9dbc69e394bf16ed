"""The child that compiles: what is asked of it, and what a silent, dying or babbling one becomes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from oildrop.harness import compile_child
from oildrop.harness.compile_child import NO_CHIP_NEEDED, ask_compiler
from oildrop.harness.meters.isolation import Answer
from oildrop.workloads.partition import Mesh


def ask(limit_s: float = 20.0) -> Answer:
    return ask_compiler("task", {"a": 1}, Mesh(data=2), topology="v5e:2x2", chip_config="", limit_s=limit_s)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a module in the child's place."""

    def put(body: str) -> None:
        (tmp_path / "stand_in.py").write_text(f"import json, os, signal, sys, time\n{body}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(compile_child, "MODULE", "stand_in")

    return put


def test_the_report_is_the_last_line(stand_in) -> None:
    stand_in("print('libtpu says hello'); print(json.dumps({'report': {'request': json.loads(sys.argv[1])}}))")
    request = ask().value["request"]
    folder = request.pop("folder")
    assert request == {
        "task": "task", "settings": {"a": 1}, "mesh": {"data": 2, "model": 1, "sharded": False},
        "topology": "v5e:2x2", "chip_config": "",
    }  # fmt: skip
    assert not Path(folder).exists()  # the program's text is not left behind


def test_a_child_that_hangs_is_ended_at_the_limit_with_its_own_children(stand_in, tmp_path: Path) -> None:
    stand_in(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    start = time.monotonic()
    assert "no answer within 3 s" in str(ask(limit_s=3.0).reason)
    assert time.monotonic() - start < 10
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGABRT)", "signal 6"),
        ("sys.exit(1)", "exit status 1"),
        ("print('no JSON')", "not JSON"),
        ("print('[1, 2]')", "something else than was asked"),
        ("print('3')", "something else than was asked"),
        ("print(json.dumps({'reason': 'JaxRuntimeError: INTERNAL: x'}))", "JaxRuntimeError: INTERNAL: x"),
    ],
)
def test_what_is_no_report_is_a_reason(stand_in, body: str, reason: str) -> None:
    stand_in(body)
    answer = ask()
    assert answer.value is None and reason in str(answer.reason)


def test_an_error_of_the_framework_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that JAX's side cannot serve ends as words, not as a traceback."""
    for name in NO_CHIP_NEEDED:
        monkeypatch.delenv(name, raising=False)
    bad = {"task": "task", "settings": {}, "mesh": {"data": 1}, "topology": "none", "chip_config": "", "folder": "."}
    answer = ask_module_for(bad)
    assert "reason" in answer and "Error" in answer["reason"]


def ask_module_for(request: dict[str, object]) -> dict[str, str]:
    from oildrop.harness.meters.isolation import ask_module

    value: dict[str, str] = ask_module(compile_child.MODULE, json.dumps(request), limit_s=60).value
    return value
