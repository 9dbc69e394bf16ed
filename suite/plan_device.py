"""Which part of the rulebook's table a plan is for: named by hand, or this machine's own."""

from __future__ import annotations

from collections.abc import Sequence

from oildrop.rules.errors import UsageError
from oildrop.rules.rulebook import DevicePeaks, Rulebook
from oildrop.rules.settings import nearest
from oildrop.rules.system import Accelerator


def find_part(rulebook: Rulebook, name: str) -> DevicePeaks:
    """The part called `name`: its whole name, a driver's name for it, or words that only its name holds.

    Raises:
        UsageError: No part, or several; names them.
    """
    whole = [part for part in rulebook.devices if name.casefold().strip() in _names(part)]
    words = set(_words(name))
    found = whole or [part for part in rulebook.devices if words <= set(_words(part.name))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"--device {name!r} is the name of {len(found)} parts; use {_listed(found)}")
    holding = [part for part in rulebook.devices if words and any(word in part.name.casefold() for word in words)]
    beginning = [part for part in rulebook.devices if words and all(_begins(word, part) for word in words)]
    near = "" if beginning else nearest(name, [part.name for part in rulebook.devices])
    offer = near or f"; use {_listed(beginning or holding or rulebook.devices)}"
    raise UsageError(f"--device {name!r} is not in the rulebook's table{offer}")


def own_part(rulebook: Rulebook, accelerators: Sequence[Accelerator]) -> tuple[DevicePeaks | None, str | None]:
    """The listed part that this machine has; None and why there is none."""
    if not accelerators:
        return None, "no accelerator was found here; name a part with --device"
    for accelerator in accelerators:
        part = rulebook.peaks_of(accelerator.model)
        if part is not None:
            return part, None
    models = ", ".join(dict.fromkeys(accelerator.model for accelerator in accelerators))
    return None, f"{models} is not in the rulebook's table of parts; name one with --device"


def _names(part: DevicePeaks) -> set[str]:
    return {part.name.casefold(), *(name.casefold() for name in part.match)}


def _begins(word: str, part: DevicePeaks) -> bool:
    return any(each.startswith(word) for each in _words(part.name))


def _words(name: str) -> list[str]:
    return name.casefold().replace(",", " ").split()


def _listed(parts: Sequence[DevicePeaks]) -> str:
    return " or ".join(repr(part.name) for part in parts)
