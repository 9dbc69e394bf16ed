"""Texts from a column of a Hugging Face data set, through the optional library `datasets`.

The library keeps its own cache and obeys its own variables: HF_HOME moves the cache, HF_DATASETS_OFFLINE and
HF_HUB_OFFLINE forbid the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from oildrop.rules.data_manifest import HubColumn
from oildrop.rules.errors import OildropError, Unsupported


def column_texts(column: HubColumn) -> Iterator[bytes]:
    """Each text of the column in order, as UTF-8.

    Raises:
        Unsupported: The library is absent, or the data set cannot be had.
        OildropError: There is no such column, or it does not hold texts.
    """
    rows = _load(column)
    if column.column not in rows.column_names:
        raise OildropError(
            f"{column.repo} has no column {column.column!r} in split {column.split!r}; "
            f"it has {', '.join(rows.column_names)}"
        )
    for index, row in enumerate(rows.select_columns([column.column])):
        text = row[column.column]
        if not isinstance(text, str):
            found = type(text).__name__
            raise OildropError(f"{column.repo}: {column.column} of row {index} is {found}, not text")
        yield text.encode()


def _load(column: HubColumn) -> Any:
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise Unsupported(f"{column.name} comes from Hugging Face ({column.repo}): pip install datasets") from error
    try:
        return datasets.load_dataset(column.repo, revision=column.revision, split=column.split)
    except (OSError, ValueError) as error:
        raise Unsupported(
            f"{column.repo} at {column.revision[:12]}, split {column.split!r}, cannot be had "
            f"({type(error).__name__}): fetch it once with the network on and HF_DATASETS_OFFLINE unset"
        ) from error
