"""Whatever happens to a bundle's bytes, reading and judging it ends in problems, never in a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oildrop.results.bundle.read import read_bundle
from oildrop.results.ingest import judge_bundle
from oildrop.rules.errors import BundleError
from oildrop.rules.evidence import Evidence
from oildrop.rules.outcomes import MEANINGS

FILES = [
    "spec.json", "system.json", "events.jsonl", "telemetry.arrow", "samples/0000.arrow", "seal.json",
    "rulebook/rules.toml", "rulebook/lm-pretrain.toml",
]  # fmt: skip
Damaged = Callable[[str, bytes | None], Path]

hammer = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def whole(make_bundle: Any) -> Path:
    return make_bundle(outcome="ok")


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Iterator[Damaged]:
    """Gives a bundle with one file replaced (None: removed); the file is as it was at the next call."""
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    changed: list[str] = []

    def change(name: str, data: bytes | None) -> Path:
        for earlier in changed:
            shutil.copyfile(whole / earlier, copy / earlier)
        changed[:] = [name]
        if data is None:
            (copy / name).unlink()
        else:
            (copy / name).write_bytes(data)
        return copy

    yield change


def read(bundle: Path) -> Evidence | None:
    """Read and judge; None when the bundle says that its spec.json is unreadable."""
    try:
        evidence = read_bundle(bundle)
    except BundleError as error:
        assert "spec.json" in str(error)
        return None
    for problem in evidence.problems:
        problem.message.encode()
    _, judgement = judge_bundle(bundle)
    assert judgement.outcome in MEANINGS
    judgement.model_dump_json()
    return evidence


def assert_named(evidence: Evidence | None, name: str) -> None:
    if evidence is None:
        assert name == "spec.json"
    elif name == "seal.json" and not evidence.sealed:
        pass
    else:
        assert name in {problem.file for problem in evidence.problems}


@hammer
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_named(damaged: Damaged, whole: Path, name: str, where: float) -> None:
    data = (whole / name).read_bytes()
    assert_named(read(damaged(name, data[: int(where * len(data))])), name)


@hammer
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_one_changed_byte_is_named(damaged: Damaged, whole: Path, name: str, where: float, flip: int) -> None:
    data = bytearray((whole / name).read_bytes())
    data[int(where * len(data))] ^= flip
    assert_named(read(damaged(name, bytes(data))), name)


@hammer
@given(first=st.integers(0, 10**6), second=st.integers(0, 10**6), how=st.sampled_from(["drop", "swap", "repeat"]))
def test_a_moved_line_is_named(damaged: Damaged, whole: Path, first: int, second: int, how: str) -> None:
    lines = (whole / "events.jsonl").read_bytes().splitlines(keepends=True)
    a, b = sorted((first % len(lines), second % len(lines)))
    original = list(lines)
    if how == "drop":
        del lines[a]
    elif how == "swap":
        lines[a], lines[b] = lines[b], lines[a]
    else:
        lines.insert(a, lines[b])
    if lines == original:
        return
    evidence = read(damaged("events.jsonl", b"".join(lines)))
    assert evidence is not None
    messages = [problem.message for problem in evidence.problems if problem.file == "events.jsonl"]
    assert any("was changed" in message for message in messages)
    last_line_dropped = how == "drop" and a == len(original) - 1
    where = "its end was changed" if last_line_dropped else f"line {a + 1 + (how == 'repeat' and a == b)} "
    assert any(message.startswith(where) or where in message for message in messages), messages


@hammer
@given(name=st.sampled_from(FILES), data=st.binary(max_size=200))
def test_rubbish_in_place_of_a_file_is_named(damaged: Damaged, name: str, data: bytes) -> None:
    assert_named(read(damaged(name, data)), name)


@pytest.mark.parametrize("name", FILES)
def test_a_removed_file_is_survived(damaged: Damaged, name: str) -> None:
    assert_named(read(damaged(name, None)), name)


@hammer
@given(
    name=st.sampled_from(["events.jsonl", "telemetry.arrow", "samples/0000.arrow", "system.json"]),
    where=st.floats(0, 1, exclude_max=True),
)
def test_an_unsealed_bundle_cut_anywhere_is_read(damaged: Damaged, whole: Path, name: str, where: float) -> None:
    data = (whole / name).read_bytes()
    cut = data[: int(where * len(data))]
    bundle = damaged(name, cut)
    seal = (bundle / "seal.json").read_bytes()
    (bundle / "seal.json").unlink()
    try:
        evidence = read(bundle)
    finally:
        (bundle / "seal.json").write_bytes(seal)
    assert evidence is not None and not evidence.sealed
    if name == "events.jsonl":  # valid up to its last whole line
        assert len(evidence.events) == cut.count(b"\n")
        assert evidence.clipped_bytes == len(cut) - (cut.rfind(b"\n") + 1)
        assert not [p for p in evidence.problems if p.file == name]
    if name == "telemetry.arrow":  # up to its last whole batch
        assert not [p for p in evidence.problems if p.file == name]
        full = read_bundle(whole).series[0].t_ns
        assert all(full[: len(series.t_ns)] == series.t_ns for series in evidence.series)
