"""Which call a webhook is about, without a socket: repeats, late ones, ids that come later, and calls of others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from callflow.call.restore import restore_call
from callflow.call.services import CallServices
from callflow.contracts import events
from callflow.contracts.carrier import Request
from callflow.contracts.errors import CallElsewhere, Overloaded, Refused
from callflow.contracts.events import Event, LegIds, WebhookEvent
from callflow.switchboard import switchboard as module
from callflow.switchboard.call_ids import call_id
from callflow.switchboard.switchboard import Switchboard
from tests.call.offline import FakeCarrier, as_carrier, services, until


IDS = LegIds("control", "leg", "session")
RINGS = events.CallInitiated(from_number="+15550100001", to_number="+15550100002")
NAME = call_id("fake", IDS)
HANDSHAKE = Request("GET", "/media-stream/x", {}, b"")


class Stage:
    def __init__(self, *can: str, max_calls: int = 10) -> None:
        self.carrier = FakeCarrier(*can)
        self.services: CallServices
        self.board = Switchboard(self._services, max_calls=max_calls)
        self.deliveries = 0

    def _services(self, board: Switchboard) -> CallServices:
        self.services = services(run_after_call=board.run_after_call)
        return self.services

    async def tell(self, event: Event, ids: LegIds = IDS, delivery: str | None = None) -> str:
        """The body that a webhook is answered with."""
        self.deliveries += 1
        signal = WebhookEvent("fake", f"d{self.deliveries}" if delivery is None else delivery, ids, event)
        return (await self.board.dispatch(as_carrier(self.carrier), signal)).body.decode()

    def written(self, name: str = NAME) -> list[dict[str, Any]]:
        return [entry.event for entry in self.services.journal.read(name)]


@contextlib.asynccontextmanager
async def stage(*can: str, **settings: int) -> AsyncIterator[Stage]:
    the = Stage(*can, **settings)
    try:
        yield the
    finally:
        await the.board.stop()


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def test_a_call_that_rings_is_opened_once_and_known_by_all_its_names() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            await the.tell(RINGS, LegIds("", "leg"))
            assert [call.id for call in the.board.calls] == [NAME]
            assert the.board.knows("fake", LegIds("control"))
            assert not the.board.knows("another", LegIds("control"))
            assert the.board.live(NAME) is the.board.calls[0]
            assert the.board.is_live(NAME)

    play(main)


def test_ids_that_a_webhook_tells_first_are_learned() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS, LegIds("", "leg"))
            await the.tell(events.CallAnswered(), LegIds("control", "leg"))
            assert the.board.calls[0].ids == LegIds("control", "leg")
            assert the.board.knows("fake", LegIds("control"))

    play(main)


def test_a_repeated_webhook_gets_the_first_answer_and_does_nothing() -> None:
    async def main() -> None:
        async with stage() as the:
            first = await the.tell(RINGS, delivery="d")
            assert await the.tell(RINGS, delivery="d") == first
            assert the.board.counts["repeats"] == 1
            assert [one["event"] for one in the.written()].count("call_initiated") == 1

    play(main)


def test_a_webhook_that_comes_after_the_end_opens_no_call() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            await the.tell(events.CallHangup())
            await until(lambda: not the.board.calls)
            assert await the.tell(events.CallAnswered()) == "over call_answered"
            assert await the.tell(RINGS) == "over call_initiated"
            assert (the.board.calls, the.board.counts["strays"], the.board.counts["calls"]) == ([], 2, 1)
            assert the.board.knows("fake", IDS)

    play(main)


@pytest.mark.parametrize(
    ("event", "opens"),
    [
        (events.CallAnswered(), True),
        (events.CallResumed(), True),
        (RINGS, True),
        (events.CallInitiated(direction="outgoing"), False),
        (events.CallHangup(), False),
        (events.StreamAnnounced(), False),
    ],
)
def test_which_events_open_a_call_that_nobody_knows(event: Event, opens: bool) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(event)
            assert bool(the.board.calls) is opens
            assert the.board.counts["strays"] == int(not opens)
            assert event.name in [one["event"] for one in the.written()], "it stands in the journal either way"

    play(main)


@pytest.mark.parametrize(
    ("event", "is_lost"),
    [
        (events.CallAnswered(), True), (events.CallHangup(), False), (events.CarrierRecording(state="ready"), False),
        (events.CarrierCost(amount=0.25), False),
    ],
)  # fmt: skip
def test_a_leg_that_was_dialled_before_a_restart_is_looked_for_only_if_it_may_be_there(
    event: Event, is_lost: bool
) -> None:
    async def main() -> None:
        async with stage() as the:
            lost: list[str] = []
            the.board.on_lost_leg = lambda carrier, leg: lost.append(leg.call)
            signal = WebhookEvent("fake", "d", IDS, event, call="ours")
            await the.board.dispatch(as_carrier(the.carrier), signal)
            assert lost == (["ours"] if is_lost else [])
            assert [one["event"] for one in the.written("ours")] == [event.name]

    play(main)


def test_an_event_of_no_call_is_written_down_without_its_secrets() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(events.Dtmf(digit="7"))
            token = the.services.stream_tokens.path_token(NAME, 1)
            await the.tell(events.StreamFailed(reason=f"no route to {token}", address=f"wss://x/media-stream/{token}"))
            assert "7" not in str(the.written()[0].get("digit"))
            assert token not in str(the.written())

    play(main)


def test_a_leg_that_turns_out_to_be_outgoing_is_not_ours() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(events.CallAnswered())
            await the.tell(events.CallInitiated(direction="outgoing"))
            await until(lambda: not the.board.calls)
            assert "not_ours" in [one["event"] for one in the.written()]

    play(main)


def test_one_call_too_many_is_a_call_that_is_refused() -> None:
    async def main() -> None:
        async with stage(max_calls=1) as the:
            await the.tell(RINGS)
            other = LegIds("c2", "l2")
            await the.tell(RINGS, other)
            await until(lambda: "reject" in the.carrier.names())
            assert the.written(call_id("fake", other))[1]["event"] == "call_refused"
            assert the.board.counts["refused"] == 1

    play(main)


def test_a_reply_that_comes_late_is_given_without_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            monkeypatch.setattr(module, "_REPLY_SECONDS", 0.01)
            monkeypatch.setattr(the.board.calls[0], "request_reply", lambda event: asyncio.Future())
            assert await the.tell(events.StreamAnnounced()) == "stream_announced"
            assert the.board.counts["late_replies"] == 1

    play(main)


def test_a_webhook_that_is_refused_for_now_is_no_repeat_when_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            with monkeypatch.context() as patch:
                patch.setattr("callflow.call.mailbox._MOST", 0)
                with pytest.raises(Overloaded):
                    await the.tell(events.Dtmf(digit="1"), delivery="d")
            assert await the.tell(events.Dtmf(digit="1"), delivery="d") == "dtmf"
            assert the.board.counts["repeats"] == 0

    play(main)


@pytest.mark.parametrize("can", ["", "answers_in_reply"])
def test_a_new_call_during_a_hand_over_is_for_the_next_process(can: str) -> None:
    async def main() -> None:
        async with stage(can) as the:
            await the.board.hand_over(0.01)
            assert not the.board.is_accepting
            if can:
                assert await the.tell(RINGS) == "call_initiated", "asked to come again, and not told that it is over"
            else:
                with pytest.raises(Overloaded):
                    await the.tell(RINGS)
            assert (the.board.calls, the.board.counts["calls"]) == ([], 0)

    play(main)


@pytest.mark.parametrize("event", [events.Dtmf(digit="1"), events.CallHangup()])
def test_what_comes_about_a_call_that_was_left_in_a_hand_over_is_sent_again(event: events.Event) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            await the.tell(events.CallAnswered())
            await the.board.hand_over(0.01)
            assert the.board.calls == []
            for _ in range(2):
                with pytest.raises(Overloaded):
                    await the.tell(event, delivery="d")
            assert the.board.counts["repeats"] == 0, "as it was not answered, the second is no repeat"

    play(main)


@pytest.mark.parametrize("event", [events.CallBridged(), events.CallAnswered()])
def test_what_waits_in_a_call_that_is_left_is_sent_again_and_then_no_repeat(event: events.Event) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            await the.tell(events.CallAnswered())
            (call,) = the.board.calls
            the.board._drain.is_handing_over = True
            leaving = asyncio.create_task(call.hand_over())
            await asyncio.sleep(0)
            assert call.is_handed_over
            assert the.board.calls == [call], "it is still found"
            for _ in range(2):
                with pytest.raises(Overloaded):
                    await the.tell(event, delivery="d")
            await leaving
            assert the.board.counts["repeats"] == 0

    play(main)


def test_a_call_that_is_taken_over_during_a_hand_over_is_left_to_the_next_process() -> None:
    """It was opened here after all others had been left, and hung up when the process ended."""

    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            await the.tell(events.CallAnswered())
            await the.board.hand_over(0.01)
            assert the.board.calls == []
            restored = restore_call(the.services.journal.read(NAME))
            assert restored is not None
            assert the.board.restore(as_carrier(the.carrier), restored) is None
            assert the.board.calls == []

    play(main)


def test_what_comes_while_a_call_is_given_to_another_node_is_taken_when_it_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_REPLY_SECONDS", 0.01)

    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            (call,) = the.board.calls
            assert await call.mailbox.hold(1)
            asked = asyncio.create_task(the.tell(events.Dtmf(digit="7")))
            done, _ = await asyncio.wait([asked], timeout=0.05)
            assert not done, "it is answered by the node that takes it"
            call.mailbox.go_on()
            assert await asyncio.wait_for(asked, 1) == "dtmf"
            await until(lambda: [one for one in the.written() if one["event"] == "dtmf"])

    play(main)


@pytest.mark.parametrize("event", [events.Dtmf(digit="7"), events.CallResumed(), events.CallHangup()])
def test_what_comes_while_a_call_goes_to_another_node_is_answered_there_and_opens_no_second_call(
    event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and hang-ups were answered with success and forgotten; a caller whose stream had ended met a new call."""
    monkeypatch.setattr(module, "_REPLY_SECONDS", 0.01)

    async def main() -> None:
        async with stage("answers_in_reply") as the:
            await the.tell(RINGS)
            (call,) = the.board.calls
            assert await call.mailbox.hold(1)
            asked = asyncio.create_task(the.tell(event, delivery="d"))
            await asyncio.wait([asked], timeout=0.05)
            call.let_go()
            call.mailbox.go_on()
            with pytest.raises(CallElsewhere):
                await asyncio.wait_for(asked, 1)
            with pytest.raises(CallElsewhere):
                await the.tell(event, delivery="d")
            await until(lambda: not the.board.calls)
            assert not [one for one in the.written() if one["event"] == event.name]
            assert not the.board.knows("fake", IDS), "for this node it is not over"

    play(main)


# Media sockets


def test_a_media_socket_joins_the_call_of_its_token() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            await until(the.carrier.names)
            token = the.carrier.executed[0].stream_url.rpartition("/")[2]
            with pytest.raises(Refused, match="no live call"):  # it came in where other carriers' sockets do
                the.board.claim(token, HANDSHAKE, {"phone"})
            assert the.board.claim(token, HANDSHAKE, {"fake"}) is the.board.calls[0]
            with pytest.raises(Refused):
                the.board.claim(token, HANDSHAKE)
            with pytest.raises(Refused, match="no live call"):
                the.board.claim(the.services.stream_tokens.path_token(call_id("fake", LegIds("x")), 1), HANDSHAKE)
            with pytest.raises(Refused):
                the.board.claim("nonsense", HANDSHAKE)

    play(main)


def test_an_odd_signature_of_a_media_socket_is_counted_and_noted() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.tell(RINGS)
            await until(the.carrier.names)
            the.carrier.problem = "its signature is of another address"
            the.board.claim(the.carrier.executed[0].stream_url.rpartition("/")[2], HANDSHAKE)
            assert the.board.counts["odd_media_signatures"] == 1
            assert the.written()[-1]["event"] == "media_signature"

    play(main)
