"""`oildrop prefill serve`: read prompts on this machine for runs that decode on another."""

from __future__ import annotations

from typing import Annotated

import typer

from oildrop.suite.cli import options
from oildrop.suite.cli.lazy import PlainCommand, make_app
from oildrop.suite.cli.options import option
from oildrop.suite.cli.output import print_document, screen

app = make_app(no_args_is_help=True, help="Read prompts on this machine for runs that decode on another.")


@app.callback()
def prefill() -> None:
    """Read prompts on this machine for runs that decode on another."""


@app.command(
    cls=PlainCommand,
    epilog="Example: OILDROP_PREFILL_KEY=… oildrop prefill serve --listen 10.0.0.7:7070 --backend torch-cuda",
)
def serve(
    listen: Annotated[str, option("--listen", "HOST:PORT", "Address of this machine to listen on; port 0: any.")],
    backend: Annotated[str, option("--backend", "B", "Framework and device, as torch-cpu (auto).")] = "auto",
    runs: Annotated[int | None, typer.Option("--runs", metavar="N", min=1, help="End after N connections.")] = None,
    as_json: options.Json = False,
) -> None:
    """Read prompts for runs of another machine, one run at a time, until Ctrl-C.

    Both machines need the same secret in OILDROP_PREFILL_KEY; messages are not encrypted.
    """
    import os

    from oildrop.harness.prefill_elsewhere import key_of, parse_place
    from oildrop.harness.prefill_listener import listen as listen_at
    from oildrop.rules.errors import UsageError
    from oildrop.suite.cli.progress import stderr_console
    from oildrop.suite.planning import backend_named

    place, key = parse_place("--listen", listen), key_of(os.environ)
    left = iter(range(runs - 1, -1, -1)) if runs is not None else None
    console = stderr_console() if as_json else screen()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        console.print(line, soft_wrap=True, highlight=False, markup=False)

    chosen = backend_named(backend)[0]
    try:
        listen_at(place, key, chosen, tell, until=lambda: left is not None and next(left) == 0)
    except OSError as error:
        raise UsageError(f"--listen {listen}: {error.strerror or error}; name an address of this machine") from error
    except KeyboardInterrupt:
        tell("stopped by hand")
    if as_json:
        print_document({"schema": "oildrop.prefill/1", "backend": chosen, "told": told})
