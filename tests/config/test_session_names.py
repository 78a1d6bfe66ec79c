"""A session in the words of the API, of its beta, or of the settings: what each says, and what is left out and why.

Whether a value can be is read in session_changes.py, and tested there.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.config.call_settings import CallSettings
from callflow.config.session_names import named, session, without_null
from callflow.config.settings import Settings


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"audio": {"output": {"voice": "cedar", "speed": 1.2}}}, {"voice": "cedar", "speed": 1.2}),
    ({"voice": {"id": "voice_1"}}, {"voice": "voice_1"}),
    ({"voice": {"id": "voice_1", "name": "x"}}, {"voice": {"id": "voice_1", "name": "x"}}),
    ({"turn_detection": "semantic_vad"}, {"turn_detection": "semantic_vad"}),
    ({"turn_detection": {"semantic": True, "type": "server_vad"}}, {"turn_detection": "semantic_vad"}),
    ({"turn_detection": {"semantic": False, "type": "server_vad"}}, {"turn_detection": "server_vad"}),
    (
        {"audio": {"input": {"turn_detection": {"silence_duration_ms": 300, "eagerness": "low"}}}},
        {"vad_silence_ms": 300, "vad_eagerness": "low"},
    ),
    ({"input_audio_transcription": {"model": "whisper-1", "enabled": False}}, {"transcription_model": ""}),
    ({"transcription": {"type": "none"}}, {"transcription_model": ""}),
    ({"input_audio_format": "g711_ulaw", "output_audio_format": " PCMU "}, {"engine_audio": "pcmu"}),
    ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}, {"engine_audio": "pcm24"}),
    ({"modalities": ["audio"]}, {"output_modalities": "audio"}),
    ({"modalities": ["text"]}, {"output_modalities": "text"}),
    ({"tool_choice": {"type": "function", "name": "end_call"}}, {"tool_choice": "end_call"}),
    ({"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}}, {"truncation": 0.5}),
    ({"parallel_tool_calls": True}, {"parallel_tool_calls": "on"}),
    ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
    ({"include": ["item.input_audio_transcription.logprobs"]}, {"transcription_logprobs": True}),
    ({"include": []}, {"transcription_logprobs": False}),
    ({"max_response_output_tokens": 20}, {"max_output_tokens": 20}),
    ({"prompt": {"id": "p", "version": "2"}}, {"prompt_id": "p", "prompt_version": "2"}),
    ({"type": "session.update", "event_id": "e", "session": {"voice": "ash"}}, {"voice": "ash"}),
    ({"speed": None, "audio": {"output": None}}, {"speed": None, "engine_audio": None, "voice": None}),
    ({"turn_detection": {"threshold": None}}, {"vad_threshold": None}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "values"), SAME)
def test_each_form_says_the_same_as_the_settings_do(body: dict[str, Any], values: dict[str, Any]) -> None:
    found = named(body)
    assert (found.values, found.problems) == (values, [])
    assert set(found.paths) == set(values)


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ({"modalities": ["audio", "text"]}, "modalities is left out: of it only audio is taken"),
        ({"audio": {"input": {"format": "opus"}}}, "audio.input.format is left out"),
        ({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 16000}}}}, "audio.input.format.rate is left"),
        ({"tracing": {"group_id": "g"}}, "tracing is left out: what is in it is not sent"),
        ({"truncation": {"retention_ratio": 0.5, "token_limits": {}}}, "truncation.token_limits is left out"),
        ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "tool_choice is left out"),
        ({"session": {}, "voice": "ash"}, "voice is left out: it stands beside session"),
        ({"audio": {"output": {"voise": "ash"}}}, "did you mean audio.output.voice?"),
        ({"silence_duration_ms": 5}, "(did you mean turn_detection.silence_duration_ms?)"),
        ({"turn_detection": None}, 'turn_detection: null takes away what is kept of it; {"type": "none"}'),
        ({"expires_at": 1}, "expires_at is left out: it is told by the API"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_said_with_its_place(body: dict[str, Any], warning: str) -> None:
    found = named(body)
    assert warning in "\n".join(found.warnings)
    assert found.problems == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"session": "loud"}, "session must be an object"),
        ({"audio": []}, "audio must be an object, such as {input, output}"),
        ({"type": "transcription"}, 'type must be "realtime"'),
        ({"include": "all"}, "include must be a list"),
        ({"turn_detection": {"semantic": "yes"}}, "turn_detection.semantic must be true or false"),
        ({"transcription": {"enabled": 0}}, "transcription.enabled must be true or false"),
        ({"transcription": {"type": "whisper"}}, 'transcription.type must be "none"'),
        ({"voice": "ash", "audio": {"output": {"voice": "cedar"}}}, "audio.output.voice and voice are one setting"),
        ({"port": 1}, "port holds for the whole server"),
    ],
)
def test_what_cannot_be_meant_is_a_problem_with_its_place(body: dict[str, Any], problem: str) -> None:
    assert problem in "\n".join(named(body).problems)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"voice": "voice_1", "turn_detection": "none", "noise_reduction": "none", "transcription_model": ""},
        {"engine_audio": "pcm24", "truncation": 0.5, "max_output_tokens": 20, "parallel_tool_calls": "off"},
        {"tracing": "auto", "transcription_logprobs": True, "reasoning_effort": "low", "parallel_tool_calls": "on"},
        {"truncation": "disabled", "vad_create_response": False, "speed": 0.25, "tool_choice": "none"},
    ],
)  # fmt: skip
def test_settings_that_are_written_as_a_session_are_read_as_they_were(changes: dict[str, Any]) -> None:
    chosen = Settings(**changes)
    found = named(session(chosen))
    assert (found.warnings, found.problems) == ([], [])
    again = Settings(**found.values)
    assert {name: getattr(again, name) for name in found.values} == {
        name: getattr(chosen, name) for name in found.values
    }
    assert set(changes) <= set(found.values)


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ({"turn_detection": None, "voice": None}, {"turn_detection": {"type": "none"}}),
        ({"audio": {"input": {"noise_reduction": None, "transcription": None}}},
         {"audio": {"input": {"noise_reduction": {"type": "none"}, "transcription": {"enabled": False}}}}),
        ({"input_audio_transcription": {"language": None, "model": None}},
         {"input_audio_transcription": {"language": "", "model": None}}),
        ({"include": None, "max_response_output_tokens": None}, {"include": [], "max_response_output_tokens": "inf"}),
        ({"session": {"turn_detection": None}}, {"session": {"turn_detection": {"type": "none"}}}),
    ],
)  # fmt: skip
def test_null_is_what_it_is_in_the_api(body: dict[str, Any], plain: dict[str, Any]) -> None:
    assert without_null(body) == plain


_LEAF = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(0, 1) | st.sampled_from(["", "none", "audio", "ash"])
_NAME = st.sampled_from([
    "session", "type", "audio", "input", "output", "turn_detection", "semantic", "transcription", "enabled", "format",
    "voice", "include", "modalities", "truncation", "retention_ratio", "tool_choice", "name", "id", "speed", "x", "",
    "\\n",
])  # fmt: skip
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAME, inner, max_size=4), max_leaves=12
)


@settings(max_examples=25)
@given(st.dictionaries(_NAME, _JSON, max_size=4))
def test_whatever_is_sent_is_read_said_and_of_settings_alone(body: dict[str, Any]) -> None:
    for each in (body, without_null(body)):
        before = json.dumps(each)
        found = named(each)
        assert json.dumps(each) == before, "the body is another's"
        assert set(found.values) <= set(CallSettings.model_fields)
        assert set(found.values) == set(found.paths)
        assert all(line and "\n" not in line for line in (*found.warnings, *found.problems))
