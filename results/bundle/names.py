"""The files of a bundle, by their names relative to its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

SPEC = "spec.json"
SYSTEM = "system.json"
EVENTS = "events.jsonl"
TELEMETRY = "telemetry.arrow"
OUTPUT = "output.log"
SEAL = "seal.json"
SAMPLES = "samples"
RULEBOOK = "rulebook"

PARTIAL = ".tmp"
"""Ending of a file that is being written; it counts once it is renamed."""

_KNOWN = re.compile(
    r"(spec|system)\.json|events\.jsonl|telemetry\.arrow|output\.log|samples/[0-9]{4,}\.arrow|rulebook/[\w./-]+\.toml"
)


def is_known(name: str) -> bool:
    """Whether a bundle that is not sealed yet may hold `name`."""
    return _KNOWN.fullmatch(name.removesuffix(PARTIAL)) is not None


def walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Relative name of everything that is no folder, sorted, and whether it is a plain file.

    Links are not followed: what they point at is not part of the bundle.
    """
    yield from sorted(_entries(str(folder), ""))


def printable(name: str) -> str:
    """A file name as text that every output can carry."""
    return name.encode(errors="backslashreplace").decode(errors="backslashreplace")


def _entries(folder: str, prefix: str) -> Iterator[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path, name + "/")
            else:
                yield name, entry.is_file(follow_symlinks=False)
