"""What all calls share. The composition root (`callflow/app.py`) makes it once."""

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
    """What a call needs and does not own."""

    journal: Journal
    live: LiveFeed
    config: Callable[[str, Mapping[str, Any] | None], CallConfig]
    """Returns how a call to this number is conducted. The second argument: settings that operators had changed when the
    call began, by name; None: those that are changed now."""
    make_toolbox: MakeToolbox
    stream_tokens: StreamTokens
    journal_seconds: float
    """How long a step waits until it is in the journal; then the call goes on, with an error in the log."""
    address: Callable[[], str]
    """Returns our public address, http or https, without a path."""
    now: Callable[[], float]
    """Returns Unix time in seconds, for the journal."""
    run_after_call: Callable[[Coroutine[Any, Any, None]], object]
    """Runs something that has to be finished although its call is over. It must be bounded in time by itself."""
    number: Callable[[str], str]
    """Returns a telephone number in its international form; a text that is no number, as it is."""
    redact: Redactor
    """Takes private data out of what is written into the journal."""
    recordings: Path
    """The folder of the recordings."""
