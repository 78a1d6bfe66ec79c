"""A live call as a row, and what is worth a warning."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.call import Call
from callflow.web.console.live.rows import NO_COST, row, warnings


def call(**more: Any) -> Any:
    model = SimpleNamespace(state="streaming", media="open", engine="ready", tries=0, armed=())
    made = SimpleNamespace(
        id="c", direction="inbound", from_number="+15550100001", to_number="+15550100002", began=5.0, model=model,
        awaits_return=False,
        carrier=SimpleNamespace(name="telnyx"),
        config=SimpleNamespace(profile="sales", business=""),
        relay=SimpleNamespace(is_flowing=True, is_remote=False),
        recordings=SimpleNamespace(pause=SimpleNamespace(is_on=False)),
        requests=SimpleNamespace(line=SimpleNamespace(is_on_hold=False, muted=[], taken_by="")),
        agent=SimpleNamespace(
            conversation=SimpleNamespace(state="listening"),
            no_input=SimpleNamespace(asked=0),
            turns=SimpleNamespace(
                taking=SimpleNamespace(caller_speaking=False), latency=SimpleNamespace(turns=[]), is_filling=False
            ),
        ),
    )  # fmt: skip
    for path, value in more.items():
        *ways, name = path.split("__")
        place: Any = made
        for way in ways:
            place = getattr(place, way)
        setattr(place, name, value)
    return made


def test_a_row_has_what_the_contract_says() -> None:
    told = row(call(agent__turns__latency__turns=[{"total_ms": 900}, {"total_ms": 700}]), (0.123456, 2.0), 6.0)
    assert told == {
        "id": "c", "carrier": "telnyx", "direction": "inbound", "from": "+15550100001", "to": "+15550100002",
        "profile": "sales", "business": "", "state": "streaming", "began": 5.0, "answered": 6.0, "speaking": "",
        "latency_ms": 700, "cost": {"dollars": 0.1235, "ceiling": 2.0}, "warnings": [],
    }  # fmt: skip
    assert row(call(), NO_COST, None)["cost"] is None
    assert row(call(), (0.1, None), None)["cost"]["ceiling"] is None


@pytest.mark.parametrize(
    ("caller", "state", "flows", "speaking"),
    [
        (True, "listening", True, "caller"), (False, "speaking", True, "agent"), (True, "speaking", True, "both"),
        (False, "thinking", True, ""), (True, "speaking", False, ""),
    ],
)  # fmt: skip
def test_who_speaks(caller: bool, state: str, flows: bool, speaking: str) -> None:
    made = call(agent__turns__taking__caller_speaking=caller, agent__conversation__state=state, relay__is_flowing=flows)
    assert row(made, NO_COST, None)["speaking"] == speaking


@pytest.mark.parametrize(
    ("trouble", "word"),
    [
        ({"model__state": "recovering"}, "audio stream is lost"),
        ({"model__media": "lost"}, "audio stream is lost"),
        ({"model__engine": "lost"}, "no other one is opened"),
        ({"model__engine": "lost", "model__armed": ("bridged",)}, "asked for again when the caller is given back"),
        ({"model__engine": "connecting", "model__tries": 1}, "another one is being opened"),
        ({"agent__turns__is_filling": True}, "waits for an answer"),
        ({"agent__no_input__asked": 1}, "asked once"),
        ({"agent__no_input__asked": 2}, "asked twice"),
        ({"agent__no_input__asked": 3}, "asked 3 times"),
        ({"requests__line__is_on_hold": True}, "on hold"),
        ({"requests__line__muted": ["agent"]}, "The agent is muted."),
        ({"recordings__pause__is_on": True}, "recording is paused"),
        ({"awaits_return": True}, "restarted"),
    ],
)
def test_a_warning_is_a_sentence(trouble: dict[str, Any], word: str) -> None:
    (told,) = warnings(cast(Call, call(**trouble)))
    assert word in told
    assert told.endswith(".")


def test_a_call_that_is_over_or_just_begins_is_no_trouble() -> None:
    assert warnings(cast(Call, call(model__state="hangup", model__media="lost"))) == []
    assert warnings(cast(Call, call(model__engine="connecting"))) == []


@pytest.mark.parametrize("state", ["transferring", "bridged"])
def test_the_audio_of_a_caller_whom_a_person_has_is_not_lost(state: str) -> None:
    assert warnings(cast(Call, call(model__state=state, model__media="lost"))) == []
