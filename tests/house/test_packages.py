"""The package list, the folders and their `__init__` files agree, and nothing shadows a library."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PARTS = ("ci", "harness", "results", "rules", "site", "suite", "workloads")


def folders_with_code() -> list[Path]:
    return sorted({path.parent for part in PARTS for path in (ROOT / part).rglob("*.py")})


def test_package_list_names_exactly_the_folders_with_code() -> None:
    folders = ["oildrop." + ".".join(folder.relative_to(ROOT).parts) for folder in folders_with_code()]
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_every_part_is_mapped_to_its_folder() -> None:
    mapping = {f"oildrop.{part}": part for part in PARTS}
    assert PROJECT["tool"]["setuptools"]["package-dir"] == mapping


@pytest.mark.parametrize("folder", folders_with_code(), ids=lambda path: str(path.relative_to(ROOT)))
def test_init_holds_only_the_docstring_that_maps_its_folder(folder: Path) -> None:
    body = ast.parse((folder / "__init__.py").read_text()).body
    assert len(body) == 1, "only a docstring"
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)


def test_tests_and_benchmarks_are_no_packages() -> None:
    assert not [path for part in ("tests", "benchmarks") for path in (ROOT / part).rglob("__init__.py")]


def test_test_file_names_are_unique() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_no_file_or_folder_is_named_like_a_library() -> None:
    taken = {"torch", "jax", "mlx", "types"}
    found = [path for part in PARTS for path in (ROOT / part).rglob("*") if path.stem in taken]
    assert not found


@pytest.mark.parametrize("name", ["results", "rules", "suite", "workloads", "harness.clock"])
def test_parts_import_only_under_oildrop(name: str) -> None:
    command = [sys.executable, "-P", "-c", f"import {name}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in result.stderr


def test_site_is_still_the_standard_library_module() -> None:
    code = "import site, oildrop.site; print(site.__file__); print(oildrop.site.__file__)"
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    standard, ours = result.stdout.splitlines()
    assert standard.endswith("/site.py")
    assert Path(ours) == ROOT / "site" / "__init__.py"
