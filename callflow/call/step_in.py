"""How operators step into a live call beside its line: they whisper to the model, change its session, and answer tool
calls that wait for a person. `line_requests.py` has what they do with the line.

None of this moves the machine: it is in the journal as notes, each of which says who it was, and as marks in our
recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.agent.agent import Agent
from callflow.call import machine
from callflow.call.line_requests import MUTED, NO_CALLER, ON_HOLD, TAKEN, LineRequests, shown
from callflow.call.recordings import Recordings
from callflow.contracts.control import Controlled
from callflow.contracts.engine import ContextImage
from callflow.contracts.tools import ToolAnswer
from callflow.journal.notes import ControlAsked, ImageShown, Note, SessionChanged, Whispered


MOST_WHISPER: Final = 1000
"""Characters of one whisper."""
NOT_WAITING: Final = "No tool call of this id waits for an operator: it was answered, its time is over, or the call is."
CONTROL: Final = "control endpoint"
"""By whom a session is changed, in the journal."""
BLIND: Final = "The model of this call cannot see pictures."
PAUSED: Final = "The recording is paused, and nothing is kept of the call meanwhile: end that first."
NO_MODEL: Final = "The model is away just now: try again in a moment."


class StepIn:
    """What operators do in one call, beside its line."""

    def __init__(
        self,
        model: Callable[[], machine.Model],
        agent: Callable[[], Agent],
        line: LineRequests,
        recordings: Recordings,
        note: Callable[[Note], object],
    ) -> None:
        """`model`: returns the machine's memory of the call."""
        self._model, self._agent, self._line, self._recordings, self._note = model, agent, line, recordings, note
        self._whispers = 0

    def whisper(self, text: str, by: str, *, now: bool) -> str:
        """Tell the model something that the caller does not hear. `now`: it speaks about it at once; else it uses it
        from its next answer on. Returns a sentence that says why not; "": it is told."""
        model, agent = self._model(), self._agent()
        if model.state not in (machine.STREAMING, machine.RECOVERING) or model.farewell or agent.voicemail.is_on:
            return NO_CALLER
        if now and (why := self._why_unheard()):
            return why
        self._whispers += 1
        name = str(self._whispers)
        self._note(Whispered(id=name, text=text, now=now, by=by))
        self._recordings.mark("whisper", by, text)
        agent.prompter.whisper(name, text, now=now)
        return ""

    def _why_unheard(self) -> str:
        """Return a sentence that says why the caller would not hear the agent now; "": they would."""
        if self._line.is_on_hold:
            return ON_HOLD
        if self._line.taken_by:
            return TAKEN % shown(self._line.taken_by)
        if "agent" in self._line.muted:
            return MUTED
        return "" if self._model().engine == "ready" else NO_MODEL

    def why_blind(self) -> str:
        """Return a sentence that says why the model cannot be shown a picture now; "": it can."""
        model, agent = self._model(), self._agent()
        is_ours = model.state not in (machine.HANGUP, machine.TRANSFERRING, machine.BRIDGED)
        if not is_ours or model.farewell or agent.voicemail.is_on:
            return NO_CALLER
        if self._recordings.pause.is_on:
            return PAUSED
        return "" if agent.sessions.can("sees_images") else BLIND

    def show(self, image: ContextImage, by: str, *, number: int, fields: Mapping[str, Any], now: bool) -> str:
        """Show the model a picture, or keep it until there is a session. `number`, `fields`: see `notes.ImageShown`.
        `now`: it speaks about it at once, if the caller would hear that. Returns a sentence that says why not; "": it
        is shown."""
        if why := self.why_blind():
            return why
        now = now and not self._why_unheard()
        self._note(ImageShown(number=number, text=image.text, now=now, by=by, **fields))
        self._recordings.mark("picture", by, image.text)
        self._agent().prompter.show(image, now=now)
        return ""

    def change(self, changes: Mapping[str, Any], by: str) -> list[str]:
        """Change the session of this call. Returns a line for each change left out."""
        left_out = self._agent().update(changes, by)
        self._recordings.mark("session changed", by, ", ".join(changes))
        return left_out

    def controlled(self, about: str, found: Controlled) -> None:
        """Take an answer of the control endpoint, and write down what came of it. `about`: what it was asked about."""
        agent, left_out = self._agent(), []
        if found.changes and agent.sessions.is_there:
            left_out = agent.update(found.changes, CONTROL)
        elif found.changes:
            agent.sessions.changes |= found.changes
            self._note(SessionChanged(changes=dict(found.changes), by=CONTROL))
        self._note(
            ControlAsked(
                about=about, outcome=found.outcome, ms=found.ms, detail=found.why, names=list(found.changes),
                problems=[*found.problems, *left_out],
            )
        )  # fmt: skip

    def answer_tool(self, call: str, answer: ToolAnswer, by: str) -> str:
        """Answer a tool call that waits for an operator. Returns a sentence that says why not; "": it is answered."""
        tool = self._agent().tool_calls.answered_by_hand(call, answer, by)
        if not tool:
            return NOT_WAITING
        self._recordings.mark(f"tool {tool} answered", by, answer.output)
        return ""

    def waiting(self) -> list[dict[str, Any]]:
        """Return the tool calls that wait for an operator, as `PendingToolCalls.for_operators` does."""
        return self._agent().tool_calls.for_operators()
