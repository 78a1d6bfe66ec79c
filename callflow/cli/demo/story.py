"""One call of the demo: what the caller does, and what must happen then."""

from __future__ import annotations

import asyncio
import json
import time
import wave
from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from callflow.journal import notes
from callflow.journal.live_feed import LiveEvent
from callflow.journal.notes import Note
from callflow.media.g711 import pcm16_to_ulaw
from callflow.sandbox import telnyx, twilio, voices
from callflow.sandbox.common.phone import Phone, loud_bytes
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.openai_realtime.script import Script, Turn
from callflow.sandbox.openai_realtime.sip import SipCall


N = TypeVar("N", bound=Note)

_STEP_SECONDS = 12.0
"""No step of the story takes longer, unless the caller speaks longer."""
_APART_SECONDS = 0.5
"""What the model is told of an interruption comes within that time."""


Begin = Callable[["Story"], Awaitable[telnyx.Call | twilio.Call | SipCall]]
"""Lets the phone ring, and returns its leg."""


@dataclass(frozen=True)
class Stage(Script):
    """A script that follows the story instead of counting turns, over all sessions of the model: first what is queued,
    then the last of it again and again, because a caller with pauses in his speech takes several turns."""

    queue: deque[Turn] = field(default_factory=deque)
    now: dict[str, Any] = field(default_factory=lambda: {"turn": Turn.voice("agent/greeting"), "caller": ""})

    def act(self, *turns: Turn, caller: str | None = None) -> None:
        """Have the agent answer with these turns from here on, and the caller's words read like that."""
        self.queue.clear()
        self.queue.extend(turns)
        if caller is not None:
            self.now["caller"] = caller

    def turn(self, number: int) -> Turn:
        """Return the model's next turn."""
        if self.queue:
            self.now["turn"] = self.queue.popleft()
        turn: Turn = self.now["turn"]
        return turn

    def transcript(self, number: int) -> str:
        """Return what the caller says now."""
        return str(self.now["caller"])


@dataclass
class Caller:
    """What the person on the phone says, as µ-law, and how that reads."""

    question: bytes
    interruption: bytes
    thanks: bytes
    words: dict[str, str]

    @classmethod
    def rendered(cls) -> Caller:
        """Make the caller of the demo's own recordings."""
        lines = {"question": "hours", "interruption": "interruption", "thanks": "thanks"}
        audio = {name: voices.load(f"caller/{line}") for name, line in lines.items()}
        return cls(**audio, words={name: voices.TEXTS[f"caller/{line}"] for name, line in lines.items()})

    @classmethod
    def recorded(cls, audio: bytes, name: str) -> Caller:
        """Make a caller who says one recording: all of it as the question, else its first 3 s."""
        start = audio[: 8000 * 3]
        return cls(audio, start, start, dict.fromkeys(("question", "interruption", "thanks"), f"({name})"))


@dataclass
class Outcome:
    """What has happened as expected, what has not, and figures."""

    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)

    def expect(self, what: str, happened: object) -> None:
        """Note whether something has happened."""
        (self.done if happened else self.missing).append(what)


class Story:
    """One call from ring to hang-up. `news`: the events of the live feed, which is filled while the call goes on."""

    def __init__(
        self,
        carrier: telnyx.Telnyx | twilio.Twilio,
        realtime: Realtime,
        stage: Stage,
        news: list[LiveEvent],
        tell: Callable[[str, str], None],
        is_quiet: Callable[[], bool],
        written: Callable[[], Awaitable[dict[str, bytes]]],
        console_at: tuple[str, int],
        who: str = "caller",
    ) -> None:
        self.carrier, self.realtime, self.stage, self.news, self.tell = carrier, realtime, stage, news, tell
        self._is_quiet = is_quiet
        self.written = written
        """What the server has written down, by the name of the file."""
        self.console_at = console_at
        """Where the operators' port of the server is."""
        self.who = who
        """What the person at the telephone is called: "caller" or "callee"."""
        self.opening = "agent/greeting"
        """What the agent says first."""
        self._commands = len(carrier.commands)
        self._sessions = len(realtime.sessions)
        self.phone = Phone()
        self.caller_speaks = True
        self.afterwards: Callable[[], Awaitable[None]] | None = None
        """What a plot looks at when the call is over."""
        self.outcome = Outcome()
        self.call: telnyx.Call | twilio.Call | SipCall

    @property
    def seconds(self) -> float:
        """How long one step of the story may take, in seconds."""
        return _STEP_SECONDS

    async def play(self, plot: Callable[[Story], Any], begin: Begin | None = None) -> Outcome:
        """Ring, wait for the greeting, run the plot, hang up. `begin`: lets the phone ring in another way. Returns the
        outcome."""
        expect, phone = self.outcome.expect, self.phone
        self.stage.act(Turn.voice(self.opening), caller="")
        try:
            self.call = await (begin(self) if begin is not None else self.carrier.ring(phone=phone))
        except (TimeoutError, ConnectionError) as error:
            self.outcome.missing.append(str(error))
            return self.outcome
        try:
            await self.call.wait_streaming(self.seconds)
            await phone.hears(1.0, self.seconds)
            expect("the call was answered, and its audio flows both ways", self.model_hears())
            await phone.hears_silence(700, self.seconds)
            expect(f"the {self.who} was greeted", self.said(self.opening))
            await plot(self)
        except (TimeoutError, ConnectionError) as error:
            self.outcome.missing.append(str(error))
        if self.call.state != "ended":
            self.tell("caller", "hangs up")
            await self.call.hang_up()
        try:
            await self.until(self._is_let_go, "the end of the call, of its media stream and of the model's sessions")
            expect("the call was let go, with its media stream and the model's sessions", True)
            if self.afterwards is not None:
                await self.afterwards()
        except TimeoutError as error:
            self.outcome.missing.append(str(error))
        self._measure()
        return self.outcome

    def _is_let_go(self) -> bool:
        streams_ended = all(stream.ended for stream in self.call.streams)
        return bool(self._is_quiet()) and streams_ended and all(session.closed for session in self.sessions)

    def write(self, path: Path) -> None:
        """Write the recording of the call, and check that the voices are in it."""
        self.phone.write_wav(path)
        caller, agent = _loud_seconds(path)
        if self.caller_speaks:
            self.outcome.expect("the recording holds both voices", caller > 1 and agent > 1)
        else:
            self.outcome.expect("the recording holds the agent's voice", agent > 1)
        self.outcome.figures.append(("voices in the recording", f"{self.who} {caller:.1f} s, agent {agent:.1f} s"))

    # What the caller does

    async def say(self, name: str, *answers: Turn, wait: bool = True) -> None:
        """Play one of the recorded lines to the agent, which will answer with these turns."""
        await self.speak(voices.load(name), voices.TEXTS[name], *answers, wait=wait)

    async def speak(self, audio: bytes, words: str, *answers: Turn, wait: bool = True) -> None:
        """Say audio (µ-law), whose transcript is `words`; the agent will answer with these turns."""
        self.stage.act(*answers, caller=words)
        self.phone.say(audio)
        if wait:
            await self.phone.spoken(len(audio) / 8000 + self.seconds)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds. Raises TimeoutError, which names `what` did not happen."""
        try:
            async with asyncio.timeout(self.seconds):
                while not condition():  # noqa: ASYNC110 - conditions of several packages, without an event
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise TimeoutError(f"{what} did not happen within {self.seconds:g} s") from None

    # What came of it

    @staticmethod
    def line(name: str) -> tuple[str, bytes]:
        """Return the words of a recording, and the recording (µ-law, 8,000 bytes a second)."""
        return voices.TEXTS[name], voices.load(name)

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The machine's steps, as the live feed tells them: `{"event": {"event", …}, "before", "after", …}`."""
        return [one.data for one in self.news if one.kind == "step"]

    def noted(self, kind: type[N]) -> list[N]:
        """Return the notes of that kind."""
        return [note for one in self.news if isinstance(note := one.note, kind)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the machine's events of that name, each as plain data: `{"event": <its name>, …}`."""
        return [step["event"] for step in self.steps if step["event"]["event"] == name]

    def passed(self, *states: str) -> bool:
        """Return whether the call went through these states, one after another."""
        path = [step["before"] for step in self.steps] + [self.steps[-1]["after"]]
        changes = [state for n, state in enumerate(path) if n == 0 or path[n - 1] != state]
        return any(tuple(changes[n : n + len(states)]) == states for n in range(len(changes)))

    def cause(self) -> str:
        """Return why the call ended; "": it has not."""
        ended = self.noted(notes.Ended)
        return ended[-1].cause if ended else ""

    def count_said(self, name: str) -> int:
        """Return how often the agent has said that line."""
        turns = self.noted(notes.Turn)
        return sum(1 for turn in turns if turn.who == "agent" and turn.text == voices.TEXTS[name])

    def said(self, name: str) -> bool:
        """Return whether the agent has begun to say that line, and the caller to hear it."""
        return self.count_said(name) > 0 and self.heard_of(name)

    def was_understood(self, words: str) -> bool:
        """Return whether these words of the caller have reached the model and came back as a turn of the
        conversation."""
        return any(turn.who == "caller" and turn.text == words for turn in self.noted(notes.Turn))

    def model_hears(self) -> bool:
        """Return whether the caller's audio arrives at the model."""
        live = any(session.audio_in for session in self.realtime.live_sessions)
        return live or any(session.caller.clock_ms > 0 for session in self.sessions)

    def heard_in_full(self, name: str) -> bool:
        """Tell whether the caller has heard all of that line."""
        audio = voices.load(name)
        return audio[: len(audio) // 160 * 160] in self.phone.heard_between(0.0, time.monotonic())

    def heard_of(self, name: str, since: float = 0.0) -> bool:
        """Return whether the caller has heard the beginning of that line; `since`: seconds, of `time.monotonic`."""
        return voices.load(name)[800:1600] in self.phone.heard_between(since, time.monotonic())

    @property
    def sessions(self) -> list[Any]:
        """The model's sessions of this call."""
        return self.realtime.sessions[self._sessions :]

    @property
    def commands(self) -> list[Any]:
        """The requests of the server to the carrier, since the story began."""
        return list(self.carrier.commands[self._commands :])

    @property
    def cuts(self) -> list[notes.Cut]:
        """All cuts by interruptions."""
        return [cut for note in self.noted(notes.Interrupted) for cut in note.cuts]

    def truncations(self) -> list[tuple[float, float]]:
        """Return for each interrupted item what the model was told of it, and how much of its recording came out of the
        telephone, both in ms."""
        found, since = [], 0.0
        for session in self.sessions:
            whole = {item.id: bytes(audio) for item in session.items if (audio := session.generated.get(item.id))}
            for one in session.received:
                if one.event.get("type") == "conversation.item.truncate":
                    at_phone = self.phone.heard_between(since, one.at + _APART_SECONDS)
                    heard = _heard_ms(at_phone, whole.get(one.event["item_id"], b""))
                    found.append((float(one.event["audio_end_ms"]), heard))
                    since = one.at
        return found

    def violations(self) -> list[str]:
        """Return what the emulated model has refused."""
        return [violation for session in self.sessions for violation in session.violations]

    def answers(self, call_id: str) -> list[str]:
        """Return what the model was told of a tool call."""
        items = [
            one.event["item"]
            for session in self.sessions
            for one in session.received
            if one.event.get("type") == "conversation.item.create"
        ]
        return [str(item["output"]) for item in items if item.get("call_id") == call_id and "output" in item]

    def overlapped(self, old: int, new: int) -> bool:
        """Return whether the new session was configured before the old one ended."""
        sessions = self.sessions
        if len(sessions) <= new:
            return False
        ready = next((one.at for one in sessions[new].sent if one.type == "session.updated"), None)
        last = max((one.at for one in sessions[old].received), default=0.0)
        return ready is not None and last >= ready - 1.0

    def longest_silence(self, since: float, until: float) -> float:
        """Return the longest stretch without anything to be heard, in seconds; `since`, `until`: seconds, of
        `time.monotonic`."""
        longest, start, at = 0.0, since, since
        while at < until:
            if self.phone.loud_ms(at, at + 0.1) > 0:
                longest, start = max(longest, at - start), at + 0.1
            at += 0.1
        return max(longest, until - start)

    def record(self) -> str:
        """Return all that was told of the call, as it would be written into the journal."""
        return json.dumps([one.data for one in self.news], default=str)

    def _measure(self) -> None:
        ended = (self.noted(notes.Ended) or [notes.Ended()])[0]
        if ended.first_word_ms is not None:
            self.outcome.figures.append(("answer to first word", f"{ended.first_word_ms:.0f} ms"))
        self.outcome.figures.append((f"{self.who} frames passed on", str(ended.frames_in)))


def _heard_ms(at_phone: bytes, audio: bytes) -> float:
    """Return how many ms of a recording were heard: the longest beginning of it that came out of the telephone."""
    low, high = 0, len(audio) // 160
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if audio[: middle * 160] in at_phone else (low, middle - 1)
    rest = next((n for n in range(160, 0, -1) if audio[: low * 160 + n] in at_phone), 0)
    return (low * 160 + rest) / 8


def _loud_seconds(path: Path) -> tuple[float, float]:
    """How long the caller and the agent are to be heard in a recording."""
    with wave.open(str(path), "rb") as file:
        both = array("h", file.readframes(file.getnframes()))
    caller, agent = (loud_bytes(pcm16_to_ulaw(both[side::2].tobytes())) / 8000 for side in (0, 1))
    return caller, agent


async def whole_call(story: Story, caller: Caller) -> None:
    """Play a call: a question, an interruption, a goodbye."""
    expect, phone = story.outcome.expect, story.phone
    asked = time.monotonic()
    await story.speak(caller.question, caller.words["question"], Turn.voice("agent/hours"))
    await phone.hears(2.0, story.seconds)
    expect("the caller was understood", story.was_understood(caller.words["question"]))
    expect("the caller was answered", story.heard_of("agent/hours", asked))

    broke_in = time.monotonic()
    cuts = len(story.noted(notes.Interrupted))
    answer = Turn.voice("agent/tomorrow")
    await story.speak(caller.interruption, caller.words["interruption"], answer, wait=False)
    await story.until(lambda: len(story.noted(notes.Interrupted)) > cuts, "the interruption")
    stopped = time.monotonic()
    await phone.spoken(story.seconds)
    expect("the agent stopped when it was interrupted", phone.loud_ms(stopped + 0.1, stopped + 0.4) < 40)
    expect("the model was told how much had been heard", await _told_the_truth(story))
    story.outcome.figures.append(
        ("the agent fell silent", f"{(stopped - broke_in) * 1000:.0f} ms after the caller broke in")
    )
    await phone.hears(0.8, story.seconds)
    await phone.hears_silence(700, story.seconds)
    expect("the interruption was answered", story.heard_of("agent/tomorrow", stopped))

    thanked = time.monotonic()
    await story.speak(caller.thanks, caller.words["thanks"], Turn.voice("agent/goodbye"))
    await phone.hears(0.8, story.seconds)
    await phone.hears_silence(500, story.seconds)
    expect("the agent said goodbye", story.heard_of("agent/goodbye", thanked))


async def _told_the_truth(story: Story) -> bool:
    await asyncio.sleep(_APART_SECONDS)
    truth = story.truncations()
    return bool(truth) and all(abs(told - heard) <= 40 for told, heard in truth)
