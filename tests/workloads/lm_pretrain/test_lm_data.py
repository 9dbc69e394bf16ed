"""Where documents come from, and in which order."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import UsageError
from oildrop.workloads.lm_pretrain.data import source_of
from oildrop.workloads.lm_pretrain.lesson import LmPretrain
from oildrop.workloads.lm_pretrain.source import Source


def test_without_a_manifest_documents_are_the_generated_language(tiny_settings: dict[str, Any]) -> None:
    source = source_of(tiny_settings)
    assert isinstance(source, Source)
    assert source.documents(1, 0, 3)[1].min() > 0


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A manifest of one made text, found through the environment."""
    text = bytes(np.random.default_rng(1).integers(0, 256, size=400_000, dtype=np.uint8))
    (tmp_path / "made.txt").write_bytes(text)
    (tmp_path / "made.toml").write_text(f"""schema = "oildrop.data/1"
name = "made"
title = "Made for this test"
licence = "Apache-2.0"
version = "1"
date = "2026-11-24"
[source]
who = "this test"
url = "https://example.org/made"
[[files]]
name = "made.txt"
kind = "text"
sha256 = "{hashlib.sha256(text).hexdigest()}"
bytes = {len(text)}
urls = []
""")
    monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
    monkeypatch.setenv("OILDROP_CACHE", str(tmp_path / "cache"))
    return text


def test_with_a_manifest_the_lesson_reads_real_text(texts: bytes, tiny_settings: dict[str, Any]) -> None:
    lesson = LmPretrain(tiny_settings | {"data.manifest": "made", "data.words": 300, "evaluation.documents": 2})
    lesson.load()
    (tokens,) = next(lesson.batches(5))
    assert tokens.shape == (4, 65) and (tokens[:, 0] == 0).all()
    assert all(bytes((row[1:] - 1).astype(np.uint8)) in texts for row in tokens)
    assert lesson.held_out().source_nats.tolist() == [0.0, 0.0]


def test_text_needs_a_vocabulary_that_holds_bytes(texts: bytes, tiny_settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"256 tokens.*257"):
        source_of(tiny_settings | {"data.manifest": "made"})
