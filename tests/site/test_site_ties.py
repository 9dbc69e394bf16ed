"""What stands beside ranks: the rulebook's sentences, and no others."""

from __future__ import annotations

import pytest

from oildrop.results.sides import side_of
from oildrop.rules.comparison import compare
from oildrop.rules.comparison_sentences import RANKS
from oildrop.site.pages.boards import boards_of
from oildrop.site.pages.ties import MOST_TIES, open_ties, ranks_text

NOISE = (1.0, 1.04, 0.97, 1.02, 0.99)


def configuration(runs, number, *, time_s, sessions=1, noise=NOISE, system_id=None):
    rows = [
        runs.row(10 * number + k, time_s=time_s * factor, seed_index=k, machine=runs.system(number), points=2,
                 system_id=system_id, changes={"execution.threads": number})
        for k, factor in enumerate(noise)
    ]  # fmt: skip
    return [
        type(row)(
            spec=row.spec.model_copy(update={"session_id": f"{number}-{k % sessions}"}), system=row.system,
            judgement=row.judgement, digest=row.digest, sealed=True, bundle_id=None,
        )
        for k, row in enumerate(rows)
    ]  # fmt: skip


def board_of(*configurations):
    (board,) = boards_of([row for rows in configurations for row in rows])
    return board


def test_an_open_tie_is_told_in_the_words_of_a_comparison(runs):
    fast = configuration(runs, 1, time_s=10.0)
    close = configuration(runs, 2, time_s=10.1, noise=(1.2, 0.9, 1.1, 0.85, 1.05))
    slow = configuration(runs, 3, time_s=30.0)
    board = board_of(fast, close, slow)
    (sentence,) = open_ties(board)
    assert sentence.startswith("In these sessions, whether line 1 (")
    assert " pairs would show one of 5 %" in sentence
    said = compare(side_of("1", board.configurations[0].rows), side_of("2", board.configurations[1].rows))
    assert sentence.endswith(said.sentence[said.sentence.index("is unresolved") :])
    assert open_ties(board_of(fast, slow)) == []


def test_only_the_first_lines_are_compared(runs):
    board = board_of(*(configuration(runs, number, time_s=10.0) for number in range(1, MOST_TIES + 4)))
    assert len(open_ties(board)) == MOST_TIES - 1


@pytest.mark.parametrize(
    ("sessions", "systems", "form"),
    [
        ((1, 2), (None, None), "in_these_sessions"),
        ((2, 2), (None, None), "carried"),
        ((1, 1), ("s", "s"), "one_system"),
    ],
)
def test_ranks_across_systems_claim_nothing_beyond_single_sessions(runs, sessions, systems, form):
    pair = [
        configuration(runs, place, time_s=10.0 * place, sessions=count, system_id=system)
        for place, (count, system) in enumerate(zip(sessions, systems, strict=True), start=1)
    ]
    assert ranks_text(board_of(*pair)) == RANKS[form].format(single=1, ranked=2)


def test_a_board_without_ranks_says_nothing_of_them(runs):
    board = board_of(configuration(runs, 1, time_s=10.0)[:4])
    assert (ranks_text(board), open_ties(board)) == (None, [])
