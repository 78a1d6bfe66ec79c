"""What OpenAI Realtime says, and what we make of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    EngineEvent,
    ErrorReported,
    ItemAdded,
    ResponseDone,
    ResponseStarted,
    SessionLost,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TranscriptFailed,
)
from callflow.contracts.errors import Malformed
from callflow.engines.openai_realtime import server_events
from callflow.engines.openai_realtime.server_events import BETA_NAMES, FATAL_CODES


def heard(kind: Any, **fields: Any) -> EngineEvent | None:
    return server_events.read(server_events.decode(json.dumps({"type": kind, "event_id": "e", **fields})))


AUDIO = base64.b64encode(b"\xff\x7f\x00").decode()
AT = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 1}
MEANINGS: list[tuple[dict[str, Any], EngineEvent | None]] = [
    ({"type": "response.output_audio.delta", **AT, "delta": AUDIO}, AudioDelta("r", "i", 1, b"\xff\x7f\x00")),
    ({"type": "response.output_audio.delta", "item_id": "i", "delta": AUDIO}, AudioDelta("", "i", 0, b"\xff\x7f\x00")),
    ({"type": "response.output_audio.delta", **AT, "delta": ""}, None),
    ({"type": "response.output_audio.done", **AT}, AudioDone("r", "i", 1)),
    (
        {"type": "response.output_audio_transcript.delta", **AT, "delta": "Hel"},
        Transcript("agent", "i", "Hel", final=False),
    ),
    (
        {"type": "response.output_audio_transcript.done", **AT, "transcript": "Hello"},
        Transcript("agent", "i", "Hello", True),
    ),
    ({"type": "response.output_text.delta", **AT, "delta": "Hel"}, Transcript("agent", "i", "Hel", final=False)),
    ({"type": "response.output_text.done", **AT, "text": "Hello"}, Transcript("agent", "i", "Hello", final=True)),
    (
        {"type": "conversation.item.input_audio_transcription.delta", "item_id": "u", "delta": "Hi"},
        Transcript("caller", "u", "Hi", final=False),
    ),
    (
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "u", "transcript": "Hi."},
        Transcript("caller", "u", "Hi.", final=True),
    ),
    (
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "u", "transcript": ""},
        Transcript("caller", "u", "", final=True),
    ),
    (
        {"type": "conversation.item.input_audio_transcription.failed", "item_id": "u", "error": {"code": "x"}},
        TranscriptFailed("u", "x"),
    ),
    (
        {
            "type": "conversation.item.input_audio_transcription.failed",
            "item_id": "u",
            "error": {"code": "x", "message": "m" * 500},
        },
        TranscriptFailed("u", f"x: {'m' * 297}"),
    ),
    ({"type": "conversation.item.input_audio_transcription.failed", "error": {"code": "x"}}, None),
    (
        {"type": "conversation.item.added", "item": {"id": "u", "type": "message", "role": "user"}},
        ItemAdded("caller", "u"),
    ),
    (
        {"type": "conversation.item.added", "item": {"id": "a", "type": "message", "role": "assistant"}},
        ItemAdded("agent", "a"),
    ),
    ({"type": "conversation.item.added", "item": {"id": "s", "type": "message", "role": "system"}}, None),
    ({"type": "conversation.item.added", "item": {"id": "f", "type": "function_call"}}, None),
    ({"type": "input_audio_buffer.speech_started", "audio_start_ms": 5, "item_id": "u"}, SpeechStarted()),
    ({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 5, "item_id": "u"}, SpeechStopped()),
    ({"type": "response.created", "response": {"id": "r", "status": "in_progress"}}, ResponseStarted("r")),
    ({"type": "response.done", "response": {"id": "r", "status": "completed"}}, ResponseDone("r", "completed", "")),
    (
        {
            "type": "response.done",
            "response": {
                "id": "r",
                "status": "cancelled",
                "status_details": {"type": "cancelled", "reason": "turn_detected"},
            },
        },
        ResponseDone("r", "cancelled", "turn_detected"),
    ),
    (
        {
            "type": "response.done",
            "response": {
                "id": "r",
                "status": "failed",
                "status_details": {"error": {"code": "inference_rate_limit_exceeded"}},
            },
        },
        ResponseDone("r", "failed", "inference_rate_limit_exceeded"),
    ),
    (
        {
            "type": "response.done",
            "response": {"id": "r", "status": "failed", "status_details": {"error": {"type": "server_error"}}},
        },
        ResponseDone("r", "failed", "server_error"),
    ),
    ({"type": "session.created", "session": {}}, None),
    ({"type": "of.next.year", "delta": "x", "new": [{}]}, None),
]


@pytest.mark.parametrize(("event", "meaning"), MEANINGS, ids=range(len(MEANINGS)))
def test_what_an_event_means(event: dict[str, Any], meaning: EngineEvent | None) -> None:
    found = heard(event.pop("type"), **event, obfuscation="xyz", phase="commentary")
    assert found == meaning
    assert type(found) is type(meaning), "tuples of different kinds can be equal"


@pytest.mark.parametrize(("beta", "ga"), BETA_NAMES.items())
def test_the_betas_names_mean_their_successors(beta: str, ga: str) -> None:
    item = {"id": "u", "type": "message", "role": "user"}
    fields = {**AT, "delta": AUDIO, "transcript": "t", "text": "t", "item": item}
    assert heard(ga, **fields) is not None
    assert heard(beta, **fields) == heard(ga, **fields)
    assert server_events.decode(json.dumps({"type": beta})).type == ga


NULLABLE = ("delta", "response_id", "item_id", "content_index", "transcript", "text", "item", "response", "error")


@pytest.mark.parametrize("kind", [*server_events._READERS, "of.next.year"])
def test_fields_may_be_missing_or_null(kind: str) -> None:
    assert heard(kind) == heard(kind, **dict.fromkeys(NULLABLE))
    json.dumps(heard(kind))


NONSENSE: list[dict[str, Any]] = [
    {"type": "response.done", "response": []},
    {"type": "response.done", "response": {"id": 5, "status": [], "status_details": "x"}},
    {"type": "response.done", "response": {"status_details": {"error": "x"}}},
    {"type": "response.done", "response": {"status_details": {"error": {"code": {"a": 1}}}}},
    {"type": "response.created", "response": {"id": 5}},
    {"type": "conversation.item.added", "item": "x"},
    {"type": "conversation.item.added", "item": {"type": "message", "role": ["user"], "id": "u"}},
    {"type": "conversation.item.added", "item": {"type": "message", "role": "user", "id": None}},
    {"type": "conversation.item.added", "item": {"type": "message", "role": "user", "id": ""}},
    {"type": "response.created", "response": {"id": "r" * 201}},
    {"type": "error", "error": "x"},
    {"type": "error", "error": {"code": {"a": 1}, "message": ["m"]}},
]


@pytest.mark.parametrize("event", NONSENSE, ids=range(len(NONSENSE)))
def test_parts_of_another_shape_do_no_harm(event: dict[str, Any]) -> None:
    json.dumps(heard(event.pop("type"), **event))


MALFORMED: dict[str, str | bytes] = {
    "nothing": b"",
    "not JSON": "speech_started",
    "not JSON behind half a surrogate": '{"type":"x","delta":"\\udc00"',
    "half a surrogate in the middle of much": '{"type":"x","delta":"\\udc00","item":[' + "0," * 10_000 + "0]}",
    "half a surrogate far below": '{"type":"x","delta":"\\udc00","item":' + "[" * 100 + "]" * 100 + "}",
    "half a surrogate in a long event": '{"type":"x","delta":"\\udc00","text":"' + "x" * 1_100_000 + '"}',
    "a number of endless digits": '{"type":"x","item":' + "9" * 5000 + "}",
    "half a surrogate outside JSON": "\ud800",
    "an empty id": '{"type":"response.output_audio.done","item_id":""}',
    "a long id": '{"type":"response.output_audio.done","response_id":"' + "r" * 201 + '"}',
    "a long event that is no audio": '{"type":"response.done","delta":"","response":[' + "{}," * 400_000 + "0]}",
    "a long event without a delta": '{"type":"response.done","response":"' + "x" * 1_100_000 + '"}',
    "nested without end": '{"type":"response.done","response":' + "[" * 100_000,
    "a list": "[]",
    "null": b"null",
    "no type": "{}",
    "type null": '{"type":null}',
    "too deep": "[" * 100_000,
    "too deep where nobody looks": '{"type":"x","new":' + "[" * 100_000,
    "delta a number": '{"type":"response.output_audio.delta","item_id":"i","delta":5}',
    "audio that is not base64": '{"type":"response.output_audio.delta","item_id":"i","delta":"!!!!"}',
    "audio with garbage inside": '{"type":"response.output_audio.delta","item_id":"i","delta":"AA?AA"}',
    "audio cut short": '{"type":"response.output_audio.delta","item_id":"i","delta":"AAAAA"}',
    "audio outside ASCII": '{"type":"response.output_audio.delta","item_id":"i","delta":"äöüß"}',
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_event_is_refused(what: str) -> None:
    with pytest.raises(Malformed):
        server_events.read(server_events.decode(MALFORMED[what]))


HALF = "\\ud83d"
"""As JSON has it; the other half never comes."""
CALLER = "conversation.item.input_audio_transcription"
AGENT = "response.output_audio_transcript"
READABLE: dict[str, tuple[str | bytes, EngineEvent]] = {
    "the caller's words": (
        f'{{"type":"{CALLER}.completed","item_id":"u","transcript":"Good {HALF} day"}}',
        Transcript("caller", "u", "Good ? day", final=True),
    ),
    "the caller's words so far": (
        f'{{"type":"{CALLER}.delta","item_id":"u","delta":"{HALF}"}}',
        Transcript("caller", "u", "?", final=False),
    ),
    "the agent's words so far": (
        f'{{"type":"{AGENT}.delta","item_id":"i","delta":"\\ude00!"}}',
        Transcript("agent", "i", "?!", final=False),
    ),
    "the agent's words": (
        f'{{"type":"{AGENT}.done","item_id":"i","transcript":"{HALF} \\ud83d\\ude00"}}',
        Transcript("agent", "i", "? \N{GRINNING FACE}", final=True),
    ),
    "an agent's text": (
        f'{{"type":"response.output_text.done","item_id":"i","text":"{HALF}"}}',
        Transcript("agent", "i", "?", final=True),
    ),
    "a backslash is no escape": (
        f'{{"type":"{AGENT}.done","item_id":"i","transcript":"\\\\ud83d {HALF}"}}',
        Transcript("agent", "i", "\\ud83d ?", final=True),
    ),
    "half a pair in a name": (
        f'{{"type":"conversation.item.added","item":{{"id":"u","type":"message","role":"user","na{HALF}me":"{HALF}"}}}}',
        ItemAdded("caller", "u"),
    ),
    "half a pair in what nobody reads": (
        f'{{"type":"response.output_audio.delta","item_id":"i","delta":"{AUDIO}","obfuscation":"{HALF}"}}',
        AudioDelta("", "i", 0, b"\xff\x7f\x00"),
    ),
    "half a pair in an error": (
        f'{{"type":"error","error":{{"code":"c","message":"m{HALF}"}}}}',
        ErrorReported("c", "m?"),
    ),
    "a transcription that failed": (
        f'{{"type":"{CALLER}.failed","item_id":"u","error":{{"code":"c{HALF}"}}}}',
        TranscriptFailed("u", "c?"),
    ),
    "no UTF-8": (
        b'{"type":"' + CALLER.encode() + b'.completed","item_id":"u","transcript":"caf\xe9"}',
        Transcript("caller", "u", "caf\ufffd", final=True),
    ),
    "a surrogate as bytes": (
        b'{"type":"' + CALLER.encode() + b'.completed","item_id":"u","transcript":"\xed\xa0\xbd"}',
        Transcript("caller", "u", "\ufffd" * 3, final=True),
    ),
    "a line break within": (
        f'{{"type":"{CALLER}.completed","item_id":"u","transcript":"one\ntwo"}}',
        Transcript("caller", "u", "one\ntwo", final=True),
    ),
    "a mark of byte order before it": (
        b'\xef\xbb\xbf{"type":"' + CALLER.encode() + b'.completed","item_id":"u","transcript":"one"}',
        Transcript("caller", "u", "one", final=True),
    ),
    "not a number": (
        f'{{"type":"{CALLER}.completed","item_id":"u","transcript":"one","usage":{{"seconds":NaN}}}}',
        Transcript("caller", "u", "one", final=True),
    ),
    "a name said twice": (
        f'{{"type":"{CALLER}.completed","item_id":"u","transcript":"no","transcript":"yes"}}',
        Transcript("caller", "u", "yes", final=True),
    ),
    "a number for words": (
        f'{{"type":"{CALLER}.completed","item_id":"u","transcript":42}}',
        Transcript("caller", "u", "42", final=True),
    ),
    "a number for an id": (
        f'{{"type":"{CALLER}.completed","item_id":7,"transcript":"one"}}',
        Transcript("caller", "7", "one", final=True),
    ),
    "an index as text": (
        f'{{"type":"response.output_audio.delta","item_id":"i","content_index":"1","delta":"{AUDIO}"}}',
        AudioDelta("", "i", 1, b"\xff\x7f\x00"),
    ),
    "an index between two": (
        f'{{"type":"response.output_audio.delta","item_id":"i","content_index":0.5,"delta":"{AUDIO}"}}',
        AudioDelta("", "i", 0, b"\xff\x7f\x00"),
    ),
    "an index that is none": (
        f'{{"type":"response.output_audio.delta","item_id":"i","content_index":[],"delta":"{AUDIO}"}}',
        AudioDelta("", "i", 0, b"\xff\x7f\x00"),
    ),
    "an index of endless digits": (
        f'{{"type":"response.output_audio.delta","item_id":"i","content_index":{"9" * 400},"delta":"{AUDIO}"}}',
        AudioDelta("", "i", 0, b"\xff\x7f\x00"),
    ),
    "an index beyond all": (
        f'{{"type":"response.output_audio.delta","item_id":"i","content_index":1000001,"delta":"{AUDIO}"}}',
        AudioDelta("", "i", 0, b"\xff\x7f\x00"),
    ),
    "an index before the first": (
        f'{{"type":"response.output_audio.delta","item_id":"i","content_index":-1,"delta":"{AUDIO}"}}',
        AudioDelta("", "i", 0, b"\xff\x7f\x00"),
    ),
    "a response's id that is none": (
        f'{{"type":"response.output_audio.delta","item_id":"i","response_id":{{}},"delta":"{AUDIO}"}}',
        AudioDelta("", "i", 0, b"\xff\x7f\x00"),
    ),
    "a long delta with an index as text": (
        json.dumps(
            {
                "type": "response.output_audio.delta",
                "item_id": "i",
                "content_index": "1",
                "response_id": ["r"],
                "delta": base64.b64encode(bytes(900_000)).decode(),
            }
        ),
        AudioDelta("", "i", 1, bytes(900_000)),
    ),
    "text that belongs to something else": (
        '{"type":"response.created","text":{"format":"x"},"response":{"id":"r"}}',
        ResponseStarted("r"),
    ),
    "a time that no call reaches": (
        '{"type":"input_audio_buffer.speech_stopped","audio_end_ms":1e300}',
        SpeechStopped(),
    ),
    "a time before all time": ('{"type":"input_audio_buffer.speech_stopped","audio_end_ms":-1}', SpeechStopped()),
    "a time that is none": ('{"type":"input_audio_buffer.speech_stopped","audio_end_ms":"soon"}', SpeechStopped()),
    "a tool's arguments": (
        f'{{"type":"response.done","response":{{"id":"r","output":[{{"arguments":"{HALF}"}}]}}}}',
        ResponseDone("r", "completed", ""),
    ),
}


@pytest.mark.parametrize("what", READABLE)
def test_what_can_be_read_of_an_odd_event_is_read(what: str) -> None:
    message, meaning = READABLE[what]
    for each in (message, message.encode()) if isinstance(message, str) else (message,):
        found = server_events.read(server_events.decode(each))
        assert found == meaning
        assert type(found) is type(meaning)
        str(found).encode()


def test_a_tools_arguments_may_hold_half_a_pair() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "note", "arguments": '{"text":"\ud83d"}'}
    event = server_events.decode(json.dumps({"type": "response.output_item.done", "item": call}))
    [found] = server_events.tool_calls([event.item])
    assert found.arguments == '{"text":"?"}'


def test_a_time_as_text_is_a_time() -> None:
    message = '{"type":"input_audio_buffer.speech_stopped","audio_end_ms":"1500"}'
    assert server_events.decode(message).audio_end_ms == 1500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KINDS = st.sampled_from([*server_events._READERS, *BETA_NAMES]) | st.text() | JSON
PART = st.dictionaries(
    st.sampled_from(["id", "type", "role", "status", "status_details", "error", "code", "message", "event_id"]), JSON
)
FIELDS = st.dictionaries(st.sampled_from([*NULLABLE, "session"]), PART | JSON | st.sampled_from([AUDIO, "i", 0]))


def _only_malformed(message: str | bytes) -> None:
    try:
        event = server_events.decode(message)
        found = server_events.read(event)
        server_events.error_of(event)
    except Malformed:
        return
    assert found is None or isinstance(found, EngineEvent)


@given(st.binary() | st.text(st.characters()))
def test_arbitrary_messages_raise_nothing_but_malformed(message: str | bytes) -> None:
    _only_malformed(message)


@given(kind=KINDS, fields=FIELDS)
def test_arbitrary_fields_raise_nothing_but_malformed(kind: Any, fields: dict[str, Any]) -> None:
    _only_malformed(json.dumps({"type": kind, **fields}))


@given(st.binary(max_size=2000))
def test_audio_arrives_as_it_was_sent(audio: bytes) -> None:
    speech = heard("response.output_audio.delta", **AT, delta=base64.b64encode(audio).decode())
    assert speech == (AudioDelta("r", "i", 1, audio) if audio else None)


# Errors

BENIGN = [
    "conversation_already_has_active_response",
    "response_cancel_not_active",
    "input_audio_buffer_commit_empty",
    "item_truncate_invalid_item_id",
    "invalid_value",
    "unknown_parameter",
    "cannot_update_voice",
    "rate_limit_exceeded",
    "of_next_year",
]


@pytest.mark.parametrize("code", BENIGN)
def test_an_error_that_leaves_the_session_open_is_a_complaint(code: str) -> None:
    assert heard("error", error={"type": "t", "code": code, "message": "m"}) == ErrorReported(code, "m")


@pytest.mark.parametrize(
    "code",
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "invalid_api_key",
        "account_deactivated",
        "billing_hard_limit_reached",
        "beta_api_shape_disabled",
        "session_expired",
    ],
)
def test_an_error_after_which_nothing_more_will_come_is_a_loss(code: str) -> None:
    assert code in FATAL_CODES
    lost = heard("error", error={"type": "t", "code": code, "message": "m"})
    assert isinstance(lost, SessionLost)
    assert code in lost.reason
    done = heard("response.done", response={"id": "r", "status": "failed", "status_details": {"error": {"code": code}}})
    assert isinstance(done, SessionLost)
    assert code in done.reason


def test_what_an_error_says_of_itself() -> None:
    def error_of(error: Any) -> tuple[str, str, str]:
        return server_events.error_of(server_events.decode(json.dumps({"type": "error", "error": error})))

    assert error_of({"type": "t", "code": "c", "message": "m", "event_id": "e"}) == ("c", "m", "e")
    assert error_of({"type": "server_error", "code": None, "message": None, "event_id": None}) == (
        "server_error",
        "",
        "",
    )
    assert error_of({}) == ("unknown", "", "")
    assert error_of(None) == ("unknown", "", "")


def test_an_error_of_any_length_is_told_shortly() -> None:
    for code in ("c", "session_expired"):
        event = heard("error", error={"code": code, "message": "m" * 100_000})
        assert event is not None
        assert len(json.dumps(event)) < 400


def test_audio_may_be_long() -> None:
    """The whole of an answer in one delta."""
    spoken = base64.b64encode(bytes(900_000)).decode()
    found = heard("response.output_audio.delta", item_id="i", response_id="r", content_index=0, delta=spoken)
    assert found == AudioDelta("r", "i", 0, bytes(900_000))


def test_what_is_not_heard_is_cut_to_what_anybody_would_read() -> None:
    found = heard("error", error={"code": "c" * 5000, "message": "m" * 100_000})
    assert isinstance(found, ErrorReported)
    assert (len(found.code), len(found.message)) == (200, 300)
