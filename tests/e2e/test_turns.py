"""Whose turn it is: sentences that must be heard, silence, keys, noise, the end of the time, how long answers take."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.config.loader import load
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Say, Script, Session, Turn
from tests.e2e.product import Exchange, exchange, product, run, together, until
from tests.e2e.talk import FAST, goodbye, noise, saying, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


QUIET: dict[str, Any] = {**FAST, "no_input_seconds": 0, "reply_filler_seconds": 30}
ANSWER = Turn.say("Yes.", noise(400, 2))


def model(*turns: Turn, heard: tuple[str, ...] = (), pace: Pace | None = None, **others: Any) -> Realtime:
    return Realtime(script=Script.of(*turns, otherwise=ANSWER, heard=heard), pace=pace or Pace.instant(), **others)


def wishes(session: Session) -> list[str]:
    asked = [one.event for one in session.received if one.event.get("type") == "response.create"]
    return [str((event.get("response") or {}).get("instructions", "")).rpartition("\n\n")[2] for event in asked]


def detection(session: Session) -> tuple[bool, bool]:
    """Whether the model interrupts and answers by itself, as its session stands."""
    turns = session.config["audio"]["input"]["turn_detection"]
    return turns["interrupt_response"], turns["create_response"]


# Sentences that must be heard


@pytest.mark.parametrize(
    "settings",
    [{"greeting_protected": True}, {"disclosure": "This call may be recorded."}, {"disclosure": "So.", "greeting": ""}],
    ids=["greeting", "disclosure", "disclosure alone"],
)
async def test_a_protected_sentence_is_heard_in_full_whatever_the_caller_says(settings: dict[str, Any]) -> None:
    greeting = noise(1200, 21)
    async with product(realtime=model(saying(greeting)), **{**QUIET, **settings}) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        assert detection(one.session) == (False, False), "the model would have stopped by itself"
        one.phone.say(tone(200))
        await one.session.wait_sent("input_audio_buffer.speech_stopped")
        await the.until(lambda: the.happened("protected"), "the proof")
        assert greeting in one.heard(), "it was cut"
        (proof,) = the.happened("protected")
        assert (proof["heard_ms"], proof["of_ms"], proof["in_full"]) == (1200, 1200, True)
        assert proof["text"] == "Sentence number 0."
        assert one.truncates() == {}
        assert not the.happened("interrupted")
        await one.session.wait_for("session.update", 2)
        await until(lambda: detection(one.session) == (True, True), "turns to be taken from now on")
        since = time.monotonic()
        await one.phone.hears(0.2, since=since)  # what the caller said meanwhile is answered
        assert wishes(one.session)[-1].startswith("Now answer what the caller said")
        if "disclosure" in settings:
            asked = [each.event for each in one.session.received if each.event.get("type") == "response.create"]
            assert settings["disclosure"] in asked[0]["response"]["instructions"]
        await one.phone.hears_silence(200)
        one.phone.say(tone(200))
        await one.session.wait_sent("response.done", 3)
        await goodbye(the, one)


async def test_a_protected_sentence_that_is_not_heard_to_its_end_is_on_record_with_how_much_was() -> None:
    realtime = model(saying(noise(3000, 21)))
    async with product(realtime=realtime, greeting_protected=True, **QUIET) as the:
        one = await talk(the)
        await one.phone.hears(0.6)
        await one.call.hang_up()
        await the.quiet()
        (proof,) = the.happened("protected")
        assert not proof["in_full"]
        assert 400 < proof["heard_ms"] < 1200, proof
        assert proof["of_ms"] == 3000


async def test_a_protected_sentence_is_said_again_by_the_session_that_takes_over() -> None:
    whole = noise(1500, 22)
    realtime = model(saying(whole), saying(whole))
    settings = {**QUIET, "engine_tries": 3, "greeting_protected": True}
    async with product(realtime=realtime, **settings) as the:
        one = await talk(the)
        await one.phone.hears(0.3)
        one.session.drop()
        await the.until(lambda: [each for each in the.happened("protected") if each["in_full"]], "the proof", 8)
        assert whole in one.heard()
        second = the.realtime.sessions[-1]
        await until(lambda: detection(second) == (True, True), "turns to be taken from now on")
        await one.call.hang_up()
        await the.quiet()


# Silence


async def test_a_caller_who_says_nothing_is_asked_twice_and_let_go() -> None:
    bye = noise(700, 33)
    realtime = model(saying(noise(300, 30)), saying(noise(300, 31)), saying(noise(300, 32)), saying(bye))
    async with product(realtime=realtime, **{**QUIET, "no_input_seconds": 0.5}) as the:
        one = await talk(the)
        await one.call.wait_ended(10)
        await the.quiet()
        assert [wish.split(".")[0] for wish in wishes(one.session)[1:]] == [
            "The caller has said nothing for a while",
            "The caller has said nothing for a while",
            "The caller has not answered for a long time",
        ]
        assert bye in one.heard(), "the goodbye was cut off"
        (ended,) = the.happened("ended")
        assert ended["cause"] == "no_input"
        asks = [event["time"] for event in the.happened("no_input")]
        assert asks == [1, 2, 3]


async def test_without_a_greeting_too_a_silent_caller_is_asked() -> None:
    async with product(realtime=model(), **{**QUIET, "greeting": "", "no_input_seconds": 0.4}) as the:
        one = await talk(the)
        await the.until(lambda: the.happened("no_input"), "the first question")
        await one.phone.hears(0.2)
        await goodbye(the, one)


async def test_a_caller_who_answers_in_time_is_not_asked_further() -> None:
    async with product(realtime=model(heard=("Yes.",) * 9), **{**QUIET, "no_input_seconds": 0.6}) as the:
        one = await talk(the)
        await the.until(lambda: len(the.happened("no_input")) == 1, "the first question")
        await one.phone.hears_silence(200)
        one.phone.say(tone(200))
        await the.until(lambda: len(the.happened("no_input")) == 2, "the next question")
        assert [event["time"] for event in the.happened("no_input")] == [1, 1]
        await goodbye(the, one)


async def test_hold_music_does_not_keep_a_call_alive() -> None:
    settings = {**QUIET, "no_input_seconds": 30, "no_input_noise_seconds": 0.5, "goodbye_seconds": 1.0}
    async with product(realtime=model(), **settings) as the:
        one = await talk(the)
        one.phone.say(tone(20_000))
        await one.call.wait_ended(10)
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] == "no_input"
        assert {event["why"] for event in the.happened("no_input")} == {"noise"}


async def test_the_longest_call_is_told_so_and_ends_with_a_goodbye() -> None:
    settings = {**QUIET, "max_call_seconds": 1.6, "max_call_warning_seconds": 0.8, "farewell_seconds": 8}
    async with product(realtime=model(), **settings) as the:
        one = await talk(the)
        await one.call.wait_ended(10)
        await the.quiet()
        assert [wish for wish in wishes(one.session) if wish.startswith("This call has to end in 1 seconds")]
        (ended,) = the.happened("ended")
        assert ended["cause"] == "too_long"
        assert [clip["clip"] for clip in the.happened("clip")] == ["goodbye"]


# Keys


async def keyed(carrier: Exchange, settings: dict[str, Any], expected: str, record: str) -> None:
    async with product(realtime=model(), carrier=carrier, **{**QUIET, "dtmf_pause_seconds": 0.4, **settings}) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        for digit in "1123#" if settings.get("dtmf_end", "#") else "1123":
            await one.call.press(digit)
            await asyncio.sleep(0.02)  # as fast as anybody presses keys
        await one.session.wait_sent("response.done", 2)
        texts = [
            item.data["content"][0]["text"]
            for item in one.session.items
            if item.data.get("role") == "system" and item.data.get("content")
        ]
        assert [text.rpartition(": ")[2] for text in texts] == [expected], texts
        await one.call.hang_up()
        await the.quiet()
        entries = [one for name in the.app.journal.calls() for one in the.app.journal.read(name)]
        whole = json.dumps([one.event for one in entries])
        assert [event["digits"] for event in the.happened("digits")] == [record]
        assert ("1 1 2 3" in whole, '"1123"' in whole) == (False, record == "1123")
        # without a step: a report that came when the call was gone
        pressed = [one.event["digit"] for one in entries if one.name == "dtmf" and one.step]
        assert len(pressed) == len(expected.replace(" ", "")) + bool(settings.get("dtmf_end", "#"))
        assert set(pressed) <= ({"•"} if "•" in record else set("123#"))


def test_keys_are_counted_once_and_given_to_the_agent_together(carrier: str) -> None:
    secret = {"dtmf_sensitive": True}
    scenes = {
        "as it should be": keyed(exchange(), {}, "1 1 2 3", "1123"),
        "by the pause": keyed(exchange(), {"dtmf_end": ""}, "1 1 2 3", "1123"),
        "secret": keyed(exchange(), secret, "1 1 2 3", "••••"),
    }
    if carrier == "telnyx":  # which tells each twice: on the stream, and by webhook
        late = exchange(webhook_delay_s={"call.dtmf.received": 0.3})
        scenes["webhooks late"] = keyed(late, {}, "1 1 2 3", "1123")
        scenes["webhooks lost"] = keyed(exchange(webhook_drop=["call.dtmf.received"]), {}, "1 1 2 3", "1123")
    run(together(scenes))


# Noise


async def noisy(name: str, ms: float, settings: dict[str, Any], heard: str, *, stops: bool, carries_on: bool) -> None:
    answer = noise(2500, 41)
    realtime = model(saying(noise(200, 40)), saying(answer), heard=("What?", heard, heard))
    async with product(realtime=realtime, **{**QUIET, **settings}) as the:
        one = await talk(the)
        await one.phone.hears(0.15)
        await one.phone.hears_silence(200)
        one.phone.say(tone(300))
        await one.phone.hears(0.4)
        before = len(one.stream.clear_log)
        one.phone.say(tone(ms))
        await one.session.wait_sent("input_audio_buffer.speech_stopped", 2)
        await one.session.wait_sent("conversation.item.input_audio_transcription.completed", 2)
        await asyncio.sleep(0.15)  # long enough for whatever would follow
        assert (len(one.stream.clear_log) > before) == stops, f"{name}: stopped: {not stops}"
        asked = [wish for wish in wishes(one.session) if wish.startswith("What interrupted you was only a noise")]
        assert bool(asked) == carries_on, f"{name}: {wishes(one.session)}"
        if not stops:
            await one.phone.hears(1.5)
            assert answer[:16_000] in one.heard(), f"{name}: the sentence was broken"
        else:
            since = time.monotonic()
            await one.phone.hears(0.2, since=since)
        assert one.session.violations == []
        await one.call.hang_up()
        await the.quiet()


def test_a_noise_stops_nothing_and_a_caller_does() -> None:
    guarded = {"min_interruption_ms": 700}
    run(
        together(
            {
                "a cough": noisy("a cough", 120, guarded, "", stops=False, carries_on=False),
                "a sentence": noisy("a sentence", 1100, guarded, "Stop.", stops=True, carries_on=False),
                "a long noise": noisy("a long noise", 1100, guarded, "", stops=True, carries_on=True),
            }
        )
    )


async def test_where_every_sound_stops_the_agent_it_goes_on_after_one_that_was_nothing() -> None:
    slow = Pace(first_byte_ms=400, speed=20, jitter=0, transcription_ms=50)
    realtime = model(saying(noise(200, 40)), saying(noise(2500, 41)), heard=("What?", ""), pace=slow)
    async with product(realtime=realtime, **QUIET) as the:
        one = await talk(the)
        await one.phone.hears(0.15, timeout=8)
        await one.phone.hears_silence(200)
        one.phone.say(tone(300))
        await one.phone.hears(0.4)
        one.phone.say(tone(150))
        await the.until(lambda: the.happened("interruption_empty"), "the noise to be known for one")
        since = time.monotonic()
        await one.phone.hears(0.2, since=since)
        asked = [wish for wish in wishes(one.session) if wish.startswith("What interrupted you was only a noise")]
        assert len(asked) == 1
        assert "Sentence" in asked[0], "it does not know where it was"
        await one.call.hang_up()
        await the.quiet()


# The truth about latency


async def test_how_long_an_answer_took_is_told_from_the_last_word_to_the_first_sound_heard() -> None:
    pace = Pace(first_byte_ms=200, speed=8, jitter=0, transcription_ms=0)
    realtime = model(saying(noise(200, 50)), saying(noise(600, 51)), pace=pace)
    async with product(realtime=realtime, carrier=exchange(link_ms=40), **{**QUIET, "vad_silence_ms": 300}) as the:
        one = await talk(the)
        await one.phone.hears(0.15)
        await one.phone.hears_silence(300)
        one.phone.say(tone(300))
        await one.phone.spoken()
        stopped = one.phone.said[-1].ends
        await the.until(lambda: the.happened("latency"), "the waterfall")
        (told,) = the.happened("latency")
        first = next(segment.at for segment in one.phone.heard if segment.at > stopped)
        truth = (first - stopped) * 1000
        assert sum(told[part] for part in ("detection_ms", "engine_ms", "own_ms", "carrier_ms")) == pytest.approx(
            told["total_ms"], abs=3
        )
        assert told["total_ms"] == pytest.approx(truth + 40, abs=80), f"{told} against {truth:.0f} ms at the phone"
        assert told["engine_ms"] == pytest.approx(200, abs=60)
        assert told["own_ms"] < 20
        await one.call.hang_up()
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["latency"] == [{key: value for key, value in told.items() if key not in ("event", "item")}]


async def test_a_reply_that_never_comes_is_no_silence_but_an_answer_that_takes_its_time_is_no_loss() -> None:
    slow = Turn((Say("Well.", noise(400, 60)),), first_byte_ms=1500)
    realtime = model(saying(noise(200, 50)), slow)
    settings = {**QUIET, "reply_filler_seconds": 0.6, "reply_seconds": 5.0}
    async with product(realtime=realtime, **settings) as the:
        one = await talk(the)
        await one.phone.hears(0.15)
        await one.phone.hears_silence(200)
        one.phone.say(tone(300))
        await the.until(lambda: the.happened("filler"), "somebody to say something")
        assert the.happened("filler")[0]["clip"] == "one-moment"
        await one.session.wait_sent("response.done", 2)
        await the.until(lambda: the.happened("latency"), "the answer", 8)
        assert "filler_ms" in the.happened("latency")[0]
        assert len(the.realtime.sessions) == 1
        await goodbye(the, one)


async def test_a_sentence_that_breaks_off_is_bridged_and_goes_on_where_it_was() -> None:
    """The model stalls in the middle of a sentence: its ledger must survive a clip in between."""
    first, rest = noise(400, 70), noise(600, 71)
    async with product(realtime=model(Turn.silence()), **{**QUIET, "reply_filler_seconds": 0.4}) as the:
        one = await talk(the)
        agent = the.call.agent
        from callflow.contracts.engine import AudioDelta, AudioDone, ResponseDone, ResponseStarted

        agent.handle_event(ResponseStarted("r"))
        agent.handle_event(AudioDelta("r", "stalled", 0, first))
        await the.until(lambda: the.happened("filler"), "the clip in between")
        await one.phone.hears(1.0)
        agent.handle_event(AudioDelta("r", "stalled", 0, rest))
        agent.handle_event(AudioDone("r", "stalled", 0))
        agent.handle_event(ResponseDone("r", "completed"))
        await the.until(lambda: rest[-1600:] in one.heard(), "the rest of the sentence", 8)
        assert one.heard().index(first) < one.heard().index(rest)
        await one.call.hang_up()
        await the.quiet()


# Who may call what


async def test_a_remote_tool_is_passed_on_to_the_model(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(
        'tools = [{"type": "mcp_server", "server_label": "shop", "server_url": "https://mcp.example.org"}]\n'
    )
    async with product(realtime=model(), tools_file=str(tmp_path / "tools.py"), **QUIET) as the:
        one = await talk(the)
        await one.session.wait_sent("session.updated")
        mcp = [tool for tool in one.session.config["tools"] if tool["type"] == "mcp"]
        assert mcp == [{"type": "mcp", "server_label": "shop", "server_url": "https://mcp.example.org"}]
        await one.phone.hears(0.1)
        await goodbye(the, one)


# Each number its own


async def test_a_number_with_a_profile_is_conducted_by_it(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        '[profiles.sales]\nnumbers = ["+1 (555) 010-0002"]\nvoice = "cedar"\ngreeting = "Sell something."\n'
    )
    profiles = load({}, toml=tmp_path / "settings.toml", env_file=None).profiles
    async with product(realtime=model(), profiles=profiles, **QUIET) as the:
        for number, voice, wish in (("+15550100002", "cedar", "Sell something."), ("+15550100009", "marin", "")):
            call = await the.carrier.ring(to_number=number)
            await call.wait_streaming()
            session = await the.realtime.wait_session(len(the.realtime.sessions))
            await session.wait_for("response.create")
            assert session.config["audio"]["output"]["voice"] == voice
            assert (wishes(session)[0] == wish) == bool(wish)
            await call.hang_up()
            await the.quiet()


# A session that is changed in mid-call


async def test_a_call_can_be_changed_while_it_is_under_way() -> None:
    chosen = {**QUIET, "engine_tries": 3}
    async with product(realtime=model(), **chosen) as the, httpx.AsyncClient(trust_env=False) as operator:
        one = await talk(the)
        await one.phone.hears(0.2)
        url = f"http://127.0.0.1:{the.app.console_at[1]}/api/calls/{the.call.id}/session"

        async def change(**changes: Any) -> tuple[int, Any]:
            answer = await operator.post(url, json=changes)
            return answer.status_code, answer.json()

        spoken = {"audio": {"output": {"voice": "cedar", "speed": 1.2}}}
        wanted = {"instructions": "Speak like a pirate.", "temperature": 0.3, **spoken}
        status, said = await change(**wanted)
        assert status == 200
        assert len(said["warnings"]) == 2
        assert {line.split()[0] for line in said["warnings"]} == {"voice", "temperature"}
        await until(lambda: one.session.updates == 2, "the change")
        assert one.session.config["instructions"] == "Speak like a pirate."
        assert one.session.config["audio"]["output"]["voice"] == "marin"
        assert one.session.config["audio"]["output"]["speed"] == 1.2
        (_, update) = [each.event for each in one.session.received if each.event.get("type") == "session.update"]
        assert "voice" not in json.dumps(update), "the server refuses a whole update for that"
        assert (await change(speed=9))[0] == 400
        assert (await change(port=1))[0] == 400
        assert (await operator.post(url.replace(the.call.id, "nobody"), json={})).status_code == 404
        one.session.drop()
        second = await the.realtime.wait_session(2)
        await second.wait_for("session.update")
        assert second.config["instructions"] == "Speak like a pirate.", "the next session knows nothing of it"
        assert second.config["audio"]["output"]["voice"] == "marin", "the agent's voice changed in mid-call"
        assert one.session.violations == []
        await one.call.hang_up()
        await the.quiet()


async def test_the_tools_are_listed_for_operators(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("def add(a: int, b: int = 2) -> int:\n    return a + b\n\ntools = [add]\n")
    chosen = {**QUIET, "tools_file": str(tmp_path / "tools.py")}
    async with product(realtime=model(), **chosen) as the, httpx.AsyncClient(trust_env=False) as operator:
        answer = await operator.get(f"http://127.0.0.1:{the.app.console_at[1]}/tools")
        assert answer.status_code == 200
        names = {tool["name"] for tool in answer.json()}
        assert {"add", "get_current_time", "end_call"} <= names
        assert {tool["type"] for tool in answer.json()} == {"function"}
