"""`oildrop check`: judge a run or a bundle again, from its files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oildrop.results.bundle.names import SPEC
from oildrop.rules.errors import StoreError, UsageError
from oildrop.suite.cli import options
from oildrop.suite.cli.findings import print_findings, worst_first
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.output import outcome_text, print_document, screen

if TYPE_CHECKING:
    from oildrop.rules.evidence import Evidence
    from oildrop.rules.records import Judgement

app = make_app()

EXIT_NOT_INTACT = 1


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """What a check found.

    Attributes:
        alive: Whether the run is still being made.
        stored: The outcome that the store shows for it; None for a bundle that is not the store's.
    """

    path: Path
    evidence: Evidence
    judgement: Judgement
    alive: bool
    stored: str | None

    @property
    def integrity(self) -> str:
        """`intact`, `broken` (the files are not as they were written), or `unsealed`."""
        damaged = self.evidence.problems or any(f.severity == "broken" for f in self.judgement.findings)
        if damaged:
            return "broken"
        return "intact" if self.evidence.sealed else "unsealed"


@app.command(cls=PlainCommand, epilog="Exit code 0: intact, however the run ended; 1: broken or unsealed.")
def check(
    run: Annotated[str, typer.Argument(metavar="RUN|BUNDLE", help="A run of the store, or the path of a bundle.")],
    store: options.Store = None,
    as_json: options.Json = False,
) -> int:
    """Judge a run again from its files alone, under the rulebook that it carries, and change nothing.

    Integrity comes first, then every finding with its rule, its evidence and what to do.
    """
    verdict = _check(run, store)
    if as_json:
        print_document(_document(verdict))
    else:
        _print_verdict(verdict)
    return 0 if verdict.integrity == "intact" else EXIT_NOT_INTACT


def _check(run: str, store: Path | None) -> _Verdict:
    path = Path(run)
    if path.exists():
        return _judge(path, lock=_lock_beside(path), stored=None)
    if path.name != run:
        raise UsageError(f"{run}: no such bundle; name its folder, its .tar.gz, or a run of the store")
    return _judge(*_stored_run(run, store))


def _judge(path: Path, lock: Path | None, stored: str | None) -> _Verdict:
    from oildrop.results.ingest import judge_bundle
    from oildrop.results.liveness import is_alive

    alive = lock is not None and is_alive(lock)
    evidence, judgement = judge_bundle(path, supervisor_alive=alive)
    return _Verdict(path=path, evidence=evidence, judgement=judgement, alive=alive, stored=stored)


def _lock_beside(bundle: Path) -> Path | None:
    """The lock of a bundle that lies in a store's `runs`, so that a live run is not taken for a dead one."""
    from oildrop.results.layout import StoreLayout

    runs = bundle.absolute().parent
    return StoreLayout(runs.parent).lock_file(bundle.absolute().name) if runs.name == "runs" else None


def _stored_run(run: str, store: Path | None) -> tuple[Path, Path, str | None]:
    """Folder and lock of a run of the store, and the outcome that the store shows.

    A whole run id needs no index: a lost or damaged one leaves the outcome shown unknown.
    """
    from oildrop.results.ingest import refresh
    from oildrop.results.layout import store_layout
    from oildrop.results.views import find_run

    layout = store_layout(store)
    is_whole_id = (layout.run_dir(run) / SPEC).exists()
    if is_whole_id and not layout.database.exists():
        return layout.run_dir(run), layout.lock_file(run), None
    try:
        refresh(layout)
        row = find_run(layout, run)
    except StoreError:
        if not is_whole_id:
            raise
        return layout.run_dir(run), layout.lock_file(run), None
    return layout.run_dir(row.run_id), layout.lock_file(row.run_id), row.outcome


def _document(verdict: _Verdict) -> dict[str, Any]:
    evidence, judgement = verdict.evidence, verdict.judgement
    return {
        "schema": "oildrop.check/1",
        "run_id": judgement.run_id,
        "bundle": verdict.path,
        "integrity": verdict.integrity,
        "sealed": evidence.sealed,
        "running": verdict.alive,
        "problems": [{"file": problem.file, "message": problem.message} for problem in evidence.problems],
        "outcome": judgement.outcome,
        "reason": judgement.reason,
        "stored_outcome": verdict.stored,
        "findings": worst_first(judgement.findings),
        "metrics": judgement.metrics,
        "judge_version": judgement.judge_version,
        "tables_sha256": judgement.tables_sha256,
    }


def _print_verdict(verdict: _Verdict) -> None:
    console = screen()
    judgement = verdict.judgement
    console.print(f"{judgement.run_id} in {verdict.path}")
    console.print(f"integrity: {_integrity_words(verdict)}")
    for problem in verdict.evidence.problems:
        console.print(f"  {problem.file}: {problem.message}")
    line = outcome_text(judgement.outcome)
    line.append(f" (judge {judgement.judge_version})", style="default")
    if judgement.reason:
        line.append(f": {judgement.reason}", style="default")
    console.print(line)
    if verdict.stored is not None and verdict.stored != judgement.outcome:
        console.print(f"the store shows {verdict.stored}; oildrop rebuild stores this judgement")
    if judgement.findings:
        print_findings(console, judgement.findings)
    else:
        console.print("no finding: every rule that applies was kept")


def _integrity_words(verdict: _Verdict) -> str:
    if verdict.integrity == "intact":
        return "intact, sealed as written"
    if verdict.integrity == "broken":
        return "broken: the files are not as the run wrote them"
    if verdict.alive:
        return "unsealed: the run is still being made"
    return "unsealed: nothing shows that its files are complete (its supervisor ended before it could seal them)"
