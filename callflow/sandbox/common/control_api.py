"""HTTP routes under /sandbox/ that control an emulated carrier from another process."""

from __future__ import annotations

import base64
import io
import sys
import wave
from array import array
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec

from callflow.media.g711 import pcm16_to_ulaw
from callflow.sandbox.common.callee import Callee
from callflow.sandbox.common.faults import CarrierFaults
from callflow.sandbox.common.http_server import Request, Response, json_response
from callflow.sandbox.common.phone import Phone, loud_bytes


class ControlledCall(Protocol):
    """The part of a call that the routes use."""

    phone: Phone
    faults: Any

    @property
    def state(self) -> str: ...

    def ids(self) -> dict[str, str]: ...

    def story(self) -> str: ...

    async def hang_up(self) -> None: ...

    async def press(self, digit: str) -> None: ...


class ControlledCarrier(Protocol):
    """The part of an emulated carrier that the routes use. `calls` is by the id that the carrier's API uses."""

    faults: Any

    @property
    def calls(self) -> Mapping[str, Any]: ...

    def log(self) -> dict[str, Any]: ...

    def key(self) -> dict[str, Any]: ...

    async def ring(self, **numbers: Any) -> Any: ...

    @property
    def callees(self) -> dict[str, Callee]: ...

    @property
    def callee(self) -> Callee: ...

    @callee.setter
    def callee(self, what: Callee) -> None: ...

    @property
    def account(self) -> Any: ...

    @property
    def timing(self) -> Any: ...


class ControlRoutes:
    """The routes; none of them exists at the real carrier, and none asks for a password: listen on loopback only.

    - `POST /sandbox/ring` {"from", "to"}: a new incoming call; answers with its ids.
    - `POST /sandbox/calls/{id}/hang_up`, `/say` (body: raw µ-law or a WAV file), `/press` {"digit"}: the human acts.
    - `PUT /sandbox/faults`, `PUT /sandbox/calls/{id}/faults`: replace the faults of all calls, or of one.
    - `PUT /sandbox/callee` {"does": "voicemail", …}: what every phone does that is dialled (`Callee`; `says` is base64
      of µ-law or of a WAV file). `PUT /sandbox/callees/{number}`: one phone; `DELETE` undoes it. `GET` shows them all.
    - `GET /sandbox/calls/{id}/message`: what a voicemail has recorded.
    - `GET`, `PUT /sandbox/account`: the state of the account: its limits, its money, what it may dial.
    - `GET`, `PUT /sandbox/timing`: how long the carrier takes. What a `PUT` of either does not name stays as it is.
    - `GET /sandbox/calls`, `/sandbox/log`, `/sandbox/key`: what happened, and what the application has to be given.
    """

    def __init__(self, carrier: ControlledCarrier, faults: type[CarrierFaults]) -> None:
        self._carrier, self._faults = carrier, faults

    async def handle(self, request: Request) -> Response:
        """Answer one request: 200, 404 for what does not exist, 400 for a body that cannot be used."""
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
            case "PUT", ["callee"]:
                carrier.callee = _callee(request.body)
                return carrier.callee.to_json()
            case "GET", ["callees"]:
                numbers = {number: callee.to_json() for number, callee in carrier.callees.items()}
                return {"callee": carrier.callee.to_json(), "callees": numbers}
            case "PUT", ["callees", number]:
                carrier.callees[number] = _callee(request.body)
                return carrier.callees[number].to_json()
            case "DELETE", ["callees", number]:
                carrier.callees.pop(number, None)
                return {}
            case ("GET" | "PUT") as method, [("account" | "timing") as name]:
                state = carrier.account if name == "account" else carrier.timing
                if method == "PUT":
                    _set(name, state, _object(request.body))
                return asdict(state)
            case method, ["calls", name, act] if name in carrier.calls:
                return await self._act(method, carrier.calls[name], act, request.body)
        raise LookupError(f"nothing here: {request.method} {request.path}")

    async def _act(self, method: str, call: ControlledCall, act: str, body: bytes) -> Any:
        match method, act:
            case "POST", "hang_up":
                await call.hang_up()
            case "POST", "say":
                call.phone.say(ulaw_of(body))
            case "POST", "press":
                await call.press(str(_object(body)["digit"]))
            case "GET", "message":
                message, began = call.phone.message, call.phone.message_at is not None
                heard = {"seconds": len(message) / 8000, "loud_ms": loud_bytes(message) / 8}
                return {"recording": began, **heard, "ulaw": base64.b64encode(message).decode()}
            case "PUT", "faults":
                call.faults = self._faults.from_json(_object(body))
            case _:
                raise LookupError(f"nothing here: {method} {act}")
        return {"state": call.state}


def ulaw_of(audio: bytes) -> bytes:
    """Return µ-law at 8 kHz: raw bytes unchanged; of a WAV file (16 bit, n × 8 kHz) the first channel.

    Raises ValueError, EOFError or wave.Error for a WAV file that cannot be read.
    """
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


def _callee(body: bytes) -> Callee:
    callee = Callee.from_json(_object(body))
    callee.says = ulaw_of(callee.says)
    return callee


def _set(name: str, state: Any, values: dict[str, Any]) -> None:
    """Change some fields of a dataclass. Raises ValueError, having changed nothing, for what is unknown or wrong."""
    known = {each.name for each in fields(state)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{name}: there is no {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    try:
        changed = msgspec.convert({**asdict(state), **values}, type(state))
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {error}") from error
    for each in values:
        setattr(state, each, getattr(changed, each))


def _object(body: bytes) -> dict[str, Any]:
    value = msgspec.json.decode(body) if body else {}
    if not isinstance(value, dict):
        raise TypeError("the body must be a JSON object")
    return value
