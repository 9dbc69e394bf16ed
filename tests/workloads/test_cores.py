from __future__ import annotations

import os
from pathlib import Path

import pytest

from oildrop.workloads.cores import physical_cores


def test_hardware_threads_of_one_core_count_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for cpu, siblings in enumerate(["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    for usable, cores in [({0, 4}, 1), ({0, 1, 4, 5}, 2), (set(range(8)), 4), ({3}, 1)]:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, usable=usable: usable, raising=False)
        assert physical_cores(tmp_path) == cores


def test_without_a_topology_every_usable_processor_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert physical_cores(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert physical_cores(tmp_path) == 8
