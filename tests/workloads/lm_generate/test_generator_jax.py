"""The JAX generator does what every generator must, in place and without compiling anew."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from generator_contract import Case, GeneratorContract, Make, case, generator, numbers

from oildrop.rules.errors import Unsupported
from oildrop.workloads.generator import Generator
from oildrop.workloads.lm_generate.model_jax import make_generator

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
