"""One table of requests out of the chunks that a run closed while it went on."""

from __future__ import annotations

from collections.abc import Sequence

from oildrop.rules.evidence import RequestTable
from oildrop.rules.served import UNFINISHED

COLUMNS = tuple(RequestTable.__dataclass_fields__)


def merged(chunks: Sequence[RequestTable]) -> RequestTable:
    """All requests, in order of issue, as the last chunk that has them tells of each.

    A chunk holds what has changed since the one before it. A request that was `unfinished` is replaced by what a later
    chunk says of it; one that had ended stays beside it, so that the judge sees it twice.
    """
    if len(chunks) == 1:
        return chunks[0]
    places: list[tuple[int, int]] = []
    unfinished: dict[int, int] = {}
    for number, chunk in enumerate(chunks):
        for row, (index, outcome) in enumerate(zip(chunk.index, chunk.outcome, strict=True)):
            place = unfinished.pop(index, None)
            if place is None or places[place][0] == number:  # new, or twice in one chunk
                place = len(places)
                places.append((number, row))
            places[place] = (number, row)
            if outcome == UNFINISHED:
                unfinished[index] = place
    places.sort(key=lambda place: (chunks[place[0]].issued_ns[place[1]], chunks[place[0]].index[place[1]]))
    columns = {name: [getattr(chunk, name) for chunk in chunks] for name in COLUMNS}
    return RequestTable(
        **{name: tuple(column[number][row] for number, row in places) for name, column in columns.items()}
    )
