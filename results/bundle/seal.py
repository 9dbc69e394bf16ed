"""The seal: the hash of every file of a bundle, the head of its event chain, and its own hash.

It proves that nothing changed since sealing, never that what was sealed is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError

from oildrop.results.bundle.names import EVENTS, OUTPUT, SEAL, printable
from oildrop.rules.canonical import canonical_json, sha256_of
from oildrop.rules.evidence import Problem
from oildrop.rules.records import Record

MAY_BE_ABSENT = frozenset({OUTPUT})
"""`output.log` stays behind when a bundle is exported; its hash is public."""


class Seal(Record):
    """`seal.json`. `bundle_id` is the SHA-256 over the canonical JSON of the other fields."""

    schema_id: Literal["oildrop.seal/1"] = Field(default="oildrop.seal/1", alias="schema")
    run_id: str
    files: dict[str, str]
    chain_head: str
    bundle_id: str

    model_config = Record.model_config | {"populate_by_name": True}


def seal_bytes(run_id: str, files: Mapping[str, str], chain_head: str) -> tuple[str, bytes]:
    """Bundle id and bytes of the seal over `files` (SHA-256 by relative name)."""
    rest = {"schema": "oildrop.seal/1", "run_id": run_id, "files": dict(files), "chain_head": chain_head}
    bundle_id = sha256_of(rest)
    return bundle_id, canonical_json({**rest, "bundle_id": bundle_id}) + b"\n"


def parse_seal(data: bytes) -> tuple[Seal | None, list[Problem]]:
    """The seal in `data`, None when it cannot be read, and what is wrong with the seal itself."""
    try:
        seal = Seal.model_validate_json(data)
    except ValidationError as error:
        return None, [Problem(file=SEAL, message=f"cannot be read: {error.errors()[0]['msg']}")]
    bundle_id, expected = seal_bytes(seal.run_id, seal.files, seal.chain_head)
    if bundle_id != seal.bundle_id:
        return seal, [Problem(file=SEAL, message=f"was changed: it hashes to {bundle_id}, but says {seal.bundle_id}")]
    if data != expected:
        return seal, [Problem(file=SEAL, message="was changed: its bytes are not those that sealing writes")]
    return seal, []


def compare_with_seal(seal: Seal, hashes: Mapping[str, str], *, run_id: str, chain_head: str) -> list[Problem]:
    """What differs between the files found (SHA-256 by name, without the seal's) and the sealed ones."""
    problems = []
    for name, sealed in sorted(seal.files.items()):
        if name in hashes:
            if hashes[name] != sealed:
                problems.append(_problem(name, f"was changed: its SHA-256 is {hashes[name]}, sealed was {sealed}"))
        elif name not in MAY_BE_ABSENT:
            problems.append(_problem(name, "is missing: it was there when the bundle was sealed"))
    problems.extend(
        _problem(name, "was added: it is not among the sealed files") for name in sorted(hashes.keys() - seal.files)
    )
    if seal.chain_head != chain_head:
        problems.append(_problem(EVENTS, f"ends in {chain_head}, sealed was {seal.chain_head}: its end was changed"))
    if seal.run_id != run_id:
        problems.append(_problem(SEAL, f"is of run {seal.run_id}, but spec.json is of {run_id}"))
    return problems


def _problem(name: str, message: str) -> Problem:
    return Problem(file=printable(name), message=message)
