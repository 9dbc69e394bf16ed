"""A run's log in the MLPerf logging format, one `:::MLLOG {json}` line an event.

Only keys of that convention are written; ours (phases, meters, hashes) have no place there.

Source: MLCommons logging package, `mllog/mllog.py` and `compliance_checker/mlp_parser`, read 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from oildrop.rules import keys
from oildrop.rules.errors import BundleError
from oildrop.rules.events import Event
from oildrop.rules.evidence import Evidence

PREFIX = ":::MLLOG "
POINTS = frozenset(
    {
        keys.CACHE_CLEAR, keys.EVAL_ACCURACY, keys.GLOBAL_BATCH_SIZE, keys.SEED, keys.TRAIN_SAMPLES, keys.EVAL_SAMPLES,
        keys.OPT_NAME, keys.OPT_BASE_LEARNING_RATE, keys.SUBMISSION_BENCHMARK, keys.SUBMISSION_DIVISION,
        keys.SUBMISSION_PLATFORM,
    }
)  # fmt: skip
STARTS = frozenset({keys.INIT_START, keys.RUN_START, keys.BLOCK_START, keys.EVAL_START})
STOPS = frozenset({keys.INIT_STOP, keys.RUN_STOP, keys.BLOCK_STOP, keys.EVAL_STOP})


def mllog_lines(evidence: Evidence) -> Iterator[str]:
    """The lines, in order, each with its newline."""
    for number, event in enumerate(evidence.events, start=1):
        event_type = _event_type(event.key)
        if event_type:
            yield PREFIX + json.dumps(_fields(event, event_type, number)) + "\n"


def _event_type(key: str) -> str | None:
    if key in POINTS or key.startswith("opt_"):
        return "POINT_IN_TIME"
    if key in STARTS:
        return "INTERVAL_START"
    return "INTERVAL_END" if key in STOPS else None


def _fields(event: Event, event_type: str, number: int) -> dict[str, Any]:
    return {
        "namespace": event.proc,
        "time_ms": _time_ms(event, number),
        "event_type": event_type,
        "key": event.key,
        "value": event.value,
        "metadata": {"file": "events.jsonl", "lineno": number, **event.meta},
    }


def _time_ms(event: Event, number: int) -> int:
    """Milliseconds since 1970. Raises BundleError when the event's time is none."""
    try:
        return int(datetime.fromisoformat(event.utc).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError) as error:
        raise BundleError(f"line {number} of events.jsonl: utc {event.utc!r} is no ISO 8601 time") from error
