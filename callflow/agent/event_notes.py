"""Which events of the engine are only written down, as notes of the journal: the agent does nothing else about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callflow.contracts.engine import EngineChosen, EngineEvent, ErrorReported, HostedTool, McpApproval
from callflow.journal import notes


NOTED: Final[Mapping[type[EngineEvent], type[notes.Note]]] = {
    EngineChosen: notes.EngineChosen,
    McpApproval: notes.McpApproval,
    HostedTool: notes.HostedTool,
    ErrorReported: notes.EngineComplaint,
}
"""The notes, which have the fields of the events."""
