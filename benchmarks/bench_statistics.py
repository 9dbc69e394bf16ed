"""How long the statistics of 100,000 runs take: estimates, intervals and ranks of all their configurations."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence

from pairs import mean_row
from table import Row

from oildrop.results.collector import collector_paused
from oildrop.rules.ranks import rank_intervals
from oildrop.rules.set_runs import SetRun
from oildrop.rules.summary import summarise

RUNS, BOARDS, RUNS_EACH = 100_000, 20, 10
REPEATS = 3
FAILING = 0.2
"""Share of configurations in which runs fail."""


def main() -> list[Row]:
    """Seconds of processor time, runs at hand and the cycle collector paused, as where pages are built."""
    boards = _boards()
    runs = [run for board in boards for group in board for run in group]
    with collector_paused():
        times_s = [_statistics_s(runs, boards) for _ in range(1 + REPEATS)][1:]
    return [mean_row(f"statistics of {RUNS} runs, {BOARDS} boards, processor time", times_s, "s", at_most=2.0)]


def _statistics_s(runs: Sequence[SetRun], boards: Sequence[Sequence[Sequence[SetRun]]]) -> float:
    start = time.process_time()
    summarise(runs)
    for board in boards:
        rank_intervals(board)
    return time.process_time() - start


def _boards() -> list[list[list[SetRun]]]:
    dice = random.Random(20261128)
    each = RUNS // BOARDS // RUNS_EACH
    return [[_configuration(dice, board, place) for place in range(each)] for board in range(BOARDS)]


def _configuration(dice: random.Random, board: int, place: int) -> list[SetRun]:
    """Ten runs on one of forty systems, in one to three sessions."""
    middle_s, failing = 20 * math.exp(dice.gauss(0, 0.6)), dice.random() < FAILING
    return [
        _run(dice, board, place, seed, middle_s, failed=failing and dice.random() < 0.4) for seed in range(RUNS_EACH)
    ]


def _run(dice: random.Random, board: int, place: int, seed: int, middle_s: float, *, failed: bool) -> SetRun:
    time_s = middle_s * math.exp(dice.gauss(0, 0.03))
    return SetRun(
        benchmark=f"benchmark-{board}", tier="nano", backend="torch-cpu", division="closed", workload_id=f"w{place}",
        system_id=f"s{place % 40}", software_id="f", set_id=f"set-{place}", outcome="crash" if failed else "ok",
        seeds_chosen=False, kind="to_target", value=None if failed else time_s, elapsed_s=time_s + 5.0, seed=seed,
        session_id=f"{place}-{seed % (1 + place % 3)}",
    )  # fmt: skip


if __name__ == "__main__":
    for row in main():
        print(row)
