"""Keeps Python's search for garbage out of the timed part: a full one takes as long as many tokens."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 100_000
"""New objects after which the young ones are searched; the default of 700 finds nothing but tokens on their way."""


@contextmanager
def quiet_heap() -> Iterator[None]:
    """What was made before is not searched, what is made inside seldom."""
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    gc.set_threshold(YOUNG, *older)
    try:
        yield
    finally:
        gc.set_threshold(young, *older)
        gc.unfreeze()
