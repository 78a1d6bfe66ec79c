"""The state machine of a call: `take(model, event)` is one step. `table` has the rows, and the theory of operation."""

from callflow.call.machine.model import (
    ANSWERED,
    CLIP,
    DEADLINES,
    FAREWELL_BY_AGENT,
    FAREWELL_BY_AGENT_FINAL,
    FAREWELL_NONE,
    FAREWELL_PENDING,
    HANGUP,
    RECOVERING,
    RINGING,
    SPEAKING,
    STATES,
    STREAMING,
    Model,
    Step,
    is_over,
)
from callflow.call.machine.step import TRIGGERS, take
from callflow.call.machine.table import TABLE, Row


__all__ = [
    "ANSWERED", "CLIP", "DEADLINES", "FAREWELL_BY_AGENT", "FAREWELL_BY_AGENT_FINAL", "FAREWELL_NONE",
    "FAREWELL_PENDING", "HANGUP", "RECOVERING", "RINGING", "SPEAKING", "STATES", "STREAMING", "TABLE", "TRIGGERS",
    "Model", "Row", "Step", "is_over", "take",
]  # fmt: skip
