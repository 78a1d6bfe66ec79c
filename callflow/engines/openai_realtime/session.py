"""Configures one session: requests to the server, its confirmations and refusals, and the expiry.

A `session.update` is accepted as a whole or refused as a whole. The first update asks for everything. When it is
refused, the next asks for less, see `session_fallback.py`.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final, NamedTuple

from callflow.contracts.engine import EngineCan, SessionContext, SessionExpiring
from callflow.engines.common import session_end
from callflow.engines.common.account import Account
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime import session_config, session_refusal
from callflow.engines.openai_realtime.server_events import ServerEvent
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.engines.openai_realtime.session_fallback import SessionFallback


log = logging.getLogger(__name__)

_FIRST: Final = "session-full"
"""Event id of the first update. Those after refusals have their stage in it, and `#` and a number where the update is
only repeated without a refused field."""
_CHANGE, _FORMATS = "session-later", "session-formats"
"""Event ids of updates in the middle of a session: any change, and another audio format."""


class _Update(NamedTuple):
    """An update that the server has not answered."""

    id: str
    changed: dict[str, Any]
    """What it changes of the configuration, by name, with the values before it."""
    transcribes: bool | None
    """Whether the caller's words are transcribed after it; None: as before it."""

    @property
    def is_later(self) -> bool:
        """Whether it only changes a session that is there."""
        return self.id in (_CHANGE, _FORMATS)


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
        """The server transcribes the caller's words, as far as it has answered."""
        self._fallback = SessionFallback(account)
        self._first = config
        """The configuration that the newest of the first updates was made of."""
        self._first_turns = context.turn_detection
        """Its turn detection."""
        self._updates: list[_Update] = []
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
        asked = [update.transcribes for update in self._updates if update.transcribes is not None]
        if [self._transcribes, *asked][-1]:
            can.add("transcribes")
        return frozenset(can)

    @property
    def awaits_formats(self) -> bool:
        """Return whether another audio format was requested and the server has not answered."""
        return any(update.id == _FORMATS for update in self._updates)

    # Requests

    def request(self) -> None:
        """Send the first update, without the fields that this account refused before."""
        full = self._fallback.first(self.config, self._present_context)
        for path in self._fallback.left_out:
            self._channel.report("left_out", f"{session_refusal.shown(path)} was refused before and is left out")
        self._update(_FIRST, full)

    def request_formats(self, audio: str) -> None:
        """Ask for another audio format, both ways: "pcmu" or "pcm24"."""
        self._update(_FORMATS, session_config.formats(audio))

    def send_turn_detection(self, on: bool) -> None:
        """Switch the vendor's turn detection on or off."""
        self._update(_CHANGE, session_config.turns(self.config, on))

    def change(self, changes: Mapping[str, Any], *, spoken: bool) -> list[str]:
        """Change the configuration, by names of settings. Returns a line for each change left out, with the reason."""
        begun = self.is_ready or bool(self._updates)
        partial, config, left_out = session_config.changed(
            self.config, self._present_context, changes, spoken=spoken, begun=begun
        )
        before, self.config = self.config, config
        if len(partial) > 1 and self.is_ready:
            self._update(_CHANGE, partial, before)
        return left_out

    def _update(self, event_id: str, session: dict[str, Any], before: RealtimeConfig | None = None) -> None:
        session = session_refusal.without(session, self._fallback.left_out)
        input_audio = session.get("audio", {}).get("input", {})
        transcribes = bool(input_audio["transcription"]) if "transcription" in input_audio else None
        update = _Update(event_id, {} if before is None else _values_before(before, self.config), transcribes)
        if not update.is_later:
            self._first = self.config
            self._first_turns = self.turn_detection
        self._updates.append(update)
        self._channel.send({"type": "session.update", "event_id": event_id, "session": session})

    @property
    def _present_context(self) -> SessionContext:
        return replace(self._context, turn_detection=self.turn_detection)

    # Answers

    def confirmed(self, event: ServerEvent) -> None:
        """Read a `session.updated`, the answer to the oldest update.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/session/updated
        """
        update = self._updates.pop(0) if self._updates else None
        if update is not None and update.transcribes is not None:
            self._transcribes = update.transcribes  # unless the server says something else
        self.note(event)
        if update is not None and not update.is_later:
            self._fallback.taken()

    def begin(self) -> None:
        """Send what was changed while the server had not answered."""
        self.is_ready = True
        if self._first is not self.config:
            partial = session_config.difference(self._first, self.config, self._present_context)
            if len(partial) > 1:
                self._update(_CHANGE, partial, self._first)
        if self._first_turns != self.turn_detection:
            self.send_turn_detection(self.turn_detection)

    def is_refusal(self, about: str) -> bool:
        """Return whether an error is the answer to an update. `about`: the event id in the error; "": none.

        Servers sometimes omit the id; then the error counts as the answer to the oldest update.
        """
        return bool(self._updates) and about in ("", self._updates[0].id)

    def refused(self, code: str, message: str, param: Any) -> None:
        """Handle the refusal of the oldest update: request less than the first ones did; of a later one keep the old
        values of what it changed."""
        update = self._updates.pop(0)
        if update.is_later:
            self._channel.report(code, message[:300])
            self._revert(update)
            return
        less = self._fallback.reduced(self.config, self._present_context, message, param)
        if less is not None:
            what = f"{message[:200]} {less.left_out} is left out" if less.left_out else message
            self._channel.report(code, what[:300])
            if less.left_out:
                self._account.warn_left_out(less.left_out, message[:300])
            else:
                what = f"{code}: {message}"[:300]
                log.warning("call %s: the engine refused the session, asking for less: %s", self._channel.call, what)
            self._update(f"session-{less.stage}{f'#{less.number}' if less.number else ''}", less.session)
        elif self.is_ready:  # over SIP it goes on with the session with which the call was accepted
            self._channel.report(code, message[:300])
        else:
            self._channel.give_up(f"the engine refused the session: {code}: {message}"[:300], retry=False)

    def _revert(self, refused: _Update) -> None:
        """Undo what a refused update has changed, and only that: later ones may be taken."""
        values = dict(refused.changed)
        for later in self._updates:
            for name in values.keys() & later.changed.keys():
                later.changed[name] = values.pop(name)
        self.config = replace(self.config, **values)

    # The end of the session

    def note(self, event: ServerEvent) -> None:
        """Read what `session.created` or `session.updated` says of the session: its end (Unix seconds), and whether
        the caller's words are transcribed.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/session/created
        """
        session = event.session if isinstance(event.session, dict) else {}
        audio = session.get("audio")
        of_input = audio.get("input") if isinstance(audio, dict) else None
        if isinstance(of_input, dict) and "transcription" in of_input:
            self._transcribes = bool(of_input["transcription"])
        expires = session.get("expires_at")
        if isinstance(expires, (int, float)) and expires > 0:
            self._expires_at = float(expires)

    def start_expiry_timer(self) -> None:
        """Announce the end in advance, see `session_end.py`."""
        promised, socket = None, self._channel.socket
        if self._expires_at is not None and socket is not None:
            promised = self._expires_at - (time.time() - socket.clock_ahead)
        wait, left = session_end.announcing(self.config.session_seconds, self.config.rotation_seconds, promised)
        self._channel.start_timer("expiring", wait, lambda: self._channel.notify(SessionExpiring(left)))


def _values_before(before: RealtimeConfig, after: RealtimeConfig) -> dict[str, Any]:
    old = {each.name: getattr(before, each.name) for each in fields(before)}
    return {name: value for name, value in old.items() if value != getattr(after, name)}
