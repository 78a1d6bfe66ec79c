"""The socket beside a call: what its 404 means, before the call was connected and after."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from callflow.contracts.errors import CallOver, EngineError, HandshakeError
from callflow.engines.common import connection
from callflow.engines.common.account import Account
from callflow.engines.openai_realtime import sideband
from tests.configs import realtime_config


CONFIG = realtime_config(connect_seconds=5.0)


def refused(status: int, *, retry: bool = True) -> HandshakeError:
    return HandshakeError(f"HTTP {status}", "", counts="", retry=retry, status=status)


class Opener:
    """An account that answers with what it is given, in order; the last answer again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), 0

    async def open_beside(self, config: Any, call: str, url: str) -> Any:
        self.asked += 1
        assert "rtc_1" in url
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


SOCKET = object()


async def attach(opener: Opener, *, was_there: bool = False) -> Any:
    return await sideband.attach(CONFIG, "rtc_1", cast(Account, opener), "call", was_there=was_there)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("callflow.engines.openai_realtime.sideband.asyncio.sleep", at_once)
    return pauses


async def test_it_is_opened_at_once_where_the_call_is_known() -> None:
    opener = Opener(SOCKET)
    assert await attach(opener) is SOCKET
    assert opener.asked == 1


async def test_a_call_that_is_not_known_yet_is_asked_for_again_with_longer_pauses(no_pauses: list[float]) -> None:
    opener = Opener(*[refused(404)] * 7, SOCKET)
    assert await attach(opener) is SOCKET
    assert no_pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


async def test_a_call_that_stays_unknown_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sideband, "_YET_SECONDS", 0.0)
    with pytest.raises(CallOver, match="before the call was connected"):
        await attach(Opener(refused(404)))


async def test_a_call_that_was_known_before_is_over_at_the_first_404() -> None:
    opener = Opener(refused(404), SOCKET)
    with pytest.raises(CallOver, match="not found any more"):
        await attach(opener, was_there=True)
    assert opener.asked == 1


@pytest.mark.parametrize("was_there", [True, False])
async def test_a_refusal_for_good_is_handed_on_and_another_is_tried_again(was_there: bool) -> None:
    with pytest.raises(HandshakeError) as found:
        await attach(Opener(refused(401, retry=False), SOCKET), was_there=was_there)
    assert found.value.status == 401
    assert await attach(Opener(refused(500), refused(429), SOCKET), was_there=was_there) is SOCKET


async def test_who_never_opens_it_is_given_up_in_time_with_the_last_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Opener):
        async def open_beside(self, config: Any, call: str, url: str) -> Any:
            if self.asked == 1:
                await asyncio.Event().wait()
            return await super().open_beside(config, call, url)

    monkeypatch.setattr(asyncio, "timeout", _no_time(asyncio.timeout))
    with pytest.raises(EngineError, match=r"within 5 s; HTTP 503") as found:
        await attach(Slow(refused(503)))
    assert not found.value.retry


def _no_time(timeout: Any) -> Any:
    return lambda seconds: timeout(0.0)


@pytest.mark.parametrize(
    ("answer", "over"),
    [(refused(404), True), (refused(401), False), (refused(500), False), (TimeoutError(), False), (None, False)],
)
async def test_whether_a_call_is_over_whose_socket_has_closed(
    answer: Any, over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be found out is no."""
    aborted: list[bool] = []

    class Opened:
        class transport:  # noqa: N801
            @staticmethod
            def abort() -> None:
                aborted.append(True)

    async def open_once(config: Any, *, url: str) -> Any:
        if answer is not None:
            raise answer
        return Opened

    monkeypatch.setattr(connection, "open_once", open_once)
    assert await sideband.is_over(CONFIG, "rtc_1") is over
    assert aborted == [True] * (answer is None), "nothing is left open"
