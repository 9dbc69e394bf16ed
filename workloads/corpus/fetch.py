"""Bring a manifest's file to this machine: the cache, then $OILDROP_DATA, then the places that the manifest lists.

Only the hash decides. A local file is used where it lies, and is never changed; a downloaded one goes into the cache.
Messages name places as the manifest does and never a folder of this machine, because they enter a run's bundle.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from oildrop.rules.data_manifest import DataFile, FileCopy, Manifest
from oildrop.rules.errors import OildropError, Unsupported
from oildrop.workloads.corpus.cache import Cache, default_cache, mismatch, no_space
from oildrop.workloads.corpus.download import Patience, Unavailable, WrongBytes, download
from oildrop.workloads.corpus.manifest import DATA_VARIABLE


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a file may lie, and the forms in which it may lie there; `label` is what messages say."""

    label: str
    address: str
    copies: tuple[FileCopy, ...]

    @property
    def is_remote(self) -> bool:
        return _is_remote(self.address)


def fetch(manifest: Manifest, file: DataFile, *, cache: Cache | None = None, patience: Patience | None = None) -> Path:
    """A local path that holds exactly the bytes of one of the file's forms.

    Raises:
        Unsupported: No place has the file; names the places and what would bring it.
        OildropError: Some place has other bytes and none the right ones, or there is no space.
    """
    cache, patience = cache or default_cache(), patience or Patience()
    for copy in file.copies:
        if found := cache.find(copy):
            return found
    missing, wrong = [], []
    for place in _places(manifest, file):
        try:
            return _remote(place, cache, patience) if place.is_remote else _local(place)
        except Unavailable as error:
            missing.append(f"{place.label}: {error}")
        except WrongBytes as error:
            wrong.append(f"{place.label}: {error}")
    tried = f"tried: {'; '.join([*wrong, *missing]) or 'no place is listed'}"
    fix = f"{manifest.install}, or s" if manifest.install else "s"
    fix = f"{fix}et {DATA_VARIABLE} to a folder that holds it"
    if wrong:
        raise OildropError(f"{file.name} of {manifest.name} has other bytes than its manifest names: {fix} ({tried})")
    raise Unsupported(f"{file.name} of {manifest.name} is not on this machine: {fix} ({tried})")


def _places(manifest: Manifest, file: DataFile) -> Iterator[_Place]:
    base = os.environ.get(DATA_VARIABLE)
    if base:
        for inner in (f"{manifest.name}/{file.name}", file.name):
            label, address = f"${DATA_VARIABLE}/{inner}", f"{base.rstrip('/')}/{inner}"
            forms = [(copy,) for copy in file.copies] if _is_remote(base) else [file.copies]
            for copies in forms:
                yield _Place(label=label, address=address, copies=copies)
    for copy in file.copies:
        for url in copy.urls:
            yield _Place(label=url, address=url, copies=(copy,))


def _is_remote(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https")


def _local(place: _Place) -> Path:
    address = urlsplit(place.address)
    path = Path(url2pathname(address.path) if address.scheme == "file" else place.address)
    try:
        if not path.exists():
            raise Unavailable("no such file")
        differences = [mismatch(path, copy) for copy in place.copies]
    except OSError as error:
        raise Unavailable(str(error.strerror)) from error
    if None in differences:
        return path
    raise WrongBytes(" or ".join(str(difference) for difference in differences))


def _remote(place: _Place, cache: Cache, patience: Patience) -> Path:
    (copy,) = place.copies
    path = cache.path_of(copy.sha256)
    part = path.with_name(f"{path.name}.part")
    with cache.only_writer(path):
        if found := cache.find(copy):  # another process has fetched it meanwhile
            return found
        have = part.stat().st_size if part.exists() else 0
        cache.require_space(copy.bytes - have, place.label)
        _fill(place, copy, part, cache, patience)
        if have and mismatch(part, copy):  # what lay there was broken, or of another version
            part.unlink()
            _fill(place, copy, part, cache, patience)
        if difference := mismatch(part, copy):
            part.unlink()
            raise WrongBytes(difference)
        os.replace(part, path)
    return path


def _fill(place: _Place, copy: FileCopy, part: Path, cache: Cache, patience: Patience) -> None:
    try:
        download(place.address, part, copy.bytes, patience)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(place.label, copy.bytes, cache.free_bytes(cache.folder)) from error
        raise OildropError(f"{place.label} cannot be stored in the cache folder: {error.strerror}") from error
