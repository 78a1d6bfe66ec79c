"""The story that the demo tells: what the caller does, and what must come of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callflow.live import News
from callflow.sandbox import voices
from callflow.sandbox.phone import Phone
from callflow.sandbox.realtime.script import Script, Turn
from callflow.sandbox.telnyx import Telnyx


_STEP_SECONDS = 12.0
"""No step of the story takes longer, unless the caller speaks longer."""


@dataclass(frozen=True)
class Stage(Script):
    """A script that follows the story instead of counting turns: a caller with pauses in his speech takes several."""

    now: dict[str, str] = field(default_factory=lambda: {"agent": "greeting", "caller": ""})

    def act(self, agent: str, caller: str) -> None:
        """From here on the agent answers with this line, and the caller's words read like that."""
        self.now.update(agent=agent, caller=caller)

    def turn(self, number: int) -> Turn:
        return Turn.voice(f"agent/{self.now['agent']}")

    def transcript(self, number: int) -> str:
        return self.now["caller"]


@dataclass
class Caller:
    """What the person on the phone says, as µ-law, and how that reads."""

    question: bytes
    interruption: bytes
    thanks: bytes
    words: dict[str, str]

    @classmethod
    def rendered(cls) -> Caller:
        lines = {"question": "hours", "interruption": "interruption", "thanks": "thanks"}
        audio = {name: voices.load(f"caller/{line}") for name, line in lines.items()}
        return cls(**audio, words={name: voices.TEXTS[f"caller/{line}"] for name, line in lines.items()})

    @classmethod
    def recorded(cls, audio: bytes, name: str) -> Caller:
        """One recording in the caller's mouth for all three: whole, and its beginning."""
        start = audio[: 8000 * 3]
        return cls(audio, start, start, dict.fromkeys(("question", "interruption", "thanks"), f"({name})"))


@dataclass
class Outcome:
    """What happened, as far as the story cares."""

    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)

    def expect(self, what: str, happened: object) -> None:
        (self.done if happened else self.missing).append(what)


class Story:
    """One call from ring to hang-up. `news` is filled by whoever watches the line."""

    def __init__(
        self,
        telnyx: Telnyx,
        stage: Stage,
        news: list[News],
        tell: Callable[[str, str], None],
        is_quiet: Callable[[], bool],
    ) -> None:
        self._telnyx, self._stage, self._news, self._tell, self._is_quiet = telnyx, stage, news, tell, is_quiet
        self.phone = Phone()
        self.outcome = Outcome()

    async def play(self, caller: Caller) -> Outcome:
        expect, phone = self.outcome.expect, self.phone
        self._stage.act("greeting", "")
        call = await self._telnyx.ring(phone=phone)
        try:
            await call.wait_streaming(_STEP_SECONDS)
            expect("the call was answered and its audio flows", True)
            await phone.hears(1.0, _STEP_SECONDS)
            await phone.hears_silence(700, _STEP_SECONDS)
            expect("the caller was greeted", self._heard_turns(1))

            await self._say(caller.question, "hours", caller.words["question"])
            await phone.hears(2.0, _STEP_SECONDS)
            expect("the caller was answered", True)

            broke_in = time.monotonic()
            cuts = self._count("interrupted")
            await self._say(caller.interruption, "tomorrow", caller.words["interruption"], wait=False)
            await self._until(lambda: self._count("interrupted") > cuts, "the interruption")
            stopped = time.monotonic()
            await phone.spoken(_STEP_SECONDS)
            expect("the agent stopped when it was interrupted", phone.loud_ms(stopped + 0.1, stopped + 0.4) < 40)
            expect("the model was told how much had been heard", self._cut_is_true())
            self.outcome.figures.append(
                ("the agent fell silent", f"{(stopped - broke_in) * 1000:.0f} ms after the caller broke in")
            )
            await phone.hears(0.8, _STEP_SECONDS)
            await phone.hears_silence(700, _STEP_SECONDS)
            expect("the interruption was answered", True)

            await self._say(caller.thanks, "goodbye", caller.words["thanks"])
            await phone.hears(0.8, _STEP_SECONDS)
            await phone.hears_silence(500, _STEP_SECONDS)
            expect("the agent said goodbye", True)
        except TimeoutError as error:
            self.outcome.missing.append(str(error))
        self._tell("caller", "hangs up")
        await call.hang_up()
        try:
            await self._until(self._is_quiet, "the call to be let go")
            expect("the call was let go, with everything it owned", True)
        except TimeoutError as error:
            self.outcome.missing.append(str(error))
        self._measure()
        return self.outcome

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.phone.write_wav(path)
        said = sum(len(segment.audio) for segment in self.phone.said) / 8000
        heard = self.phone.loud_ms() / 1000
        self.outcome.expect("the recording holds both voices", said > 1 and heard > 1)
        self.outcome.figures.append(("voices in the recording", f"caller {said:.1f} s, agent {heard:.1f} s"))

    async def _say(self, audio: bytes, answer: str, words: str, *, wait: bool = True) -> None:
        self._stage.act(answer, words)
        self.phone.say(audio)
        if wait:
            await self.phone.spoken(len(audio) / 8000 + _STEP_SECONDS)

    async def _until(self, condition: Callable[[], object], what: str) -> None:
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                while not condition():  # noqa: ASYNC110 - conditions of several rooms, no event of their own
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise TimeoutError(f"{what} did not happen within {_STEP_SECONDS:g} s") from None

    def _count(self, kind: str) -> int:
        return sum(1 for news in self._news if news.kind == kind)

    def _last(self, kind: str) -> dict[str, Any]:
        return next((news.data for news in reversed(self._news) if news.kind == kind), {})

    def _heard_turns(self, least: int) -> bool:
        return sum(1 for news in self._news if news.kind == "turn" and news.data["who"] == "agent") >= least

    def _cut_is_true(self) -> bool:
        cuts = self._last("interrupted").get("cuts", [])
        return bool(cuts) and all(0 <= cut["heard_ms"] <= cut["received_ms"] for cut in cuts)

    def _measure(self) -> None:
        ended = self._last("ended")
        if ended.get("first_word_ms") is not None:
            self.outcome.figures.append(("answer to first word", f"{ended['first_word_ms']:.0f} ms"))
        if ended.get("reply_ms"):
            replies = ", ".join(f"{ms:.0f}" for ms in ended["reply_ms"])
            self.outcome.figures.append(("end of the caller's speech to reply", f"{replies} ms"))
        self.outcome.figures.append(("caller frames passed on", str(ended.get("frames_in", 0))))
