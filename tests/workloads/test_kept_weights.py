"""A file of weights is read back only as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import settings_of
from oildrop.workloads.kept_weights import DamagedCheckpoint, read_checkpoint, read_weights, write_weights
from oildrop.workloads.lm_pretrain.reference import shape_of
from oildrop.workloads.weights_hash import weights_sha256

WEIGHTS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(2, dtype=np.float32)}
SHAPES = {"b": (2, 3), "a": (2,)}


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "deep" / "few.safetensors"
    return path, write_weights(path, WEIGHTS.items())


def test_what_was_written_comes_back_in_canonical_order(kept: tuple[Path, str]) -> None:
    path, sha256 = kept
    found = read_weights(path, sha256, SHAPES)
    assert list(found) == ["b", "a"] and sha256 == weights_sha256(WEIGHTS.items())
    assert all(np.array_equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedCheckpoint, match=r"no checkpoint gone.safetensors .* install"):
        read_weights(tmp_path / "gone.safetensors", "0" * 64, SHAPES)


@pytest.mark.parametrize("length", [0, 7, 60, -1])
def test_a_cut_file_is_refused(kept: tuple[Path, str], length: int) -> None:
    path, sha256 = kept
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedCheckpoint, match=r"few.safetensors cannot be read"):
        read_weights(path, sha256, SHAPES)


def test_one_altered_bit_is_found(kept: tuple[Path, str]) -> None:
    path, sha256 = kept
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DamagedCheckpoint, match=rf"hashes to .* the rulebook names {sha256[:12]}"):
        read_weights(path, sha256, SHAPES)


def test_another_models_file_is_refused(kept: tuple[Path, str]) -> None:
    path, sha256 = kept
    with pytest.raises(DamagedCheckpoint, match=r"b is float32 \(2, 3\), the model's is float32 \(3, 2\)"):
        read_weights(path, sha256, {**SHAPES, "b": (3, 2)})
    with pytest.raises(DamagedCheckpoint, match="differ in 1 tensors, such as c"):
        read_weights(path, sha256, {**SHAPES, "c": (1,)})


def test_a_tier_without_a_checkpoint_says_what_to_do() -> None:
    with pytest.raises(DamagedCheckpoint, match=r"--set weights\.source=random"):
        read_checkpoint("", "", SHAPES)


def test_the_projects_checkpoint_is_what_the_rulebook_names() -> None:
    settings = settings_of(load_rulebook().benchmarks["lm-generate"].tiers["nano"])
    name, sha256 = str(settings["checkpoint.name"]), str(settings["checkpoint.weights_sha256"])
    found = read_checkpoint(name, sha256, shape_of(settings).tensors())
    assert sum(map(np.size, found.values())) == 2 * 256 * 128 + 4 * (512 * 128 + 3 * 344 * 128 + 2 * 128) + 128
