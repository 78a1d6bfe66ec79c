"""Calls over OpenAI's SIP: signed webhooks, the accept with the whole session, and a socket beside the call."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from callflow.sandbox.openai_realtime import Realtime
from tests.e2e.product import Product, product, run, until


@contextlib.asynccontextmanager
async def house(realtime: Realtime | None = None, **settings: Any) -> AsyncIterator[Product]:
    realtime = realtime or Realtime()
    async with product(realtime=realtime, **{**realtime.sip.settings(), **settings}) as made:
        realtime.sip.webhook_url = f"http://127.0.0.1:{made.app.public_at[1]}/openai/webhook"
        yield made
        for call in realtime.sip.calls.values():
            await call.hang_up()
        await made.quiet()
        assert realtime.sip.failures == []


async def _a_call() -> None:
    async with house(greeting="Say hello.") as made:
        sip = made.realtime.sip
        call = await sip.ring()
        session = await call.wait_answered()
        await call.phone.hears(0.3)
        await until(lambda: made.call.model.state == "streaming", "the call to be streaming")
        assert made.call.carrier.name == "openai"
        assert (made.call.from_number, made.call.to_number) == ("+15550100001", "+15550100002")
        await session.wait_sent("output_audio_buffer.stopped")
        await call.hang_up()
        await made.quiet()
        print(made.timeline(), session.violations, call.commands)
        for e in made.app.journal.read(made.app.journal.calls()[0]):
            print(e.event, e.before, e.after)


def test_a_call() -> None:
    run(_a_call())
