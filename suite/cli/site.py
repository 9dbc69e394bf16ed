"""`oildrop site`: the results page, built into a folder or served on this machine alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.numbers import count
from oildrop.suite.cli.output import print_document, screen
from oildrop.suite.cli.pricing import ElectricityOption, PriceOption, PricesOption, Pricing, ProviderOption

app = make_app(no_args_is_help=True, help="Build the results page, or serve it on this machine.")

PORT = 8000


@app.command(cls=PlainCommand, epilog="Example: oildrop site build --out oildrop-page")
def build(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", show_default=False, help="The folder to write.")],
    price: PriceOption = None,
    prices: PricesOption = None,
    provider: ProviderOption = None,
    electricity: ElectricityOption = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Write the page of a store into a folder: files alone, which any browser or web server shows.

    A page that stands there already is replaced whole; any other folder with files in it is refused.
    """
    built = _build(store, out, Pricing(price=price or (), prices=prices, provider=provider, electricity=electricity))
    if as_json:
        print_document({"schema": "oildrop.site/1", **built})
    else:
        screen().print(f"{count(built['runs'], 'run')} on {count(built['pages'], 'page')}; open {built['index']}")


@app.command(cls=PlainCommand)
def serve(
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, show_default=False, help="Port (8000; 0: any).")
    ] = PORT,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Build the page of a store and show it to browsers on this machine, until Ctrl-C.

    Start it again to see newer runs.
    """
    from oildrop.site.pages.serve import HOST, open_server

    with tempfile.TemporaryDirectory(prefix="oildrop-page-") as folder:
        page = Path(folder) / "page"
        built = _build(store, page, Pricing())
        with open_server(page, port) as server:
            address = f"http://{HOST}:{server.server_port}/"
            if as_json:
                print_document({"schema": "oildrop.site/1", **built, "address": address})
            else:
                screen().print(f"{count(built['runs'], 'run')} at {address} (Ctrl-C ends it)")
            try:
                server.serve_forever()
            except KeyboardInterrupt:  # how a person ends it, and no failure
                return


def _build(store: Path | None, out: Path, pricing: Pricing) -> dict[str, Any]:
    """Build the page of the store into `out`."""
    from datetime import UTC, datetime

    from oildrop.results.ingest import refresh
    from oildrop.results.layout import store_layout
    from oildrop.results.views import list_runs
    from oildrop.rules.loading import load_rulebook
    from oildrop.site.pages.build import build_site

    layout = store_layout(store)
    refresh(layout)
    built_utc = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = list_runs(layout)
    economics = pricing.economics([row.spec.system_id for row in rows])
    report = build_site(rows, load_rulebook(), out, built_utc=built_utc, economics=economics)
    return {"store": layout.root, "index": report.index.absolute(), "pages": report.pages, "runs": report.runs}
