"""The ids of the numbers that are called: asked for once, told to every call, and no call waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from callflow.contracts.errors import CarrierError
from callflow.journal.notes import Began
from callflow.switchboard import number_ids
from callflow.switchboard.number_ids import NumberIds


class Carrier:
    """What of a carrier is asked."""

    can: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[str | Exception] = []
        self.may_answer = asyncio.Event()
        self.at_once = self.most_at_once = 0

    async def number_id(self, number: str) -> str:
        self.asked.append(number)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_answer.wait()
        self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else f"PN{number[-2:]}"
        if isinstance(answer, Exception):
            raise answer
        return answer


class Scene:
    def __init__(self) -> None:
        self.carrier, self.told, self.now = Carrier(), list[tuple[str, str]](), 1000.0
        self.ids = NumberIds(lambda call, number: self.told.append((call, number)), lambda: self.now)
        self.ids.begin({"twilio": self.carrier})  # type: ignore[dict-item]

    def began(self, call: str, to: str = "+15550100002", **more: Any) -> None:
        self.ids.began(call, Began(carrier="twilio", to_number=to, **more))

    async def answered(self) -> None:
        self.carrier.may_answer.set()
        await asyncio.gather(*self.ids._tasks)


def scene(play: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        the = Scene()
        try:
            await play(the)
        finally:
            await the.ids.close()

    asyncio.run(main())


def test_a_number_is_asked_for_once_a_day_and_every_call_is_told() -> None:
    async def play(the: Scene) -> None:
        for call in "abc":
            the.began(call)
        assert the.told == [], "nobody has answered yet"
        await the.answered()
        assert the.told == [("a", "PN02"), ("b", "PN02"), ("c", "PN02")]
        the.began("d")
        assert the.told[-1] == ("d", "PN02")
        assert the.carrier.asked == ["+15550100002"]
        the.now += 86401
        the.carrier.answers = ["PNnew"]
        the.began("e")
        await the.answered()
        assert the.told[-1] == ("e", "PNnew"), "numbers are given back and bought anew"

    scene(play)


@pytest.mark.parametrize(
    ("answer", "seconds"), [("", 3600), (CarrierError("busy"), 300), (TimeoutError(), 300), (KeyError("odd"), 300)]
)
def test_what_is_not_known_stays_open_and_is_asked_again_later(answer: str | Exception, seconds: float) -> None:
    async def play(the: Scene) -> None:
        the.carrier.answers = [answer]
        the.began("a")
        await the.answered()
        the.now += seconds - 1
        the.began("b")
        await the.answered()
        assert (the.told, len(the.carrier.asked)) == ([], 1)
        the.now += 2
        the.began("c")
        await the.answered()
        assert (the.told, len(the.carrier.asked)) == ([("c", "PN02")], 2)

    scene(play)


def test_nothing_is_asked_that_is_known_or_is_no_number() -> None:
    async def play(the: Scene) -> None:
        the.began("a", number="PN1")
        for to in ("", "1001", "anonymous", "sip:sales@example.com", "+12", "+1555010000200000000", "+1555x"):
            the.began("b", to=to)
        the.ids.began("c", Began(carrier="nobody", to_number="+15550100002"))
        the.ids.began("d", Began())
        the.carrier.can = frozenset({"media_is_remote"})  # such a one has no numbers at all
        the.began("e")
        await the.answered()
        assert (the.carrier.asked, the.told) == ([], [])

    scene(play)


def test_a_flood_of_numbers_is_bounded() -> None:
    async def play(the: Scene) -> None:
        for number in range(3000):
            the.began(f"call{number}", to=f"+1555{number:07}")
        await asyncio.sleep(0)
        assert len(the.ids._tasks) == 1000
        await the.answered()
        assert the.carrier.most_at_once == 2
        assert len(the.told) == len(the.carrier.asked) == len(the.ids._known) == 1000
        for number in range(500):
            the.began(f"later{number}", to=f"+1666{number:07}")
        await the.answered()
        assert len(the.told) == 1500
        assert len(the.ids._known) == 1000, "those that were asked for first are forgotten"

    scene(play)


def test_a_carrier_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_ids, "_ASK_SECONDS", 0.01)

    async def play(the: Scene) -> None:
        for number in range(4):
            the.began(f"call{number}", to=f"+1555010000{number}")
        async with asyncio.timeout(5):
            await asyncio.gather(*the.ids._tasks)
        assert (len(the.carrier.asked), the.told) == (4, [])

    scene(play)
