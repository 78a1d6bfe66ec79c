"""The operators' port: whatever is sent to it, it answers in one shape and within a moment, and keeps its word about
who is let in, how much may be brought, and what is on record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import h11
import pytest
from pydantic import SecretStr

from callflow.cli.operators_port import OperatorsPort
from callflow.config.settings import Settings
from callflow.contracts.errors import ConsoleError
from callflow.journal.redaction import Redactor
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.web.console import request_body
from callflow.web.console.app import create_console
from tests.e2e.operators_members import is_sent, members
from tests.e2e.operators_port import JSON, MCP, MCP_HEADERS, TOKEN, Log, Port, faults_of, path_of
from tests.e2e.product import Product, product
from tests.e2e.talk import talk
from tests.sample import Sample


@asynccontextmanager
async def port(**settings: Any) -> AsyncIterator[tuple[Product, Port]]:
    async with product(**{"console_token": TOKEN, "no_input_seconds": 0, **settings}) as the:
        yield the, Port(the.app.console_at[1], str(settings.get("console_token", TOKEN)))


async def ended(the: Product, **ring: Any) -> dict[str, Any]:
    """A call that is over and on record. Returns its row."""
    one = await talk(the, **ring)
    await one.phone.hears(0.2)
    name = the.call.id
    await one.call.hang_up()
    await the.quiet()
    await the.app.journal.flushed()
    row = await the.app.history.store.conversation(name)
    assert row is not None
    return row


def routes(the: Product) -> list[tuple[str, str]]:
    """Every method and rule of the app, those of the MCP server as well."""
    app = create_console(
        lambda: the.app.switchboard,
        the.app.history,
        the.app.overrides,
        ShieldedChanges(),
        host="localhost",
        redact=Redactor(),
    )
    found = {
        (method, rule.rule) for rule in app.url_map.iter_rules() if not rule.websocket for method in rule.methods or ()
    }
    return sorted(found | {(method, path) for path in MCP for method in ("POST", "GET", "DELETE")})


@pytest.mark.proof
async def test_whatever_is_sent_to_whatever_route_is_answered(
    database_url: str, caplog: pytest.LogCaptureFixture, some: Sample
) -> None:
    async with port(database_url=database_url, record=True) as (the, it):
        row = await ended(the)
        await talk(the)
        log, failed, sent = Log(caplog), [], 0
        cases = [(*route, *one) for route in routes(the) for one in members().items() if is_sent(route[0], *one)]
        for method, rule, name, member in some(cases, 7):
            known = the.call.id if rule.endswith("/session") else row["call_id"]
            part = member.part or ("nobody" if method == "DELETE" else known)
            path = path_of(rule, part)
            target = path.encode() + (b"?" + member.query if member.query else b"")
            verb = member.method or method
            body = member.body if member.body is not None or method != "POST" else b"{}"
            sent += 1
            try:
                answer = await it.ask(verb, target, headers=member.headers, body=body)
                faults = faults_of(verb, path, answer)
            except (TimeoutError, OSError, h11.RemoteProtocolError) as error:
                faults = [f"no answer: {type(error).__name__} {error}"]
            faults += log.faults()
            failed += [f"{verb} {rule}, {name}: {fault}" for fault in faults]
        assert not failed, f"{len(failed)} of {sent}:\n" + "\n".join(failed[:40])
        assert the.app.switchboard.calls, "the call that was going on is gone"
        assert (await it.ask("GET", "/health")).json()["ok"] is True


NAMES = (
    "number", "caller", "callerNumber", "called", "phoneNumber", "phoneNumberSid", "text", "q", "query", "search",
    "from", "since", "start", "startDate", "to", "until", "end", "endDate", "live", "limit", "before", "offset", "all",
)  # fmt: skip
EXPORT_NAMES = ("format", "from", "text", "number", "before")
VALUES = (
    "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "9999-12-31", "0000-01-01", "2026-02-30", "2026-01-31T99:00Z",
    "-9" * 40, "9" * 5000, "99999999999", "2147483648", "-1", "1e9", "0x10", "٣", "²", "½", "NaN", "true", "maybe", "*",
    '"', "'; DROP TABLE steps; --", "NEAR(a b)", "a AND NOT b", "a:b", "^a", "x" * 2500, "é" * 1200, "+", "\x1b\u202e",
)  # fmt: skip


async def test_every_parameter_is_taken_or_refused_in_a_sentence(
    database_url: str, caplog: pytest.LogCaptureFixture, some: Sample
) -> None:
    async with port(database_url=database_url, record=True) as (the, it):
        row = await ended(the)
        log, failed = Log(caplog), []
        asked = [("/api/conversations", name, value) for name in NAMES for value in VALUES]
        asked += [("/api/conversations/export", name, value) for name in EXPORT_NAMES for value in VALUES]
        asked += [(f"/api/calls/{row['call_id']}/recording", "part", value) for value in VALUES]
        for path, name, value in some(asked, 4):
            answer = await it.ask("GET", f"{path}?{urlencode({name: value})}")
            faults = faults_of("GET", path, answer) + log.faults()
            if answer.status not in (200, 400, 404, 414):
                faults.append(f"it is answered {answer.status}")
            failed += [f"{path}?{name}={value[:40]}: {fault}" for fault in faults]
        assert not failed, f"{len(failed)}:\n" + "\n".join(failed[:40])


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/api/conversations?live=maybe", "true or false"),
        ("/api/conversations?live=1", "true or false"),
        ("/api/conversations/export?format=xml", "json or csv"),
        ("/api/conversations?limit=٣", "from 1 to 500"),
        ("/api/conversations?limit=1.5", "from 1 to 500"),
        ("/api/conversations/phone/+15550100002?limit=many", "from 1 to 500"),
        ("/api/conversations?offset=²", "whole number"),
        ("/api/conversations?text=a\0b", "must not contain NUL (%00)"),
        ("/health?x=\0", "must not contain NUL (%00)"),
        ("/api/calls/a\0b", "must not contain NUL (%00)"),
        ("/api/conversations?limit=1&limit=2", "once"),
        ("/api/conversations?from=2026-01-01&since=2026-01-02", "from or since or start or startDate"),
        ("/api/conversations?to=9999-12-31T23:59:59-01:00", "2026-01-31"),
        ("/api/conversations?text=...", "no word"),
        ("/api/calls/x/recording?part=²", "whole number"),
    ],
)
async def test_what_is_refused_is_told_what_is_possible(target: str, says: str) -> None:
    async with port() as (_, it):
        answer = await it.ask("GET", quote(target, safe="/?&=+:.-"))
        assert answer.status == 400, answer.body
        assert says in answer.json()["error"]


# Who is let in


async def refused(it: Port, status: int, **how: Any) -> None:
    """The same everywhere, also where nothing is, and in the one shape."""
    for method, path in (("GET", "/health"), ("GET", "/nothing"), ("POST", "/mcp"), ("DELETE", "/api/conversations")):
        answer = await it.ask(method, path, **how)
        assert answer.status == status, f"{method} {path} with {how}: {answer.status} {answer.body[:100]!r}"
        assert faults_of(method, "", answer) == [], how


async def test_a_token_counts_only_as_a_bearer_and_only_once(caplog: pytest.LogCaptureFixture) -> None:
    token = TOKEN.encode()
    wrong: list[list[bytes]] = [
        [], [token], [b"Basic " + token], [b"Bearer" + token], [b"Bearer"], [b"Bearer "], [b"Bearer " + token + b"x"],
        [b"Bearer " + token[:-1]], [b"Bearer \xff\xfe"], [b"\xff"], [b"Bearer " + token.upper()], [b"Token " + token],
        [b"Bearer " + token, b"Bearer " + token], [b"Bearer x", b"Bearer " + token], [b"Bearer x, Bearer " + token],
        [b"Bearer Bearer " + token],
    ]  # fmt: skip
    async with port() as (_, it):
        log = Log(caplog)
        for given in wrong:
            await refused(it, 401, tokens=given)
        for scheme in (b"Bearer ", b"bearer ", b"BEARER   "):
            assert (await it.ask("GET", "/health", tokens=[scheme + token])).status == 200, scheme
        assert (await it.ask("GET", "/health", host=[b"phone.example"])).status == 200, "a proxy has names of its own"
        assert log.faults() == []


async def test_names_and_origins_are_looked_at_before_anything_else(caplog: pytest.LogCaptureFixture) -> None:
    async with port(console_token="") as (_, it):
        log = Log(caplog)
        for host in (
            b"[", b"]", b"[]", b"[::1", b"::1", b"evil.example", b"localhost.evil.example", b"evil@localhost", b"",
            b"localhost:", b"localhost:evil", b"localhost:1:2", b"localhost/x", b"localhost#", b"local\xffhost",
            b"\xff", b"127.0.0.1.evil", b"[::1]evil", b"[localhost]", b"localhost, evil.example", b"%6cocalhost",
        ):  # fmt: skip
            await refused(it, 421, host=[host])
        for host in (b"localhost", b"LocalHost:6001", b"127.0.0.1:1", b"[::1]", b"[::1]:6001"):
            assert (await it.ask("GET", "/health", host=[host])).status == 200, host
        assert (await it.ask("GET", "http://evil.example/health")).status == 421, "the header counted"
        assert (await it.ask("GET", "http://localhost/health", host=[b"evil.example"])).status == 200
        for origin in (
            b"http://[", b"null", b"", b"http://evil.example", b"http://localhost.evil", b"http://localhost:1",
            b"\xff", b"http://evil@localhost", b"localhost", b"http://localhost/", b"file://localhost",
            b"http://localhost, http://evil.example",
        ):  # fmt: skip
            await refused(it, 403, headers=[(b"Origin", origin)])
        await refused(it, 403, headers=[(b"Origin", b"http://localhost"), (b"Origin", b"http://evil.example")])
        for own in (b"http://localhost", b"https://LOCALHOST"):
            assert (await it.ask("GET", "/health", headers=[(b"Origin", own)])).status == 200, own
        assert log.faults() == []


COSTLY = (
    "/api/calls", "/api/calls/x/transfer", "/api/campaigns", "/api/campaigns/x", "/api/campaigns/x/pause",
    "/api/transfers", "/api/numbers/%2B15550100001", "/api/provision", "/api/realtime-token",
)  # fmt: skip
SPELLINGS = (
    "{}", "{}/", "/{}", "///{}//", "{}?x=1", "{}?_method=GET", "{}%2F", "/%2F{}", "{}/.", "{}/../calls",
    "/x/..{}", "/.{}", "{}%20", "{}%09", "{}%0A", "{};x", "{}%3Fx", "{}%00", "{}.json", "http://localhost{}", "{}%2525",
)  # fmt: skip
OVERRIDES = [(name, b"GET") for name in (b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override")]


def spelled(path: str) -> list[str]:
    """Other ways to write a path, some of which lead there."""
    inner = [path[1:], path[1:].replace("/", "%2F"), path[1:].replace("/", "//"), path[1:].replace("a", "%61")]
    inner += [
        path[1:].replace("/", "%5C"),
        path[1:].replace("a", "%2561"),
        path[1:].upper(),
        path[1:].replace("/", "/./"),
    ]
    return [form.format(f"/{each}") for form in SPELLINGS for each in inner] + [f"%2F{path[1:]}", path[1:]]


async def test_what_costs_money_needs_a_token_however_it_is_spelled(
    caplog: pytest.LogCaptureFixture, some: Sample
) -> None:
    suggested = set()
    async with port(console_token="") as (_, it):
        log = Log(caplog)
        for path in COSTLY:
            for method in ("POST", "PUT", "PATCH", "DELETE", "post", "QUERY"):
                answer = await it.ask(method, path, headers=[JSON], body=b"{}")
                assert (answer.status, faults_of("POST", path, answer)) == (401, []), f"{method} {path}"
                assert answer.headers["www-authenticate"] == "Bearer"
                found = re.search(r"CONSOLE_TOKEN=(\w+) into \.env, restart the server", answer.json()["error"])
                assert found is not None
                suggested.add(found[1])
            for reads in ("GET", "HEAD", "OPTIONS"):
                for headers in ([], [(name, b"POST") for name, _ in OVERRIDES]):
                    answer = await it.ask(reads, path, headers=headers)
                    assert answer.status in (200, 204, 404, 405), f"{reads} {path}"
        for path in some([each for known in COSTLY for each in spelled(known)], 4):
            # The router itself says where this leads: nobody needs a token to ask that.
            allowed = (await it.ask("OPTIONS", path)).headers.get("allow", "")
            leads = "POST" in allowed or (await it.ask("GET", path)).body.startswith(b"[")
            answer = await it.ask("POST", path, headers=[JSON, *OVERRIDES], body=b"{}")
            assert answer.status == 401 or (answer.status in (400, 404, 405) and not leads), f"{path}: {answer}"
        for known in spelled("/api/calls")[:4]:
            assert (await it.ask("POST", known, body=b"{}")).status == 401, known
        for free in ("/api/calls/x/hangup", "/api/calls/x/session"):
            assert (await it.ask("POST", free, headers=[JSON], body=b"{}")).status == 404, free
        assert log.faults() == []
    assert not [token for token in suggested if token in caplog.text], "a token is in the log"
    new = suggested.pop()
    async with port(console_token=new) as (_, it):
        assert (await it.ask("POST", "/api/calls", tokens=[])).status == 401
        assert (await it.ask("POST", "/api/calls", headers=[JSON], body=b"{}")).status != 401


async def test_what_costs_money_is_refused_before_its_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "_LINGER_SECONDS", 0.1)
    async with port(console_token="") as (_, it):
        answer = await it.ask("POST", "/api/calls", headers=[JSON, (b"Content-Length", b"1000")], after=b"{")
        assert (answer.status, faults_of("POST", "", answer)) == (401, [])


async def test_a_command_says_which_token_is_missing_where() -> None:
    async def refusal(it: Port, token: str) -> str:
        asking = OperatorsPort(Settings(console_port=it.port, console_token=SecretStr(token)))
        with pytest.raises(ConsoleError) as refused:
            await asyncio.to_thread(asking.ask, "POST", "/api/calls", {})
        return str(refused.value)

    async with port(console_token="") as (_, it):
        assert re.search(r"put the line CONSOLE_TOKEN=\w+ into \.env", await refusal(it, ""))
        assert "was started without a CONSOLE_TOKEN: restart it" in await refusal(it, TOKEN)
    async with port() as (_, it):
        assert "does not take anybody without its CONSOLE_TOKEN" in await refusal(it, "")
        assert "it runs with another one" in await refusal(it, f"{TOKEN}x")
        asking = OperatorsPort(Settings(console_port=it.port, console_token=SecretStr(TOKEN)))
        status, told = await asyncio.to_thread(asking.ask, "GET", "/api/calls/live")
        assert (status, told) == (200, {"live": [], "recorded": []})


async def test_no_websocket_is_taken() -> None:
    upgrade = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13"))
    async with port() as (_, it):
        for path in ("/", "/mcp", "/api/calls", "/%ff%00"):
            answer = await it.ask("GET", path, headers=[*upgrade, (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")])
            assert (answer.status, faults_of("GET", "", answer)) == (403, []), path
            assert answer.json()["error"] == "There is no WebSocket here."


# How much may be brought


async def test_a_body_that_does_not_come_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert request_body._BODY_SECONDS + request_body._LINGER_SECONDS <= 15, "a proxy in front would have given up"
    monkeypatch.setattr(request_body, "_BODY_SECONDS", 0.3)
    monkeypatch.setattr(request_body, "_LINGER_SECONDS", 0.1)
    async with port() as (_, it):
        for method, path in (("POST", "/mcp"), ("POST", "/api/calls/x/hangup"), ("DELETE", "/api/conversations")):
            longer = (b"Content-Length", b"1000")
            answer = await it.ask(method, path, headers=[JSON, longer], after=b"{")
            assert (answer.status, faults_of(method, path, answer)) == (408, []), f"{method} {path}: {answer}"


async def test_bodies_are_bounded_before_they_are_looked_at() -> None:
    small, session, large, middle = 64 << 10, 512 << 10, 4 << 20, 1 << 20
    async with port() as (the, it):
        row = await ended(the)
        stream = f"/api/conversations/stream/{row['stream_sid']}"
        for method, path, most in (
            ("POST", "/api/calls/x/session", session), ("GET", "/api/calls", small), ("DELETE", stream, small),
            ("POST", "/nothing", small), ("DELETE", f"{stream}/items", small), ("POST", f"{stream}/items", large),
            ("POST", "/mcp", middle), ("GET", "/mcp", small), ("POST", "/api/calls/x/hangup", small),
        ):  # fmt: skip
            body = b'"' + b"x" * (most - 2) + b'"'
            over = await it.ask(method, path, body=body + b" ", headers=MCP_HEADERS)
            assert (over.status, str(most) in over.json()["error"]) == (413, True), f"{method} {path}: {over}"
            if method == "POST":
                whole = await it.ask(method, path, body=body, headers=MCP_HEADERS)
                assert whole.status in (400, 404), f"{method} {path}: {whole}"
        chunks = b"%x\r\n%s\r\n" % (small, b"x" * small) * 2 + b"0\r\n\r\n"
        chunked = (b"Transfer-Encoding", b"chunked")
        answer = await it.ask("POST", "/api/calls/x/hangup", headers=[JSON, chunked], after=chunks)
        assert answer.status == 413, "what does not say how long it is has no bound"
        assert (await it.ask("GET", f"/health?{'x' * 8200}")).status == 414
