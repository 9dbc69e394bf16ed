"""What two runs at once lost, on the page of each run of the measurement."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from oildrop.results.colocations import figure_sentence, result_of
from oildrop.results.rows import RunRow
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import run_address
from oildrop.site.pages.formats import ascii_markup, escaped


def colocation_section(row: RunRow, group: Sequence[RunRow], root: str) -> Markup | None:
    """A sentence a figure over all pairs, then every run of the measurement; None of a run that is part of none."""
    if row.spec.colocation is None:
        return None
    figures = "".join(f"<li>{escaped(figure_sentence(figure))}</li>\n" for figure in result_of(group).figures)
    lines = "".join(_line(each, each.run_id == row.run_id, root) for each in group)
    caption = f'<caption id="two-{escaped(row.run_id)}">Runs of this measurement of two at once</caption>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Pair", "Run", "What", "Beside", "Outcome"))
    table = f"<table>\n{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>"
    frame = f'<div class="scroll" role="region" tabindex="0" aria-labelledby="two-{escaped(row.run_id)}">'
    return Markup(ascii_markup(f'<ul class="two">\n{figures}</ul>\n{frame}\n{table}\n</div>'))


def _line(row: RunRow, here: bool, root: str) -> str:
    spec = row.spec
    assert spec.colocation is not None
    run_id = escaped(spec.run_id)
    link = f"<b>{run_id}</b>" if here else f'<a href="{root}{run_address(spec.run_id)}">{run_id}</a>'
    what = " ".join(word for word in (spec.benchmark, spec.tier, spec.scenario) if word)
    return (
        f'<tr><td>{spec.colocation.pair}</td><th scope="row">{link}</th><td>{escaped(what)}</td>'
        f"<td>{escaped(spec.colocation.beside or 'alone')}</td><td>{labels.outcome_badge(row.outcome)}</td></tr>\n"
    )
