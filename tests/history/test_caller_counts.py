"""What the history says of a caller's calls, for the limits of a caller in a cluster."""

from __future__ import annotations

from callflow.history import caller_counts
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended, Note
from tests.history.test_journal_writer import journal
from tests.in_loop import in_loop


CALLER, NOW = "+15550100001", 1_700_000_000.0


@in_loop
async def test_live_calls_and_those_of_the_last_hour_are_counted(database_url: str) -> None:
    async with journal(database_url) as (writer, store):

        def write(call: str, at: float, note: Note) -> None:
            writer.note(JournalEntry.of(note, call=call, at=at))

        def begin(call: str, ago: float, caller: str = CALLER, **more: str) -> None:
            began = {"carrier": "telnyx", "direction": "inbound", "from_number": caller, **more}
            write(call, NOW - ago, Began(**began))  # type: ignore[arg-type]

        begin("old and live", 7200)
        begin("live", 60)
        begin("another's", 60, "+15550100009")
        begin("dialled", 60, to_number=CALLER, direction="outbound")
        for call, ago, cause in (("over", 600, "normal_clearing"), ("refused", 300, "caller_busy"), ("old", 7200, "x")):
            begin(call, ago)
            write(call, NOW - ago + 5, Ended(cause=cause))
        begin("last words", 60)  # over, and they are waited for
        event = {"event": "call_hangup", "cause": "normal_clearing"}
        await writer.append(
            JournalEntry("last words", 1, NOW - 30, event, before="streaming", after="hangup", taken=True)
        )
        await writer.flushed()
        assert await caller_counts.of_caller(store.database, CALLER, NOW - 3600) == ({"old and live", "live"}, 3)
