"""Commands become requests under ids of their own; whatever comes of one is an event."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import pytest

from callflow.call import carrier_commands
from callflow.call.carrier_commands import CarrierCommands
from callflow.call.command_ids import CommandPlace, command_id
from callflow.call.legs import Legs
from callflow.call.line_requests import Words
from callflow.call.mailbox import Mailbox
from callflow.call.stream_lease import StreamLease
from callflow.call.stream_tokens import StreamTokens
from callflow.config.settings import Settings
from callflow.contracts import command_fence, commands, events
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply
from callflow.contracts.commands import Command
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import HUMAN, Event, LegIds
from callflow.engines.common.account import Account
from callflow.switchboard.call_configs import call_config


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"
IDS = LegIds("control", "leg")
CONFIG = call_config(Settings(), Account())


class FakeCarrier:
    """Renders what it is told to into replies, and fails as it is told to."""

    def __init__(self) -> None:
        self.renders: tuple[type[Command], ...] = ()
        self.error: Exception | None = None
        self.executed: list[CarrierRequest] = []

    def reply(self, event: Event | None, orders: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        rest = tuple(order for order in orders if not isinstance(order.command, self.renders))
        return WebhookReply(b"over" if over else b"", rest=rest)

    async def execute(self, order: CarrierRequest) -> None:
        self.executed.append(order)
        if self.error is not None:
            raise self.error


class Scene:
    def __init__(self) -> None:
        self.carrier, self.posted = FakeCarrier(), list[Event]()
        self.owned: list[str] = []
        self.outliving = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.streams = StreamLease(CALL, StreamTokens(bytes(32)), lambda: "https://phone.example")
        self.words = Words()
        self.commands = CarrierCommands(
            CALL,
            cast(Carrier, self.carrier),
            self.streams,
            post=self.posted.append,
            own=self.own,
            run_after_call=self.run_after_call,
            legs=Legs(cast(Carrier, self.carrier), dials=False, post=self.posted.append, named=lambda ids, leg: None),
            words=self.words,
        )

    def own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.owned.append(name)
        self.tasks.append(asyncio.ensure_future(work))

    def run_after_call(self, work: Coroutine[Any, Any, None]) -> None:
        self.outliving += 1
        self.tasks.append(asyncio.ensure_future(work))

    def request(self, command: Command, step: int = 3, ordinal: int = 0) -> CarrierRequest:
        place = CommandPlace(step, ordinal)
        return self.commands.request(
            command, place, ids=IDS, from_number="+15550100001", to_number="+15550100002", config=CONFIG
        )

    async def sent(self, command: Command) -> list[Event]:
        self.commands.send(self.request(command))
        await asyncio.gather(*self.tasks)
        return self.posted


async def test_a_call_is_not_given_away_before_the_carrier_has_answered() -> None:
    """The pause of a recording was cancelled with the call's other tasks, and the journal said that it is paused."""
    scene, box, may_answer = Scene(), Mailbox(), asyncio.Event()
    scene.commands._under_way = box.serving

    async def answers(order: CarrierRequest) -> None:
        await may_answer.wait()

    scene.carrier.execute = answers  # type: ignore[method-assign]
    taking = asyncio.create_task(box.next())
    await asyncio.sleep(0)
    for command in (commands.PauseRecord(), commands.Hangup(leg=HUMAN), commands.Speak()):
        scene.commands.send(scene.request(command))
        assert not await box.hold(0.0)
        may_answer.set()
        assert await box.hold(1)
        box.go_on()
        may_answer.clear()
    taking.cancel()


def play(main: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        await main(Scene())

    asyncio.run(begin())


def test_the_id_of_a_request_follows_from_call_step_and_place() -> None:
    scene = Scene()
    one = scene.request(commands.Hangup(), 3, 1)
    assert one.id == command_id(CALL, 3, 1) == scene.request(commands.Hangup(), 3, 1).id
    assert len({scene.request(commands.Hangup(), step, place).id for step in range(3) for place in range(3)}) == 9
    assert (one.call, one.ids, one.from_number, one.to_number) == (CALL, IDS, "+15550100001", "+15550100002")
    assert (one.stream_url, one.stream_secret, one.stream_name) == ("", "", "")


@pytest.mark.parametrize("command", [commands.Answer(), commands.StartStream()])
def test_a_command_that_asks_for_a_stream_opens_another_one(command: Command) -> None:
    scene = Scene()
    first, second = scene.request(command), scene.request(command, 4)
    assert (first.stream_name, second.stream_name) == ("stream-1", "stream-2")
    assert "/media-stream/" in first.stream_url != second.stream_url
    assert first.stream_secret != second.stream_secret


def test_an_answer_that_is_repeated_is_the_same_command_for_the_same_stream() -> None:
    scene = Scene()
    first = scene.request(commands.Answer(), 2, 1)
    scene.commands.answered_by = CommandPlace(2, 1)
    again = scene.request(commands.Answer(again=True), 9, 0)
    assert (again.id, again.stream_url) == (first.id, first.stream_url)


def test_what_a_reply_carries_counts_as_done_and_the_rest_is_left() -> None:
    scene = Scene()
    scene.carrier.renders = (commands.Answer,)
    requests = [scene.request(commands.Answer()), scene.request(commands.Speak(), 3, 1)]
    reply = scene.commands.reply(events.CallInitiated(), requests, over=False)
    assert list(reply.rest) == requests[1:]
    assert scene.posted == [events.CommandDone(command="answer"), events.CallAnswered()]


def test_a_reply_that_carries_nothing_posts_nothing() -> None:
    scene = Scene()
    requests = [scene.request(commands.Answer())]
    assert scene.commands.reply(events.CallInitiated(), requests, over=True).body == b"over"
    assert scene.posted == []


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (None, events.CommandDone(command="speak")),
        (CarrierError("busy"), events.CommandFailed(command="speak", reason="busy")),
        (
            CarrierError("gone", gone=True),
            events.CommandFailed(command="speak", gone=True, reason="gone"),
        ),
        (KeyError("ours"), events.CommandFailed(command="speak", reason="KeyError")),
    ],
)
def test_whatever_comes_of_a_request_is_an_event(error: Exception | None, event: Event) -> None:
    async def main(the: Scene) -> None:
        the.carrier.error = error
        assert await the.sent(commands.Speak()) == [event]
        assert (the.owned, the.outliving) == (["speak"], 0)

    play(main)


@pytest.mark.parametrize(("unknown", "effect"), [(False, ""), (True, "unknown")])
def test_keys_that_may_have_been_sent_are_not_taken_for_refused_ones(unknown: bool, effect: str) -> None:
    """The agent would press them again: a number twice, a menu twice."""

    async def main(the: Scene) -> None:
        the.carrier.error = CarrierError("busy", unknown=unknown)
        (failed,) = await the.sent(commands.SendDtmf(id=the.words.keep("42", "agent")))
        assert isinstance(failed, events.CommandFailed)
        assert (failed.effect, failed.by) == (effect, "agent")

    play(main)


@pytest.mark.parametrize("command", [commands.Hangup(), commands.Reject()])
def test_the_end_of_a_call_is_sent_although_the_call_is_over(command: Command) -> None:
    async def main(the: Scene) -> None:
        await the.sent(command)
        assert (the.owned, the.outliving, len(the.carrier.executed)) == ([], 1, 1)

    play(main)


def test_what_is_sent_late_is_asked_about_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped after it had decided to send something, and goes on when another one has the call."""
    now, may = [100.0], []
    monkeypatch.setattr(carrier_commands, "monotonic", lambda: now[0])

    class Careful(FakeCarrier):
        async def execute(self, order: CarrierRequest) -> None:
            may.append(await command_fence.may_send())
            now[0] += 10.0
            may.append(await command_fence.may_send())

    async def elsewhere(call: str) -> bool:
        assert call == CALL
        return False

    async def main(scene: Scene) -> None:
        scene.commands._carrier = cast(Carrier, Careful())
        scene.commands._may_act = elsewhere
        for command in (commands.StartStream(), commands.Hangup()):
            await scene.sent(command)
        assert may == [True, False] * 2
        assert await command_fence.may_send(), "it is asked about those tasks alone"

    play(main)


def test_a_command_id_never_changes() -> None:
    """Golden values: after an update, a repeat must still be the same command to the carrier."""
    call = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a111"
    assert command_id(call, 1, 0) == "02b214c4-79f6-56fd-a3fa-b0c04b8ff897"
    assert command_id(call, 12, 3) == "f92e37ef-05b0-566d-8bab-fac0a4e55b3c"


def test_command_ids_differ_by_call_step_place_and_process() -> None:
    calls = [str(uuid.UUID(int=number)) for number in (1, 2, 3)]
    marks = ("", "one", "two")
    ids = {
        command_id(call, step, place, mark) for call in calls for step in range(25) for place in range(12)
        for mark in marks
    }  # fmt: skip
    assert len(ids) == 3 * 25 * 12 * 3
    assert all(str(uuid.UUID(one)) == one for one in ids)
