"""Served runs from their spec to a sealed bundle, through the real supervisor and worker; the model does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from oildrop.harness.job import Job
from oildrop.harness.supervisor import supervise
from oildrop.harness.system.probe import probe_system
from oildrop.results.bundle.read import read_bundle
from oildrop.results.bundle.write import BundleWriter
from oildrop.rules import keys
from oildrop.rules.evidence import Evidence
from oildrop.rules.formulas.arrivals import schedule_ns
from oildrop.rules.judge import judge
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Limits, RunSpec
from oildrop.rules.rulebook import settings_of

FAKES = Path(__file__).parent / "fakes"
SEED = 12345


class Observed:
    """What the observer was told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.answered: list[int] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def evaluated(self, samples: int, quality: float | None) -> None:
        raise AssertionError("nothing is evaluated")

    def served(self, answered: int) -> None:
        self.answered.append(answered)


def run(tmp_path: Path, scenario: str, way: str = "answers", rate: float | None = None) -> tuple[Evidence, Observed]:
    benchmark = load_rulebook().benchmarks["lm-generate"]
    spec = RunSpec(
        run_id="20261122-000000-000000-aaaaaa",
        created_utc="2026-11-22T00:00:00Z",
        benchmark=benchmark.name,
        benchmark_sha256=benchmark.sha256,
        tier="nano",
        division="closed",
        backend="torch-cpu",
        kind="serve",
        settings={**settings_of(benchmark.tiers["nano"]), "scenario.name": scenario, "scenario.concurrency": 3},
        seed=SEED,
        rate_per_s=rate,
        limits=Limits(deadline_s=30.0, heartbeat_s=10.0, stall_s=10.0),
        workload_id="w",
        system_id="s",
        software_id="s",
        set_id="s",
        session_id="s",
        oildrop_version="0",
    )
    writer = BundleWriter.create(tmp_path / "runs" / spec.run_id, spec, probe_system(), {"toy.toml": b"a = 1\n"})
    job = Job(
        spec=spec,
        writer=writer,
        store_root=tmp_path,
        reserve=tmp_path / "reserve.bin",
        salt="",
        redact=lambda value: value,
        step_cost_s=1e-6,
        environment={"FAKE_WORKER": way, "PYTHONPATH": str(FAKES)},
        worker_module="null_server",
    )
    observed = Observed()
    supervise(job, observed)
    evidence = read_bundle(writer.path)
    assert evidence.problems == ()
    return evidence, observed


def test_a_single_stream_leaves_a_whole_bundle(tmp_path: Path) -> None:
    evidence, observed = run(tmp_path, "single-stream")
    assert (evidence.events[-1].value, evidence.events[-1].meta["reason"]) == ("ok", None)
    assert observed.phases == ["data", "compile", "gates", "init", "warmup", "serve", "eval", "probe", "teardown"]
    told = [event.key for event in evidence.events if event.proc == "worker-0" and event.key != keys.HEARTBEAT]
    marks = (keys.WEIGHTS_SHA256, keys.SEED, keys.SERVE, keys.INIT_STOP, keys.RUN_START, keys.RUN_STOP, keys.SERVED)
    assert [key for key in told if key in marks] == list(marks)
    requests, served = evidence.requests, evidence.first(keys.SERVED)
    assert requests is not None and served is not None and evidence.answers is not None
    assert served.value == len(requests.index) >= 20
    assert (served.meta["errors"], served.meta["stopped_by"]) == (0, "minimum")
    assert set(requests.outcome) == {"ok"}
    assert requests.tokens == tuple((index,) * 4 for index in requests.index)
    assert all(gap >= 5_000_000 for gaps in requests.gaps_ns for gap in gaps)
    assert sum(evidence.answers.compared_count) == sum(requests.output_tokens)
    start, stop = evidence.first(keys.RUN_START), evidence.first(keys.RUN_STOP)
    assert start is not None and stop is not None
    assert stop.t_ns - start.t_ns >= max(at for at in requests.last_ns if at is not None) >= 500_000_000


def test_prompts_are_asked_again_after_the_clock_and_are_no_faster(tmp_path: Path) -> None:
    evidence, _ = run(tmp_path, "single-stream")
    repeats, stop = evidence.first(keys.REPEATS), evidence.first(keys.RUN_STOP)
    assert repeats is not None and stop is not None and repeats.t_ns > stop.t_ns
    assert 10 <= repeats.value == len(repeats.meta["new_ns"]) == len(repeats.meta["repeated_ns"]) <= 24
    assert all(time_ns >= 5_000_000 for name in ("new_ns", "repeated_ns") for time_ns in repeats.meta[name])
    assert not {"R048", "R049"} & {finding.rule for finding in judge(evidence, load_rulebook()).findings}


def test_a_model_that_remembers_its_answers_is_invalid_by_its_rule(tmp_path: Path) -> None:
    evidence, _ = run(tmp_path, "single-stream", way="remembers")
    judgement = judge(evidence, load_rulebook())
    (finding,) = [finding for finding in judgement.findings if finding.rule == "R048"]
    assert judgement.outcome == "invalid"
    assert finding.evidence["speedup"] > 5
    assert "execution.prefix_cache=on" in finding.fix


def test_the_terms_are_in_the_log(tmp_path: Path) -> None:
    evidence, _ = run(tmp_path, "server", rate=30.0)
    serve, requests = evidence.first(keys.SERVE), evidence.requests
    assert serve is not None and requests is not None
    assert serve.value == "server"
    expected = {"minimum_s": 0.5, "minimum_queries": 20, "percentile": 0.9, "samples_per_query": 1, "rate_per_s": 30.0}
    assert {name: serve.meta[name] for name in expected} == expected
    assert serve.meta["bounds"] == {"latency_s": None, "ttft_s": 0.2, "tpot_s": 0.05}
    assert {"weight_bytes", "cache_bytes_per_token", "read_bandwidth_bytes_per_s"} <= set(serve.meta)
    assert list(requests.scheduled_ns) == schedule_ns(SEED, 30.0, minimum_ns=500_000_000, minimum_count=20)


def test_a_model_that_dies_leaves_the_requests_that_it_had(tmp_path: Path) -> None:
    evidence, _ = run(tmp_path, "concurrency", way="dies")
    assert (evidence.events[-1].value, evidence.events[-1].meta["reason"]) == (
        "crash",
        "ValueError: the cache is broken",
    )
    requests, served = evidence.requests, evidence.first(keys.SERVED)
    assert requests is not None and served is not None
    assert served.meta["stopped_by"] == "error"
    assert requests.outcome.count("ok") == 18  # two at a time, four steps each; the fortieth step brought nothing
    assert requests.outcome.count("unfinished") == 3
    assert evidence.first(keys.RUN_STOP) is None
    assert evidence.answers is None


def test_a_rate_that_no_answer_can_keep_up_with_has_missed_its_bounds(tmp_path: Path) -> None:
    evidence, _ = run(tmp_path, "server", way="swamped", rate=2000.0)
    served, stop = evidence.first(keys.SERVED), evidence.first(keys.RUN_STOP)
    assert served is not None and stop is not None and evidence.requests is not None
    assert (served.meta["stopped_by"], stop.meta["status"]) == ("overflow", "aborted")
    assert evidence.events[-1].value == "target_missed"
    assert "unfinished" in evidence.requests.outcome


def test_a_damaged_checkpoint_is_invalid_by_its_rule(tmp_path: Path) -> None:
    evidence, _ = run(tmp_path, "single-stream", way="damaged")
    assert evidence.events[-1].value == "invalid"
    judgement = judge(evidence, load_rulebook())
    assert (judgement.outcome, "R041" in {finding.rule for finding in judgement.findings}) == ("invalid", True)


@pytest.mark.parametrize("scenario", ["offline", "multi-stream", "interactive"])
def test_every_other_scenario_ends_well(tmp_path: Path, scenario: str) -> None:
    evidence, _ = run(tmp_path, scenario, rate=40.0 if scenario == "interactive" else None)
    assert evidence.events[-1].value == "ok", evidence.events[-1].meta["reason"]
