"""Fixed shapes: each combination of prompt length, answer length and batch as changes of settings. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oildrop.rules.errors import UsageError
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook import Benchmark, Range

DOCUMENT = "data.document_tokens"
LENGTHS = ("requests.prompt_tokens", "requests.output_tokens")
BATCH = ("scenario.concurrency", "execution.slots")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One shape: tokens of each prompt and answer, and how many requests are answered at once."""

    prompt_tokens: int
    output_tokens: int
    batch: int

    @property
    def longest(self) -> int:
        """Tokens of prompt and answer together."""
        return self.prompt_tokens + self.output_tokens


def cells_of(prompts: Sequence[int], outputs: Sequence[int], batches: Sequence[int]) -> tuple[Cell, ...]:
    """Every combination, the batch changing fastest."""
    return tuple(
        Cell(prompt_tokens=prompt, output_tokens=output, batch=batch)
        for prompt, output, batch in itertools.product(prompts, outputs, batches)
    )


def cell_of(spec: RunSpec) -> Cell:
    """The shape that a run of a sweep had. Raises UsageError for a run of no fixed shape."""
    found = [spec.settings.get(f"{key}_max") for key in LENGTHS] + [spec.settings.get(BATCH[0])]
    prompt, output, batch = (value if isinstance(value, int) else 0 for value in found)
    if not (prompt and output and batch):
        raise UsageError(f"run {spec.run_id} of {spec.benchmark} has no fixed shape of prompts, answers and batch")
    return Cell(prompt_tokens=prompt, output_tokens=output, batch=batch)


def changes_of(
    cell: Cell, benchmark: Benchmark, tier: str, *, weights: str, asked: Mapping[str, str]
) -> dict[str, str]:
    """The settings that make `cell`; the document is only as long as it must be.

    Raises:
        UsageError: The benchmark has no such shapes, or no document is long enough.
    """
    settings = benchmark.tiers[tier].settings
    for key in (*(f"{length}_max" for length in LENGTHS), *BATCH, "weights.source"):
        if key not in settings:
            raise UsageError(f"{benchmark.name} has no setting {key}, so no fixed shapes to sweep; use lm-generate")
        if key in asked:
            raise UsageError(f"--set {key}={asked[key]}: a sweep sets this itself, from --prefill, --decode and so on")
    changes = {"scenario.name": "concurrency", "weights.source": weights}
    for length, tokens in zip(LENGTHS, (cell.prompt_tokens, cell.output_tokens), strict=True):
        changes |= {f"{length}_min": str(tokens), f"{length}_max": str(tokens)}
    changes |= dict.fromkeys(BATCH, str(cell.batch))
    if DOCUMENT not in asked:
        changes[DOCUMENT] = str(_document_for(cell, benchmark, settings.get(DOCUMENT)))
    return changes


def _document_for(cell: Cell, benchmark: Benchmark, default: object) -> int:
    """The tier's own length where prompt and answer fit it with the start token, else the shortest that holds them."""
    if isinstance(default, int) and cell.longest <= default + 1:
        return default
    allowed = benchmark.allowed.get(DOCUMENT)
    if isinstance(allowed, Range):
        return min(int(allowed.max), cell.longest)
    lengths = sorted(length for length in allowed or () if isinstance(length, int))
    for length in lengths:
        if cell.longest <= length + 1:
            return length
    raise UsageError(
        f"--prefill {cell.prompt_tokens} and --decode {cell.output_tokens} make {cell.longest} tokens, and the longest "
        f"document of {benchmark.name} holds {max(lengths, default=0) + 1}; ask for fewer"
    )
