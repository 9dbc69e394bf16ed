"""Every mutant and each gate that catches it, as a table: `pytest -s tests/workloads/mutant_table.py [-k jax]`.

Not collected with the tests, which ask each mutant only for the first gate. The table is kept in docs/decisions/013.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def mutants(framework: str) -> Any:
    """The module `test_mutants_<framework>`."""
    path = Path(__file__).with_name(f"test_mutants_{framework}.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(framework: str, settings: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, list[str]]]:
    """Benchmark, mutant, and the gates that it fails."""
    of = mutants(framework)
    for task, table in (("lm_pretrain", of.LM), ("image_classify", of.IMAGE)):
        for name, mutate in table.items():
            with pytest.MonkeyPatch.context() as patch:
                mutate(patch)
                yield task, name, list(of.failed_gates(task, settings[task]))


@pytest.mark.timeout(0)
@pytest.mark.parametrize("framework", ["torch", "jax", "mlx"])
def test_print(framework: str, tiny_settings: dict[str, Any], small_settings: dict[str, Any]) -> None:
    threads = {} if framework == "torch" else {"execution.threads": 0}
    settings = {"lm_pretrain": tiny_settings | threads, "image_classify": small_settings | threads}
    caught = count = 0
    for task, name, gates in rows(framework, settings):
        count, caught = count + 1, caught + bool(gates)
        print(f"| {task} | {name} | {framework} | {', '.join(gates) or 'NONE'} |", flush=True)
    print(f"{framework}: {caught} of {count} caught")
