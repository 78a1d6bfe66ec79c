"""What operators do with the line of a call: hold, mute, words and keys, heard at the caller's telephone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from callflow.media import clips
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Script, Turn
from tests.e2e.outbound import DIALS, ask
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, Talk, noise, saying, talk
from tests.media.goertzel import keys_in


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
MUSIC = clips.load("en")[clips.HOLD_MUSIC].audio
SPEECH = tone(600, 300.0)
CREATE = "response.create"
OURS: dict[str, Any] = {
    **FAST, **DIALS, "stream_tries": 2, "engine_tries": 1, "restream_seconds": 3.0, "no_input_seconds": 0,
}  # fmt: skip


@contextlib.asynccontextmanager
async def line(**settings: Any) -> AsyncIterator[tuple[Product, Talk]]:
    """A caller who has been greeted with a tone."""
    realtime = Realtime(script=Script.tone(0.4), pace=Pace.instant())
    async with product(realtime=realtime, **{**OURS, **settings}) as the:
        one = await talk(the)
        await one.phone.hears(0.3)
        await until(lambda: not the.call.agent.turns.is_unplayed, "the greeting to be heard")
        yield the, one
        if one.call.ended_at is None:
            await one.call.hang_up()
        await the.quiet()
        for session in the.realtime.sessions:
            assert session.violations == []
        assert the.carrier.failures == []


async def do(the: Product, what: str, body: Any = None, status: int = 202) -> Any:
    answer = await ask(the, "POST", f"/api/calls/{the.call.id}/{what}", body if body is not None else {})
    assert answer.status_code == status, answer.text
    return answer.json()


def noticed(the: Product) -> int:
    """How often the model has heard the caller begin to speak."""
    return sum(
        one.type == "input_audio_buffer.speech_started" for session in the.realtime.sessions for one in session.sent
    )


def asked_to(the: Product, words: str) -> bool:
    """Whether the model was asked to say something with these words in it."""
    asked = [one.event for session in the.realtime.sessions for one in session.received]
    return any(words in str(event.get("response", {}).get("instructions", "")) for event in asked)


def heard(one: Talk, since: float) -> bytes:
    return one.phone.heard_between(since, monotonic())


async def hears_music(one: Talk, since: float) -> None:
    """Wait until the caller hears a second of the tune."""
    part = MUSIC[4000:12000]
    await until(lambda: part in heard(one, since), "the caller to hear the music")


async def answered(the: Product, one: Talk) -> None:
    """The caller speaks and is answered."""
    since = monotonic()
    one.phone.say(SPEECH)
    await one.phone.hears(0.3, since=since)


async def test_a_caller_on_hold_hears_music_and_nobody_hears_them() -> None:
    async with line() as (the, one):
        began, before = monotonic(), noticed(the)
        assert await do(the, "hold") == {"call": the.call.id, "on_hold": True}
        await hears_music(one, began)
        one.phone.say(SPEECH)
        await one.phone.spoken(5)
        await one.phone.hears(0.5)
        assert noticed(the) == before
        (live,) = (await ask(the, "GET", "/api/calls/live")).json()["live"]
        assert live["on_hold"]
        await do(the, "hold")
        await do(the, "resume")
        await until(lambda: asked_to(the, "was on hold"), "the agent to be told that the caller is back")
        await until(lambda: not the.call.agent.turns.is_unplayed, "the agent to have said so")
        await one.phone.hears_silence(200)
        await answered(the, one)
        assert noticed(the) == before + 1
        assert [event["by"] for event in the.happened("hold_requested")] == ["console"]
        assert [event["by"] for event in the.happened("resume_requested")] == ["console"]
        await do(the, "resume", status=409)


async def test_hold_ends_by_its_deadline_and_the_agent_says_so() -> None:
    async with line(max_hold_seconds=0.5) as (the, one):
        await do(the, "hold")
        await until(lambda: asked_to(the, "was on hold"), "the agent to have the caller back")
        await until(lambda: not the.call.requests.line.is_on_hold, "hold to be over")
        await answered(the, one)


async def test_music_goes_round_without_a_gap() -> None:
    short = clips.Clip(clips.HOLD_MUSIC, "", tone(700, 440.0))
    async with line() as (the, one):
        the.call.relay.clips._clips = {**the.call.relay.clips._clips, clips.HOLD_MUSIC: short}
        await do(the, "hold")
        await one.phone.hears(0.3)
        since = monotonic()
        await one.phone.hears(2.5, since=since)
        assert one.phone.loud_ms(since) >= 0.9 * (monotonic() - since) * 1000


@pytest.mark.parametrize("how", ["stream", "engine"])
async def test_what_breaks_during_hold_comes_back_and_hold_goes_on(how: str) -> None:
    async with line(engine_tries=2) as (the, one):
        await do(the, "hold")
        await hears_music(one, monotonic())
        if how == "stream":
            one.stream.drop()
        else:
            the.realtime.sessions[-1].drop()
        await until(lambda: "streaming>recovering" in the.timeline(), "the loss to be noticed")
        await until(lambda: "recovering>streaming" in the.timeline(), "it to be back")
        assert the.call.requests.line.is_on_hold
        assert not asked_to(the, "The line was interrupted")
        since = monotonic()
        await one.phone.hears(1.0, since=since)
        await do(the, "resume")
        await until(lambda: asked_to(the, "was on hold"), "the agent to have the caller back")


async def test_a_call_is_ended_on_hold_with_its_sentence_and_without_music() -> None:
    async with line(farewell_seconds=8) as (the, one):
        await do(the, "hold")
        since = monotonic()
        await hears_music(one, since)
        await do(the, "hangup", {"when": "goodbye"}, status=200)
        await one.call.wait_ended(10)
        goodbye = clips.load("en")["goodbye"].audio
        assert goodbye[:8000] in one.heard()


async def test_keys_are_heard_at_the_other_end() -> None:
    async with line() as (the, one):
        since = monotonic()
        assert await do(the, "dtmf", {"digits": "1w2#"}) == {"call": the.call.id, "keys": 4}
        if the.carrier.__class__.__name__ == "Telnyx":
            await until(lambda: one.call.digits_sent, "the keys to arrive")
            assert one.call.digits_sent == ["1w2#"]
        else:
            await until(lambda: keys_in(heard(one, since)) == "12#", "the tones to be heard")
        (event,) = the.happened("dtmf_requested")
        assert (event["digits"], event["by"]) == ("1w2#", "console")


async def test_secret_keys_are_sent_and_not_written_down() -> None:
    async with line(dtmf_sensitive=True) as (the, one):
        since = monotonic()
        await do(the, "dtmf", {"digits": "4711"})
        if the.carrier.__class__.__name__ == "Telnyx":
            await until(lambda: one.call.digits_sent, "the keys to arrive")
        else:
            await until(lambda: keys_in(heard(one, since)) == "4711", "the tones to be heard")
        (event,) = the.happened("dtmf_requested")
        assert event["digits"] == "••••"
        assert "4711" not in str(the.app.history.journal.read(the.call.id))


async def test_an_operators_words_are_said_by_the_agent() -> None:
    async with line() as (the, one):
        since = monotonic()
        await do(the, "say", {"text": "Your taxi is outside."})
        await until(lambda: asked_to(the, "“Your taxi is outside.”"), "the agent to be asked to say it")
        await one.phone.hears(0.3, since=since)
        (event,) = the.happened("say_requested")
        assert (event["text"], event["by"]) == ("Your taxi is outside.", "console")


async def test_a_caller_who_is_muted_is_not_heard_until_they_are_again() -> None:
    async with line() as (the, one):
        before = noticed(the)
        await do(the, "mute", {"party": "caller", "on": True})
        await until(lambda: the.call.relay.gates.muted == ["caller"], "the caller to be muted")
        one.phone.say(SPEECH)
        await one.phone.spoken(5)
        await one.phone.hears_silence(300)
        assert noticed(the) == before
        await do(the, "mute", {"party": "caller", "on": False})
        await until(lambda: the.call.relay.gates.is_open, "the caller to be heard again")
        await answered(the, one)


async def test_an_agent_who_is_muted_is_cut_off_and_not_heard() -> None:
    async with line() as (the, one):
        await do(the, "mute", {"party": "agent", "on": True})
        await until(lambda: the.call.relay.gates.muted == ["agent"], "the agent to be muted")
        await one.phone.hears_silence(200)
        since, before = monotonic(), noticed(the)
        one.phone.say(SPEECH)
        await until(lambda: noticed(the) == before + 1, "the agent to hear the caller")
        await one.phone.spoken(5)
        await one.phone.hears_silence(500)
        assert one.phone.loud_ms(since) == 0
        await do(the, "say", {"text": "Not heard."}, status=409)
        await do(the, "mute", {"party": "agent", "on": False})
        await until(lambda: the.call.relay.gates.is_open, "the agent to be heard again")
        await answered(the, one)


async def test_words_asked_for_just_before_a_mute_are_asked_for_once_more_when_the_agent_is_heard_again() -> None:
    """They last, so they were asked for and cancelled again and again."""

    def asked() -> int:
        return str([each.event for each in the.realtime.sessions[-1].received if each.event["type"] == CREATE]).count(
            "Your taxi is outside."
        )

    async with line() as (the, one):
        the.realtime.pace.first_byte_ms = 300.0
        await do(the, "say", {"text": "Your taxi is outside."})
        await do(the, "mute", {"party": "agent", "on": True})
        before = noticed(the)
        one.phone.say(SPEECH)
        await until(lambda: noticed(the) == before + 1, "the agent to hear the caller")
        await one.phone.spoken(5)
        await one.phone.hears_silence(1500)
        assert asked() == 1, "the model was asked while nobody heard it"
        since = monotonic()
        await do(the, "mute", {"party": "agent", "on": False})
        await one.phone.hears(0.3, since=since)
        await one.phone.hears_silence(1000)
        assert asked() == 2


async def test_requests_that_cannot_be_are_refused_with_a_sentence() -> None:
    async with line() as (the, _):
        for what, body in (
            ("dtmf", {"digits": "12x"}),
            ("dtmf", {"digits": ""}),
            ("dtmf", {"digits": "1" * 33}),
            ("dtmf", {"keys": "1"}),
            ("say", {"text": " "}),
            ("say", {"text": "x" * 1001}),
            ("mute", {"party": "nobody"}),
            ("mute", {"party": "agent", "on": 1}),
            ("hold", {"music": "waltz"}),
        ):
            told = await do(the, what, body, status=400)
            assert told, (what, body)
        for what, body in (("hold", {}), ("resume", {}), ("say", {"text": "x"}), ("dtmf", {"digits": "1"})):
            answer = await ask(the, "POST", f"/api/calls/unheard-of/{what}", body)
            assert answer.status_code == 404
            assert "There is no live call" in answer.text
        await do(the, "hold")
        await until(lambda: the.call.requests.line.is_on_hold, "hold")
        await do(the, "say", {"text": "x"}, status=409)
        await do(the, "dtmf", {"digits": "1"}, status=409)
        await do(the, "transfer", {"to": "+15550100010"}, status=409)


async def test_keys_are_sent_to_their_end_although_the_other_end_speaks(carrier: str) -> None:
    if carrier == "telnyx":
        pytest.skip("Telnyx sends the keys itself")
    async with line() as (the, one):
        since, before = monotonic(), noticed(the)
        one.phone.say(tone(300, 300.0))
        await until(lambda: noticed(the) > before, "the model to hear the other end")
        await do(the, "dtmf", {"digits": "0123456789"})
        one.phone.say(tone(900, 300.0))
        await until(lambda: keys_in(heard(one, since)) == "0123456789", "the tones to be heard")
        await the.until(lambda: not the.call.relay.sounds._digits, "nothing to be left of them")


@pytest.mark.parametrize("secret", [False, True])
async def test_the_agent_presses_keys_with_its_tool(secret: bool) -> None:
    turn = Turn((Call("send_dtmf", {"digits": "47 11#"}, "c"),))
    async with product(
        realtime=Realtime(script=Script.of(saying(noise(300, 5)), turn), pace=Pace.instant()),
        **{**OURS, "dtmf_tool": "always", "dtmf_sensitive": secret},
    ) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        since = monotonic()
        one.phone.say(SPEECH)
        await until(lambda: "c" in one.session.tool_outputs, "the tool to answer")
        assert '"ok":true' in str(one.session.tool_outputs["c"]).replace(" ", "")
        if the.carrier.__class__.__name__ == "Telnyx":
            await until(lambda: one.call.digits_sent == ["4711#"], "the keys to arrive")
        else:
            await until(lambda: keys_in(heard(one, since)) == "4711#", "the tones to be heard")
        (event,) = the.happened("dtmf_requested")
        assert (event["digits"], event["by"]) == ("•••••" if secret else "4711#", "agent")
        (called,) = the.happened("tool_called")
        assert ("47 11" in called["arguments"]) is not secret
        await one.call.hang_up()
        await the.quiet()


async def test_agents_of_calls_that_come_in_have_no_such_tool_by_default() -> None:
    async with line() as (_, one):
        assert "send_dtmf" not in str([event.event for event in one.session.received])


@pytest.mark.parametrize("what", ["hold", "mute"])
async def test_what_the_agent_was_saying_is_cut_where_the_caller_stopped_hearing_it(what: str) -> None:
    realtime = Realtime(script=Script.of(saying(noise(4000, 3))), pace=Pace.instant())
    async with product(realtime=realtime, **OURS) as the:
        one = await talk(the)
        await one.phone.hears(0.5)
        await do(the, what, {"party": "agent"} if what == "mute" else {})
        await until(lambda: the.happened("interrupted"), "the agent to be cut off")
        (told,) = the.happened("interrupted")
        (said,) = told["cuts"]
        assert not told["by_caller"]
        assert 300 < said["heard_ms"] < 2500
        await until(one.truncates, "the model to be told")
        assert one.truncates() == {said["item"]: [said["heard_ms"]]}
        await one.call.hang_up()
        await the.quiet()


async def test_while_the_model_is_away_the_carrier_says_the_words_if_it_can() -> None:
    async with line(engine_tries=3, engine_seconds=6, filler_seconds=5) as (the, one):
        the.realtime.faults.hang_next = 1
        the.realtime.sessions[-1].drop()
        await until(lambda: the.call.model.state == "recovering", "the loss to be noticed")
        if the.carrier.__class__.__name__ == "Telnyx":
            await do(the, "say", {"text": "We are back in a moment."})
            await until(lambda: "We are back in a moment." in one.call.spoken, "the carrier to say it")
        else:
            told = await do(the, "say", {"text": "We are back in a moment."}, status=409)
            assert "no voice beside the media stream" in str(told)


async def test_noise_is_suppressed_where_the_carrier_can() -> None:
    async with line(noise_suppression="inbound") as (the, _):
        if the.carrier.__class__.__name__ == "Telnyx":
            await until(lambda: the.actions("suppression_start"), "the carrier to be asked")
            (command,) = the.actions("suppression_start")
            assert command.body["direction"] == "inbound"
        else:
            assert the.actions("suppression_start") == []
