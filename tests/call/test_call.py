"""One call without a socket: events go in one at a time, and what it wants of its carrier comes out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast
from unittest import mock

import pytest

from callflow.agent.prompts import typing_lost
from callflow.call import machine, mailbox
from callflow.call.call import Call
from callflow.call.command_ids import CommandPlace, command_id
from callflow.call.dtmf import MASK
from callflow.call.handover import ProcessHandover
from callflow.call.line_requests import NO_CALLER, TRANSFERRED
from callflow.call.requests import HELD
from callflow.call.restore import RestoredCall, restore_call
from callflow.call.services import CallServices
from callflow.contracts import events
from callflow.contracts.engine import SessionLost, SessionReady
from callflow.contracts.errors import CarrierError, Overloaded, Refused
from callflow.contracts.events import LegIds
from callflow.contracts.tools import ToolAnswer, ToolCall
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.tools.builtin import transfer_call
from tests.call.offline import FakeCarrier, FakeEngine, as_carrier, events_of, services, until


NAME = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"
IDS = LegIds("control", "leg", "session")
RINGS = events.CallInitiated(from_number="+15550100001", to_number="+15550100002")


@dataclass
class Stage:
    call: Call
    carrier: FakeCarrier
    services: CallServices
    running: asyncio.Task[None]

    async def ask(self, event: events.Event) -> str:
        """The body of the answer to a webhook."""
        return (await asyncio.wait_for(self.call.request_reply(event), 5)).body.decode()

    def happened(self) -> list[str]:
        return events_of(self.call, self.services)

    async def talks(self) -> tuple[list[Any], list[str]]:
        """Let the call come to its stream. Returns what each session of the model reports to, and what all of them are
        asked to say; "the tool": to answer with its result."""
        tell, asked = list[Any](), list[str]()

        def make(context: Any, hear: Any) -> Any:
            tell.append(hear)
            engine = cast(Any, FakeEngine())
            engine.request_response = lambda instructions="", **_: asked.append(instructions)
            engine.answer_tool = lambda call, output, speak: asked.append("the tool") if speak else None
            return engine

        self.call.agent.sessions.make = make
        await self.ask(RINGS)
        await self.ask(events.CallAnswered())
        self.call.post(events.MediaStarted())
        await until(lambda: self.call.model.state == machine.STREAMING and tell)
        return tell, asked


@contextlib.asynccontextmanager
async def stage(*can: str, restored: RestoredCall | None = None, **config: Any) -> AsyncIterator[Stage]:
    carrier, shared = FakeCarrier(*can), services(**config)
    call = Call(NAME, as_carrier(carrier), IDS, shared, restored=restored)
    running = asyncio.create_task(call.run())
    try:
        yield Stage(call, carrier, shared, running)
    finally:
        call.post(events.CallHangup())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def test_a_call_that_rings_is_answered_and_its_numbers_are_known() -> None:
    async def main() -> None:
        async with stage() as the:
            assert await the.ask(RINGS) == "call_initiated"
            await until(the.carrier.names)
            assert the.carrier.names() == ["answer"]
            assert the.carrier.executed[0].stream_url.startswith("wss://phone.example/media-stream/")
            told = the.call.describe()
            assert (told["from"], told["to"], told["state"]) == ("+15550100001", "+15550100002", the.call.model.state)
            assert the.happened()[:2] == ["began", "call_initiated"]

    play(main)


def test_a_carrier_that_answers_in_its_reply_has_answered() -> None:
    async def main() -> None:
        async with stage("answers_in_reply") as the:
            await the.ask(RINGS)
            await until(lambda: the.call.model.state == machine.ANSWERED)
            assert the.carrier.names() == []

    play(main)


def test_a_webhook_whose_sender_gave_up_while_the_call_was_released_is_no_error() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            ended = the.call.request_reply(events.CallHangup(cause="normal_clearing"))
            given_up = the.call.request_reply(events.CallAnswered())
            given_up.cancel()
            await ended
            await asyncio.wait_for(the.running, 5)

    play(main)


def test_the_end_releases_everything_and_what_comes_later_is_only_written_down() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with stage() as the:
            await the.ask(RINGS)
            assert await the.ask(events.CallHangup(cause="normal_clearing")) == "over call_hangup"
            await asyncio.wait_for(the.running, 5)
            assert machine.is_over(the.call.model)
            assert the.happened()[-1] == "ended"
            assert await the.ask(events.StreamAnnounced()) == "over stream_announced"
            the.call.post(events.Dtmf(digit="7"))
            assert the.happened()[-2:] == ["stream_announced", "dtmf"]
            assert "7" not in str(the.services.journal.read(NAME)[-1].event), "nobody knows whose digit that was"
        await until(lambda: asyncio.all_tasks() <= before)

    play(main)


@pytest.mark.parametrize(("told", "seconds"), [("90", 90.0), ("", 0.0), ("0", 0.0)])
def test_a_call_whose_answer_was_lost_counts_for_as_long_as_the_carrier_says(told: str, seconds: float) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            assert the.call.relay.answered_at is None
            await the.ask(events.CallHangup(cause="completed", seconds=told))
            answered = cast(float, the.call.relay.answered_at)
            assert asyncio.get_running_loop().time() - answered == pytest.approx(seconds, abs=5)

    play(main)


def test_a_call_with_too_much_to_do_refuses_a_webhook_but_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with stage() as the:
            monkeypatch.setattr(mailbox, "_MOST", 0)
            with pytest.raises(Overloaded):
                the.call.request_reply(events.Dtmf(digit="1"))
            assert await the.ask(events.CallHangup()) == "over call_hangup"

    play(main)


def test_a_fault_of_ours_ends_this_call_and_hangs_it_up(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with stage() as the:
            with mock.patch.object(machine, "take", side_effect=ZeroDivisionError):
                assert await the.ask(RINGS) == "over call_initiated", "the sender is not kept waiting"
            await asyncio.wait_for(the.running, 5)
            await until(the.carrier.names)
            assert (the.carrier.names(), the.call.model.cause) == (["hangup"], "our_fault")
            assert the.happened()[-1] == "ended"

    play(main)
    assert "an internal error ends it" in caplog.text


def test_a_command_that_fails_is_an_event() -> None:
    async def main() -> None:
        async with stage() as the:
            the.carrier.error = CarrierError("no such call", gone=True)
            await the.ask(RINGS)
            await until(lambda: "command_failed" in the.happened())
            await asyncio.wait_for(the.running, 5)
            assert machine.is_over(the.call.model)

    play(main)


def test_an_operator_ends_it_once_however_often_they_ask() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            assert the.call.hang_up("now", "console")
            assert the.call.hang_up("now", "console")
            await asyncio.wait_for(the.running, 5)
            assert the.happened().count("hangup_requested") == 1
            assert not the.call.hang_up("now", "console"), "it is over"

    play(main)


def test_only_a_live_call_of_this_process_takes_media_sockets() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            await until(the.carrier.names)
            the.call.claim_stream(1)
            the.call.unclaim_stream()
            with pytest.raises(Refused, match="replaced by another"):
                the.call.claim_stream(2)
            await the.ask(events.CallHangup())
            with pytest.raises(Refused, match="used already"):
                the.call.claim_stream(1)

    play(main)


class Closing:
    """A media socket that only notes that it is closed."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    async def close(self, code: int, reason: str) -> None:
        self.codes.append(code)


@pytest.mark.parametrize("what", ["it ends", "it is elsewhere", "a newer stream was asked for"])
def test_a_socket_that_the_call_does_not_need_any_more_is_closed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            await until(the.carrier.names)
            the.call.claim_stream(1)

            async def fetch(_: ProcessHandover, agent: object, post: object) -> None:
                if what == "it ends":
                    await the.ask(events.CallHangup())
                    await asyncio.wait_for(the.running, 5)
                elif what == "it is elsewhere":
                    the.call.let_go()
                else:
                    the.call._streams.ordinal += 1

            monkeypatch.setattr(ProcessHandover, "hear_handover_input", fetch)
            socket = Closing()
            await asyncio.wait_for(the.call.serve_socket(cast(Any, socket)), 5)
            assert socket.codes == [1000]
            assert not the.call.relay.has_socket

    play(main)


def test_a_call_that_is_handed_over_ends_nowhere() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            await until(lambda: "command_done" in the.happened())
            await the.call.hand_over()
            await asyncio.wait_for(the.running, 5)
            assert the.call.is_handed_over
            assert (the.happened()[-1], machine.is_over(the.call.model)) == ("handed_over", False)
            assert await the.ask(events.Dtmf(digit="1")) == "dtmf", "not over: the next process answers"
            assert "hangup" not in the.carrier.names()

    play(main)


@pytest.mark.parametrize(
    ("can", "event", "stepped", "keys"),
    [
        (("answers_in_reply",), events.CarrierNotice(), False, ""),
        ((), events.Dtmf(digit="1"), False, "1"),
        (("answers_in_reply",), events.Dtmf(digit="1"), False, "1"),
        ((), events.CallHangup(), True, ""),
    ],
)
def test_what_is_queued_when_a_call_is_handed_over_is_no_step_after_that_but_its_end(
    can: tuple[str, ...], event: events.Event, stepped: bool, keys: str
) -> None:
    """The next process took the call for one whose process had died, and the agent apologised."""

    async def main() -> None:
        async with stage(*can) as the:
            await the.ask(RINGS)
            await until(lambda: "command_done" in the.happened())
            answer = the.call.request_reply(event)
            await the.call.hand_over()
            await asyncio.wait_for(the.running, 5)
            assert (await asyncio.wait_for(answer, 5)).body
            found = restore_call(the.services.journal.read(NAME))
            assert found is not None
            assert (found.handed_over, machine.is_over(found.model)) == (not stepped, stepped)
            assert found.keys.take() == keys, "it was answered, and the next process does not know of it"

    play(main)


@pytest.mark.parametrize(
    ("key", "sensitive"), [(events.Dtmf(digit="1", leg=events.HUMAN), False), (events.Dtmf(digit="4"), True)]
)
def test_a_key_of_which_the_journal_says_too_little_is_sent_again_to_the_next_process(
    key: events.Dtmf, sensitive: bool
) -> None:
    """It was answered: the person had to press it again to get the caller, and a secret digit was lost."""

    async def main() -> None:
        async with stage(dtmf_sensitive=sensitive) as the:
            await the.ask(RINGS)
            await until(lambda: "command_done" in the.happened())
            await the.call.hand_over()
            await asyncio.wait_for(the.running, 5)
            with pytest.raises(Overloaded):
                await asyncio.wait_for(the.call.request_reply(key), 5)
            assert "dtmf" not in the.happened()

    play(main)


@pytest.mark.parametrize("is_released", [False, True])
def test_a_key_that_comes_while_a_call_is_handed_over_is_read_by_the_next_process(is_released: bool) -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            await the.ask(events.Dtmf(digit="4"))
            handing = asyncio.create_task(the.call.hand_over())
            await (handing if is_released else asyncio.sleep(0))
            if is_released:
                await asyncio.wait_for(the.running, 5)
            assert await the.ask(events.Dtmf(digit="2")) == "dtmf"
            await handing
            found = restore_call(the.services.journal.read(NAME))
            assert found is not None
            assert found.keys.take() == "42"

    play(main)


def test_what_the_next_process_cannot_read_is_not_answered_so_that_it_gets_it_itself() -> None:
    async def main() -> None:
        async with stage() as the:
            await the.ask(RINGS)
            await until(lambda: "command_done" in the.happened())
            queued = the.call.request_reply(events.CarrierNotice())
            await the.call.hand_over()
            await asyncio.wait_for(the.running, 5)
            for answer in (queued, the.call.request_reply(events.CallAnswered())):
                with pytest.raises(Overloaded):
                    await asyncio.wait_for(answer, 5)

    play(main)


def restored(state: str = machine.ANSWERED, **more: Any) -> RestoredCall:
    model = machine.Model()
    model.state = state
    return RestoredCall(NAME, "fake", IDS, "+15550100001", "+15550100002", 100.0, model, 7, **{"at": 150.0, **more})


def test_a_restored_call_waits_and_then_goes_on_where_the_other_process_was() -> None:
    async def main() -> None:
        async with stage(restored=restored()) as the:
            await asyncio.sleep(0.01)
            assert (the.call.awaits_return, the.happened()) == (True, [])
            the.call.recover("answered")
            await until(lambda: "call_recovered" in the.happened())
            assert (the.call.awaits_return, the.running.done()) == (False, False)
            entry = the.services.journal.read(NAME)[-1]
            assert "began" not in the.happened(), "it stands in the journal already"
            assert the.services.journal.read(NAME)[0].step == 8 <= entry.step

    play(main)


def test_a_restored_call_that_is_over_has_its_hang_up_sent_again_and_ended_when_it_was_last_written_to() -> None:
    async def main() -> None:
        async with stage(restored=restored(machine.HANGUP, hangup=CommandPlace(5, 1))) as the:
            the.call.recover("answered")
            await asyncio.wait_for(the.running, 5)
            await until(the.carrier.names)
            assert the.carrier.names() == ["hangup"]
            assert the.services.journal.read(NAME)[-1].event["until"] == 150.0

    play(main)


def test_two_processes_that_both_go_on_from_the_same_entry_send_commands_of_their_own() -> None:
    """The second of three processes ends before its first step is written: the third counts from the same number. A
    carrier that knows the id of the second's request for a stream would ignore the third's, and the caller would hear
    nobody."""

    async def main() -> None:
        sent = []
        for _ in range(2):
            async with stage(restored=restored()) as the:
                the.call.recover("answered")
                await until(the.carrier.names)
                assert the.carrier.names() == ["stream"]
                assert the.carrier.executed[0].id not in (command_id(NAME, 8, place) for place in range(5))
                sent.append(the.carrier.executed[0].id)
        assert len({*sent}) == 2, sent

    play(main)


def test_a_restored_call_that_is_never_recovered_stays_as_it_is() -> None:
    async def main() -> None:
        async with stage(restored=restored()) as the:
            await asyncio.sleep(0.01)
            the.running.cancel()
            await asyncio.gather(the.running, return_exceptions=True)
            assert (the.happened(), the.carrier.names(), the.call.is_handed_over) == ([], [], True)

    play(main)


def typed_before(*told: dict[str, Any]) -> RestoredCall:
    """A call in which the process of before got these keys, a moment ago."""
    began = {"event": "began", "carrier": "fake", "control": IDS.control, "leg": IDS.leg, "session": IDS.session}
    now = time.time()
    old = restore_call([JournalEntry(NAME, 0, now, event) for event in [began, *told]])
    assert old is not None
    old.model.state = machine.ANSWERED
    return old


BEGAN = JournalEntry(NAME, 0, 0.0, {"event": "began", "carrier": "fake", "control": IDS.control})


def stream(digit: str) -> dict[str, Any]:
    return {"event": "dtmf", "digit": digit, "source": "stream"}


def told_again(digit: str) -> dict[str, Any]:
    return {"event": "carrier_notice", "kind": "a key that was told already", "digit": digit}


def entries(the: Stage) -> list[str]:
    return [entry.event["digits"] for entry in the.services.journal.read(NAME) if entry.name == "digits"]


def test_an_entry_that_is_typed_while_the_call_changes_process_is_one_entry_of_each_key_once() -> None:
    async def main() -> None:
        old = typed_before(stream("1"), stream("2"), stream("3"), told_again("2"))
        async with stage(restored=old) as the:
            the.call.recover("answered")
            for webhook in "13":  # of keys that the process of before has counted; the carrier tells them late
                await the.ask(events.Dtmf(digit=webhook))
            for digit in "2#":
                the.call.post(events.Dtmf(digit=digit, source="stream"))
            await until(lambda: entries(the))
            assert entries(the) == ["1232"]
            assert the.happened().count("carrier_notice") == 2

    play(main)


def test_a_persons_key_that_the_carrier_tells_again_after_a_restart_is_pressed_once() -> None:
    async def main() -> None:
        key = {"digit": "1", "leg": events.HUMAN, "delivery": "w1"}
        async with stage(restored=typed_before({"event": "dtmf", **key})) as the:
            the.call.recover("answered")
            assert await the.ask(events.Dtmf(source="asked", **key)) == "carrier_notice"
            assert await the.ask(events.Dtmf(source="asked", **{**key, "delivery": "w2"})) == "dtmf"
            assert await the.ask(events.Dtmf(source="asked", **{**key, "delivery": ""})) == "dtmf"

    play(main)


@pytest.mark.parametrize("moved", [False, True], ids=["the call stays", "the call is moved"])
def test_an_entry_comes_after_its_keys_also_where_these_wait_while_the_call_is_to_be_moved(moved: bool) -> None:
    """The next process took the keys for the beginning of another entry."""

    async def main() -> None:
        async with stage(restored=typed_before(), dtmf_pause_seconds=60.0) as the:
            the.call.recover("answered")
            await until(lambda: "call_recovered" in the.happened())
            assert await the.call.mailbox.hold(5)
            for digit in "12#":
                the.call.post(events.Dtmf(digit=digit, source="stream"))
            for _ in range(5):
                await asyncio.sleep(0)
            assert entries(the) == []
            if moved:
                the.services.journal.note(the.call.entry(notes.HandedOver()))
                the.call.let_go()
                await asyncio.wait_for(the.running, 5)
                old = restore_call([BEGAN, *the.services.journal.read(NAME)])
                assert old is not None
                assert (entries(the), old.keys.take()) == ([], "12")
                return
            the.call.mailbox.go_on()
            await until(lambda: entries(the))
            assert entries(the) == ["12"]
            assert the.happened().index("digits") > the.happened().index("dtmf")
            old = restore_call([BEGAN, *the.services.journal.read(NAME)])
            assert old is not None
            assert not old.keys.is_begun

    play(main)


def test_digits_that_the_next_process_cannot_read_are_asked_for_again_and_the_rest_is_no_entry() -> None:
    async def main() -> None:
        old = typed_before(stream(MASK), stream(MASK))
        async with stage(restored=old, dtmf_sensitive=True) as the:
            the.call.recover("answered")
            await until(lambda: the.call.agent.sessions.is_there)
            the.call.post(events.Dtmf(digit="3", source="stream"))
            the.call.post(events.Dtmf(digit="#", source="stream"))
            await until(lambda: "told" in the.happened())
            told = [entry.event["text"] for entry in the.services.journal.read(NAME) if entry.name == "told"]
            assert (told, entries(the)) == ([typing_lost()], [MASK * 3])

    play(main)


def test_an_entry_whose_end_the_process_of_before_did_not_see_ends_after_the_pause() -> None:
    async def main() -> None:
        async with stage(restored=typed_before(stream("4")), dtmf_pause_seconds=0.01) as the:
            await asyncio.sleep(0.03)
            assert the.happened() == [], "the call is not this process's yet"
            the.call.recover("answered")
            await until(lambda: entries(the))
            assert entries(the) == ["4"]

    play(main)


def test_a_call_whose_caller_is_typing_or_with_an_operator_is_not_quiet() -> None:
    async def main() -> None:
        async with stage(restored=typed_before(), dtmf_pause_seconds=0.05) as the:
            the.call.recover("answered")
            await until(lambda: "call_recovered" in the.happened())
            the.call.model.state = machine.STREAMING
            the.call.agent.turns.engine_back()
            quiet = [the.call.is_quiet]
            the.call.requests.line.taken_by = "operator"
            quiet.append(the.call.is_quiet)
            the.call.requests.line.taken_by = ""
            the.call.post(events.Dtmf(digit="1", source="stream"))
            quiet.append(the.call.is_quiet)
            assert quiet == [True, False, False]
            await until(lambda: entries(the))
            assert not the.call._dtmf.is_typing

    play(main)


def test_who_spoke_in_the_process_of_before_goes_on_in_this_one_and_nobody_else_does() -> None:
    async def main() -> None:
        old = typed_before(
            {"event": "take_over", "state": "began", "by": "token mia"},
            {"event": "told", "text": "Only listen."},
        )
        old.muted.add("agent")
        old.model.state = machine.STREAMING
        async with stage(restored=old) as the:
            ours = the.call.take_over
            assert ours.by == "token mia", "also before the carrier is asked"
            the.call.recover("answered")
            assert "mia" in ours.begin("token ben")
            assert ours.begin("token mia", again=True) == ""
            assert "mia" in ours.begin("token mia"), "they speak"
            assert (the.call.requests.line.muted, ours.number) == (["agent"], 1)
            assert ours.is_written_down
            assert ours.begin("token mia", again=True) == "", "their network has changed, which is not known here yet"
            await until(lambda: "call_recovered" in the.happened())
            assert "take_over" not in the.happened(), "it goes on"
            ours.lost(1)
            assert "take_over" not in the.happened(), "the connection of before is not theirs any more"
            ours.lost(2)
            assert the.happened()[-1] == "take_over"

    play(main)


def test_who_was_lost_for_long_does_not_take_the_caller_from_the_agent_by_coming_back() -> None:
    async def main() -> None:
        async with stage(restored=typed_before()) as the:
            the.call.recover("answered")
            assert the.call.take_over.begin("token mia", again=True) == "The agent has the caller back."

    play(main)


def test_a_tool_that_was_running_in_the_process_of_before_is_not_run_again_and_no_other_is_refused() -> None:
    async def main() -> None:
        began = {"event": "began", "carrier": "fake", "control": IDS.control}
        running = [("a", "book", '{"card":"[…]"}'), ("b", "end_call", "{}")]
        written = [{"event": "tool_called", "id": name, "tool": of, "arguments": text} for name, of, text in running]
        told = [JournalEntry(NAME, 0, time.time(), began)]
        told += [JournalEntry(NAME, 1, time.time(), event, "streaming", "streaming", taken=True) for event in written]
        async with stage(restored=restore_call(told)) as the:
            calls, ran = the.call.agent.tool_calls, list[str]()

            class Ran:
                async def run(self, call: ToolCall, seconds: float) -> ToolAnswer:
                    ran.append(call.id)
                    return ToolAnswer("{}", ok=True)

            calls._toolbox = cast(Any, Ran())
            cast(Any, the.services.redact).text = lambda text: text.replace("4111", "[…]")
            asked = [("1", "book", '{"card": "4111"}'), ("2", "book", '{"card": "none"}'), ("3", "end_call", "{}")]
            for each in asked:
                calls.called(ToolCall(*each), spoken=False)
                await calls.run(each[0])
            assert ran == ["2", "3"]
            answer = calls.answer("1")
            assert answer is not None
            assert "not known" in answer[1]

    play(main)


@pytest.mark.parametrize("state", [machine.ANSWERED, machine.HANGUP])
def test_a_call_that_is_being_recovered_is_left_as_it_is_when_the_process_hands_over(state: str) -> None:
    """It was hung up as the process ended, if its carrier answered just then that the call is there."""

    async def main() -> None:
        async with stage(restored=restored(state, hangup=CommandPlace(5, 1))) as the:
            await asyncio.sleep(0)
            await the.call.hand_over()
            the.call.post(events.HangupRequested(reason="shutdown", by="drain"))
            the.call.recover("answered")
            await asyncio.wait_for(the.running, 5)
            assert (the.happened(), the.carrier.names(), the.call.is_handed_over) == ([], [], True)
            assert await the.ask(events.Dtmf(digit="1")) == "dtmf", "not over: the next process answers"

    play(main)


@pytest.mark.parametrize(
    ("event", "ends"),
    [
        (events.GoodbyeRequested(reason="shutdown", by="drain"), True),
        (events.DeadlinePassed(deadline="bridged"), True),
        (events.MediaRefused(), True),
        (events.BudgetReached(), False),
        (events.NoInput(time=3, last=True), False),
        (events.DeadlinePassed(deadline="hold"), False),
    ],
    ids=lambda value: getattr(value, "trigger", value),
)
def test_a_person_is_told_when_the_last_sentence_of_the_call_begins_whoever_wanted_it(
    event: events.Event, ends: bool
) -> None:
    async def main() -> None:
        async with stage(restored=typed_before()) as the:
            the.call.recover("answered")
            await until(lambda: "call_recovered" in the.happened())
            the.call.model.state, the.call.model.engine, the.call.model.media = machine.STREAMING, "ready", "open"
            the.call.model.answer_sent = True
            assert the.call.take_over.begin("token mia") == ""
            await until(lambda: "bridged" in the.call.model.armed)
            the.call.post(event)
            the.call.post(events.CarrierNotice())
            await until(lambda: "carrier_notice" in the.happened())  # what came before is done
            told = [entry.event["state"] for entry in the.services.journal.read(NAME) if entry.name == "take_over"]
            assert told == (["began", "ended"] if ends else ["began"])
            assert the.call.take_over.by == ("" if ends else "token mia")
            assert bool(the.call.model.farewell) == ends

    play(main)


def test_a_caller_who_is_given_back_before_the_first_session_is_there_hears_the_agent_when_it_is() -> None:
    """It said nothing until it was taken for one that has gone mute: who was with a person is not greeted."""

    async def main() -> None:
        async with stage() as the:
            tell, asked = await the.talks()
            assert the.call.take_over.begin("token mia") == ""
            await until(lambda: "bridged" in the.call.model.armed)
            the.call.take_over.give_back()
            await until(lambda: not the.call.take_over.by)
            assert asked == []
            tell[-1](SessionReady())
            await until(lambda: asked)
            the.call.post(events.CarrierNotice())
            await until(lambda: "carrier_notice" in the.happened())  # what came before is done
            assert asked == [""]

    play(main)


@pytest.mark.parametrize("gives_back", ["before the session", "after the session"])
def test_a_caller_whom_a_person_has_greeted_is_not_greeted_by_the_agent_after_a_break(gives_back: str) -> None:
    async def main() -> None:
        async with stage() as the:
            tell, asked = await the.talks()
            assert the.call.take_over.begin("token mia") == ""
            await until(lambda: "bridged" in the.call.model.armed)
            tell[-1](SessionLost("gone", retry=gives_back == "after the session"))
            if gives_back == "after the session":
                await until(lambda: len(tell) == 2)
                tell[-1](SessionReady())
                await until(lambda: the.call.model.engine == "ready")
                tell[-1](SessionLost("gone again"))
            await until(lambda: the.call.model.engine == ("connecting" if len(tell) > 2 else "lost"))
            the.call.take_over.give_back()
            await until(lambda: not the.call.take_over.by)
            tell[-1](SessionReady())
            await until(lambda: asked and the.call.model.engine == "ready")
            the.call.post(events.CarrierNotice())
            await until(lambda: "carrier_notice" in the.happened())  # what came before is done
            assert asked == [""], "it knows what the person has said, and goes on from there"

    play(main)


@pytest.mark.parametrize("how", ["a whisper", "a mute that ends", "a tool", "a slow tool"])
def test_what_is_to_be_said_between_the_session_and_the_step_that_takes_it_is_one_sentence_with_the_resumption(
    how: str,
) -> None:
    """The agent said what was asked for, and then that the line had been interrupted."""

    async def main() -> None:
        async with stage() as the:
            tell, asked = await the.talks()
            agent = the.call.agent
            tell[-1](SessionReady())
            await until(lambda: the.call.model.engine == "ready")
            agent.conversation.sounds("item_1")
            agent.tool_calls.called(ToolCall("call_a", "look_up", "{}"), spoken=False)
            if how == "a mute that ends":
                assert the.call.requests.line.mute("agent", True, by="token mia") == ""
                await until(lambda: "agent" in the.call.relay.gates.muted)
                agent.prompter.say("")
            tell[-1](SessionLost("gone"))
            await until(lambda: len(tell) == 2)
            asked.clear()
            tell[-1](SessionReady())
            assert the.call.model.engine == "connecting"
            match how:
                case "a whisper":
                    agent.prompter.whisper("note", "Offer the earlier one.", now=True)
                case "a mute that ends":
                    the.call._local_commands.line.mute("agent", False)
                case "a tool":
                    await agent.tool_calls.run("call_a")
                    agent.tool_turns.answer("call_a")
                case _:
                    agent._fill_for_tool()
            await until(lambda: the.call.model.engine == "ready" and asked)
            the.call.post(events.CarrierNotice())
            await until(lambda: "carrier_notice" in the.happened())  # what came before is done
            assert len(asked) == 1, asked

    play(main)


@pytest.mark.parametrize("can", [("transfers", "queues_dials"), ("transfers",)], ids=["a queue", "no queue"])
def test_the_time_of_a_person_counts_from_the_moment_in_which_the_carrier_rings_them(can: tuple[str, ...]) -> None:
    """A burst of transfers would else have had its last ones ended while they waited in the carrier's queue."""

    async def main() -> None:
        async with stage(*can, restored=typed_before(), transfer_ring_seconds=30.0) as the:
            armed: list[tuple[str, float]] = []
            with mock.patch.object(
                the.call._deadlines, "arm", lambda name, seconds, **_: armed.append((name, seconds))
            ):
                the.call.recover("answered")
                await until(lambda: "call_recovered" in the.happened())
                the.call.model.state, the.call.model.engine, the.call.model.media = machine.STREAMING, "ready", "open"
                assert the.call.requests.transfer("desk", "+15550100003", by="agent") == ""
                await until(lambda: "transfer" in dict(armed))
                the.call.post(events.CallInitiated(leg=events.HUMAN, direction="outgoing"))
                await until(lambda: [name for name, _ in armed].count("transfer") == 2)
            asked, rings = (seconds for name, seconds in armed if name == "transfer")
            queue = the.call.config.deadline_seconds["queue"]
            assert asked - rings == pytest.approx(queue if "queues_dials" in can else 0.0)

    play(main)


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[Stage]:
    """A call in which the caller talks with the agent."""
    async with stage("transfers", transfer_targets={"desk": "+15550100003"}) as the:
        await the.ask(RINGS)
        await until(lambda: "command_done" in the.happened())
        the.call.model.state, the.call.model.engine, the.call.model.media = machine.STREAMING, "ready", "open"
        yield the


@pytest.mark.parametrize("queued", [False, True])
def test_a_transfer_that_is_asked_for_on_hold_is_refused_with_its_reason(queued: bool) -> None:
    """Also when the request for the hold is still waiting: the step would refuse the transfer without a word."""

    async def main() -> None:
        async with talking() as the:
            assert the.call.requests.line.hold("console") == ""
            if not queued:
                await until(lambda: the.call.requests.line.is_on_hold)
            acts = the.call.requests.of_tools(outbound=False)
            told = acts["transfer_call"]("desk", "a summary")
            assert told == ("warm", HELD)
            assert transfer_call(acts["transfer_call"])("desk", "")["error"].endswith(HELD), "the model is told why"
            assert the.call.requests.transfer("desk", "+15550100003", by="console") == HELD
            await until(lambda: the.call.requests.line.is_on_hold)
            assert "transfer_requested" not in the.happened()

    play(main)


def test_a_hold_that_is_asked_for_after_a_transfer_is_refused_with_its_reason() -> None:
    async def main() -> None:
        async with talking() as the:
            assert the.call.requests.transfer("desk", "+15550100003", by="agent") == ""
            assert the.call.requests.line.hold("console") == TRANSFERRED
            assert the.call.requests.transfer("desk", "+15550100003", by="agent") == TRANSFERRED

    play(main)


@pytest.mark.parametrize(
    ("by", "armed", "farewell", "told"),
    [
        ("agent", "hold", "", HELD), ("agent", "bridged", "", NO_CALLER), ("agent", "", machine.SPEAKING, ""),
        ("console", "hold", "", ""),
    ],
)  # fmt: skip
def test_the_agent_learns_that_a_transfer_has_not_begun_after_all(
    by: str, armed: str, farewell: Any, told: str
) -> None:
    """Its tool has said that the person is being rung, and the caller is waiting for them."""

    async def main() -> None:
        async with talking() as the:
            assert the.call.requests.transfer("desk", "+15550100003", by=by) == ""
            the.call.model.armed |= {armed} - {""}  # as by an event that came in between
            the.call.model.farewell = farewell
            await until(lambda: "transfer_requested" in the.happened())
            await asyncio.sleep(0)
            facts = [turn.text for turn in the.call.agent.conversation.turns if turn.who == "system"]
            assert all("Desk is not being called after all." in fact and told in fact for fact in facts)
            assert bool(facts) is bool(told)

    play(main)
