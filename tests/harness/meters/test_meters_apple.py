"""The Apple meter on recorded lines; no Mac is needed."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from oildrop.harness.meters.apple import AppleMeter, UnequalParts, open_apple, parse_macmon, parse_powermetrics
from oildrop.harness.meters.interface import MeterError
from oildrop.harness.meters.lines import Lines

TRACES = Path(__file__).parent / "traces"


def trace(name: str, *, parts: int = 1) -> Lines:
    """A recorded file, handed over in so many pieces."""
    data = (TRACES / name).read_bytes()
    size = -(-len(data) // parts)
    pieces: list[bytes | None] = []
    for start in range(0, len(data), size):
        pieces += [data[start : start + size], None]

    def read(count: int) -> bytes:
        piece = pieces.pop(0) if pieces else b""
        if piece is None:
            raise BlockingIOError
        return piece

    return Lines(read, lambda: None, "macmon")


def values(readings: Sequence[object]) -> dict[tuple[str, str], float]:
    return {(reading.quantity, reading.scope): reading.value for reading in readings}  # type: ignore[attr-defined]


def test_a_line_of_macmon_in_si_units() -> None:
    line = (TRACES / "macmon.jsonl").read_text().splitlines()[1]
    assert values(parse_macmon(line)) == {
        ("power_w", "soc"): pytest.approx(22.1),
        ("power_w", "node"): pytest.approx(28.1),
        ("gpu_clock_hz", "device"): 1.338e9,
        ("busy_fraction", "device"): 0.9,
        ("temperature_celsius", "device"): 49.5,
    }


def test_the_lines_of_powermetrics_in_si_units() -> None:
    lines = (TRACES / "powermetrics.txt").read_text().splitlines()
    readings = [reading for line in lines for reading in parse_powermetrics(line)]
    assert values(readings) == {("power_w", "soc"): 22.35, ("busy_fraction", "device"): 0.915}


def test_values_are_modelled_and_ask_for_a_minute() -> None:
    meter = AppleMeter(trace("macmon.jsonl"), parse_macmon, "m")
    assert (meter.info().status, meter.info().least_window_s) == ("modelled", 60.0)


def test_the_newest_line_counts_and_the_end_is_told() -> None:
    meter = AppleMeter(trace("macmon.jsonl", parts=3), parse_macmon, "m")
    assert values(meter.sample())[("power_w", "soc")] == pytest.approx(0.2)
    assert values(meter.sample())[("power_w", "soc")] == pytest.approx(22.7)
    assert values(meter.sample())[("power_w", "soc")] == pytest.approx(22.2)
    with pytest.raises(MeterError, match="macmon has ended"):
        meter.sample()


def test_nanojoules_read_as_millijoules_are_refused() -> None:
    said = json.loads((TRACES / "macmon.jsonl").read_text().splitlines()[1])
    said["gpu_power"] *= 1e6
    with pytest.raises(UnequalParts, match=r"1.8e\+07 W together, all of them 22.1 W"):
        parse_macmon(json.dumps(said))
    text = "".join(json.dumps(said) + "\n" for _ in range(5)).encode()
    parts = [text[: len(text) // 5 * 4], text[len(text) // 5 * 4 :]]

    def read(count: int) -> bytes:
        if len(parts) == 1:
            parts.append(b"")
            raise BlockingIOError
        return parts.pop(0)

    meter = AppleMeter(Lines(read, lambda: None, "macmon"), parse_macmon, "m")
    assert meter.sample() == ()
    with pytest.raises(MeterError, match="wrong unit"):
        meter.sample()


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"all_power": "much"}', '{"all_power": 3.0}'])
def test_a_line_that_says_nothing_gives_nothing(line: str) -> None:
    assert parse_macmon(line) == ()


def test_macmon_comes_first_then_powermetrics_for_root_else_the_reason() -> None:
    def opened(*programs: str, root: bool = False) -> tuple[str, str]:
        (meter,) = open_apple(
            lambda name: name if name in programs else None, lambda: root, lambda command, source: trace("macmon.jsonl")
        )
        return meter.info().status, meter.info().method or meter.info().reason or ""

    assert opened("macmon", "powermetrics", root=True)[1].startswith("macmon")
    assert opened("powermetrics", root=True)[1].startswith("powermetrics")
    status, reason = opened("powermetrics")
    assert status == "not_measured" and "brew install macmon" in reason


def test_a_program_that_does_not_start_is_the_reason() -> None:
    def start(command: Sequence[str], source: str) -> Lines:
        raise MeterError("macmon cannot be started (Exec format error)")

    (meter,) = open_apple(lambda name: name, lambda: False, start)
    assert "Exec format error" in (meter.info().reason or "")
