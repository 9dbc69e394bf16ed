"""Which manifest a name means. The rulebook's own come first: a benchmark's data cannot be swapped from outside."""

from __future__ import annotations

import os
from pathlib import Path

from oildrop.rules.data_manifest import Manifest
from oildrop.rules.errors import RulebookError, UsageError
from oildrop.rules.loading import load_rulebook, parse_manifest

MANIFEST_VARIABLE = "OILDROP_DATA_MANIFEST"
DATA_VARIABLE = "OILDROP_DATA"


def find_manifest(name: str) -> Manifest:
    """The manifest `name`: the rulebook's, else $OILDROP_DATA_MANIFEST, else $OILDROP_DATA/`name`.toml.

    Raises:
        RulebookError: It was found and is broken, or calls itself otherwise.
        UsageError: There is none.
    """
    shipped = load_rulebook().files
    file_name = f"data/{name}.toml"
    if file_name in shipped:
        return _named(name, file_name, shipped[file_name])
    for variable, path in _own_manifests(name):
        if path.is_file():
            return _named(name, f"${variable} ({path.name})", path.read_bytes())
    known = sorted(Path(file).stem for file in shipped if file.startswith("data/"))
    raise UsageError(
        f"no manifest is named {name!r}: the rulebook has {', '.join(known) or 'none'}; for data of your own set "
        f"{MANIFEST_VARIABLE} to the manifest's path, or put {name}.toml into the folder {DATA_VARIABLE}"
    )


def _own_manifests(name: str) -> list[tuple[str, Path]]:
    chosen, folder = os.environ.get(MANIFEST_VARIABLE), os.environ.get(DATA_VARIABLE)
    places = [(MANIFEST_VARIABLE, Path(chosen))] if chosen else []
    return [*places, (DATA_VARIABLE, Path(folder) / f"{name}.toml")] if folder else places


def _named(name: str, where: str, raw: bytes) -> Manifest:
    manifest = parse_manifest(where, raw)
    if manifest.name != name:
        raise RulebookError(f"{where}: name is {manifest.name!r}, asked for is {name!r}; make them the same")
    return manifest
