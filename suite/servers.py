"""The server that a person asks to measure: its address, its model and its machine, as a plan needs them."""

from __future__ import annotations

import asyncio
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oildrop.harness.backends import Availability
from oildrop.harness.endpoint.address import Address, parse_address
from oildrop.harness.endpoint.client import Client
from oildrop.harness.endpoint.environment import BACKEND as ENDPOINT
from oildrop.harness.endpoint.environment import key_headers, worker_environment
from oildrop.harness.endpoint.preflight import find_model
from oildrop.harness.system.device_ids import salted_id
from oildrop.rules.errors import Unsupported, UsageError
from oildrop.rules.rulebook import Benchmark
from oildrop.rules.system import Declared

TASK = "lm_serve"
ELSEWHERE = Availability(backend=ENDPOINT, available=True)
"""What `TASK` runs on: nothing of this machine is needed for it."""

ASK_LIMIT_S = 5.0
"""Longest that a server may take to name its models."""


@dataclass(frozen=True, kw_only=True)
class ServerRequest:
    """What a person typed: `--endpoint`, `--model`, `--api`, `--tokenizer`, `--system`; None where they did not."""

    url: str
    model: str | None = None
    api: str | None = None
    tokenizer: Path | None = None
    system: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server as a plan needs it.

    Attributes:
        changes: The model's name without what is private, as a setting's text by its key.
        environment: What its runs' workers get and no bundle holds.
        declared: Its machine, for the record of the system.
        reason: Why it cannot be measured; None where it can.
    """

    address: Address
    changes: Mapping[str, str]
    environment: Mapping[str, str]
    declared: Declared
    reason: str | None


def require_server(benchmarks: Sequence[Benchmark], asked: ServerRequest | None, backend: str) -> None:
    """Raises UsageError where a server is asked for without an address, or an address is given to something else."""
    for benchmark in benchmarks:
        if benchmark.task == TASK and asked is None:
            raise UsageError(
                f"{benchmark.name} measures a server that is already running: give its address by --endpoint, as "
                "oildrop run lm-serve --endpoint http://localhost:8000/v1"
            )
        if benchmark.task != TASK and (asked is not None or backend == ENDPOINT):
            raise UsageError(f"{benchmark.name} runs on this machine; --endpoint and backend {ENDPOINT} are lm-serve's")
    if asked is not None and backend not in ("auto", ENDPOINT):
        raise UsageError(f"--backend {backend} runs here, and --endpoint names a server: leave --backend out")


def server_changes(asked: ServerRequest | None) -> dict[str, str]:
    """Settings that follow from what was typed, as text by dotted key; the server is not asked.

    Raises:
        UsageError: The address, the key or a file is no good.
    """
    if asked is None:
        return {}
    parse_address(asked.url)
    key_headers(os.environ)
    if asked.system is not None:
        _declared(asked.system, {**read_description(asked.system), "endpoint_id": ""})
    if asked.tokenizer is not None and not asked.tokenizer.is_file():
        raise UsageError(f"--tokenizer {asked.tokenizer} is no file; name the model's tokenizer.json")
    typed = {"endpoint.model": asked.model, "endpoint.api": asked.api}
    if asked.tokenizer is not None:
        typed["tokens.count"] = "tokenizer"
    return {key: value for key, value in typed.items() if value is not None}


def meet_server(asked: ServerRequest, changes: Mapping[str, str], *, salt: str, redact: Callable[[Any], Any]) -> Server:
    """Ask the server for its model, and put together what a plan needs; `changes` hold `server_changes(asked)`."""
    address = parse_address(asked.url)
    reason, model = None, changes.get("endpoint.model", "")
    try:
        model = asyncio.run(_ask_for_model(address, key_headers(os.environ), model))
    except Unsupported as error:
        reason = str(error)
    endpoint_id = salted_id(salt, f"{address.host}:{address.port}")
    described = {} if asked.system is None else read_description(asked.system)
    return Server(
        address=address,
        changes={"endpoint.model": str(redact(model))},
        environment=worker_environment(address, model, asked.tokenizer),
        declared=_declared(asked.system, redact({**described, "endpoint_id": endpoint_id})),
        reason=reason,
    )


def read_description(path: Path) -> dict[str, Any]:
    """The TOML or JSON table in `path`. Raises UsageError where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"--system {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--system {path} is neither TOML nor .json: {error}") from error
    if not isinstance(found, dict) or "endpoint_id" in found:
        raise UsageError(f"--system {path} must be a table of {_known_fields()}")
    return found


def _declared(path: Path | None, values: dict[str, Any]) -> Declared:
    try:
        return Declared.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"--system {path}: {where}: {first['msg']}; it may hold {_known_fields()}") from error


def _known_fields() -> str:
    return ", ".join(name for name in Declared.model_fields if name != "endpoint_id")


async def _ask_for_model(address: Address, headers: Mapping[str, str], wanted: str) -> str:
    client = Client(address=address, limit_s=ASK_LIMIT_S, headers=headers)
    try:
        return await find_model(client, wanted)
    finally:
        client.close()
