"""Fixed shapes: each combination of lengths, depth and batch as changes of settings. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oildrop.rules.errors import UsageError
from oildrop.rules.records import RunSpec, Scalar
from oildrop.rules.rulebook import Benchmark
from oildrop.rules.rulebook_parts import Range

DOCUMENT = "data.document_tokens"
LENGTHS = ("requests.prompt_tokens", "requests.output_tokens")
DEPTH = "requests.depth_tokens"
BATCH = ("scenario.concurrency", "execution.slots")
PROMPTS = "requests.prompts"
SCENARIO = "scenario.name"
SCENARIOS = ("concurrency", "offline")
"""Ways in which a cell's requests arrive: as many in flight as are answered at once, or all at once."""

AS_TRAINED, NO_TRANSFER = "as-trained", "none"
"""Weights of no scheme of quantisation, and prompts that are read where answers are made."""

LONGER = {"assess.reference": "fp32", "assess.least": "4", "assess.most": "8"}
"""Of documents longer than the tier's own few answers are compared, with the fp32 reference, as at the larger tiers."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One shape.

    Attributes:
        prompt_tokens, output_tokens: Of each request. One output token is prefill alone: it comes from the prefill.
        batch: Requests that are answered at once.
        depth_tokens: What the cache holds before any prompt.
    """

    prompt_tokens: int
    output_tokens: int
    batch: int
    depth_tokens: int = 0

    @property
    def longest(self) -> int:
        """Tokens of depth, prompt and answer together."""
        return self.depth_tokens + self.prompt_tokens + self.output_tokens

    @property
    def test(self) -> str:
        """`pp512 tg128 @ d4096`: what is read and what is said, and behind how many tokens."""
        parts = []
        if self.prompt_tokens > 1 or self.output_tokens == 1:
            parts.append(f"pp{self.prompt_tokens}")
        if self.output_tokens > 1:
            parts.append(f"tg{self.output_tokens - (self.prompt_tokens == 1)}")
        return " ".join(parts) + (f" @ d{self.depth_tokens}" if self.depth_tokens else "")


def cells_of(
    prompts: Sequence[int], outputs: Sequence[int], batches: Sequence[int], depths: Sequence[int] = (0,)
) -> tuple[Cell, ...]:
    """Every combination, the batch changing fastest, the depth slowest.

    A prompt of 0 tokens is decode alone: its one token is the start token (at depth, the next one of the document), and
    the answer has one token more, since its first comes from that. An answer of 0 tokens is prefill alone.

    Raises:
        UsageError: Both are 0.
    """
    found = []
    for depth, prompt, output, batch in itertools.product(depths, prompts, outputs, batches):
        if not prompt and not output:
            raise UsageError("--prefill 0 and --decode 0 together leave nothing to measure; give one of them")
        shape = (1, output + 1) if not prompt else (prompt, max(output, 1))
        found.append(Cell(prompt_tokens=shape[0], output_tokens=shape[1], batch=batch, depth_tokens=depth))
    return tuple(found)


def fixed_shape(spec: RunSpec) -> str:
    """`pp512 tg128 @ d4096, batch 4` of a run whose prompts and answers are of one length each; empty of any other.

    The batch is told where as many requests are in flight as are answered at once, or all are there from the start.
    """
    settings = spec.settings
    ends = [(settings.get(f"{key}_min"), settings.get(f"{key}_max")) for key in LENGTHS]
    if any(least != most or most is None for least, most in ends):
        return ""
    cell = cell_of(spec)
    in_flight, at_once = (settings.get(key) for key in BATCH)
    return f"{cell.test}, batch {at_once}" if spec.scenario in SCENARIOS and in_flight == at_once else cell.test


def means_of(settings: Mapping[str, Scalar]) -> str:
    """With what an engine of ours answers beside a plain model, as `int8 weights, draft lm-pretrain-draft`.

    A prefix cache is no part of it: it is a track of its own (`rules.tracks`).
    """
    weights, draft = settings.get("execution.weights", AS_TRAINED), settings.get("execution.draft")
    words = [] if weights == AS_TRAINED else [f"{weights} weights"]
    if draft:
        words.append(f"draft {draft}")
    way = settings.get("execution.transfer", NO_TRANSFER)
    if way != NO_TRANSFER:
        elsewhere = "on another machine" if settings.get("execution.prefill_machine") == "other" else "elsewhere"
        on = settings.get("execution.prefill_backend")
        words.append(f"prefill {elsewhere}{f' ({on})' if on else ''} by {way}")
    return ", ".join(words)


def cell_of(spec: RunSpec) -> Cell:
    """The shape that a run of a sweep had. Raises UsageError for a run of no fixed shape."""
    found = [spec.settings.get(f"{key}_max") for key in LENGTHS] + [spec.settings.get(key) for key in (BATCH[0], DEPTH)]
    prompt, output, batch, depth = (value if isinstance(value, int) else 0 for value in found)
    if not (prompt and output and batch):
        raise UsageError(f"run {spec.run_id} of {spec.benchmark} has no fixed shape of prompts, answers and batch")
    return Cell(prompt_tokens=prompt, output_tokens=output, batch=batch, depth_tokens=depth)


def changes_of(
    cell: Cell,
    benchmark: Benchmark,
    tier: str,
    *,
    weights: str,
    asked: Mapping[str, str],
    scenario: str = SCENARIOS[0],
) -> dict[str, str]:
    """The settings that make `cell`; the document is only as long as it must be.

    Raises:
        UsageError: The benchmark has no such shapes, or no document is long enough.
    """
    settings = benchmark.tiers[tier].settings
    for key in (*(f"{length}_max" for length in LENGTHS), DEPTH, *BATCH, "weights.source"):
        if key not in settings:
            raise UsageError(f"{benchmark.name} has no setting {key}, so no fixed shapes to sweep; use lm-generate")
        if key in asked:
            raise UsageError(f"--set {key}={asked[key]}: a sweep sets this itself, from --prefill, --decode and so on")
    changes = {SCENARIO: scenario, "weights.source": weights, DEPTH: str(cell.depth_tokens)}
    for length, tokens in zip(LENGTHS, (cell.prompt_tokens, cell.output_tokens), strict=True):
        changes |= {f"{length}_min": str(tokens), f"{length}_max": str(tokens)}
    changes |= dict.fromkeys(BATCH, str(cell.batch))
    if cell.prompt_tokens == 1 and PROMPTS not in asked:
        changes[PROMPTS] = "repeated"  # Of one token there is one prompt: the start of a document.
    own = settings.get(DOCUMENT)
    document = asked.get(DOCUMENT) or str(_document_for(cell, benchmark, own))
    changes[DOCUMENT] = document
    if document != str(own):
        changes |= {key: value for key, value in LONGER.items() if key not in asked}
    return changes


def _document_for(cell: Cell, benchmark: Benchmark, default: object) -> int:
    """The tier's own length where depth, prompt and answer fit it with the start token, else the shortest that does."""
    if isinstance(default, int) and cell.longest <= default + 1:
        return default
    allowed = benchmark.allowed.get(DOCUMENT)
    if isinstance(allowed, Range):
        return min(int(allowed.max), cell.longest)
    lengths = sorted(length for length in allowed or () if isinstance(length, int))
    for length in lengths:
        if cell.longest <= length + 1:
            return length
    depth = f"--depth {cell.depth_tokens}, " if cell.depth_tokens else ""
    raise UsageError(
        f"{depth}--prefill {cell.prompt_tokens} and --decode {cell.output_tokens} make {cell.longest} tokens, and the "
        f"longest document of {benchmark.name} holds {max(lengths, default=0) + 1}; ask for fewer"
    )
