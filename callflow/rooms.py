"""What all calls share. Made once, by whoever wires the house."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callflow.contracts import MakeToolbox
from callflow.journal import Journal
from callflow.live import Live
from callflow.plan import Plan
from callflow.redaction import Redactor
from callflow.tokens import Mint


@dataclass(frozen=True, slots=True)
class Rooms:
    journal: Journal
    live: Live
    plan: Callable[[str, Mapping[str, Any] | None], Plan]
    """How a call to this number is to be conducted; with what operators kept when it began, or None: keep now."""
    make_toolbox: MakeToolbox
    mint: Mint
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
