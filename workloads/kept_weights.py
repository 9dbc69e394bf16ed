"""Trained weights in files: written after a run's clock, read back only when nothing about them has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError
from oildrop.workloads.weights_hash import weights_sha256

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""The project's own."""


class DamagedCheckpoint(OildropError):
    """A file of weights is missing, cut, or not what the rulebook names."""


def write_weights(path: Path, weights: Iterable[tuple[str, NDArray[np.float32]]]) -> str:
    """Write the tensors to `path` and return the hash over all of them (`weights_hash.py`).

    Raises:
        OSError: The folder cannot be made or the file not written.
    """
    from safetensors.numpy import save

    tensors = [(name, np.ascontiguousarray(values, dtype="<f4")) for name, values in weights]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(dict(tensors)))
    return weights_sha256(tensors)


def read_weights(path: Path, sha256: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The tensors of `path` in the order of `shapes`.

    Raises:
        DamagedCheckpoint: The file is missing or cut, holds other tensors, or hashes to something else than `sha256`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(path.read_bytes())
    except FileNotFoundError:
        raise DamagedCheckpoint(f"no checkpoint {path.name} in {path.parent.name}/; install Oildrop again") from None
    except (OSError, SafetensorError) as error:
        raise DamagedCheckpoint(f"checkpoint {path.name} cannot be read ({error}); install Oildrop again") from error
    if found.keys() != shapes.keys():
        odd = sorted(found.keys() ^ shapes.keys())
        raise DamagedCheckpoint(
            f"checkpoint {path.name} and the model differ in {len(odd)} tensors, such as {odd[0]}; it was trained at "
            "other model settings: serve it at those"
        )
    for name, shape in shapes.items():
        if found[name].shape != shape or found[name].dtype != np.float32:
            raise DamagedCheckpoint(
                f"checkpoint {path.name}: {name} is {found[name].dtype} {found[name].shape}, the model's is float32 "
                f"{shape}; it was trained at other model settings: serve it at those"
            )
    weights = {name: found[name] for name in shapes}
    hashed = weights_sha256(weights.items())
    if hashed != sha256:
        raise DamagedCheckpoint(
            f"checkpoint {path.name} hashes to {hashed[:12]}, the rulebook names {sha256[:12]}: it was altered; "
            "install Oildrop again"
        )
    return weights


def read_checkpoint(name: str, sha256: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The project's checkpoint `name`, as `read_weights`.

    Raises:
        DamagedCheckpoint: As there, or where the rulebook names none.
    """
    if not name:
        raise DamagedCheckpoint("this tier has no checkpoint; serve random weights: --set weights.source=random")
    return read_weights(CHECKPOINTS / f"{name}.safetensors", sha256, shapes)
