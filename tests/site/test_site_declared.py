"""A server's machine on the page: by its declared name, apart from the machine that made the load."""

from __future__ import annotations

import pytest

from oildrop.harness.system.probe import probe_system
from oildrop.rules.system import Declared, System
from oildrop.site.pages.labels import system_name
from oildrop.site.pages.system_page import sections


@pytest.fixture(scope="module")
def plain_system() -> System:
    return probe_system()


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        (Declared(endpoint_id="e" * 16, name="rack 7", accelerators=("2 x B200",)), "rack 7 (declared)"),
        (Declared(endpoint_id="e" * 16, accelerators=("2 x B200", "1 x L4")), "2 x B200 + 1 x L4 (declared)"),
        (Declared(endpoint_id="e" * 16), f"server {'e' * 16} (not described)"),
    ],
)
def test_a_server_goes_by_what_is_declared(declared: Declared, name: str, plain_system: System) -> None:
    assert system_name(plain_system.model_copy(update={"declared": declared}), "id") == name


def test_what_is_declared_stands_apart_from_what_was_probed(plain_system: System) -> None:
    declared = Declared(endpoint_id="e" * 16, memory_bytes=2**40, software={"vllm": "0.19"})
    titles = [title for title, _ in sections(plain_system.model_copy(update={"declared": declared}))]
    assert titles[0] == "The server's machine, as declared"
    assert all(title.startswith("The load's machine: ") for title in titles[1:])
    facts = dict(sections(plain_system.model_copy(update={"declared": declared}))[0][1])
    assert (facts["Name"], facts["Memory"], facts["Software"]) == ("not said", "1.00 TiB", "vllm 0.19")
    assert titles[0] not in [title for title, _ in sections(plain_system)]
