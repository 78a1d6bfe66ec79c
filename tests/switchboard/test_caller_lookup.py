"""The caller lookup within its time: whatever it does, there is a result."""

from __future__ import annotations

import asyncio
import time

import pytest

from callflow.contracts.caller_lookup import Question
from callflow.contracts.errors import LookupFailed
from callflow.switchboard.caller_lookup import TimedLookup


QUESTION = Question(call="a call", carrier="telnyx", from_number="+15550100001", to_number="+15550100002")


class Asked:
    """Answers, fails or never ends."""

    def __init__(self, answer: str | Exception | None) -> None:
        self.answer, self.cancelled = answer, False

    async def __call__(self, question: Question) -> str:
        assert question is QUESTION
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        return self.answer or ""

    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("answer", "outcome", "why"),
    [
        ('{"profile": "sales"}', "answered", ""),
        ("", "answered", ""),
        ("no JSON", "failed", "its answer is no JSON"),
        (LookupFailed("HTTP 500"), "failed", "HTTP 500"),
        (TimeoutError(), "late", "no answer within 5 s"),
        (KeyError("a secret"), "failed", "an internal error (KeyError)"),
    ],
)
async def test_whatever_comes_is_a_result(answer: str | Exception, outcome: str, why: str) -> None:
    found = await TimedLookup(Asked(answer), 5).look_up(QUESTION)
    assert (found.outcome, found.why) == (outcome, why)


async def test_what_takes_too_long_is_given_up() -> None:
    asked = Asked(None)
    began = time.monotonic()
    found = await TimedLookup(asked, 0.1).look_up(QUESTION)
    assert (found.outcome, found.why) == ("late", "no answer within 0.1 s")
    assert 90 <= found.ms < 5000
    assert time.monotonic() - began < 5
    assert asked.cancelled
