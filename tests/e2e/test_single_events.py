"""Single events of model and audio stream, as whoever watches a live call sees them: of either engine, over a stream
and over SIP, on the page, and by `/logs`."""

from __future__ import annotations

import asyncio
from typing import Any

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from tests.e2e.browser import browser, tab
from tests.e2e.product import product, until
from tests.e2e.talk import FAST, noise, talk
from tests.e2e.test_live import asked, port, stage
from tests.e2e.test_logs import tab as logs_tab
from tests.e2e.test_openai_sip import HELLO, model
from tests.e2e.test_openai_sip import stage as sip_stage
from tests.e2e.viewer import Viewer, watching


REALTIME = {
    ("from_model", "input_audio_buffer.speech_started"), ("from_model", "input_audio_buffer.committed"),
    ("from_model", "conversation.item.added"), ("from_model", "response.created"), ("from_model", "response.done"),
    ("from_model", "rate_limits.updated"), ("from_media", "mark"), ("to_media", "mark"),
}  # fmt: skip


def singles(viewer: Viewer) -> set[tuple[str, str]]:
    return {(told["way"], told["kind"]) for told in viewer.of("single")}


def counted(viewer: Viewer) -> str:
    return " ".join(told["line"] for told in viewer.of("single") if told["kind"] == "counted")


async def test_a_watched_call_tells_them_to_page_stream_and_mirror() -> None:
    async with stage() as the, browser() as opened, tab(opened, port(the)) as it, logs_tab(the) as mirror:
        one = await talk(the)
        name = the.call.id
        await until(lambda: the.call.relay.tap.watcher is not None, "the mirror to watch")
        await it.page.goto(f"/#/calls/{name}")
        await it.sees("cf-log .log")
        async with watching(port(the), f"/api/live/{name}/events") as viewer:
            await asked(the, one)
            await until(lambda: singles(viewer) >= REALTIME, "single events")
            await until(lambda: "response.output_audio.delta" in counted(viewer), "counted audio")
            async with watching(port(the), f"/api/live/{name}/events") as late:
                await until(lambda: singles(late) >= REALTIME, "the newest for one who comes late")
            numbers = [told["n"] for told in viewer.of("single")]
            assert numbers == sorted(set(numbers))
            assert "bread" not in str(viewer.of("single"))
        assert mirror.of("rate_limits.updated", callId=name)
        assert len(mirror.of("input_audio_buffer.speech_started")) == len(the.happened("caller_speaks"))
        for kind in ("input_audio_buffer.committed", "rate_limits.updated"):
            await it.sees("cf-log summary", f"model → {kind}")
            await it.page.get_by_label("Filter the ladder").fill(kind)
            await it.sees(".rung.is-single", kind)
        await it.page.click("cf-log >> text=Single events")
        assert await it.page.locator("cf-log summary", has_text="model →").count() == 0
        await one.call.hang_up()
        await it.sees("cf-log", "are not kept")


async def test_nothing_is_tapped_when_nobody_watches_any_more() -> None:
    async with stage() as the:
        await talk(the)
        tap = the.call.relay.tap
        async with watching(port(the), f"/api/live/{the.call.id}/sse"):
            await asyncio.sleep(0.3)
            assert tap.watcher is None
        async with watching(port(the), f"/api/live/{the.call.id}/events"):
            await until(lambda: tap.watcher is not None, "the tap")
        await until(lambda: tap.watcher is None, "its end")


async def test_the_full_duplex_engine_and_sip_are_watched_alike() -> None:
    script = Script.of(Turn.say("Good day.", noise(900, 1)), otherwise=Turn.say("Yes.", noise(400, 2)))
    settings: dict[str, Any] = {**FAST, "engine": "openai_live", "delegation_model": "some-model"}
    async with product(realtime=Realtime(script=script, pace=Pace.instant()), **settings) as the:
        one = await the.carrier.ring()
        await one.wait_streaming()
        async with watching(port(the), f"/api/live/{the.call.id}/events") as viewer:
            one.phone.say(tone(500))
            await until(lambda: "session.output_audio.delta" in counted(viewer), "counted audio")
            await until(lambda: ("from_media", "mark") in singles(viewer), "marks")
    async with sip_stage(model(HELLO), greeting="Say hello.") as the:
        call = await the.realtime.sip.ring()
        await call.wait_answered()
        async with watching(port(the), f"/api/live/{the.call.id}/events") as viewer:
            wanted = {("from_model", kind) for kind in ("output_audio_buffer.started", "response.done")}
            await until(lambda: singles(viewer) >= wanted, "events of the sideband")
