"""Rules on drafts: tokens that came together were proposed by one that is declared, and all of them are counted."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.measures.served_draft import DRAFT, accepted_in, draft_counts, verified_in

REPEAT = "repeat the run with an unchanged harness"


@rule("R052")
def proposals_counted(judged: Judged) -> Iterator[Broken]:
    """What stood is what came together in the table; no more was proposed than the settings allow."""
    settings, served = judged.case.evidence.spec.settings, judged.case.served
    if served is None or DRAFT not in settings:
        return
    accepted, verified, counts = accepted_in(served), verified_in(served), draft_counts(judged.case)
    if not settings[DRAFT]:
        if accepted:
            message = f"{accepted} tokens came in one step with the token before them, and no draft is declared"
            yield broken(message, f"declare what proposed them with --set {DRAFT}=NAME", accepted=accepted)
        return
    if counts is None:
        if judged.verdict.outcome == "ok":
            yield broken("the log does not count what the draft proposed", REPEAT)
        return
    for what, kept, counted in (
        ("tokens came in one step with the one before", accepted, counts.accepted),
        ("steps brought a request tokens", verified, counts.verified),
    ):
        if kept != counted:
            yield broken(f"in the table {kept} {what}, the harness counted {counted}", REPEAT, kept=kept)
    limit = counts.verified * int(settings["execution.draft_tokens"])
    if not counts.accepted <= counts.proposed <= limit:
        message = f"{counts.proposed} tokens were proposed; from {counts.accepted} to {limit} can have been"
        yield broken(message, REPEAT, proposed=counts.proposed, limit=limit)
