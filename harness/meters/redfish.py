"""Power of the whole machine from its management controller (BMC) over Redfish; scope `node`.

Where to ask and with which name comes from the environment alone, and none of it enters a bundle. A controller takes
tenths of seconds to answer, so a thread asks and the sampler takes what is new.

Source: DMTF, Redfish schemas Power 1.7, EnvironmentMetrics 1.3, Sensor 1.9 (DSP0268, 2024).
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError, MeterInfo, Reading
from oildrop.harness.meters.lines import Changes

ADDRESS, USER, PASSWORD, AUTHORITY = (f"OILDROP_REDFISH{part}" for part in ("", "_USER", "_PASSWORD", "_CA"))
"""`https://HOST[/redfish/v1/…]`, who asks, and the file of the authority that signed the controller's certificate."""

LIMIT_S = 5.0
PAUSE_S = 1.0
FAILURE_LIMIT = 3
"""So many questions in a row without an answer end the meter."""

ROOT = "/redfish/v1"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Get = Callable[[str], Any]


class RedfishMeter:
    """Power of the machine as its controller says it."""

    def __init__(self, get: Get, resource: str, pause_s: float = PAUSE_S) -> None:
        """Ask once, then go on asking from a thread. Raises MeterError when there is no power at `resource`."""
        self._get, self._resource, self._pause_s = get, resource, pause_s
        self._changes = Changes()
        self._error: str | None = None
        self._power_w: float | None = self._ask()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redfish", daemon=True)
        self._thread.start()

    def info(self) -> MeterInfo:
        """Its period is that of changes, as seen so far."""
        return MeterInfo(
            name="redfish",
            status="measured",
            scope="node",
            method="Redfish: the management controller's power of the chassis",
            device="chassis",
            update_period_s=self._changes.period_s,
        )

    def sample(self) -> Sequence[Reading]:
        """The newest answer, once. Raises MeterError when the controller has stopped answering."""
        if self._error is not None:
            raise MeterError(self._error)
        power_w, self._power_w = self._power_w, None
        return () if power_w is None else (Reading("power_w", "chassis", "node", power_w),)

    def close(self) -> None:
        """End the thread; a question under way ends by its own limit."""
        self._stop.set()

    def _ask(self) -> float:
        power_w = power_of(self._get(self._resource))
        if power_w is None:
            raise MeterError(f"the management controller says no power at {self._resource}")
        self._changes.note(power_w)
        return power_w

    def _run(self) -> None:
        failures = 0
        while not self._stop.wait(self._pause_s):
            try:
                self._power_w = self._ask()
                failures = 0
            except MeterError as error:
                failures += 1
                if failures >= FAILURE_LIMIT:
                    self._error = f"{failures} questions in a row failed, the last because {error}"
                    return


def open_redfish(environment: Mapping[str, str]) -> list[Meter]:
    """The meter that the environment asks for, or an empty one with the reason; none where it asks for none."""
    address = environment.get(ADDRESS, "")
    if not address:
        return []
    try:
        get = https_get(address, environment)
        path = urlsplit(address).path.rstrip("/")
        return [RedfishMeter(get, path if path not in ("", ROOT) else find_power(get))]
    except MeterError as error:
        return [EmptyMeter("redfish", str(error))]


def find_power(get: Get) -> str:
    """The first resource of the first chassis that says its power. Raises MeterError when none does."""
    for member in get(f"{ROOT}/Chassis").get("Members", ()):
        chassis = str(member.get("@odata.id", "")).rstrip("/")
        for name in ("EnvironmentMetrics", "Power"):
            try:
                if power_of(get(f"{chassis}/{name}")) is not None:
                    return f"{chassis}/{name}"
            except MeterError:
                continue  # This chassis has no such resource.
    raise MeterError(f"no chassis says its power; name a resource that does in {ADDRESS}")


def power_of(said: Any) -> float | None:
    """Watts in an answer of kind Power, EnvironmentMetrics or Sensor; None where it holds none."""
    if not isinstance(said, dict):
        return None
    controls = said.get("PowerControl")
    if isinstance(controls, list) and controls and isinstance(controls[0], dict):
        return _watts(controls[0].get("PowerConsumedWatts"))
    if isinstance(said.get("PowerWatts"), dict):
        return _watts(said["PowerWatts"].get("Reading"))
    if said.get("ReadingUnits") == "W":
        return _watts(said.get("Reading"))
    return None


def https_get(address: str, environment: Mapping[str, str]) -> Get:
    """A function that gets one resource as JSON. Raises MeterError for an address that would show the password."""
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise MeterError(f"{ADDRESS} holds a name or password; set {USER} and {PASSWORD} instead")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        raise MeterError(f"{ADDRESS} must be https://HOST, so that nobody reads the password on the way")
    headers = {"Accept": "application/json"}
    if environment.get(USER):
        pair = f"{environment[USER]}:{environment.get(PASSWORD, '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    connect = _connector(parts.scheme, parts.hostname, parts.port, environment.get(AUTHORITY) or None)

    def get(path: str) -> Any:
        connection = connect()
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise MeterError(_refusal(answer.status, path))
            return json.loads(answer.read())
        except ssl.SSLCertVerificationError as error:
            raise MeterError(
                f"the controller's certificate is not trusted; name its authority in {AUTHORITY}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise MeterError(f"the management controller does not answer ({type(error).__name__})") from error
        except ValueError as error:
            raise MeterError(f"the management controller's answer at {path} is not JSON") from error
        finally:
            connection.close()

    return get


def _connector(
    scheme: str, host: str, port: int | None, authority: str | None
) -> Callable[[], http.client.HTTPConnection]:
    if scheme == "http":
        return lambda: http.client.HTTPConnection(host, port, timeout=LIMIT_S)
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise MeterError(f"the file that {AUTHORITY} names cannot be read as certificates") from error
    return lambda: http.client.HTTPSConnection(host, port, timeout=LIMIT_S, context=context)


def _refusal(status: int, path: str) -> str:
    if status in (401, 403):
        return f"the management controller refuses ({status}); set {USER} and {PASSWORD} of one who may read {path}"
    return f"the management controller answers {status} at {path}"


def _watts(value: Any) -> float | None:
    """A finite number of at least 0, else None; a controller without a sensor says null."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)
