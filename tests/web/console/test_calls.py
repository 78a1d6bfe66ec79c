"""The routes for calls on the operators' listener, without a socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.web.console.stage import CALL, Stage, play


TOKEN = "a-token-of-24-characters"


def test_live_calls_and_those_of_the_history_are_listed(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.live("c-live")
        await the.write_call("c-old")
        await the.write_call(CALL, at=1_700_000_100.0)
        told = (await the.get("/api/calls/live")).json()
        assert [(call["id"], call["state"]) for call in told["live"]] == [("c-live", "streaming")]
        assert told["recorded"] == ["c-old", CALL]

    play(tmp_path, main)


def test_a_call_is_told_step_by_step_with_its_conversation(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        told = (await the.get(f"/api/calls/{CALL}")).json()
        assert [one["event"]["event"] for one in told["records"]] == ["began", "ended"]
        assert (told["call"], told["conversation"]["caller_number"]) == (CALL, "+15550100001")
        assert (await the.get("/api/calls/nobody")).status == 404

    play(tmp_path, main)


def test_a_call_that_is_not_in_the_history_yet_is_told_from_memory(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.get("/api/calls/nobody")).status == 503, "it may be in the history"
        assert (await the.get("/api/calls/live")).json() == {"live": [], "recorded": []}

    play(tmp_path, main, opened=False)


@pytest.mark.parametrize(
    ("body", "when"),
    [(b"", "goodbye"), (b"{}", "goodbye"), (b'{"when": "goodbye"}', "goodbye"), (b'{"when": "now"}', "now")],
)
def test_a_live_call_is_ended_as_it_was_asked_for(tmp_path: Path, body: bytes, when: str) -> None:
    async def main(the: Stage) -> None:
        call = the.live()
        answer = await the.send("POST", f"/api/calls/{CALL}/hangup", body)
        assert (answer.status, answer.json()) == (200, {"call": CALL, "when": when, "by": "operator"})
        assert call.hung_up == [(when, "operator")]

    play(tmp_path, main)


def test_who_ended_it_is_known(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        call = the.live()
        for headers in ({}, {"Callflow-Asked-By": "command line"}, {"Callflow-Asked-By": "somebody"}):
            await the.send("POST", f"/api/calls/{CALL}/hangup", b"{}", **headers)
        assert [by for _, by in call.hung_up] == ["console", "command line", "console"]

    play(tmp_path, main, token=TOKEN)


@pytest.mark.parametrize("body", [b'{"when": "later"}', b'{"when": 1}', b'{"wen": "now"}', b"[]"])
def test_another_way_to_end_it_is_refused(tmp_path: Path, body: bytes) -> None:
    async def main(the: Stage) -> None:
        call = the.live()
        assert (await the.send("POST", f"/api/calls/{CALL}/hangup", body)).status == 400
        assert call.hung_up == []

    play(tmp_path, main)


def test_a_call_that_is_over_cannot_be_ended(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.live(is_over=True)
        assert (await the.send("POST", f"/api/calls/{CALL}/hangup")).status == 409
        del the.calls[CALL]
        assert (await the.send("POST", f"/api/calls/{CALL}/hangup")).status == 404
        await the.write_call()
        assert (await the.send("POST", f"/api/calls/{CALL}/hangup")).status == 409

    play(tmp_path, main)


def test_the_session_of_a_live_call_is_changed_in_the_shapes_of_the_interface_too(tmp_path: Path) -> None:
    """Only the names of settings were read: all else of a session was left out, or refused the whole of it."""
    turns = {"type": "server_vad", "threshold": 0.4}
    asked = {
        "as now": {"type": "realtime", "audio": {"input": {"turn_detection": turns}, "output": {"speed": 1.1}}},
        "as in the beta": {"turn_detection": turns, "modalities": ["audio"], "input_audio_transcription": None},
    }

    async def main(the: Stage) -> None:
        call = the.live()
        for session in asked.values():
            answer = await the.send("POST", f"/api/calls/{CALL}/session", json.dumps(session).encode())
            assert (answer.status, answer.json()["warnings"]) == (200, ["left out"])
        seen = {"turn_detection": "server_vad", "vad_threshold": 0.4}
        assert call.updates == [
            {**seen, "speed": 1.1},
            {**seen, "output_modalities": "audio", "transcription_model": ""},
        ]
        turns["threshold"] = 3
        answer = await the.send("POST", f"/api/calls/{CALL}/session", json.dumps(asked["as now"]).encode())
        assert answer.status == 400
        assert "audio.input.turn_detection.threshold must be" in str(answer.json())

    play(tmp_path, main)


def test_the_session_of_a_live_call_is_changed(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        call = the.live()
        answer = await the.send("POST", f"/api/calls/{CALL}/session", b'{"speed": 0.9}')
        assert (answer.status, "left out" in answer.json()["warnings"]) == (200, True)
        assert call.updates == [{"speed": 0.9}]
        assert (await the.send("POST", "/api/calls/nobody/session", b'{"speed": 0.9}')).status == 404
        assert (await the.send("POST", f"/api/calls/{CALL}/session", b'{"speed": "fast"}')).status == 400

    play(tmp_path, main)
