"""`lm-generate` as a served task, free of any framework: requests wait, rows are filled, tokens come out."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult
from oildrop.rules.rulebook import GATE_SETTINGS
from oildrop.workloads.assessed import assessed
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.kept_weights import read_checkpoint
from oildrop.workloads.link import Link, Mailbox
from oildrop.workloads.lm_generate import gates, quality
from oildrop.workloads.lm_generate.acceptance import acceptance_of
from oildrop.workloads.lm_generate.at_depth import AtDepth, behind
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.disaggregated import Disaggregated
from oildrop.workloads.lm_generate.draft import Draft, draft_settings, draft_weights
from oildrop.workloads.lm_generate.prefix_cached import PrefixCached, prefix_cached
from oildrop.workloads.lm_generate.requests import Requests
from oildrop.workloads.lm_generate.sampling import sampler_of
from oildrop.workloads.lm_generate.shapes import model_shape, require_possible
from oildrop.workloads.lm_generate.shared_beginnings import source_of
from oildrop.workloads.lm_generate.speculative import SpeculativeBatcher, batcher_of
from oildrop.workloads.lm_generate.traffic import cache_bytes, weight_bytes
from oildrop.workloads.lm_pretrain import reference
from oildrop.workloads.protocols import Device, Settings
from oildrop.workloads.served_protocols import (
    Assessment,
    Drafts,
    Emission,
    EngineTime,
    PromptTokens,
    RequestSize,
    Transfers,
)

STRICT = {"execution.dtype": "fp32", "execution.weights": "as-trained"}
"""Settings of the engine that the strict gates ask."""

READY_REQUESTS = 4096
"""Requests whose prompts are made before the clock."""


def make_task(settings: Settings, device: Device) -> LmGenerate:
    """The task on `device`, in its framework."""
    return LmGenerate(settings, device)


def unbuilt_generator(settings: Settings, device: Device) -> Generator:
    """The generator of the device's framework."""
    framework = device.backend.split("-", 1)[0]
    module = import_module(f"oildrop.workloads.lm_generate.model_{framework}")
    generator: Generator = module.make_generator(settings, device)
    return generator


class LmGenerate:
    """The `ServeTask` of `lm-generate`."""

    def __init__(self, settings: Settings, device: Device) -> None:
        self._settings, self._device = settings, device
        self._mail: Mailbox | None = None

    def load_data(self) -> None:
        """Make the language's tables.

        Raises:
            UsageError: Settings that do not fit together, or a language that is not the generated one.
        """
        require_possible(self._settings)
        self._shape = model_shape(self._settings)
        self._source = source_of(self._settings)

    def prefill_through(self, link: Link) -> None:
        """Every engine is then a pair."""
        self._mail = Mailbox(link)

    def transfers(self) -> Transfers:
        """Of the engine that answers requests."""
        return self._generator.transfers if isinstance(self._generator, Disaggregated) else Transfers()

    def drafts(self) -> Drafts | None:
        """Of the batcher that answers requests."""
        return self._batcher.drafts if isinstance(self._batcher, SpeculativeBatcher) else None

    def engine_time(self) -> EngineTime:
        """Of the batcher that answers requests."""
        return self._batcher.stopwatch.read()

    def prompt_tokens(self) -> PromptTokens | None:
        """Of the engine that answers requests."""
        return self._generator.read if isinstance(self._generator, PrefixCached) else None

    def build(self) -> None:
        """Make the engine with its graphs, and that of its draft."""
        self._generator = self._made(self._settings)
        self._draft = self._made_draft(self._settings)

    def run_gates(self) -> list[GateResult]:
        """Strict fp32 first, then the engine as declared; a large model through fewer layers."""
        fewer = _fewer(self._settings)
        declared = {**self._settings, **fewer}
        strict = {**declared, **STRICT}
        results: list[GateResult] = []
        if any(declared[key] != value for key, value in STRICT.items()):
            results += gates.run_gates(self._made(strict), strict, self._made_draft(strict))
        generator, draft = self._generator, self._draft
        if fewer:
            generator, draft = self._made(declared), self._made_draft(declared)
        return [*results, *gates.run_gates(generator, declared, draft)]

    def initialise(self, seed: int) -> None:
        """Weights and requests of `seed`."""
        self._seed = seed
        self._generator.set_weights(self._weights())
        own = draft_settings(self._settings)
        if self._draft is not None and own is not None:
            self._draft.generator.set_weights(draft_weights(own))
        self._requests = Requests(self._settings, self._source, seed)
        self._requests.prepare(READY_REQUESTS)
        if isinstance(self._generator, AtDepth):
            self._generator.begin_at(self._requests.held())
        self._batcher = self._new_batcher()

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """As they were trained or drawn."""
        yield from self._weights().items()

    def warm_up(self) -> None:
        """Fill all rows twice with prompts of the shortest and the longest kind."""
        batcher = self._new_batcher()
        slots = int(self._settings["execution.slots"])
        output = int(self._settings["requests.output_tokens_max"])
        for end in ("min", "max"):
            prompt = np.arange(int(self._settings[f"requests.prompt_tokens_{end}"]), dtype=np.int32)
            prompt %= self._shape.vocabulary
            batcher.admit([Waiting(index=i, prompt=prompt, output_tokens=1 + i % output) for i in range(slots)])
            while batcher.step():
                pass
        if isinstance(self._generator, PrefixCached):
            self._generator.forget()

    def size(self, index: int) -> RequestSize:
        """Tokens of prompt and answer."""
        return self._requests.size(index)

    def admit(self, indices: list[int]) -> None:
        """They wait."""
        requests = self._requests
        self._batcher.admit(
            [Waiting(index=i, prompt=requests.prompt(i), output_tokens=requests.size(i).output_tokens) for i in indices]
        )

    def step(self) -> list[Emission]:
        """One prefill or one decode."""
        return self._batcher.step()

    def bytes_per_step(self, input_tokens: int) -> tuple[int, int]:
        """From the model's sizes (`traffic.py`)."""
        dtype, scheme = str(self._settings["execution.dtype"]), str(self._settings["execution.weights"])
        return weight_bytes(self._shape, dtype, scheme), cache_bytes(self._shape, dtype, input_tokens)

    def assess(self, answers: dict[int, tuple[int, ...]]) -> Assessment:
        """Loss of the served engine over the prompts, and its answers beside the reference's."""
        chosen = assessed(self._seed, sorted(answers), self._settings)
        return quality.assess(
            {index: answers[index] for index in chosen},
            self._requests,
            self._generator,
            self._reference(),
            quality.agreement_of(self._settings, self._seed, self._draft),
            int(self._settings["execution.prefill_requests"]),
        )

    def _reference(self) -> quality.Reference:
        """Float64 in NumPy, or strict fp32 in the framework where the model is too large for that."""
        weights = self._weights()
        if self._settings["assess.reference"] == "fp32":
            generator = self._made({**self._settings, **STRICT})
            generator.set_weights(weights)
            return behind(self._requests.held(), generator.prompt_logits)
        exact, shape = reference.in_float64(weights), self._shape

        def logits(tokens_BT: Tokens) -> NDArray[np.float64]:
            return reference.logits(reference.residual_stream(exact, tokens_BT, shape)[-1], exact, shape)

        return behind(self._requests.held(), logits)

    def _weights(self) -> Weights:
        """The checkpoint, or the weights that a training of this seed would start from."""
        if self._settings["weights.source"] == "random":
            return reference.initial_weights(self._shape, self._seed, reference.initial_std_of(self._settings))
        name, sha256 = (str(self._settings.get(f"checkpoint.{key}", "")) for key in ("name", "weights_sha256"))
        return read_checkpoint(name, sha256, self._shape.tensors())

    def _made(self, settings: Settings) -> Generator:
        generator = unbuilt_generator(settings, self._device)
        if self._mail is not None:
            generator = Disaggregated(generator, self._mail, settings)
        if self._settings["requests.depth_tokens"]:
            rows, at_once = (int(settings[f"execution.{key}"]) for key in ("slots", "prefill_requests"))
            generator = AtDepth(generator, rows, at_once)
        generator = prefix_cached(generator, settings)
        generator.build()
        return generator

    def _made_draft(self, settings: Settings) -> Draft | None:
        own = draft_settings(settings)
        if own is None:
            return None
        generator = unbuilt_generator(own, self._device)
        generator.build()
        return Draft(generator=generator, tokens=int(settings["execution.draft_tokens"]))

    def _new_batcher(self) -> Batcher:
        return batcher_of(
            self._generator,
            self._draft,
            sampler_of(self._settings, self._seed),
            acceptance_of(self._settings, self._seed),
            int(self._settings["execution.slots"]),
            int(self._settings["execution.prefill_requests"]),
        )


def _fewer(settings: Settings) -> Settings:
    """What the tier's gates set otherwise; nothing where model and documents are no larger than those of the gates."""
    found = {key.removeprefix(GATE_SETTINGS): value for key, value in settings.items() if key.startswith(GATE_SETTINGS)}
    sizes = [key for key in found if key.startswith(("model.", "data."))]
    return found if any(int(settings[key]) > int(found[key]) for key in sizes) else {}
