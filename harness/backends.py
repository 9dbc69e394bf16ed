"""Which backends there are, and which of them this machine can serve; imports no framework."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from oildrop.harness.detect_hardware import missing_hardware
from oildrop.harness.detect_software import installed_versions, missing_software, needs_of, own_requirements
from oildrop.harness.meters.isolation import Answer, ask_module
from oildrop.harness.system.source import Host, this_host
from oildrop.workloads.registry import ENGINES, framework_of

BACKENDS = (
    "torch-cuda", "torch-rocm", "torch-mps", "torch-cpu", "jax-cuda", "jax-rocm", "jax-tpu", "jax-cpu",
    "mlx-metal", "mlx-cuda", "mlx-cpu",
)  # fmt: skip

AUTO_ORDER = (
    "torch-cuda", "jax-cuda", "mlx-cuda", "torch-rocm", "jax-rocm", "jax-tpu", "torch-mps", "mlx-metal",
    "torch-cpu", "jax-cpu", "mlx-cpu",
)  # fmt: skip
"""Accelerators before processors, and for the same hardware PyTorch, JAX, MLX."""

OPEN_LIMIT_S = 60.0
"""Longest that a framework may take to be imported and to open its device: the first time, from a cold disk, tens of
seconds are usual."""

INSTALL = {
    "torch-cuda": "pip install 'oildrop[torch]' (PyTorch's CUDA build, and NVIDIA's driver)",
    "torch-rocm": "pip install torch --index-url https://download.pytorch.org/whl/rocm6.4",
    "torch-mps": "pip install 'oildrop[torch]' on a Mac with Apple silicon",
    "torch-cpu": "pip install 'oildrop[torch]'",
    "jax-cuda": "pip install 'oildrop[jax]' 'jax[cuda13]' (cuda12 for NVIDIA drivers before 580)",
    "jax-rocm": "pip install 'oildrop[jax]' 'jax[rocm7-local]' on a machine with ROCm 7",
    "jax-tpu": "pip install 'oildrop[jax,tpu]' on a machine with a TPU",
    "jax-cpu": "pip install 'oildrop[jax]'",
    "mlx-metal": "pip install 'oildrop[mlx]' on a Mac with Apple silicon",
    "mlx-cuda": "pip install 'mlx[cuda13]' in an environment without mlx-cpu (cuda12 for NVIDIA drivers before 580)",
    "mlx-cpu": "pip install 'oildrop[mlx]'",
}


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a backend can run here; `reason` and `install` say why not and what would help.

    Attributes:
        version: Of the framework; None where it is not installed.
        devices: Accelerators as the framework names them; empty for a processor, which nobody asked.
    """

    backend: str
    available: bool
    reason: str | None = None
    install: str | None = None
    version: str | None = None
    devices: tuple[str, ...] = ()


@cache
def ask_framework(backend: str) -> Answer:
    """What the framework sees for `backend`, asked once a process: see `detect_child`."""
    return ask_module("oildrop.harness.detect_child", backend, limit_s=OPEN_LIMIT_S)


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Looks at one machine; tests hand in another's files, distributions and answers."""

    host: Host = field(default_factory=this_host)
    installed: Callable[[], dict[str, str]] = installed_versions
    requirements: Callable[[], Iterable[str]] = own_requirements
    ask: Callable[[str], Answer] = ask_framework

    def availability(self, backend: str) -> Availability:
        """Whether `backend` can run here.

        First a look that costs milliseconds: device files, distributions, versions. Only where that finds an
        accelerator is the framework asked, in a child process with a limit of `OPEN_LIMIT_S`. A processor is taken on
        trust: the worker, which imports the framework anyway, ends as `unsupported` where it cannot.
        """
        framework, platform = backend.split("-")
        installed = self.installed()
        version = installed.get(framework)
        reason = missing_hardware(platform, self.host) or missing_software(
            backend, needs_of(framework, self.requirements()), installed
        )
        devices: tuple[str, ...] = ()
        if reason is None and platform != "cpu":
            reason, devices = _understood(self.ask(backend))
        return Availability(
            backend=backend,
            available=reason is None,
            reason=reason,
            install=None if reason is None else INSTALL[backend],
            version=version,
            devices=devices,
        )

    def choose(self, frameworks: Collection[str]) -> tuple[str, str]:
        """See `choose_backend`."""
        passed: dict[str, list[str]] = {}
        order = [backend for backend in AUTO_ORDER if framework_of(backend) in frameworks]
        for backend in order:
            found = self.availability(backend)
            if found.available:
                devices = f" on {found.devices[0]}" if found.devices else ""
                others = f" ({_told(passed)})" if passed else ""
                return backend, f"first that can run here{devices}{others}"
            passed.setdefault(found.reason or "", []).append(backend)
        return "torch-cpu", _told(passed)


def availability(backend: str) -> Availability:
    """Whether `backend` can run on this machine (see `Detector.availability`)."""
    return Detector().availability(backend)


def availabilities() -> list[Availability]:
    """Every backend's, in the order of `BACKENDS`; frameworks are asked side by side."""
    detector = Detector()
    detector.installed()  # once, before eleven threads would each read it
    with ThreadPoolExecutor(len(BACKENDS)) as pool:
        return list(pool.map(detector.availability, BACKENDS))


def choose_backend(frameworks: Collection[str] = tuple(ENGINES)) -> tuple[str, str]:
    """The backend that `auto` stands for, and why: the first of `AUTO_ORDER` that can run here.

    Args:
        frameworks: Those that the benchmarks to run are written in.
    """
    return Detector().choose(frameworks)


def _understood(answer: Answer) -> tuple[str | None, tuple[str, ...]]:
    """Why the backend cannot run, or the names of its devices."""
    said: Any = answer.value
    if not isinstance(said, dict):
        return answer.reason or "the framework answered something else than was asked", ()
    if said.get("reason") is not None:
        return str(said["reason"]), ()
    names = tuple(str(device["name"]) for device in said.get("devices", ()))
    return (None, names) if names else ("the framework shows no device", ())


def _told(passed: dict[str, list[str]]) -> str:
    """Reasons with the backends that they hold for: `torch-cuda, jax-cuda: no NVIDIA device is visible; …`."""
    return "; ".join(f"{', '.join(backends)}: {reason}" for reason, backends in passed.items())
