"""The parts that a benchmark's tiers are made of: schedules, gates, bounds, scenarios' terms, checkpoints."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from oildrop.rules.records import Record


class Schedule(Record):
    """When evaluations happen, counted in consumed samples (documents or images).

    Attributes:
        first: From here on every `every` samples.
        early_every: Before `first`, every that many samples; 0 is never.
    """

    first: int = Field(ge=0)
    every: int = Field(gt=0)
    early_every: int = Field(default=0, ge=0)

    def evaluates_after(self, samples: int) -> bool:
        """Whether an evaluation is due once `samples` samples have been consumed."""
        if samples <= 0:
            return False
        if samples >= self.first:
            return (samples - self.first) % self.every == 0
        return self.early_every > 0 and samples % self.early_every == 0


class Quality(Record):
    """What is aimed at: a formula's name, its unit, and which way is better.

    Attributes:
        least_agreement: Of a served model, by dtype or weight format: the share of output tokens (or answers) that must
            equal the reference's. A format that is not here is not held to one.
        accuracy: Of a served model: the formula by which an assessed answer is right; None: none is right or wrong.
        least_relative_accuracy: Of a served model: share of the reference's accuracy that its own must not surely be
            under (`verdict_served.py`).
    """

    metric: str
    unit: str
    better: Literal["lower", "higher"]
    least_agreement: dict[str, float] = {}
    accuracy: str | None = None
    least_relative_accuracy: float | None = Field(default=None, gt=0, le=1)


class Gates(Record):
    """What is compared with the reference before the clock.

    Attributes:
        documents: Items whose losses are asked of the evaluation's graph.
        steps: Training steps that are followed.
        weights_std: Standard deviation of every gate tensor.
        limits: By dtype, then by gate (`workloads/gates.py`): the largest relative difference.
    """

    seed: int
    documents: int = Field(gt=0)
    steps: int = Field(gt=0)
    weights_std: float = Field(gt=0)
    limits: dict[str, dict[str, float]]


class Range(Record):
    """Inclusive bounds of a numeric setting."""

    min: float
    max: float


class Source(Record):
    """Where a number of the rulebook comes from."""

    what: str
    source: str
    date: str


class Bounds(Record):
    """What each answer may take at most, in seconds; None is no bound.

    Attributes:
        latency_s: From the scheduled time to the last token (or the whole answer).
        ttft_s: From the scheduled time to the first token.
        tpot_s: Mean time of each token after the first, of one request.
    """

    latency_s: float | None = Field(default=None, gt=0)
    ttft_s: float | None = Field(default=None, gt=0)
    tpot_s: float | None = Field(default=None, gt=0)


class Terms(Record):
    """A scenario's terms at one tier.

    Attributes:
        minimum_s: Shortest time from run_start to run_stop, seconds.
        minimum_queries: Fewest queries, whatever the time.
        percentile: Which of the latencies is the scenario's; the share of answers that must hold the bounds.
        samples_per_query: Requests that are issued together and counted as one query.
        bounds: What the answers are held to; none where the scenario asks for no bound.
        first_rate_per_s: Where a search for the highest rate begins, queries a second; None where none is searched.
    """

    minimum_s: float = Field(gt=0)
    minimum_queries: int = Field(gt=0)
    percentile: float = Field(gt=0, lt=1)
    samples_per_query: int = Field(default=1, gt=0)
    bounds: Bounds = Bounds()
    first_rate_per_s: float | None = Field(default=None, gt=0)


class Calibration(Record):
    """How a tier measures the machine's ceilings.

    Attributes:
        repeats: How often each is measured; the fastest counts.
        repeat_s: Least time of one repeat, seconds: so many products or copies are asked for together.
        widths: Of square products, from the smallest; the fastest of them is repeated.
        longest_product_s: A product that takes longer ends the search for the fastest width, seconds.
        buffer_bytes: Of what an accelerator reads and copies; a processor's is four last-level caches, and a quarter of
            this at least.
    """

    repeats: int = Field(ge=3)
    repeat_s: float = Field(gt=0)
    widths: tuple[int, ...] = Field(min_length=1)
    longest_product_s: float = Field(gt=0)
    buffer_bytes: int = Field(gt=0)


class Checkpoint(Record):
    """Trained weights that a benchmark serves: their name, the hash of all tensors, and the run that made them.

    Attributes:
        run_id: None where others trained them.
    """

    name: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    run_id: str | None = None


class DraftModel(Record):
    """Sizes of a draft's model; all else is as in the model that is served."""

    layers: int = Field(gt=0)
    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    key_value_heads: int = Field(gt=0)
    hidden: int = Field(gt=0)


class Draft(Checkpoint):
    """A smaller model of the same vocabulary, which proposes tokens to the one that is served."""

    model: DraftModel
