"""What to change where a job does not fit: fewer samples a step, more devices, recomputed activations. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from oildrop.rules.reference import batch_key
from oildrop.suite.plan_sizes import Job, Place, Sizes, divisors, fits


def advice(job: Job, place: Place, sizes: Sizes) -> tuple[str, ...]:
    """Each change that would make `job` fit, as a sentence; nothing where it fits or nothing is known."""
    if sizes.fits is not False:
        return ()
    found = tuple(_changes(job, place))
    return found or ("no smaller batch, no more devices and no recomputing makes it fit; take a part with more memory",)


def _changes(job: Job, place: Place) -> Iterator[str]:
    key = batch_key(job.settings)
    smaller = _fitting_batch(job, place, key)
    if smaller is not None:
        division = "closed" if job.benchmark.is_free_in_closed(str(key)) else "open"
        yield f"fewer samples a step: --set {key}={smaller} (division {division})"
    count = _fitting_count(job, place)
    if count is not None:
        yield f"more devices: --devices {count}, weights, gradients and optimizer state sharded among them (FSDP)"
    for sharded in (False, True) if place.count > 1 else (False,):
        if fits(job.memory(place, sharded=sharded, recompute=True), place):
            layout = "sharded" if sharded else "replicated"
            yield f"an implementation that recomputes each layer's activations ({layout}): a third more FLOPs at most"
            return


def _fitting_batch(job: Job, place: Place, key: str | None) -> int | None:
    """The largest allowed batch under the job's that fits and divides among the devices."""
    allowed = job.benchmark.allowed.get(str(key))
    choices = [choice for choice in allowed if isinstance(choice, int)] if isinstance(allowed, tuple) else []
    for batch in sorted((choice for choice in choices if choice < job.batch), reverse=True):
        if batch % place.count == 0 and fits(job.memory(place, batch=batch, sharded=place.count > 1), place):
            return batch
    return None


def _fitting_count(job: Job, place: Place) -> int | None:
    """The least number of devices over the place's among which the job fits, sharded."""
    for count in divisors(job.batch):
        more = replace(place, count=count)
        if count > place.count and fits(job.memory(more, sharded=True), more):
            return count
    return None
