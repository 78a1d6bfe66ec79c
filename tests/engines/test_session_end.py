"""When a session is announced as expiring, on machines with the wrong time, too."""

from __future__ import annotations

import time
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.datastructures import Headers

from callflow.contracts.engine import SessionContext
from callflow.contracts.secret_text import NONE
from callflow.engines.common import connection
from callflow.engines.common.account import Account
from callflow.engines.common.channel import Channel
from callflow.engines.common.session_end import announcing
from callflow.engines.openai_realtime.server_events import decode
from callflow.engines.openai_realtime.session import Session
from tests.configs import realtime_config


@pytest.mark.parametrize(
    ("promised", "expected"),
    [(None, (3300, 60)), (3600.0, (3300, 60)), (1800.0, (1740, 60)), (61.0, (1, 60)), (0.0, (3300, 60))],
)
def test_a_session_is_announced_before_our_limit_or_the_servers(promised: Any, expected: tuple[float, float]) -> None:
    assert announcing(3300, 60, promised) == expected


@pytest.mark.parametrize(("ours_ahead", "noticed"), [(7200, 0), (3590, 0), (2700, 2700), (-7200, -7200)])
def test_a_clock_that_is_wrong_does_not_replace_sessions_all_the_time(
    monkeypatch: pytest.MonkeyPatch, ours_ahead: int, noticed: int
) -> None:
    """`noticed`: what the answer to the handshake has shown of it."""
    channel = Channel(SessionContext("call"), lambda event: None, NONE)
    started: list[float] = []
    monkeypatch.setattr(channel, "start_timer", lambda name, seconds, callback: started.append(seconds))
    channel.socket = SimpleNamespace(clock_ahead=noticed)  # type: ignore[assignment]
    session = Session(
        realtime_config(session_seconds=3300, rotation_seconds=60), SessionContext("call"), Account(), channel
    )
    expires = time.time() - ours_ahead + 3600
    session.note(decode(b'{"type":"session.created","session":{"expires_at":%d}}' % expires))
    session.start_expiry_timer()
    assert started == [3300]


def test_how_far_clocks_are_apart_is_read_from_the_answer_to_the_handshake() -> None:
    def ahead(date: str) -> float:
        return connection._ahead(Headers(Date=date) if date else Headers())

    assert ahead(formatdate(time.time() - 3600, usegmt=True)) == pytest.approx(3600, abs=3)
    assert [ahead(text) for text in (formatdate(time.time(), usegmt=True), "", "yesterday")] == [0, 0, 0]
