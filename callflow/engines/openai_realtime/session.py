"""Configures one session: requests to the server, its confirmations and refusals, and the expiry.

A `session.update` is accepted as a whole or refused as a whole. The first update asks for everything. When an update is
refused, the next leaves out the field that the server names, then everything that a call can do without, then tools
that are not ours.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from callflow.contracts.engine import EngineCan, SessionContext, SessionExpiring
from callflow.engines.common.account import Account
from callflow.engines.common.channel import Channel
from callflow.engines.common.refused_fields import FieldPath
from callflow.engines.openai_realtime import session_config, session_refusal
from callflow.engines.openai_realtime.server_events import ServerEvent
from callflow.engines.openai_realtime.session_config import RealtimeConfig


log = logging.getLogger(__name__)

_FULL, _MINIMAL, _BARE = "session-full", "session-minimal", "session-bare"
"""Event ids of the first updates; `#` and a number follow if an update is repeated without a refused field."""
_CHANGE, _FORMATS = "session-later", "session-formats"
"""Event ids of updates in the middle of a session: any change, and another audio format."""
_SHORTEST_SECONDS: Final = 0.1
"""The earliest time after which a session is announced as expiring."""


class Session:
    """The configuration of one session, and the updates that the server has not answered yet."""

    def __init__(self, config: RealtimeConfig, context: SessionContext, account: Account, channel: Channel) -> None:
        self.config = config
        """The present configuration; `change` replaces it."""
        self.turn_detection = context.turn_detection
        """False: the caller cannot interrupt and gets no answer."""
        self.is_ready = False
        """The server has confirmed a session."""
        self._context, self._account, self._channel = context, account, channel
        self._transcribes = False
        self._left_out: tuple[FieldPath, ...] = ()
        """Fields that the server refuses; our updates do not contain them."""
        self._requested: dict[str, Any] = {}
        """The session that the newest of the first updates requested."""
        self._first = config
        """The configuration that it was made of."""
        self._refusals = 0
        self._updates: list[tuple[str, RealtimeConfig]] = []
        """Event id of each unanswered update, with the configuration before it."""
        self._expires_at: float | None = None
        """Unix time in seconds."""

    @property
    def can(self) -> frozenset[EngineCan]:
        """Return the engine's capabilities with the present configuration."""
        can: set[EngineCan] = {"cancels", "calls_tools", "updates", "sees_images"}
        can.add("plays_itself" if self._context.remote else "truncates")
        if self.turn_detection and self.config.interrupts_itself:
            can.add("interrupts_itself")
        if self.turn_detection and self.config.answers_itself:
            can.add("answers_itself")
        if self._transcribes:
            can.add("transcribes")
        return frozenset(can)

    @property
    def awaits_formats(self) -> bool:
        """Return whether another audio format was requested and the server has not answered."""
        return any(event_id == _FORMATS for event_id, _ in self._updates)

    # Requests

    def request(self) -> None:
        """Send the first update, without the fields that this account refused before."""
        full = session_config.session(self.config, self._present_context)
        self._left_out = self._account.refused_fields.recall(self._account_key, full)
        for path in self._left_out:
            self._channel.report("left_out", f"{session_refusal.shown(path)} was refused before and is left out")
        self._update(_FULL, full)

    def request_formats(self, audio: str) -> None:
        """Ask for another audio format, both ways: "pcmu" or "pcm24"."""
        self._update(_FORMATS, session_config.formats(audio))

    def send_turn_detection(self, on: bool) -> None:
        """Switch the vendor's turn detection on or off."""
        self._update(_CHANGE, session_config.turns(self.config, on))

    def change(self, changes: Mapping[str, Any], *, spoken: bool) -> list[str]:
        """Change the configuration, by names of settings. Returns a line for each change left out, with the reason."""
        partial, config, left_out = session_config.changed(self.config, self._present_context, changes, spoken=spoken)
        before, self.config = self.config, config
        if len(partial) > 1 and self.is_ready:
            self._update(_CHANGE, partial, before)
        return left_out

    def _update(self, event_id: str, session: dict[str, Any], before: RealtimeConfig | None = None) -> None:
        session = session_refusal.without(session, self._left_out)
        input_audio = session.get("audio", {}).get("input", {})
        if not event_id.startswith((_CHANGE, _FORMATS)):
            self._requested, self._first = session, self.config
            self._transcribes = bool(input_audio.get("transcription"))
        elif "transcription" in input_audio:
            self._transcribes = bool(input_audio["transcription"])
        self._updates.append((event_id, before or self.config))
        self._channel.send({"type": "session.update", "event_id": event_id, "session": session})

    @property
    def _account_key(self) -> str:
        return f"{self.config.model} {self.config.url} {self.config.api_key}"

    @property
    def _present_context(self) -> SessionContext:
        return replace(self._context, turn_detection=self.turn_detection)

    # Answers

    def confirmed(self, event: ServerEvent) -> None:
        """Read a `session.updated`, the answer to the oldest update.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/session/updated
        """
        if self._updates:
            self._updates.pop(0)
        self.note_expiry(event)

    def begin(self) -> None:
        """Remember the fields left out of the confirmed first update, for the account's other sessions."""
        self.is_ready = True
        full = session_config.session(self.config, self._present_context)
        self._account.refused_fields.keep(self._account_key, full, self._left_out)
        if self._first is not self.config:  # changed while the server had not answered
            partial = session_config.difference(self._first, self.config, self._present_context)
            if len(partial) > 1:
                self._update(_CHANGE, partial, self._first)

    def is_refusal(self, about: str) -> bool:
        """Return whether an error is the answer to an update. `about`: the event id in the error; "": none.

        Servers sometimes omit the id; then the error counts as the answer to the oldest update.
        """
        return bool(self._updates) and about in ("", self._updates[0][0])

    def refused(self, code: str, message: str, param: Any) -> None:
        """Handle the refusal of the oldest update. In the middle of a session keep the old configuration; before,
        request less."""
        event_id, before = self._updates.pop(0)
        if self.is_ready or event_id.startswith((_CHANGE, _FORMATS)):
            self._channel.report(code, message[:300])
            self.config = before
            return
        self._refusals += 1
        path = session_refusal.refused_field(self._requested, param, message)
        stage = event_id.rpartition("#")[0] or event_id
        minimal = session_config.minimal_session(self.config, self._present_context)
        bare = session_refusal.functions_only(minimal)
        if path is not None and path not in self._left_out and self._refusals < session_refusal.MOST_TRIES:
            what = session_refusal.shown(path)
            self._left_out = (*self._left_out, path)
            self._channel.report(code, f"{message[:200]} {what} is left out"[:300])
            self._account.warn_left_out(what, message[:300])
            full = session_config.session(self.config, self._present_context)
            self._update(f"{stage}#{self._refusals}", {_FULL: full, _MINIMAL: minimal, _BARE: bare}[stage])
        elif stage == _FULL or (stage == _MINIMAL and bare != minimal):
            self._channel.report(code, message[:300])
            what = f"{code}: {message}"[:300]
            log.warning("call %s: the engine refused the session, asking for less: %s", self._channel.call, what)
            self._update(*((_MINIMAL, minimal) if stage == _FULL else (_BARE, bare)))
        else:
            self._channel.give_up(f"the engine refused the session: {code}: {message}"[:300], retry=False)

    # The end of the session

    def note_expiry(self, event: ServerEvent) -> None:
        """Read `session.expires_at` (Unix seconds) of `session.created` or `session.updated`.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/session/created
        """
        expires = event.session.get("expires_at") if isinstance(event.session, dict) else None
        if isinstance(expires, (int, float)) and expires > 0:
            self._expires_at = float(expires)

    def start_expiry_timer(self) -> None:
        """Announce the end `rotation_seconds` in advance: our own limit, or the server's if sooner."""
        left = self.config.session_seconds + self.config.rotation_seconds
        if self._expires_at is not None:
            left = min(left, self._expires_at - time.time())
        wait = min(self.config.session_seconds, left - self.config.rotation_seconds)
        if wait <= 0:
            wait = max(left / 2, _SHORTEST_SECONDS)
        expiring = SessionExpiring(max(left - wait, 0.0))
        self._channel.start_timer("expiring", wait, lambda: self._channel.notify(expiring))
