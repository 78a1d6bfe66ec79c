"""The state machine of a call: `take(model, event)` is one step. `table` has the rows, and the theory of operation."""

from callflow.call.machine.model import (
    AGENT,
    ANSWERED,
    CLIP,
    DEADLINES,
    FINAL,
    HANGUP,
    NO,
    RECOVERING,
    RINGING,
    SPEAKING,
    STATES,
    STREAMING,
    WANTED,
    Model,
    Step,
    is_over,
)
from callflow.call.machine.step import TRIGGERS, take
from callflow.call.machine.table import TABLE, Row


__all__ = [
    "AGENT", "ANSWERED", "CLIP", "DEADLINES", "FINAL", "HANGUP", "NO", "RECOVERING", "RINGING", "SPEAKING", "STATES",
    "STREAMING", "TABLE", "TRIGGERS", "WANTED", "Model", "Row", "Step", "is_over", "take",
]  # fmt: skip
