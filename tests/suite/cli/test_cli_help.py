"""The screen that a person sees first: complete, small, and quick."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from oildrop.suite.cli.main import COMMANDS, main

OILDROP = Path(sys.executable).with_name("oildrop")
HEAVY = (
    "torch",
    "jax",
    "mlx",
    "numpy",
    "pandas",
    "duckdb",
    "scipy",
    "sklearn",
    "pyarrow",
    "pydantic",
    "rich",
    "psutil",
)
GROUPS = ("site", "prefill")
GROUPED = ("site build", "site serve", "prefill serve")


@pytest.mark.parametrize("command", ["", *COMMANDS, *GROUPED])
def test_help_of_every_command_fits_a_screen_of_24_by_80(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    lines = shown.rstrip("\n").split("\n")
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"Usage: oildrop {command}".rstrip())
    assert "--help" in shown


@pytest.mark.parametrize("command", [*(name for name in COMMANDS if name not in GROUPS), *GROUPED])
def test_every_command_offers_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*command.split(), "-h"])
    assert "--json" in capsys.readouterr().out


def test_the_table_names_every_command_module_once() -> None:
    import oildrop.suite.cli as package

    folder = Path(next(iter(package.__path__)))
    with_app = {path.stem for path in folder.glob("*.py") if "@app.command" in path.read_text()}
    assert with_app == set(COMMANDS)


def test_top_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, json; from oildrop.suite.cli.main import main; main(['--help']); "
        "print('MODULES', json.dumps(sorted(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(json.loads(shown.rpartition("MODULES ")[2]))
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("oildrop.") and not name.startswith("oildrop.suite")} - {
        "oildrop.rules",
        "oildrop.rules.errors",
    }


def test_version_is_that_of_the_distribution() -> None:
    done = subprocess.run([OILDROP, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"oildrop {version('oildrop')}\n"


@pytest.mark.parametrize("words", [[], ["site"]])
def test_a_command_without_its_command_shows_help_and_fails(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Usage: oildrop" in shown.err
