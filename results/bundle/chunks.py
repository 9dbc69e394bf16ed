"""The three kinds of chunk in a bundle's `samples/`, told apart by their columns."""

from __future__ import annotations

from pathlib import Path

from oildrop.results.bundle.arrow_files import arrow_table, columns_of
from oildrop.results.bundle.requests import ACCURACY_COLUMNS, ANSWER_COLUMNS, REQUEST_COLUMNS, answers_in, requests_in
from oildrop.results.bundle.samples import evaluations_in
from oildrop.rules.evidence import AnswerTable, EvaluationTable, RequestTable

Chunk = tuple[EvaluationTable, ...] | RequestTable | AnswerTable


def parse_chunk(data: bytes) -> Chunk:
    """What the bytes of one chunk hold. Raises ValueError saying what is wrong with them."""
    table = arrow_table(data)
    names = set(columns_of(table))
    if names == set(REQUEST_COLUMNS):
        return requests_in(table)
    if names - set(ACCURACY_COLUMNS) == set(ANSWER_COLUMNS):
        return answers_in(table)
    return evaluations_in(table)


def describe_chunk(path: Path) -> dict[str, int | None]:
    """Rows of a chunk, and the samples or nanoseconds from its first to its last.

    Raises:
        ValueError: The chunk is damaged.
        OSError: It cannot be read.
    """
    chunk = parse_chunk(path.read_bytes())
    if isinstance(chunk, RequestTable):
        times = chunk.scheduled_ns
        return {"rows": len(times), "first_ns": min(times, default=None), "last_ns": max(times, default=None)}
    if isinstance(chunk, AnswerTable):
        return {"rows": len(chunk.index)}
    counts = [evaluation.samples for evaluation in chunk]
    return {
        "rows": sum(len(evaluation.loss_nats) for evaluation in chunk),
        "first_samples": min(counts, default=None),
        "last_samples": max(counts, default=None),
    }
