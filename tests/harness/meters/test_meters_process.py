"""The process meter on real processes."""

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from oildrop.harness.meters import process
from oildrop.harness.meters.process import ProcessMeter, busy_s, process_tree

# Holds 64 MiB, starts a child that burns 0.2 s of processor time and stays, says so, and waits for its input to end.
PARENT = """
import subprocess, sys
held = bytearray(64 << 20)
child = subprocess.Popen([sys.executable, "-c", '''
import sys, time
while time.process_time() < 0.2: pass
print("burnt", flush=True)
sys.stdin.read()
'''], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
child.communicate()
"""


@pytest.fixture
def tree():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    yield parent
    parent.communicate()


def by_quantity(meter: ProcessMeter) -> dict[str, float]:
    return {reading.quantity: reading.value for reading in meter.sample()}


def test_time_and_memory_include_the_children(tree) -> None:
    readings = by_quantity(ProcessMeter(tree.pid))
    own = psutil.Process(tree.pid)
    assert readings["cpu_s"] >= sum(own.cpu_times()[:2]) + 0.19
    assert readings["rss_bytes"] > own.memory_info().rss >= 64 << 20
    assert len(process_tree(tree.pid)) == 2


def test_the_kernels_list_of_descendants_is_that_of_psutil(tree) -> None:
    by_psutil = {child.pid for child in psutil.Process(tree.pid).children(recursive=True)}
    assert {child.pid for child in process_tree(tree.pid)[1:]} == by_psutil and len(by_psutil) == 1


def test_without_the_kernels_lists_psutil_looks(tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_names", lambda folder: None)
    assert len(process_tree(tree.pid)) == 2


def test_time_of_an_ended_child_stays_counted(tree) -> None:
    meter = ProcessMeter(tree.pid)
    before = by_quantity(meter)["cpu_s"]
    process_tree(tree.pid)[1].kill()
    assert by_quantity(meter)["cpu_s"] >= before


def test_an_ended_worker_leaves_its_quantities_out() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    readings = by_quantity(ProcessMeter(ended.pid))
    assert not {"cpu_s", "rss_bytes"} & set(readings)
    assert readings["busy_s"] > 0


def test_the_host_counts_work_without_guests_twice_or_stolen_time() -> None:
    times = SimpleNamespace(
        user=10.0, nice=1.0, system=2.0, idle=99.0, iowait=9.0, irq=0.5, softirq=0.25, steal=7.0, guest=3.0
    )
    assert busy_s(times) == 13.75
    assert busy_s(SimpleNamespace(user=1.0, nice=0.0, system=2.0, idle=5.0)) == 3.0


def test_the_list_of_children_is_not_made_anew_at_every_sample(tree) -> None:
    now = [0.0]
    meter = ProcessMeter(tree.pid, clock=lambda: now[0])
    first = meter._processes()
    now[0] = 0.9
    assert meter._processes() is first
    now[0] = 1.0
    assert meter._processes() is not first


def test_it_says_who_it_is() -> None:
    info = ProcessMeter(os.getpid()).info()
    assert (info.name, info.status, info.scope, info.device) == ("process", "measured", "process", "worker")
