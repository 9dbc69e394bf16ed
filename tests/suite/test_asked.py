"""What can be asked of a served benchmark, and the words of what cannot."""

from __future__ import annotations

import pytest

from oildrop.results.layout import StoreLayout
from oildrop.rules.errors import UsageError
from oildrop.rules.loading import load_rulebook
from oildrop.suite.asked import served_changes
from oildrop.suite.planning import PlannedSet, plan
from oildrop.suite.request import RunRequest
from oildrop.suite.suites import Entry

GENERATE = load_rulebook().benchmarks["lm-generate"]
PRETRAIN = load_rulebook().benchmarks["lm-pretrain"]
NOTHING = {"scenario": None, "rate_per_s": None, "concurrency": ()}


@pytest.fixture
def layout(tmp_path) -> StoreLayout:  # type: ignore[no-untyped-def]
    return StoreLayout(tmp_path / "store")


def planned(layout: StoreLayout, **asked: object) -> list[PlannedSet]:
    fields = {"benchmarks": ("lm-generate",), "backend": "torch-cpu", **asked}
    return plan(RunRequest(**fields), layout)  # type: ignore[arg-type]


def test_a_scenario_is_a_setting_and_an_identity_of_its_own(layout: StoreLayout) -> None:
    (single,), (offline,) = planned(layout), planned(layout, scenario="offline")
    assert single.specs[0].scenario == "single-stream"
    assert offline.specs[0].scenario == "offline"
    assert offline.specs[0].changed["scenario.name"] == ("single-stream", "offline")
    assert single.specs[0].workload_id != offline.specs[0].workload_id
    assert offline.specs[0].kind == "serve"
    assert offline.search is None
    assert offline.specs[0].command[-6:] == ("--backend", "torch-cpu", "--scenario", "offline", "--seeds", "0")


def test_a_rate_is_no_part_of_the_identity_and_takes_the_search_away(layout: StoreLayout) -> None:
    (searched,) = planned(layout, scenario="server")
    (given,) = planned(layout, rate_per_s=12.5)
    assert given.specs[0].scenario == "server"
    assert given.specs[0].rate_per_s == 12.5
    assert given.search is None
    assert "--rate 12.5" in " ".join(given.specs[0].command)
    assert searched.search is not None
    assert searched.search.first_per_s == GENERATE.tiers["nano"].scenarios["server"].first_rate_per_s
    assert searched.search.most_probes == 3
    assert searched.specs[0].rate_per_s is None
    assert searched.specs[0].workload_id == given.specs[0].workload_id


def test_each_concurrency_is_a_set(layout: StoreLayout) -> None:
    sets = planned(layout, concurrency=(1, 4))
    assert [one.specs[0].settings["scenario.concurrency"] for one in sets] == [1, 4]
    assert {one.specs[0].scenario for one in sets} == {"concurrency"}


def test_a_benchmark_that_trains_takes_no_change_but_those_asked_for() -> None:
    assert served_changes(PRETRAIN, {"execution.threads": "1"}, **NOTHING) == [{"execution.threads": "1"}]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"benchmarks": ("lm-pretrain",), "scenario": "server"}, ["--scenario", "lm-pretrain does not"]),
        ({"benchmarks": ("lm-pretrain",), "rate_per_s": 2.0}, ["--rate", "lm-pretrain does not"]),
        ({"benchmarks": ("lm-pretrain",), "concurrency": (2,)}, ["--concurrency", "lm-pretrain does not"]),
        ({"benchmarks": (), "scenario": "server"}, ["suite default", "need a BENCHMARK"]),
        ({"scenario": "servr"}, ["--scenario 'servr' is not one of single-stream, multi-stream, server"]),
        ({"scenario": "offline", "rate_per_s": 3.0}, ["--rate 3", "offline", "server or interactive"]),
        ({"scenario": "server", "concurrency": (3,)}, ["--concurrency", "not server"]),
        ({"rate_per_s": 3.0, "concurrency": (3,)}, ["--rate", "--concurrency", "give one"]),
        ({"scenario": "server", "changes": {"scenario.name": "offline"}}, ["--scenario server", "offline", "differ"]),
        ({"concurrency": (3,), "changes": {"scenario.concurrency": "4"}}, ["say the same thing"]),
        ({"max_restarts": 1}, ["--max-restarts 1", "never resumed"]),
        ({"changes": {"execution.prefill_backend": "jax-cpu"}}, ["jax-cpu", "execution.transfer=tcp"]),
        ({"changes": {"execution.prefill_backend": "jax"}}, ["'jax' is not one of empty, torch-cuda"]),
        (
            {"division": "open", "changes": {"requests.prompt_tokens_max": "34"}},
            ["66 tokens", "start token holds 65", "data.document_tokens"],
        ),
        (
            {"division": "open", "changes": {"requests.output_tokens_min": "33"}},
            ["output_tokens_min = 33", "output_tokens_max = 32"],
        ),
        ({"changes": {"requests.shared_prefix_tokens": "25"}}, ["shared_prefix_tokens = 25", "ask for 24 or fewer"]),
        (
            {"division": "open", "changes": {"requests.shared_prefix_tokens": "8", "requests.depth_tokens": "1"}},
            ["shared_prefix_tokens and requests.depth_tokens", "to 0"],
        ),
        (
            {"division": "open", "changes": {"model.width": "64", "model.layers": "2"}},
            ["model.layers = 2, model.width = 64: checkpoint lm-pretrain-nano", "weights.source=random"],
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    layout: StoreLayout, asked: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        planned(layout, **asked)
    for word in words:
        assert word in str(refused.value)


def test_prompt_and_answer_as_long_as_a_document_with_its_start_token_are_taken(layout: StoreLayout) -> None:
    (one,) = planned(layout, division="open", changes={"requests.prompt_tokens_max": "33"})
    assert one.specs[0].settings["requests.prompt_tokens_max"] == 33


def test_random_weights_are_served_in_any_shape_and_prompts_may_share_all_but_their_own(layout: StoreLayout) -> None:
    changes = {"model.layers": "2", "weights.source": "random", "requests.shared_prefix_tokens": "24"}
    (one,) = planned(layout, division="open", changes=changes)
    assert one.specs[0].settings["model.layers"] == 2


def test_an_entry_of_a_suite_is_read_as_benchmark_and_scenario() -> None:
    assert str(Entry("lm-generate", "server")) == "lm-generate server"
    assert str(Entry("lm-pretrain")) == "lm-pretrain"


def test_a_suite_runs_those_of_its_benchmarks_that_have_the_tier(layout: StoreLayout) -> None:
    nano = planned(layout, benchmarks=())
    assert [(one.benchmark, one.specs[0].scenario) for one in nano] == [
        ("lm-pretrain", None), ("image-classify", None), ("lm-generate", "single-stream"), ("lm-generate", "offline"),
        ("lm-generate", "server"),
    ]  # fmt: skip
    assert "lm-generate" not in [one.benchmark for one in planned(layout, benchmarks=(), tier="smoke")]


def test_a_tier_that_no_benchmark_of_the_suite_has_is_refused(layout: StoreLayout) -> None:
    with pytest.raises(UsageError, match="lm-pretrain has no tier 'vast'"):
        planned(layout, benchmarks=(), tier="vast")


def test_a_tier_without_a_checkpoint_says_how_to_serve_random_weights(layout: StoreLayout) -> None:
    with pytest.raises(UsageError, match=r"weights\.source=random --division open"):
        planned(layout, tier="small", division="open", changes={"weights.source": "checkpoint"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"execution.transfer": "tcp"}, r"execution\.transfer = tcp: not with requests\.depth_tokens = 8"),
        ({"execution.draft": "lm-pretrain-draft"}, r"execution\.draft .* leave execution\.draft at nothing"),
        ({"requests.prompt_tokens_max": "40"}, r"make 80 tokens .* holds 65"),
    ],
)
def test_what_cannot_go_with_tokens_held_before_is_refused(
    layout: StoreLayout, change: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        planned(layout, changes={"requests.depth_tokens": "8", **change}, division="open")


def test_another_machine_reads_prompts_over_tcp_alone(layout: StoreLayout) -> None:
    with pytest.raises(UsageError, match=r"by execution\.transfer=tcp alone, and it is none"):
        planned(layout, changes={"execution.prefill_machine": "other"})


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "OILDROP_PREFILL is not set; name the machine on which `oildrop prefill serve` listens"),
        ({"OILDROP_PREFILL": "there"}, "OILDROP_PREFILL is no HOST:PORT"),
        ({"OILDROP_PREFILL": "there:70"}, "OILDROP_PREFILL_KEY holds 0 characters, at least 16 are needed"),
    ],
)
def test_another_machine_is_named_before_a_run_is_opened(
    layout: StoreLayout, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    for name in ("OILDROP_PREFILL", "OILDROP_PREFILL_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        planned(layout, changes={"execution.transfer": "tcp", "execution.prefill_machine": "other"})
