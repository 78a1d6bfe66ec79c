"""What the last calls have met that somebody should put right, a line for each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from callflow.agent.late_transcripts import TOO_LATE
from callflow.history.recent_problems import lately, learnt
from callflow.history.store import Store
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import MediaSignature, Note, NotTranscribed


class Met:
    """A store in which the last calls have met this."""

    def __init__(self, *met: tuple[str, Note]) -> None:
        self.entries = [JournalEntry.of(note, call=call, at=1.0) for call, note in met]
        self.fails: Exception | None = None
        self.asked: list[Any] = []

    async def lately(self, kinds: Sequence[str], *, calls: int) -> list[JournalEntry]:
        self.asked.append((kinds, calls))
        if self.fails is not None:
            raise self.fails
        return self.entries


def found(met: Met) -> list[str]:
    return [one.what for one in asyncio.run(learnt(cast(Store, met)))]


def test_where_nothing_was_met_nothing_is_told() -> None:
    met = Met()
    assert found(met) == []
    assert met.asked == [((MediaSignature.kind, NotTranscribed.kind), 20)]


def test_calls_are_counted_once_and_the_last_reason_is_told() -> None:
    odd = [("c", NotTranscribed(item="1", reason="early")), ("c", NotTranscribed(item="2", reason="quota"))]
    assert found(Met(*odd)) == ["words of the caller were not written down in one of the last 20 calls: quota"]
    assert found(Met(*odd, ("d", NotTranscribed(item="3")))) == [
        "words of the caller were not written down in 2 of the last 20 calls"
    ]


def test_words_that_came_too_late_are_another_matter_than_words_that_never_came() -> None:
    met = Met(
        ("c", NotTranscribed(item="1", reason=TOO_LATE)), ("c", NotTranscribed(item="2", reason="x" * 999)),
        ("d", MediaSignature(odd="none")),
    )  # fmt: skip
    late, never, sockets = found(met)
    assert "in time" in late
    assert len(never) < 300
    assert sockets.startswith("media sockets were let in by their token alone")


@pytest.mark.parametrize("error", [OSError("away"), TimeoutError(), ZeroDivisionError()])
def test_the_start_goes_on_whatever_the_database_does(error: Exception) -> None:
    met = Met(("c", MediaSignature(odd="none")))
    (line,) = asyncio.run(lately(cast(Store, met)))
    assert line.startswith("Twilio: media sockets")
    assert line.endswith(".")
    met.fails = error
    assert asyncio.run(lately(cast(Store, met))) == []
    with pytest.raises(type(error)):
        found(met)
