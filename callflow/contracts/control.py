"""The control endpoint's protocol: who may ask, what is answered, and how an answer is read. Pure.

A server that carries calls posts an event, such as `{"type": "session.created"}`, and is answered
`{"events": [{"type": "session.update", "session": {…}}]}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import msgspec

from callflow.contracts.errors import ControlFailed
from callflow.contracts.printable import line


AT_START: Final = "session.created"
"""The event of a call whose session is about to begin."""
MOST_BYTES: Final = 256 << 10
"""Of an answer."""
SIGNATURES: Final = ("x-openai-signature", "x-openai-signature-256")
TIMES: Final = ("x-openai-signature-timestamp", "x-openai-timestamp")
SECRET: Final = "x-webhook-secret"
_PREFIXES: Final = ("sha256=", "v1=", "v1,")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_MOST_EVENTS: Final = 20
_MOST_PROBLEMS: Final = 10


@dataclass(frozen=True, slots=True)
class Checks:
    """What a request must have. With neither secret nobody is let in."""

    secret: str = field(default="", repr=False)
    signing: str = field(default="", repr=False)
    tolerance: float = 300
    """Seconds that the time of a signature may differ from ours."""
    untimed: bool = False
    """A signature of the body alone counts as well, although it can be repeated for ever."""

    @property
    def are_there(self) -> bool:
        """Whether anything is checked."""
        return bool(self.secret or self.signing)

    def allow(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Return whether each of them is right. `headers`: names in small letters. `now`: Unix time, in seconds."""
        told = self._has_secret(headers) if self.secret else True
        signed = self._is_signed(headers, body, now) if self.signing else True
        return self.are_there and told and signed

    def _has_secret(self, headers: Mapping[str, str]) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [bearer.strip()] if scheme.lower() == "bearer" else []
        given += [headers[SECRET].strip()] if SECRET in headers else []
        # All of them, so that the time does not tell which was right.
        right = [hmac.compare_digest(_bytes(each), _bytes(self.secret)) for each in given]
        return bool(right) and all(right)

    def _is_signed(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        digests = {read_signature(headers[name].strip()) for name in SIGNATURES if name in headers}
        times = {headers[name].strip() for name in TIMES if name in headers}
        digest = digests.pop() if len(digests) == 1 else None  # the same one, however it is spelt
        if digest is None or len(times) > 1:
            return False
        if not times:
            return self.untimed and hmac.compare_digest(digest, _digest(self.signing, body))
        at = times.pop()
        if not _TIME.fullmatch(at) or abs(now - int(at)) > self.tolerance:
            return False
        return hmac.compare_digest(digest, _digest(self.signing, at.encode() + b"." + body))

    def headers(self, body: bytes, now: float) -> dict[str, str]:
        """Return the headers of a request that such checks let in. `now`: Unix time, in seconds."""
        found = {}
        if self.secret:
            found["Authorization"] = f"Bearer {self.secret}"
        if self.signing:
            at = str(int(now))
            found[TIMES[0]] = at
            found[SIGNATURES[0]] = "sha256=" + _digest(self.signing, at.encode() + b"." + body).hex()
        return found


def read_signature(text: str) -> bytes | None:
    """Return the 32 bytes of a signature: hexadecimal or base64, with a prefix or without; None: it is none."""
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == hashlib.sha256().digest_size else None


def _digest(secret: str, signed: bytes) -> bytes:
    return hmac.new(_bytes(secret), signed, hashlib.sha256).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# Asking about our own calls


Outcome = Literal["answered", "late", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlQuestion:
    """What happens to a call."""

    event: str
    call: str
    carrier: str = ""
    from_number: str = ""
    to_number: str = ""
    direction: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Of the event, as the journal has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """What became of a question. One that was late or has failed changes nothing."""

    outcome: Outcome
    ms: int = 0
    why: str = ""
    """What went wrong; "": nothing."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """By names of settings, as these have checked them."""
    problems: tuple[str, ...] = ()
    """A line for each part of the answer that is left out."""


class Control(Protocol):
    """Asks the control endpoint."""

    at_start: bool
    """It is asked while a call rings."""
    seconds: float
    """The longest time that `ask` takes."""

    async def ask(self, question: ControlQuestion) -> Controlled | None:
        """Ask, and return what came of it in time; None: there was nobody to ask. Never raises but when it is
        cancelled."""


def read_answer(answer: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the sessions in the events of an answer, and a line for each other event. Raises ControlFailed."""
    if len(answer) > MOST_BYTES:
        raise ControlFailed(f"its answer has more than {MOST_BYTES >> 10} kB")
    try:
        told = msgspec.json.decode(answer or b"{}")
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ControlFailed("its answer is no JSON") from None
    events = told.get("events", []) if isinstance(told, dict) else None
    if not isinstance(events, list):
        raise ControlFailed("its answer has no list of events")
    sessions: list[dict[str, Any]] = []
    problems: list[str] = []
    for event in events[:_MOST_EVENTS]:
        kind = event.get("type") if isinstance(event, dict) else None
        session = event.get("session") if isinstance(event, dict) else None
        if kind == "session.update" and isinstance(session, dict):
            sessions.append(session)
        elif len(problems) < _MOST_PROBLEMS:
            shown = line(kind)[:60] if isinstance(kind, str) else "an event"
            problems.append(f"{shown} is left out: only session.update with a session is applied")
    return sessions, problems
