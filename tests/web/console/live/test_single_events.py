"""Single events of a watched call: what of them is shown, what is counted, and what late and slow viewers get."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from callflow.call.call import Call
from callflow.contracts.event_tap import EventTap, Way, unchanged
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended
from callflow.journal.redaction import Redactor
from callflow.web.console.live.log_feed import events_in
from callflow.web.console.live.model_events import single
from callflow.web.console.live.single_events import MOST, SingleEvents
from callflow.web.console.live.story import Stories
from tests.web.console.stage import CALL, FakeCall, Stage, play


AT = 1_700_000_000.0
CARD = "4111 1111 1111 1111"


class Watched:
    """A call with a clock that stands still."""

    def __init__(self) -> None:
        self.now = AT
        self.woken = 0
        self.call = SimpleNamespace(began=AT, relay=SimpleNamespace(tap=EventTap(), frames_in=0, bytes_out=0))
        self.events = SingleEvents(Redactor(), news=self._news, now=lambda: self.now, began=lambda: AT)
        self.events.attach(cast(Call, self.call))

    def _news(self) -> None:
        self.woken += 1

    def tap(self, kind: str, raw: dict[str, Any] | None = None, way: Way = "from_model") -> None:
        watcher = self.call.relay.tap.watcher
        assert watcher is not None
        watcher.event(way, kind, json.dumps({"type": kind, **(raw or {})}).encode(), unchanged)

    def told(self, at: int | None = None) -> list[tuple[str, Any]]:
        at, found = self.events.first if at is None else at, list[tuple[str, Any]]()
        while at < self.events.end:
            piece, at = self.events.piece(at)
            found += events_in(piece)
        return found


def test_pieces_are_counted_and_told_once_a_second() -> None:
    the = Watched()
    for _ in range(30):
        the.tap("response.output_audio.delta", {"delta": "AAAA"})
        the.tap("response.function_call_arguments.delta", {"delta": CARD})
    the.call.relay.frames_in, the.call.relay.bytes_out = 50, 320
    the.events.look()
    assert the.told() == []
    assert the.woken == 0
    the.now += 1
    the.events.look()
    ((_, told),) = the.told()
    assert told["event"]["counts"] == {
        "from_media frames from the caller": 50, "from_model response.output_audio.delta": 30,
        "from_model response.function_call_arguments.delta": 30, "to_media frames to the caller": 2,
    }  # fmt: skip
    assert the.woken == 1
    the.now += 1
    the.events.look()
    assert len(the.told()) == 1


def test_a_flood_is_counted_too() -> None:
    the = Watched()
    for _ in range(1000):
        the.tap("rate_limits.updated")
    the.now += 1
    the.events.look()
    *singles, (_, counted) = the.told()
    assert len(singles) + counted["event"]["counts"]["from_model rate_limits.updated"] == 1000
    assert len(singles) < 100


def test_numbers_rise_and_moments_count_from_the_beginning() -> None:
    the = Watched()
    the.now += 2.5
    the.tap("response.created")
    the.tap("mark", {"name": "m1"}, "to_media")
    first, second = [told for _, told in the.told()]
    assert (first["at"], first["way"], first["kind"]) == (2.5, "from_model", "response.created")
    assert (second["way"], second["line"]) == ("to_media", "m1")
    assert first["n"] < second["n"] < 2**53


def test_a_late_viewer_gets_the_newest_and_a_slow_one_is_told_what_is_missing() -> None:
    the = Watched()
    for number in range(2 * MOST + 40):
        the.events._left = 60  # nobody floods it
        the.tap("mark", {"name": str(number)})
    late = the.told()
    assert len(late) == MOST
    assert late[-1][1]["line"] == str(2 * MOST + 39)
    (kind, missed), *rest = the.told(0)
    assert kind == "missed"
    assert missed["count"] + len(rest) == 2 * MOST + 40


def test_the_full_duplex_engines_events_within_events_have_their_own_names() -> None:
    the = Watched()
    the.tap("response.event", {"event": {"type": "response.output_item.done", "item": {"name": "pay"}}})
    ((_, told),) = the.told()
    assert told["kind"] == "response.event response.output_item.done"


def test_the_mirror_has_those_of_the_model_that_the_journal_does_not_tell() -> None:
    event = {"type": "rate_limits.updated", "rate_limits": []}
    assert single({"way": "from_model", "kind": event["type"], "event": event}) == event
    assert single({"way": "to_model", "kind": "response.create", "event": {"type": "response.create"}}) is None
    assert single({"way": "from_model", "kind": "error", "event": {"type": "error"}}) is None


def test_a_call_is_tapped_only_while_somebody_watches_it(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.history.journal.note(JournalEntry.of(Began(), call=CALL, at=AT))
        tap = EventTap()
        conversation = SimpleNamespace(turns=[])
        live = SimpleNamespace(
            began=AT,
            relay=SimpleNamespace(tap=tap, frames_in=0, bytes_out=0),
            agent=SimpleNamespace(conversation=conversation),
        )
        the.calls[CALL] = cast(FakeCall, live)
        watched = Stories(lambda: the.board, the.history, Redactor())

        def is_tapped() -> bool:
            return tap.watcher is not None

        lines, page = watched.watch(CALL, 0), watched.watch(CALL, 0, singles=True)
        await anext(lines)
        assert not is_tapped()
        await anext(page)
        assert tap.watcher is not None
        tap.watcher.event("from_model", "rate_limits.updated", {}, unchanged)
        ((event, told),) = events_in(await anext(page))
        assert (event, told["kind"]) == ("single", "rate_limits.updated")
        late = watched.watch(CALL, 0, singles=True)
        await anext(late)
        assert events_in(await anext(late)) == [(event, told)]
        await late.aclose()
        assert is_tapped()
        await page.aclose()
        assert not is_tapped()
        the.history.journal.note(JournalEntry.of(Ended(), call=CALL, at=AT + 1))
        rest = [event for piece in [piece async for piece in lines] for event, _ in events_in(piece)]
        assert rest == ["entry", "over"]

    play(tmp_path, main)
