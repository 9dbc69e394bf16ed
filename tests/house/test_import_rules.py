"""Which file may import what: over the syntax tree, where import-linter sees only modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ci", "harness", "results", "rules", "site", "suite", "workloads")
FRAMEWORKS = {"torch": "_torch", "triton": "_torch", "jax": "_jax", "jaxlib": "_jax", "mlx": "_mlx"}
HEAVY = ("scipy", "sklearn", "pandas", "pyarrow", *FRAMEWORKS)
VENDORS = ("pynvml", "amdsmi", "libtpu")


def sources() -> list[Path]:
    return sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The first name of every absolute import among `nodes`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: no function bodies, no `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(tree):
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not lazy and not typing_only:
            yield child
            yield from at_import(child)


def may_import(path: Path, framework: str) -> bool:
    part, *rest = path.relative_to(ROOT).parts
    if part == "harness":
        return rest[0] == "devices"
    return part == "workloads" and path.stem.endswith(FRAMEWORKS[framework])


def framework_breaches(path: Path, text: str) -> list[str]:
    names = set(imported(ast.walk(ast.parse(text))))
    return [name for name in FRAMEWORKS if name in names and not may_import(path, name)]


def heavy_breaches(path: Path, text: str) -> list[str]:
    names = set(imported(at_import(ast.parse(text))))
    return [name for name in HEAVY if name in names and not (name in FRAMEWORKS and may_import(path, name))]


def vendor_breaches(path: Path, text: str) -> list[str]:
    if path.relative_to(ROOT).parts[0] == "harness":
        return []
    return [name for name in VENDORS if name in set(imported(ast.walk(ast.parse(text))))]


CHECKS = [framework_breaches, heavy_breaches, vendor_breaches]


@pytest.mark.parametrize("check", CHECKS)
def test_tree_keeps_the_rule(check) -> None:
    found = {str(path.relative_to(ROOT)): check(path, path.read_text()) for path in sources()}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("check", "name", "text", "expected"),
    [
        (framework_breaches, "workloads/lm_pretrain/model.py", "def f():\n    import torch.nn", ["torch"]),
        (framework_breaches, "workloads/lm_pretrain/model_torch.py", "from torch import nn", []),
        (framework_breaches, "workloads/lm_pretrain/model_torch.py", "import jax", ["jax"]),
        (framework_breaches, "harness/devices/find.py", "import torch", []),
        (framework_breaches, "harness/worker.py", "import torch", ["torch"]),
        (framework_breaches, "rules/judge_torch.py", "import torch", ["torch"]),
        (heavy_breaches, "rules/statistics.py", "from scipy import stats", ["scipy"]),
        (heavy_breaches, "rules/statistics.py", "def f():\n    from scipy import stats", []),
        (heavy_breaches, "rules/statistics.py", "try:\n    import pandas\nfinally:\n    pass", ["pandas"]),
        (heavy_breaches, "results/a.py", "if TYPE_CHECKING:\n    import pyarrow", []),
        (heavy_breaches, "harness/devices/find.py", "import torch", []),
        (vendor_breaches, "suite/a.py", "def f():\n    import pynvml", ["pynvml"]),
        (vendor_breaches, "harness/meters/nvidia.py", "import pynvml", []),
    ],
)
def test_planted_import_is_judged(check, name: str, text: str, expected: list[str]) -> None:
    assert check(ROOT / name, text) == expected


def test_importing_every_framework_free_module_loads_nothing_heavy() -> None:
    modules = [
        "oildrop." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources()
        if not path.stem.endswith(tuple(FRAMEWORKS.values())) and "harness/devices" not in path.as_posix()
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
