"""Findings as people read them: worst first, each with rule, evidence and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from oildrop.rules.records import Finding

ORDER = ("broken", "invalid", "flag", "info")
STYLES = {"broken": "bold red", "invalid": "red", "flag": "yellow", "info": "dim"}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by severity, then by rule."""
    return sorted(findings, key=lambda finding: (ORDER.index(finding.severity), finding.rule))


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Each finding as rule and message, then its evidence and its fix, indented."""
    from rich.padding import Padding
    from rich.text import Text

    for finding in worst_first(findings):
        head = Text(f"{finding.severity} ", style=STYLES[finding.severity])
        head.append(f"{finding.rule} {finding.message}", style="default")
        console.print(head)
        if finding.evidence:
            console.print(Padding(f"evidence: {evidence_text(finding.evidence)}", (0, 0, 0, 4), expand=False))
        console.print(Padding(f"what to do: {finding.fix}", (0, 0, 0, 4), expand=False))


def evidence_text(evidence: dict[str, Any]) -> str:
    """`key=value` pairs; floats to six digits."""
    return ", ".join(f"{key}={_short(value)}" for key, value in evidence.items())


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
