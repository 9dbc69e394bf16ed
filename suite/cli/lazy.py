"""A group of commands whose modules are imported only when one of them is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

SCREEN_COLUMNS = 80


def make_app(**settings: Any) -> typer.Typer:
    """An application in the house's form: plain help of one screen's width, no shell completion, no own tracebacks."""
    context = {"help_option_names": ["-h", "--help"], "max_content_width": SCREEN_COLUMNS}
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,  # rich's panels cost 0.1 s and six lines of the screen
        pretty_exceptions_enable=False,
        context_settings=context,
        **settings,
    )


class PlainCommand(TyperCommand):
    """A command whose help shows each argument by its metavar as written, without its Python type."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """`[OPTIONS]` and the arguments."""
        return ["[OPTIONS]", *(param.metavar for param in _arguments(self))]

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Arguments that have a text of their own, then options."""
        explained = [(param.metavar, param.help) for param in _arguments(self) if param.help]
        if explained:
            with formatter.section("Arguments"):
                formatter.write_dl(explained)
        records = [param.get_help_record(ctx) for param in self.get_params(ctx) if param.param_type_name == "option"]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])


def _arguments(command: Any) -> list[Any]:
    return [param for param in command.params if param.param_type_name == "argument"]


class LazyGroup(TyperGroup):
    """Commands of a static table: `name` is the module `<package>.<name>`, which holds `app`."""

    package: ClassVar[str]
    table: ClassVar[Mapping[str, str]]

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Import and build one command; None when the table has no such name."""
        if cmd_name not in self.table:
            return None
        return typer.main.get_command(importlib.import_module(f"{self.package}.{cmd_name}").app)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """As the base class, but an unknown name offers the nearest."""
        if args[0] not in self.table and not args[0].startswith("-"):
            from oildrop.suite.cli.parsing import unknown_name

            raise unknown_name("command", args[0], self.table)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """List the table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))
