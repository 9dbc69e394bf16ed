"""Python's garbage collector around the timed part."""

from __future__ import annotations

import gc

from oildrop.harness.load.heap import quiet_heap


def test_inside_what_was_made_before_is_left_alone_and_afterwards_all_is_as_it_was() -> None:
    before = gc.get_threshold()
    with quiet_heap():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] > before[0]
        assert gc.isenabled()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
