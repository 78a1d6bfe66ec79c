"""The cases of the drill: what is broken, and when. Each returns what the caller heard from then on."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from callflow.cli.drill.stage import FALLBACK, Outcome, Stage, stage
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Faults as ModelFaults


_SECONDS: Final = 25.0
"""The longest that a case waits for the caller to be served."""
_NO_DATABASE: Final = "postgresql://drill@127.0.0.1:1/nowhere"


@dataclass(frozen=True, slots=True)
class Case:
    """One case."""

    what: str
    """What is broken."""
    when: str
    wanted: str
    """What ought to happen to the caller."""
    play: Callable[[str], Awaitable[Outcome]]
    """Plays it with a carrier of this name. Raises TimeoutError, DrillFailed, OSError or AssertionError."""


@asynccontextmanager
async def _talking(carrier: str, **settings: object) -> AsyncIterator[Stage]:
    """A caller who talks with the agent."""
    async with stage(carrier, **settings) as the:
        await the.server.start()
        await the.talk()
        yield the


async def _killed_and_restarted(carrier: str) -> Outcome:
    async with _talking(carrier) as the:
        await the.server.kill()
        the.broken()
        await the.server.start()
        return await the.outcome(the.hears_new_stream, _SECONDS)


async def _killed_with_a_second_server(carrier: str) -> Outcome:
    async with stage(carrier) as the:
        backup = the.another_server("second server")
        await the.server.start()
        await backup.start()
        await the.provision(backup.address, "")
        await the.talk()
        await the.server.kill()
        the.broken()
        return await the.outcome(the.hears_new_stream, _SECONDS)


async def _down_with_a_second_server(carrier: str) -> Outcome:
    async with stage(carrier) as the:
        backup = the.another_server("second server")
        await backup.start()
        await the.provision(backup.address, "")
        await the.ring()
        return await the.outcome(the.hears_agent, _SECONDS)


async def _down_without_a_second_server(carrier: str) -> Outcome:
    async with stage(carrier) as the:
        await the.provision(await the.page() if carrier == "twilio" else "", FALLBACK)
        await the.ring()
        return await the.outcome(the.hears_person, _SECONDS)


async def _no_model_before(carrier: str) -> Outcome:
    async with stage(carrier) as the:
        await the.server.start()
        the.realtime.faults = ModelFaults(refuse_next=-1, refuse_status=503)
        await the.ring()
        return await the.outcome(the.hears_person, _SECONDS)


async def _no_model_any_more(carrier: str) -> Outcome:
    async with _talking(carrier) as the:
        the.realtime.faults = ModelFaults(refuse_next=-1, refuse_status=503)
        the.broken()
        for session in the.realtime.sessions:
            session.drop()
        return await the.outcome(the.hears_person, _SECONDS)


async def _no_database_before(carrier: str) -> Outcome:
    async with stage(carrier, database_url=_NO_DATABASE) as the:
        await the.server.start()
        await the.ring()
        return await the.outcome(the.hears_agent, _SECONDS)


async def _no_database_any_more(carrier: str) -> Outcome:
    async with _talking(carrier) as the:
        locker = sqlite3.connect(the.folder / "callflow.db", isolation_level=None)
        try:
            locker.execute("BEGIN EXCLUSIVE")  # from here on nothing can be written
            await the.call.phone.hears_silence(700, 15)
            the.call.phone.say(tone(600))
            await the.call.phone.spoken(5)
            the.broken()
            return await the.outcome(the.hears_agent, _SECONDS)
        finally:
            locker.close()


CASES: Final = (
    Case("the server, killed and started again", "during the call", "the agent goes on", _killed_and_restarted),
    Case("the server, with a second one", "during the call", "the second one takes over", _killed_with_a_second_server),
    Case("the server, with a second one", "before the call", "the second one answers", _down_with_a_second_server),
    Case("the server, without a second one", "before the call", "a person", _down_without_a_second_server),
    Case("the model", "before the call", "a sentence and a person", _no_model_before),
    Case("the model", "during the call", "a sentence and a person", _no_model_any_more),
    Case("the database", "before the call", "the agent", _no_database_before),
    Case("the database", "during the call", "the agent goes on", _no_database_any_more),
)
