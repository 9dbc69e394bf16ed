"""When each phase of a run went on, as bars over the whole run; those of many runs at once.

One by one the numbers of ten thousand runs take twice the time to become text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from oildrop.rules.phases import PhaseSpan
from oildrop.site.pages.formats import escaped

WIDTH = 999
"""Units of a bar's stretched drawing; none has more than three digits."""

_MOVE = np.frombuffer("".join([f"M{at:>3}" for at in range(WIDTH + 1)]).encode(), dtype=np.uint32)
_LINE = np.frombuffer(b",5h ", dtype=np.uint32)
_LONG = np.frombuffer("".join([f"{width:>3} " for width in range(WIDTH + 1)]).encode(), dtype=np.uint32)
"""Text four bytes at a time: a block is a thick line, and "M at,5h width" the shortest path that draws one."""

_BLOCK = 3 * 4
"""Bytes of a block."""


def phase_bars(runs: Sequence[Sequence[PhaseSpan]]) -> list[Markup]:
    """Of each run every phase's name, its place on a bar over the whole run, and its seconds; by first entry."""
    spans = list(chain.from_iterable(runs))
    if not spans:
        return [Markup()] * len(runs)
    names = [span.name for span in spans]
    starts = np.fromiter([span.start_ns for span in spans], np.int64)
    lasting = np.fromiter([span.stop_ns for span in spans], np.int64) - starts
    owners = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    keys = owners * len(codes) + np.fromiter([codes[name] for name in names], np.int64)
    order = np.argsort(keys, kind="stable")
    text = _blocks(owners, starts, lasting)[order].tobytes().decode("ascii")
    first = np.flatnonzero(np.diff(keys[order], prepend=-1))
    lasted_s = (np.add.reduceat(lasting[order], first) / 1e9).tolist()
    bounds = pairwise([*(_BLOCK * first).tolist(), len(text)])
    lines: list[list[str]] = [[] for _ in runs]
    entries = order[first]
    for entry, owner, seconds, (start, stop) in sorted(
        zip(entries.tolist(), owners[entries].tolist(), lasted_s, bounds, strict=True)
    ):
        lines[owner].append(
            f'<div><dt>{escaped(names[entry])}</dt><dd><svg class="bar" aria-hidden="true" viewBox="0 0 {WIDTH} 10"'
            f' preserveAspectRatio="none" width="100%" height="12"><path d="{text[start:stop]}"/></svg>'
            f'<span class="n">{seconds:.2f} s</span></dd></div>\n'
        )
    return [Markup("".join(each)) for each in lines]


def _blocks(owners: NDArray[np.int64], starts: NDArray[np.int64], lasting: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Each span as a path on the bar of its run; a bar ends with the run's last span."""
    ends = np.ones(owners[-1] + 1)
    np.maximum.at(ends, owners, starts + lasting)
    scale = (WIDTH / ends)[owners]
    blocks = np.empty((len(starts), 3), dtype=np.uint32)
    blocks[:, 0] = _MOVE.take((starts * scale).astype(np.int64), mode="clip")
    blocks[:, 1] = _LINE
    blocks[:, 2] = _LONG.take((lasting * scale + 1).astype(np.int64), mode="clip")
    return blocks
