"""What a tool or an operator asked for while the call passed to another process: done there, once."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from msgspec import structs

from callflow.call import machine
from callflow.call.call import Call
from callflow.call.dtmf import MASK
from callflow.call.requests_after_move import LeftRequests, is_left, unconfirmed
from callflow.call.restore import restore_call
from callflow.contracts import commands, events
from callflow.contracts.carrier import CarrierCan
from callflow.contracts.events import Event, LegIds
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from tests.call.offline import FakeCarrier, as_carrier, events_of, services, until


NAME = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"
IDS = LegIds("control", "leg", "session")
END = events.EndRequested(reason="agent", by="agent")
TRANSFER = events.TransferRequested(target="desk", number="+15550100003", by="agent")
PAUSE = events.PauseRequested(on=True, by="agent")
KEYS = events.DtmfRequested(id="1", digits="42", by="agent")
HELD = events.to_json(END), events.to_json(TRANSFER), events.to_json(PAUSE), events.to_json(KEYS)


def entry(told: dict[str, object], *, state: str = "", step: int = 0) -> JournalEntry:
    return JournalEntry(NAME, step, float(step), dict(told), state, state, taken=bool(state))


BEGAN = entry({"event": "began", "carrier": "fake", "control": "control", "leg": "leg", "session": "session"})
HANDED_OVER = entry(notes.to_json(notes.HandedOver()))


def left(*more: JournalEntry) -> list[Event]:
    old = restore_call([BEGAN, *more])
    assert old is not None
    return old.left


def test_what_was_asked_for_after_the_handover_is_left_in_its_order() -> None:
    assert left(HANDED_OVER, *(entry(told) for told in HELD)) == [END, TRANSFER, PAUSE, KEYS]


def test_what_another_process_has_taken_already_is_done() -> None:
    taken = entry(events.to_json(END), state=machine.STREAMING, step=1)
    assert left(HANDED_OVER, entry(HELD[0]), entry(HELD[1]), taken) == [TRANSFER]


def test_the_agent_is_told_once_that_keys_were_lost() -> None:
    secret = structs.replace(KEYS, digits=MASK * 2)
    (told,) = Keeps().carried_out(LeftRequests([secret]), media=True, agent=True)
    taken = entry(events.to_json(told), state=machine.STREAMING, step=1)
    assert left(HANDED_OVER, entry(events.to_json(secret))) == [secret]
    assert left(HANDED_OVER, entry(events.to_json(secret)), taken) == []


def test_what_a_node_writes_that_has_the_call_no_more_is_nobodys() -> None:
    recovered = entry(events.to_json(events.CallRecovered()), state=machine.STREAMING, step=1)
    assert left(HANDED_OVER, recovered, entry(HELD[0])) == []


def test_what_nobody_has_done_while_the_call_went_on_for_a_minute_is_not_done_any_more() -> None:
    """It came too late for the process that took the call over, and a third one reads it."""
    recovered = entry(events.to_json(events.CallRecovered()), state=machine.STREAMING, step=1)
    later = dataclasses.replace(recovered, step=2, at=62.0)
    assert left(HANDED_OVER, entry(HELD[0]), recovered) == [END]
    assert left(HANDED_OVER, entry(HELD[0]), recovered, later) == []


def ordered(*given: commands.Command) -> JournalEntry:
    return dataclasses.replace(
        entry({"event": "asked"}, state="streaming", step=1), commands=[commands.to_json(one) for one in given]
    )


def answered(name: str, kind: type[Event] = events.CommandDone) -> JournalEntry:
    return entry({"event": kind.name, "command": name}, state="streaming", step=2)


PAUSED, RESUMED = (ordered(commands.PauseRecord(on=on)) for on in (True, False))
STOPS = ordered(commands.Record(on=False))


@pytest.mark.parametrize(
    ("entries", "wanted"),
    [
        ([PAUSED], [events.PauseRequested(on=True, carrier=True)]),
        ([PAUSED, answered("pause_record")], []),
        ([PAUSED, answered("pause_record", events.CommandFailed)], []),
        ([PAUSED, answered("record")], [events.PauseRequested(on=True, carrier=True)]),
        ([PAUSED, RESUMED, answered("pause_record")], [events.PauseRequested(on=False, carrier=True)]),
        ([STOPS], [events.RecordRequested(on=False)]),
        ([ordered(commands.Record(on=True))], []),
    ],
)
def test_what_the_carrier_did_not_confirm_of_its_recording_is_asked_of_it_again(
    entries: list[JournalEntry], wanted: list[Event]
) -> None:
    """It recorded what was to be kept nowhere: the process had asked it, as far as the journal told, and was lost."""
    assert unconfirmed(entries) == wanted
    restored = restore_call([BEGAN, *entries])
    assert restored is not None
    assert restored.left == wanted


@pytest.mark.parametrize(
    ("event", "counts"),
    [
        (events.HangupRequested(by="console"), True),
        (events.HangupRequested(by="drain"), False),
        (events.GoodbyeRequested(reason="budget"), False),
        (events.ToolFinished(id="t1"), True),
        (events.MediaLost(), False),
    ],
)
def test_an_end_that_only_the_former_process_wanted_is_not_left(event: Event, counts: bool) -> None:
    assert is_left(event) == counts


@dataclasses.dataclass
class Keeps:
    """Takes what is carried out, and the keys that are kept for it."""

    posted: list[Event] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)

    def keep(self, text: str, by: str) -> str:
        self.kept.append(text)
        return f"new {len(self.kept)}"

    def carried_out(self, requests: LeftRequests, *, media: bool, agent: bool) -> list[Event]:
        model = machine.Model()
        model.state = machine.STREAMING if agent else machine.RECOVERING
        model.media, model.engine = "open" if media else "lost", "ready" if agent else "connecting"
        self.posted = []
        requests.carry_out(model, self.keep, self.posted.append)
        return self.posted


def test_each_is_carried_out_once_as_soon_as_the_machine_can_take_it() -> None:
    requests, keeps = LeftRequests([END, TRANSFER, PAUSE, KEYS]), Keeps()
    assert keeps.carried_out(requests, media=False, agent=False) == [PAUSE]
    assert keeps.carried_out(requests, media=True, agent=False) == [END]
    assert keeps.carried_out(requests, media=True, agent=True) == [TRANSFER, structs.replace(KEYS, id="new 1")]
    assert keeps.kept == ["42"]
    assert keeps.carried_out(requests, media=True, agent=True) == []


def test_an_operators_end_of_a_call_in_which_two_people_talk_waits_for_no_media() -> None:
    goodbye = events.GoodbyeRequested(reason="operator", by="console")
    model, posted = machine.Model(), list[Event]()
    model.state, model.media = machine.BRIDGED, "lost"
    LeftRequests([END, goodbye]).carry_out(model, Keeps().keep, posted.append)
    assert posted == [goodbye]
    assert machine.take(model, goodbye).after == machine.HANGUP


def test_keys_that_nobody_may_read_have_failed() -> None:
    secret = structs.replace(KEYS, digits=MASK * 2)
    (told,) = Keeps().carried_out(LeftRequests([secret]), media=True, agent=True)
    assert isinstance(told, events.CommandFailed)
    assert (told.trigger, told.by) == ("send_dtmf_failed", "agent")


@pytest.mark.parametrize("forced", [True, False], ids=["to another node", "to the next process"])
def test_a_tool_that_acts_in_the_moment_of_the_move_has_its_act_done_once(forced: bool) -> None:
    can: frozenset[CarrierCan] = frozenset({"transfers"})

    async def main() -> None:
        shared = services(transfer_targets={"desk": "+15550100003"})
        carrier = FakeCarrier(*can)
        old = Call(NAME, as_carrier(carrier), IDS, shared)
        running = asyncio.create_task(old.run())
        await old.request_reply(events.CallInitiated(from_number="+15550100001", to_number="+15550100002"))
        await until(lambda: "command_done" in events_of(old, shared))
        old.model.state, old.model.engine, old.model.media = machine.STREAMING, "ready", "open"
        if forced:
            assert await old.mailbox.hold(5)
        acts = old.requests.of_tools(outbound=False)
        if forced:
            assert acts["transfer_call"]("desk", "a summary") == ("warm", "")
            shared.journal.note(old.entry(notes.HandedOver()))
            old.let_go()
            old.mailbox.go_on()
        else:
            leaving = asyncio.create_task(old.hand_over())
            await asyncio.sleep(0)
            assert acts["transfer_call"]("desk", "a summary") == ("warm", "")
            await leaving
        await asyncio.wait_for(running, 5)

        restored = restore_call(shared.journal.read(NAME))
        assert restored is not None
        new = Call(NAME, as_carrier(carrier), IDS, shared, restored=restored)
        running = asyncio.create_task(new.run())
        try:
            new.recover("answered")
            await until(lambda: "call_recovered" in events_of(new, shared))
            new.model.state, new.model.engine, new.model.media = machine.STREAMING, "ready", "open"
            new.post(events.CarrierNotice())
            await until(lambda: "dial" in carrier.names())
            new.post(events.CarrierNotice())
            await until(lambda: events_of(new, shared).count("carrier_notice") == 2)
            assert carrier.names().count("dial") == 1
        finally:
            new.post(events.CallHangup())
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_what_is_left_once_more_before_it_was_done_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    record = events.RecordRequested(on=True, by="agent")

    async def main() -> None:
        shared = services()
        for each in (BEGAN, HANDED_OVER, entry(events.to_json(PAUSE)), entry(events.to_json(record))):
            shared.journal.note(each)
        restored = restore_call(shared.journal.read(NAME))
        assert restored is not None
        call = Call(NAME, as_carrier(FakeCarrier()), IDS, shared, restored=restored)
        append, is_written, may_go_on = shared.journal.append, asyncio.Event(), asyncio.Event()

        async def append_slowly(written: JournalEntry) -> None:
            await append(written)
            if written.name == PAUSE.name:
                is_written.set()
                await may_go_on.wait()

        monkeypatch.setattr(shared.journal, "append", append_slowly)
        running = asyncio.create_task(call.run())
        call.recover("answered")
        await asyncio.wait_for(is_written.wait(), 5)  # and the other one waits in the mailbox
        await call.hand_over()
        may_go_on.set()
        await asyncio.wait_for(running, 5)
        again = restore_call(shared.journal.read(NAME))
        assert again is not None
        assert again.left == [record]

    asyncio.run(main())
