"""`oildrop calibrate`: what this machine can do at most."""

from __future__ import annotations

from typing import Annotated

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.options import option

app = make_app()

BENCHMARK = "calibrate"


@app.command(cls=PlainCommand, epilog="Exit code 0: ok; 1: it ended otherwise; 3: the backend is unsupported.")
def calibrate(
    backend: Annotated[str, option("--backend", "B", "Framework and device, as torch-cpu (auto).")] = "auto",
    tier: Annotated[str | None, option("--tier", "T", "nano, or smoke to see that it works (nano).")] = None,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", min=1, show_default=False,
        help="Threads of a processor (all physical cores).")] = None,
    timeout: Annotated[float | None, option("--timeout", "S", "Deadline in seconds.")] = None,
    note: Annotated[str | None, option("--note", "TEXT", "Words kept with the run.")] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> int:  # fmt: skip
    """Measure ceilings: matrix products by number format, reads and copies of memory, copies to the device.

    Half a minute, kept and judged as any run. Later runs of the same machine and software are shown against it.
    """
    from oildrop.results.layout import store_layout
    from oildrop.suite.cli import parsing
    from oildrop.suite.cli.run import measure
    from oildrop.suite.planning import plan
    from oildrop.suite.request import RunRequest

    request = RunRequest(
        benchmarks=(BENCHMARK,),
        backend=backend,
        tier=tier,
        changes={} if threads is None else {"execution.threads": str(threads)},
        timeout_s=parsing.parse_seconds("--timeout", timeout),
        note=note,
    )
    layout = store_layout(store)
    return measure(plan(request, layout, create=True), layout, as_json=as_json)
