"""Asking the control endpoint about a call: whatever it answers, the call goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from callflow.config.settings import Settings
from callflow.contracts.control import AT_START, MOST_BYTES, Controlled, ControlQuestion
from callflow.contracts.errors import ControlFailed
from callflow.contracts.secret_text import Secrets
from callflow.switchboard.control.ask import ControlAsker, make_asker


QUESTION = ControlQuestion(
    event="turn", call="c", carrier="telnyx", from_number="+15550100001", to_number="+15550100002", direction="inbound",
    more={"text": "Hello."},
)  # fmt: skip


class Endpoint:
    """Answers every question with this; None: never."""

    def __init__(self, answer: bytes | Exception | None = b"{}") -> None:
        self.answer = answer
        self.asked: list[tuple[Any, Mapping[str, str]]] = []
        self.is_closed = False

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        self.asked.append((json.loads(body), headers))
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or b""

    async def close(self) -> None:
        self.is_closed = True


def own(**changes: Any) -> Any:
    """What this server itself has."""
    checks = SimpleNamespace(headers=lambda body, now: {"x-webhook-secret": "s"})
    return SimpleNamespace(changes=changes, checks=checks)


def ask(
    endpoint: Endpoint | None, question: ControlQuestion = QUESTION, *, seconds: float = 5.0, **changes: Any
) -> Any:
    async def main() -> Controlled | None:
        asker = ControlAsker(own(**changes), endpoint, events="", seconds=seconds, secrets=Secrets(()))
        async with asyncio.timeout(1):
            return await asker.ask(question)

    return asyncio.run(main())


def answer(*sessions: Any) -> bytes:
    return json.dumps({"events": [{"type": "session.update", "session": each} for each in sessions]}).encode()


def test_the_question_names_the_call_and_what_happens_to_it_and_has_what_lets_it_in() -> None:
    endpoint = Endpoint()
    ask(endpoint)
    ((told, headers),) = endpoint.asked
    assert told == {
        "type": "turn", "event": {"text": "Hello."},
        "call": {"id": "c", "carrier": "telnyx", "from": "+15550100001", "to": "+15550100002", "direction": "inbound"},
    }  # fmt: skip
    assert headers == {"x-webhook-secret": "s"}
    ask(endpoint, ControlQuestion(event=AT_START, call="c"))
    assert "event" not in endpoint.asked[1][0]


def test_the_changes_of_all_sessions_are_taken_and_the_last_word_counts() -> None:
    found = ask(Endpoint(answer({"instructions": "Be kind."}, {"instructions": "Be short."})))
    assert (found.outcome, dict(found.changes), found.why) == ("answered", {"instructions": "Be short."}, "")
    for nothing in (b"{}", b"", answer()):
        found = ask(Endpoint(nothing))
        assert (found.outcome, dict(found.changes)) == ("answered", {})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"<html>", "no JSON"), (b"\xff", "no JSON"), (b"[]", "no list of events"), (b"7", "no list of events"),
        (b'{"events": {}}', "no list of events"), (b"[" * 5000, "no JSON"),
        (b" " * (MOST_BYTES + 1), "more than 256 kB"),
        (answer({"instructions": 5}), "cannot be used"), (answer({"speed": 99}), "cannot be used"),
        (answer({"instructions": "Be kind."}, {"speed": "fast"}), "cannot be used"),
        (ControlFailed("HTTP 500"), "HTTP 500"),
        (ZeroDivisionError("private"), "an internal error (ZeroDivisionError)"),
    ],
)  # fmt: skip
def test_one_thing_that_is_wrong_leaves_the_call_as_it_was(said: Any, why: str) -> None:
    found = ask(Endpoint(said))
    assert (found.outcome, dict(found.changes)) == ("failed", {})
    assert why in found.why
    assert "private" not in found.why
    assert len(found.why) <= 300


@pytest.mark.parametrize("said", [None, TimeoutError()])
def test_an_answer_that_does_not_come_in_time_is_late(said: Any) -> None:
    found = ask(Endpoint(said), seconds=0.001)
    assert (found.outcome, found.why, dict(found.changes)) == ("late", "no answer within 0.001 s", {})


def test_what_a_session_in_a_call_does_not_take_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callflow.switchboard.control.ask.may_change", lambda name: name != "speed")
    found = ask(Endpoint(answer({"speed": 1.2, "instructions": "Be kind."})))
    assert dict(found.changes) == {"instructions": "Be kind."}
    assert found.problems == ("speed is left out: a session in a call does not take it",)


def test_only_so_many_problems_are_noted() -> None:
    found = ask(Endpoint(answer({f"odd{number}": 1 for number in range(60)})))
    assert len(found.problems) == 20


def test_without_an_address_this_server_itself_says_what_it_has() -> None:
    assert ask(None) is None
    found = ask(None, voice="ash")
    assert (found.outcome, found.changes, found.ms) == ("answered", {"voice": "ash"}, 0)


@pytest.mark.parametrize(
    ("events", "at_start", "during"),
    [
        ("", False, set()),
        (" , ,", False, set()),
        (f" {AT_START} ,turn,turn", True, {"turn"}),
        ("turn", False, {"turn"}),
    ],
)
def test_what_it_is_asked_about_is_read_from_the_setting(events: str, at_start: bool, during: object) -> None:
    async def main() -> None:
        asker = ControlAsker(own(), Endpoint(), events=events, seconds=2.0, secrets=Secrets(()))
        assert (asker.at_start, asker.during, asker.seconds) == (at_start, during, 2.0)
        assert ControlAsker(own(), None, events=events, seconds=2.0, secrets=Secrets(())).seconds == 0.0

    asyncio.run(main())


def test_whom_the_setting_names_is_asked_and_let_go_of() -> None:
    async def main() -> None:
        assert make_asker(Settings(), own(), Secrets(())) is None
        itself = make_asker(Settings(realtime_control_url="self"), own(), Secrets(()))
        assert itself is not None
        assert itself._post is None
        await itself.close()
        endpoint = Endpoint()
        await ControlAsker(own(), endpoint, events="", seconds=1.0, secrets=Secrets(())).close()
        assert endpoint.is_closed

    asyncio.run(main())
