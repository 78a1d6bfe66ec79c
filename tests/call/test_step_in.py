"""Whispers and pictures: whether the model takes them, and whether it is asked to speak about them at once."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call import machine
from callflow.call.line_requests import MUTED, ON_HOLD, TAKEN, LineRequests
from callflow.call.step_in import NO_MODEL, StepIn
from callflow.config.settings import Settings
from callflow.contracts.engine import ContextImage
from callflow.engines.common.account import Account
from callflow.journal.notes import ImageShown, Note, Whispered
from callflow.media.audio_gates import AudioGates
from callflow.switchboard.call_configs import call_config


FIELDS = {"mime": "image/png", "width": 4, "height": 3, "size": 3}


class Scene:
    """A call that talks, with a model that sees."""

    def __init__(self) -> None:
        self.model = machine.Model()
        self.model.state, self.model.engine, self.model.media = machine.STREAMING, "ready", "open"
        self.gates, self.notes, self.asked = AudioGates(), list[Note](), list[tuple[str, bool]]()
        self.line = LineRequests(
            call_config(Settings(), Account()), lambda: self.model, can=frozenset(), gates=self.gates,
            opening=lambda: False, post=lambda event: None, awaits=lambda kind: False,
        )  # fmt: skip
        agent = SimpleNamespace(
            voicemail=SimpleNamespace(is_on=False),
            sessions=SimpleNamespace(can=lambda what: what == "sees_images"),
            prompter=SimpleNamespace(
                whisper=lambda name, text, now: self.asked.append(("whisper", now)),
                show=lambda image, now: self.asked.append(("show", now)),
            ),
        )
        recordings = SimpleNamespace(pause=SimpleNamespace(is_on=False), mark=lambda *_: None)
        self.step_in = StepIn(
            lambda: self.model, cast(Any, lambda: agent), self.line, cast(Any, recordings), self.notes.append
        )

    def show(self, *, now: bool) -> str:
        return self.step_in.show(ContextImage("data:,", "Our menu."), "console", number=1, fields=FIELDS, now=now)


UNHEARD: dict[str, tuple[Callable[[Scene], None], str]] = {
    "on hold": (lambda the: setattr(the.model, "armed", frozenset({"hold"})), ON_HOLD),
    "an operator speaks": (lambda the: setattr(the.line, "taken_by", "token anna"), TAKEN % "anna"),
    "muted": (lambda the: the.gates.mute("agent", True), MUTED),
    "no model": (lambda the: setattr(the.model, "engine", "connecting"), NO_MODEL),
}


def test_the_model_speaks_at_once_about_what_it_is_told_or_shown() -> None:
    the = Scene()
    assert the.step_in.whisper("Offer ten percent.", "console", now=True) == the.show(now=True) == ""
    assert the.asked == [("whisper", True), ("show", True)]
    assert [getattr(note, "now", None) for note in the.notes] == [True, True]


@pytest.mark.parametrize("why", UNHEARD)
def test_it_is_not_asked_to_speak_where_the_caller_would_not_hear_it(why: str) -> None:
    """A picture made it speak while an operator spoke in its place, or while it was muted."""
    the, (make, sentence) = Scene(), UNHEARD[why]
    make(the)
    assert the.step_in.whisper("Offer ten percent.", "console", now=True) == sentence
    assert the.step_in.whisper("Offer ten percent.", "console", now=False) == ""
    assert the.show(now=True) == "", "it is shown all the same"
    assert the.asked == [("whisper", False), ("show", False)]
    assert the.notes == [
        Whispered(id="1", text="Offer ten percent.", now=False, by="console"),
        ImageShown(number=1, text="Our menu.", now=False, by="console", **cast(Any, FIELDS)),
    ]
