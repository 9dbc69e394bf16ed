"""What is said of a search, by hand."""

from __future__ import annotations

import pytest

from oildrop.rules.search_words import search_sentence


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        ([(20.0, "ok"), (80.0, "ok"), (320.0, "target_missed"), (80.0, "ok")], "between 80 and 320 queries"),
        (
            [(20.0, "ok"), (80.0, "ok"), (320.0, "ok"), (320.0, "ok")],
            "was not found: 320 queries a second held, and no rate",
        ),
        ([(20.0, "target_missed"), (5.0, "target_missed")], "5 queries a second, the lowest that told, missed"),
        ([(20.0, "ok"), (80.0, "target_missed"), (40.0, "target_missed"), (60.0, "ok")], "between 20 and 40 queries"),
        ([(20.0, "ok"), (80.0, "invalid")], "was not found: 20 queries a second held, and no rate"),
        ([(20.0, "invalid"), (5.0, "crash")], "no run told whether its rate holds the bounds"),
    ],
)
def test_a_search_says_what_it_knows(tried: list[tuple[float, str]], said: str) -> None:
    assert said in search_sentence(tried)
