"""What surrounds one run: settings as the log names them, the device that it occupies, its scratch folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oildrop.rules import keys
from oildrop.rules.records import RunSpec


def optimizer_events(spec: RunSpec) -> Iterator[tuple[str, Any]]:
    """The optimizer's settings under the logging convention's names: `opt_name`, `opt_base_learning_rate`, …."""
    renamed = {"learning_rate": keys.OPT_BASE_LEARNING_RATE}
    for key, value in spec.settings.items():
        section, _, name = key.partition(".")
        if section == "optimizer":
            yield renamed.get(name, f"opt_{name}"), value


def device_name(backend: str) -> str:
    """What two runs must share to disturb each other: the processor, or the first accelerator."""
    return "cpu" if backend.endswith("-cpu") else "accelerator-0"


@contextmanager
def checkpoint_folder(spec: RunSpec) -> Iterator[Path | None]:
    """A scratch folder for checkpoints, removed at the end; None where the run may not be restarted."""
    if spec.max_restarts == 0:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="oildrop-checkpoints-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def fresh_caches() -> Iterator[dict[str, str]]:
    """Environment that points every compile cache at an empty folder of this run; removed at its end."""
    with tempfile.TemporaryDirectory(prefix="oildrop-caches-", ignore_cleanup_errors=True) as folder:
        yield {
            "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor",
            "TRITON_CACHE_DIR": f"{folder}/triton",
            "CUDA_CACHE_PATH": f"{folder}/cuda",
            "TMPDIR": folder,  # MLX keeps there what it compiles for a processor
        }
