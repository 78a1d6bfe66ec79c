"""What a JSON body wants of a call's session: taken, left out and said, or refused in words of JSON."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.config import session_changes, session_overrides
from callflow.config.call_settings import CallSettings
from callflow.config.session_changes import MOST_NAMES, MOST_TEXT, read
from callflow.config.settings import Settings
from callflow.contracts.errors import SessionRefused
from callflow.contracts.secret_text import Secrets


def refusal(body: dict[str, Any]) -> list[str]:
    with pytest.raises(SessionRefused) as raised:
        read(body)
    return list(raised.value.problems)


def said(body: dict[str, Any]) -> list[str]:
    """Warnings or problems."""
    try:
        return read(body).warnings
    except SessionRefused as refused:
        return list(refused.problems)


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ({}, {}),
        ({"instructions": "Be brief.", "speed": 1}, {"instructions": "Be brief.", "speed": 1.0}),
        ({"voice": "cedar", "tracing": "AUTO"}, {"voice": "cedar", "tracing": "auto"}),
        ({"voice": "voice_123"}, {"voice": "voice_123"}),
        (
            {"vad_silence_ms": 500.0, "vad_create_response": False},
            {"vad_silence_ms": 500, "vad_create_response": False},
        ),
        ({"max_output_tokens": 20, "truncation": "disabled"}, {"max_output_tokens": 20, "truncation": "disabled"}),
        ({"max_output_tokens": "inf", "truncation": 0.5}, {"max_output_tokens": "inf", "truncation": 0.5}),
        ({"instructions": "x" * MOST_TEXT}, {"instructions": "x" * MOST_TEXT}),
        ({"transcription_language": ""}, {"transcription_language": ""}),
    ],
)
def test_what_a_session_takes(body: dict[str, Any], taken: dict[str, Any]) -> None:
    assert read(body) == (taken, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.8), ("temperature", 99), ("temperature", "hot"), ("temperature", None), ("temperature", [1]),
        ("include_segments", True), ("include_segments", "yes"), ("voice", "fable"), ("voice", "nova"),
        ("voice", "onyx"), ("voice", "bob"), ("noise_reduction", "custom"),
        ("noise_reduction", {"type": "custom", "level": 3}), ("noise_reduction", {}),
        ("prompt_id", "pmpt_1"), ("prompt_version", 2), ("model", "gpt-realtime"),
        ("output_modalities", ["text"]), ("output_modalities", "text"), ("modalities", ["audio"]), ("nonsense", 1),
        ("instuctions", "x"), ("", 1), ("\u202e\n", 1), ("x" * 5000, 1), ("input_audio_format", "g711_ulaw"),
    ],
)  # fmt: skip
def test_what_no_session_takes_is_left_out_and_said_and_the_rest_is_taken(name: str, value: Any) -> None:
    taken, warnings = read({name: value, "instructions": "Be brief.", "speed": 1.1})
    assert taken == {"instructions": "Be brief.", "speed": 1.1}
    (warning,) = warnings
    assert " left out: " in warning
    assert warning.isprintable()
    assert len(warning) < 250


def test_a_mistyped_name_is_told_which_was_meant() -> None:
    for name, meant in (("instuctions", "instructions"), ("Speed", "speed"), ("vad_silence", "vad_silence_ms")):
        (warning,) = read({name: 1}).warnings
        assert f"did you mean {meant}?" in warning
    for name in ("prot", "qqqq", "x" * 500):
        (warning,) = read({name: 1}).warnings
        assert "did you mean" not in warning, "what holds for all calls is no help"


def test_null_in_the_session_of_one_call_switches_off_as_in_the_interface() -> None:
    """The defaults were sent, and a warning spoke of what is kept."""
    of_input = {"turn_detection": None, "noise_reduction": None, "transcription": None}
    off = {"turn_detection": "none", "noise_reduction": "none", "transcription_model": ""}
    flat = {"turn_detection": None, "input_audio_noise_reduction": None, "input_audio_transcription": None}
    for session in ({"type": "realtime", "audio": {"input": of_input}}, {"session": flat}, {**flat, "voice": None}):
        assert session_overrides.wanted_of_call(session, Settings(), {})[:3] == (off, [], [])


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("speed", 9, "speed must be a number from 0.25 to 1.5, not 9."),
        ("speed", "1.1", 'speed must be a number from 0.25 to 1.5, not "1.1".'),
        ("speed", None, "not null."), ("speed", True, "not true."), ("speed", [1], "not a list."),
        ("speed", {"a": 1}, "not an object."), ("speed", "٣", 'not "٣".'), ("speed", 1e300, "to 1.5, not 1e+300."),
        ("speed", "fast\u202e", "speed must be a number from 0.25 to 1.5."),
        ("vad_silence_ms", 3.5, "must be a whole number of milliseconds from 0 to 60000, not 3.5."),
        ("vad_silence_ms", -1, "to 60000, not -1."), ("vad_silence_ms", 10**15, f"to 60000, not {10**15}."),
        ("vad_idle_timeout_ms", 1, "from 5000 to 30000"), ("vad_create_response", "yes", "must be true or false"),
        ("vad_create_response", 1, "must be true or false, not 1."), ("instructions", "", "a text, and not empty"),
        ("instructions", 5, "a text, and not empty, not 5."), ("instructions", " ", "not empty"),
        ("instructions", "a\0b", "must not hold a NUL"), ("instructions", "x" * 200_000, "it has 200000."),
        ("instructions", "sk-abcdefgh12345678", "looks like a secret key"),
        ("turn_detection", "x", '"server_vad", "semantic_vad" or "none", not "x".'),
        ("max_output_tokens", 4097, "from 1 to 4096"), ("max_output_tokens", "٣", "from 1 to 4096"),
        ("max_output_tokens", "many", "from 1 to 4096"), ("truncation", 2, "from 0 to 1"), ("truncation", [], "a list"),
        ("voice", "", "not empty"), ("voice", 1, "not 1."), ("noise_reduction", 5, '"near_field"'),
        ("port", 1, "port holds for all calls"), ("openai_api_key", "x", "openai_api_key holds for all calls"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_in_words_of_json(name: str, value: Any, says: str) -> None:
    (problem,) = refusal({name: value})
    assert says in problem
    assert problem.startswith(name)
    assert problem.endswith(".")
    assert problem.isprintable()
    for foreign in ("in quotes", "this call)", "settings.toml", ".env", "text in quotes"):
        assert foreign not in problem


def test_when_one_is_refused_none_is_taken_and_all_that_is_wrong_is_said() -> None:
    problems = refusal({"speed": 9, "port": 1, "temperature": 1, "nonsense": 2, "instructions": "x"})
    assert len(problems) == 4
    assert {problem.split()[0].strip('"') for problem in problems} == {"speed", "port", "temperature", "nonsense"}


def test_more_names_than_there_are_settings_are_refused_at_once() -> None:
    assert len(refusal({f"name{n}": n for n in range(MOST_NAMES + 1)})) == 1
    assert len(read({f"name{n}": n for n in range(MOST_NAMES)}).warnings) == MOST_NAMES


def test_the_servers_own_secrets_belong_into_no_session() -> None:
    for text in ("the password is hunter2-hunter2", "hunter2-hunter2"):
        with pytest.raises(SessionRefused) as raised:
            read({"instructions": text}, Secrets(["hunter2-hunter2"]))
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(CallSettings.model_fields))
def test_every_setting_of_a_session_takes_its_own_default(name: str) -> None:
    default = getattr(Settings(), name)
    taken, warnings = read({name: default})
    assert taken == {name: default} or (not taken and len(warnings) == 1)
    for value in (None, [], {"a": 1}, [1]):
        assert [line.split()[0] for line in said({name: value})] == [name]


def test_settings_are_not_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEED", "1.4")
    assert session_changes.read({"voice": "ash"}).taken == {"voice": "ash"}
