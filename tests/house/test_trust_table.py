"""The table of docs/trust.md is made from rules.toml."""

from __future__ import annotations

import re
from pathlib import Path

from oildrop.rules.checks import machine_checks, trust_checks
from oildrop.rules.checks.registry import CHECKS
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import Rule

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "trust.md"
FILES = (machine_checks.__name__, trust_checks.__name__)
MARKS = re.compile(r"(<!-- rules: [^\n]*-->\n)(.*)(<!-- end -->)", re.DOTALL)


def row(rule: Rule) -> str:
    return f"| {rule.id} | {rule.severity} | {rule.text} | {rule.why} |\n"


def table() -> str:
    """Every rule whose check is on what the machine did to a run."""
    asked = {name for name, check in CHECKS.items() if check.__module__ in FILES}
    rules = [rule for name, rule in load_rulebook().rules.items() if name in asked]
    return "| rule | severity | what must hold | why |\n|---|---|---|---|\n" + "".join(map(row, rules))


def test_the_table_is_made_from_the_rulebook() -> None:
    """To make it anew: `python -P tests/house/test_trust_table.py`."""
    found = MARKS.search(DOCUMENT.read_text("utf-8"))
    assert found is not None and found[2] == table()


if __name__ == "__main__":
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(MARKS.sub(lambda found: found[1] + table() + found[3], text), "utf-8")
