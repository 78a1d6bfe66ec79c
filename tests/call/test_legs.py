"""The legs of a call: which one an event is of, who is told what, and how long that takes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callflow.call import machine
from callflow.call.legs import BY_MACHINE, NOT_WRITTEN, Legs, asks_agent_to_speak
from callflow.call.machine import BRIDGED, STREAMING, Step
from callflow.call.mailbox import Mailbox
from callflow.contracts import commands, events
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import CALLER, FORMER, HUMAN, Event, LegIds, TransferRequested
from tests.call.offline import FakeCarrier, as_carrier
from tests.in_loop import in_loop


PERSON, OTHER, CALLERS = LegIds("person", "leg p"), LegIds("other", "leg o"), LegIds("caller", "leg c")
WARM = TransferRequested(target="the garage", number="+15550100009", summary=" A flat tyre. ", by="ada")
BOX = cast(Mailbox, type("Box", (), {"relabel": lambda self, old, new: None})())


class Scene:
    def __init__(self, *can: str, dials: bool = False) -> None:
        """`can`: what the carrier can do."""
        self.posted: list[Event] = []
        self.named: list[tuple[LegIds, str]] = []
        self.legs = Legs(
            as_carrier(FakeCarrier(*can)), dials=dials, post=self.posted.append,
            named=lambda ids, leg: self.named.append((ids, leg)),
        )  # fmt: skip

    def transfer(self, requested: TransferRequested = WARM, ids: LegIds | None = None) -> None:
        """Begin a transfer; `ids`: those of the person's leg, once they are known."""
        self.legs.after(Step(requested, STREAMING, STREAMING, taken=True), 100.0, BOX)
        if ids is not None:
            self.legs.known(ids, HUMAN)

    def joined(self, at: float) -> None:
        self.legs.after(Step(Event(), machine.TRANSFERRING, BRIDGED, taken=True), at, BOX)


@in_loop
async def test_an_inbound_call_dials_nobody_until_somebody_is_to_be_reached() -> None:
    one = Scene()
    assert (one.legs.dialled(CALLER), one.legs.dialled(HUMAN), one.legs.human) == (None, None, LegIds())
    assert not one.legs.awaits_ids(HUMAN)
    one.legs.known(PERSON, HUMAN)
    assert one.legs.human == LegIds(), "there is no person"
    one.transfer()
    assert one.legs.awaits_ids(HUMAN)
    one.legs.known(PERSON, HUMAN)
    assert not one.legs.awaits_ids(HUMAN)
    assert one.legs.human == PERSON


@in_loop
async def test_a_request_that_the_machine_has_not_taken_begins_nothing() -> None:
    one = Scene()
    one.legs.after(Step(WARM, STREAMING, STREAMING, taken=False), 1.0, BOX)
    assert one.legs.transfer is None


@in_loop
async def test_ids_without_a_control_id_settle_nothing() -> None:
    one = Scene(dials=True)
    one.legs.known(LegIds("", "leg"), CALLER)
    assert one.legs.awaits_ids(CALLER)


@in_loop
async def test_events_of_the_person_of_an_earlier_transfer_are_of_a_former_leg() -> None:
    one = Scene()
    one.transfer(ids=PERSON)
    assert one.legs.present(HUMAN, PERSON) == HUMAN
    one.transfer(ids=OTHER)
    assert one.legs.present(HUMAN, PERSON) == FORMER
    assert one.legs.present(HUMAN, LegIds("", "leg p")) == FORMER, "by either of its ids"
    assert one.legs.present(HUMAN, OTHER) == HUMAN
    assert one.legs.present(CALLER, PERSON) == CALLER
    assert one.legs.present(HUMAN, LegIds()) == HUMAN


@in_loop
async def test_what_an_earlier_dial_tells_late_is_not_about_the_person_who_is_rung_now() -> None:
    one = Scene()
    one.transfer()
    first = one.legs.dialled(HUMAN)
    assert first is not None
    one.transfer()
    first._post(events.CommandDone(leg=HUMAN, command="dial"))
    first._named(PERSON)
    assert one.posted == [events.CommandDone(leg=FORMER, command="dial")]
    assert one.named == []
    assert one.legs.present(HUMAN, PERSON) == FORMER
    second = one.legs.dialled(HUMAN)
    assert second is not None
    second._named(OTHER)
    assert one.named == [(OTHER, HUMAN)]


@in_loop
async def test_only_the_legs_of_the_last_hundred_transfers_are_remembered() -> None:
    one = Scene()
    for number in range(300):
        one.transfer(ids=LegIds(f"control {number}"))
    assert len(one.legs._former) == 100
    assert one.legs.present(HUMAN, LegIds("control 298")) == FORMER


@in_loop
async def test_a_referral_is_dialled_by_nobody_here() -> None:
    one = Scene()
    one.transfer(TransferRequested(mode="refer", number="sip:desk@example.com"))
    assert not one.legs.awaits_ids(HUMAN)
    leg = one.legs.dialled(HUMAN)
    assert leg is not None
    assert isinstance(leg.error, CarrierError)


@pytest.mark.parametrize("leg", [CALLER, HUMAN])
@in_loop
async def test_what_is_not_written_down_is_not_dialled(leg: str) -> None:
    one = Scene(dials=True)
    one.transfer()
    one.legs.not_written(leg)
    assert one.posted == [events.CommandFailed(leg=leg, command="dial", reason=NOT_WRITTEN)]
    assert not one.legs.awaits_ids(leg)


@in_loop
async def test_a_command_has_the_ids_of_its_leg_first() -> None:
    one = Scene()
    one.transfer(ids=PERSON)
    assert one.legs.ids(commands.Hangup(), CALLERS) == (CALLERS, PERSON)
    assert one.legs.ids(commands.Hangup(leg=HUMAN), CALLERS) == (PERSON, CALLERS)


@pytest.mark.parametrize(
    ("dials", "command", "numbers"),
    [
        (False, commands.Hangup(), ("from", "to")),
        (False, commands.Dial(leg=HUMAN, number="person"), ("to", "person")),
        (True, commands.Dial(leg=HUMAN, number="person"), ("from", "person")),
        (True, commands.Dial(), ("from", "to")),
        (False, commands.Transfer(number="person"), ("to", "person")),
    ],
)
@in_loop
async def test_a_person_is_called_from_our_own_number(
    dials: bool, command: commands.Command, numbers: tuple[str, str]
) -> None:
    assert Scene(dials=dials).legs.numbers(command, "from", "to") == numbers


@pytest.mark.parametrize(
    ("can", "mode", "queued"),
    [((), "warm", False), (("queues_dials",), "warm", True), (("queues_dials",), "cold", False)],
)
@in_loop
async def test_a_person_may_wait_in_the_carriers_queue_until_it_says_that_it_dials(
    can: tuple[str, ...], mode: Any, queued: bool
) -> None:
    one = Scene(*can)
    assert not one.legs.is_queued
    one.transfer(TransferRequested(mode=mode))
    one.legs.after(Step(events.CallInitiated(), STREAMING, STREAMING), 1.0, BOX)
    assert one.legs.is_queued is queued, "the caller's own leg says nothing of the person's"
    one.legs.after(Step(events.CallInitiated(leg=HUMAN), STREAMING, STREAMING), 1.0, BOX)
    assert not one.legs.is_queued


# What is told


@in_loop
async def test_without_a_transfer_nobody_is_told_anything() -> None:
    one = Scene()
    assert one.legs.describe_outcome("rings", 1.0) == ""
    assert one.legs.notice(commands.Join()) == ""
    assert one.legs.briefing_seconds("{summary}") == 0.0


@pytest.mark.parametrize(
    ("by", "outcome", "is_told"),
    [
        ("ada", "rings", True), ("agent", "rings", False), ("agent", "refused", True), ("ada", "not_reached", True),
        ("ada", "referred", False), ("ada", "call_ended", False), (BY_MACHINE, "not_reached", False),
        (BY_MACHINE, "interrupted", True), (BY_MACHINE, "left", False),
    ],
)  # fmt: skip
@in_loop
async def test_who_is_told_of_which_outcome(by: str, outcome: str, is_told: bool) -> None:
    one = Scene()
    one.transfer(TransferRequested(target="{the} garage", by=by))
    text = one.legs.describe_outcome(outcome, 1.0)
    assert bool(text) is is_told
    assert ("{the} garage" in text.lower()) is is_told
    assert not text or text[0] == text[0].upper()


@in_loop
async def test_a_person_without_a_name_is_the_person() -> None:
    one = Scene()
    one.transfer(TransferRequested(by="ada"))
    assert one.legs.describe_outcome("not_reached", 1.0).startswith("The person could not be reached.")


@pytest.mark.parametrize(
    ("now", "length"),
    [
        (1000.0, "0 seconds"),
        (900.0, "0 seconds"),
        (1029.4, "29 seconds"),
        (1059.6, "1 min 0 s"),
        (4661.0, "61 min 1 s"),
    ],
)
@in_loop
async def test_how_long_they_have_talked_is_told_and_never_less_than_nothing(now: float, length: str) -> None:
    one = Scene()
    one.transfer()
    one.joined(1000.0)
    assert f" for {length}, and" in one.legs.describe_outcome("left", now)


@pytest.mark.parametrize(
    ("listened", "gaps", "text"),
    [(False, False, "did not hear what was said"), (True, False, "all that was understood"), (True, True, "a part of"),
     (False, True, "did not hear what was said")],
)  # fmt: skip
@in_loop
async def test_what_the_agent_has_heard_of_it_is_told_as_it_is(listened: bool, gaps: bool, text: str) -> None:
    one = Scene()
    one.transfer()
    assert one.legs.transfer is not None
    one.legs.transfer.was_listened, one.legs.transfer.has_gaps = listened, gaps
    assert text in one.legs.describe_outcome("left", 1.0)


@in_loop
async def test_a_step_in_a_bridge_does_not_begin_it_again() -> None:
    one = Scene()
    one.transfer()
    one.joined(1000.0)
    one.legs.after(Step(Event(), BRIDGED, BRIDGED), 1030.0, BOX)
    assert " for 1 min 0 s" in one.legs.describe_outcome("left", 1060.0)


@in_loop
async def test_a_transfer_of_another_process_goes_on() -> None:
    one = Scene()
    one.legs.restore(WARM, PERSON, 1000.0, was_listened=True)
    assert one.legs.human == PERSON
    assert not one.legs.awaits_ids(HUMAN)
    text = one.legs.describe_outcome("left", 1010.0)
    assert "for 10 seconds" in text
    assert "a part of" in text, "the change of process is a gap"


@in_loop
async def test_the_fallback_is_a_transfer_that_nobody_has_requested() -> None:
    one = Scene()
    step = Step(Event(), STREAMING, machine.TRANSFERRING)
    step.commands = [commands.Transfer(number="+15550100009", ring_seconds=9, fallback=True)]
    one.legs.after(step, 1.0, BOX)
    assert one.legs.transfer is not None
    requested = one.legs.transfer.requested
    assert (requested.by, requested.mode, requested.number, requested.ring_seconds) == (
        BY_MACHINE, "cold", "+15550100009", 9,
    )  # fmt: skip
    assert not requested.takes_back


def test_the_agent_speaks_only_while_it_has_the_caller() -> None:
    outcomes = ("rings", "refused", "not_reached", "not_joined", "interrupted", "left", "referred", "call_ended")
    assert [one for one in outcomes if asks_agent_to_speak(one)] == ["rings", "refused", "not_reached"]


# The briefing


@pytest.mark.parametrize(
    ("dials", "from_number", "to_number", "spoken"),
    [
        (False, "+15550100001", "+15550100002", "1 5 5 5 0 1 0 0 0 0 1"),
        (True, "+15550100002", "+15550100001", "1 5 5 5 0 1 0 0 0 0 1"),
        (False, "anonymous", "+15550100002", "a number that is not known"),
        (False, "", "", "a number that is not known"),
    ],
)
@in_loop
async def test_a_person_is_told_who_calls_and_why(dials: bool, from_number: str, to_number: str, spoken: str) -> None:
    one = Scene(dials=dials)
    one.transfer()
    text = one.legs.briefing("{caller}: {summary} {caller} {other}", from_number, to_number)
    assert text == f"{spoken}: A flat tyre. {spoken} {{other}}"


@in_loop
async def test_a_summary_is_no_template() -> None:
    one = Scene()
    one.transfer(TransferRequested(summary="{caller} {summary} {0}"))
    assert one.legs.briefing("{summary}", "+1", "+2") == "{caller} {summary} {0}"


@pytest.mark.parametrize("mode", ["warm", "cold", "refer"])
@in_loop
async def test_only_who_is_told_of_the_call_has_time_to_listen(mode: Any) -> None:
    one = Scene()
    one.transfer(TransferRequested(mode=mode, summary="A flat tyre."))
    assert (one.legs.briefing_seconds("{caller}. {summary}") > 8.0) is (mode == "warm")


@in_loop
async def test_a_briefing_takes_as_long_as_its_text_and_never_more_than_three_minutes() -> None:
    one = Scene()
    one.transfer(TransferRequested(summary="x" * 100))
    short, two = one.legs.briefing_seconds("{summary}"), one.legs.briefing_seconds("{summary}{summary}")
    assert short == pytest.approx(9.0)
    assert two == pytest.approx(18.0)
    one.transfer(TransferRequested(summary="x" * 1_000_000))
    assert one.legs.briefing_seconds("{summary}") == 180.0
    assert Scene().legs.briefing_seconds("") == 0.0


@in_loop
async def test_both_sides_are_told_when_they_are_joined_and_at_no_other_command() -> None:
    one = Scene()
    one.transfer(TransferRequested(notice="This call is written down."))
    assert one.legs.notice(commands.Join()) == "This call is written down."
    assert one.legs.notice(commands.Hangup()) == ""
