"""A PyTorch that drives one imaginary NVIDIA device, in NumPy; a child finds it as `torch.py` on PYTHONPATH.

TORCH_STAND_IN is the mood it is in: `noise` prints around everything, `hang` and `crash` do so when imported,
`broken` lacks a library, `tf32` shortens factors whatever it was told, `old` is a GPU without bf16, `none` sees no GPU.
"""

import os
import time
from types import SimpleNamespace

import numpy as np

MOOD = os.environ.get("TORCH_STAND_IN", "")
__version__ = "99.0"
version = SimpleNamespace(cuda="13.0", hip=None)
backends = SimpleNamespace(
    cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)),
    cudnn=SimpleNamespace(allow_tf32=True, conv=SimpleNamespace(fp32_precision="tf32")),
    cpu=SimpleNamespace(get_cpu_capability=lambda: "NONE"),
    fp32_precision="none",
)


class Tensor:
    def __init__(self, array):
        self.array = array

    def to(self, device):
        assert str(device) == "cuda:0"
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.array

    def contiguous(self):
        return self

    @property
    def T(self):
        return Tensor(self.array.T)

    def __getitem__(self, key):
        return Tensor(self.array[key])


class Device:
    def __init__(self, kind, index):
        self.type, self.index = kind, index

    def __str__(self):
        return f"{self.type}:{self.index}"


def device(kind, index=0):
    return Device(kind, index)


def from_numpy(array):
    return Tensor(array)


def _kept(array, allowed):
    """What the units see of a factor: with TF32, 11 bits of its fraction."""
    if not allowed:
        return array
    fraction, exponent = np.frexp(array)
    return np.ldexp(np.round(fraction * 2**11) / 2**11, exponent).astype(np.float32)


def matmul(left, right):
    allowed = MOOD == "tf32" or backends.cuda.matmul.allow_tf32
    return Tensor(_kept(left.array, allowed) @ _kept(right.array, allowed))


def _conv2d(images, filters):
    allowed = backends.cudnn.allow_tf32
    product = _kept(images.array[:, :, 0, 0], allowed) @ _kept(filters.array[:, :, 0, 0], allowed).T
    return Tensor(product[:, :, None, None])


def set_float32_matmul_precision(name):
    assert name == "highest"


nn = SimpleNamespace(functional=SimpleNamespace(conv2d=_conv2d))
get_float32_matmul_precision = lambda: "highest"  # noqa: E731
get_num_threads = lambda: 1  # noqa: E731
OutOfMemoryError = MemoryError
_PROPERTIES = SimpleNamespace(name="Imaginary H900", total_memory=2**36, uuid="1-2-3")
cuda = SimpleNamespace(
    is_available=lambda: MOOD != "none",
    device_count=lambda: 1,
    get_device_properties=lambda handle: _PROPERTIES,
    get_device_capability=lambda handle: (7, 5) if MOOD == "old" else (9, 0),
    synchronize=lambda handle: None,
    max_memory_reserved=lambda handle: 1,
)

if MOOD == "noise":
    os.system("echo a driver says hello")
    print("PyTorch says hello too", end="", flush=True)
if MOOD == "hang":
    time.sleep(60)
if MOOD == "crash":
    os.abort()
if MOOD == "broken":
    raise ImportError("libimaginary.so.9: cannot open shared object file")
