"""Our own words survive the redaction of a user who is called like one of them."""

import pytest

from oildrop.rules.redaction import Redactor
from oildrop.rules.system import Cpu, Memory, OperatingSystem, Software, System
from oildrop.rules.vocabulary import record_vocabulary

SYSTEM = System(
    cpu=Cpu(
        model="Imaginary 1", vendor=None, architecture="x86_64", sockets=1, physical_cores=2, logical_cores=2,
        usable_cores=2, max_frequency_hz=None, l3_cache_bytes=None, governor=None,
    ),
    memory=Memory(total_bytes=2**34, swap_bytes=0, limit_bytes=None),
    os=OperatingSystem(name="Linux", release="1", kernel="6", virtualisation="none"),
    accelerators=(),
    power_cap_w=None,
    software=Software(
        oildrop="1", python="3.11", frameworks={"torch": "2"}, libraries={}, drivers={}, git_revision=None, image=None
    ),
    missing={"cpu.vendor": "not told"},
)  # fmt: skip


def test_fields_events_phases_and_outcomes_are_in_it() -> None:
    words = {"schema", "seed", "usable_cores", "heartbeat_s", "device_uuids", "run_start", "warmup", "ok", "torch"}
    assert words <= record_vocabulary()


@pytest.mark.parametrize("name", ["memory", "model", "torch", "schema", "software", "os", "usable_cores"])
def test_a_record_stays_itself_whatever_user_and_host_are_called(name: str) -> None:
    redactor = Redactor(user=name, host=name, vocabulary=record_vocabulary())
    redacted = redactor.redact(SYSTEM.model_dump(by_alias=True, mode="json"))
    assert System.model_validate(redacted) == SYSTEM


def test_without_it_the_record_would_break() -> None:
    assert "<user>" in Redactor(user="memory").redact(SYSTEM.model_dump(by_alias=True, mode="json"))
