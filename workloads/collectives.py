"""Exchanges of data between chips, counted in the text of a program that XLA compiled. Pure."""

from __future__ import annotations

import re

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
"""Operations of XLA's language in which chips exchange data. Source: OpenXLA, operation semantics."""

_OPERATION = re.compile(rf"^\s*(?:ROOT )?%?([\w.-]+) = .*? ({'|'.join(COLLECTIVES)})(?:-start)?\(")
_CHANNEL = re.compile(r"channel_id=(\d+)")


def counted_collectives(text: str) -> dict[str, int]:
    """Exchanges by kind in a compiled program's text; 0 where there are none.

    The compiler writes one exchange into each of the computations that overlap it with arithmetic: its channel tells
    that it is one. An exchange without a channel counts by its name.
    """
    channels: dict[str, set[str]] = {kind: set() for kind in COLLECTIVES}
    for line in text.splitlines():
        operation = _OPERATION.match(line)
        if operation is not None:
            name, kind = operation.groups()
            channel = _CHANNEL.search(line)
            channels[kind].add(channel[1] if channel else name)
    return {kind: len(found) for kind, found in channels.items()}
