"""Which backends there are, and which of them this machine can serve; imports no framework."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from oildrop.workloads.registry import TRAIN_TASKS, framework_of

BACKENDS = (
    "torch-cuda", "torch-rocm", "torch-mps", "torch-cpu", "jax-cuda", "jax-rocm", "jax-tpu", "jax-cpu",
    "mlx-metal", "mlx-cuda", "mlx-cpu",
)  # fmt: skip
AUTO_ORDER = ("torch-cuda", "torch-rocm", "torch-mps", "torch-cpu")
PROBE_LIMIT_S = 60.0
INSTALL = {
    "torch-cuda": "pip install 'oildrop[torch]' (PyTorch's CUDA build, and NVIDIA's driver)",
    "torch-rocm": "pip install torch --index-url https://download.pytorch.org/whl/rocm6.4",
    "torch-mps": "pip install 'oildrop[torch]' on a Mac with Apple silicon",
    "torch-cpu": "pip install 'oildrop[torch]'",
}
_PROBE = (
    "import torch;"
    "print('rocm' if torch.version.hip else 'cuda' if torch.version.cuda else 'cpu', torch.cuda.is_available())"
)


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a backend can run here; `reason` and `install` say why not and what would help."""

    backend: str
    available: bool
    reason: str | None = None
    install: str | None = None


def availability(backend: str) -> Availability:
    """Whether `backend` can run here, from what is installed and which device files exist.

    A look, not a proof: the framework is imported by the worker alone, which ends as `unsupported`
    when it finds no device after all.
    """
    framework = framework_of(backend)
    if framework not in {name for _, name in TRAIN_TASKS}:
        written = ", ".join(sorted({name for _, name in TRAIN_TASKS}))
        reason = f"no workload is written for {framework} in this release; workloads are written for {written}"
        return Availability(backend=backend, available=False, reason=reason, install=f"use --backend {written}-cpu")
    if importlib.util.find_spec(framework) is None:
        return _missing(backend, f"{framework} is not installed in {sys.prefix}")
    hardware = _missing_hardware(backend)
    if hardware is not None:
        return _missing(backend, hardware)
    return Availability(backend=backend, available=True)


def choose_backend() -> tuple[str, str]:
    """The backend that `auto` stands for, and why: the first accelerator that PyTorch drives, else the CPU."""
    passed: list[str] = []
    for backend in AUTO_ORDER:
        found = availability(backend)
        if found.available and backend in ("torch-cuda", "torch-rocm"):
            found = _probe_torch(backend)
        if found.available:
            others = "; ".join(passed)
            return backend, f"first that can run here ({others})" if others else "first that can run here"
        passed.append(f"{backend}: {found.reason}")
    return "torch-cpu", "; ".join(passed)


def _missing(backend: str, reason: str) -> Availability:
    return Availability(backend=backend, available=False, reason=reason, install=INSTALL.get(backend))


def _missing_hardware(backend: str) -> str | None:
    """Why the machine has no device for `backend`, or None when it seems to have one."""
    if backend == "torch-cuda" and not _any_exists("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvhost-gpu", "/dev/dxg"):
        return "no NVIDIA device is visible (no /dev/nvidiactl)"
    if backend == "torch-rocm" and not _any_exists("/dev/kfd"):
        return "no AMD accelerator is visible (no /dev/kfd)"
    if backend == "torch-mps" and (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return "this is no Mac with Apple silicon"
    return None


def _any_exists(*paths: str) -> bool:
    return any(Path(path).exists() for path in paths)


def _probe_torch(backend: str) -> Availability:
    """Ask PyTorch itself, in a child with a time limit: a driver may hang."""
    command = [sys.executable, "-P", "-c", _PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_LIMIT_S, env=os.environ.copy())
    except subprocess.TimeoutExpired:
        return _missing(backend, f"PyTorch did not answer within {PROBE_LIMIT_S:g} s")
    words = answer.stdout.split()
    if answer.returncode != 0 or len(words) != 2:
        return _missing(backend, f"PyTorch cannot be imported (exit code {answer.returncode})")
    if words[0] != backend.removeprefix("torch-"):
        return _missing(backend, f"the installed PyTorch is built for {words[0]}")
    return (
        Availability(backend=backend, available=True)
        if words[1] == "True"
        else _missing(backend, "PyTorch finds no device")
    )
