"""Manifests: parsed or refused with line and reason, and found by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from oildrop.rules.data_manifest import DataFile, HubColumn
from oildrop.rules.errors import RulebookError, UsageError
from oildrop.rules.loading import parse_manifest
from oildrop.workloads.corpus.manifest import find_manifest

TEXT = """\
schema = "oildrop.data/1"
name = "mine"
title = "Mine"
licence = "CC0-1.0"
version = "1"
date = "2026-11-22"

[source]
who = "me"
url = "https://example.org/mine"

[[files]]
name = "a.txt"
kind = "text"
sha256 = "{sha}"
bytes = 12
urls = ["/data/a.txt", "https://example.org/a.txt"]

[[files]]
name = "rows"
kind = "hf"
repo = "somebody/texts"
revision = "{revision}"
split = "train"
column = "text"
sha256 = "{sha}"
bytes = 34
""".format(sha="ab" * 32, revision="cd" * 20)


def test_a_whole_manifest_becomes_records() -> None:
    manifest = parse_manifest("mine.toml", TEXT.encode())
    file, column = manifest.files
    assert isinstance(file, DataFile) and isinstance(column, HubColumn)
    assert (file.part, file.bytes, file.urls[0], file.copies) == ("train", 12, "/data/a.txt", (file,))
    assert (column.repo, column.revision) == ("somebody/texts", "cd" * 20)


BROKEN = [
    ('schema = "oildrop.data/1"', 'schema = "oildrop.data/2"', "line 1: schema 'oildrop.data/2' is not oildrop.data/1"),
    ('title = "Mine"', 'title = "Mine', "line 3: "),
    ('licence = "CC0-1.0"', "", "licence: Field required"),
    ('date = "2026-11-22"', 'date = "today"', "line 6: date: String should match"),
    ('url = "https://example.org/mine"', 'url = "mine"', r"line 10: source\.url: String should match"),
    ("bytes = 12", "bytes = 0", r"line 16: files\.0\.bytes: .*greater than 0"),
    ("bytes = 34", "bytes = -1", r"line 27: files\.1\.bytes: .*greater than 0"),
    ('name = "a.txt"', 'name = "../a.txt"', r"line 13: files\.0\.name: String should match"),
    ('name = "rows"', 'name = "a.txt"', "two files are named a.txt"),
    ('kind = "text"', 'kind = "zip"', r"line 14: files\.0\.kind: Input should be 'idx-images', 'idx-labels' or 'text'"),
    (f'sha256 = "{"ab" * 32}"\nbytes = 34', 'sha256 = "12"\nbytes = 34', r"line 26: files\.1\.sha256: String should"),
    ("cd" * 20, "main", r"line 23: files\.1\.revision: String should match"),
    ('"/data/a.txt"', '"a.txt"', r"line 17: files\.0\.urls\.0: .*'a.txt' is neither an absolute path nor file:"),
    ('"/data/a.txt"', '"ftp://a/a.txt"', "'ftp://a/a.txt' is neither"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_broken_manifest_is_refused_with_line_and_reason(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(RulebookError, match=rf"^mine\.toml: .*{message}"):
        parse_manifest("mine.toml", TEXT.replace(old, new, 1).encode())


def test_a_manifest_without_files_and_one_with_a_plain_value_are_refused() -> None:
    head = TEXT[: TEXT.index("[[files]]")]
    with pytest.raises(RulebookError, match=r"files: .*at least 1"):
        parse_manifest("mine.toml", head.encode())
    with pytest.raises(RulebookError, match=r"line 1: files is no list of tables; write \[\[files\]\]"):
        parse_manifest("mine.toml", b'files = "a.txt"\n' + head.encode())


def test_the_rulebooks_manifest_is_found_by_name_and_cannot_be_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = TEXT.replace('"mine"', '"fashion-mnist"')
    (tmp_path / "fashion-mnist.toml").write_text(other)
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
    monkeypatch.setenv("OILDROP_DATA_MANIFEST", str(tmp_path / "fashion-mnist.toml"))
    manifest = find_manifest("fashion-mnist")
    assert manifest.licence == "MIT" and len(manifest.files) == 4
    assert manifest.install == "apt install dataset-fashion-mnist"


def test_a_manifest_of_ones_own_is_found_by_either_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text(TEXT)
    (tmp_path / "first.toml").write_text(TEXT.replace('title = "Mine"', 'title = "First"'))
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
    assert find_manifest("mine").title == "Mine"
    monkeypatch.setenv("OILDROP_DATA_MANIFEST", str(tmp_path / "first.toml"))
    assert find_manifest("mine").title == "First"


def test_an_unknown_name_says_how_to_bring_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
    with pytest.raises(UsageError, match=r"'mine'.* fashion-mnist; .*OILDROP_DATA_MANIFEST .*put mine\.toml into"):
        find_manifest("mine")


def test_a_manifest_that_calls_itself_otherwise_is_refused_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yours.toml").write_text(TEXT)
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
    with pytest.raises(RulebookError, match=r"^\$OILDROP_DATA \(yours\.toml\): name is 'mine', asked for is 'yours'"):
        find_manifest("yours")
