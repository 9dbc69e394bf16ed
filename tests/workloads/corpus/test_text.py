"""Real text as documents: worked out again by slicing the bytes by hand."""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oildrop.rules.data_manifest import HubColumn
from oildrop.rules.errors import OildropError, Unsupported, UsageError
from oildrop.workloads.corpus.byte_store import open_byte_store
from oildrop.workloads.corpus.cache import Cache
from oildrop.workloads.corpus.text import TextSource, open_text
from oildrop.workloads.integers import permutation

BODY = random.Random(3).randbytes(3000 * 16 + 5)
PIECES = [BODY[k : k + 16] for k in range(0, 3000 * 16, 16)]
HELD_OUT = [p for p in PIECES if int.from_bytes(hashlib.sha256(p).digest()[:8], "little") % 1000 == 0]
TRAIN = [p for p in PIECES if p not in HELD_OUT]


@pytest.fixture(scope="module")
def source() -> TextSource:
    return TextSource(np.frombuffer(BODY, dtype=np.uint8), 16)


def as_bytes(tokens: Any) -> list[bytes]:
    return [bytes(token - 1 for token in row[1:]) for row in tokens.tolist()]


def test_every_training_document_comes_once_an_epoch_in_the_order_of_the_seed(source: TextSource) -> None:
    tokens, information = source.documents(7, 0, len(TRAIN))
    assert tokens.dtype == np.int32 and tokens.shape == (len(TRAIN), 17)
    assert (tokens[:, 0] == 0).all() and tokens[:, 1:].min() == 1 and tokens[:, 1:].max() == 256
    assert as_bytes(tokens) == [TRAIN[k] for k in permutation(7, 0, len(TRAIN))]
    assert information.dtype == np.float64 and not information.any()


def test_documents_go_on_over_epochs_and_differ_between_seeds(source: TextSource) -> None:
    tokens, _ = source.documents(7, len(TRAIN) - 3, 6)
    expected = [TRAIN[k] for k in [*permutation(7, 0, len(TRAIN))[-3:], *permutation(7, 1, len(TRAIN))[:3]]]
    assert as_bytes(tokens) == expected
    for seed in (8, 9):
        assert as_bytes(source.documents(seed, 0, 3)[0]) == [TRAIN[k] for k in permutation(seed, 0, len(TRAIN))[:3]]
    for k in range(6):
        assert np.array_equal(source.document(7, len(TRAIN) - 3 + k), tokens[k])


def test_held_out_documents_are_chosen_by_their_own_hash_and_never_trained_on(source: TextSource) -> None:
    assert 0 < len(HELD_OUT) < 12
    found = as_bytes(source.documents(1, 0, len(HELD_OUT), part="held-out")[0])
    assert sorted(found) == sorted(HELD_OUT)
    assert not set(found) & set(as_bytes(source.documents(1, 0, len(TRAIN))[0]))
    with pytest.raises(OildropError, match=f"there are {len(HELD_OUT)}: score fewer"):
        source.documents(1, 1, len(HELD_OUT), part="held-out")


def test_the_methods_are_those_that_the_language_benchmark_calls(source: TextSource) -> None:
    from oildrop.workloads.lm_pretrain import data

    training = data.TrainingData(source, 5, 48)
    block = training.next_block()
    assert np.array_equal(block, source.documents(5, 0, len(block))[0]) and len(block) % 48 == 0
    synthetic = data.synthetic_batch(source, 4)
    assert synthetic.shape == (4, 17) and synthetic.max() < source.grammar.vocabulary == 257


def test_too_little_text_and_too_small_a_vocabulary_are_refused() -> None:
    with pytest.raises(UsageError, match="100 bytes make 6 documents of 16 tokens, 0 of them held out"):
        TextSource(np.frombuffer(BODY[:100], dtype=np.uint8), 16)
    with pytest.raises(UsageError, match="256 tokens, text in bytes needs 257"):
        open_text("mine", 16, vocabulary=256)


def test_texts_lie_end_to_end_each_with_its_zero_byte_plain_or_zipped(make: Any, cache: Cache, tmp_path: Path) -> None:
    texts = [b"first", make.zipped(b"second"), b"never trained on"]
    parts = ["train", "train", "test"]
    files = []
    for number, (text, part) in enumerate(zip(texts, parts, strict=True)):
        (tmp_path / f"{number}").write_bytes(text)
        files.append(make.file(text, str(tmp_path / f"{number}"), name=f"{number}.txt", part=part))
    store = open_byte_store(make.manifest(*files), cache)
    assert isinstance(store, np.memmap) and not store.flags.writeable
    assert store.tobytes() == b"first\0second\0"
    for number in range(3):
        (tmp_path / f"{number}").unlink()
    assert open_byte_store(make.manifest(*files), cache).tobytes() == b"first\0second\0"


def test_a_manifest_without_text_and_a_store_without_space_are_refused(make: Any, tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(UsageError, match="toy names no training text"):
        open_byte_store(make.manifest(make.file(b"1", kind="idx-labels")), cache)
    full = Cache(folder=tmp_path / "full", free_bytes=lambda _: 3)
    with pytest.raises(OildropError, match="no space for the texts of toy: 4 bytes are needed, 3 are free"):
        open_byte_store(make.manifest(make.file(b"text")), full)


def test_a_store_that_breaks_off_leaves_nothing_behind(make: Any, tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "a").write_bytes(b"first")
    manifest = make.manifest(make.file(b"first", str(tmp_path / "a")), make.file(b"second", name="b"))
    with pytest.raises(Unsupported, match="b of toy is not on this machine"):
        open_byte_store(manifest, cache)
    assert [path.suffix for path in (cache.folder / "text").iterdir()] in ([".lock"], [])


class FakeRows(list):  # type: ignore[type-arg]
    column_names = ("text", "label")

    def select_columns(self, names: list[str]) -> list[dict[str, Any]]:
        return [{name: row[name] for name in names} for row in self]


def hub_column(make: Any, content: bytes, **changed: Any) -> HubColumn:
    values = {"kind": "hf", "name": "rows", "repo": "somebody/texts", "revision": "cd" * 20, "split": "train",
              "column": "text", "sha256": make.sha256(content), "bytes": len(content)}  # fmt: skip
    return HubColumn.model_validate(values | changed)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A fake library that answers with two rows and notes what was asked."""
    asked: list[Any] = []

    def load_dataset(repo: str, **named: str) -> FakeRows:
        asked.append((repo, named))
        return FakeRows([{"text": "Öl", "label": 1}, {"text": "drop", "label": 2}])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))  # type: ignore[arg-type]
    return asked


def test_a_hub_column_is_read_at_its_revision_and_checked(make: Any, cache: Cache, hub: list[Any]) -> None:
    content = "Öl\0drop\0".encode()
    assert open_byte_store(make.manifest(hub_column(make, content)), cache).tobytes() == content
    assert hub == [("somebody/texts", {"revision": "cd" * 20, "split": "train"})]


def test_other_texts_and_other_columns_are_refused(make: Any, cache: Cache, hub: list[Any]) -> None:
    content = "Öl\0drop\0".encode()
    with pytest.raises(OildropError, match=f"9 bytes with SHA-256 {make.sha256(content)} found, 4 with .* expected"):
        open_byte_store(make.manifest(hub_column(make, b"else")), cache)
    with pytest.raises(OildropError, match=r"no column 'words' in split 'train'; it has text, label"):
        open_byte_store(make.manifest(hub_column(make, content, column="words")), cache)
    with pytest.raises(OildropError, match="label of row 0 is int, not text"):
        open_byte_store(make.manifest(hub_column(make, content, column="label")), cache)


def test_without_the_library_or_its_data_the_run_is_unsupported(
    make: Any, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make.manifest(hub_column(make, b"text"))
    monkeypatch.setitem(sys.modules, "datasets", None)  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="pip install datasets"):
        open_byte_store(manifest, cache)

    def offline(repo: str, **_: str) -> None:
        raise ConnectionError("offline mode is enabled")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=offline))  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match=r"cannot be had \(ConnectionError\): .*HF_DATASETS_OFFLINE"):
        open_byte_store(manifest, cache)


def test_a_manifest_of_ones_own_becomes_documents(
    make: Any, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "body.txt").write_bytes(BODY)
    (tmp_path / "mine.toml").write_text(
        'schema = "oildrop.data/1"\nname = "mine"\ntitle = "Mine"\nlicence = "CC0-1.0"\nversion = "1"\n'
        'date = "2026-11-22"\nsource = {who = "me", url = "https://example.org"}\n'
        f'[[files]]\nname = "body.txt"\nkind = "text"\nsha256 = "{make.sha256(BODY)}"\nbytes = {len(BODY)}\n'
    )
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
    source = open_text("mine", 16, vocabulary=512, cache=cache)
    assert as_bytes(source.documents(7, 0, 5)[0]) == [TRAIN[k] for k in permutation(7, 0, len(TRAIN))[:5]]
