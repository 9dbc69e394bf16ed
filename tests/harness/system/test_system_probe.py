"""The whole record: on this machine, and on an empty one."""

from typing import Any

from oildrop.harness.meters.isolation import Answer
from oildrop.harness.system.probe import probe_system
from oildrop.rules.system import System


def unknowns(value: Any, prefix: str = "") -> set[str]:
    if value is None:
        return {prefix}
    if isinstance(value, dict):
        return {hit for key, item in value.items() for hit in unknowns(item, f"{prefix}.{key}".lstrip("."))}
    if isinstance(value, tuple | list):
        return {hit for index, item in enumerate(value) for hit in unknowns(item, f"{prefix}.{index}")}
    return set()


def test_every_unknown_of_this_machine_has_its_reason() -> None:
    system = probe_system("salt", describe=lambda: Answer(reason="not asked"))
    record = system.model_dump()
    missing = record.pop("missing")
    assert record.pop("declared") is None, "nothing is declared of the machine itself"
    assert unknowns(record) <= set(missing)
    assert all(missing.values())
    assert 1 <= system.cpu.usable_cores <= system.cpu.logical_cores
    assert system.memory.total_bytes > 2**27


def test_the_record_survives_its_json() -> None:
    system = probe_system("salt", describe=lambda: Answer(reason="not asked"))
    assert System.model_validate_json(system.model_dump_json(by_alias=True)) == system


def test_a_machine_that_tells_nothing_is_still_a_record(make_host) -> None:
    system = probe_system(host=make_host(cpu_count=1))
    record = system.model_dump()
    missing = record.pop("missing")
    assert record.pop("declared") is None, "nothing is declared of the machine itself"
    assert unknowns(record) <= set(missing)
    assert system.accelerators == ()


def test_the_same_machine_has_the_same_id() -> None:
    first, second = (probe_system(salt, describe=lambda: Answer(reason="not asked")) for salt in ("a", "b"))
    assert first.system_id() == second.system_id()
