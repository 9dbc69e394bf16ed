"""Two at once: which runs a measurement has, in which order, and how they are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from oildrop.harness.ranks.launch import devices_of
from oildrop.results.identity import store_identity
from oildrop.results.layout import StoreLayout
from oildrop.rules.errors import UsageError
from oildrop.rules.identity import rulebook_seed, set_id, workload_id
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Colocation, RunSpec
from oildrop.rules.rulebook import Benchmark
from oildrop.rules.settings import find_benchmark
from oildrop.suite.naming import new_run_id
from oildrop.suite.planning import PlannedSet, plan
from oildrop.suite.request import RunRequest
from oildrop.suite.seeds import next_seed_indices
from oildrop.suite.servers import TASK as ENDPOINT_TASK

PAIRS = 3
Step = Literal["train", "serve", "both"]
STEPS: tuple[Step, ...] = ("train", "serve", "both")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One repetition: each workload alone, and both together."""

    number: int
    train_alone: RunSpec
    serve_alone: RunSpec
    train_beside: RunSpec
    serve_beside: RunSpec

    @property
    def steps(self) -> tuple[Step, ...]:
        """The order of its three parts: each pair begins one further on, so that a drift of the machine evens out."""
        first = (self.number - 1) % len(STEPS)
        return STEPS[first:] + STEPS[:first]


@dataclass(frozen=True, kw_only=True)
class ColocationPlan:
    """The runs of one measurement; `train` and `serve` hold what all runs of either workload share."""

    train: PlannedSet
    serve: PlannedSet
    pairs: tuple[Pair, ...]

    @property
    def specs(self) -> Iterator[RunSpec]:
        """All runs, in the order in which they are made."""
        for pair in self.pairs:
            together = (pair.train_beside, pair.serve_beside)
            runs = {"train": (pair.train_alone,), "serve": (pair.serve_alone,), "both": together}
            for step in pair.steps:
                yield from runs[step]


def plan_colocation(
    train: RunRequest, serve: RunRequest, layout: StoreLayout, command: Sequence[str], *, create: bool = False
) -> ColocationPlan:
    """Plan both workloads alone and together.

    Args:
        train, serve: One benchmark each, and how often.
        command: The command line of one more pair, for the runs that are beside another.

    Raises:
        UsageError: One does not train or the other not serve, or they cannot share one device.
    """
    _require_kinds(train, serve)
    (trains,), (serves,) = (plan(request, layout, create=create) for request in (train, serve))
    _require_one_device(trains, serves)
    store_id = store_identity(layout, create=create).store_id
    session_id, experiment_id = trains.specs[0].session_id, trains.specs[0].run_id
    alone = [
        tuple(
            spec.model_copy(
                update={"session_id": session_id, "colocation": Colocation(experiment_id=experiment_id, pair=number)}
            )
            for number, spec in enumerate(planned.specs, start=1)
        )
        for planned in (trains, serves)
    ]
    pairs = []
    for number, (training, serving) in enumerate(zip(*alone, strict=False), start=1):
        ids = (new_run_id(), new_run_id())
        train_beside = _beside(training, serving, ids, store_id, layout, command)
        serve_beside = _beside(serving, training, ids[::-1], store_id, layout, command)
        pairs.append(
            Pair(
                number=number,
                train_alone=training,
                serve_alone=serving,
                train_beside=train_beside,
                serve_beside=serve_beside,
            )
        )
    return ColocationPlan(
        train=replace(trains, specs=alone[0]), serve=replace(serves, specs=alone[1]), pairs=tuple(pairs)
    )


def _beside(
    own: RunSpec, other: RunSpec, ids: Sequence[str], store_id: str, layout: StoreLayout, command: Sequence[str]
) -> RunSpec:
    """`own` beside `other`: another configuration, whose seeds are numbered by themselves."""
    workload = workload_id(own.benchmark_sha256, own.tier, own.division, own.settings, other.workload_id)
    of_set = set_id(store_id, own.backend, workload, own.system_id, own.software_id)
    index = own.seed_index
    if index is not None and not own.seeds_chosen:
        (index,) = next_seed_indices(layout, of_set, own.kind, 1)
    assert own.colocation is not None
    colocation = own.colocation.model_copy(
        update={"beside_run_id": ids[1], "beside_workload_id": other.workload_id, "beside": _words(other)}
    )
    return own.model_copy(
        update={
            "run_id": ids[0],
            "workload_id": workload,
            "set_id": of_set,
            "seed_index": index,
            "seed": rulebook_seed(own.benchmark_sha256, index or 0),
            "colocation": colocation,
            "command": tuple(command),
        }
    )


def _words(spec: RunSpec) -> str:
    return " ".join(word for word in (spec.benchmark, spec.tier, spec.scenario) if word)


def _require_kinds(train: RunRequest, serve: RunRequest) -> None:
    rulebook = load_rulebook()
    trains, serves = (find_benchmark(rulebook, request.benchmarks[0]) for request in (train, serve))
    for benchmark, wanted in ((trains, "train"), (serves, "serve")):
        if _does(benchmark) != wanted:
            raise UsageError(
                f"{benchmark.name} does not {wanted}; name a benchmark that trains and one that serves, "
                f"as {_named(rulebook.benchmarks.values())}"
            )
    if serves.task == ENDPOINT_TASK:
        raise UsageError(f"{serves.name} asks a server elsewhere, which shares no device; use lm-generate")


def _does(benchmark: Benchmark) -> str:
    return {"serve": "serve", "calibrate": "calibrate"}.get(benchmark.kind, "train")


def _named(benchmarks: Iterable[Benchmark]) -> str:
    found = list(benchmarks)
    first = [next(one.name for one in found if _does(one) == wanted) for wanted in ("train", "serve")]
    return f"oildrop colocate {first[0]} {first[1]}"


def _require_one_device(train: PlannedSet, serve: PlannedSet) -> None:
    if serve.search is not None:
        raise UsageError(
            f"scenario {serve.specs[0].scenario} searches for a rate, and beside a training it must be the same as "
            "alone: give --rate R, or another --scenario"
        )
    for planned in (train, serve):
        devices = devices_of(planned.specs[0].settings)
        if devices != 1:
            raise UsageError(f"execution.devices = {devices}: two at once share one device; leave it at 1")
