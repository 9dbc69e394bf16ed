"""`oildrop system`: this machine as a bundle would describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import show_bytes, show_number
from oildrop.suite.cli.output import print_document, print_table, screen

if TYPE_CHECKING:
    from oildrop.rules.system import System

app = make_app()


@app.command(cls=PlainCommand)
def system(store: options.Store = None, as_json: options.Json = False) -> None:
    """This machine in words and numbers, as a run's bundle describes it.

    What is unknown says why. No user, host name or path is among it; device ids are salted by the store.
    """
    from oildrop.harness.system.probe import probe_system
    from oildrop.results.identity import store_identity
    from oildrop.results.layout import store_layout
    from oildrop.suite.private import host_redactor, redact_system

    salt = store_identity(store_layout(store), create=False).salt
    found = redact_system(probe_system(salt), host_redactor())
    if as_json:
        print_document({**found.model_dump(by_alias=True), **_ids(found)})
    else:
        _print_system(found)


def _ids(found: System) -> dict[str, str]:
    return {"system_id": found.system_id(), "software_id": found.software_id()}


def _print_system(found: System) -> None:
    console = screen()
    rows = [(name, _words(name, value, found.missing)) for name, value in _flat(found)]
    print_table(console, ("what", "value"), [*rows, *_ids(found).items()])
    if not found.accelerators:
        reason = found.missing.get("accelerators")
        console.print(f"\nNo accelerator found{f': {reason}' if reason else ''}.")


def _flat(found: System) -> list[tuple[str, Any]]:
    """Every field that was probed by its dotted name, accelerators numbered."""
    rows: list[tuple[str, Any]] = []

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                visit(f"{prefix}.{key}" if prefix else key, item)
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            for number, item in enumerate(value):
                visit(f"{prefix}.{number}", item)
        elif value not in ({}, [], ()):
            rows.append((prefix, value))

    visit("", found.model_dump(exclude={"schema_id", "missing", "declared"}))
    return rows


def _words(name: str, value: Any, missing: dict[str, str]) -> str:
    """A field's value in words; an unknown one with its reason."""
    if value is None:
        return f"unknown: {missing.get(name, 'not reported')}"
    if name.endswith("_bytes"):
        return show_bytes(value)
    if name.endswith("_hz"):
        return f"{show_number(value / 1e9)} GHz"
    if name.endswith("_w"):
        return f"{show_number(value)} W"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
