"""A run's roofline as inline SVG, and the same in words for those who cannot see it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from markupsafe import Markup

from oildrop.rules.roofs import Roof, Roofline
from oildrop.site.pages.axes import Axis, axis_between
from oildrop.site.pages.formats import ascii_markup, escaped, number, scaled, tick_text

_MARGIN = 4.0
"""How far the axis of intensities goes beyond what is marked on it, as a factor."""


def roofline_figure(found: Roofline) -> Markup:
    """Both axes logarithmic: the roofs, the point under them, and a table of the same numbers."""
    ridges = [roof.flop_per_s / roof.bytes_per_s for roof in found.roofs if roof.flop_per_s and roof.bytes_per_s]
    marked = [found.intensity, *ridges]
    x_axis = axis_between(min(marked) / _MARGIN, max(marked) * _MARGIN, log=True)
    heights = [found.flop_per_s, *(roof.flop_per_s for roof in found.roofs if roof.flop_per_s)]
    heights += [at for roof in found.roofs if (at := roof.attainable_flop_per_s(found.intensity))]
    y_axis = axis_between(min(heights) / _MARGIN, max(heights) * 1.5, log=True)
    lines = "".join([line for roof in found.roofs for line in _roof(roof, x_axis, y_axis)])
    at_x, at_y = _x(found.intensity, x_axis), _y(found.flop_per_s, y_axis)
    says = f"{_name(found)}: {_rate(found.flop_per_s)} at {number(found.intensity)} FLOP/byte; " + "; ".join(
        _words(roof, found.intensity) for roof in found.roofs
    )
    chart = (
        f'<div class="plot roofline"><svg role="img" aria-label="{escaped(says)}" width="100%" height="220">'
        f"{_frame(x_axis, y_axis)}{lines}"
        f'<circle class="front" cx="{at_x}" cy="{at_y}" r="5"/>'
        f'<text x="{at_x}" y="{at_y}" {_clear(found)}>this run</text></svg></div>'
    )
    return Markup(ascii_markup(f"<figure>{chart}{_table(found)}</figure>"))


def _roof(roof: Roof, x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    """Up the slope of the bandwidth to the flat peak; a ceiling that is not known is not drawn."""
    ridge = x_axis.low
    if roof.bytes_per_s:
        ridge = roof.flop_per_s / roof.bytes_per_s if roof.flop_per_s else x_axis.high
        start = max(x_axis.low, y_axis.low / roof.bytes_per_s)
        stop = min(ridge, x_axis.high, y_axis.high / roof.bytes_per_s)
        if stop > start:
            yield _line(roof, (start, start * roof.bytes_per_s), (stop, stop * roof.bytes_per_s), x_axis, y_axis)
    if roof.flop_per_s and ridge < x_axis.high:
        yield _line(roof, (max(ridge, x_axis.low), roof.flop_per_s), (x_axis.high, roof.flop_per_s), x_axis, y_axis)
        above = "-.5em" if roof.source == "stated" else "1.2em"
        yield (
            f'<text class="e roof {roof.source}" x="100%" y="{_y(roof.flop_per_s, y_axis)}" dy="{above}">'
            f"{roof.source} {_rate(roof.flop_per_s)}</text>"
        )


def _line(roof: Roof, start: tuple[float, float], stop: tuple[float, float], x_axis: Axis, y_axis: Axis) -> str:
    (x1, y1), (x2, y2) = start, stop
    return (
        f'<line class="roof {roof.source}" x1="{_x(x1, x_axis)}" y1="{_y(y1, y_axis)}" '
        f'x2="{_x(x2, x_axis)}" y2="{_y(y2, y_axis)}"/>'
    )


def _x(value: float, axis: Axis) -> str:
    return f"{100 * axis.share(value):.1f}%"


def _y(value: float, axis: Axis) -> str:
    return f"{100 - 100 * axis.share(value):.1f}%"


@lru_cache(maxsize=1024)
def _frame(x_axis: Axis, y_axis: Axis) -> str:
    parts = []
    for tick in y_axis.ticks:
        at = _y(tick, y_axis)
        parts.append(f'<line class="g" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="y" x="-8" y="{at}" dy=".34em">{_short(tick)}</text>')
    for tick in x_axis.ticks:
        parts.append(f'<text class="x" x="{_x(tick, x_axis)}" y="100%" dy="1.5em">{tick_text(tick)}</text>')
    parts.append('<text class="t" x="-52" y="-12">FLOP/s of one device</text>')
    parts.append('<text class="t e" x="100%" y="100%" dy="3em">model FLOP for each byte that must be moved</text>')
    return "".join(parts)


def _short(value: float) -> str:
    text, unit = scaled(value, "FLOP/s")
    return f"{text} {unit.removesuffix('FLOP/s')}".strip()


def _rate(value: float) -> str:
    return " ".join(scaled(value, "FLOP/s"))


def _words(roof: Roof, intensity: float) -> str:
    reach = roof.attainable_flop_per_s(intensity)
    pairs = ((roof.flop_per_s, "FLOP/s"), (roof.bytes_per_s, "bytes/s"))
    named = " and ".join(" ".join(scaled(value, unit)) for value, unit in pairs if value)
    return f"{roof.source} {named}" + (f", which allow {_rate(reach)} there" if reach else "")


def _table(found: Roofline) -> str:
    header = ("Ceiling", "FLOP/s", "Bandwidth", "Allows here", "Reached of it")
    cells = "".join(f'<th scope="col"{NUMBER if at else ""}>{text}</th>' for at, text in enumerate(header))
    rows = "".join(_row(roof, found) for roof in found.roofs)
    point = f"{_rate(found.flop_per_s)} at {number(found.intensity)} FLOP/byte, both by formula"
    table = f'<table class="roofs"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>'
    return (
        f"<figcaption>{_name(found)}: one device did {escaped(point)}{_above(found)}</figcaption>"
        f'<div class="scroll" role="region" tabindex="0" aria-label="Ceilings of this run">{table}</div>'
    )


def _clear(found: Roofline) -> str:
    """Where the point's name crosses no slope: under and right of it, or above and left of a point over a slope."""
    return 'class="e" dx="-9" dy="-.6em"' if found.exceeded else 'dx="9" dy="1.1em"'


def _name(found: Roofline) -> str:
    return "Roofline of decoding alone" if found.decoding else "Roofline"


def _above(found: Roofline) -> str:
    """Of a point over a slope: no memory of that bandwidth gave all these bytes."""
    if not found.exceeded:
        return ""
    sources = " and the ".join(found.exceeded)
    return f". It lies above the {sources} bandwidth's slope: some of these bytes may come from a cache"


def _row(roof: Roof, found: Roofline) -> str:
    reach = roof.attainable_flop_per_s(found.intensity)
    shown = (
        _rate(roof.flop_per_s) if roof.flop_per_s else None,
        " ".join(scaled(roof.bytes_per_s, "bytes/s")) if roof.bytes_per_s else None,
        _rate(reach) if reach else None,
        f"{number(100 * found.flop_per_s / reach)} %" if reach else None,
    )
    cells = "".join(f'<td class="n">{escaped(text) if text else UNKNOWN}</td>' for text in shown)
    return f'<tr><th scope="row">{roof.source}</th>{cells}</tr>'


NUMBER = ' class="n"'
UNKNOWN = '<span class="null">not known</span>'
