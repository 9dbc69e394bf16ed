"""A bundle in one file: `.tar.gz`, the same bytes for the same bundle."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oildrop.results.bundle import names
from oildrop.rules.errors import BundleError

SUFFIX = ".tar.gz"
LARGEST_BYTES = 4 * 2**30
"""Unpacked; far beyond any honest bundle, so that a small archive cannot fill the disk."""


def is_archive(path: Path) -> bool:
    """Whether `path` is named as a packed bundle."""
    return path.name.endswith(SUFFIX)


def pack(bundles: dict[str, Path], out: Path, *, leave_out: frozenset[str]) -> None:
    """Write `bundles` (folders by the name they get inside) to the archive `out`, without owners or times."""
    with (
        open(out, "xb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for title, folder in bundles.items():
            for name, is_file in names.walk(folder):
                if is_file and name not in leave_out:
                    _add(archive, f"{title}/{name}", folder / name)


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o644
    with open(path, "rb") as file:
        member.size = path.stat().st_size
        archive.addfile(member, file)


@contextmanager
def unpacked(path: Path, *, within: Path | None = None) -> Iterator[Path]:
    """A temporary folder (in `within`) holding what the archive does. Raises BundleError when it cannot be unpacked."""
    with tempfile.TemporaryDirectory(prefix="oildrop-", dir=within) as folder:
        try:
            with tarfile.open(path, "r:gz") as archive:
                _check_size(path, archive)
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
            raise BundleError(f"{path} cannot be unpacked: {error}") from error
        yield Path(folder)


def _check_size(path: Path, archive: tarfile.TarFile) -> None:
    total_bytes = sum(member.size for member in archive)
    if total_bytes > LARGEST_BYTES:
        raise BundleError(f"{path} unpacks to {total_bytes} bytes, more than the limit of {LARGEST_BYTES}")


def bundles_in(folder: Path) -> list[Path]:
    """The bundles at `folder`: itself, those right inside it, or those under its `runs/`."""
    if (folder / names.SPEC).exists():
        return [folder]
    for parent in (folder, folder / "runs"):
        inside = sorted(path.parent for path in parent.glob(f"*/{names.SPEC}"))
        if inside:
            return inside
    raise BundleError(f"{folder} holds no bundle: there is no {names.SPEC} in it, nor one folder below")
