"""Asks the control endpoint about our own calls: another server at an address, or this one in its own process.

A call goes on as it was without an answer that is late or cannot be used: this never fails.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec

from callflow.config import control_changes
from callflow.config.control_endpoint import SELF
from callflow.config.settings import Settings
from callflow.contracts.control import AT_START, MOST_BYTES, Controlled, ControlQuestion, read_answer
from callflow.contracts.errors import ControlFailed, SessionRefused
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.contracts.secret_text import Secrets
from callflow.engines.openai_realtime.session_config import may_change
from callflow.switchboard.control.service import ControlService


log = logging.getLogger(__name__)

_MOST_PROBLEMS: Final = 20


class Post(Protocol):
    """Posts to an address."""

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return the body of the answer. Raises ControlFailed or TimeoutError."""

    async def close(self) -> None:
        """Let go of all connections."""


class ControlAsker:
    """See `callflow.contracts.control.Control`."""

    def __init__(
        self, service: ControlService, post: Post | None, *, events: str, seconds: float, secrets: Secrets
    ) -> None:
        """`post`: None: `service` itself is asked. `events`: see REALTIME_CONTROL_EVENTS. `secrets`: our
        settings'."""
        self._service, self._post, self._secrets = service, post, secrets
        self.seconds = seconds if post is not None else 0.0
        names = [name for part in events.split(",") if (name := part.strip())]
        self.at_start = AT_START in names
        self.during = frozenset(names) - {AT_START}
        """What it is asked about in a call: names of entries of the journal."""
        self._loop = asyncio.get_running_loop()
        self._warnings = RepeatedWarnings(log)

    async def ask(self, question: ControlQuestion) -> Controlled | None:
        """Ask, and return what came of it in time; None: this server itself has nothing to say."""
        if self._post is None:
            changes = self._service.changes
            return Controlled(outcome="answered", changes=changes) if changes else None
        began = self._loop.time()
        found = await self._asked(question, self._post)
        if found.why:
            self._warnings.say(
                found.outcome, "call %s: the control endpoint %s (%s): the call goes on unchanged", question.call,
                "is late" if found.outcome == "late" else "has failed", found.why,
            )  # fmt: skip
        return replace(found, ms=round((self._loop.time() - began) * 1000))

    async def _asked(self, question: ControlQuestion, post: Post) -> Controlled:
        body = _body(question)
        try:
            async with asyncio.timeout(self.seconds):
                answer = await post(body, self._service.checks.headers(body, time.time()))
            return self._read(answer)
        except TimeoutError:
            return Controlled(outcome="late", why=f"no answer within {self.seconds:g} s")
        except ControlFailed as error:
            return Controlled(outcome="failed", why=str(error))
        except Exception as error:
            log.exception("call %s: the control endpoint failed because of an internal error", question.call)
            return Controlled(outcome="failed", why=f"an internal error ({type(error).__name__})")

    def _read(self, answer: bytes) -> Controlled:
        """Read an answer. Raises ControlFailed: one value that cannot be used leaves the call as it was."""
        sessions, problems = read_answer(answer)
        changes: dict[str, Any] = {}
        for session in sessions:
            try:
                asked = control_changes.of_session(session, self._secrets)
            except SessionRefused as refusal:
                raise ControlFailed(f"its answer cannot be used: {refusal.problems[0]}"[:300]) from None
            changes |= asked.taken
            problems += asked.warnings
        for name in [name for name in changes if not may_change(name)]:
            del changes[name]
            problems.append(f"{name} is left out: a session in a call does not take it")
        return Controlled(outcome="answered", changes=changes, problems=tuple(problems[:_MOST_PROBLEMS]))

    async def close(self) -> None:
        """Let go of all connections."""
        if self._post is not None:
            await self._post.close()


def make_asker(settings: Settings, service: ControlService, secrets: Secrets) -> ControlAsker | None:
    """Make what REALTIME_CONTROL_URL names; None: nobody is asked."""
    url, seconds = settings.realtime_control_url, settings.realtime_control_seconds
    if not url:
        return None
    post: Post | None = None
    if url != SELF:
        from callflow.history.delivery.url_post import UrlPost  # only where it is needed: it is heavy

        post = UrlPost(url, seconds + 1, most_bytes=MOST_BYTES, failed=ControlFailed)
    return ControlAsker(service, post, events=settings.realtime_control_events, seconds=seconds, secrets=secrets)


def _body(question: ControlQuestion) -> bytes:
    told: dict[str, Any] = {
        "type": question.event,
        "call": {
            "id": question.call, "carrier": question.carrier, "from": question.from_number, "to": question.to_number,
            "direction": question.direction,
        },
    }  # fmt: skip
    if question.more:
        told["event"] = dict(question.more)
    return msgspec.json.encode(told)
