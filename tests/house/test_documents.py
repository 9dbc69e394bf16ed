"""What the documents say is there is there, and what is there is documented."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest
import typer

from oildrop.suite.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_LINE = re.compile(r"(?:^|[`$ ])(?:\.venv/bin/)?(oildrop (?!-)[a-z][^`\n]*)", re.MULTILINE)


def code(text: str) -> str:
    """The fenced blocks and the inline code of a document, a line each."""
    fenced = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*fenced, *inline])


def command_lines(text: str) -> list[list[str]]:
    """The `oildrop …` lines of a document as words, up to a comment or a pipe."""
    lines = COMMAND_LINE.findall(code(text))
    return [re.split(r"\s[#|&;>]", line)[0].split()[1:] for line in lines]


def tree() -> dict[str, set[str]]:
    """Every command by its words, with its options."""
    root = typer.main.get_command(app)
    return dict(_walk(root, click.Context(root), ()))


def _walk(command: click.Command, context: click.Context, words: tuple[str, ...]):
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    yield " ".join(words), options | {"--help", "-h"}
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from _walk(inner, click.Context(inner, parent=context), (*words, name))


@pytest.fixture(scope="module")
def commands() -> dict[str, set[str]]:
    return tree()


def longest(words: list[str], commands: dict[str, set[str]]) -> str:
    """The command that a line starts with, by its most words."""
    starts = [" ".join(words[:count]) for count in (2, 1)]
    return next((start for start in starts if start in commands), "")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_commands_and_options_exist(document: Path, commands: dict[str, set[str]]) -> None:
    for words in command_lines(document.read_text()):
        command = longest(words, commands)
        assert command, f"{document.name}: no command in: oildrop {' '.join(words)}"
        used = {word.split("=")[0] for word in words if word.startswith("--") and len(word) > 2}
        assert used <= commands[command], f"{document.name}: oildrop {command} has no {used - commands[command]}"


def test_every_command_is_documented(commands: dict[str, set[str]]) -> None:
    told = {longest(words, commands) for path in DOCUMENTS for words in command_lines(path.read_text())}
    leaves = {name for name in commands if name and not any(other.startswith(name + " ") for other in commands)}
    assert leaves - told == set()


def make_targets() -> set[str]:
    return set(re.findall(r"^([.a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_makefile_has_the_targets_of_the_contract() -> None:
    assert make_targets() == {"help", ".venv", "bench", "test", "lint", "perf", "clean"}


def test_readme_names_only_targets_that_exist() -> None:
    lines = re.sub(r"\s#.*", "", code((ROOT / "README.md").read_text()))
    named = re.findall(r"\bmake ((?:[A-Z_]+=\S+ )*)([.a-z]+)", lines)
    assert {target for _, target in named} >= {"bench", "test", "perf"}
    assert {target for _, target in named} <= make_targets()


def test_readme_links_point_at_files() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_changelog_has_an_unreleased_section_first() -> None:
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"


def test_decision_notes_are_numbered_once_and_fit_a_page() -> None:
    notes = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert all(re.fullmatch(r"\d{3}-[a-z0-9-]+\.md", note.name) for note in notes)
    assert len({note.name[:3] for note in notes}) == len(notes)
    assert all(len(note.read_text().splitlines()) <= 60 for note in notes)


def tracked() -> list[Path]:
    """The files that git holds or would hold; every file outside ignored folders where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return [ROOT / name for name in result.stdout.split("\0") if name and (ROOT / name).is_file()]
    ignored = re.compile(r"^(\.venv|\.git|build|dist|oildrop-.*|\..*_cache|.*\.egg-info)/|__pycache__")
    files = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in files if not ignored.search(path.relative_to(ROOT).as_posix())]


def test_no_file_holds_an_absolute_path_of_this_machine() -> None:
    here = re.compile(rf"(?<![\w.]){re.escape(str(ROOT))}(?![\w-])".encode())
    home = re.compile(rb"(/home/|/Users/|/root/)[a-z.]")
    found = []
    for path in tracked():
        content = path.read_bytes()
        in_tests = path.relative_to(ROOT).parts[0] == "tests"  # made-up homes stand in the tests of redaction
        if here.search(content) or (home.search(content) and not in_tests):
            found.append(path.name)
    assert found == []
