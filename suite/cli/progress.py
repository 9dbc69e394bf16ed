"""What a person sees while runs are made: a live status on a terminal, else one line a finished run."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from oildrop.suite.cli.headlines import arrivals, how_answered, what_came_of, what_was_run
from oildrop.suite.cli.numbers import count, show_duration, show_number
from oildrop.suite.cli.output import outcome_text, screen
from oildrop.suite.cli.remaining import expected_train_s, run_left_s, set_left_s

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from oildrop.results.rows import RunRow
    from oildrop.rules.records import RunSpec
    from oildrop.suite.planning import PlannedSet

REFRESH_S = 0.5
"""Least time between two drawings: the terminal shares its processor with what is measured."""

Clock = Callable[[], float]


def make_progress(console: Console, sets: int) -> LineProgress:
    """The progress that fits `console`: live on a terminal, lines elsewhere."""
    return LiveProgress(console, sets) if console.is_terminal else LineProgress(console, sets)


class LineProgress:
    """One line a finished run, and messages; nothing else."""

    def __init__(self, console: Console, sets: int) -> None:
        self.console = console
        self.sets = sets
        self.set_number = 0
        self.planned: PlannedSet | None = None
        self.number = 0
        self.total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def set_started(self, planned: PlannedSet) -> None:
        """A set of runs of one configuration begins."""
        self.set_number += 1
        self.planned = planned
        if planned.unsupported_reason:
            self.message(f"{planned.benchmark} {planned.tier} on {planned.backend}: {planned.unsupported_reason}")

    def run_started(self, spec: RunSpec, number: int, total: int) -> None:
        """Run `number` of `total` of this set begins."""
        self.number, self.total = number, total

    def phase(self, name: str) -> None:
        """The run enters a phase."""

    def trained(
        self,
        samples: int,
        cap_samples: int | None,
        quality: float | None,
        target: float | None,
        elapsed_s: float,
        expected_s: float | None,
    ) -> None:
        """The run got further; `elapsed_s` and `expected_s` are seconds of training."""

    def served(self, answered: int, elapsed_s: float) -> None:
        """The run got further; `elapsed_s` seconds of serving."""

    def run_ended(self, row: RunRow) -> None:
        """A run is judged: one line says how it ended."""
        self.console.print(ended_line(row, self.number, self.total, self.set_number, self.sets))

    def message(self, text: str) -> None:
        """Something that a person should know."""
        self.console.print(text)


def ended_line(row: RunRow, number: int, total: int, set_number: int = 1, sets: int = 1) -> Text:
    """One finished run in one line, with its place among several sets."""
    spec = row.spec
    line = outcome_text(row.outcome)
    place = f"set {set_number} of {sets}, " if sets > 1 else ""
    line.append(f"  {what_was_run(spec)}  {place}{number_text(spec, number, total)}", style="default")
    line.append(f"  {what_came_of(row)}", style="default")
    line.append(f"  {row.run_id}", style="dim")
    return line


def number_text(spec: RunSpec, number: int, total: int) -> str:
    """`run 2 of 3`, or of a search `probe 2 of at most 4`."""
    return f"probe {number} of at most {total}" if spec.kind == "probe" else f"run {number} of {total}"


class LiveProgress(LineProgress):
    """A status of three lines, redrawn in place, under the lines of finished runs."""

    def __init__(self, console: Console, sets: int, clock: Clock = time.monotonic) -> None:
        super().__init__(console, sets)
        self._clock = clock
        self._drawn_s = float("-inf")
        self._started_s = clock()
        self._took_s: list[float] = []
        self._usual_samples: float | None = None
        self._where = self._how_far = self._left = ""
        from rich.live import Live

        # No thread of its own: it would wake up inside timed steps.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def set_started(self, planned: PlannedSet) -> None:
        super().set_started(planned)
        self._took_s = []

    def run_started(self, spec: RunSpec, number: int, total: int) -> None:
        super().run_started(spec, number, total)
        self._started_s = self._clock()
        self._usual_samples = usual_samples(spec)
        words = ", ".join(words for words in (arrivals(spec), how_answered(spec)) if words)
        self._where = (
            f"{spec.benchmark} {spec.tier}{f' {words}' if words else ''} on {spec.backend}, "
            f"set {self.set_number} of {self.sets}, {number_text(spec, number, total)}"
        )
        self._how_far = self._left = ""

    def phase(self, name: str) -> None:
        if name not in ("train", "eval"):
            self._how_far = f"{name} …"
            self._draw(now=True)

    def trained(
        self,
        samples: int,
        cap_samples: int | None,
        quality: float | None,
        target: float | None,
        elapsed_s: float,
        expected_s: float | None,
    ) -> None:
        self._how_far = how_far(samples, cap_samples, quality, target)
        whole_s = expected_train_s(
            samples=samples, elapsed_s=elapsed_s, usual_samples=self._usual_samples, reference_s=expected_s
        )
        run_left = run_left_s(elapsed_s, whole_s)
        set_left = set_left_s(
            run_left=run_left,
            run_wall_s=self._clock() - self._started_s,
            runs_after=self.total - self.number,
            took_s=self._took_s,
        )
        self._left = what_is_left(elapsed_s, run_left, set_left, overdue=whole_s is not None and run_left is None)
        self._draw()

    def served(self, answered: int, elapsed_s: float) -> None:
        self._how_far = f"serve: {count(answered, 'request')} answered"
        run_left = run_left_s(elapsed_s, self.planned.expected_s if self.planned else None)
        self._left = what_is_left(elapsed_s, run_left, None)
        self._draw()

    def run_ended(self, row: RunRow) -> None:
        self._took_s.append(self._clock() - self._started_s)
        self._how_far = self._left = ""
        self._draw(now=True)
        super().run_ended(row)

    def _draw(self, *, now: bool = False) -> None:
        time_s = self._clock()
        if now or time_s - self._drawn_s >= REFRESH_S:
            self._drawn_s = time_s
            self._live.update(self._status(), refresh=True)

    def _status(self) -> Any:
        from rich.text import Text

        lines = [line for line in (self._where, self._how_far, self._left) if line]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def how_far(samples: int, cap_samples: int | None, quality: float | None, target: float | None) -> str:
    """`41,000 of at most 120,000 samples, quality 0.612 (target 0.5)`."""
    words = f"train: {show_number(samples)}"
    words += " samples" if cap_samples is None else f" of at most {show_number(cap_samples)} samples"
    if quality is not None:
        words += f", quality {show_number(quality)}"
    return words if target is None else f"{words} (target {show_number(target)})"


def what_is_left(elapsed_s: float, run_left: float | None, set_left: float | None, *, overdue: bool = False) -> str:
    """`12 s so far; about 9 s left, the set about 1 min 10 s`."""
    words = f"{show_duration(elapsed_s)} so far"
    if run_left is not None:
        words += f"; about {show_duration(run_left)} left"
    elif overdue:
        words += ", longer than usual"
    return words if set_left is None else f"{words}, the set about {show_duration(set_left)}"


def usual_samples(spec: RunSpec) -> float | None:
    """Mean samples to target of the reference runs of `spec`'s tier; None where there are none."""
    from oildrop.rules.loading import load_rulebook

    reference = load_rulebook().reference_of(spec.benchmark, spec.tier)
    return fmean(reference.samples_to_target) if reference is not None else None


def stderr_console() -> Console:
    """The console on which progress is shown, so that stdout holds results alone."""
    import sys

    return screen(sys.stderr)
