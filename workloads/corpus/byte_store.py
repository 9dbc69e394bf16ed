"""All texts of a manifest end to end in one file of the cache, each followed by a zero byte, mapped into memory."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.canonical import sha256_of
from oildrop.rules.data_manifest import DataFile, HubColumn, Manifest
from oildrop.rules.errors import OildropError, UsageError
from oildrop.workloads.corpus.cache import Cache, default_cache, no_space
from oildrop.workloads.corpus.compressed import opened
from oildrop.workloads.corpus.fetch import fetch
from oildrop.workloads.corpus.hub import column_texts

END_OF_TEXT = b"\0"
CHUNK_BYTES = 1 << 20
FORM = "bytes/1"
"""How the store is laid out; another layout has another name, so that an old store is never taken for a new one."""


def open_byte_store(manifest: Manifest, cache: Cache | None = None) -> NDArray[np.uint8]:
    """uint8 [all bytes], read-only: the manifest's training texts in its order, made once and then mapped.

    Raises:
        UsageError: The manifest names no text.
        Unsupported, OildropError: as `fetch` and `column_texts` raise them.
    """
    cache = cache or default_cache()
    files = [file for file in manifest.files if file.part == "train" and file.kind in ("text", "hf")]
    if not files:
        raise UsageError(f"{manifest.name} names no training text; give it a file of kind text or hf")
    path = cache.folder / "text" / sha256_of({"form": FORM, "files": [file.sha256 for file in files]})
    if not path.is_file():
        with cache.only_writer(path):
            if not path.is_file():
                _make(path, manifest, files, cache)
    return np.memmap(path, dtype=np.uint8, mode="r")


def _make(path: Path, manifest: Manifest, files: list[DataFile | HubColumn], cache: Cache) -> None:
    part, what = path.with_name(f"{path.name}.part"), f"the texts of {manifest.name}"
    needed = sum(file.bytes for file in files)
    cache.require_space(needed, what)
    try:
        with part.open("wb") as store:
            for file in files:
                for piece in _pieces(manifest, file, cache):
                    store.write(piece)
            store.flush()
            os.fsync(store.fileno())
        os.replace(part, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(what, needed, cache.free_bytes(cache.folder)) from error
        raise OildropError(f"{what} cannot be stored in the cache folder: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _pieces(manifest: Manifest, file: DataFile | HubColumn, cache: Cache) -> Iterator[bytes]:
    if isinstance(file, DataFile):
        with opened(fetch(manifest, file, cache=cache)) as content:
            while piece := content.read(CHUNK_BYTES):
                yield piece
        yield END_OF_TEXT
        return
    digest, length = hashlib.sha256(), 0
    for text in column_texts(file):
        piece = text + END_OF_TEXT
        digest.update(piece)
        length += len(piece)
        yield piece
    if (digest.hexdigest(), length) != (file.sha256, file.bytes):
        raise OildropError(
            f"{file.name} of {manifest.name}: {length:,} bytes with SHA-256 {digest.hexdigest()} found, {file.bytes:,} "
            f"with {file.sha256} expected; a manifest that you have just written wants the first two"
        )
