"""How ceilings are found: the search for the fastest width, the repeats, and what is said where one is missing."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.harness import ceilings
from oildrop.harness.bandwidth import copy_times_s, read_times_s
from oildrop.harness.ceilings import Bench
from oildrop.harness.meters.isolation import Answer
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook_parts import Calibration

TERMS = Calibration(repeats=3, repeat_s=0.1, widths=(8, 16, 32, 64), longest_product_s=1.0, buffer_bytes=4096)


class Clock:
    """Time that passes only while work is done."""

    now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns


class FakeDevice:
    backend = "torch-cuda"
    handle = None

    def synchronize(self) -> None:
        """Work is done at once."""


class FakeKernels:
    """A product of width 16 runs at 4 times the rate of the others; each piece of other work takes 40 ms."""

    def __init__(self, clock: Clock, *, out_of_memory_from: int = 10**9) -> None:
        self.clock, self.limit = clock, out_of_memory_from

    def missing(self) -> dict[str, str]:
        return {"tf32": "none here", "bf16": "none here", "fp16": "none here", "int8": "none here"}

    def _work(self, each_ns: int) -> Any:
        def work(count: int) -> None:
            self.clock.now_ns += count * each_ns

        return work

    def products(self, dtype: str, width: int) -> Any:
        if width >= self.limit:
            raise MemoryError
        return self._work(width**3 * (25 if width == 16 else 100))

    def reads(self, size_bytes: int) -> Any:
        return self._work(40_000_000)

    copies = copies_from_host = reads


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(ceilings.time, "monotonic_ns", made.monotonic_ns)
    return made


def bench(clock: Clock, **limits: Any) -> Bench:
    terms = TERMS.model_copy(update=limits.pop("terms", {}))
    return Bench(kernels=FakeKernels(clock, **limits), device=FakeDevice(), terms=terms)  # type: ignore[arg-type]


def test_the_fastest_width_is_repeated_for_as_long_as_the_tier_says(clock: Clock) -> None:
    found = ceilings._fastest_product(bench(clock), "fp32")
    assert found["width"] == 16
    assert found["count"] == 977  # 0.1 s over 16^3 x 25 ns, rounded up
    assert found["repeats_s"] == pytest.approx([977 * 16**3 * 25e-9] * 3)
    assert "[8, 16, 32, 64]" in found["method"]


def test_the_search_ends_where_a_product_takes_long_or_memory_ends(clock: Clock) -> None:
    slow = ceilings._fastest_product(bench(clock, terms={"longest_product_s": 1e-6}), "fp32")
    assert slow["width"] == 8
    full = ceilings._fastest_product(bench(clock, out_of_memory_from=32), "fp32")
    assert "[8, 16]" in full["method"]
    with pytest.raises(MemoryError):
        ceilings._fastest_product(bench(clock, out_of_memory_from=8), "fp32")


def spec_of(backend: str) -> RunSpec:
    return RunSpec.model_construct(backend=backend, settings={"execution.threads": 2})


def test_an_accelerator_reads_and_copies_its_own_memory(clock: Clock) -> None:
    found = list(ceilings._ceilings(bench(clock), spec_of("torch-cuda")))
    assert [what for what, _ in found] == ["matmul"] * 5 + ["read", "copy", "host_to_device"]
    assert found[1][1] == {"dtype": "tf32", "reason": "none here", "applicable": False}
    read = found[5][1]
    assert (read["bytes"], read["count"]) == (4096, 3)
    assert read["repeats_s"] == pytest.approx([0.12] * 3)


def test_a_processors_memory_is_read_in_a_child(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def answer(*words: int) -> Answer:
        asked.append(words)
        return Answer(value={"read": [1.0], "copy": [2.0]})

    monkeypatch.setattr(ceilings, "ask_times_s", answer)
    monkeypatch.setattr(ceilings, "l3_bytes", lambda host: 2**20)
    found = dict(list(ceilings._ceilings(bench(clock), spec_of("torch-cpu")))[5:])
    assert asked == [(4 * 2**20, 2, 3)]
    assert (found["read"]["repeats_s"], found["copy"]["repeats_s"]) == ([1.0], [2.0])
    assert found["host_to_device"]["applicable"] is False
    monkeypatch.setattr(ceilings, "l3_bytes", lambda host: None)
    found = dict(ceilings._processor_memory(TERMS, 2))
    assert found["read"] == {"reason": "the system does not tell the size of the last-level cache"}
    monkeypatch.setattr(ceilings, "l3_bytes", lambda host: 2**20)
    monkeypatch.setattr(ceilings, "ask_times_s", lambda *words: Answer(reason="killed"))
    assert dict(ceilings._processor_memory(TERMS, 2))["copy"] == {"reason": "killed"}


def test_reads_and_copies_are_timed_one_by_one() -> None:
    assert [len(times(2**20, 2, 3)) for times in (read_times_s, copy_times_s)] == [3, 3]
    assert all(each > 0 for each in copy_times_s(2**20, 1, 2))
