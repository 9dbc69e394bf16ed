"""Choosing: the frontier by brute force, bounds and their certainty, the winner and how surely it wins."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oildrop.rules.choosing import Candidate, Constraint, check_objective, choose, held_by, pareto
from oildrop.rules.comparison import Side, SideRun, compare
from oildrop.rules.costing import Attempt, Rates, Value, value_of
from oildrop.rules.errors import UsageError

NOISE = (1.0, 1.02, 0.985, 1.01, 0.99)
FREE = Rates(currency="USD", per_hour=3600.0)
NAMES = ("time_to_target_s", "power_w", "success_rate")


def candidate(key, times, *, power=100.0, system="s1", scope="node", outcome="crash"):
    runs = tuple(
        SideRun(seed=k, session_id=f"{key}-1", system_id=system, outcome="ok" if time else outcome, seeds_chosen=False,
                values={"time_to_target_s": time, "power_w": power})
        for k, time in enumerate(times)
    )  # fmt: skip
    side = Side(label=key, benchmark="lm-pretrain", benchmark_sha256="ab" * 32, tier="nano", kind="to_target",
                target=0.5, runs=runs)  # fmt: skip
    attempts = [
        Attempt(ok=run.outcome == "ok", elapsed_s=50.0, values=run.values, scopes={"power_w": scope}) for run in runs
    ]
    return Candidate(
        key=key, label=key, side=side, values={name: value_of(name, "to_target", attempts, FREE) for name in NAMES}
    )


def noisy(key, time_s, **fields):
    """Five runs about `time_s`, each key with a scatter of its own."""
    turned = sum(map(ord, key)) % 5
    factors = [factor + 0.001 * turned * k for k, factor in enumerate(NOISE[turned:] + NOISE[:turned])]
    return candidate(key, [time_s * factor for factor in factors], **fields)


POINTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=12)


@given(POINTS)
def test_the_frontier_is_what_brute_force_finds(points):
    found = pareto(points)
    for point, kept in zip(points, found, strict=True):
        beaten = any(
            sum(o < p for o, p in zip(other, point, strict=True)) > 0
            and sum(o > p for o, p in zip(other, point, strict=True)) == 0
            for other in points
        )
        assert kept is not beaten


@given(POINTS.filter(bool))
def test_the_frontier_is_never_empty_and_holds_the_best_of_each_coordinate(points):
    kept = [point for point, on in zip(points, pareto(points), strict=True) if on]
    for axis in range(3):
        assert min(point[axis] for point in kept) == min(point[axis] for point in points)


def value(estimate, low=None, high=None):
    return Value(name="power_w", value=estimate, low=low, high=high, unit="W")


@pytest.mark.parametrize(
    ("sense", "limit", "low", "high", "held", "certainty", "surely_missed"),
    [
        ("max", 120, 90, 110, True, "sure", None),
        ("max", 105, 90, 110, True, "likely", None),
        ("max", 95, 90, 110, False, None, False),
        ("max", 80, 90, 110, False, None, True),
        ("min", 80, 90, 110, True, "sure", None),
        ("min", 95, 90, 110, True, "likely", None),
        ("min", 105, 90, 110, False, None, False),
        ("min", 120, 90, 110, False, None, True),
        ("max", 120, None, None, True, "likely", None),
        ("max", 80, None, None, False, None, None),
    ],
)
def test_a_bound_is_held_surely_or_only_likely(sense, limit, low, high, held, certainty, surely_missed):
    found = held_by(value(100.0, low, high), Constraint(metric="power_w", sense=sense, limit=limit))
    assert (found.held, found.certainty, found.surely_missed) == (held, certainty, surely_missed)
    assert found.miss == (None if held else pytest.approx(abs(100 - limit) / limit))


def test_the_best_within_the_bounds_wins_and_the_rest_are_accounted_for():
    fast, slow, hot = noisy("fast", 10.0), noisy("slow", 20.0), noisy("hot", 5.0, power=400.0)
    broken = candidate("broken", [10.0] * 4 + [None], outcome="invalid")
    dead = candidate("dead", [None] * 3)
    found = choose(
        [slow, hot, broken, dead, fast], "time_to_target_s", [Constraint(metric="power_w", sense="max", limit=300.0)]
    )
    assert (found.winner, [entry.key for entry in found.entries]) == ("fast", ["fast", "slow"])
    assert [entry.on_frontier for entry in found.entries] == [True, False]
    left = {each.key: (each.why, each.reason) for each in found.left_out}
    assert left["hot"] == ("constraint", "power_w 400 W is 33.3 % over 300, in the estimate alone")
    assert left["broken"][0] == "invalid"
    assert left["dead"][0] == "missing" and "none of 3 runs succeeded" in left["dead"][1]
    assert found.rivals[0].told and found.rivals[0].probability > 0.999
    assert found.sentence.startswith("fast has the best time_to_target_s, within the bounds in the estimate alone")


def test_what_cannot_be_told_apart_is_said():
    found = choose([noisy("a", 10.0), candidate("b", [12.0, 9.0, 11.0, 8.7, 10.5])], "time_to_target_s", [])
    assert not found.rivals[0].told
    assert 0.5 < found.rivals[0].probability < 0.975
    assert "cannot be told from b" in found.sentence
    assert found.entries[0].certainty is None


def test_nothing_within_the_bounds_leads_to_the_nearest_misses():
    bound = [Constraint(metric="power_w", sense="max", limit=50.0)]
    found = choose([noisy("far", 1.0, power=500.0), noisy("near", 9.0, power=60.0)], "time_to_target_s", bound)
    assert (found.winner, found.entries) == (None, ())
    assert [each.key for each in found.left_out] == ["near", "far"]
    assert found.sentence.startswith("No configuration satisfies this; the nearest miss is near: power_w 60 W is 20 %")
    assert choose([], "time_to_target_s", []).sentence == "No configuration satisfies this"


def test_scopes_are_never_ranked_together():
    found = choose(
        [noisy("a", 10.0), noisy("b", 11.0), noisy("c", 5.0, scope="device")],
        "time_to_target_s",
        [Constraint(metric="power_w", sense="max", limit=300.0)],
    )
    assert found.winner == "a"
    assert [(each.key, each.why) for each in found.left_out] == [("c", "scope")]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(8.0, 14.0), min_size=3, max_size=5))
def test_an_entrant_never_changes_a_pairs_verdict(times):
    entrants = [noisy(f"e{k}", time) for k, time in enumerate(times)]
    few, all_ = (choose(group, "time_to_target_s", []) for group in (entrants[:-1], entrants))
    for found in (few, all_):
        winner = next(each for each in entrants if each.key == found.winner)
        for rival, other in itertools.product(found.rivals, entrants):
            if rival.key == other.key:
                assert rival.comparison == compare(winner.side, other.side, "time_to_target_s")
    if few.winner == all_.winner:
        before = {rival.key: rival.comparison for rival in few.rivals}
        assert before.items() <= {rival.key: rival.comparison for rival in all_.rivals}.items()
        for rival in few.rivals:  # more that are tried ask for more
            after = next(each for each in all_.rivals if each.key == rival.key)
            assert after.p_holm >= rival.p_holm


def test_an_objective_against_its_direction_is_refused_with_the_option_that_would_do():
    with pytest.raises(UsageError, match="use --maximize train_tokens_per_s"):
        check_objective("train_tokens_per_s", "min")
    with pytest.raises(UsageError, match="no better direction"):
        check_objective("busy_fraction", "max")
    with pytest.raises(UsageError, match="--min success_rate"):
        check_objective("success_rate", "max")
    check_objective("cost_to_target", "min")
