"""Numbers as people read them."""

from __future__ import annotations

import pytest

from oildrop.suite.cli.numbers import count, show_bytes, show_duration, show_number, show_value


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (21.3456, "s", "21.35 s"),
        (0.000123456, "s", "0.0001235 s"),
        (16789.4, "tokens/s", "16,789 tokens/s"),
        (0.4167, "1", "41.67 %"),
        (0.0, "1", "0 %"),
        (1536, "bytes", "1.5 KiB"),
        (3.2e12, "FLOP/s", "3.2 TFLOP/s"),
        (190e9, "FLOP/s", "190 GFLOP/s"),
        (11.49e9, "bytes/s", "11.49 GB/s"),
        (640.0, "bytes/s", "640 bytes/s"),
        (250, "samples", "250 samples"),
        (None, "W", "–"),
    ],
)
def test_values_carry_their_unit(value: float | None, unit: str, text: str) -> None:
    assert show_value(value, unit) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (2**30 * 15.5, "15.5 GiB"), (2**60, "1,048,576 TiB")],
)
def test_memory(amount: float, text: str) -> None:
    assert show_bytes(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-1, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (80, "1 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(12345, "12,345"), (2**40, "1.1e+12"), (1e-9, "1e-09"), (999.96, "1000")])
def test_bare_numbers(value: float, text: str) -> None:
    assert show_number(value) == text


def test_counts() -> None:
    assert [count(number, "run") for number in (0, 1, 12000)] == ["0 runs", "1 run", "12,000 runs"]
