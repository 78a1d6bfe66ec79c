"""An agent without sockets: a real relay over a stream that only takes notes, an engine that does the same, and a clock
that only moves when the test moves it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, cast

from callflow.agent.agent import Agent
from callflow.agent.agent_config import AgentConfig
from callflow.agent.tool_calls import PendingToolCalls
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ContextPart,
    EngineEvent,
    EngineListener,
    ResponseDone,
    ResponseStarted,
    SessionContext,
    SessionReady,
)
from callflow.contracts.events import Event, LegIds
from callflow.contracts.tools import ToolAnswer, ToolCall
from callflow.journal.notes import Note
from callflow.media.clips import Clip
from callflow.media.media_config import MediaConfig
from callflow.media.playout import Playout
from callflow.media.relay import Relay


class FakeStream:
    """A media stream that has started, and notes what it is to send."""

    started = True

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []
        self.gone = asyncio.Event()

    def send_audio(self, audio: bytes) -> None:
        self.sent.append(audio)

    def send_mark(self, name: str) -> None:
        self.sent.append(name)

    def clear(self, probe: str = "") -> None:
        self.sent += [probe, "clear"] if probe else ["clear"]

    def ping(self, playout: Playout, now: float) -> None: ...

    def await_start(self) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...


class FakeEngine:
    """A session that notes what it is asked for."""

    def __init__(self, context: SessionContext, tell: EngineListener, can: frozenset[Any]) -> None:
        self.context, self.tell, self.can = context, tell, can
        self.asked: list[tuple[Any, ...]] = []
        self.unheard: dict[str, bool] = {}
        """What it was asked to say since the last response began."""

    async def run(self) -> None: ...

    def append(self, payload: str) -> None:
        self.asked.append(("append", payload))

    def add_context(self, items: Sequence[ContextPart]) -> None:
        self.asked.append(("context", list(items)))

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        self.asked.append(("response", instructions))
        self.unheard[instructions] = lasting

    def withdraw(self) -> Mapping[str, bool]:
        unheard, self.unheard = self.unheard, {}
        return unheard

    def finish_turn(self) -> None:
        self.asked.append(("finish_turn",))

    def answer_tool(self, call: str, output: str, *, speak: bool = True) -> None:
        self.asked.append(("tool", call, output, speak))

    def truncate(self, item: str, content: int, heard_ms: int) -> None:
        self.asked.append(("truncate", item, heard_ms))

    def cancel(self, response: str) -> None:
        self.asked.append(("cancel", response))

    def set_turn_detection(self, on: bool) -> None:
        self.asked.append(("turn_detection", on))

    def wind_up(self, *, speaking: bool) -> None:
        self.asked.append(("wind_up", speaking))

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        self.asked.append(("update", dict(changes)))
        return []

    async def close(self) -> None:
        self.asked.append(("close",))

    def take(self) -> list[tuple[Any, ...]]:
        """Return what it was asked for since the last time."""
        asked, self.asked = self.asked, []
        return asked


class FakeToolbox:
    definitions: Sequence[Mapping[str, Any]] = ()

    async def run(self, call: ToolCall, seconds: float) -> ToolAnswer:
        return ToolAnswer(f'"{call.name} was run"', ok=True)


CAN = frozenset({"truncates", "cancels", "interrupts_itself", "answers_itself", "calls_tools", "transcribes"})


class Scene:
    """An agent, and all that it talks to."""

    def __init__(self, *, can: frozenset[Any] = CAN, line: type[Relay] = Relay, **config: Any) -> None:
        """`line`: what stands between the agent and the caller. `config`: as of `AgentConfig`."""
        self.events: list[Event] = []
        self.notes: list[Note] = []
        self.engines: list[FakeEngine] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.now = 100.0
        self.relay = line(
            call="call_1",
            ids=LegIds,
            config=MediaConfig(
                playout_lead_ms=1000, mark_every_ms=100, reorder_frames=0, frame_batch_ms=0, warm_up_ms=0,
                start_frame_seconds=5.0, write_seconds=5.0,
            ),
            clips={name: Clip(name, name, bytes(160)) for name in ("sorry", "trouble", "one-moment", "still-here")},
            post=self.events.append,
            note=self.notes.append,
        )  # fmt: skip
        self.stream = FakeStream()
        self.relay._stream = cast(Any, self.stream)
        self.relay.answered_at = self.now

        def make(context: SessionContext, tell: EngineListener) -> FakeEngine:
            self.engines.append(FakeEngine(context, tell, can))
            return self.engines[-1]

        chosen = AgentConfig(
            make_engine=make, engine_buffer_seconds=10.0,
            greeting="Say hello.", disclosure="", greeting_protected=False,
            voicemail_message="Please call us back.", transcript_seconds=2.0,
            max_call_warning_seconds=30.0, reply_seconds=60.0, reply_filler_seconds=60.0, filler_seconds=60.0,
            missed_start_after_ms=1500, missed_end_after_ms=2500, min_interruption_ms=0, no_input_seconds=0.0,
            no_input_asks=2, no_input_noise_seconds=0.0,
        )  # fmt: skip
        tool_calls = PendingToolCalls(FakeToolbox(), seconds=5.0, filler_seconds=60.0, post=self.events.append)
        self.agent = Agent(
            call="call_1",
            config=dataclasses.replace(chosen, **config),
            relay=self.relay,
            tool_calls=tool_calls,
            post=self.events.append,
            note=self.notes.append,
            own=self._own,
        )
        self.turns = self.agent.turns
        turns, agent = self.turns, self.agent
        for part in (self.relay, turns, turns.dead_air, turns.continued, agent, agent.prompter):
            cast(Any, part)._clock = lambda: self.now
        cast(Any, self.agent.transcripts)._clock = lambda: self.now

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    @property
    def engine(self) -> FakeEngine:
        """The newest session."""
        return self.engines[-1]

    def ready(self) -> None:
        """Open a session, and let it be configured."""
        self.agent.connect()
        self.configured()

    def configured(self) -> None:
        """Let the newest session be configured, and the machine take that without a word."""
        self.tell(SessionReady())
        self.agent.prompter.break_over(asked=True)

    def tell(self, *told: EngineEvent) -> None:
        """Let the newest session report this."""
        for each in told:
            if isinstance(each, ResponseStarted):
                self.engine.unheard.clear()
            self.engine.tell(each)

    def answer(self, number: int = 1, ms: int = 500, *, whole: bool = True) -> None:
        """Let the engine say a response: `resp_N`, with one item `item_N`."""
        response, item = f"resp_{number}", f"item_{number}"
        self.tell(ResponseStarted(response), AudioDelta(response, item, 0, bytes([number]) * (8 * ms)))
        if whole:
            self.tell(AudioDone(response, item, 0), ResponseDone(response, "completed", answered=True, items=(item,)))

    def hear(self, seconds: float) -> None:
        """Let so much time pass, and return the marks of what was sent."""
        self.now += seconds
        self.relay.pump()  # as its timer would
        marks = [each for each in self.stream.sent if isinstance(each, str) and each != "clear"]
        self.stream.sent.clear()
        for name in marks:
            self.relay.marked(name)

    def took(self, kind: type[Note]) -> list[Any]:
        """Return the notes of that kind."""
        return [note for note in self.notes if isinstance(note, kind)]
