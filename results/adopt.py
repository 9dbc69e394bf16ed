"""Foreign bundles come into the store: copied beside `runs/`, then moved into it in one step."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from oildrop.results.bundle import names
from oildrop.results.bundle.archive import bundles_in, is_archive, unpacked
from oildrop.results.bundle.durable import sync_directory, sync_file
from oildrop.results.bundle.read import read_run_id
from oildrop.results.layout import StoreLayout
from oildrop.rules.errors import BundleError

PRIVATE = frozenset({names.OUTPUT})
"""What an exported bundle leaves behind."""


def adopt_bundles(layout: StoreLayout, paths: Iterable[Path]) -> list[Path]:
    """Folders under `runs/` of the bundles at `paths`, copied where they are not there yet.

    A path is a bundle, a folder of bundles, another store, or a `.tar.gz` of any of them.

    Raises:
        BundleError: One is no bundle, holds links, or differs from the store's run of the same id. Those
            before it have come in, nothing of it has.
    """
    adopted: dict[Path, None] = {}
    layout.ensure()
    layout.incoming.mkdir(exist_ok=True)
    for path in paths:
        with opened(path, within=layout.incoming) as folder:
            for bundle in bundles_in(folder):
                adopted[_adopt(layout, bundle)] = None
    return list(adopted)


@contextmanager
def opened(path: Path, *, within: Path | None = None) -> Iterator[Path]:
    """The folder that `path` is or packs. Raises BundleError when it is neither."""
    if path.is_dir():
        yield path
    elif path.is_file() and is_archive(path):
        with unpacked(path, within=within) as folder:
            yield folder
    elif path.exists():
        raise BundleError(f"{path} is neither a bundle's folder nor a .tar.gz of one")
    else:
        raise BundleError(f"{path} does not exist; name a bundle's folder or a .tar.gz of one")


def _adopt(layout: StoreLayout, bundle: Path) -> Path:
    run_id = read_run_id(bundle)
    home = layout.run_dir(run_id)
    if home.exists():
        _refuse_other_content(run_id, bundle, home)
        return home
    with tempfile.TemporaryDirectory(prefix="copy-", dir=layout.incoming) as parent:
        copy = Path(parent) / run_id
        for name in _plain_files(bundle):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, target)
            sync_file(target)
        os.rename(copy, home)
    sync_directory(layout.runs)
    return home


def _plain_files(bundle: Path) -> list[str]:
    entries = list(names.walk(bundle))
    for name, is_file in entries:
        if not is_file:
            raise BundleError(f"{bundle}: {names.printable(name)} is no plain file: a bundle holds no links or devices")
    return [name for name, _ in entries]


def _refuse_other_content(run_id: str, bundle: Path, home: Path) -> None:
    """The same run twice is welcome, another one under its id is not."""
    if bundle.resolve() == home.resolve():
        return
    theirs, ours = _hashes(bundle), _hashes(home)
    differing = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
    if differing:
        raise BundleError(
            f"{bundle} is of run {run_id}, which this store has with other content "
            f"({names.printable(differing[0])} differs); nothing was changed. Compare the two with `oildrop check`"
        )


def _hashes(bundle: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((bundle / name).read_bytes()).hexdigest()
        for name in _plain_files(bundle)
        if name not in PRIVATE
    }
