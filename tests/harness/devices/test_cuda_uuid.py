"""Which NVIDIA device a framework without UUIDs drives: only what is certain is said."""

from __future__ import annotations

import pytest

from oildrop.harness.devices import cuda_uuid
from oildrop.harness.devices.cuda_uuid import certain_uuid, first_cuda_uuid
from oildrop.harness.meters.isolation import Answer

ONE, TWO = "GPU-11112222-a", "GPU-11113333-b"


@pytest.mark.parametrize(
    ("environment", "driver", "expected"),
    [
        ({}, [ONE], ONE),
        ({"CUDA_VISIBLE_DEVICES": "0"}, [ONE], ONE),
        ({}, [ONE, TWO], None),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [ONE, TWO], None),
        ({"CUDA_VISIBLE_DEVICES": TWO}, [ONE, TWO], TWO),
        ({"CUDA_VISIBLE_DEVICES": "GPU-11113,0"}, [ONE, TWO], TWO),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1111"}, [ONE, TWO], None),
        ({"CUDA_VISIBLE_DEVICES": "MIG-7"}, [ONE, TWO], "MIG-7"),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [ONE, TWO], ONE),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,0"}, [ONE, TWO], TWO),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "9"}, [ONE, TWO], None),
        ({}, [], None),
    ],
)
def test_a_uuid_is_given_only_where_one_device_can_be_meant(environment, driver, expected: str | None) -> None:
    found = certain_uuid(environment, driver)
    assert found.value == expected
    assert (found.reason is None) == (expected is not None)


def test_a_driver_that_does_not_answer_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_uuid, "describe_in_child", lambda: Answer(reason="no answer within 5 s"))
    assert first_cuda_uuid({}).reason == "no answer within 5 s"
    monkeypatch.setattr(cuda_uuid, "describe_in_child", lambda: Answer(value={"devices": [{"uuid": ONE}]}))
    assert first_cuda_uuid({}).value == ONE
