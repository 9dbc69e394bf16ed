"""The one place where an exception becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from oildrop.rules.errors import OildropError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 128 + 2  # as a shell reports SIGINT
EXIT_BROKEN_PIPE = 128 + 13  # as a shell reports SIGPIPE

ParserError: Any = typer.BadParameter.__base__
"""The parser's own usage error; typer exports only this child of it."""


def guarded(call: Callable[[], int | None], *, as_json: bool) -> int:
    """The exit code of `call`; whatever it raises ends as one message on stderr, never as a traceback."""
    tolerate_narrow_encodings()
    try:
        code = call() or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _after_broken_pipe()
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped by hand", "Interrupted", EXIT_INTERRUPTED, as_json)
    except ParserError as error:
        return _fail_parsing(error, as_json)
    except OildropError as error:
        code = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
        return _fail(str(error), type(error).__name__, code, as_json)
    except OSError as error:
        return _fail(_os_message(error), "OSError", EXIT_FAILED, as_json)
    except Exception as error:
        return _fail(_internal_message(error), "InternalError", EXIT_INTERNAL, as_json)


def tolerate_narrow_encodings() -> None:
    """Let a terminal that lacks a character show `?` instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _fail(message: str, kind: str, code: int, as_json: bool) -> int:
    try:
        return _say(message, kind, code, as_json)
    except BrokenPipeError:
        _after_broken_pipe()
        return code


def _say(message: str, kind: str, code: int, as_json: bool) -> int:
    print(f"error: {message}", file=sys.stderr)
    if as_json:
        from oildrop.suite.cli.output import print_document

        error = {"type": kind, "message": message, "exit_code": code}
        print_document({"schema": "oildrop.error/1", "error": error})
    return code


def _fail_parsing(error: Any, as_json: bool) -> int:
    """Say what the parser refused; a command without arguments shows its help instead."""
    context = error.ctx
    message = error.format_message()
    if context is not None and message == context.get_help():
        print(message, file=sys.stderr)
        return EXIT_USAGE
    where = context.command_path if context is not None else "oildrop"
    return _fail(f"{message.rstrip()} (see `{where} --help`)", "UsageError", EXIT_USAGE, as_json)


def _os_message(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _internal_message(error: Exception) -> str:
    """Put the traceback into a file of the temporary folder and say where."""
    import tempfile
    import traceback

    what = traceback.format_exception_only(error)[-1].strip()
    try:
        with tempfile.NamedTemporaryFile("w", prefix="oildrop-error-", suffix=".txt", delete=False) as file:
            traceback.print_exception(error, file=file)
    except OSError as unwritten:
        return f"internal error: {what} (its traceback could not be kept: {_os_message(unwritten)})"
    return f"internal error: {what}; please report it with the traceback in {file.name}"


def _after_broken_pipe() -> int:
    """Whoever read our output has left: stay quiet, also when the interpreter flushes at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (open until the process ends)
    return EXIT_BROKEN_PIPE
