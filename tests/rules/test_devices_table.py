"""The table of peaks: orders that physics and vendors keep, closed forms for some rows, and lookup by whole name."""

import itertools
import re
import tomllib
from datetime import date
from importlib import resources

import pytest

from oildrop.rules.rulebook import DevicePeaks, Division

FOLDER = resources.files("oildrop.rules.v1")


def read(name):
    return tomllib.loads(FOLDER.joinpath(name).read_text())


PARTS = [DevicePeaks.model_validate(row) for row in read("devices.toml")["device"]]
BY_NAME = {name: part for part in PARTS for name in part.match}
WIDTHS = ["fp32", "tf32", "bf16", "fp8"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_narrower_dtypes_are_never_slower(part):
    peaks = [part.peak_flop_per_s[dtype] for dtype in WIDTHS if dtype in part.peak_flop_per_s]
    assert peaks == sorted(peaks)
    assert part.peak_flop_per_s.keys() <= {*WIDTHS, "fp16"}
    if {"bf16", "fp16"} <= part.peak_flop_per_s.keys() and part.name != "AMD Instinct MI100":  # half there
        assert part.peak_flop_per_s["bf16"] == part.peak_flop_per_s["fp16"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_dense_and_not_sparse_figures(part):
    # On tensor cores halving the width doubles the dense rate; a sparse figure beside a dense one would make it four.
    ladder = [part.peak_flop_per_s[dtype] for dtype in WIDTHS[1:] if dtype in part.peak_flop_per_s]
    for wide, narrow in itertools.pairwise(ladder):
        assert 1.9 < narrow / wide < 2.1


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_units_are_plausible_and_each_row_has_its_source(part):
    assert all(5e12 < peak < 1e16 for peak in part.peak_flop_per_s.values())
    assert part.bandwidth_bytes_per_s is None or 1e11 <= part.bandwidth_bytes_per_s < 2e13
    assert part.bandwidth_bytes_per_s is not None or part.cores is not None
    assert part.tdp_w is None or 50 < part.tdp_w < 1500
    assert part.memory_bytes is None or part.memory_bytes % 2**30 == 0
    assert part.memory_bytes is None or 8 <= part.memory_bytes / 2**30 <= 512
    assert date(2017, 1, 1) < date.fromisoformat(part.date)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_each_source_says_in_what_text_the_figures_were_read(part):
    document, seen = part.source.split("; seen: ")
    assert len(document) > 10
    assert re.match(r"vendor's text\b|second-hand, \w", seen)


DERIVED = re.compile(r"derived: fp16 = (\d+) units x (\d+) FLOP x ([\d.]+) GHz")


def test_derived_peaks_are_the_product_that_their_source_shows():
    derived = {part.name: DERIVED.search(part.source) for part in PARTS if "derived: " in part.source}
    assert len(derived) == 10 and all(derived.values())
    for part in PARTS:
        if part.name in derived:
            units, flop, ghz = derived[part.name].groups()
            product = int(units) * int(flop) * float(ghz) * 1e9
            peaks = part.peak_flop_per_s
            assert peaks["fp16"] == pytest.approx(product, rel=1e-3)
            assert peaks.get("fp8", 2 * product) == pytest.approx(2 * product, rel=1e-3)


def test_each_driver_name_leads_to_one_part():
    names = [name.casefold() for part in PARTS for name in part.match]
    assert len(names) == len(set(names))
    assert len({part.name for part in PARTS}) == len(PARTS)


@pytest.mark.parametrize(
    ("name", "units", "flop_per_cycle", "clock_hz", "within"),
    [
        # units x dense fp16 matrix FLOP a cycle x boost clock (two sheets assume a little less than the boost clock)
        ("Tesla V100-SXM2-32GB", 80, 1024, 1.530e9, 0.005),
        ("Tesla V100-PCIE-16GB", 80, 1024, 1.380e9, 0.01),
        ("Tesla T4", 40, 1024, 1.590e9, 0.005),
        ("NVIDIA A100-PCIE-40GB", 108, 2048, 1.410e9, 0.005),
        ("NVIDIA A30", 56, 2048, 1.440e9, 0.005),
        ("NVIDIA A10", 72, 1024, 1.695e9, 0.005),
        ("NVIDIA A40", 84, 1024, 1.740e9, 0.005),
        ("NVIDIA RTX A6000", 84, 1024, 1.800e9, 0.005),
        ("NVIDIA L40", 142, 512, 2.490e9, 0.005),
        ("NVIDIA RTX 6000 Ada Generation", 142, 1024, 2.505e9, 0.005),
        ("NVIDIA GH200 480GB", 132, 4096, 1.830e9, 0.005),
        ("NVIDIA B300 SXM6 AC", 148, 8192, 1.860e9, 0.005),
        ("NVIDIA GeForce RTX 3070", 46, 512, 1.725e9, 0.005),
        ("NVIDIA GeForce RTX 3080", 68, 512, 1.710e9, 0.005),
        ("NVIDIA GeForce RTX 3090", 82, 512, 1.695e9, 0.005),
        ("NVIDIA GeForce RTX 3090 Ti", 84, 512, 1.860e9, 0.005),
        ("NVIDIA GeForce RTX 4080", 76, 512, 2.505e9, 0.005),
        ("NVIDIA GeForce RTX 5070", 48, 512, 2.512e9, 0.005),
        ("NVIDIA GeForce RTX 5070 Ti", 70, 512, 2.452e9, 0.005),
        ("NVIDIA GeForce RTX 5080", 84, 512, 2.617e9, 0.005),
        ("AMD Instinct MI100", 120, 1024, 1.502e9, 0.005),
        ("AMD Instinct MI210", 104, 1024, 1.700e9, 0.005),
        ("AMD Instinct MI300A", 228, 2048, 2.100e9, 0.005),
        ("AMD Instinct MI325X", 304, 2048, 2.100e9, 0.005),
        ("AMD Instinct MI350X", 256, 4096, 2.200e9, 0.005),
        ("AMD Radeon RX 7900 XT", 84, 512, 2.400e9, 0.005),
        ("AMD Radeon RX 7900 XTX", 96, 512, 2.500e9, 0.005),
        ("AMD Radeon RX 9070", 56, 1024, 2.520e9, 0.005),
        ("AMD Radeon RX 9070 XT", 64, 1024, 2.970e9, 0.005),
        ("NVIDIA A100-SXM4-80GB", 108, 2048, 1.410e9, 0.005),
        ("NVIDIA H100 80GB HBM3", 132, 4096, 1.830e9, 0.005),
        ("NVIDIA H200", 132, 4096, 1.830e9, 0.005),
        ("NVIDIA H100 PCIe", 114, 4096, 1.620e9, 0.005),
        ("NVIDIA L4", 60, 1024, 2.040e9, 0.04),
        ("NVIDIA L40S", 142, 1024, 2.520e9, 0.04),
        ("NVIDIA GeForce RTX 4090", 128, 512, 2.520e9, 0.005),
        ("NVIDIA B200", 148, 8192, 1.860e9, 0.005),
        ("NVIDIA GeForce RTX 5090", 170, 512, 2.407e9, 0.005),
        ("AMD Instinct MI300X", 304, 2048, 2.100e9, 0.005),
        ("AMD Instinct MI355X", 256, 4096, 2.400e9, 0.005),
    ],
)
def test_peaks_equal_units_times_work_a_cycle_times_clock(name, units, flop_per_cycle, clock_hz, within):
    assert BY_NAME[name].peak_flop_per_s["fp16"] == pytest.approx(units * flop_per_cycle * clock_hz, rel=within)


@pytest.mark.parametrize(
    ("name", "lanes", "clock_hz"),
    [
        # fp32 outside the matrix units: lanes x one fused multiply-add x boost clock
        ("Tesla T4", 2560, 1.590e9),
        ("NVIDIA A30", 3584, 1.440e9),
        ("NVIDIA A10", 9216, 1.695e9),
        ("NVIDIA A40", 10752, 1.740e9),
        ("NVIDIA L40", 18176, 2.490e9),
        ("NVIDIA H100 NVL", 16896, 1.785e9),
        ("NVIDIA GeForce RTX 3080", 8704, 1.710e9),
        ("NVIDIA GeForce RTX 3090", 10496, 1.695e9),
        ("NVIDIA GeForce RTX 4080", 9728, 2.505e9),
        ("NVIDIA GeForce RTX 5070", 6144, 2.512e9),
        ("NVIDIA GeForce RTX 5070 Ti", 8960, 2.452e9),
        ("NVIDIA GeForce RTX 5080", 10752, 2.617e9),
        ("AMD Radeon RX 7900 XTX", 12288, 2.500e9),
        ("AMD Radeon RX 9070", 7168, 2.520e9),
        ("AMD Radeon RX 9070 XT", 8192, 2.970e9),
    ],
)
def test_fp32_peaks_equal_lanes_times_two_times_clock(name, lanes, clock_hz):
    assert BY_NAME[name].peak_flop_per_s["fp32"] == pytest.approx(2 * lanes * clock_hz, rel=0.006)


PROCESSORS = [part for part in PARTS if part.cores is not None]
PRODUCT = re.compile(r"(\w+): (\d+) cores x ([\d.]+) GHz x (\d+) FLOP")


@pytest.mark.parametrize("part", PROCESSORS, ids=lambda part: part.name)
def test_peaks_of_processors_are_the_product_that_their_source_shows(part):
    products = PRODUCT.findall(part.source)
    found = {dtype: int(cores) * float(ghz) * 1e9 * int(flop) for dtype, cores, ghz, flop in products}
    assert part.peak_flop_per_s == pytest.approx(found, rel=1e-4)
    assert {int(cores) for _, cores, _, _ in products} == {part.cores}
    assert part.match and (part.name.startswith("Intel") or f" {part.cores}-Core " in part.match[0])


def test_the_table_has_the_parts_of_every_vendor_and_keeps_them_together():
    vendors = [part.name.split()[0] for part in PARTS if part.cores is None]
    assert [vendor for vendor, _ in itertools.groupby(vendors)] == ["NVIDIA", "AMD", "Google", "Apple"]
    assert len(PARTS) >= 80 and len(PROCESSORS) >= 10
    assert [part.cores is not None for part in PARTS] == sorted(part.cores is not None for part in PARTS)


@pytest.mark.parametrize(
    ("name", "bus_bits", "bits_per_s_a_pin"),
    [
        ("NVIDIA A100-SXM4-40GB", 5120, 2.43e9),
        ("NVIDIA H100 80GB HBM3", 5120, 5.23e9),
        ("Tesla T4", 256, 10e9),
        ("NVIDIA A10", 384, 12.5e9),
        ("NVIDIA A30", 3072, 2.43e9),
        ("NVIDIA A40", 384, 14.5e9),
        ("NVIDIA RTX A6000", 384, 16e9),
        ("NVIDIA L40", 384, 18e9),
        ("NVIDIA RTX 6000 Ada Generation", 384, 20e9),
        ("NVIDIA GeForce RTX 3070", 256, 14e9),
        ("NVIDIA GeForce RTX 3080", 320, 19e9),
        ("NVIDIA GeForce RTX 3090", 384, 19.5e9),
        ("NVIDIA GeForce RTX 3090 Ti", 384, 21e9),
        ("NVIDIA GeForce RTX 4080", 256, 22.4e9),
        ("NVIDIA GeForce RTX 5070", 192, 28e9),
        ("NVIDIA GeForce RTX 5070 Ti", 256, 28e9),
        ("NVIDIA GeForce RTX 5080", 256, 30e9),
        ("AMD Instinct MI100", 4096, 2.4e9),
        ("AMD Instinct MI210", 4096, 3.2e9),
        ("AMD Instinct MI325X", 8192, 5.86e9),
        ("AMD Instinct MI350X", 8192, 7.8e9),
        ("AMD Radeon RX 7900 XT", 320, 20e9),
        ("AMD Radeon RX 7900 XTX", 384, 20e9),
        ("AMD Radeon RX 9070 XT", 256, 20e9),
        ("AMD EPYC 7763 64-Core Processor", 8 * 64, 3.2e9),
        ("AMD EPYC 9654 96-Core Processor", 12 * 64, 4.8e9),
        ("Intel(R) Xeon(R) Platinum 8480+", 8 * 64, 4.8e9),
        ("Intel(R) Xeon(R) Platinum 8592+", 8 * 64, 5.6e9),
        ("NVIDIA L40S", 384, 18e9),
        ("NVIDIA GeForce RTX 4090", 384, 21e9),
        ("NVIDIA GeForce RTX 5090", 512, 28e9),
        ("AMD Instinct MI300X", 8192, 5.2e9),
    ],
)
def test_bandwidth_equals_bus_width_times_pin_rate(name, bus_bits, bits_per_s_a_pin):
    assert BY_NAME[name].bandwidth_bytes_per_s == pytest.approx(bus_bits * bits_per_s_a_pin / 8, rel=0.005)


@pytest.mark.parametrize(
    ("name", "pod_flop_per_s", "chips", "within"),
    [
        # whole pods, which the vendor states apart, the larger ones with two digits
        ("TPU v4", 1.1e18, 4096, 0.05),
        ("TPU v5e", 50.63e15, 256, 0.005),
        ("TPU v6e", 234.9e15, 256, 0.005),
        ("TPU v3", 126e15, 2 * 1024, 0.005),  # JAX shows each half of a chip
    ],
)
def test_peaks_of_tpus_are_their_pods_divided(name, pod_flop_per_s, chips, within):
    assert BY_NAME[name].peak_flop_per_s == {"bf16": pytest.approx(pod_flop_per_s / chips, rel=within)}


def test_what_a_vendor_does_not_state_is_left_out():
    """Apple states bandwidth alone: such a part has no peak that a utilization could be measured against."""
    apple = [part for part in PARTS if part.name.startswith("Apple")]
    assert len(apple) >= 15
    assert all(part.peak_flop_per_s == {} and part.tdp_w is None for part in apple)
    ambiguous = {part.name.split(",")[0] for part in apple if "," in part.name}
    assert ambiguous == {"Apple M3 Max", "Apple M4 Max", "Apple M5 Max"} and not ambiguous & set(BY_NAME)
    assert all(part.bandwidth_bytes_per_s for part in apple)


def test_the_divisions_are_closed_and_open():
    divisions = [Division.model_validate(row) for row in read("divisions.toml")["division"]]
    assert [division.name for division in divisions] == ["closed", "open"]
    assert all(len(division.text) > 40 for division in divisions)


def test_each_scenario_names_the_headline_of_its_kind():
    from oildrop.rules.catalogue import CATALOGUE
    from oildrop.rules.headline import SERVED, TRAINED, headline_of

    scenarios = read("scenarios.toml")["scenario"]
    trained = [row for row in scenarios if row["kind"] != "serve"]
    assert {row["kind"]: row["metric"] for row in trained} == TRAINED
    assert {row["name"]: row["metric"] for row in scenarios if row["kind"] == "serve"} == SERVED
    assert all(row["metric"] == headline_of(row["kind"], row["name"]) for row in scenarios)
    assert all(row["metric"] in CATALOGUE and row["kind"] in CATALOGUE[row["metric"]].kinds for row in scenarios)
    assert [row["name"] for row in trained if row["ranked"]] == ["time-to-target"]
