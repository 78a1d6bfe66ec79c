"""Words of the caller that nobody wrote down: on record as such, said once in the log, and told at the next start."""

from __future__ import annotations

import functools
import json
import logging
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.app import Application
from callflow.cli import doctor
from callflow.config.settings import Settings
from callflow.history.recent_problems import learnt
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e.product import Product, product
from tests.e2e.scenes import post, taken, webhook
from tests.e2e.talk import FAST, goodbye, noise, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


def deaf_scribe() -> Realtime:
    return Realtime(script=Script.tone(0.2), pace=Pace.instant(), faults=ModelFaults(transcription_fails=True))


def _more_than(the: Product, number: int) -> bool:
    return len(the.happened("not_transcribed")) > number


async def two_turns(the: Product) -> None:
    one = await talk(the)
    await one.phone.hears(0.1)
    for number in range(2):
        one.phone.say(noise(400, number))
        await the.until(functools.partial(_more_than, the, number), "the failure", 5)
    await goodbye(the, one)


async def test_a_turn_that_is_not_transcribed_is_on_record_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    async with product(realtime=deaf_scribe(), **FAST) as the:
        with caplog.at_level(logging.WARNING):
            await two_turns(the)
        reasons = {event["reason"] for event in the.happened("not_transcribed")}
        assert reasons, "there is a reason"
        assert all(reasons), "and it is not empty"
        loud = [record for record in caplog.records if "the caller's words have no transcript" in record.getMessage()]
        assert len(loud) == 1, "one loud line for each call"
        await the.app.journal.flushed()
        (call,) = the.app.journal.calls()
        base = f"http://127.0.0.1:{the.app.console_at[1]}"
        async with httpx.AsyncClient(trust_env=False) as client:
            told = (await client.get(f"{base}/api/conversations/stream/{call}")).json()
        theirs = [item for item in told["items"] if item["role"] == "user"]
        assert len(theirs) == 2
        assert {item["status"] for item in theirs} == {"incomplete"}
        assert all("not transcribed: " in json.dumps(item["content"]) for item in theirs)
        (lesson,) = await learnt(the.app.history.store)
        assert lesson.about == "transcription"
        assert "in one of the last 20 calls" in lesson.what


@pytest.mark.carrier("telnyx")
async def test_what_the_last_calls_met_is_told_by_doctor_and_at_the_next_start(tmp_path: Path) -> None:
    async with product(realtime=deaf_scribe(), **FAST, data_dir=str(tmp_path)) as the:
        await two_turns(the)
        await the.app.journal.flushed()
        settings = the.app.settings
    findings = [one async for one in doctor.examine(settings, [], [], [])]
    assert [one.state for one in findings if one.about == "transcription"] == ["note"]
    async with AsyncExitStack() as stack:
        again = await stack.enter_async_context(Application(Settings(**settings.model_dump() | {"port": 0})))
        assert [line for line in again.warnings if line.startswith("transcription: words of the caller")]


@pytest.mark.carrier("twilio")
async def test_a_media_socket_that_is_let_in_by_its_token_alone_is_told(caplog: pytest.LogCaptureFixture) -> None:
    from callflow.sandbox.twilio import Faults, Twilio
    from tests.e2e.product import PUBLIC

    twilio = Twilio(PUBLIC, faults=Faults(unsigned_media=True))
    async with product(carrier=twilio, realtime=Realtime(script=Script.tone(0.2), pace=Pace.instant()), **FAST) as the:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                one = await talk(the)
                await one.phone.hears(0.1)
                await goodbye(the, one)
        assert the.app.switchboard.counts["odd_media_signatures"] == 3
        loud = [record for record in caplog.records if "by its token alone" in record.getMessage()]
        assert len(loud) == 1
        await the.app.journal.flushed()
        (lesson,) = await learnt(the.app.history.store)
        assert (
            lesson.what == "media sockets were let in by their token alone in 3 of the last 20 calls: it is not signed"
        )


@pytest.mark.carrier("telnyx")
async def test_a_message_is_no_call(tmp_path: Path) -> None:
    async with product() as the:
        about: dict[str, Any] = {"id": str(uuid.uuid4()), "from": {"phone_number": "+15550100001"}, "type": "SMS"}
        taken(await post(the, webhook("message.received", about)), "a message")
        odd = await post(the, webhook("call.hangup", {"call_control_id": ["v3:x"]}))
        assert odd.status_code == 400
        base = f"http://127.0.0.1:{the.app.console_at[1]}"
        async with httpx.AsyncClient(trust_env=False) as client:
            told = (await client.get(f"{base}/api/calls/live")).json()
        assert told == {"live": [], "recorded": []}
