"""The Redfish meter against a server of this machine that answers as a controller would."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from oildrop.harness.meters.interface import Meter, MeterError
from oildrop.harness.meters.redfish import RedfishMeter, find_power, https_get, open_redfish, power_of

CHASSIS = "/redfish/v1/Chassis"
EXPECTED = "Basic " + base64.b64encode(b"reader:secret").decode()


class Controller:
    """Resources by path; asks for a name and password."""

    def __init__(self) -> None:
        self.resources: dict[str, Any] = {
            CHASSIS: {"Members": [{"@odata.id": f"{CHASSIS}/Drawer"}, {"@odata.id": f"{CHASSIS}/1/"}]},
            f"{CHASSIS}/1/Power": {"PowerControl": [{"PowerConsumedWatts": 612.0}]},
        }
        self.raw: bytes | None = None
        controller = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body, status = controller.answer(self.path, self.headers.get("Authorization"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, path: str, authorization: str | None) -> tuple[bytes, int]:
        if authorization != EXPECTED:
            return b"{}", 401
        if path not in self.resources:
            return b"{}", 404
        return self.raw or json.dumps(self.resources[path]).encode(), 200

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OILDROP_REDFISH": f"http://127.0.0.1:{self.server.server_port}",
            "OILDROP_REDFISH_USER": "reader",
            "OILDROP_REDFISH_PASSWORD": "secret",
        }


@pytest.fixture
def controller() -> Iterator[Controller]:
    made = Controller()
    yield made
    made.server.shutdown()
    made.server.server_close()


def only(meters: list[Meter]) -> Meter:
    (meter,) = meters
    return meter


def test_the_power_of_the_first_chassis_that_says_it(controller: Controller) -> None:
    meter = only(open_redfish(controller.environment))
    assert [tuple(reading) for reading in meter.sample()] == [("power_w", "chassis", "node", 612.0)]
    assert meter.sample() == ()
    info = meter.info()
    assert (info.status, info.scope) == ("measured", "node")
    assert "127.0.0.1" not in repr(info) and "secret" not in repr(info)
    meter.close()


@pytest.mark.parametrize(
    ("said", "watts"),
    [
        ({"PowerControl": [{"PowerConsumedWatts": 612}]}, 612.0),
        ({"PowerWatts": {"Reading": 431.5}}, 431.5),
        ({"Reading": 433.2, "ReadingUnits": "W"}, 433.2),
        ({"Reading": 40, "ReadingUnits": "Cel"}, None),
        ({"PowerControl": [{"PowerConsumedWatts": None}]}, None),
        ({"PowerControl": []}, None),
        ({"PowerWatts": {"Reading": -1}}, None),
        ({"Reading": True, "ReadingUnits": "W"}, None),
        ([], None),
    ],
)
def test_the_three_kinds_of_answers(said: Any, watts: float | None) -> None:
    assert power_of(said) == watts


def test_a_named_resource_is_asked_itself(controller: Controller) -> None:
    controller.resources["/redfish/v1/Chassis/1/Sensors/Total"] = {"Reading": 77.0, "ReadingUnits": "W"}
    environment = controller.environment
    environment["OILDROP_REDFISH"] += "/redfish/v1/Chassis/1/Sensors/Total"
    meter = only(open_redfish(environment))
    assert meter.sample()[0].value == 77.0
    meter.close()


def test_without_address_there_is_no_such_meter() -> None:
    assert open_redfish({}) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://bmc.example", "must be https://HOST"),
        ("bmc.example", "must be https://HOST"),
        ("https://reader:secret@bmc.example", "holds a name or password"),
    ],
)
def test_an_address_that_would_show_the_password(address: str, message: str) -> None:
    reason = only(open_redfish({"OILDROP_REDFISH": address})).info().reason or ""
    assert message in reason and "secret" not in reason


def test_a_wrong_password_names_the_variables(controller: Controller) -> None:
    environment = {**controller.environment, "OILDROP_REDFISH_PASSWORD": "guess"}
    reason = only(open_redfish(environment)).info().reason or ""
    assert "refuses (401); set OILDROP_REDFISH_USER" in reason and "guess" not in reason


def test_no_power_anywhere(controller: Controller) -> None:
    del controller.resources[f"{CHASSIS}/1/Power"]
    with pytest.raises(MeterError, match="no chassis says its power"):
        find_power(https_get(controller.environment["OILDROP_REDFISH"], controller.environment))


def test_an_answer_that_is_not_json(controller: Controller) -> None:
    controller.raw = b"<html>"
    assert "is not JSON" in (only(open_redfish(controller.environment)).info().reason or "")


def test_nobody_answers() -> None:
    reason = only(open_redfish({"OILDROP_REDFISH": "http://127.0.0.1:1"})).info().reason or ""
    assert "does not answer (ConnectionRefusedError)" in reason


def test_a_file_of_authorities_that_is_none() -> None:
    environment = {"OILDROP_REDFISH": "https://bmc.example", "OILDROP_REDFISH_CA": "/nowhere/ca.pem"}
    assert "OILDROP_REDFISH_CA names cannot be read" in (only(open_redfish(environment)).info().reason or "")


def answers(*values: float | str) -> Any:
    """A controller that gives one answer a question; a text is a failure."""
    rest = list(values)

    def get(path: str) -> Any:
        value = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(value, str):
            raise MeterError(value)
        return {"PowerWatts": {"Reading": value}}

    return get


def wait_until(condition: Any, limit_s: float = 10.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.002)


def test_its_period_is_that_of_changes() -> None:
    meter = RedfishMeter(answers(1.0, 2.0, 3.0, 3.0), "r", pause_s=0.01)
    wait_until(lambda: meter.info().update_period_s is not None)
    period_s = meter.info().update_period_s
    meter.close()
    assert period_s is not None and 0.005 < period_s < 5


def test_one_failure_is_passed_over_and_three_end_the_meter() -> None:
    meter = RedfishMeter(answers(1.0, "busy", "busy", 2.0, "gone"), "r", pause_s=0.001)
    values: list[float] = []

    def ended() -> bool:
        try:
            values.extend(reading.value for reading in meter.sample())
        except MeterError as error:
            assert "3 questions in a row failed, the last because gone" in str(error)
            return True
        return False

    wait_until(ended)
    assert set(values) <= {1.0, 2.0}
    meter.close()
