"""`oildrop`: the table of commands, and the one way into and out of each."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from oildrop.suite.cli import errors
from oildrop.suite.cli.lazy import LazyGroup, make_app

COMMANDS = {
    "list": "What can run here and why not; the settings of one benchmark.",
    "system": "This machine in words and numbers.",
    "doctor": "What would spoil a run on this machine.",
    "plan": "Whether a benchmark fits a part, and its least times.",
    "run": "Measure: run benchmarks and keep every run.",
    "sweep": "Measure prefill and decode at fixed shapes, a run each.",
    "colocate": "Measure a training and a served model on one device at once.",
    "prefill": "Read prompts here for runs that decode on another machine.",
    "calibrate": "Measure what this machine can do at most.",
    "runs": "List the runs of a store, newest first.",
    "show": "One run: metrics, findings, phases, how to repeat it.",
    "compare": "Whether two configurations differ, and by how much.",
    "choose": "The best configuration within bounds, by cost or a metric.",
    "history": "Whether a configuration changed from session to session.",
    "check": "Judge a run or bundle again: integrity, then every rule.",
    "ingest": "Take bundles from elsewhere into the store.",
    "rebuild": "Make the store's index again from its bundles.",
    "export": "Write runs as bundle, JSON, CSV, Parquet or mllog.",
    "site": "Build the results page, or serve it on this machine.",
}
"""Every command, which is a module of this package, in one line each."""


class _Commands(LazyGroup):
    package = __package__ or ""
    table = COMMANDS

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """All commands under a heading that names the options too, so that they fit the screen."""
        with formatter.section("Commands (options: --version, -h, --help)"):
            formatter.write_dl(list(self.table.items()))


app = make_app(cls=_Commands)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"oildrop {version('oildrop')}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def oildrop(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A hardware benchmark that keeps every run, bad ones too. Start: oildrop run."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line (`args`, else the process's own) and return its exit code."""
    if args is None and not sys.warnoptions:
        warnings.simplefilter("ignore")  # a library's advice to programmers is nothing that a person can act on
    words = list(sys.argv[1:] if args is None else args)
    return errors.guarded(lambda: _call(words), as_json=wants_json(words))


def wants_json(words: Sequence[str]) -> bool:
    """Whether `--json` stands among the options, even where the rest cannot be parsed."""
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options


def _call(words: list[str]) -> int | None:
    command = typer.main.get_command(app)
    with command.make_context("oildrop", words) as context:
        code: int | None = command.invoke(context)
    return code
