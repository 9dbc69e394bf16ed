"""The real worker, its model does nothing, its terms take half a second; FAKE_WORKER says how it behaves."""

from __future__ import annotations

import os
import time
from typing import Any

from oildrop.harness import serving, worker
from oildrop.harness.null_serve import NullServe
from oildrop.harness.null_task import NullDevice
from oildrop.rules import keys
from oildrop.rules.rulebook_parts import Bounds, Terms
from oildrop.workloads.kept_weights import DamagedCheckpoint
from oildrop.workloads.served_protocols import Emission

way = os.environ["FAKE_WORKER"]


class Works:
    """One step takes 5 ms; the fortieth may fail."""

    def __init__(self, fails: bool) -> None:
        self.steps = 0
        self.fails = fails

    def __call__(self, requests: int) -> None:
        time.sleep(0.005)
        self.steps += 1
        if self.fails and self.steps == 40:
            raise ValueError("the cache is broken")


class Damaged(NullServe):
    """Its checkpoint cannot be read."""

    def initialise(self, seed: int) -> None:
        raise DamagedCheckpoint("checkpoint x cannot be read (cut); install Oildrop again")


class Remembers(NullServe):
    """It keeps its answers, and tells nobody."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.seen: set[int] = set()
        self.known: list[int] = []

    def admit(self, indices: list[int]) -> None:
        self.known += [index for index in indices if index in self.seen]
        super().admit([index for index in indices if index not in self.seen])
        self.seen.update(indices)

    def step(self) -> list[Emission]:
        if self.known:
            known, self.known = self.known, []
            return [Emission(index=index, tokens=(index,) * 4, done=True) for index in known]
        return super().step()


def open_for(spec: Any, orders: Any, emitter: Any) -> NullDevice:
    emitter.emit(keys.PROCESS, "worker-0", {"pid": os.getpid(), "device_uuids": []})
    return NullDevice()


def terms_of(benchmark: Any, spec: Any) -> Terms:
    bounds = Bounds()
    if spec.rate_per_s:
        bounds = Bounds(ttft_s=0.02, tpot_s=0.01) if way == "swamped" else Bounds(ttft_s=0.2, tpot_s=0.05)
    return Terms(minimum_s=0.5, minimum_queries=20, percentile=0.9, bounds=bounds)


patched: Any = serving
patched.open_for = open_for
patched.terms_of = terms_of
patched.runtime_of = lambda device: {"version": "0"}
model = {"damaged": Damaged, "remembers": Remembers}.get(way, NullServe)
patched.make_serve_task = lambda task, settings, device: model(Works(way == "dies"), output_tokens=4, slots=2)
worker.main()
