"""Measures one framework in a process of its own: frameworks fight over threads when they share one.

`measured(...)` starts this file as a script; the child prints its values as one line of JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from decode import decode_against_transformers, decode_bandwidth, transformers_bandwidth
from our_loop import our_loop
from pairs import interleaved
from table import Broken, Skipped

from oildrop.harness.messages import Emitter, Heartbeat
from oildrop.rules.errors import Unsupported

Values = list[list[float]]


def measured(name: str, what: str, framework: str, *numbers: int) -> Values | Skipped:
    """The values of `what`, one of MEASURES, in `framework`; a reason where it cannot run here, or did not."""
    command = [sys.executable, __file__, what, framework, *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr[-2000:]}", file=sys.stderr)
        last = done.stderr.strip().rpartition("\n")[2]
        return Broken(name=name, reason=f"ended with {done.returncode}: {last[:200]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Skipped(name=name, reason=found) if isinstance(found, str) else found


def harness_cost(framework: str, steps: int, pairs: int) -> Values:
    """Seconds a step in the harness's loop, and of the same engine calls in a bare loop; the model is minute.

    Both train on batches made beforehand: what a batch costs is no part of the harness.
    """
    minute = {f"model__{name}": 1 for name in ("layers", "heads", "key_value_heads")}
    batches = {"data__documents_per_batch": 1, "evaluation__documents": 16, "evaluation__documents_per_batch": 16}
    # Of the three only PyTorch can be told; two threads that wait for each other measure whoever else is running.
    threads = {"execution__threads": 1} if framework == "torch" else {}
    ours = our_loop(framework, **minute, **batches, **threads, model__width=8, model__hidden=8)
    task, device = ours.task, ours.device
    engine, lesson, dtype = task._engine, task._lesson, str(ours.settings["execution.dtype"])
    task._batches = itertools.cycle(list(itertools.islice(task._batches, 64)))
    reading, writing = os.pipe()
    reader = subprocess.Popen(["cat"], stdin=reading, stdout=subprocess.DEVNULL)
    os.close(reading)
    emitter = Emitter(writing)
    heartbeat = Heartbeat(emitter)
    heartbeat.start()

    def bare_s() -> float:
        device.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            loss = engine.step(engine.put(lesson.inputs(next(task._batches))), 1e-3, dtype)
        device.synchronize()
        seconds = time.perf_counter() - start
        engine.value(loss)
        return seconds / steps

    values = interleaved(lambda: ours.block_s(steps, emitter, heartbeat) / steps, bare_s, pairs=pairs, warm_up=2)
    heartbeat.stop()
    os.close(writing)
    reader.wait()
    return list(values)


def against_plain(framework: str, steps: int, pairs: int) -> Values:
    """Steps a second of ours and of the plain loop."""
    return _against_plain(framework, steps, pairs)


def against_plain_compiled(framework: str, steps: int, pairs: int) -> Values:
    """Likewise, both in bf16 and compiled by Inductor."""
    settings = {"execution__dtype": "bf16", "execution__compile": "inductor"}
    return _against_plain(framework, steps, pairs, settings, bf16=True, compiled=True)


def rate(framework: str, steps: int) -> Values:
    """Tokens a second of ours, once, in fp32."""
    ours = our_loop(framework)
    ours.steps_per_s(steps)
    return [[ours.steps_per_s(steps) * ours.task.tokens_per_step()]]


def _against_plain(
    framework: str, steps: int, pairs: int, changed: dict[str, Any] | None = None, **options: bool
) -> Values:
    ours = our_loop(framework, **(changed or {}))
    named = {name: int(ours.settings[f"model.{name}"]) for name in ("width", "heads", "hidden", "layers")}
    plain = import_module(f"plain_{framework}").PlainLoop(
        batch=ours.task.samples_per_step(),
        length=int(ours.settings["data.document_tokens"]),
        vocabulary=ours.task._lesson._shape.vocabulary,
        **named,
        **options,
    )
    return list(interleaved(lambda: ours.steps_per_s(steps), lambda: plain.steps_per_s(steps), pairs=pairs, warm_up=2))


MEASURES: dict[str, Callable[..., Values]] = {
    measure.__name__: measure
    for measure in (
        harness_cost,
        against_plain,
        against_plain_compiled,
        rate,
        decode_against_transformers,
        decode_bandwidth,
        transformers_bandwidth,
    )
}


if __name__ == "__main__":
    _, what, framework, *numbers = sys.argv
    try:
        print(json.dumps(MEASURES[what](framework, *map(int, numbers))))
    except Unsupported as error:
        print(json.dumps(str(error)))
