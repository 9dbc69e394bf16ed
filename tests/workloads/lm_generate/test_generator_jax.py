"""The JAX generator does what every generator must, in place and without compiling anew."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from generator_contract import Case, GeneratorContract, Make, case, generator, numbers

from oildrop.rules.errors import Unsupported
from oildrop.workloads.generator import Generator
from oildrop.workloads.lm_generate import serving
from oildrop.workloads.lm_generate.model_jax import make_generator
from oildrop.workloads.lm_generate.serving import make_task
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.lm_pretrain.reference import gate_weights

# Other platforms' parts may be installed; asking for them takes time and prints.
jax.config.update("jax_platforms", "cpu")

__all__ = ["case", "generator"]


class Processor:
    """JAX's first device."""

    backend = "jax-cpu"

    def __init__(self) -> None:
        self.handle: Any = jax.devices()[0]

    def synchronize(self) -> None:
        pass

    def memory_peak_bytes(self) -> int | None:
        return None


def built(settings: dict[str, Any]) -> Generator:
    made = make_generator(settings, Processor())
    made.build()
    return made


@pytest.fixture(scope="module")
def make() -> Make:
    return built


class TestJaxGenerator(GeneratorContract):
    def test_nothing_is_compiled_after_build(self, generator: Generator, case: Case) -> None:
        compiled: list[str] = []
        jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: compiled.append(event))
        try:
            for length in (1, 16, 17, 24):
                for count in (1, 2):
                    generator.prefill(np.arange(count, dtype=np.int32), list(case.tokens_NT[:count, :length]))
                generator.prompt_logits(case.tokens_NT[:3, :length])
            for rows in ([0], [3], [1, 2], [2, 3], [0, 2], [0, 1, 2, 3]):
                handle = generator.decode(numbers(*rows), numbers(*rows), numbers(*rows))
                generator.greedy(handle), generator.logits(handle)
        finally:
            jax.monitoring.clear_event_listeners()
        assert [event for event in compiled if "compile" in event] == []

    def test_steps_write_into_the_cache_in_place(self, generator: Any, case: Case) -> None:
        def buffers() -> list[int]:
            return [part.unsafe_buffer_pointer() for layer in generator._cache for part in layer]

        before = buffers()
        generator.prefill(numbers(0, 1), list(case.tokens_NT[:2, :5]))
        generator.decode(numbers(0, 1), case.tokens_NT[:2, 5], numbers(5, 5))
        assert buffers() == before

    @pytest.mark.parametrize(("key", "value"), [("execution.compile", "inductor"), ("execution.threads", 4096)])
    def test_what_xla_cannot_be_told_is_refused(self, tiny_settings: dict[str, Any], key: str, value: Any) -> None:
        with pytest.raises(Unsupported, match=f"{key} is {value}"):
            built(tiny_settings | {key: value})


def test_a_draft_costs_one_graph_a_span_and_model_and_none_while_it_answers(
    tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four rows make spans of 1, 2 and 4; before, widths of two and of all proposals made six graphs a model."""
    sizes = {"layers": 1, "width": 16, "heads": 2, "key_value_heads": 1, "hidden": 24}
    drafted = {"execution.draft": "lm-pretrain-draft", "execution.draft_tokens": 4, "execution.slots": 4}
    settings = {**tiny_settings, **drafted, **{f"draft.model.{key}": size for key, size in sizes.items()}}
    task = make_task(settings, Processor())
    task.load_data()
    task.build()
    models: list[Any] = [task._generator, task._draft.generator]  # type: ignore[union-attr]
    assert [model._extend._cache_size() for model in models] == [3, 3]
    monkeypatch.setattr(serving, "draft_weights", lambda own: gate_weights(model_shape(own), 3, 0.2))
    task.initialise(7)
    task.admit(list(range(20)))
    while task.step():
        pass
    drafts = task.drafts()
    assert drafts is not None and 0 < drafts.accepted < drafts.proposed
    assert [model._extend._cache_size() for model in models] == [3, 3]
