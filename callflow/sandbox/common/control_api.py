"""An emulated carrier on its own: routes to steer it from outside."""

from __future__ import annotations

import io
import sys
import wave
from array import array
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec

from callflow.media.g711 import pcm16_to_ulaw
from callflow.sandbox.common.faults import CarrierFaults
from callflow.sandbox.common.http_server import Request, Response, json_response
from callflow.sandbox.common.phone import Phone


class Leg(Protocol):
    phone: Phone
    faults: Any

    @property
    def state(self) -> str: ...

    def ids(self) -> dict[str, str]: ...

    def story(self) -> str: ...

    async def hang_up(self) -> None: ...

    async def press(self, digit: str) -> None: ...


class Carrier(Protocol):
    faults: Any

    @property
    def calls(self) -> Mapping[str, Any]:
        """By the id that the carrier's API knows them by."""

    def log(self) -> dict[str, Any]: ...

    def key(self) -> dict[str, Any]: ...

    async def ring(self, **numbers: Any) -> Any: ...


class ControlRoutes:
    """What lies under /sandbox/ and does not exist at the carrier.

    POST /sandbox/ring {"from", "to"}; POST /sandbox/calls/{id}/hang_up, /say (body: raw µ-law or a WAV file) and
    /press {"digit"}; PUT /sandbox/faults and /sandbox/calls/{id}/faults; GET /sandbox/calls, /sandbox/log and
    /sandbox/key. Whoever reaches the port may use them, so the port belongs on the loopback interface.
    """

    def __init__(self, carrier: Carrier, faults: type[CarrierFaults]) -> None:
        self._carrier, self._faults = carrier, faults

    async def handle(self, request: Request) -> Response:
        try:
            return json_response(200, await self._route(request))
        except LookupError as error:
            return json_response(404, {"error": str(error)})
        except (ValueError, TypeError, AttributeError, EOFError, wave.Error) as error:
            return json_response(400, {"error": str(error)})

    async def _route(self, request: Request) -> Any:
        carrier = self._carrier
        parts = [unquote(part) for part in request.path.removeprefix("/sandbox/").split("/")]
        match request.method, parts:
            case "POST", ["ring"]:
                asked = _object(request.body)
                numbers = {f"{name}_number": asked[name] for name in ("from", "to") if name in asked}
                return (await carrier.ring(**numbers)).ids()
            case "GET", ["calls"]:
                return {"calls": [{**call.ids(), "story": call.story()} for call in carrier.calls.values()]}
            case "PUT", ["faults"]:
                carrier.faults = self._faults.from_json(_object(request.body))
                return carrier.faults.to_json()
            case "GET", ["log"]:
                return carrier.log()
            case "GET", ["key"]:
                return carrier.key()
            case method, ["calls", name, act] if name in carrier.calls:
                return await self._act(method, carrier.calls[name], act, request.body)
        raise LookupError(f"nothing here: {request.method} {request.path}")

    async def _act(self, method: str, call: Leg, act: str, body: bytes) -> Any:
        match method, act:
            case "POST", "hang_up":
                await call.hang_up()
            case "POST", "say":
                call.phone.say(ulaw_of(body))
            case "POST", "press":
                await call.press(str(_object(body)["digit"]))
            case "PUT", "faults":
                call.faults = self._faults.from_json(_object(body))
            case _:
                raise LookupError(f"nothing here: {method} {act}")
        return {"state": call.state}


def ulaw_of(audio: bytes) -> bytes:
    """Raw µ-law as it is; of a WAV file (16 bit, 8, 16, 24, 32, 40 or 48 kHz) the first channel, at 8 kHz."""
    if audio[:4] != b"RIFF":
        return audio
    with wave.open(io.BytesIO(audio)) as source:
        rate = source.getframerate()
        if source.getsampwidth() != 2 or rate % 8000:
            raise ValueError("only 16-bit WAV files with a sample rate that is a multiple of 8000 Hz")
        samples = array("h", source.readframes(source.getnframes()))
        if sys.byteorder == "big":
            samples.byteswap()
        picked = samples[:: source.getnchannels() * (rate // 8000)]
    if sys.byteorder == "big":
        picked.byteswap()
    return pcm16_to_ulaw(picked.tobytes())


def _object(body: bytes) -> dict[str, Any]:
    value = msgspec.json.decode(body) if body else {}
    if not isinstance(value, dict):
        raise TypeError("the body must be a JSON object")
    return value
