"""Read a rulebook's TOML files into records; a broken file is refused with line and reason."""

from __future__ import annotations

import functools
import hashlib
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from oildrop.rules.canonical import sha256_of
from oildrop.rules.data_manifest import DataFile, HubColumn, Manifest
from oildrop.rules.errors import RulebookError
from oildrop.rules.loading_references import REFERENCE_SCHEMA, references_in
from oildrop.rules.records import Record, Scalar
from oildrop.rules.rulebook import SHARED_FILES, Benchmark, DevicePeaks, Division, Rule, Rulebook, Scenario, Tier

R = TypeVar("R", bound=Record)

VERSION = "v1"
TABLES = ("devices.toml",)
VIEW_TABLES = ("prices.toml", "grid.toml")
"""Beside the rulebook and no part of it: read by views alone (`loading_prices.py`)."""

SUBFOLDERS = ("reference", "data")
MANIFEST_SCHEMA = "oildrop.data/1"


@functools.cache
def load_rulebook() -> Rulebook:
    """The rulebook that this release ships. Raises RulebookError when a file is broken."""
    folder = resources.files("oildrop.rules.v1")
    files = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".toml")}
    for name in SUBFOLDERS:
        entries = folder.joinpath(name).iterdir() if folder.joinpath(name).is_dir() else ()
        files |= {f"{name}/{entry.name}": entry.read_bytes() for entry in entries if entry.name.endswith(".toml")}
    return parse_rulebook(files)


def read_rulebook(directory: Path) -> Rulebook:
    """The rulebook in `directory` (files, `reference/` and `data/`). Raises RulebookError."""
    paths = [path for pattern in ("", *SUBFOLDERS) for path in (directory / pattern).glob("*.toml")]
    return parse_rulebook({path.relative_to(directory).as_posix(): path.read_bytes() for path in paths})


def parse_rulebook(files: dict[str, bytes]) -> Rulebook:
    """Check and resolve rulebook `files` (bytes by relative name).

    Raises:
        RulebookError: A file is missing, is no TOML, or breaks the form; names file, line and reason.
    """
    for name in SHARED_FILES:
        if name not in files:
            raise RulebookError(f"{name}: missing from the rulebook")
    parsed = {name: parse_toml(name, data) for name, data in files.items()}
    benchmarks = {}
    reference_files = []
    for name in sorted(parsed):
        schema = parsed[name].get("schema")
        if schema == "oildrop.benchmark/1":
            benchmark = _benchmark(name, parsed[name], files)
            benchmarks[benchmark.name] = benchmark
        elif schema == REFERENCE_SCHEMA:
            reference_files.append(name)
        elif schema == MANIFEST_SCHEMA:
            parse_manifest(name, files[name])
        elif name not in (*SHARED_FILES, *VIEW_TABLES):
            raise RulebookError(
                f"{name}: line 1: schema {schema!r} is unknown; use oildrop.benchmark/1, {REFERENCE_SCHEMA} "
                f"or {MANIFEST_SCHEMA}"
            )
    references = [
        reference
        for name in reference_files
        for reference in references_in(name, parsed[name], files[name], benchmarks)
    ]
    return Rulebook(
        version=VERSION,
        benchmarks=benchmarks,
        divisions=_table(Division, "divisions.toml", "division", parsed, files, key="name"),
        rules=_table(Rule, "rules.toml", "rule", parsed, files, key="id"),
        scenarios=_table(Scenario, "scenarios.toml", "scenario", parsed, files, key="name"),
        devices=tuple(_table(DevicePeaks, "devices.toml", "device", parsed, files, key="name").values()),
        references=tuple(references),
        tables_sha256=sha256_of({name: _sha256(files[name]) for name in TABLES})[:16],
        files=dict(files),
    )


def parse_manifest(name: str, raw: bytes) -> Manifest:
    """The data manifest in the bytes `raw` of file `name`.

    Raises:
        RulebookError: It is no TOML or breaks the form; names file, line and reason.
    """
    table = parse_toml(name, raw)
    if table.get("schema") != MANIFEST_SCHEMA:
        raise RulebookError(f"{name}: line 1: schema {table.get('schema')!r} is not {MANIFEST_SCHEMA}")
    entries = table.get("files", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RulebookError(f"{name}: line {_line_of(raw, 'files')}: files is no list of tables; write [[files]]")
    files: list[Record] = []
    for index, entry in enumerate(entries):
        kind: type[Record] = HubColumn if entry.get("kind") == "hf" else DataFile
        files.append(_record(kind, name, entry, _from_section(raw, "files", index), within=f"files.{index}"))
    return _record(Manifest, name, {**_without(table, "schema"), "files": files}, raw)


def _from_section(raw: bytes, section: str, index: int) -> bytes:
    """`raw` with every line before the `index`-th `[[section]]` emptied: what follows keeps its line number."""
    lines = raw.split(b"\n")
    starts = [k for k, line in enumerate(lines) if line.strip() == f"[[{section}]]".encode()]
    start = starts[index] if index < len(starts) else 0
    return b"\n".join([b""] * start + lines[start:])


def parse_rows(kind: type[R], name: str, section: str, table: dict[str, Any], raw: bytes) -> tuple[R, ...]:
    """Each `[[section]]` of a parsed `table` as a record; `raw` is the file's text, for the lines of errors.

    Raises:
        RulebookError: The section is no list of tables, or a row breaks the form; names file, line and reason.
    """
    entries = table.get(section, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RulebookError(
            f"{name}: line {_line_of(raw, section)}: {section} is no list of tables; write [[{section}]]"
        )
    return tuple(
        _record(kind, name, entry, _from_section(raw, section, index), within=f"{section}.{index}")
        for index, entry in enumerate(entries)
    )


def parse_toml(name: str, data: bytes) -> dict[str, Any]:
    """The file's table. Raises RulebookError for bytes that are no UTF-8 or no TOML; names file, line and reason."""
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RulebookError(f"{name}: line {line}: byte {data[error.start]:#04x} is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"^(.*) \(at (?:line (\d+)|end of document).*\)$", str(error))
        line_text = found.group(2) if found and found.group(2) else str(data.count(b"\n") + 1)
        reason = found.group(1) if found else str(error)
        raise RulebookError(f"{name}: line {line_text}: {reason}") from error


def _benchmark(name: str, table: dict[str, Any], files: dict[str, bytes]) -> Benchmark:
    raw = files[name]
    shared = _flatten(table.get("settings", {}))
    tiers = {}
    for tier_name, tier_table in table.get("tiers", {}).items():
        own = _flatten(tier_table.get("settings", {}))
        values = {**tier_table, "settings": {**shared, **own}, "gates": _flatten(tier_table.get("gates", {}))}
        tiers[tier_name] = _record(Tier, name, values, raw, within=f"tiers.{tier_name}")
    for needed in table.get("files", []):
        if needed not in files:
            raise RulebookError(f"{name}: line {_line_of(raw, 'files')}: {needed} is missing from the rulebook")
    fields = _without(table, "schema", "settings", "closed", "flops", "tiers")
    fields |= {
        "tiers": tiers,
        "closed_free": table.get("closed", {}).get("free", []),
        "flops_formula": table.get("flops", {}).get("formula"),
        "sha256": sha256_of({used: _sha256(files[used]) for used in [name, *table.get("files", [])]}),
    }
    benchmark = _record(Benchmark, name, fields, raw)
    _check_settings(name, raw, benchmark)
    return benchmark


def _check_settings(name: str, raw: bytes, benchmark: Benchmark) -> None:
    """Every free or bounded key exists, and every tier's values lie within their bounds."""
    if not benchmark.tiers:
        raise RulebookError(f"{name}: line 1: no [tiers.*] section; a benchmark needs one tier at least")
    keys = {key for tier in benchmark.tiers.values() for key in tier.settings}
    for key in [*benchmark.closed_free, *benchmark.allowed]:
        if key not in keys:
            raise RulebookError(f"{name}: line {_line_of(raw, key)}: {key} is not a setting of any tier")
    for tier_name, tier in benchmark.tiers.items():
        for key, value in tier.settings.items():
            problem = bounds_problem(benchmark, key, value)
            if problem:
                raise RulebookError(f"{name}: line {_line_of(raw, key)}: tier {tier_name}: {problem}")


def bounds_problem(benchmark: Benchmark, key: str, value: Scalar) -> str | None:
    """Why `value` is not allowed for setting `key`, or None when it is."""
    bounds = benchmark.allowed.get(key)
    if bounds is None:
        return None
    if isinstance(bounds, tuple):
        choices = ", ".join(str(choice) or "empty" for choice in bounds)
        return None if value in bounds else f"{key} = {value!r} is not one of {choices}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{key} = {value!r} is not a number"
    inside = bounds.min <= value <= bounds.max
    return None if inside else f"{key} = {value!r} is outside {bounds.min:g} to {bounds.max:g}"


def _table(
    kind: type[R], name: str, section: str, parsed: dict[str, Any], files: dict[str, bytes], *, key: str
) -> dict[str, R]:
    records: dict[str, R] = {}
    for entry in parsed[name].get(section, []):
        record = _record(kind, name, entry, files[name])
        identity = getattr(record, key)
        if identity in records:
            raise RulebookError(f"{name}: line {_line_of(files[name], identity)}: {key} {identity} stands twice")
        records[identity] = record
    return records


def _record(kind: type[R], name: str, values: dict[str, Any], raw: bytes, *, within: str = "") -> R:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        where = ".".join([within, *path] if within else path) or kind.__name__
        named = [part for part in path if not part.isdigit()]
        line = _line_of(raw, named[-1] if named else within)
        raise RulebookError(f"{name}: line {line}: {where}: {first['msg']}") from error


def _line_of(raw: bytes, key: str) -> int:
    """Line on which `key` is set, else on which it first stands; 1 when it does not.

    A dotted key is set under its last part within its section, or whole within `[allowed]`.
    """
    last = re.escape(key.rsplit(".", 1)[-1])
    whole = re.escape(key)
    for pattern in (rf"^\s*{last}\s*=", rf"^\s*(\w+\.)+{last}\s*=", rf"(?<![\w-]){whole}(?![\w-])", rf"\b{last}\b"):
        for number, line in enumerate(raw.decode(errors="replace").splitlines(), start=1):
            if re.search(pattern, line) and not line.lstrip().startswith("#"):
                return number
    return 1


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Scalar]:
    flat: dict[str, Scalar] = {}
    for key, value in table.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _without(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
