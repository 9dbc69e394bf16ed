"""Read a bundle whatever its state: damage becomes problems that name the file."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from oildrop.results.bundle import names
from oildrop.results.bundle.chunks import parse_chunk
from oildrop.results.bundle.requests_merged import merged
from oildrop.results.bundle.seal import compare_with_seal, parse_seal
from oildrop.results.bundle.telemetry import parse_telemetry
from oildrop.rules import keys
from oildrop.rules.errors import BundleError
from oildrop.rules.events import Event, LogReading, read_log
from oildrop.rules.evidence import AnswerTable, EvaluationTable, Evidence, Problem, RequestTable, Series
from oildrop.rules.records import RunSpec
from oildrop.rules.system import System


@dataclass(frozen=True, kw_only=True)
class BundleContents:
    """A bundle as read.

    Attributes:
        rulebook: Bytes of the rulebook files by name relative to the rulebook's folder.
        bundle_id: From the seal; None without a readable one.
    """

    evidence: Evidence
    rulebook: dict[str, bytes]
    bundle_id: str | None


def read_bundle(path: Path, *, supervisor_alive: bool = False) -> Evidence:
    """All evidence in the bundle at `path`.

    Args:
        supervisor_alive: Asked *before* this call, so that a run sealed meanwhile is not taken for lost.

    Raises:
        BundleError: There is no readable `spec.json`, so that nobody can say which run this was.
    """
    return read_contents(path, supervisor_alive=supervisor_alive).evidence


def read_run_id(path: Path) -> str:
    """Which run the bundle at `path` is of. Raises BundleError when nobody can say."""
    try:
        data = (path / names.SPEC).read_bytes()
    except OSError as error:
        raise BundleError(f"{path / names.SPEC} cannot be read: {error.strerror}") from error
    return _spec(path, data).run_id


def read_contents(path: Path, *, supervisor_alive: bool = False) -> BundleContents:
    """As `read_bundle`, with what the store keeps beside the evidence."""
    found = _Found(path)
    spec = _spec(path, found.data.get(names.SPEC))
    log = read_log(found.data.get(names.EVENTS, b""))
    problems, bundle_id, sealed = _integrity(found, spec, log)
    system = _system(found.data.get(names.SYSTEM), problems)
    problems.extend(Problem(file=names.EVENTS, message=_without_file(text)) for text in log.problems)
    problems.extend(_chunk_problems(log.events, found.hashes, named={problem.file for problem in problems}))
    rulebook = {name: data for name, data in found.data.items() if name.startswith(names.RULEBOOK + "/")}
    samples = _samples(found, problems)
    evidence = Evidence(
        spec=spec,
        system=system,
        events=log.events,
        evaluations=tuple(samples.evaluations),
        requests=merged(samples.requests) if samples.requests else None,
        answers=samples.answers,
        series=_series(found, problems, sealed=sealed),
        problems=tuple(problems),
        sealed=sealed,
        supervisor_alive=supervisor_alive and not sealed,
        clipped_bytes=log.clipped_bytes,
        rulebook_files=tuple((_inside_rulebook(name), found.hashes[name]) for name in rulebook),
    )
    return BundleContents(
        evidence=evidence,
        rulebook={_inside_rulebook(name): data for name, data in rulebook.items()},
        bundle_id=bundle_id,
    )


class _Found:
    """The files of a bundle: bytes and SHA-256 by name, and what could not be read."""

    def __init__(self, path: Path) -> None:
        self.data: dict[str, bytes] = {}
        self.hashes: dict[str, str] = {}
        self.problems: list[Problem] = []
        try:
            entries = list(names.walk(path))
        except OSError as error:
            raise BundleError(f"{path} is no readable bundle: {error.strerror}") from error
        for name, is_file in entries:
            if is_file:
                self._read(path, name)
            else:
                self._add(name, "is no plain file: a bundle holds no links or devices")

    def _read(self, path: Path, name: str) -> None:
        try:
            with open(path / name, "rb") as file:
                if name == names.OUTPUT:
                    self.hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
                    return
                data = file.read()
        except OSError as error:
            self._add(name, f"cannot be read: {error.strerror}")
            return
        self.data[name] = data
        self.hashes[name] = hashlib.sha256(data).hexdigest()

    def _add(self, name: str, message: str) -> None:
        self.problems.append(Problem(file=names.printable(name), message=message))


def _spec(path: Path, data: bytes | None) -> RunSpec:
    if data is None:
        raise BundleError(f"{path / names.SPEC} is missing or cannot be read: this is no bundle of a registered run")
    try:
        return RunSpec.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(f"{path / names.SPEC} is damaged: {_first_error(error)}") from error


def _integrity(found: _Found, spec: RunSpec, log: LogReading) -> tuple[list[Problem], str | None, bool]:
    """Problems of the files as files, the bundle id, and whether the bundle is sealed at all."""
    problems = list(found.problems)
    hashes = {name: sha256 for name, sha256 in found.hashes.items() if name != names.SEAL}
    if names.SEAL in found.data:
        seal, seal_problems = parse_seal(found.data[names.SEAL])
        problems.extend(seal_problems)
        if seal is not None:
            problems.extend(compare_with_seal(seal, hashes, run_id=spec.run_id, chain_head=log.head))
        return problems, seal.bundle_id if seal else None, True
    if names.EVENTS not in hashes:
        problems.append(Problem(file=names.EVENTS, message="is missing"))
    for name in hashes:
        if not names.is_known(name):
            problems.append(Problem(file=names.printable(name), message="was added: no run writes such a file"))
    return problems, None, False


def _system(data: bytes | None, problems: list[Problem]) -> System | None:
    if data is None:
        if all(problem.file != names.SYSTEM for problem in problems):
            problems.append(Problem(file=names.SYSTEM, message="is missing"))
        return None
    try:
        return _parsed_system(data)
    except ValidationError as error:
        problems.append(Problem(file=names.SYSTEM, message=f"is damaged: {_first_error(error)}"))
        return None


@functools.lru_cache(maxsize=64)
def _parsed_system(data: bytes) -> System:
    """Runs of one machine share one record."""
    return System.model_validate_json(data)


def _chunk_problems(events: tuple[Event, ...], hashes: dict[str, str], *, named: set[str]) -> list[Problem]:
    """Chunks that are not what their `chunk` event announced; files with a problem already are left out."""
    problems = []
    for event in events:
        if event.key != keys.CHUNK:
            continue
        name, announced = str(event.meta.get("file")), event.meta.get("sha256")
        if name in named or hashes.get(name) == announced:
            continue
        what = "was changed since event" if name in hashes else "is missing, announced by event"
        problems.append(Problem(file=names.printable(name), message=f"{what} {event.seq} (line {event.seq + 1})"))
    return problems


@dataclass
class _Samples:
    """What the chunks hold together: evaluations of a training, or the requests and answers of a served run."""

    evaluations: list[EvaluationTable] = field(default_factory=list)
    requests: list[RequestTable] = field(default_factory=list)
    answers: AnswerTable | None = None


def _samples(found: _Found, problems: list[Problem]) -> _Samples:
    samples = _Samples()
    chunks = [name for name in found.data if name.startswith(names.SAMPLES + "/") and name.endswith(".arrow")]
    for name in sorted(chunks, key=lambda name: (len(name), name)):  # 10000.arrow comes after 9999.arrow
        try:
            _take(samples, found.data[name])
        except ValueError as error:
            problems.append(Problem(file=names.printable(name), message=str(error)))
    return samples


def _take(samples: _Samples, data: bytes) -> None:
    chunk = parse_chunk(data)
    if isinstance(chunk, RequestTable):
        samples.requests.append(chunk)
    elif isinstance(chunk, AnswerTable):
        if samples.answers is not None:
            raise ValueError("is a second table of answers; a run has one")
        samples.answers = chunk
    else:
        samples.evaluations.extend(chunk)


def _series(found: _Found, problems: list[Problem], *, sealed: bool) -> tuple[Series, ...]:
    data = found.data.get(names.TELEMETRY)
    if data is None:
        return ()
    reading = parse_telemetry(data)
    if sealed and reading.damage:
        problems.append(Problem(file=names.TELEMETRY, message=reading.damage))
    return reading.series


def _inside_rulebook(name: str) -> str:
    return names.printable(name.removeprefix(names.RULEBOOK + "/"))


def _without_file(message: str) -> str:
    return message.replace(f" of {names.EVENTS}", "")


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
