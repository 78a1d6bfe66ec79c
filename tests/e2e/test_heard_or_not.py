"""Whose turn it is follows from what the caller heard: what ends without a sound, or in mid-sentence, is no answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx

from callflow.media.g711 import ULAW_SILENCE
from callflow.sandbox.common.phone import tone
from tests.e2e.product import run, together, until
from tests.e2e.puppet import Puppet, cause, puppet
from tests.e2e.talk import Clock, clock
from tests.sample import Sample


CARRIERS = ("telnyx", "twilio")
SAMPLED = True

WRITTEN = "Yes, until four."
BROKEN = "We open at nine and then"


def only_text(one: Puppet) -> None:
    response = one.begin()
    item = one.write(response, WRITTEN)
    part = {"type": "output_text", "text": WRITTEN}
    one.done(response, output=[{"id": item, "type": "message", "role": "assistant", "content": [part]}])


def nothing(one: Puppet) -> None:
    one.done(one.begin())


def silent_audio(one: Puppet) -> None:
    response = one.begin()
    one.say(response, WRITTEN, bytes([ULAW_SILENCE]) * 4000)
    one.done(response)


def transcript_only(one: Puppet) -> None:
    response = one.begin()
    one.say(response, WRITTEN, b"")
    one.done(response)


def unreadable_audio(one: Puppet) -> None:
    response = one.begin()
    item = one.message(response)
    one.emit("response.output_audio.delta", response_id=response, item_id=item, content_index=0, delta="!!!")
    one.done(response)


def reasoning_only(one: Puppet) -> None:
    one.done(one.begin(), output=[{"id": "rs", "type": "reasoning", "summary": []}])


def unknown_item(one: Puppet) -> None:
    one.done(one.begin(), output=[{"id": "x", "type": "video_call", "status": "completed"}])


def incomplete(one: Puppet) -> None:
    one.done(one.begin(), "incomplete", type="incomplete", reason="max_output_tokens")


def cancelled(one: Puppet) -> None:
    one.done(one.begin(), "cancelled", type="cancelled", reason="client_cancelled")


def cancelled_for_nobody(one: Puppet) -> None:
    one.done(one.begin(), "cancelled", type="cancelled", reason="turn_detected")


def failed(one: Puppet) -> None:
    one.done(one.begin(), "failed", type="failed", error={"type": "server_error", "code": "server_error"})


def odd_status(one: Puppet) -> None:
    one.done(one.begin(), "expired")


def nameless_call(one: Puppet) -> None:
    call = {"id": "fc", "type": "function_call", "name": "end_call", "arguments": "{}", "status": "completed"}
    one.done(one.begin(), output=[call])


def listed_tools(one: Puppet) -> None:
    one.done(one.begin(), output=[{"id": "l", "type": "mcp_list_tools", "server_label": "shop", "tools": []}])


def ran_its_tool(one: Puppet) -> None:
    call = {"id": "m", "type": "mcp_call", "server_label": "shop", "name": "find", "arguments": "{}", "output": "[]"}
    one.done(one.begin(), output=[call])


def failed_its_tool(one: Puppet) -> None:
    call = {"id": "m", "type": "mcp_call", "server_label": "shop", "name": "find", "error": {"type": "http_error"}}
    one.done(one.begin(), output=[call])


def wants_leave(one: Puppet) -> None:
    asked = {"id": "q", "type": "mcp_approval_request", "server_label": "shop", "name": "buy", "arguments": "{}"}
    one.done(one.begin(), output=[asked])


def never_begins(one: Puppet) -> None:
    pass


SILENT: dict[str, Callable[[Puppet], None]] = {
    each.__name__: each
    for each in (
        only_text, nothing, silent_audio, transcript_only, unreadable_audio, reasoning_only, unknown_item, incomplete,
        cancelled, cancelled_for_nobody, failed, odd_status, nameless_call, listed_tools, ran_its_tool,
        failed_its_tool, wants_leave, never_begins,
    )
}  # fmt: skip


MOST_SECONDS = 3.0
"""Until the caller hears an answer, more than this machine itself is late."""


async def heard_in_time(one: Puppet, began: float, own: Clock, *, since: float) -> None:
    """What is heard from `since` on comes in time after `began`."""
    await one.phone.hears(0.2, since=since, timeout=8.0)
    took = time.monotonic() - began - own.stall_ms / 1000
    assert took < MOST_SECONDS, f"heard after {took:.1f} s"


async def asked_again(ends: Callable[[Puppet], None], others: asyncio.Barrier) -> None:
    """After the caller's turn: the answer is asked for, and heard within three seconds of their last word."""
    async with puppet(others=others) as one, clock() as own:
        await one.turn()
        stopped = time.monotonic()
        ends(one)
        await one.asked()
        one.answer()
        await heard_in_time(one, stopped, own, since=stopped)
        await one.rest()
        assert len(one.the.happened("filler")) <= 1, "a clip of ours counts once a turn"


def silent(carrier: str, some: Sample) -> list[Callable[[Puppet], None]]:
    """All of them over one carrier, a sample over the other: it is the model that behaves so."""
    return list(SILENT.values()) if carrier == "telnyx" else some(SILENT.values(), 3)


async def test_a_response_without_a_sound_is_no_answer(carrier: str, some: Sample) -> None:
    scenes = silent(carrier, some)
    others = asyncio.Barrier(len(scenes))
    await together({ends.__name__: asked_again(ends, others) for ends in scenes})


async def greeted_again(ends: Callable[[Puppet], None], others: asyncio.Barrier) -> None:
    async with puppet(greeted=False, others=others) as one, clock() as own:
        first = await one.asked()
        began = time.monotonic()
        ends(one)
        again = await one.asked()
        assert again == first, "the same is asked for"
        answered = time.monotonic()
        one.answer()
        await heard_in_time(one, began, own, since=answered)


async def test_nor_is_it_a_greeting(carrier: str, some: Sample) -> None:
    scenes = [ends for ends in silent(carrier, some) if ends is not never_begins]
    others = asyncio.Barrier(len(scenes))
    await together({ends.__name__: greeted_again(ends, others) for ends in scenes})


def _unable(one: Puppet, times: int) -> bool:
    return len(one.the.happened("engine_unable")) >= times


async def given_up(ends: Callable[[Puppet], None], retries: int) -> None:
    """It is asked for as often as it may, then the caller hears a sentence of ours, and a second time the apology."""
    async with puppet(response_retries=retries, response_retry_seconds=0.1) as one:
        for number in (1, 2):
            await one.turn()
            ends(one)
            for _ in range(retries):
                await one.asked()
                ends(one)
            await one.the.until(partial(_unable, one, number), "the end of it", 4)
        assert await cause(one) == "engine_lost"
        assert len(one.creates()) == 1 + 2 * retries, one.creates()


def test_it_is_asked_for_as_often_as_it_may_and_then_it_is_a_failed_response() -> None:
    scenes = {
        "text, twice": given_up(only_text, 2),
        "text, never": given_up(only_text, 0),
        "nothing": given_up(nothing, 1),
        "incomplete": given_up(incomplete, 2),
        "cancelled": given_up(cancelled, 1),
    }
    run(together(scenes))


def test_a_sentence_that_breaks_off_is_gone_on_with_and_is_not_complete_on_record() -> None:
    async def scene(status: str, **details: Any) -> None:
        async with puppet() as one:
            await one.turn()
            response = one.begin()
            item = one.say(response, BROKEN, tone(600, 500.0))
            one.done(response, status, output=[{"id": item, "type": "message", "status": "incomplete"}], **details)
            wish = await one.asked()
            assert "broke off" in wish
            since = time.monotonic()
            one.answer("we close at noon.")
            await one.phone.hears(0.3, since=since)
            await one.rest()
            await one.the.app.journal.flushed()
            told = await record(one)
            status_of = {each["text"]: each["status"] for each in told}
            assert status_of[BROKEN] == "incomplete"
            assert status_of["we close at noon."] == "completed"

    run(
        together(
            {
                "out of tokens": scene("incomplete", type="incomplete", reason="max_output_tokens"),
                "failed": scene("failed", type="failed", error={"code": "server_error"}),
                "cancelled by nobody": scene("cancelled", type="cancelled", reason="client_cancelled"),
            }
        )
    )


async def record(one: Puppet) -> list[dict[str, Any]]:
    (call,) = one.the.app.journal.calls()
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{one.the.app.console_at[1]}/api/conversations/stream/{call}")
    items: list[dict[str, Any]] = answer.json()["items"]
    for item in items:
        item["text"] = " ".join(part.get("text", "") for part in item["content"])
        item["heard"] = " ".join(part["text"] for part in item["content"] if part["type"] == "text")
    return items


async def test_a_protected_sentence_that_is_never_heard_ends_the_call_and_nothing_is_recorded() -> None:
    settings: dict[str, Any] = {
        "record": True,
        "record_announcement": "This call is recorded.",
        "response_retries": 2,
    }
    async with puppet(greeted=False, response_retry_seconds=0.1, **settings) as one:
        for _ in range(3):
            assert "This call is recorded." in (await one.asked())
            response = one.begin()
            one.write(response, "This call is recorded. How can I help?")
            one.done(response)
        assert await cause(one) == "engine_lost"
        assert len(one.creates()) == 3
        assert not one.the.happened("recording")
        assert not any(proof["in_full"] for proof in one.the.happened("protected"))


async def test_a_protected_sentence_that_breaks_off_is_said_anew_and_only_the_whole_of_it_counts() -> None:
    settings: dict[str, Any] = {"disclosure": "This call is recorded.", "response_retry_seconds": 0.1}
    async with puppet(greeted=False, **settings) as one:
        await one.asked()
        response = one.begin()
        one.say(response, "This call", tone(300, 500.0))
        one.done(response, "incomplete", reason="max_output_tokens")
        assert "This call is recorded." in (await one.asked())
        one.answer("This call is recorded.", ms=900)
        await one.the.until(lambda: one.the.happened("protected"), "the proof")
        (proof,) = one.the.happened("protected")
        assert proof["in_full"]
        assert proof["of_ms"] == 900


async def test_what_was_written_and_not_said_is_on_record_as_not_heard_and_told_to_the_next_session_so() -> None:
    async with puppet(engine_tries=3) as one:
        await one.turn()
        only_text(one)
        await one.asked()
        since = time.monotonic()
        one.answer()
        await one.phone.hears(0.3, since=since)
        await one.rest()
        await one.the.app.journal.flushed()
        (written,) = [item for item in await record(one) if item["text"] == WRITTEN]
        assert written["status"] == "incomplete"
        assert not written["heard"]
        one.session.drop()
        second = await one.the.realtime.wait_session(2)
        item = await second.wait_until(lambda: [
            each.event["item"] for each in second.received
            if each.event["type"] == "conversation.item.create" and WRITTEN in str(each.event)
        ], 5)  # fmt: skip
        assert all(each["role"] == "system" and "did not hear" in str(each) for each in item)


async def late_words(kind: str) -> None:
    """The caller goes on half a second after a pause: the cancelled answer's words come late."""
    async with puppet() as one:
        await one.turn("I want to")
        response = one.begin()
        item = one.message(response)
        place = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        words = "Certainly, what can I do?"

        def told() -> None:
            one.emit("response.output_audio_transcript.done", **place, transcript=words)

        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u2")
        if kind == "before its end":
            told()
        if kind == "with a late sound":
            one.sound(response, item, tone(300, 500.0))
            told()
        one.done(response, "cancelled", type="cancelled", reason="turn_detected")
        if kind == "after its end":
            told()
        one.stopped("u2")
        one.transcribed("u2", "change my booking")
        since = time.monotonic()
        one.answer("For when?")
        await one.phone.hears(0.2, since=since)
        await one.rest()
        await one.the.app.journal.flushed()
        stale = [each for each in await record(one) if each["text"] == words]
        assert [each["status"] for each in stale] == ["incomplete"], stale
        assert not stale[0]["heard"]


async def test_the_model_is_told_that_nobody_heard_what_an_interrupted_answer_still_said() -> None:
    async with puppet() as one:
        await one.turn("I want to")
        response = one.begin()
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u2")
        item = one.message(response)
        one.sound(response, item, tone(300, 500.0))
        place = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        one.emit("response.output_audio.done", **place)
        await until(lambda: one.sent("conversation.item.truncate"), "the truth to be told")
        (told,) = one.sent("conversation.item.truncate")
        assert (told["item_id"], told["audio_end_ms"]) == (item, 0)
        one.done(response, "cancelled", type="cancelled", reason="turn_detected")
        one.stopped("u2")
        one.answer("For when?")
        await one.rest()


def test_words_of_a_cancelled_answer_that_come_late_were_not_said_to_anybody() -> None:
    run(together({kind: late_words(kind) for kind in ("before its end", "after its end", "with a late sound")}))


async def leave(setting: str, approved: bool) -> None:
    async with puppet(mcp_approval=setting) as one:
        await one.turn()
        wanted = {"id": "q1", "type": "mcp_approval_request", "server_label": "shop", "name": "buy", "arguments": "{}"}
        response = one.begin()
        one.emit("response.output_item.done", response_id=response, output_index=0, item=wanted)
        one.done(response, output=[wanted])

        def answers() -> list[dict[str, Any]]:
            made = [event["item"] for event in one.sent("conversation.item.create")]
            return [item for item in made if item["type"] == "mcp_approval_response"]

        await one.the.until(lambda: one.the.happened("mcp_approval") and answers(), "the question to be answered")
        given = answers()
        assert [(item["approval_request_id"], item["approve"]) for item in given] == [("q1", approved)]
        assert one.the.happened("mcp_approval") == [
            {"event": "mcp_approval", "server": "shop", "tool": "buy", "approved": approved}
        ]
        await one.asked()  # it does not go on by itself
        since = time.monotonic()
        running = {"id": "m1", "type": "mcp_call", "server_label": "shop", "name": "buy", "arguments": "{}"}
        one.done(one.begin(), output=[running])
        one.emit("response.mcp_call.in_progress", item_id="m1", output_index=0)
        await asyncio.sleep(1.0)  # the tool runs, and nobody asks meanwhile
        assert len(one.creates()) == 2
        one.emit("response.mcp_call.completed", item_id="m1", output_index=0)
        one.answer("It is on its way.")  # by itself
        await one.phone.hears(0.3, since=since)
        await one.rest()
        assert len(one.creates()) == 2, "it was asked twice"


def test_a_question_for_leave_is_answered_once_by_setting() -> None:
    run(together({"decline": leave("decline", False), "approve": leave("approve", True), "ask": leave("ask", False)}))


def _promise(one: Puppet, *rest: dict[str, Any]) -> None:
    """A sentence that promises more, and behind it, in the same response, what was to bring it."""
    response = one.begin()
    item = one.say(response, "Let me look that up.", tone(400, 500.0))
    one.done(response, output=[{"id": item, "type": "message", "role": "assistant", "content": []}, *rest])


def _ran(**more: Any) -> dict[str, Any]:
    return {"id": "m", "type": "mcp_call", "server_label": "shop", "name": "find", "arguments": "{}", **more}


async def promised(*rest: dict[str, Any]) -> None:
    async with puppet() as one:
        await one.turn()
        since = time.monotonic()
        _promise(one, *rest)
        await one.phone.hears(0.3, since=since)
        await one.asked()
        since = time.monotonic()
        one.answer("It is on its way.")
        await one.phone.hears(0.3, since=since)
        await one.rest()
        assert len(one.creates()) == 2


async def kept_by_itself() -> None:
    """The message that comes behind the tool, in the same response, is the answer."""
    async with puppet() as one:
        await one.turn()
        since = time.monotonic()
        response = one.begin()
        one.say(response, "Let me look that up.", tone(400, 500.0))
        one.emit("response.output_item.done", response_id=response, output_index=1, item=_ran(output="[]"))
        item = one.say(response, "It is on its way.", tone(400, 500.0))
        one.done(response, output=[_ran(output="[]"), {"id": item, "type": "message", "content": []}])
        await one.phone.hears(0.7, since=since)
        await one.rest()
        await asyncio.sleep(0.8)  # longer than a server is waited for
        assert len(one.creates()) == 1, "it was answered"


def test_a_promise_is_no_answer_either() -> None:
    nameless = {"id": "fc", "type": "function_call", "name": "end_call", "arguments": "{}", "status": "completed"}
    leave = {"id": "q", "type": "mcp_approval_request", "server_label": "shop", "name": "buy", "arguments": "{}"}
    run(
        together(
            {
                "its own tool ran": promised(_ran(output="[]")),
                "its own tool failed": promised(_ran(error={"type": "http_error"})),
                "it wants leave": promised(leave),
                "a call that nobody can answer": promised(nameless),
                "kept in the same response": kept_by_itself(),
            }
        )
    )


async def test_words_that_sounded_like_silence_are_on_record_as_not_heard() -> None:
    async with puppet() as one:
        await one.turn()
        silent_audio(one)
        await one.asked()
        since = time.monotonic()
        one.answer()
        await one.phone.hears(0.3, since=since)
        await one.rest()
        await one.the.app.journal.flushed()
        (written,) = [item for item in await record(one) if item["text"] == WRITTEN]
        assert written["status"] == "incomplete"
        assert not written["heard"]
