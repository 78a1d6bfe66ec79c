"""The state machine of a call: `take(model, event)` is one step. `table` has the rows, and the theory of operation."""

from callflow.call.machine.model import (
    ANSWERED,
    AWAITS_BEEP,
    BRIDGED,
    CLIP,
    DEADLINES,
    FALLBACK,
    FAREWELL_BY_AGENT,
    FAREWELL_BY_AGENT_FINAL,
    FAREWELL_NONE,
    FAREWELL_PENDING,
    HANGUP,
    MESSAGE,
    MESSAGE_DUE,
    NO_LEG,
    RECOVERING,
    RINGING,
    SPEAKING,
    STATES,
    STREAMING,
    TO_MACHINE,
    TRANSFERRING,
    Fallback,
    Model,
    Step,
    is_asked_to_speak,
    is_over,
    is_talking,
    says_last_words,
)
from callflow.call.machine.row import Row
from callflow.call.machine.step import TRIGGERS, take
from callflow.call.machine.table import TABLE
from callflow.call.machine.transfer_table import LEG_TABLE


__all__ = [
    "ANSWERED", "AWAITS_BEEP", "BRIDGED", "CLIP", "DEADLINES", "FALLBACK", "FAREWELL_BY_AGENT",
    "FAREWELL_BY_AGENT_FINAL", "FAREWELL_NONE", "FAREWELL_PENDING", "HANGUP", "LEG_TABLE", "MESSAGE", "MESSAGE_DUE",
    "NO_LEG", "RECOVERING", "RINGING", "SPEAKING", "STATES", "STREAMING", "TABLE", "TO_MACHINE", "TRANSFERRING",
    "TRIGGERS", "Fallback", "Model", "Row", "Step", "is_asked_to_speak", "is_over", "is_talking", "says_last_words",
    "take",
]  # fmt: skip
