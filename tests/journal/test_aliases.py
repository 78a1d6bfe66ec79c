"""Names of before: every journal that was written under them is read under the present ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from callflow.call import machine
from callflow.call.replay import replay
from callflow.call.restore import restore_call
from callflow.contracts import commands, events
from callflow.journal import aliases, notes, timeline
from callflow.journal.journal import JournalEntry


COMMANDS = {kind.name for kind in vars(commands).values() if isinstance(kind, type) and hasattr(kind, "name")}
HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.jsonl"))


def test_every_present_name_exists_and_no_old_one_does() -> None:
    present = events.KINDS.keys() | notes.KINDS.keys()
    assert set(aliases.EVENTS.values()) <= present
    assert not aliases.EVENTS.keys() & present
    assert set(aliases.COMMANDS.values()) <= COMMANDS
    assert not aliases.COMMANDS.keys() & COMMANDS


@pytest.mark.parametrize("old", aliases.EVENTS)
def test_an_entry_is_renewed_and_nothing_else_of_it_changes(old: str) -> None:
    event = {"event": old, "leg": "caller", "more": 1}
    wanted = [{"command": "last_words", "leg": "caller"}, {"command": "arm", "deadline": "last_words"}]
    entry = JournalEntry("call", 3, 1.0, event, "streaming", "streaming", True, wanted)
    new = entry.renewed()
    assert new.event == {**event, "event": aliases.EVENTS[old]}
    assert list(new.commands) == [{"command": "await_goodbye", "leg": "caller"}, wanted[1]], "a deadline keeps its name"
    assert (new.call, new.step, new.at, new.before, new.after, new.taken) == ("call", 3, 1.0, *["streaming"] * 2, True)
    assert new.renewed() is new
    assert event["event"] == old, "the entry that was read is as it was"
    assert old in aliases.names_of(aliases.EVENTS[old])


@pytest.mark.parametrize(("old", "new"), aliases.COMMANDS.items())
def test_a_command_of_before_is_read_under_its_present_name(old: str, new: str) -> None:
    written = [{"command": old, "leg": "caller"}]
    entry = JournalEntry("call", 3, 1.0, {"event": "call_answered"}, "streaming", "streaming", True, written)
    assert list(entry.renewed().commands) == [{"command": new, "leg": "caller"}]


def test_what_has_no_other_name_stays_the_same_object() -> None:
    for event in ({"event": "call_answered"}, {"event": ["taken_back"]}, {}):
        entry = JournalEntry("call", 1, 1.0, event, "ringing", "answered", True, [{"command": "hangup"}, {}])
        assert entry.renewed() is entry


def test_the_kept_journals_stand_under_the_old_names() -> None:
    """They are as they were written: it is this that proves the aliases."""
    text = "".join(path.read_text() for path in HISTORIES)
    assert '"event":"taken_back"' in text
    assert "call_recovered" not in text


def _goodbye(*, old: bool) -> list[JournalEntry]:
    """A call whose transfer fails, whose agent says goodbye, is interrupted, and says goodbye again."""
    model = machine.Model()
    told: list[events.Event] = [
        events.CallInitiated(from_number="+15550100001", to_number="+15550100002"), events.CallAnswered(),
        events.MediaStarted(stream="r"), events.EngineReady(),
        events.TransferRequested(mode="cold", number="+15550100010"), events.CommandFailed(command="transfer"),
        events.MediaStarted(stream="s"), events.EngineReady(), events.EndRequested(by="agent"),
        events.GoodbyeInterrupted(), events.CallRecovered(), events.MediaStarted(stream="t"), events.EngineReady(),
        events.EndRequested(by="agent"), events.GoodbyeHeard(),
    ]  # fmt: skip
    new_to_old = {new: name for name, new in (*aliases.EVENTS.items(), *aliases.COMMANDS.items())} if old else {}
    entries = [JournalEntry.of(notes.Began(carrier="telnyx"), call="call", at=0.0)]
    for number, event in enumerate(told, 1):
        step = machine.take(model, event)
        said = events.to_json(event)
        said["event"] = new_to_old.get(said["event"], said["event"])
        wanted = [commands.to_json(command) for command in step.commands]
        for each in wanted:
            each["command"] = new_to_old.get(each["command"], each["command"])
        entries.append(JournalEntry("call", number, float(number), said, step.before, step.after, step.taken, wanted))
    note = {"event": "engine_deaf" if old else "engine_missed_speech", "end": True}
    return [*entries, JournalEntry("call", len(told), 20.0, note)]


def test_a_call_under_the_old_names_replays_and_is_made_again_like_one_under_the_new() -> None:
    before, now = _goodbye(old=True), _goodbye(old=False)
    names = {entry.name for entry in before} | {each["command"] for entry in before for each in entry.commands}
    assert names >= aliases.EVENTS.keys() | aliases.COMMANDS.keys(), "every alias is in it"
    assert [entry.renewed() for entry in before] == now
    for entries in (before, now):
        done = replay(entries)
        assert (done.divergences, done.taken, machine.is_over(done.model)) == ([], 15, True)
        for length in range(1, len(entries) + 1):
            assert restore_call(entries[:length]) is not None
    first, second = restore_call(before), restore_call(now)
    assert first is not None
    assert second is not None
    assert first.model.key() == second.model.key()
    assert (first.steps, first.problems, first.streams) == (second.steps, second.problems, second.streams)
    shown = [line for _, line in timeline.lines([entry.renewed() for entry in before], "")]
    assert shown == [line for _, line in timeline.lines(now, "")]
