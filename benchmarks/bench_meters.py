"""What sampling every meter costs: the sampler's processor time, and steps of 100 ms in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pairs import interleaved, mean_row, ratio_row
from table import Row

from oildrop.harness.meters.apple import AppleMeter, parse_macmon
from oildrop.harness.meters.interface import Meter
from oildrop.harness.meters.lines import Lines
from oildrop.harness.meters.process import ProcessMeter
from oildrop.harness.meters.rapl import ZONES, open_rapl
from oildrop.harness.meters.redfish import RedfishMeter
from oildrop.harness.meters.tpu import TpuMeter
from oildrop.harness.meters.wall import WallMeter
from oildrop.harness.meters.wall_file import WallMeterFile
from oildrop.harness.sampler import Sampler

STEP_S = 0.1
STEPS = 20
PAIRS = 10
COST_LIMIT = 0.005
MACMON = (
    b'{"gpu_usage":[1338,0.9],"cpu_power":4.1,"gpu_power":18.0,"ane_power":0.0,"all_power":22.1,"sys_power":28.1,'
    b'"temp":{"gpu_temp_avg":48.5}}\n'
)
TPU = b'{"duty_cycle_pct":["12.5","0.0"],"tensorcore_util":["40.0","0.0"],"hbm_util":["20.0","1.0"]}\n'


class Feed:
    """A pipe into which a line is written each period, as an instrument would."""

    def __init__(self, line: bytes, period_s: float) -> None:
        reading, self._writing = os.pipe()
        os.set_blocking(reading, False)
        self.lines = Lines(lambda count: os.read(reading, count), lambda: os.close(reading), "the feed")
        self._line, self._period_s = line, period_s
        self._stop, self._ended = threading.Event(), threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._ended.wait()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            os.write(self._writing, self._line)
        os.close(self._writing)
        self._ended.set()


def zones(root: Path) -> None:
    """Files as of two packages with their memory."""
    for folder, name in (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "dram")):
        zone = root / ZONES / folder
        zone.mkdir(parents=True)
        for file, text in (("name", name), ("energy_uj", "5000000"), ("max_energy_range_uj", "262143328850")):
            (zone / file).write_text(text)


def every_meter(root: Path, feeds: list[Feed]) -> list[Meter]:
    """All that needs no accelerator, on real files and pipes, with a line as often as instruments send."""
    macmon, wall, tpu = feeds
    file = WallMeterFile(name="bench", address="tcp://bench:1")
    return [
        ProcessMeter(os.getpid()),
        *open_rapl(root),
        AppleMeter(macmon.lines, parse_macmon, "macmon"),
        WallMeter(file, wall.lines),
        TpuMeter(tpu.lines),
        RedfishMeter(lambda path: {"PowerWatts": {"Reading": 612.0}}, "bench"),
    ]


STEPPER = f"""
import time
start = time.perf_counter()
for _ in range({STEPS}):
    until = time.thread_time() + {STEP_S}
    while time.thread_time() < until:
        pass
print((time.perf_counter() - start) / {STEPS})
"""
"""Steps that each take 100 ms of processor time: whatever takes the processor away lengthens them."""


def bare() -> float:
    """Seconds a step in a process of its own, as the worker's are."""
    done = subprocess.run([sys.executable, "-c", STEPPER], check=True, capture_output=True, text=True)
    return float(done.stdout)


def sampled() -> tuple[float, float]:
    """Seconds a step while all meters are sampled, and the sampler's processor time over wall time."""
    feeds = [Feed(MACMON, 1.0), Feed(b'{"power_w": 403.1, "energy_j": 5021.0}\n', 0.1), Feed(TPU, 1.0)]
    with tempfile.TemporaryDirectory() as folder:
        zones(Path(folder))
        meters = every_meter(Path(folder), feeds)
        sampler = Sampler(
            meters, start_ns=time.monotonic_ns(), on_rows=lambda rows: None, on_meter_change=lambda info: None
        )
        start = time.perf_counter()
        sampler.start()
        step_s = bare()
        share = sampler.cpu_s / (time.perf_counter() - start)
        for feed in feeds:
            feed.stop()
        sampler.stop()
    return step_s, share


def main() -> list[Row]:
    """The share that the sampler takes, and the ratio of steps over interleaved pairs."""
    shares: list[float] = []

    def with_meters() -> float:
        step_s, share = sampled()
        shares.append(share)
        return step_s

    beside, alone = interleaved(with_meters, bare, pairs=PAIRS)
    return [
        mean_row("meters: sampler's processor time over wall time", shares, "share", at_most=COST_LIMIT),
        ratio_row("step of 100 ms with all meters to one without", beside, alone, at_most=1 + COST_LIMIT),
    ]
