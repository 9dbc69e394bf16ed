"""What many tests share: a store of their own and made-up runs in real bundles."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from oildrop.harness import presence
from oildrop.results.layout import StoreLayout

ROOT = Path(__file__).resolve().parents[1]

# Several test processes share the cores, and OpenMP's threads spin while they wait: each would keep the others waiting.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first, so that at the end no process is left alone with one of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def own_presence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs within this process are announced to it alone: test files that run at once use the same run ids."""
    with mock.patch.object(presence, "presence_folder", return_value=tmp_path_factory.mktemp("live")):
        yield


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """`benchmarks/synthetic.py`, which writes made-up runs."""
    spec = importlib.util.spec_from_file_location("synthetic", ROOT / "benchmarks" / "synthetic.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(tmp_path: Path) -> StoreLayout:
    """An empty store."""
    layout = StoreLayout(tmp_path / "store")
    layout.ensure()
    return layout


MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(store: StoreLayout, synthetic: ModuleType) -> MakeBundle:
    """Writes one bundle into `store` (or `layout=`) and returns its folder.

    Keywords as of `synthetic_run`: outcome, benchmark, seed_index, events, tier, run_id, system. The same
    keywords give the same bundle; nothing waits for the disk.
    """

    def make(layout: StoreLayout = store, **keywords: Any) -> Path:
        keywords.setdefault("rng", random.Random(str(sorted(keywords.items(), key=str))))
        with mock.patch("os.fsync"):
            return synthetic.synthetic_run(layout, **keywords)

    return make
