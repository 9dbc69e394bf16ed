"""A worker's run against a server, with scenarios of a fifth of a second and its events in a list."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oildrop.harness.endpoint import run as endpoint_run
from oildrop.harness.endpoint.address import parse_address
from oildrop.harness.endpoint.environment import API_KEYS, worker_environment
from oildrop.harness.phases import End
from oildrop.harness.repeats import is_probed
from oildrop.results.bundle.requests import read_requests
from oildrop.results.bundle.requests_merged import merged
from oildrop.rules.evidence import RequestTable
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Limits, RunSpec
from oildrop.rules.rulebook import Benchmark
from oildrop.rules.rulebook_parts import Terms
from oildrop.rules.settings import resolve


class Log:
    """The worker's emitter and heartbeat, keeping all in a list."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, dict[str, Any]]] = []
        self.progress = self.answered = self.failed = 0

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        self.events.append((key, value, meta or {}))

    def flush(self) -> None:
        """Nothing is buffered."""

    def one(self, key: str) -> tuple[Any, dict[str, Any]]:
        (found,) = [(value, meta) for name, value, meta in self.events if name == key]
        return found


@dataclasses.dataclass
class Made:
    """What a run left."""

    log: Log
    end: End
    table: RequestTable


def kept(folder: Path) -> RequestTable:
    """The requests of all chunks in a run's folder."""
    return merged([read_requests(path) for path in sorted((folder / "samples").iterdir())])


@pytest.fixture
def words_tokenizer(tmp_path: Path) -> Path:
    """A tokenizer for which a word is a token."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """lm-serve with scenarios of a fifth of a second."""
    real = load_rulebook().benchmarks["lm-serve"]
    nano = real.tiers["nano"]
    scenarios = {
        name: Terms.model_validate({**terms.model_dump(), "minimum_s": 0.2, "minimum_queries": 6})
        for name, terms in nano.scenarios.items()
    }
    short = real.model_copy(update={"tiers": {"nano": nano.model_copy(update={"scenarios": scenarios})}})
    monkeypatch.setattr(endpoint_run, "benchmark_of", lambda spec, emitter: short)
    for name in API_KEYS:
        monkeypatch.delenv(name, raising=False)
    return short


@pytest.fixture
def make(benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(
        url: str, scenario: str, *, rate_per_s: float | None = None, model: str = "",
        deadline_s: float = 60.0, tokenizer: Path | None = None, probed: bool = False, **changes: str,
    ) -> Made:  # fmt: skip
        monkeypatch.setattr(endpoint_run, "is_probed", lambda spec: probed and is_probed(spec))
        for name, value in worker_environment(parse_address(url), model, tokenizer).items():
            monkeypatch.setenv(name, value)
        asked = {name.replace("__", "."): value for name, value in changes.items()}
        settings = resolve(benchmark, "nano", "open", {"scenario.name": scenario, **asked}).settings
        spec = RunSpec(
            run_id="20261125-000000-000000-aaaaaa", created_utc="2026-11-25T00:00:00Z", benchmark="lm-serve",
            benchmark_sha256=benchmark.sha256, tier="nano", division="open", backend="endpoint", kind="serve",
            settings=settings, seed=11, limits=Limits(deadline_s=deadline_s, heartbeat_s=9.0, stall_s=9.0),
            workload_id="w", system_id="s", software_id="s", set_id="s", session_id="s", rate_per_s=rate_per_s,
            oildrop_version="0",
        )  # fmt: skip
        log = Log()
        orders = SimpleNamespace(run_dir=tmp_path, rank=0)
        end = endpoint_run.run_endpoint(spec, orders, log, log)  # type: ignore[arg-type]
        return Made(log, end, kept(tmp_path))

    return made
