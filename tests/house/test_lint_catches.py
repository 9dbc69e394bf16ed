"""The linters see through the folder mapping: what is planted in a copy is caught."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PARTS = ("ci", "harness", "results", "rules", "site", "suite", "workloads")
LINT_COPY = """
import sys
from importlinter.cli import lint_imports_command
sys.path.insert(0, ".")
sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in repr(finder)]  # the copy, not this checkout
lint_imports_command(["--no-cache"])
"""
LINK = "for part in $(PARTS); do ln -sfn ../../../$$part .venv/typing/oildrop/$$part; done"


def small_house(folder: Path) -> Path:
    """A copy of the configuration with seven parts that hold nothing but their docstring."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / ".venv" / "typing" / "oildrop").mkdir(parents=True)
    for part in PARTS:
        (folder / part).mkdir()
        (folder / part / "__init__.py").write_text(f'"""{part}."""\n')
        (folder / ".venv" / "typing" / "oildrop" / part).symlink_to(f"../../../{part}")
    for part in ("harness/devices", "harness/meters", "harness/ranks", "harness/system"):
        (folder / part).mkdir()
        (folder / part / "__init__.py").write_text('"""Inner."""\n')
    return folder


def mypy(house: Path) -> subprocess.CompletedProcess[str]:
    command = [
        BIN / "mypy",
        "--config-file",
        "../../pyproject.toml",
        "--cache-dir",
        "../../.mypy_cache",
        "-p",
        "oildrop",
    ]
    return subprocess.run(command, cwd=house / ".venv" / "typing", capture_output=True, text=True, check=False)


def test_makefile_links_the_parts_as_this_test_does() -> None:
    assert LINK in (ROOT / "Makefile").read_text()


@pytest.mark.slow
def test_type_error_across_two_parts_is_caught(tmp_path: Path) -> None:
    house = small_house(tmp_path)
    (house / "rules" / "length.py").write_text(
        '"""Length."""\n\n\ndef length_s() -> float:\n    """Any."""\n    return 1.0\n'
    )
    user = house / "results" / "use.py"
    user.write_text('"""Use."""\n\nfrom oildrop.rules.length import length_s\n\nSECONDS: float = length_s()\n')
    clean = mypy(house)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    user.write_text(user.read_text().replace("SECONDS: float", "SECONDS: str"))
    caught = mypy(house)
    assert caught.returncode == 1
    assert 'results/use.py:5: error: Incompatible types in assignment (expression has type "float"' in caught.stdout


PLANTED = [
    ("rules/a.py", "import oildrop.results.b", "A floor imports only the floors under it"),
    ("site/a.py", "import oildrop.harness.b", "A floor imports only the floors under it"),
    ("workloads/a.py", "import oildrop.results.b", "A floor imports only the floors under it"),
    ("ci/a.py", "import oildrop.harness.b", "The device farm starts the executable"),
    ("rules/a.py", "import time", "Rules are pure"),
    ("rules/a.py", "from urllib.request import urlopen", "Rules are pure"),
    ("suite/a.py", "import duckdb", "DuckDB only in results"),
    ("results/a.py", "def f():\n    import torch.nn", "Frameworks only in workloads"),
    ("harness/meters/a.py", "import torch", "Frameworks only in workloads"),
    ("suite/a.py", "import jinja2", "Templates, charts and web service only in site"),
    ("results/a.py", "import psutil", "Process and vendor libraries only in harness"),
]


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What lint-imports says of a house in which every breach of `PLANTED` stands."""
    house = small_house(tmp_path_factory.mktemp("house"))
    for part in ("harness", "results"):
        (house / part / "b.py").write_text('"""Imported."""\n')
    for path, text, _ in PLANTED:
        with (house / path).open("a") as file:
            file.write(text + "\n")
    return lint_imports(house).stdout


def lint_imports(house: Path) -> subprocess.CompletedProcess[str]:
    (house / "oildrop").mkdir()
    for part in PARTS:
        (house / "oildrop" / part).symlink_to(f"../{part}")
    environment = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-c", LINT_COPY]
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "text", "contract"), PLANTED)
def test_planted_import_breaks_its_contract(linted: str, path: str, text: str, contract: str) -> None:
    importer = "oildrop." + path.removesuffix(".py").replace("/", ".")
    target = "urllib" if "urllib" in text else text.split("import ")[1].removesuffix(".nn")
    sections = re.split(r"\n(?=.+\n-{5,}\n)", linted.partition("Broken contracts")[2])
    (section,) = (section for section in sections if section.startswith(contract))
    assert f"{importer} -> {target} " in section


@pytest.mark.slow
def test_house_without_breaches_keeps_every_contract(tmp_path: Path) -> None:
    result = lint_imports(small_house(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout
