"""A machine made of files in a temporary folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from oildrop.harness.system.source import Host

HostMaker = Callable[..., Host]


@pytest.fixture
def make_host(tmp_path: Path) -> HostMaker:
    def make(
        files: Mapping[str, str] | None = None,
        *,
        commands: Mapping[str, str] | None = None,
        system: str = "Linux",
        machine: str = "x86_64",
        cpu_count: int = 4,
        affinity_count: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Host:
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        def run(arguments: Sequence[str]) -> str | None:
            return (commands or {}).get(" ".join(arguments))

        return Host(
            root=tmp_path,
            system=system,
            machine=machine,
            release="6.1.0-test",
            cpu_count=cpu_count,
            affinity_count=affinity_count,
            environment=environment or {},
            run=run,
        )

    return make
