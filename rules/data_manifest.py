"""Real data by manifest: what a data set consists of, byte for byte, and who made it.

A manifest says what the data are, never where they lie on a machine: places are tried, hashes decide.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from oildrop.rules.records import Record

Part = Literal["train", "test"]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


def _place(url: str) -> str:
    if not re.match(r"/|file:/|https?://", url):
        raise ValueError(f"place {url!r} is neither an absolute path nor file:, http: or https:")
    return url


Place = Annotated[str, AfterValidator(_place)]


class FileCopy(Record):
    """One byte-for-byte form of a file: compressed anew, the same images have another hash.

    Attributes:
        bytes: Length of the file as it lies on disk.
        urls: Absolute paths and `file:`, `http:` or `https:` addresses, tried in order.
    """

    sha256: Sha256
    bytes: int = Field(gt=0)
    urls: tuple[Place, ...] = ()


class DataFile(FileCopy):
    """A file of a data set.

    Attributes:
        kind: `idx-images` and `idx-labels` are IDX of unsigned bytes, `text` any bytes; each may be gzipped.
        part: `train`, or the authors' own `test`.
        also: Other forms of the same content; any one of them will do.
    """

    kind: Literal["idx-images", "idx-labels", "text"]
    name: FileName
    part: Part = "train"
    also: tuple[FileCopy, ...] = ()

    @property
    def copies(self) -> tuple[FileCopy, ...]:
        """All forms, the file's own first."""
        return (self, *self.also)


class HubColumn(Record):
    """A column of texts in a Hugging Face data set.

    Attributes:
        revision: The repository's commit, so that the texts stand still.
        sha256: Of the column's texts in order as UTF-8, each followed by one zero byte.
        bytes: Length of those bytes.
    """

    kind: Literal["hf"]
    name: FileName
    part: Part = "train"
    repo: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    split: str
    column: str
    sha256: Sha256
    bytes: int = Field(gt=0)


class Origin(Record):
    """Who made the data, and the page that says so."""

    who: str
    url: str = Field(pattern=r"^https?://")


class Manifest(Record):
    """A data set.

    Attributes:
        version: Of the data, as their makers count; `date` is the day on which the hashes were taken.
        install: The command that brings the data to a machine; empty where there is none.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    title: str
    licence: str
    source: Origin
    version: str
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    install: str = ""
    files: tuple[DataFile | HubColumn, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [file.name for file in self.files]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two files are named {twice}; give each its own name")
        return self
