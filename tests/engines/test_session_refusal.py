"""What a server refuses of a session is left out of it, whatever it is, and the rest stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from callflow.contracts.engine import ErrorReported, SessionContext, SessionLost, SessionReady
from callflow.engines.common.refused_fields import FieldPath
from callflow.engines.openai_realtime import session_config
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.engines.openai_realtime.session_refusal import refused_field, without
from callflow.sandbox.openai_realtime import Quirks
from callflow.sandbox.openai_realtime import config as emulated
from callflow.sandbox.openai_realtime.errors import Refusal
from tests.configs import realtime_config
from tests.engines.realtime_server import Client, Peer, client, confirm, run


HANG_UP = {"type": "function", "name": "hang_up", "description": "End it.", "parameters": {"type": "object"}}
SHOP = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example", "require_approval": "never"}
CONFIG = realtime_config(
    model="gpt-realtime-2.1",
    transcription_model="gpt-transcribe",
    noise_reduction="near_field",
    reasoning_effort="low",
    tracing="auto",
    truncation=0.8,
    speed=1.2,
)


def full(*tools: dict[str, Any], config: RealtimeConfig = CONFIG) -> dict[str, Any]:
    """To be changed: it shares nothing with another."""
    return copy.deepcopy(session_config.session(config, SessionContext("call", tools=tools or (HANG_UP, SHOP))))


NAMED: list[tuple[str, FieldPath]] = [
    ("session.reasoning", ("reasoning",)),
    ("session.reasoning.effort", ("reasoning", "effort")),
    ("reasoning", ("reasoning",)),
    ("session.tracing", ("tracing",)),
    ("session.truncation.retention_ratio", ("truncation", "retention_ratio")),
    ("session.truncation.type", ("truncation",)),
    ("session.audio.output.voice", ("audio", "output", "voice")),
    ("session.audio.output.speed", ("audio", "output", "speed")),
    ("session.audio.input.noise_reduction", ("audio", "input", "noise_reduction")),
    ("session.audio.input.noise_reduction.type", ("audio", "input", "noise_reduction")),
    ("session.audio.input.transcription.model", ("audio", "input", "transcription")),
    ("session.audio.input.transcription.language", ("audio", "input", "transcription")),
    ("session.audio.input.turn_detection.threshold", ("audio", "input", "turn_detection", "threshold")),
    ("session.audio.input.turn_detection", ("audio", "input", "turn_detection")),
    ("session.audio.output.format", ("audio", "output", "format")),
    ("session.audio.input.format.type", ("audio", "input", "format")),
    ("session.output_modalities[0]", ("output_modalities",)),
    ("session.tools[1].require_approval", ("tools", "mcp:shop", "require_approval")),
    ("session.tools[1].server_label", ("tools", "mcp:shop")),
    ("session.tools[1].tunnel_id", ("tools", "mcp:shop")),
    ("session.tools[1].type", ("tools", "mcp:shop")),
    ("session.tools[1]", ("tools", "mcp:shop")),
    ("session.tools[0].parameters.properties.x", ("tools", "function:hang_up")),
    ("session.tools[0].description", ("tools", "function:hang_up", "description")),
    ("/session/tools/0/description", ("tools", "function:hang_up", "description")),
]


@pytest.mark.parametrize(("param", "path"), NAMED)
def test_what_is_named_is_found_by_the_param_and_by_the_message(param: str, path: FieldPath) -> None:
    session = full()
    before = copy.deepcopy(session)
    assert refused_field(session, param, "No.") == path
    assert refused_field(session, None, f"Unknown parameter: '{param}'.") == path
    left = without(session, [path])
    assert left != session == before
    assert without(left, [path]) == left, "once is enough"
    assert refused_field(left, param, "No.") != path or path[0] == "tools" or len(path) == 2, "and then it is gone"
    assert set(session) - set(left) <= {path[0]}, "the rest stays"


UNNAMED: list[tuple[Any, str]] = [
    (None, ""),
    (5, "No."),
    ("", "Invalid value: 'auto'."),
    ("session", "The model `x` does not exist."),
    ("session.type", "No."),
    ("session.audio", "No."),
    ("session.audio.input", "No."),
    ("session.audio.input.turn_detection.create_response", "No."),
    ("session.instructions", "No."),
    ("session.tools", "No."),
    ("session.of_next_year", "No."),
    (None, "Invalid modalities: ['text', 'audio']."),
]


@pytest.mark.parametrize(("param", "message"), UNNAMED)
def test_what_is_not_named_or_cannot_be_missed_stays(param: Any, message: str) -> None:
    assert refused_field(full(), param, message) is None


def test_a_phone_call_has_formats_and_turns_whatever_is_refused() -> None:
    semantic = full(config=realtime_config(turn_detection="semantic_vad"))
    path = refused_field(semantic, "session.audio.input.turn_detection.type", "")
    assert path is not None
    left = without(semantic, [path])
    turns = {"type": "server_vad", "create_response": True, "interrupt_response": True}
    assert left["audio"]["input"]["turn_detection"] == turns
    assert refused_field(left, "session.audio.input.turn_detection", "") is None, "there is no other form"
    path = refused_field(left, "session.audio.output.format", "")
    assert path is not None
    left = without(left, [path])
    assert left["audio"]["output"]["format"] == session_config.PCM24
    assert left["audio"]["input"]["format"] == session_config.PCMU
    assert refused_field(left, "session.audio.output.format", "") is None


def test_it_stays_left_out_of_every_part_of_a_session() -> None:
    paths: list[FieldPath] = [
        ("audio", "input", "turn_detection", "threshold"),
        ("audio", "output", "format"),
        ("tools", "mcp:shop", "require_approval"),
        ("reasoning", "effort"),
    ]
    turns = without(session_config.turns(CONFIG, True), paths)
    assert "threshold" not in turns["audio"]["input"]["turn_detection"]
    assert without(session_config.turns(realtime_config(turn_detection="none"), True), paths)
    assert without(session_config.formats("pcmu"), paths)["audio"]["output"]["format"] == session_config.PCM24
    moved = without({"type": "realtime", "tools": [SHOP, HANG_UP]}, paths)
    assert moved["tools"] == [{k: v for k, v in SHOP.items() if k != "require_approval"}, HANG_UP]
    assert without({"type": "realtime", "reasoning": {"effort": "low"}}, paths) == {"type": "realtime"}


FOREIGN: dict[str, Any] = {
    "a key of a tool that is run elsewhere": lambda s: s["tools"][1].update(foo=1),
    "two of them": lambda s: s["tools"][1].update(foo=1, bar={"a": [1]}),
    "a key of a function": lambda s: s["tools"][0].update(strict=True),
    "a tool of no known kind": lambda s: s["tools"].append({"type": "web_search"}),
    "a tool without a name": lambda s: s["tools"].append({"type": "function"}),
    "a tool with a bad name": lambda s: s["tools"].append({"type": "function", "name": "no name"}),
    "a tool twice": lambda s: s["tools"].append(dict(SHOP)),
    "a server that is nowhere": lambda s: s["tools"].append({"type": "mcp", "server_label": "x", "headers": {}}),
    "a key of the session": lambda s: s.update(temperature=0.8),
    "a key of the audio": lambda s: s["audio"]["input"].update(gain=1),
    "a value of the voice": lambda s: s["audio"]["output"].update(voice="nobody"),
    "a value of the speed": lambda s: s["audio"]["output"].update(speed=9),
    "a model that transcribes": lambda s: s["audio"]["input"].update(transcription={"model": "of-next-year"}),
    "a setting of transcription": lambda s: s["audio"]["input"]["transcription"].update(delay="low"),
    "a kind of noise": lambda s: s["audio"]["input"].update(noise_reduction={"type": "wind"}),
    "a rate of a format": lambda s: s["audio"]["output"]["format"].update(rate=8000),
    "a format": lambda s: s["audio"]["output"].update(format={"type": "audio/opus"}),
    "a kind of turns": lambda s: s["audio"]["input"].update(turn_detection={"type": "psychic_vad"}),
    "a setting of turns": lambda s: s["audio"]["input"]["turn_detection"].update(threshold=7),
    "an effort": lambda s: s.update(reasoning={"effort": "heroic"}),
    "a truncation": lambda s: s.update(truncation={"type": "scissors"}),
    "a choice of tools": lambda s: s.update(tool_choice={"type": "function"}),
    "an include": lambda s: s.update(include=["all"]),
    "a modality": lambda s: s.update(output_modalities=["audio", "text"]),
    "many at once": lambda s: (s.update(a=1, b=2, c=3), s["tools"][1].update(foo=1)),
}


def taken_or_refused(session: dict[str, Any]) -> dict[str, Any] | Refusal:
    """By the sandbox's server, which refuses as OpenAI does."""
    held = emulated.defaults("s", CONFIG.model, 0, Quirks(), transcription=False)
    try:
        return emulated.updated(held, session, Quirks(), voice_locked=False)
    except Refusal as refusal:
        return refusal


@pytest.mark.parametrize("what", FOREIGN)
def test_a_server_takes_the_session_without_what_it_refuses(what: str) -> None:
    session = full()
    FOREIGN[what](session)
    paths: list[FieldPath] = []
    taken = taken_or_refused(session)
    while isinstance(taken, Refusal):
        path = refused_field(without(session, paths), taken.param, taken.message)
        assert path is not None, taken.message
        assert path not in paths
        paths.append(path)
        taken = taken_or_refused(without(session, paths))
    assert 1 <= len(paths) < 8
    assert {tool.get("name") or tool["server_label"] for tool in taken["tools"]} == {"hang_up", "shop"}
    assert taken["audio"]["input"]["turn_detection"]["create_response"] is True


# The adapter


def with_tools(one: Client, *tools: dict[str, Any]) -> None:
    one.engine = OpenAIRealtime(one.config, SessionContext("call", tools=tools), one.hear, one.engine._account)


async def picky(peer: Peer, event: dict[str, Any]) -> None:
    """Refuses by the sandbox's rules, with a param, and confirms what it takes."""
    taken = taken_or_refused(event["session"])
    if isinstance(taken, Refusal):
        await peer.send("error", error=taken.error(event["event_id"]))
    else:
        await peer.send("session.updated", session=taken)


def test_what_was_left_out_stays_out_in_this_session_and_in_the_next() -> None:
    async def work() -> None:
        async with client(picky, model=CONFIG.model) as one:
            with_tools(one, HANG_UP, {**SHOP, "foo": 1, "bar": 2})
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            assert [event["event_id"] for event in peer.of("session.update")] == [
                "session-full",
                "session-full#1",
                "session-full#2",
            ]
            assert peer.of("session.update")[-1]["session"]["tools"] == [HANG_UP, SHOP]
            assert [each.code for each in one.of(ErrorReported)] == ["unknown_parameter"] * 2
            assert "session.tools.mcp:shop.foo is left out" in one.of(ErrorReported)[0].message
            one.engine.update({"tool_choice": "none"})
            one.engine.set_turn_detection(False)
            await one.until(lambda: len(peer.of("session.update")) == 5)
            await one.engine.close()

            account, one.heard = one.engine._account, []
            with_tools(one, HANG_UP, {**SHOP, "foo": 1, "bar": 2})
            one.engine._account = account
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            assert [event["event_id"] for event in peer.of("session.update")] == ["session-full"]
            assert [each.code for each in one.of(ErrorReported)] == ["left_out"] * 2

    run(work)


def test_what_cannot_be_named_is_given_up_in_steps_and_the_steps_have_an_end() -> None:
    async def never(peer: Peer, event: dict[str, Any]) -> None:
        names = [name for name in event["session"] if name not in ("type", "audio", "instructions", "tools")]
        param = f"session.{names[0]}" if names else None
        await peer.send("error", error={"code": "c", "message": "No.", "param": param})

    async def only_functions(peer: Peer, event: dict[str, Any]) -> None:
        if any(tool["type"] != "function" for tool in event["session"]["tools"]):
            await peer.refuse(message="No.")
        else:
            await confirm(peer, event)

    async def work() -> None:
        async with client(never, model=CONFIG.model, tracing="auto", reasoning_effort="low") as one:
            with_tools(one, HANG_UP, SHOP)
            one.start()
            assert "refused the session" in await one.lost()
            kinds = [event["event_id"].partition("#")[0] for event in (await one.peer()).of("session.update")]
            assert len(kinds) <= 10
            assert list(dict.fromkeys(kinds)) == ["session-full", "session-minimal", "session-bare"]
        async with client(only_functions) as one:
            with_tools(one, HANG_UP, SHOP)
            one.start()
            await one.until(lambda: one.of(SessionReady))
            assert (await one.peer()).of("session.update")[-1]["session"]["tools"] == [HANG_UP]
            assert one.of(SessionLost) == []

    run(work)
