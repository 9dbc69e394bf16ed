"""Make reference points: `python -m oildrop.ci.convergence BENCHMARK --store DIR --points 8:torch-cpu:fp32:20 …`.

Starts the `oildrop` executable for the rulebook's own seeds at each batch size, on each backend and in each dtype of
the plan. Stopped and started again it goes on where it was: runs that the store has are not made twice. Prints the
file of points, or merges them into one (`--merge rules/v1/reference/BENCHMARK.toml`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oildrop.ci.convergence_plan import Series, batches_of, check_plan, command_of, parse_series, read_plan
from oildrop.ci.convergence_runs import Attempts, Farm, attempts_of, make_runs, reference_run, runs_in
from oildrop.ci.reference_file import file_text, is_stale, make_point, merged, require_whole
from oildrop.rules.errors import OildropError, UsageError
from oildrop.rules.loading import load_rulebook, parse_rulebook
from oildrop.rules.reference import ReferencePoint
from oildrop.rules.reference_points import ADVICE, check_set, describe, expected_of
from oildrop.rules.rulebook import Benchmark, Rulebook
from oildrop.rules.settings import find_benchmark

EXIT_REFUSED = 1
"""Some planned points could not be made; the others were written."""


def collect(farm: Farm, plan: Sequence[Series], benchmark: Benchmark) -> list[Attempts]:
    """Every series of `plan` with its runs, made where the store lacks them; a series with failures is left alone."""
    collected = []
    for series in plan:
        command = command_of(series, benchmark, farm.tier)
        attempts = attempts_of(series, command, runs_in(farm))
        _say(f"{series.name}: {len(attempts.ok)} of {series.runs} runs are in the store")
        if attempts.missing and not attempts.failed:
            make_runs(farm, series, command, attempts.missing)
            attempts = attempts_of(series, command, runs_in(farm))
        collected.append(attempts)
    return collected


def points_of(farm: Farm, plan: Sequence[Series], collected: Sequence[Attempts]) -> list[ReferencePoint]:
    """A point for each batch size whose runs all reached the target; the others are said to be refused."""
    points = []
    for batch in batches_of(plan):
        own = [attempts for attempts in collected if attempts.series.batch == batch]
        try:
            point = _point(farm, batch, own)
        except OildropError as error:
            _say(f"tier {farm.tier}, batch {batch} refused: {error}")
            continue
        for line in look_at(point):
            _say(line)
        points.append(point)
    return points


def _point(farm: Farm, batch: int, own: Sequence[Attempts]) -> ReferencePoint:
    require_whole(own)
    made = [reference_run(farm, attempts.series, run) for attempts in own for run in attempts.ok]
    return make_point(farm.tier, batch, made, sum(len(attempts.stopped) for attempts in own))


def look_at(point: ReferencePoint) -> list[str]:
    """Each framework and dtype of a point against the others: who would not converge as they do."""
    lines = []
    for backend, dtype in dict.fromkeys((run.backend, run.dtype) for run in point.runs):
        own = [run for run in point.runs if (run.backend, run.dtype) == (backend, dtype)]
        others = [run for run in point.runs if (run.backend, run.dtype) != (backend, dtype)]
        if len({run.seed_index for run in others}) < 2:
            continue
        found = check_set([run.samples_to_target for run in own], expected_of(others, point.batch))
        advice = "" if found.side is None else f"; {ADVICE[found.side]}"
        lines.append(f"{backend} {dtype} against the others: {describe(found)}{advice}")
    return lines


def merge(path: Path, benchmark: Benchmark, points: Sequence[ReferencePoint], rulebook: Rulebook) -> str:
    """The file's text with `points` in it; points of an earlier version of the benchmark are dropped.

    Raises:
        RulebookError: The file, or what would become of it, is no file of reference points.
    """
    old: list[ReferencePoint] = []
    name = f"reference/{benchmark.name}.toml"
    others = {file: data for file, data in rulebook.files.items() if file != name}
    if path.exists():
        found = parse_rulebook({**others, name: path.read_bytes()}).references
        old = [point for reference in found if reference.benchmark == benchmark.name for point in reference.points]
    for point in [point for point in old if is_stale(point, benchmark.sha256)]:
        old.remove(point)
        _say(f"tier {point.tier}, batch {point.batch}: dropped or replaced, the benchmark's file has changed since")
    text = file_text(benchmark.name, merged(old, points))
    parse_rulebook({**others, name: text.encode()})
    return text


def main(words: Sequence[str] | None = None) -> int:
    """Make the runs, then print or merge the file; the exit code."""
    parser = _parser()
    options = parser.parse_args(words)
    try:
        return _make(options)
    except UsageError as error:
        parser.error(str(error))
    except OildropError as error:
        _say(str(error))
    except KeyboardInterrupt:
        _say("stopped; the runs that ended are kept, repeat the command to go on")
    return EXIT_REFUSED


def _make(options: argparse.Namespace) -> int:
    rulebook = load_rulebook()
    benchmark = find_benchmark(rulebook, options.benchmark)
    plan = [parse_series(word) for word in options.points] or ([] if options.plan is None else read_plan(options.plan))
    if not plan:
        raise UsageError("nothing is planned; give --points or --plan")
    check_plan(plan, benchmark, options.tier)
    farm = Farm(executable=options.executable, store=options.store, benchmark=benchmark.name, tier=options.tier)
    points = points_of(farm, plan, collect(farm, plan, benchmark))
    if points and options.merge is None:
        sys.stdout.write(file_text(benchmark.name, points))
    elif points:
        _replace(options.merge, merge(options.merge, benchmark, points, rulebook))
    return 0 if len(points) == len(batches_of(plan)) else EXIT_REFUSED


def _replace(path: Path, text: str) -> None:
    """Write `text` to `path` whole or not at all."""
    whole = path.with_name(path.name + ".new")
    whole.write_text(text, encoding="utf-8")
    whole.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oildrop.ci.convergence", description="Make reference convergence points.")
    parser.add_argument("benchmark")
    parser.add_argument("--tier", default="nano")
    parser.add_argument("--store", type=Path, required=True, help="where the runs are kept")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--plan", type=Path, metavar="PLAN.toml", help="[[series]] of batch, backend, dtype, runs")
    wanted.add_argument("--points", nargs="+", default=[], metavar="BATCH:BACKEND:DTYPE:RUNS[:FIRST_SEED]")
    parser.add_argument("--merge", type=Path, metavar="FILE", help="put the points into FILE instead of printing them")
    own = Path(sys.executable).with_name("oildrop")
    parser.add_argument("--executable", type=Path, default=own, help="the oildrop to start (that of this environment)")
    return parser


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
