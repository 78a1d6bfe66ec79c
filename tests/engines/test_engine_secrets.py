"""Whatever the model's server repeats of our key, and wherever: it is in nothing that the engine tells or logs."""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from callflow.contracts.engine import ErrorReported, SessionReady
from callflow.contracts.secret_text import NOT_SHOWN
from callflow.engines import breaker
from tests.configs import realtime_config
from tests.engines.realtime_server import BRIEF, Client, Peer, client, confirm, run


KEY = "sk-test"
"""Of the client; and the address has one as well."""
QUERY = "Zq9+query/key=="
FORMS = {
    "the key": f"Bearer {KEY} is no key",
    "the address": f"/v1/realtime?api-key={quote(QUERY, safe='')}",
    "the address, decoded": f"api-key is {QUERY}",
    "base64": base64.b64encode(f"user:{QUERY}".encode()).decode(),
}


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker.Pace, "PAUSES", (0.01,))


def hides(one: Client, caplog: pytest.LogCaptureFixture) -> None:
    said = "\n".join([*map(repr, one.heard), caplog.text])
    for secret in (KEY, QUERY, quote(QUERY, safe=""), quote(QUERY, safe="")[:12], FORMS["base64"][:12]):
        assert secret not in said, f"{secret} in {said}"


async def fatal(peer: Peer, text: str) -> None:
    await peer.refuse("invalid_api_key", message=text)


async def benign(peer: Peer, text: str) -> None:
    await peer.refuse("response_cancel_not_active", message=text)


async def other(peer: Peer, text: str) -> None:
    await peer.refuse("server_error", message=text)


async def as_a_code(peer: Peer, text: str) -> None:
    await peer.refuse(text, message="no")


async def by_closing(peer: Peer, text: str) -> None:
    await peer.ws.close(1008, text)


async def failed_response(peer: Peer, text: str) -> None:
    status = {"error": {"code": text, "message": text}}
    await peer.send("response.created", response={"id": "r"})
    await peer.send("response.done", response={"id": "r", "status": "failed", "status_details": status})


async def odd_format(peer: Peer, text: str) -> None:
    await peer.send("session.updated", session={"audio": {"input": {"format": {"type": text}}}})


ENDS: list[Callable[[Peer, str], Awaitable[None]]] = [fatal, by_closing, odd_format]
GOES_ON: list[Callable[[Peer, str], Awaitable[None]]] = [benign, other, as_a_code, failed_response]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", ENDS + GOES_ON)
def test_nothing_of_an_error_is_told_that_repeats_a_secret(
    way: Callable[[Peer, str], Awaitable[None]], form: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with client(on_update=confirm) as one:
            one.engine = type(one.engine)(_with_query(one), BRIEF, one.hear)
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            await way(peer, FORMS[form])
            if way in ENDS:
                assert NOT_SHOWN in await one.lost()
            else:
                await way(peer, f"{'x' * 280} {FORMS[form]}")  # the end of what is told lies in the middle of it
                await peer.refuse("the_last_word", message="the last word")
                await one.until(lambda: one.of(ErrorReported) and one.of(ErrorReported)[-1].code == "the_last_word")
            hides(one, caplog)

    caplog.set_level(logging.DEBUG, "callflow")
    run(work)


def test_a_fatal_error_that_is_cut_off_in_a_secret_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with client(on_update=confirm) as one:
            one.engine = type(one.engine)(_with_query(one), BRIEF, one.hear)
            one.start()
            await one.until(lambda: one.of(SessionReady))
            await fatal(await one.peer(), f"{'x' * 270} {QUERY}")
            assert NOT_SHOWN in await one.lost()
            hides(one, caplog)

    run(work)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_of_a_refused_session_is_told_that_repeats_a_secret(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(peer: Peer, event: dict[str, Any]) -> None:
        await peer.refuse("unknown_parameter", event["event_id"], message=FORMS[form])

    async def work() -> None:
        async with client(on_update=refuse) as one:
            one.engine = type(one.engine)(_with_query(one), BRIEF, one.hear)
            one.start()
            assert NOT_SHOWN in await one.lost()
            hides(one, caplog)

    caplog.set_level(logging.DEBUG, "callflow")
    run(work)


@pytest.mark.parametrize("status", [401, 403, 503])
def test_nothing_of_a_refused_connection_is_told_but_its_status(status: int, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        headers = {"WWW-Authenticate": f"Bearer {KEY}", "X-Key": KEY, "Retry-After": KEY}
        async with client(refusals=[(status, headers)] * 50, connect_seconds=0.3) as one:
            one.start()
            assert str(status) in await one.lost()
            hides(one, caplog)

    caplog.set_level(logging.DEBUG, "callflow")
    run(work)


def test_an_address_that_leads_nowhere_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        url = f"ws://user:{quote(QUERY, safe='')}@127.0.0.1:9/v1?api-key={quote(QUERY, safe='')}"
        async with client(url=url, connect_seconds=0.1) as one:
            one.start()
            assert "the engine cannot be reached" in await one.lost()
            hides(one, caplog)

    caplog.set_level(logging.DEBUG, "callflow")
    run(work)


def test_no_configuration_shows_a_key() -> None:
    shown = repr(realtime_config(api_key=KEY, url=f"wss://a.example/?api-key={QUERY}"))
    assert KEY not in shown
    assert QUERY not in shown


def test_other_errors_are_told_word_by_word() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            await (await one.peer()).refuse(
                "server_error", message="the server had an error, see sess_0123456789abcdef"
            )
            await one.until(lambda: one.of(ErrorReported))
            assert one.of(ErrorReported)[0].message == "the server had an error, see sess_0123456789abcdef"

    run(work)


def _with_query(one: Client) -> Any:
    return dataclasses.replace(one.config, url=f"{one.server.url}?api-key={quote(QUERY, safe='')}")
