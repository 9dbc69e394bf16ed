"""Whether `torch.compile` can build its kernels here, asked before it fails halfway."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from oildrop.rules.errors import Unsupported

Function = TypeVar("Function", bound=Callable[..., Any])


def require_compiler() -> None:
    """Check for the C++ compiler and Python header that Inductor needs.

    Raises:
        Unsupported: either is missing; says which, and what to install.
    """
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    if not any(shutil.which(name) for name in wanted):
        raise Unsupported(
            f"execution.compile is inductor, which needs a C++ compiler: none of {', '.join(wanted)} is on PATH. "
            "Install one (Debian: apt install g++; macOS: xcode-select --install) or use execution.compile=eager"
        )
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise Unsupported(
            f"execution.compile is inductor, which needs {header}: it is missing. "
            "Install Python's headers (Debian: apt install python3-dev) or use execution.compile=eager"
        )


def in_own_graphs(function: Function, **options: Any) -> Function:
    """`function` compiled, its graphs counted and kept apart from those of the same code in another object.

    Where more of them would be needed than PyTorch allows it raises; it never goes on uncompiled.
    """
    compiled: Function = torch.compile(function, fullgraph=True, isolate_recompiles=True, **options)  # type: ignore[call-overload]
    return compiled
