"""Broken rulebook files are refused with file, line and reason; settings against locks and bounds."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.errors import RulebookError, UsageError
from oildrop.rules.loading import load_rulebook, parse_rulebook
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.rulebook_parts import Schedule
from oildrop.rules.settings import resolve


def changed(rulebook: Rulebook, old: str, new: str) -> dict[str, bytes]:
    text = rulebook.files["toy.toml"].decode()
    assert old in text
    return {**rulebook.files, "toy.toml": text.replace(old, new, 1).encode()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "toy"', 'name = "toy', r"toy\.toml: line 3: "),
        ('name = "toy"', 'name = "Toy!"', r"toy\.toml: line 3: name: String should match"),
        (
            "minimum_runs = 5",
            "minimum_runs = 0",
            r"toy\.toml: line \d+: tiers\.nano\.minimum_runs: .* greater than or equal to 1",
        ),
        ("deadline_s = 60.0", "deadline_s = 39.0", r"tiers\.nano: .*deadline_s 39 is under 10 x reference_time_s 4"),
        ("target = 0.5", "", r"either steps \(fixed work\) or a target"),
        ("steps = 4", "steps = 4\ntarget = 1.0", r"either steps \(fixed work\) or a target"),
        ("width = 8", "width = 99", r"line 14: tier nano: model\.width = 99 is outside 1 to 64"),
        ('dtype = "fp32"', 'dtype = "fp12"', r"execution\.dtype = 'fp12' is not one of fp32, bf16"),
        ('free = ["execution.dtype"]', 'free = ["execution.speed"]', r"line 23: execution\.speed is not a setting"),
        ("every = 10", "every = 0", r"tiers\.nano\.schedule\.every"),
        ('schema = "oildrop.benchmark/1"', 'schema = "oildrop.benchmark/9"', "schema 'oildrop.benchmark/9' is unknown"),
        ("files = []", 'files = ["nowhere.toml"]', r"line 8: nowhere\.toml is missing"),
        ('title = "Toy"', 'title = "Toy"\ncolour = "red"', r"line 5: colour: Extra inputs are not permitted"),
    ],
)
def test_a_broken_file_is_refused_with_line_and_reason(
    toy_rulebook: Rulebook, old: str, new: str, message: str
) -> None:
    with pytest.raises(RulebookError, match=message):
        parse_rulebook(changed(toy_rulebook, old, new))


def test_bytes_that_are_no_text_are_refused(toy_rulebook: Rulebook) -> None:
    with pytest.raises(RulebookError, match=r"toy\.toml: line 1: byte 0xff is not UTF-8"):
        parse_rulebook({**toy_rulebook.files, "toy.toml": b"\xff"})


def test_a_missing_shared_file_is_named() -> None:
    with pytest.raises(RulebookError, match=r"rules\.toml: missing"):
        parse_rulebook({})


def test_any_change_of_a_benchmark_file_changes_its_hash(toy_rulebook: Rulebook) -> None:
    other = parse_rulebook(changed(toy_rulebook, 'title = "Toy"', 'title = "Toy "'))
    assert other.benchmarks["toy"].sha256 != toy_rulebook.benchmarks["toy"].sha256
    again = parse_rulebook(dict(toy_rulebook.files))
    assert again.benchmarks["toy"].sha256 == toy_rulebook.benchmarks["toy"].sha256


def test_the_shipped_rulebook_is_whole() -> None:
    rulebook = load_rulebook()
    assert rulebook.benchmarks["calibrate"].tiers["nano"].kind == "calibrate"
    trained = {name: found for name, found in rulebook.benchmarks.items() if found.kind not in ("serve", "calibrate")}
    assert set(trained) == {"lm-pretrain", "image-classify"}
    for benchmark in trained.values():
        assert set(benchmark.tiers) >= {"smoke", "nano"}
        assert set(rulebook.files_of(benchmark)) <= set(rulebook.files)
        nano = benchmark.tiers["nano"]
        assert nano.minimum_runs == 5
        reference = rulebook.reference_of(benchmark.name, "nano")
        assert reference is not None
        count = len(reference.samples_to_target)
        assert len(set(reference.seeds)) >= 20 and count == len(reference.seeds)
        mean = sum(reference.samples_to_target) / count
        deviation = (sum((value - mean) ** 2 for value in reference.samples_to_target) / (count - 1)) ** 0.5
        assert deviation / mean == pytest.approx(reference.coefficient_of_variation, rel=0.01)
        assert deviation / mean <= 0.05
        median = sorted(reference.samples_to_target)[10]
        assert nano.schedule.every <= 0.02 * median
        assert nano.schedule.first < min(reference.samples_to_target)


def test_evaluations_are_due_where_the_schedule_says() -> None:
    schedule = Schedule(first=100, every=10, early_every=30)
    assert [s for s in range(0, 131, 5) if schedule.evaluates_after(s)] == [30, 60, 90, 100, 110, 120, 130]
    assert not Schedule(first=0, every=10).evaluates_after(0)


def outcome(rulebook: Rulebook, division: str, **changes: str) -> Any:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return resolve(rulebook.benchmarks["toy"], "nano", division, named)


def test_settings_are_the_tiers_own_with_its_limits(toy_rulebook: Rulebook) -> None:
    resolved = outcome(toy_rulebook, "closed")
    assert resolved.changed == {}
    assert resolved.settings == {
        "model.width": 8, "optimizer.name": "adamw", "optimizer.learning_rate": 0.1, "execution.dtype": "fp32",
        "data.documents_per_batch": 5, "limit.cap_samples": 80,
    }  # fmt: skip


def test_a_change_is_listed_with_its_default(toy_rulebook: Rulebook) -> None:
    resolved = outcome(toy_rulebook, "open", model__width="16", limit__cap_samples="40")
    assert resolved.changed == {"model.width": (8, 16), "limit.cap_samples": (80, 40)}
    assert outcome(toy_rulebook, "closed", execution__dtype="bf16").changed == {"execution.dtype": ("fp32", "bf16")}
    assert outcome(toy_rulebook, "closed", model__width="8").changed == {}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.width", "16", "locked in division closed .* --division open"),
        ("model.widht", "16", "did you mean model.width"),
        ("execution.dtype", "fp64", "not one of fp32, bf16"),
    ],
)
def test_what_closed_does_not_allow(toy_rulebook: Rulebook, key: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(toy_rulebook.benchmarks["toy"], "nano", "closed", {key: value})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.width", "many", "not a whole number"),
        ("model.width", "65", "outside 1 to 64"),
        ("optimizer.learning_rate", "nan", "not a finite number"),
        ("limit.cap_samples", "0", "outside 1 to"),
    ],
)
def test_values_are_checked_in_open_too(toy_rulebook: Rulebook, key: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(toy_rulebook.benchmarks["toy"], "nano", "open", {key: value})
