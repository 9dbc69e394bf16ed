"""What a machine may do to a run, each in a run made by hand: for trainings and served runs alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from oildrop.rules import keys
from oildrop.rules.evidence import Series

SECOND = 1_000_000_000
WORK = "hashes"


def canaries(run: Any, *seconds: float, **more: Any) -> None:
    """The host's canary before and after the run."""
    stamps_s = (0.1, run.find(keys.OUTCOME)["t_ns"] / SECOND)
    for when, t_s, value in zip(("before", "after"), stamps_s, seconds, strict=True):
        row = {"key": keys.CANARY, "t_ns": round(t_s * SECOND), "value": value, "proc": "supervisor"}
        place = 2 if when == "before" else len(run.rows) - 1
        run.rows.insert(place, row | {"meta": {"when": when, "place": "host", "work": WORK, **more}})


def sampled(run: Any, quantity: str, values: Sequence[float], *, device: str = "d", meter: str = "nvidia") -> None:
    """One quantity, its samples spread evenly from run_start to run_stop."""
    start_ns, stop_ns = (run.find(key)["t_ns"] for key in (keys.RUN_START, keys.RUN_STOP))
    step_ns = (stop_ns - start_ns) // (len(values) - 1)
    stamps = tuple(start_ns + k * step_ns for k in range(len(values)))
    run.series = (
        *run.series,
        Series(meter=meter, quantity=quantity, device=device, scope="device", t_ns=stamps, values=tuple(values)),
    )


def worked(run: Any, busy_fraction: float, own_fraction: float) -> None:
    """Shares of both processors' time in which they worked, and worked for the run."""
    start_ns, stop_ns = (run.find(key)["t_ns"] for key in (keys.RUN_START, keys.RUN_STOP))
    seconds = 2 * (stop_ns - start_ns) / SECOND
    sampled(run, "busy_s", (50.0, 50.0 + busy_fraction * seconds), device="cpu", meter="process")
    sampled(run, "cpu_s", (7.0, 7.0 + own_fraction * seconds), device="worker", meter="process")


def state(run: Any, when: str, **said: Any) -> None:
    """More of the host's state."""
    run.find(keys.HOST_STATE, 0 if when == "before" else 1)["meta"].update(said)


def slowed_canary(run: Any) -> None:
    canaries(run, 0.010, 0.0111)


def busy_neighbours(run: Any) -> None:
    worked(run, 0.95, 0.80)


def taken_accelerator(run: Any) -> None:
    state(run, "before", accelerator_processes=1)


def hot_accelerator(run: Any) -> None:
    sampled(run, "throttle_bits", [0x4] * 90 + [0x4 | 0x40] * 2)


def moved_cap(run: Any) -> None:
    state(run, "before", accelerator_power_limits_w=[700.0, 700.0])
    state(run, "after", accelerator_power_limits_w=[700.0, 500.0])


def low_cap(run: Any) -> None:
    state(run, "before", accelerator_power_limits_w=[700.0, 500.0], accelerator_default_limits_w=[700.0, 700.0])


def fallen_clock(run: Any) -> None:
    sampled(run, "sm_clock_hz", [2.0e9] * 4 + [1.9e9] * 4 + [1.79e9] * 4)


def on_battery(run: Any) -> None:
    state(run, "after", on_battery=True)


def blocks(run: Any, seconds: Sequence[float]) -> None:
    """Blocks of ten samples in two steps, one after the other, in place of the run's own."""
    run.drop(keys.BLOCK_START)
    run.drop(keys.BLOCK_STOP)
    t_s = run.find(keys.RUN_START)["t_ns"] / SECOND
    for number, length_s in enumerate(seconds):
        run.add(keys.BLOCK_START, t_s, samples=10 * number)
        t_s += length_s
        run.add(keys.BLOCK_STOP, t_s, steps=2, samples=10, tokens=100, loss=1.5)


def slowing_training(run: Any) -> None:
    blocks(run, [0.1 + 0.001 * k for k in range(20)])


def slowing_answers(run: Any) -> None:
    """Each answer comes 0.2 ms later after its issue than the one before it."""
    run.requests["last_ns"] = [last + k * SECOND // 5000 for k, last in enumerate(run.requests["last_ns"])]


TRUST_BREAKERS: dict[str, Callable[[Any], None]] = {
    "R080": slowed_canary,
    "R081": busy_neighbours,
    "R082": taken_accelerator,
    "R083": hot_accelerator,
    "R084": moved_cap,
    "R085": low_cap,
    "R086": fallen_clock,
    "R087": on_battery,
}
