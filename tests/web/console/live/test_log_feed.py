"""What `/logs` tells of calls at several nodes: each message once, whoever tells of the call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any, cast

from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live import log_feed
from callflow.web.console.live.log_feed import LogFeed, events_in
from callflow.web.console.live.other_nodes import LOST, OtherNodes
from callflow.web.console.live.sse import frame
from callflow.web.console.live.story import Stories
from tests.e2e.product import until
from tests.in_loop import in_loop


CALL = "11111111-1111-4111-8111-111111111111"


def entry(number: int, kind: str, **event: Any) -> bytes:
    step = {"event": {"event": kind, **event}, "before": "", "after": ""}
    return frame("entry", {"seq": number, "at": 0.0, "kind": kind, "step": step})


def said(number: int, text: str) -> bytes:
    note = {"who": "caller", "item": f"item{number}", "text": text}
    return frame("entry", {"seq": number, "at": 0.0, "kind": "turn", "note": note})


class Node:
    """The feed of one node, and the story of the one call that it may have."""

    def __init__(self, *others: Node) -> None:
        self.calls: list[Any] = []
        self.written: list[bytes] = []
        self.is_closed = False
        self.others, self.pumps = others, dict[str, asyncio.Task[None]]()
        board = cast(Switchboard, SimpleNamespace(calls=self.calls, live=lambda name: None))
        self.feed = LogFeed(lambda: board, cast(Stories, self), cast(OtherNodes, self) if others else None)
        self.told: list[dict[str, Any]] = []

    def has(self, *written: bytes, business: str = "") -> Any:
        self.written += written
        call = SimpleNamespace(
            id=CALL, config=SimpleNamespace(business=business), is_handed_over=False, direction="inbound",
            carrier=SimpleNamespace(name="telnyx"), from_number="+15550100001", to_number="+15550100002", began=1.0,
        )  # fmt: skip
        self.calls.append(call)
        return call

    async def watch(self, call: str, after: int, *, singles: bool) -> AsyncGenerator[bytes, None]:
        at = 0
        while not self.is_closed:
            if at < len(self.written):
                yield self.written[at]
                at += 1
                if self.written[at - 1].startswith(b"event: over"):
                    return
            await asyncio.sleep(0)

    # As `OtherNodes`

    def open(self, told: Callable[[str, str, Any], None]) -> None:
        async def pump(name: str, other: Node) -> None:
            async for piece in other.feed.frames():
                for event, data in events_in(piece):
                    told(name, event, json.loads(json.dumps(data)))

        for number, other in enumerate(self.others):
            self.pumps[f"n{number}"] = asyncio.create_task(pump(f"n{number}", other))

    def close(self) -> None:
        for task in self.pumps.values():
            task.cancel()

    async def view(self) -> None:
        async for message in self.feed.messages():
            self.told.append(json.loads(message))

    def words(self) -> list[str]:
        return [each["transcript"] for each in self.told if each["type"] == "transcription"]

    def count(self, kind: str) -> int:
        return sum(each["type"] == kind for each in self.told)


@in_loop
async def test_a_call_that_moves_is_told_of_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(log_feed, "_LOOK_SECONDS", 0.01)
    first, second = Node(), Node()
    here = Node(first, second)
    viewer = asyncio.create_task(here.view())
    begun = [entry(1, "call_initiated"), entry(2, "media_started", stream="MZ1"), said(3, "One.")]
    moved = first.has(*begun)
    await until(lambda: here.words() == ["One."], "the first words", 5)
    assert here.feed.elsewhere("MZ1") == (CALL, "n0") == here.feed.elsewhere(CALL)
    assert here.feed.elsewhere(CALL, "another business") == ("", "")
    assert here.feed.count_elsewhere() == 1

    moved.is_handed_over = True
    first.calls.clear()
    second.has(*begun, said(4, "Two."))
    await until(lambda: len(here.words()) > 1, "the words at the other node", 5)
    here.feed._take_from("n0", LOST, None)
    assert here.feed.elsewhere(CALL) == (CALL, "n1")

    second.written.append(frame("over", {"result": "success", "cause": ""}))
    second.calls.clear()
    await until(lambda: here.count("call.ended"), "the end", 5)
    assert here.words() == ["One.", "Two."]
    assert (here.count("call.started"), here.count("call.ended")) == (1, 1)
    assert here.feed.count_elsewhere() == 0
    viewer.cancel()
    await asyncio.gather(viewer, return_exceptions=True)


@in_loop
async def test_a_call_that_comes_here_goes_on_and_one_of_a_lost_node_ends(monkeypatch: Any) -> None:
    monkeypatch.setattr(log_feed, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(log_feed, "_GRACE_SECONDS", 0.1)
    other = Node()
    here = Node(other)
    viewer = asyncio.create_task(here.view())
    begun = [entry(1, "media_started", stream="MZ1"), said(2, "One.")]
    moved = other.has(*begun)
    await until(lambda: here.words() == ["One."], "the first words", 5)
    mine = here.has(*begun, said(3, "Two."))
    await until(lambda: len(here.words()) > 1, "the words here", 5)
    moved.is_handed_over = mine.is_handed_over = True
    here.calls.clear()
    other.calls.clear()
    here.feed._take_from("n0", LOST, None)
    await until(lambda: here.count("call.ended"), "the end of a call that nobody has", 5)
    assert here.words() == ["One.", "Two."]
    assert here.count("call.started") == 1
    viewer.cancel()
    await asyncio.gather(viewer, return_exceptions=True)


@in_loop
async def test_who_may_only_view_gets_no_parts_of_words_that_may_be_a_number(monkeypatch: Any) -> None:
    monkeypatch.setattr(log_feed, "_LOOK_SECONDS", 0.01)
    node = Node()
    node.has(
        entry(1, "media_started", stream="MZ1"),
        *(frame("partial", {"who": "caller", "item": "i", "text": text}) for text in ("+1 555", "+1 555 010 0001")),
        said(2, "+1 555 010 0001"),
    )

    async def types(*, deltas: bool) -> list[str]:
        messages, found = node.feed.messages(deltas=deltas), list[str]()
        async for message in messages:
            found.append(json.loads(message)["type"])
            if found[-1] == "transcription":
                break
        await messages.aclose()
        return found

    everything, some = await asyncio.gather(types(deltas=True), types(deltas=False))
    assert sum(each.endswith(".delta") for each in everything) == 2
    assert some == [each for each in everything if not each.endswith(".delta")]


@in_loop
async def test_whoever_comes_late_is_told_everything_with_time_for_the_audio_between(monkeypatch: Any) -> None:
    monkeypatch.setattr(log_feed, "_LOOK_SECONDS", 0.01)
    here, loop, turns = Node(), asyncio.get_running_loop(), 0
    here.has(entry(1, "media_started", stream="MZ1"), *(said(number, "Words.") for number in range(2, 60)))
    viewer = asyncio.create_task(here.view())
    await until(lambda: len(here.words()) == 58, "the words", 5)

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    turn()
    at = []
    async for _ in here.feed.messages():
        at.append(turns)
        if len(at) == 59:
            break
    assert max(map(at.count, at)) <= 2, f"more messages in one turn of the loop than what is said has: {at}"
    here.is_closed = True
    viewer.cancel()
