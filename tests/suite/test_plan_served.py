"""Plans of networks that answer in one pass: sizes, times and verdicts, each worked out another way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.memory_served import conv_activation_bytes, encoder_activation_bytes
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import DevicePeaks
from oildrop.rules.settings import resolve
from oildrop.suite.cli.main import main
from oildrop.suite.plan_served import ServedSizes, served_sizes
from oildrop.suite.plan_sizes import Place

GIB = 2**30
Capture = pytest.CaptureFixture[str]


def part(memory_gib: float | None = 80, bandwidth: float = 1e15, **peaks: float) -> DevicePeaks:
    return DevicePeaks(
        name="Toy", match=("Toy",), peak_flop_per_s=peaks or {"bf16": 1e14}, bandwidth_bytes_per_s=bandwidth,
        memory_bytes=None if memory_gib is None else int(memory_gib * GIB), source="made up", date="2026-11-28",
    )  # fmt: skip


def sizes(name: str, tier: str, place: Place, **changes: str) -> ServedSizes:
    benchmark = load_rulebook().benchmarks[name]
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return served_sizes(benchmark, resolve(benchmark, tier, "open", named).settings, place)


def test_activations_of_an_encoder_by_hand() -> None:
    """3 sentences of 5 tokens at width 8: 8 and the larger of 2 x 30 and 24 + 2 x 2 x 5 = 44; of wider scores these."""
    assert encoder_activation_bytes(width=8, heads=2, hidden=30, sentences=3, tokens=5) == 4 * 15 * (8 + 60)
    assert encoder_activation_bytes(width=8, heads=9, hidden=30, sentences=3, tokens=5) == 4 * 15 * (8 + 24 + 90)


def test_activations_of_a_network_are_those_of_its_fullest_layer() -> None:
    """5x5 pixels, one channel: 25 + 3 x 25 x 4 = 325, then strides to 3x3: 100 + 3 x 9 x 8 = 316."""
    assert conv_activation_bytes(side_px=5, channels=[1, 4, 8], strides=[1, 2], images=10) == 4 * 10 * 325


def test_weights_are_counted_as_they_are_kept() -> None:
    """BERT-large: 24 x (4 x 1024² + 2 x 1024 x 4096) numbers in products, the rest of 334 M in fp32."""
    found = sizes("embed", "base", Place(part=None))
    products = 24 * (4 * 1024**2 + 2 * 1024 * 4096)
    assert found.weights_bytes == 2 * products + 4 * (334_092_288 - products)
    assert found.activation_bytes == 4 * 128 * 512 * (1024 + 3 * 1024 + 2 * 16 * 512)
    assert found.fits is None and found.times[0].batch_s is None
    assert found.missing == {"fits": "no part was named", "times": "no part was named"}


def test_times_are_flops_over_the_peak_or_weights_over_the_bandwidth() -> None:
    place = Place(part=part())
    full, usual = sizes("embed", "small", place, execution__slots="10").times
    flop = 2 * 12 * (136 * (4 * 768**2 + 2 * 768 * 3072) + 2 * 768 * 136**2)
    assert (full.one_s, full.batch_s) == pytest.approx((flop / 1e14, 10 * flop / 1e14))
    assert usual.batch_s == pytest.approx(2.5 * full.batch_s) and full.requests_per_s == pytest.approx(1e14 / flop)
    slow = sizes("embed", "small", Place(part=part(bandwidth=1e9)), execution__slots="10").times[0]
    layers = 12 * (4 * 768**2 + 2 * 768 * 3072)
    vectors = 12 * (9 * 768 + 3072) + 2 * 768  # biases and norms of each layer, and the norm of the embeddings
    assert slow.one_s == pytest.approx((2 * layers + 4 * vectors) / 1e9)


def test_a_batch_that_does_not_fit_is_told() -> None:
    assert sizes("embed", "base", Place(part=part(memory_gib=7))).fits
    assert sizes("embed", "base", Place(part=part(memory_gib=6))).fits is False


def test_a_decoder_and_several_devices_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        UsageError, match="lm-generate serves, and plans are for benchmarks that train or answer in one"
    ):
        sizes("lm-generate", "nano", Place(part=None))
    with pytest.raises(UsageError, match="--devices 2: embed serves on one device"):
        sizes("embed", "small", Place(part=None, count=2))


@pytest.mark.parametrize(
    ("benchmark", "tier"),
    [(name, tier) for name in ("image-infer", "embed") for tier in load_rulebook().benchmarks[name].tiers],
)
def test_every_tier_can_be_planned_as_a_document_and_in_words(benchmark: str, tier: str, capsys: Capture) -> None:
    words = ["plan", benchmark, "--tier", tier, "--device", "NVIDIA H200"]
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["tier"], found["fits"]) == ("oildrop.plan-served/1", tier, True)
    assert found["total_bytes"] == found["weights_bytes"] + found["activation_bytes"]
    assert found["provisional"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "it fits" in shown and "requests/s" in shown
