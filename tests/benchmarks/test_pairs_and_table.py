"""The runner of the benchmarks: order of pairs, intervals by hand, verdicts, exit status."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch):
    """`pairs` and `table` as the scripts see them, forgotten again afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pairs
    import table

    yield pairs, table
    for name in ("pairs", "table"):
        sys.modules.pop(name)


def test_members_of_a_pair_take_turns_in_going_first(modules) -> None:
    pairs, _ = modules
    calls: list[str] = []

    def measure(name: str, value: float):
        def call() -> float:
            calls.append(name)
            return value

        return call

    first, second = pairs.interleaved(measure("a", 1.0), measure("b", 2.0), pairs=3, warm_up=1)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert (first, second) == ([1.0] * 3, [2.0] * 3)


def test_one_pair_is_refused(modules) -> None:
    with pytest.raises(ValueError, match="pairs = 1"):
        modules[0].interleaved(lambda: 1.0, lambda: 1.0, pairs=1)


def test_ratio_interval_is_students_t_on_log_ratios(modules) -> None:
    pairs, _ = modules
    row = pairs.ratio_row("x", [2.0, 8.0, 4.0], [1.0, 2.0, 2.0], at_least=0.98)
    # Log ratios in units of ln 2: 1, 2, 1. Mean 4/3, standard error sqrt(1/3)/sqrt(3) = 1/3; t(0.975, 2) = 4.302653.
    assert row.value == pytest.approx(2 ** (4 / 3), rel=1e-12)
    assert row.low == pytest.approx(math.exp(math.log(2) * (4 - 4.302653) / 3), rel=1e-6)
    assert row.high == pytest.approx(math.exp(math.log(2) * (4 + 4.302653) / 3), rel=1e-6)
    assert row.count == 3


def test_mean_needs_two_values(modules) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        modules[0].mean_row("x", [1.0], "s")


@pytest.mark.parametrize(
    ("low", "high", "at_least", "at_most", "expected"),
    [
        (0.98, 1.02, 0.98, None, True),
        (0.97, 1.02, 0.98, None, None),
        (0.90, 0.97, 0.98, None, False),
        (18.0, 20.0, None, 20.0, True),
        (18.0, 21.0, None, 20.0, None),
        (20.5, 21.0, None, 20.0, False),
        (0.5, 2.0, 0.98, 1.02, None),
    ],
)
def test_bound_holds_only_for_the_whole_interval(modules, low, high, at_least, at_most, expected) -> None:
    middle = (low + high) / 2
    row = modules[1].Row(
        name="x", value=middle, low=low, high=high, unit="1", count=9, at_least=at_least, at_most=at_most
    )
    assert row.holds is expected


def test_interval_that_misses_its_estimate_is_refused(modules) -> None:
    with pytest.raises(ValueError, match="outside its interval"):
        modules[1].Row(name="x", value=3.0, low=1.0, high=2.0, unit="s", count=2)


def run_all(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    for name in ("run_all.py", "table.py", "pairs.py"):
        (folder / name).write_text((BENCHMARKS / name).read_text())
    command = [sys.executable, "-P", str(folder / "run_all.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


GOOD = """
from pairs import mean_row
from table import Row

def main():
    return [mean_row("steady thing", [2.0, 2.01], "s", at_most=3.0)]
"""


def test_table_tells_rows_and_verdicts_and_failures_set_the_exit_status(tmp_path: Path) -> None:
    (tmp_path / "bench_good.py").write_text(GOOD)
    good = run_all(tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    assert "steady thing" in good.stdout
    assert "holds" in good.stdout

    (tmp_path / "bench_slow.py").write_text(GOOD.replace("steady", "slow").replace("3.0", "1.0"))
    (tmp_path / "bench_broken.py").write_text("def main():\n    raise OSError('no disk')")
    slow = run_all(tmp_path, "slow")
    assert slow.returncode == 1
    assert "FAILS" in slow.stdout
    broken = run_all(tmp_path, "good", "broken")
    assert broken.returncode == 1
    assert "no disk" in broken.stderr
    assert "steady thing" in broken.stdout
    assert "bench_broken ended with an error" in broken.stdout


def test_unknown_word_is_an_error(tmp_path: Path) -> None:
    result = run_all(tmp_path, "nothing-like-it")
    assert result.returncode == 1
    assert "nothing-like-it" in result.stdout
