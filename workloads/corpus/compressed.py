"""Files that may be gzipped, read as their content; what is broken inside is refused by name."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from oildrop.rules.errors import OildropError

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The content of `path` as a stream of bytes. Raises OildropError when reading meets broken gzip data."""
    with path.open("rb") as raw:
        zipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if zipped else raw
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise OildropError(f"{path.name}: broken gzip data ({error}); fetch the file again") from error
