"""Measuring in a child process: what it answers, what is skipped with its reason, and what is an error."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
OURS = ("in_child", "our_loop", "pairs", "table")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`module(name)`: a script's module as the scripts see it, forgotten again afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module
    for name in OURS:
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_harness_and_bare_loop_are_measured_in_pairs(module: Any) -> None:
    ours, bare = module("in_child").measured("x", "harness_cost", "torch", 3, 2)
    assert len(ours) == len(bare) == 2 and min(ours + bare) > 0


@pytest.mark.slow
def test_without_a_compiler_the_compiled_loops_are_skipped_and_the_table_says_why(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    skipped = module("in_child").measured("compiled loops", "against_plain_compiled", "torch", 1, 2)
    assert "needs a C++ compiler: none of no-such-compiler is on PATH" in skipped.reason
    out = io.StringIO()
    module("table").print_table([skipped], Console(file=out, width=400))
    row = next(line for line in out.getvalue().splitlines() if "compiled loops" in line)
    assert "no-such-compiler" in row and row.rstrip("│ ").endswith("skipped")


def test_a_child_that_fails_is_a_broken_figure_and_the_others_are_measured(
    module: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = module("in_child").measured("decoding", "nothing-like-it", "torch")
    assert isinstance(broken, module("table").Broken) and broken.reason == "ended with 1: KeyError: 'nothing-like-it'"
    assert "nothing-like-it torch ended with 1" in capfd.readouterr().err
    out = io.StringIO()
    module("table").print_table([broken], Console(file=out, width=400))
    row = next(line for line in out.getvalue().splitlines() if "decoding" in line)
    assert row.rstrip("│ ").endswith("BROKEN")


def test_blocks_keeps_the_edges_of_blocks_and_hands_every_event_on(module: Any) -> None:
    inner = module("our_loop").Blocks()
    outer = module("our_loop").Blocks(sink=inner)
    outer.emit("run_start", at_ns=1)
    outer.emit("block_start", None, {"samples": 0}, at_ns=5)
    outer.emit("block_stop", at_ns=9)
    outer.flush()
    assert outer.marks_ns == inner.marks_ns == [5, 9]
