"""Opens JAX's processor in a process of its own, tries it, and prints what happened as one line of JSON."""

import json
import time
from types import SimpleNamespace

import jax

from oildrop.harness.devices import jax_devices
from oildrop.harness.devices.opening import (
    device_uuids,
    facts_of,
    is_out_of_memory,
    open_device,
    runtime_of,
    supports_dtype,
)
from oildrop.rules.errors import Unsupported


def refusal(backend):
    try:
        open_device(backend)
    except Unsupported as error:
        return str(error)
    return None


def waits(device, keep):
    """Seconds that some work takes, that synchronising waits for it, and that are then left to wait for its result."""
    work = jax.jit(lambda x: jax.lax.fori_loop(0, 30, lambda _, y: y @ y / 1000, x))
    x = jax.numpy.ones((600, 600))
    work(x).block_until_ready()
    work_s = timed(lambda: work(x).block_until_ready())
    kept = [work(x)]
    if not keep:
        kept.clear()
    return {
        "work_s": work_s,
        "waited_s": timed(device.synchronize),
        "left_s": timed(lambda: jax.block_until_ready(kept)),
    }


def timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def out_of_memory():
    try:
        jax.numpy.zeros((2**22, 2**22)).block_until_ready()
    except Exception as error:
        return is_out_of_memory(error, "jax-cpu")


def bf16(backend, capability):
    stand_in = SimpleNamespace(backend=backend, handle=SimpleNamespace(compute_capability=capability))
    return supports_dtype(stand_in, "bf16")


def with_memory(stats):
    """Peak of a device that answers `stats`."""
    stand_in = object.__new__(jax_devices.JaxDevice)
    stand_in.handle = SimpleNamespace(platform="gpu", memory_stats=lambda: stats)
    return stand_in.memory_peak_bytes()


found = {"no_plugin": refusal("jax-rocm")}
jax.config.update("jax_default_matmul_precision", "bfloat16")
device = open_device("jax-cpu")
found |= {
    "platform": device.handle.platform,
    "computed": float((jax.numpy.ones((3, 3)) @ jax.numpy.ones((3, 3))).sum()),
    "runtime": runtime_of(device),
    "uuids": device_uuids(device),
    "facts": [facts.name for facts in facts_of(device)],
    "kept": waits(device, True),
    "dropped": waits(device, False),
    "memory": device.memory_peak_bytes(),
    "memory_of_gpu": [with_memory({"peak_bytes_in_use": 7}), with_memory(None)],
    "out_of_memory": [out_of_memory(), is_out_of_memory(ValueError("RESOURCE_EXHAUSTED"), "jax-cpu")],
    "bf16": [bf16("jax-cuda", "7.5"), bf16("jax-cuda", "8.0"), bf16("jax-cuda", "12.0"), bf16("jax-rocm", "gfx942")],
    "other_platform": refusal("jax-cuda"),
}
exact = jax.numpy.matmul
jax.numpy.matmul = lambda a, b: exact(a.astype("bfloat16"), b.astype("bfloat16")).astype("float32")
found["rounding"] = refusal("jax-cpu")
print(json.dumps(found))
