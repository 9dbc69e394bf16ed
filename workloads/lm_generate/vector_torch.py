"""Products of a large matrix with one vector on a processor, in C++, as one step of a compiled graph.

Inductor's own loop over a row is one chain of additions, each of which waits for the one before; where numbers are
small, that and not the memory is what it waits for. `vector_products.cpp` keeps many chains. Inductor builds it, as it
builds what it writes itself, so that both share compiler, cache and threads.

Shape suffixes: O outputs, I inputs.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from oildrop.rules.errors import Unsupported

SOURCE = Path(__file__).with_name("vector_products.cpp")

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int8: "int8"}

LEAST = 2**18
"""Numbers of a matrix from which it pays: a call from a graph takes 10 to 20 us, as long as a loop over so many."""

_OPERATORS = torch.library.Library("oildrop", "FRAGMENT")
_OPERATORS.define("vector_product(Tensor weight, Tensor x) -> Tensor")


def takes(weight_OI: Tensor) -> bool:
    """Whether `vector_product` is made for this matrix."""
    outputs, inputs = weight_OI.shape
    return (
        weight_OI.device.type == "cpu"
        and weight_OI.dtype in NAMES
        and outputs * inputs >= LEAST
        and inputs % 2 == 0
        and weight_OI.is_contiguous()
    )


def vector_product(weight_OI: Tensor, x_I: Tensor) -> Tensor:
    """fp32 [O] from a matrix that `takes` holds for and fp32 [I].

    Raises:
        Unsupported: The C++ compiler that Inductor uses cannot build it.
    """
    product: Tensor = torch.ops.oildrop.vector_product(weight_OI, x_I)
    return product


def _product(weight_OI: Tensor, x_I: Tensor) -> Tensor:
    x_I = x_I.contiguous()
    y_O = x_I.new_empty(len(weight_OI))
    function = getattr(_library(), f"product_{NAMES[weight_OI.dtype]}")
    function(weight_OI.data_ptr(), x_I.data_ptr(), y_O.data_ptr(), *weight_OI.shape)
    return y_O


_OPERATORS.impl("vector_product", _product, "CPU")


def _shape_alone(weight_OI: Tensor, x_I: Tensor) -> Tensor:
    return x_I.new_empty(len(weight_OI))


torch.library.register_fake("oildrop::vector_product", _shape_alone, lib=_OPERATORS)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    from torch._inductor.codecache import CppCodeCache
    from torch._inductor.exc import CppCompileError

    try:
        library: ctypes.CDLL = CppCodeCache.load(SOURCE.read_text())
    except CppCompileError as error:
        said = str(error).strip().rpartition("\n")[2]
        raise Unsupported(
            f"execution.compile is inductor, whose C++ compiler does not build {SOURCE.name}: {said}. "
            "Set CXX to another (GCC from 9 on is known to), or use execution.compile=eager"
        ) from error
    for name in NAMES.values():
        function = getattr(library, f"product_{name}")
        function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 2
        function.restype = None
    return library
