"""The wheel made from the sdist holds everything and runs outside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ci", "harness", "results", "rules", "site", "suite", "workloads")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOT_FILES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "MANIFEST.in")

pytestmark = pytest.mark.slow


def quiet(command: list[str | Path], cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the unpacked sdist of a copy of the tree, with nothing fetched."""
    copy = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ROOT_FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    out = tmp_path_factory.mktemp("dist")
    quiet([sys.executable, "-P", "-m", "build", "--no-isolation", "--sdist", "--outdir", out], copy)
    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(out, filter="data")
    source = out / sdist.name.removesuffix(".tar.gz")
    quiet([sys.executable, "-P", "-m", "build", "--no-isolation", "--wheel", "--outdir", out], source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of an environment that holds only the wheel; its dependencies come by path from this one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    packages = quiet([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], home).strip()
    # A folder named in a .pth file comes after the wheel, and its own .pth files (our editable install) are not read.
    (Path(packages) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-P", "-m", "pip", "--python", str(python)]
    quiet([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], home)
    return home / "bin"


def shipped_files() -> set[str]:
    """Every file of the seven parts that is code or data, under its name in the wheel."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    suffixes = {Path(pattern).suffix for pattern in patterns} | {".py"}
    files = (path for part in PARTS for path in (ROOT / part).rglob("*"))
    return {"oildrop/" + path.relative_to(ROOT).as_posix() for path in files if path.suffix in suffixes}


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("oildrop/")}
    assert names == shipped_files()
    assert "oildrop/__init__.py" not in names


def test_no_file_of_the_parts_is_of_a_kind_that_is_not_shipped() -> None:
    published = ROOT / "results" / "published"  # runs that stay in the checkout
    parts = {path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file()}
    files = {path for path in parts if published not in path.parents}
    known = {(ROOT / name.removeprefix("oildrop/")) for name in shipped_files()}
    assert {path for path in files - known if "__pycache__" not in path.parts} == set()


def run(installed: Path, folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OILDROP"))}
    command = [installed / "oildrop", *words]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_installed_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    code = "import oildrop.rules; print(oildrop.rules.__file__)"
    assert quiet([installed / "python", "-P", "-c", code], tmp_path).startswith(str(installed.parent))


def test_version_is_that_of_the_project(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "--version").strip() == f"oildrop {PROJECT['project']['version']}"


def test_list_finds_the_rulebook_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    told = json.dumps(json.loads(run(installed, tmp_path, "list", "--json")))
    for name in ("lm-pretrain", "image-classify"):
        assert name in told


def test_page_of_an_empty_store_builds_with_its_templates(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "site", "build", "--store", "store", "--out", "page")
    assert "<html" in (tmp_path / "page" / "index.html").read_text()
