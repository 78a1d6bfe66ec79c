"""The emulator on its own: routes to steer it from outside, and a server for the command line."""

from __future__ import annotations

import asyncio
import io
import sys
import wave
from array import array
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from callflow.media.g711 import pcm16_to_ulaw
from callflow.sandbox.http import Request, Response, json_response
from callflow.sandbox.telnyx.faults import Faults
from callflow.sandbox.telnyx.switch import CONNECTION_ID


if TYPE_CHECKING:
    from callflow.sandbox.telnyx import Telnyx


class ControlRoutes:
    """What lies outside /v2 and does not exist at the carrier.

    POST /sandbox/ring {"from", "to"}; POST /sandbox/calls/{id}/hang_up, /say (body: raw µ-law or a WAV file) and
    /press {"digit"}; PUT /sandbox/faults and /sandbox/calls/{id}/faults; GET /sandbox/calls, /sandbox/log and
    /sandbox/key. Whoever reaches the port may use them, so the port belongs on the loopback interface.
    """

    def __init__(self, telnyx: Telnyx) -> None:
        self._telnyx = telnyx

    async def handle(self, request: Request) -> Response:
        try:
            return json_response(200, await self._route(request))
        except LookupError as error:
            return json_response(404, {"error": str(error)})
        except (ValueError, TypeError, AttributeError, EOFError, wave.Error) as error:
            return json_response(400, {"error": str(error)})

    async def _route(self, request: Request) -> Any:
        telnyx = self._telnyx
        parts = [unquote(part) for part in request.path.removeprefix("/sandbox/").split("/")]
        match request.method, parts:
            case "POST", ["ring"]:
                asked = _object(request.body)
                numbers = {f"{name}_number": asked[name] for name in ("from", "to") if name in asked}
                call = await telnyx.ring(**numbers)
                return {
                    "call_control_id": call.control_id,
                    "call_leg_id": call.leg_id,
                    "call_session_id": call.session_id,
                }
            case "GET", ["calls"]:
                return {
                    "calls": [{"call_control_id": key, "story": call.story()} for key, call in telnyx.calls.items()]
                }
            case "PUT", ["faults"]:
                telnyx.faults = Faults.from_json(_object(request.body))
                return telnyx.faults.to_json()
            case "GET", ["log"]:
                return telnyx.log()
            case "GET", ["key"]:
                return {"public_key": telnyx.public_key, "api_key": telnyx.api_key, "base_url": telnyx.base_url}
            case method, ["calls", control_id, act] if control_id in telnyx.calls:
                return await self._act(method, control_id, act, request.body)
        raise LookupError(f"nothing here: {request.method} {request.path}")

    async def _act(self, method: str, control_id: str, act: str, body: bytes) -> Any:
        call = self._telnyx.calls[control_id]
        match method, act:
            case "POST", "hang_up":
                await call.hang_up()
            case "POST", "say":
                call.phone.say(ulaw_of(body))
            case "POST", "press":
                await call.press(str(_object(body)["digit"]))
            case "PUT", "faults":
                call.faults = Faults.from_json(_object(body))
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


async def serve(
    host: str = "127.0.0.1",
    port: int = 6100,
    webhook_url: str = "http://127.0.0.1:6000/webhooks",
    api_key: str | None = None,
    *,
    faults: Faults | None = None,
) -> None:
    """Runs until it is cancelled. Prints what to put into the application's environment."""
    from callflow.sandbox.telnyx import DEFAULT_API_KEY, Telnyx

    async with Telnyx(
        webhook_url=webhook_url, api_key=api_key or DEFAULT_API_KEY, host=host, port=port, faults=faults
    ) as telnyx:
        root = telnyx.base_url.removesuffix("/v2")
        print(
            f"Emulated Telnyx on {root}; webhooks go to {webhook_url}\n\n"
            f"TELNYX_API_BASE={telnyx.base_url}\n"
            f"TELNYX_API_KEY={telnyx.api_key}\n"
            f"TELNYX_PUBLIC_KEY={telnyx.public_key}\n"
            f"TELNYX_CONNECTION_ID={CONNECTION_ID}\n\n"
            f'Ring:  curl -X POST {root}/sandbox/ring -d \'{{"from": "+15550100001", "to": "+15550100002"}}\'',
            flush=True,
        )
        await asyncio.Event().wait()
