"""The canary: what a reading is, what is usual of it, and where it is logged."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oildrop.harness import canary as module
from oildrop.harness.canary import READINGS, Canary, UsualCanary, read_device, read_host
from oildrop.harness.devices import jax_facts, mlx_facts, torch_facts
from oildrop.harness.devices.facts import CANARY_PRODUCTS, CANARY_SIZE
from oildrop.harness.devices.opening import canary_of, open_device
from oildrop.harness.host_looks import HostLooks
from oildrop.results.layout import StoreLayout
from oildrop.rules import keys


def canary(seconds: float, work: str = "hashes") -> Canary:
    return Canary(place="host", work=work, readings_s=(seconds,) * 3)


def test_every_thread_hashes_once_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[tuple[Any, ...]] = []
    monkeypatch.setattr(module.hashlib, "pbkdf2_hmac", lambda *words: hashed.append(words))
    found = read_host(3, readings=4)
    assert len(hashed) == 3 * (4 + 1)  # the first reading is not counted
    assert {words[-1] for words in hashed} == {module.ITERATIONS}
    assert found.place == "host" and len(found.readings_s) == 4 and min(found.readings_s) > 0
    assert "in each of 3 threads" in found.work


def test_readings_end_after_the_limit_but_not_before_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.0)
    assert len(read_device(lambda: None, lambda: None, "nothing").readings_s) == 3


def test_both_edges_of_a_reading_wait_for_the_device() -> None:
    calls: list[str] = []
    read_device(lambda: calls.append("run"), lambda: calls.append("wait"), "work")
    assert calls == ["wait", *["run", "wait"] * (READINGS + 1)]


def test_what_is_usual_is_the_median_of_earlier_runs_from_the_third_on(tmp_path: Path) -> None:
    usual = UsualCanary(tmp_path / "canary.json", "machine")
    for seconds in (0.010, 0.012):
        usual.note(canary(seconds))
    assert usual.of(canary(0.5)) == {}
    usual.note(canary(0.011))
    assert usual.of(canary(0.5)) == {"usual_s": 0.011, "usual_runs": 3}
    assert usual.of(canary(0.5, "products")) == {}
    assert UsualCanary(tmp_path / "canary.json", "another").of(canary(0.5)) == {}


def test_only_the_last_twenty_runs_say_what_is_usual(tmp_path: Path) -> None:
    usual = UsualCanary(tmp_path / "canary.json", "machine")
    for number in range(30):
        usual.note(canary(0.001 * (number + 1)))
    assert usual.of(canary(0.5)) == {
        "usual_s": pytest.approx(statistics.median(0.001 * k for k in range(11, 31))), "usual_runs": 20,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", '{"machine: hashes": "x"}', '{"machine: hashes": [null]}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / "canary.json").write_text(text)
    usual = UsualCanary(tmp_path / "canary.json", "machine")
    assert usual.of(canary(0.01)) == {}
    usual.note(canary(0.01))
    assert json.loads((tmp_path / "canary.json").read_text()) == {"machine: hashes": [0.01]}


def test_a_store_that_cannot_be_written_does_not_stop_the_run(tmp_path: Path) -> None:
    UsualCanary(tmp_path / "none" / "canary.json", "machine").note(canary(0.01))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("backend", ["torch-cpu", "jax-cpu", "mlx-cpu"])
def test_the_processor_has_no_canary_of_a_framework(backend: str) -> None:
    assert canary_of(open_device(backend)) is None


def test_a_canary_is_products_that_keep_their_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's on a processor that says it is none: every product of a matrix of 1/n by itself is that matrix."""
    products: list[torch.Tensor] = []
    multiply = torch.matmul
    monkeypatch.setattr(torch, "matmul", lambda a, b: products.append(multiply(a, b)) or products[-1])
    full = torch.full
    monkeypatch.setattr(torch, "full", lambda *words, device: full(*words))
    of_torch = torch_facts.canary(SimpleNamespace(handle=SimpleNamespace(type="cuda")))  # type: ignore[arg-type]
    assert of_torch is not None
    of_torch.run()
    assert len(products) == CANARY_PRODUCTS
    assert np.unique(products[-1].numpy()).tolist() == [1 / CANARY_SIZE]


def test_jaxs_and_mlxs_canaries_make_every_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """With entries 2 / n each product doubles them: after 16 of n = 8 they are 2^17 / 8."""
    import jax
    import mlx.core as mx

    monkeypatch.setattr(jax_facts, "CANARY_SIZE", 8)
    monkeypatch.setattr(mlx_facts, "CANARY_SIZE", 8)
    monkeypatch.setattr(jax, "device_put", lambda array, handle: 2 * jax.numpy.asarray(array))
    full, evaluated = mx.full, []
    monkeypatch.setattr(mx, "full", lambda shape, entry: full(shape, 2 * entry))
    monkeypatch.setattr(mx, "eval", evaluated.append)
    of_jax = jax_facts.canary(SimpleNamespace(handle=SimpleNamespace(platform="gpu")))  # type: ignore[arg-type]
    of_mlx = mlx_facts.canary(SimpleNamespace(backend="mlx-metal"))  # type: ignore[arg-type]
    assert of_jax is not None and of_mlx is not None
    of_mlx.run()
    for product in (of_jax.run(), evaluated[-1]):  # type: ignore[func-returns-value]
        assert np.asarray(product).tolist() == [[2**17 / 8] * 8] * 8


class Log:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, dict[str, Any]]] = []

    def record(self, key: str, value: Any = None, meta: dict[str, Any] | None = None) -> None:
        self.events.append((key, value, meta or {}))


def test_the_host_is_looked_at_before_and_after_with_the_canary_nearest_to_the_run(tmp_path: Path) -> None:
    log = Log()
    looks = HostLooks(StoreLayout(tmp_path), "machine", log, with_canary=True)  # type: ignore[arg-type]
    looks.before()
    looks.after()
    seen = [(key, meta.get("when", value)) for key, value, meta in log.events]
    assert seen == [
        (keys.HOST_STATE, "before"), (keys.CANARY, "before"), (keys.CANARY, "after"), (keys.HOST_STATE, "after"),
    ]  # fmt: skip
    of_canary = next(event for event in log.events if event[0] == keys.CANARY)
    assert of_canary[1] == statistics.median(of_canary[2]["readings_s"])
    assert len(json.loads((tmp_path / "canary.json").read_text())) == 1


def test_a_run_that_cannot_start_needs_no_canary(tmp_path: Path) -> None:
    log = Log()
    HostLooks(StoreLayout(tmp_path), "machine", log, with_canary=False).before()  # type: ignore[arg-type]
    assert [key for key, _, _ in log.events] == [keys.HOST_STATE]
