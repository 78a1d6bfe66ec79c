"""What a caller says while their call passes to another node: what is kept of it, and for how long."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call import handover_input as module
from callflow.call.handover_input import HandoverInputBuffer, keep_listening
from callflow.contracts.events import Dtmf, MediaLost
from callflow.media.g711 import BYTES_PER_MS


FRAME = b"\x11" * 160


class Line:
    """A relay with a stream, as far as it is used."""

    def __init__(self, **more: bool) -> None:
        self.is_remote, self.is_flowing, self.awaits_marks = False, True, False
        self.__dict__.update(more)
        self.listener: Any = "the agent"
        self.taps: set[Any] = set()
        self.is_silenced, self.frame_batcher = False, None
        self.silence_filler = SimpleNamespace(stop=lambda: None)
        self.on_its_way = FRAME
        self.posted: list[Any] = []
        self.post = self.posted.append

    async def hear_out(self) -> None:
        for tap in self.taps:
            tap.caller(self.on_its_way)
        self.on_its_way = b""


def talk(
    recent: bytes = b"", *, plays: bool = False, hears: bool = False, speaking: bool = False, unanswered: bool = False
) -> Any:
    turns = SimpleNamespace(
        is_unplayed=plays, hears_speech=hears,
        taking=SimpleNamespace(caller_speaking=speaking, audio_is_needed=unanswered),
    )  # fmt: skip
    return SimpleNamespace(turns=turns, sessions=SimpleNamespace(recent_audio=recent))


def kept(line: Line, agent: Any) -> HandoverInputBuffer | None:
    return keep_listening(cast(Any, line), agent)


async def test_all_is_kept_until_the_stream_has_ended_and_given_once() -> None:
    line = Line()
    words = kept(line, talk(b"\x22" * 5000))
    assert words is not None
    assert line.listener is None, "the agent hears nothing more"
    words.caller(b"\x33" * 160)
    words.agent(FRAME)
    words.cut()
    over = asyncio.create_task(words.over())
    before = b"\x22" * 300 * BYTES_PER_MS
    assert await words.take() == (before + b"\x33" * 160 + FRAME, "")
    assert await words.take() == (b"", "")
    await asyncio.wait_for(over, 1)
    assert line.taps == set()


@pytest.mark.parametrize("who", ["hears", "speaking", "unanswered"])
async def test_of_a_caller_who_speaks_all_is_kept_that_nobody_has_answered(who: str) -> None:
    words = kept(Line(), talk(b"\x22" * 20_000, **{who: True}))
    assert words is not None
    assert (await words.take()).audio == b"\x22" * 20_000 + FRAME


async def test_keys_are_given_with_the_words_and_written_down_here_if_nobody_asks_for_them() -> None:
    line = Line()
    words = kept(line, talk())
    assert words is not None
    line.post(Dtmf(digit="1", source="stream"))
    line.post(MediaLost())
    line.post(Dtmf(digit="#", source="stream"))
    assert line.posted == [MediaLost()]
    assert (await words.take()).keys == "1#"
    line.post(Dtmf(digit="2", source="stream"))
    await words.over()
    late = Dtmf(digit="3", source="stream")
    line.post(late)
    assert line.posted == [MediaLost(), Dtmf(digit="2", source="stream"), late]


@pytest.mark.parametrize("more", [{"is_remote": True}, {"is_flowing": False}, {"awaits_marks": True}])
def test_a_stream_on_which_the_agent_would_go_on_to_be_heard_or_none_is_not_kept(more: dict[str, bool]) -> None:
    assert kept(Line(**more), talk()) is None
    assert kept(Line(), talk(plays=True)) is None


async def test_nobody_waits_for_long_for_a_node_that_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.01)
    words = kept(Line(), talk())
    assert words is not None
    await asyncio.wait_for(words.over(), 1)


async def test_nobody_waits_when_nobody_will_ask_and_no_more_is_kept_than_may_be() -> None:
    words = kept(Line(), talk())
    assert words is not None
    for _ in range(600):
        words.caller(FRAME)
    words.give_up()
    await asyncio.wait_for(words.over(), 1)
    assert (await words.take()).audio == FRAME * 500
