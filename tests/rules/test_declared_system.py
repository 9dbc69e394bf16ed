"""A server's machine as its owner declares it: what tells it from another, and that others' names stay."""

from __future__ import annotations

from typing import Any

from oildrop.harness.system.probe import probe_system
from oildrop.rules.canonical import sha256_of
from oildrop.rules.system import Declared, System

HERE = probe_system()


def with_declared(**fields: Any) -> System:
    return System.model_validate(
        {**HERE.model_dump(by_alias=True), "declared": Declared(**{"endpoint_id": "a" * 16, **fields})}
    )


def test_a_machine_without_a_server_keeps_its_name() -> None:
    cpu, memory = HERE.cpu, HERE.memory
    by_hand = {
        "cpu": [cpu.model, cpu.architecture, cpu.sockets, cpu.usable_cores],
        "memory_gib": round(memory.total_bytes / 2**30),
        "accelerators": [[a.vendor, a.model, a.power_limit_w, a.peer_links] for a in HERE.accelerators],
        "power_cap_w": HERE.power_cap_w,
    }
    assert HERE.system_id() == sha256_of(by_hand)[:16]


def test_servers_differ_by_what_is_declared_else_by_their_address() -> None:
    undescribed = with_declared()
    assert undescribed.system_id() != HERE.system_id()
    assert undescribed.system_id() != with_declared(endpoint_id="b" * 16).system_id()
    described = with_declared(accelerators=("2 x H100",))
    assert described.system_id() == with_declared(accelerators=("2 x H100",), endpoint_id="b" * 16).system_id()
    assert described.system_id() != with_declared(accelerators=("4 x H100",)).system_id()
    assert described.system_id() == with_declared(accelerators=("2 x H100",), software={"vllm": "1"}).system_id()
    assert described.software_id() != with_declared(accelerators=("2 x H100",), software={"vllm": "1"}).software_id()
