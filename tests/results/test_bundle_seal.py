"""The seal against hashes worked out by hand, and every kind of change to a sealed bundle."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from oildrop.results.bundle.read import read_bundle, read_contents
from oildrop.rules.errors import BundleError


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def bundle(make_bundle: Any) -> Path:
    return make_bundle(outcome="diverged")


def problems_of(bundle: Path) -> dict[str, str]:
    """All that is wrong with each file."""
    found: dict[str, str] = {}
    for problem in read_bundle(bundle).problems:
        found[problem.file] = found.get(problem.file, "") + problem.message + "\n"
    return found


def test_seal_holds_the_hash_of_every_file_and_of_itself(bundle: Path) -> None:
    seal = json.loads((bundle / "seal.json").read_text())
    files = {p.relative_to(bundle).as_posix(): sha256(p) for p in bundle.rglob("*") if p.is_file()}
    del files["seal.json"]
    assert seal["files"] == files and {"spec.json", "system.json", "events.jsonl", "output.log"} < files.keys()
    last_line = (bundle / "events.jsonl").read_bytes().splitlines()[-1]
    assert seal["chain_head"] == hashlib.sha256(last_line).hexdigest()
    bundle_id = seal.pop("bundle_id")
    rest = json.dumps(seal, sort_keys=True, separators=(",", ":")).encode()  # RFC 8785 for ASCII text
    assert bundle_id == hashlib.sha256(rest).hexdigest() == read_contents(bundle).bundle_id
    assert seal["schema"] == "oildrop.seal/1" and seal["run_id"] == bundle.name


def test_an_untouched_bundle_has_no_problem(bundle: Path) -> None:
    assert read_bundle(bundle).sealed and problems_of(bundle) == {}


def test_output_log_may_stay_behind_but_not_change(bundle: Path) -> None:
    (bundle / "output.log").write_text("something else")
    assert "was changed" in problems_of(bundle)["output.log"]
    (bundle / "output.log").unlink()
    assert problems_of(bundle) == {}


@pytest.mark.parametrize("name", ["system.json", "events.jsonl", "telemetry.arrow", "rulebook/rules.toml"])
def test_a_removed_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert "is missing" in problems_of(bundle)[name]


@pytest.mark.parametrize("name", ["notes.txt", "samples/0009.arrow", "rulebook/extra.toml"])
def test_an_added_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"")
    assert "was added" in problems_of(bundle)[name]


def test_a_strange_file_name_can_be_printed(bundle: Path) -> None:
    (Path(os.fsdecode(os.fsencode(bundle) + b"/\xff\n"))).write_bytes(b"")
    [name] = problems_of(bundle)
    name.encode()
    assert "was added" in problems_of(bundle)[name]


def test_a_link_is_not_followed(bundle: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_bytes((bundle / "system.json").read_bytes())
    (bundle / "system.json").unlink()
    (bundle / "system.json").symlink_to(outside)
    assert "no plain file" in problems_of(bundle)["system.json"]
    assert read_bundle(bundle).system is None


def test_a_pipe_does_not_hang_the_reader(bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")
    assert "no plain file" in problems_of(bundle)["pipe"]


def lines(bundle: Path) -> list[bytes]:
    return (bundle / "events.jsonl").read_bytes().splitlines(keepends=True)


def log_problems(bundle: Path, changed: list[bytes]) -> list[str]:
    (bundle / "events.jsonl").write_bytes(b"".join(changed))
    return [p.message for p in read_bundle(bundle).problems if p.file == "events.jsonl"]


def test_a_dropped_line_is_named(bundle: Path) -> None:
    all_lines = lines(bundle)
    found = log_problems(bundle, all_lines[:9] + all_lines[10:])
    assert any(message.startswith("line 10 (seq 10) does not follow") for message in found)


def test_two_swapped_lines_are_named(bundle: Path) -> None:
    all_lines = lines(bundle)
    all_lines[4], all_lines[5] = all_lines[5], all_lines[4]
    found = " ".join(log_problems(bundle, all_lines))
    assert "line 5 (seq 5)" in found and "line 6 (seq 4)" in found and "line 7 (seq 6)" in found


def test_dropped_last_lines_are_noticed(bundle: Path) -> None:
    assert any("its end was changed" in message for message in log_problems(bundle, lines(bundle)[:-2]))


def test_a_rewritten_log_with_a_whole_chain_is_noticed(bundle: Path) -> None:
    first = json.loads(lines(bundle)[0])
    rewritten = json.dumps({**first, "t_ns": 0}, separators=(",", ":")).encode() + b"\n"
    found = log_problems(bundle, [rewritten])
    assert any("was changed" in message for message in found) and any("end was changed" in m for m in found)


def test_the_seal_cannot_be_exchanged_for_another(bundle: Path, make_bundle: Any) -> None:
    other = make_bundle(outcome="diverged", seed_index=7)
    (bundle / "seal.json").write_bytes((other / "seal.json").read_bytes())
    assert f"is of run {other.name}" in problems_of(bundle)["seal.json"]


def test_white_space_in_the_seal_counts(bundle: Path) -> None:
    path = bundle / "seal.json"
    path.write_bytes(path.read_bytes().replace(b",", b", ", 1))
    assert "its bytes are not those" in problems_of(bundle)["seal.json"]


def test_a_changed_seal_is_named(bundle: Path) -> None:
    path = bundle / "seal.json"
    path.write_bytes(path.read_bytes().replace(bundle.name.encode(), b"some-other-run"))
    assert {p.file for p in read_bundle(bundle).problems} == {"seal.json"}
    assert "was changed: it hashes to" in problems_of(bundle)["seal.json"]


def test_without_its_seal_the_bundle_is_unsealed(bundle: Path) -> None:
    (bundle / "seal.json").unlink()
    found = read_bundle(bundle)
    assert not found.sealed and not found.problems
    (bundle / "evil.sh").write_text("")
    assert "no run writes such a file" in problems_of(bundle)["evil.sh"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"schema":"oildrop.spec/2"}'])
def test_without_a_readable_spec_nobody_can_say_which_run_it_was(bundle: Path, damage: bytes) -> None:
    (bundle / "spec.json").write_bytes(damage)
    with pytest.raises(BundleError, match=r"spec\.json is damaged: "):
        read_bundle(bundle)
    (bundle / "spec.json").unlink()
    with pytest.raises(BundleError, match=r"spec\.json is missing"):
        read_bundle(bundle)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no readable bundle: No such file"):
        read_bundle(tmp_path / "nothing")
