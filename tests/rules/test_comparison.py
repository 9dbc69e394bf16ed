"""Two configurations against each other: method, verdict, and the sentence that may be said."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oildrop.rules.comparison import Side, SideRun, compare, compare_metrics
from oildrop.rules.errors import UsageError

A_S = [10.0, 10.3, 9.8, 10.1, 10.6]
B_S = [12.4, 12.9, 12.0, 12.7, 13.1]


def run(value, *, seed=0, session="day1", system="s1", outcome="ok", chosen=False, metric="time_to_target_s"):
    return SideRun(
        seed=seed, session_id=session, system_id=system, outcome=outcome, seeds_chosen=chosen, values={metric: value}
    )


def side(label, values, *, first_seed=0, **fields):
    runs = tuple(
        run(value, seed=first_seed + index, outcome="ok" if value else "crash", **fields)
        for index, value in enumerate(values)
    )
    return Side(
        label=label,
        benchmark="lm-pretrain",
        benchmark_sha256="ab" * 32,
        tier="nano",
        kind="to_target",
        target=0.5,
        runs=runs,
    )


def test_runs_of_the_same_seeds_are_paired():
    from scipy.stats import ttest_rel

    expected = ttest_rel(np.log(B_S), np.log(A_S))  # times: B over A is how many times as fast A is
    low, high = np.exp(expected.confidence_interval(0.95))
    found = compare(side("A", A_S), side("B", B_S))
    assert (found.method, found.unit, found.a_count, found.verdict) == ("paired t on logs", "pair", 5, "a_better")
    assert found.ratio == pytest.approx(math.exp(np.mean(np.log(B_S) - np.log(A_S))))
    assert (found.ci95_low, found.ci95_high) == (pytest.approx(low), pytest.approx(high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.sentence == "A is 1.24× as fast as B (95 % interval 1.23 to 1.26, 5 pairs)"
    assert compare(side("B", B_S), side("A", A_S)).sentence == (
        "B is 0.81× as fast as A (95 % interval 0.79 to 0.82, 5 pairs)"
    )


def test_pairs_are_matched_by_seed_and_not_by_place():
    a, b = side("A", A_S), side("B", B_S)
    assert compare(replace(a, runs=a.runs[::-1]), b) == compare(a, b)


def test_runs_without_common_seeds_are_taken_as_independent():
    from scipy.stats import ttest_ind

    expected = ttest_ind(np.log(B_S), np.log(A_S), equal_var=False)
    found = compare(side("A", A_S), side("B", B_S, first_seed=100))
    assert (found.method, found.unit) == ("Welch t on logs", "run")
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.sentence.endswith("5 and 5 runs)")


@pytest.mark.parametrize(
    ("common", "method"), [(1, "Welch t on logs"), (2, "Welch t on logs"), (3, "paired t on logs")]
)
def test_pairing_needs_two_seeds_and_half_of_the_smaller_side(common, method):
    assert compare(side("A", A_S), side("B", B_S, first_seed=5 - common)).method == method


def test_throughput_is_better_when_higher():
    fast, slow = (side(label, values, metric="train_samples_per_s") for label, values in [("A", B_S), ("B", A_S)])
    fast, slow = (replace(one, kind="fixed_work", target=None) for one in (fast, slow))
    found = compare(fast, slow)
    assert (found.metric, found.verdict) == ("train_samples_per_s", "a_better")
    assert found.ratio == pytest.approx(math.exp(np.mean(np.log(B_S) - np.log(A_S))))


def test_as_fast_as_needs_a_lower_bound_of_098():
    jitter = np.array([1.004, 0.997, 1.002, 0.998, 1.0])
    found = compare(side("A", list(10 * jitter)), side("B", [10.0] * 5))
    assert (found.verdict, found.as_fast) == ("as_fast", True)
    assert 0.98 <= found.ci95_low < 1 < found.ci95_high
    assert found.sentence == "A is as fast as B (1.000×, 95 % interval 0.996 to 1.003, 5 pairs)"


@pytest.mark.parametrize(("low", "verdict"), [(0.981, "as_fast"), (0.979, "unresolved")])
def test_the_bound_of_098_is_sharp(low, verdict):
    # Log ratios x, -x, x, -x: mean 0, variance 4x²/3, so the lower end is exp(-3.182446 x / sqrt(3)).
    x = -math.log(low) * math.sqrt(3) / 3.182446
    hardness = [1.0, 1.1, 1.2, 1.3]
    times = [each * math.exp(sign * x) for each, sign in zip(hardness, (-1, 1, -1, 1), strict=True)]
    found = compare(side("A", times), side("B", hardness))
    assert (found.ci95_low, found.verdict) == (pytest.approx(low, abs=1e-6), verdict)


def test_too_wide_an_interval_is_unresolved_and_says_what_would_help():
    wide = np.array([1.2, 0.85, 1.1, 0.9, 1.0])
    found = compare(side("A", list(10 * wide)), side("B", [10.0] * 5))
    assert (found.verdict, found.as_fast) == ("unresolved", False)
    assert found.sentence.startswith("Whether A is as fast as B is unresolved (")
    assert f"{found.runs_needed} pairs would show one of 5 %" in found.sentence
    assert f"{100 * (found.minimum_detectable_ratio - 1):.2g} %" in found.sentence
    assert found.runs_needed > 5


def test_a_resolved_small_loss_is_a_loss_even_within_two_per_cent():
    jitter = np.array([1.0101, 1.0099, 1.0100, 1.0102, 1.0098])
    found = compare(side("A", list(10 * jitter)), side("B", [10.0] * 5))
    assert (found.verdict, found.as_fast) == ("b_better", True)
    assert found.sentence.startswith("A is 0.99× as fast as B")


def test_an_end_of_the_interval_is_never_rounded_onto_the_bound_it_misses():
    ratios = np.array([1.001, 1.002, 1.0005, 1.0015, 1.001])
    found = compare(side("A", [10.0] * 5), side("B", list(10 * ratios)))
    assert found.verdict == "a_better"
    assert 1 < found.ci95_low < 1.0005  # which two or three decimals would print as 1
    assert "interval 1.0005 to 1.0019" in found.sentence


def test_one_run_on_a_side_has_a_ratio_and_no_interval():
    found = compare(side("A", [10.0]), side("B", [12.0, 12.0]))
    assert (found.verdict, found.method, found.ci95_low, found.p_value) == ("unresolved", "none", None, None)
    assert found.ratio == pytest.approx(1.2)
    assert found.sentence == (
        "Whether A is as fast as B is unresolved (1.20×, 1 and 2 runs): an interval needs two on each side"
    )


def test_failures_bring_the_rank_test_with_failures_tied_worst():
    # Of the C(10, 5) = 252 ways to deal the ranks, 2 are as extreme as five against five failures would be;
    # here B has four failures tied and one success slower than all of A's: still complete separation.
    found = compare(side("A", A_S), side("B", [99.0, None, None, None, None]))
    assert (found.method, found.verdict, found.ratio) == ("exact rank-sum", "a_better", None)
    assert found.p_value == pytest.approx(2 / 252)
    assert found.sentence == (
        "A does better than B: 5 of 5 against 1 of 5 succeeded (rank test with failures tied worst, p = 0.0079)"
    )


def test_values_without_scatter_are_ranked_and_get_no_interval():
    found = compare(side("A", [10.0] * 5), side("B", [12.0] * 5))
    assert (found.method, found.unit, found.verdict) == ("exact rank-sum", "pair", "a_better")
    assert (found.ratio, found.ci95_low, found.as_fast) == (pytest.approx(1.2), None, None)
    assert found.p_value == pytest.approx(2 / 252)
    assert found.sentence == (
        "A is 1.20× as fast as B in all runs (5 pairs, no scatter and so no interval; rank test, p = 0.0079)"
    )
    few = compare(side("A", [10.0] * 3), side("B", [12.0] * 3, first_seed=9))
    assert (few.verdict, few.unit) == ("unresolved", "run")
    assert few.sentence == (
        "Whether A is as fast as B is unresolved (1.20×, 3 and 3 runs): values without scatter leave no interval "
        "(rank test, p = 0.1)"
    )
    same = compare(side("A", [10.0] * 5), side("B", [10.0] * 5))
    assert (same.verdict, same.p_value) == ("unresolved", 1.0)
    assert same.sentence == (
        "A and B have the same time_to_target_s in all runs (5 pairs): nothing finer than its resolution is claimed"
    )


def test_a_single_failure_is_no_proof():
    found = compare(side("A", A_S), side("B", [10.2, 9.9, 10.4, 10.1, None]))
    assert found.verdict == "unresolved"
    assert found.sentence.startswith("Whether A does better than B is unresolved: 5 of 5 against 4 of 5 succeeded")


def test_censored_and_infinite_times_rank_alike():
    a = side("A", A_S)
    missed, crashed = (
        replace(side("B", B_S), runs=tuple(run(None, seed=seed, outcome=outcome) for seed in range(5)))
        for outcome in ("target_missed", "crash")
    )
    assert compare(a, missed).p_value == compare(a, crashed).p_value
    assert compare(a, missed).verdict == "a_better"


def test_rates_of_failing_sides_rank_the_same_way_round():
    a = replace(side("A", B_S, metric="train_samples_per_s"), kind="fixed_work", target=None)
    b = replace(a, label="B", runs=tuple(run(None, seed=seed, outcome="oom") for seed in range(5)))
    assert compare(a, b).verdict == "a_better"
    assert compare(b, a).verdict == "b_better"


def test_nothing_is_claimed_where_both_sides_always_fail():
    found = compare(side("A", [None] * 5), side("B", [None] * 5))
    assert (found.verdict, found.p_value) == ("no_claim", None)
    assert found.sentence == "Nothing is claimed about A and B: 0 of 5 against 0 of 5 succeeded"


def test_an_invalid_run_stops_every_claim():
    b = side("B", B_S)
    found = compare(side("A", A_S), replace(b, runs=(*b.runs, run(1.0, seed=9, outcome="invalid"))))
    assert (found.verdict, found.ratio) == ("no_claim", None)
    assert found.sentence.endswith("an invalid run unranks the set of B")


@pytest.mark.parametrize("value", [None, 0.0])
def test_a_metric_that_was_not_measured_in_every_run_is_not_compared(value):
    a = side("A", A_S)
    a = replace(a, runs=(*a.runs[:4], replace(a.runs[4], values={"time_to_target_s": value})))
    found = compare(a, side("B", B_S))
    assert found.verdict == "no_claim"
    assert found.sentence.endswith("1 of 5 successful runs of A carry no time_to_target_s above 0")
    found = compare(a, replace(side("B (tcp)", B_S), runs=a.runs[4:] * 2))
    said = "1 of 5 successful runs of A and 2 of 2 successful runs of B carry no time_to_target_s above 0"
    assert found.sentence.endswith(said)


def test_across_systems_one_session_says_in_these_sessions():
    found = compare(side("A", A_S), side("B", B_S, system="s2", session="day2"))
    assert found.in_these_sessions
    assert found.sentence.startswith("In these sessions, A is 1.24× as fast as B (")
    assert not compare(side("A", A_S), side("B", B_S, session="day2")).in_these_sessions


def test_across_systems_two_sessions_each_make_the_session_the_unit():
    from scipy.stats import ttest_ind

    def in_sessions(label, system, values):
        runs = [
            run(value, seed=seed, session=f"{system}-{seed % 2}", system=system) for seed, value in enumerate(values)
        ]
        return replace(side(label, values), runs=tuple(runs))

    a_s, b_s = [10.0, 11.0, 10.2, 10.9], [20.0, 21.5, 20.4, 21.0]
    found = compare(in_sessions("A", "s1", a_s), in_sessions("B", "s2", b_s))
    means = [[np.log(values[first::2]).mean() for first in (0, 1)] for values in (b_s, a_s)]
    expected = ttest_ind(*means, equal_var=False)
    assert (found.unit, found.a_count, found.b_count, found.in_these_sessions) == ("session", 2, 2, False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert "2 and 2 sessions" in found.sentence


@pytest.mark.parametrize("sessions", [2, 3])
@pytest.mark.parametrize("shape", ["normal", "heavy"])
def test_two_equal_systems_are_seldom_told_apart_when_sessions_scatter(sessions, shape):
    # Each session shifts all its runs by as much as single runs scatter; pairing by seed would not take that out.
    dice, trials = np.random.default_rng(41), 300
    draw = {"normal": dice.standard_normal, "heavy": lambda size: dice.standard_t(3, size)}[shape]

    def nested(label):
        runs = tuple(
            run(10 * math.exp(shift + 0.03 * noise), seed=3 * place + k, session=f"{label}{place}", system=label)
            for place, shift in enumerate(0.03 * draw(sessions))
            for k, noise in enumerate(draw(3))
        )
        return replace(side(label, A_S), runs=runs)

    found = [compare(nested("A"), nested("B")) for _ in range(trials)]
    assert all(one.unit == "session" and not one.in_these_sessions for one in found)
    told = sum(one.verdict in ("a_better", "b_better") for one in found)
    assert told / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_with_one_session_on_a_side_no_sentence_claims_more():
    several = tuple(run(value, seed=k, session=f"day{k}", system="s2") for k, value in enumerate(B_S))
    for other in (several, several[:1], tuple(replace(one, outcome="crash") for one in several)):
        b = replace(side("B", B_S), runs=other)
        for found in (compare(side("A", A_S), b), compare(b, side("A", A_S))):
            assert found.in_these_sessions and found.sentence.startswith("In these sessions, ")


def test_on_one_system_the_pair_stays_the_unit_however_many_sessions():
    a, b = (
        replace(one, runs=tuple(replace(run, session_id=f"day{run.seed % 2}") for run in one.runs))
        for one in (side("A", A_S), side("B", B_S))
    )
    assert (compare(a, b).unit, compare(a, b).in_these_sessions) == ("pair", False)


def test_a_rank_test_across_systems_always_says_in_these_sessions():
    a = side("A", A_S)
    b = side("B", [*B_S[:4], None], system="s2")
    b = replace(b, runs=tuple(replace(one, session_id=f"day{one.seed % 2}") for one in b.runs))
    a = replace(a, runs=tuple(replace(one, session_id=f"day{one.seed % 2}") for one in a.runs))
    assert compare(a, b).sentence.startswith("In these sessions, ")


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("benchmark", "image-classify"),
        ("tier", "small"),
        ("target", 0.6),
        ("benchmark_sha256", "cd" * 32),
        ("kind", "fixed_work"),
    ],
)
def test_unlike_workloads_are_refused_by_name(field, other):
    with pytest.raises(UsageError) as caught:
        compare(side("left", A_S), replace(side("right", B_S), **{field: other}))
    assert "left runs lm-pretrain nano" in str(caught.value)
    assert "right runs" in str(caught.value)


def test_a_side_without_a_counted_run_is_refused():
    with pytest.raises(UsageError, match=r"B: 0 of its 5 runs count"):
        compare(side("A", A_S), side("B", B_S, chosen=True))


@pytest.mark.parametrize("metric", ["busy_fraction", "no_such_metric"])
def test_a_metric_without_a_better_direction_is_refused(metric):
    with pytest.raises(UsageError, match="use one of time_to_target_s"):
        compare(side("A", A_S), side("B", B_S), metric)


def with_metrics(label, table):
    names = list(table)
    runs = tuple(
        replace(run(None, seed=seed), values=dict(zip(names, row, strict=True)))
        for seed, row in enumerate(zip(*table.values(), strict=True))
    )
    return replace(side(label, A_S), runs=runs)


def test_several_metrics_in_one_call_are_adjusted_by_holm():
    a = with_metrics("A", {"time_to_target_s": A_S, "energy_j": [100.0, 108, 95, 103, 99]})
    b = with_metrics("B", {"time_to_target_s": B_S, "energy_j": [107.0, 110, 104, 103, 107]})
    time_s, energy = compare_metrics(a, b, ["time_to_target_s", "energy_j"])
    alone = compare(a, b, "energy_j")
    assert time_s.p_holm == pytest.approx(2 * time_s.p_value)
    assert energy.p_holm == pytest.approx(energy.p_value)
    assert (alone.p_holm, alone.p_value) == (None, energy.p_value)
    assert time_s.verdict == "a_better"
    assert "as good in energy as" in energy.sentence


def test_holm_can_take_back_a_difference_that_alone_is_claimed():
    close = [10.1, 10.9, 10.2, 10.55, 10.7]
    same = {"energy_j": close, "power_w": [1.0, 2.0, 3.0, 2.0, 1.0]}
    a = with_metrics("A", {"time_to_target_s": A_S, **same})
    b = with_metrics("B", {"time_to_target_s": close, "energy_j": A_S, "power_w": [2.0, 1.0, 3.0, 1.0, 2.0]})
    alone = compare(a, b)
    together = compare_metrics(a, b, ["time_to_target_s", "energy_j", "power_w"])[0]
    assert 0.05 / 3 < alone.p_value < 0.05
    assert (alone.verdict, together.verdict) == ("a_better", "as_fast")


TIMES = st.lists(st.one_of(st.none(), st.floats(1.0, 1e4)), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(TIMES, TIMES)
def test_swapping_the_sides_swaps_the_verdict(a_s, b_s):
    forward, backward = compare(side("A", a_s), side("B", b_s)), compare(side("B", b_s), side("A", a_s))
    swapped = {"a_better": "b_better", "b_better": "a_better"}
    if "as_fast" not in (forward.verdict, backward.verdict):  # the 0.98 looks down only
        assert backward.verdict == swapped.get(forward.verdict, forward.verdict)
    assert (forward.p_value is None) == (backward.p_value is None)
    assert forward.sentence[0].isupper()


@settings(deadline=None, max_examples=30)
@given(st.lists(TIMES, min_size=0, max_size=3))
def test_adding_entrants_never_flips_a_pair(entrants):
    field = [side("A", A_S), side("B", B_S), *(side(f"C{n}", values) for n, values in enumerate(entrants))]
    table = {(one.label, two.label): compare(one, two) for one in field for two in field if one is not two}
    assert table["A", "B"] == compare(side("A", A_S), side("B", B_S))


def test_energies_of_different_scopes_give_no_ratio():
    def energies(label, scope):
        made = side(label, A_S, metric="energy_j")
        return replace(made, runs=tuple(replace(run, scopes={"energy_j": scope}) for run in made.runs))

    found = compare(energies("A", "device"), energies("B", "wall"), "energy_j")
    assert (found.verdict, found.ratio, found.p_value) == ("no_claim", None, None)
    assert found.sentence == (
        "Nothing is claimed about A and B: energy_j of different scopes cannot be compared "
        "(A covers device, B covers wall)"
    )
    mixed = energies("A", "device")
    mixed = replace(mixed, runs=(*mixed.runs[:4], replace(mixed.runs[4], scopes={"energy_j": "package"})))
    assert compare(mixed, energies("B", "device"), "energy_j").verdict == "no_claim"
    assert compare(energies("A", "wall"), energies("B", "wall"), "energy_j").ratio == pytest.approx(1)


@pytest.mark.parametrize(
    ("metric", "said"),
    [("ttft_s_p50", "as good in TTFT, p50 as"), ("latency_s_p90", "as good in latency, p90 as")],
)
def test_an_abbreviation_keeps_its_capitals_within_a_sentence(metric, said):
    def served(label, value):
        runs = [replace(each, values={metric: value * (1 + each.seed / 10)}) for each in side(label, B_S).runs]
        return replace(side(label, B_S), kind="serve", scenario="single-stream", runs=tuple(runs))

    assert said in compare(served("A", 1.0), served("B", 1.01), metric).sentence
