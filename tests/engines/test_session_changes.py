"""A session that is changed while the server has not confirmed it."""

from __future__ import annotations

import json
from typing import Any

from callflow.contracts.engine import SessionContext
from callflow.contracts.secret_text import NONE
from callflow.engines.common.account import Account
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime.server_events import decode
from callflow.engines.openai_realtime.session import Session
from tests.configs import realtime_config


class Sent:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sessions: list[dict[str, Any]] = []

    def put(self, text: str) -> None:
        self.sessions.append(json.loads(text)["session"])


def test_a_change_before_the_confirmation_is_sent_after_it_and_only_then() -> None:
    channel, sent = Channel(SessionContext("call"), lambda event: None, NONE), Sent()
    channel.socket = sent  # type: ignore[assignment]
    session = Session(realtime_config(voice="marin"), SessionContext("call"), Account(), channel)
    session.change({"voice": "ash"}, spoken=False)
    session.request()
    assert sent.sessions[0]["audio"]["output"]["voice"] == "ash"
    assert session.change({"instructions": "Be brief."}, spoken=False) == []
    assert len(sent.sessions) == 1
    session.confirmed(decode(b'{"type":"session.updated","session":{}}'))
    session.begin()
    assert sent.sessions[1:] == [{"type": "realtime", "instructions": "Be brief."}]
    assert session.is_refusal("session-later"), "it is one of our updates, which may be refused"
