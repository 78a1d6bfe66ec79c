"""What all calls share: made once, by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callflow.call.call_config import CallConfig
from callflow.call.stream_tokens import StreamTokens
from callflow.contracts.tools import MakeToolbox
from callflow.journal.journal import Journal
from callflow.journal.live_feed import LiveFeed
from callflow.journal.redaction import Redactor


@dataclass(frozen=True, slots=True)
class CallServices:
    journal: Journal
    live: LiveFeed
    config: Callable[[str, Mapping[str, Any] | None], CallConfig]
    """How a call to this number is to be conducted; with what operators kept when it began, or None: keep now."""
    make_toolbox: MakeToolbox
    stream_tokens: StreamTokens
    journal_seconds: float
    """How long a step waits for its record; then it goes on, loudly."""
    address: Callable[[], str]
    """Our public address, http or https, without a path."""
    now: Callable[[], float]
    """Unix time, for the record."""
    outlive: Callable[[Coroutine[Any, Any, None]], object]
    """Run something that must be finished although its call is over; bounded by its own deadlines."""
    number: Callable[[str], str]
    """A telephone number in its one form; what is none, as it is."""
    redact: Redactor
    """Takes out of the record what nobody is to read."""
    recordings: Path
    """The folder of the recordings."""
