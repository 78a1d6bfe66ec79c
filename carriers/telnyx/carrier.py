"""Telnyx, Call Control v2: webhooks in, commands out.

Facts worth knowing here, all from Telnyx's documentation: the answer to a webhook carries nothing but its status, so
every command is a POST of its own; webhooks arrive unordered and repeated; `stream_bidirectional_mode` defaults to mp3
and must be `rtp` to be heard; `stream_codec` defaults to the leg's codec; a `command_id` is obeyed once within 60 s;
and an error 90018, or 404, says that the call is over.
"""

from __future__ import annotations

import base64
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callflow.contracts import commands, events
from callflow.contracts.carrier import (
    CarrierCallStatus,
    CarrierCan,
    CarrierRequest,
    Request,
    WebhookReply,
    WebhookRoute,
)
from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.errors import CarrierError, Forged, Malformed
from callflow.contracts.events import Event, LegIds, Signal
from carriers.common.http_client import Api
from carriers.telnyx.diagnostics import checkup
from carriers.telnyx.media import TelnyxMediaProtocol
from carriers.telnyx.webhooks import IDS, READERS, text


log = logging.getLogger(__name__)

TOLERANCE: Final = 300
"""Seconds that a webhook's timestamp may lie in the past or in the future."""
_ENDED: Final = "90018"
_STREAMING: Final = "90045"
"""To `streaming_start`: the call has a media stream already, as the carrier sees it."""
_NOT_STREAMING: Final = "90048"
_AGAIN: Final = uuid.UUID("0a3c9f7e-2c53-5d0e-9a41-6b1f4f5f5b11")
_PERSISTENT_RETRIES: Final = 6
"""For the commands that end a call: giving up on them leaves somebody on the line."""
_MOST_ACTIVE: Final = 250
"""Of one page, which is Telnyx's own bound."""
_MOST_BODY: Final = 1 << 20
"""Bytes of a webhook: client_state and custom headers may be long."""
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/]{86}==")
"""Base64 of 64 bytes."""
_TIMESTAMP: Final = re.compile(r"[0-9]{1,15}")
_SUCCESS: Final = b'{"success":true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class TelnyxConfig:
    """What the settings say of Telnyx; `carriers.registry` fills it in."""

    api_key: str = field(repr=False)
    public_key: bytes | None
    """The raw 32 bytes of the Ed25519 key that verifies webhooks; None: webhooks cannot be verified."""
    address: Callable[[], str]
    """Returns our public address (`https://host`), without a path."""
    api_base: str
    """The REST API's address, without a trailing slash."""
    allow_unsigned: bool
    """Take webhooks without a signature; for development only."""
    voice: str
    """The voice for spoken sentences, as Telnyx names it: `AWS.Polly.Joanna-Neural`."""
    language: str
    sentences: Mapping[str, str]
    """The text of each sentence that the `Speak` command may name."""
    target_legs: str
    """`self`, `opposite` or `both`. Telnyx's own default, `opposite`, plays to a leg that a call with one leg does not
    have."""
    connection_id: str
    """The id of our Voice API application; "": the only one, or the one that sends its webhooks to us."""
    seconds: float
    """For one try of one REST command."""
    retries: int
    """Further tries after the first one failed."""


class Telnyx:
    name = "telnyx"
    can: frozenset[CarrierCan] = frozenset({"speaks", "clears", "marks", "streams_on_request"})
    routes = (WebhookRoute("/webhooks", most_body=_MOST_BODY), WebhookRoute("/webhooks/", most_body=_MOST_BODY))
    preamble_seconds = 0.0

    def __init__(self, config: TelnyxConfig, *, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._key = Ed25519PublicKey.from_public_bytes(config.public_key) if config.public_key else None
        self._unknown: set[str] = set()
        self.api = Api(
            config.api_base,
            headers={"Authorization": f"Bearer {config.api_key}"},
            read_error=read_error,
            seconds=config.seconds,
            retries=config.retries,
        )

    # Webhooks

    def verify(self, request: Request) -> None:
        """Ed25519 over `timestamp|body`, with both headers as they came and the body as its raw bytes."""
        signature, timestamp = (
            request.headers.get(f"telnyx-{name}", "") for name in ("signature-ed25519", "timestamp")
        )
        if not signature and self._config.allow_unsigned:
            log.warning("ALLOW_UNSIGNED_WEBHOOKS: taking a Telnyx webhook without a signature")
            return
        if self._key is None:
            raise Forged("TELNYX_PUBLIC_KEY is not set, so no webhook can be verified")
        if not signature or not timestamp:
            raise Forged("the webhook carries no signature")
        if not (
            _SIGNATURE.fullmatch(signature) and timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16
        ):
            raise Forged("the webhook's signature is not Telnyx's")
        age = abs(self._clock() - int(timestamp))
        if age > TOLERANCE:
            raise Forged(f"the webhook is {age:.0f} s off; {TOLERANCE} s are allowed (is this machine's clock right?)")
        try:
            self._key.verify(base64.b64decode(signature), timestamp.encode() + b"|" + request.body)
        except InvalidSignature:
            raise Forged("the webhook's signature is not Telnyx's") from None

    def parse(self, request: Request) -> list[Signal]:
        try:
            document = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"not JSON: {error}") from None
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("event_type"), str):
            raise Malformed('no data.event_type: this needs an application with webhook_api_version "2"')
        payload = data.get("payload")
        if not isinstance(payload, dict):
            raise Malformed("no data.payload")
        kind: str = data["event_type"]
        for name in IDS:
            if not isinstance(payload.get(name), (str, NoneType)):
                raise Malformed(f"{kind[:80]} with a {name} that is no text")
        ids = LegIds(text(payload, "call_control_id"), text(payload, "call_leg_id"), text(payload, "call_session_id"))
        read = READERS.get(kind)
        if read is None:
            if kind not in self._unknown and len(self._unknown) < 1000:
                self._unknown.add(kind)
                log.info("Telnyx event %r is only recorded", kind[:80])
            if not ids.known():
                return []  # a message, a number, an account: no call's
            event: Event = events.CarrierNotice(kind=kind[:200])
        elif not ids.known():
            raise Malformed(f"{kind} names no call")
        else:
            event = read(payload)
        return [Signal(self.name, text(data, "id"), ids, event, text(data, "occurred_at"))]

    def verify_stream(self, request: Request) -> str:
        """Telnyx does not sign the handshake: the token in its path, and the secret in its first frame, must do."""
        return ""

    def reply(self, event: Event | None, orders: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        """Telnyx reads nothing but the status, so every order is left to be sent."""
        return WebhookReply(_SUCCESS, rest=tuple(orders))

    # Commands

    async def execute(self, order: CarrierRequest) -> None:
        if not order.ids.control:
            raise CarrierError("Telnyx has not told this call's call_control_id, so no command can be sent to it")
        action, body, last_word = self._say(order)
        body = {"command_id": order.id, "client_state": _base64(order.call), **body}
        path = f"/calls/{quote(order.ids.control, safe='')}/actions"
        try:
            await self.api.post(f"{path}/{action}", body, retries=_PERSISTENT_RETRIES if last_word else None)
        except CarrierError as error:
            if error.code == _STREAMING:
                await self._stream_anew(path, body)
            elif not (last_word and error.gone):
                raise

    async def _stream_anew(self, path: str, body: dict[str, Any]) -> None:
        """Telnyx still counts a stream whose socket is gone: stop that one, then ask again, as another command."""
        ids = {"command_id": str(uuid.uuid5(_AGAIN, body["command_id"])), "client_state": body["client_state"]}
        try:
            await self.api.post(f"{path}/streaming_stop", ids)
        except CarrierError as error:
            if error.code != _NOT_STREAMING:
                raise
        again = {**body, "command_id": str(uuid.uuid5(_AGAIN, ids["command_id"]))}
        await self.api.post(f"{path}/streaming_start", again)

    def _say(self, order: CarrierRequest) -> tuple[str, dict[str, Any], bool]:
        """Action, body, and whether it is a last word: one that has succeeded when the call is over already."""
        config, command = self._config, order.command
        match command:
            case commands.Answer():
                return "answer", {
                    **self._stream(order),
                    "send_silence_when_idle": True,
                    "webhook_url": f"{config.address()}{self.routes[0].path}",
                    "webhook_url_method": "POST",
                }, False  # fmt: skip
            case commands.StartStream():
                return "streaming_start", {**self._stream(order), "stream_auth_token": order.stream_secret}, False
            case commands.Speak():
                sentence = config.sentences.get(command.sentence, command.sentence)
                return "speak", {"payload": sentence, "voice": config.voice, "language": config.language}, False
            case commands.Reject():
                return "reject", {"cause": "USER_BUSY" if command.cause == "busy" else "CALL_REJECTED"}, True
            case commands.Hangup():
                return "hangup", {}, True
        raise CarrierError(f"Telnyx has no command for {command.name!r}")

    def _stream(self, order: CarrierRequest) -> dict[str, Any]:
        """Every value explicit: the defaults are traps (mp3, the leg's codec, the opposite leg)."""
        return {
            "stream_url": order.stream_url,
            "stream_track": "inbound_track",
            "stream_codec": "PCMU",
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_codec": "PCMU",
            "stream_bidirectional_target_legs": self._config.target_legs,
        }

    # Questions

    async def call_status(self, ids: LegIds) -> CarrierCallStatus:
        """Telnyx docs: `is_alive` is false before the answer as well, so that only `end_time` says that a call is over;
        a call that ended more than ten minutes ago is not known any more."""
        if not ids.control:
            raise CarrierError("Telnyx has not told this call's call_control_id, so it cannot be asked about it")
        try:
            answer = await self.api.request("GET", f"/calls/{quote(ids.control, safe='')}", retries=1)
        except CarrierError as error:
            if error.gone:
                return "gone"
            raise
        call = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(call, dict):
            raise CarrierError("Telnyx's answer about a call says nothing")
        if call.get("end_time"):
            return "gone"
        return "answered" if call.get("is_alive") else "ringing"

    async def active_calls(self) -> list[LegIds]:
        connection = self._config.connection_id
        if not connection:
            return []
        path = f"/connections/{quote(connection, safe='')}/active_calls"
        answer = await self.api.request("GET", path, params={"page[limit]": str(_MOST_ACTIVE)}, retries=1)
        calls = answer.get("data") if isinstance(answer, dict) else None
        found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        return [
            LegIds(text(call, "call_control_id"), text(call, "call_leg_id"), text(call, "call_session_id"))
            for call in found
        ]

    async def number_id(self, number: str) -> str:
        params = {"filter[phone_number]": number, "page[size]": "20"}  # finds also numbers that only hold these digits
        answer = await self.api.request("GET", "/phone_numbers", params=params, retries=1)
        numbers = answer.get("data") if isinstance(answer, dict) else None
        found = [one for one in numbers if isinstance(one, dict)] if isinstance(numbers, list) else []
        return next((text(one, "id", 64) for one in found if one.get("phone_number") == number), "")

    def checkup(self, outside: Outside) -> AsyncIterator[Finding]:
        config = self._config
        return checkup(
            self.api,
            outside,
            paths=[door.path for door in self.routes],
            connection_id=config.connection_id,
            verifies=config.public_key is not None,
        )

    def media_protocol(self) -> TelnyxMediaProtocol:
        return TelnyxMediaProtocol()

    async def close(self) -> None:
        await self.api.close()


def read_error(response: httpx.Response) -> CarrierError:
    """Telnyx's error shape: `{"errors": [{"code": "90018", "title": …, "detail": …}]}`, codes as strings."""
    code = title = ""
    try:
        errors = response.json().get("errors") or [{}]
        code, title = str(errors[0].get("code", "")), str(errors[0].get("title", ""))
    except (ValueError, AttributeError, TypeError, KeyError, IndexError, RecursionError):
        pass  # an answer from something in between: the status must do
    status = response.status_code
    gone = status == 404 or (status == 422 and code == _ENDED)
    return CarrierError(
        f"Telnyx refused the command: HTTP {status}{f' / {code} {title}' if code else ''}",
        status=status,
        code=code,
        gone=gone,
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
