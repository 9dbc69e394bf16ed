"""Read bandwidth: how it is measured, and when."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.harness import bandwidth
from oildrop.harness.bandwidth import bandwidth_meta, measure_read_bandwidth
from oildrop.harness.meters.isolation import Answer

CACHE_BYTES = 2**20


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A machine with a cache of 1 MiB, and what its child was asked."""
    calls: list[tuple[Any, ...]] = []

    def answer(*words: str, limit_s: float) -> Answer:
        calls.append(words)
        return Answer(value=5e9)

    monkeypatch.setattr(bandwidth, "l3_bytes", lambda host: CACHE_BYTES)
    monkeypatch.setattr(bandwidth, "ask_module", answer)
    return calls


def test_weights_of_four_caches_are_read_from_memory(asked: list[tuple[Any, ...]]) -> None:
    meta = bandwidth_meta("torch-cpu", 4 * CACHE_BYTES, 3)
    assert asked == [("oildrop.harness.bandwidth", str(4 * CACHE_BYTES), "3")]
    assert (meta["read_bandwidth_bytes_per_s"], meta["last_level_cache_bytes"]) == (5e9, CACHE_BYTES)
    assert "best of 5 reads; 3 threads, 4194304 bytes" in meta["read_bandwidth_method"]


@pytest.mark.parametrize(("backend", "weights"), [("torch-cpu", 4 * CACHE_BYTES - 1), ("torch-cuda", 2**40)])
def test_smaller_ones_and_accelerators_are_not_held_against_it(
    asked: list[tuple[Any, ...]], backend: str, weights: int
) -> None:
    expected = {"read_bandwidth_bytes_per_s": None, "last_level_cache_bytes": CACHE_BYTES}
    assert bandwidth_meta(backend, weights, 1) == expected
    assert asked == []


def test_a_child_that_fails_is_a_reason(asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "ask_module", lambda *words, limit_s: Answer(reason="killed"))
    meta = bandwidth_meta("jax-cpu", 2**30, 1)
    assert (meta["read_bandwidth_bytes_per_s"], meta["read_bandwidth_reason"]) == (None, "killed")


def test_a_buffer_is_read_whole_at_a_rate_that_a_machine_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1e7 < measure_read_bandwidth(2**22, 2) < 1e13
    ticks = iter(range(100))
    monkeypatch.setattr(bandwidth.time, "perf_counter", lambda: next(ticks))
    assert measure_read_bandwidth(800, 3) == 800.0  # each read takes one tick
