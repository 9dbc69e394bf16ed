"""JAX's devices: CPU, CUDA, ROCm and TPU, one platform a process."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import jax

from oildrop.harness.devices.resident import resident_peak_bytes
from oildrop.rules.errors import Unsupported

PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}
"""What a device says its platform is, by the name under which JAX is asked for it."""


class JaxDevice:
    """The first device of one platform."""

    def __init__(self, backend: str, handle: jax.Device) -> None:
        self.backend = backend
        self.handle: Any = handle
        self._one = jax.device_put(1, handle)
        self._last = jax.jit(lambda one: one + 1)

    def synchronize(self) -> None:
        """Wait for host callbacks, for every array that is alive, and for a computation behind all others.

        The last one ends after those whose results nobody kept; it covers the compute queue, the arrays the copies.
        """
        jax.effects_barrier()
        jax.block_until_ready(jax.live_arrays())
        self._last(self._one).block_until_ready()

    def memory_peak_bytes(self) -> int | None:
        """High-water mark of JAX's allocator, bytes; on the CPU of the process's resident set."""
        if self.handle.platform == "cpu":
            return resident_peak_bytes()
        return (self.handle.memory_stats() or {}).get("peak_bytes_in_use")


def make_jax_device(backend: str) -> JaxDevice:
    """The first device of `backend`'s platform, the only one that JAX may use in this process.

    Raises:
        Unsupported: JAX finds no such device, or took another platform before.
    """
    platform = backend.removeprefix("jax-")
    os.environ["JAX_PLATFORMS"] = platform
    jax.config.update("jax_platforms", platform)
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        handle = jax.local_devices()[0]
    # A plug-in reports a missing device by whatever error its vendor chose, AssertionError among them.
    except Exception as error:
        detail = (str(error).splitlines() or ["no reason given"])[0]
        raise Unsupported(
            f"{backend}: JAX {jax.__version__} finds no {platform} device ({type(error).__name__}: {detail}); "
            f"it needs JAX's part for {platform} and the device's driver"
        ) from error
    if handle.platform != PLATFORMS[platform]:
        raise Unsupported(
            f"{backend}: JAX already runs on {handle.platform} in this process; start {backend} in a fresh one"
        )
    return JaxDevice(backend, handle)


def jax_runtime() -> dict[str, Any]:
    """What JAX says of itself and of the platform that it was opened on."""
    handle = jax.local_devices()[0]
    config: Any = jax.config
    return {
        "framework": "jax",
        "version": jax.__version__,
        "jaxlib": version("jaxlib"),
        "platform": handle.platform,
        "platform_version": handle.client.platform_version,
        "device_kind": handle.device_kind,
        "default_matmul_precision": config.jax_default_matmul_precision,
        "threads": _threads() if handle.platform == "cpu" else None,
        "xla_flags": os.environ.get("XLA_FLAGS"),
    }


def is_jax_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is an allocation that XLA could not make."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def _threads() -> int:
    """XLA's pool on the CPU: a thread for each processor that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
