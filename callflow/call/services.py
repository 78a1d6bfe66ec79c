"""Services shared by all calls. The composition root (`callflow/app.py`) makes them once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callflow.call.call_config import CallConfig
from callflow.call.stream_tokens import StreamTokens
from callflow.contracts.caller_lookup import CallerLookup
from callflow.contracts.control import Control
from callflow.contracts.events import CallInitiated, Event, LegIds
from callflow.contracts.tools import MakeToolbox
from callflow.journal.journal import Journal
from callflow.journal.live_feed import LiveFeed
from callflow.journal.redaction import Redactor


async def alone(call: str) -> bool:
    """Return True: no other process can have the calls of this one."""
    return True


@dataclass(frozen=True, slots=True)
class CallServices:
    """Objects that a call uses and does not own."""

    journal: Journal
    live: LiveFeed
    config: Callable[..., CallConfig]
    """Returns the config of a call to this number. The second argument: settings that operators had changed when the
    call began, by name; None: the present changes. The third: what the caller lookup told; None: it was not asked. The
    fourth, for a restored call: the profile under which it began, and its version in the database."""
    make_toolbox: MakeToolbox
    stream_tokens: StreamTokens
    journal_seconds: float
    """How long a step waits for its commit to the journal; then the call continues, with an error in the log."""
    address: Callable[[], str]
    """Returns our public address, http or https, without a path."""
    now: Callable[[], float]
    """Returns Unix time in seconds, for the journal."""
    leg_known: Callable[[str, LegIds, str], object]
    """Called when the carrier has named a leg that was dialled: the call's id, the leg's ids, and which leg."""
    run_after_call: Callable[[Coroutine[Any, Any, None]], object]
    """Runs a task that must finish even when its call is over. The task must have its own time limit."""
    number: Callable[[str], str]
    """Returns a telephone number in international form; other text unchanged."""
    redact: Redactor
    """Removes private data from journal entries."""
    recordings: Path
    """The folder of the recordings."""
    admit_profile: Callable[[CallConfig, CallInitiated], Event] = lambda config, event: event
    """Decides about a call that rings and has got another profile: returns its first event."""
    control: Control | None = None
    """Is asked about the session of each call that rings; None: nobody is asked."""
    caller_lookup: CallerLookup | None = None
    """Is asked about each caller while it rings; None: nobody is asked."""
    may_act: Callable[[str], Awaitable[bool]] = alone
    """Returns whether this process may go on with a call although a step was not written: False in a cluster, when
    others have them now."""
    may_run: Callable[[str], Awaitable[bool]] = alone
    """Returns whether a tool of a call may run although its step was not written: in a cluster it waits for that, as
    long as another node may come to have the call, and let the model call the tool again."""
