"""What the operators' port answers to whoever is lost there: the page at its root, one shape for every refusal, and a
sentence for every parameter that there is not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from tests.e2e.operators_port import JSON, TOKEN, Answer, faults_of
from tests.e2e.talk import talk
from tests.e2e.test_operators_port import ended, port, routes


# The page at the root


class Page(HTMLParser):
    """The tags of a page that are open at its end, its links, and whatever loads or runs something."""

    EMPTY = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        for name, value in attrs:
            if tag == "a" and name == "href":
                self.links.append(str(value))
            elif name in ("src", "srcset", "action", "data", "style") or name.startswith("on") or name == "href":
                self.loads.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


async def test_a_plain_page_says_what_there_is_and_loads_nothing() -> None:
    async with port(console_token="") as (_, it):
        answer = await it.ask("GET", "/api")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        text = answer.body.decode()
        page = Page(text)
        assert text.startswith("<!doctype html>")
        assert (page.open, page.loads) == ([], [])
        assert not {"script", "img", "link", "iframe", "form"} & {*page.seen}
        assert {"html", "head", "title", "body", "h1"} <= {*page.seen}
        assert "light dark" in text
        for path in ("/api/calls", "/api/calls/live", "/api/conversations", "/tools", "/health"):
            assert path in page.links, path
        for link in page.links:
            found = await it.ask("GET", link)
            assert found.status == 200, link
        for told in ("/mcp", "hangup", "session", "README.md", "Version"):
            assert told in text, told
        policy = answer.headers["content-security-policy"]
        style = re.search("<style>(.*)</style>", text, re.DOTALL)
        assert style is not None
        hashed = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert f"style-src 'sha256-{hashed}'" in policy
        for strict in ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
            assert strict in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        head = await it.ask("HEAD", "/")
        assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (b"application/json", "application/json"), (b"application/json, text/html;q=0.1", "application/json"),
        (b"*/*", "application/json"), (b"text/html", "text/html; charset=utf-8"),
        (b"text/html, application/xhtml+xml, */*;q=0.8", "text/html; charset=utf-8"),
        (b"image/png", "application/json"), (b"", "application/json"), (b"\xff/\xff;q=x", "application/json"),
        (b",,;=;", "application/json"),
    ],
)  # fmt: skip
async def test_only_who_asks_for_html_gets_the_page(accept: bytes, kind: str) -> None:
    async with port() as (_, it):
        answer = await it.ask("GET", "/", headers=[(b"Accept", accept)])
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        if kind == "application/json":
            told = answer.json()
            assert told["name"] == "Callflow"
            assert "GET /api/calls" in [each["route"] for each in told["routes"]]


async def test_without_its_token_nothing_is_shown_and_it_is_said_how_to_give_it() -> None:
    async with port() as (_, it):
        for tokens, says in (
            ((), "there is no Authorization header"), ((b"Bearer x",), "The token is wrong"),
            ((TOKEN.encode(),), "does not begin with Bearer"), ((b"Basic x",), "does not begin with Bearer"),
            ((b"Bearer x", b"Bearer x"), "several Authorization headers"),
        ):  # fmt: skip
            for path in ("/", "/api/calls", "/nothing"):
                answer = await it.ask("GET", path, tokens=tokens)
                assert (answer.status, faults_of("GET", path, answer)) == (401, [])
                assert says in answer.json()["error"]
                assert "Authorization: Bearer TOKEN" in answer.json()["error"]
                assert answer.headers["www-authenticate"] == "Bearer"


# Every refusal in one shape


def refused(answer: Answer, status: int, says: str, method: str = "GET") -> None:
    assert (answer.status, faults_of(method, "", answer)) == (status, []), answer.body
    assert says in answer.body.decode(), answer.body


def filled(rule: str, known: Mapping[str, str]) -> str:
    """A path of this route. `known`: by placeholder; all others get what fits."""
    return re.sub("<[^>]+>", lambda found: known.get(found[0], "1" if ":" in found[0] else "x"), rule)


async def test_a_parameter_that_there_is_not_is_said_on_every_route() -> None:
    async with port(record=True) as (the, it):
        row = await ended(the)
        known = {"<call>": row["call_id"], "<sid>": "nobody", "<path:number>": "+15550100002"}
        known |= {"<number>": "+15550100002", "<campaign>": "nobody", "<way>": "pause", "<name>": "x"}
        asked = [
            (method, filled(rule, known))
            for method, rule in routes(the)
            if method not in ("OPTIONS", "HEAD") and not rule.startswith("/mcp")
        ]
        for method, path in asked:
            body = b"{}" if method in ("POST", "PATCH", "PUT") else None
            for name in ("nonsense", "Limit", "l\u00efmit", "x" * 3000, "\u202e", "a[b]"):
                target = f"{path}?{quote(name)}=1"
                answer = await it.ask(method, target, headers=[JSON] if body else [], body=body)
                refused(answer, 400, "There is no parameter", method)
        refused(
            await it.ask("POST", "/mcp?nonsense=1", headers=[JSON], body=b"{}"),
            400,
            "There is no parameter",
            "POST",
        )
        several = await it.ask("GET", "/api/conversations?limt=1&frm=2&limit=1&limit=2")
        assert len(several.json()["problems"]) == 3
        refused(await it.ask("GET", "/api/conversations?limt=1"), 400, "did you mean limit?")
        refused(await it.ask("GET", "/health?limit=1"), 400, "this path takes none.")
        refused(await it.ask("GET", "/api/conversations?offset=1&offset=1"), 400, "offset must be given once.")


async def test_what_is_out_of_its_range_is_not_taken_for_something_else() -> None:
    async with port() as (_, it):
        for value in ("0", "-1", "501", "1.0", "1e2", "0x10", "٣", "²", "1_000", "9" * 30, "one", "NaN"):
            answer = await it.ask("GET", f"/api/conversations?limit={quote(value)}")
            refused(answer, 400, "limit must be a whole number from 1 to 500, not ")
        for value in ("1", "500", "007"):
            assert (await it.ask("GET", f"/api/conversations?limit={value}")).status == 200
        for value in ("-1", "1.5", "2147483648"):
            refused(await it.ask("GET", f"/api/conversations?offset={value}"), 400, "offset must be")


async def test_only_pages_are_html_and_nothing_is_for_caches() -> None:
    async with port(record=True) as (the, it):
        row = await ended(the)
        for method, rule in routes(the):
            path = filled(rule, {"<call>": row["call_id"]})
            for verb in (method, "PUT", "TRACE", "FOO"):
                answer = await it.ask(verb, path)
                kind = answer.headers.get("content-type", "")
                is_page = path in ("/api", "/login") and verb in ("GET", "HEAD", "POST")
                assert "html" not in kind or is_page, f"{verb} {path}: {kind}"
                if not path.endswith("/recording") or verb not in ("GET", "HEAD"):
                    assert answer.headers["cache-control"] == "no-store", f"{verb} {path}"
                if verb == "OPTIONS":
                    assert (answer.status, answer.body) == (204, b"")
                    assert answer.headers["allow"]
                if answer.status == 405 and verb != "HEAD":
                    refused(answer, 405, verb, verb)
                    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET\r\n\r\n", 400), (b"\x16\x03\x01\x02\n\n", 400), (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 120 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_told_so_on_both_ports(sent: bytes, status: int) -> None:
    async with port() as (the, it):
        for number in (it.port, the.app.public_at[1]):
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(sent)
            async with asyncio.timeout(5):
                answer = await reader.read()
            writer.close()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"application/json" in head
            assert body.startswith(b'{"error": "')


async def test_a_session_change_that_no_session_takes_is_a_warning_over_http_too() -> None:
    async with port() as (the, it):
        one = await talk(the)
        path = f"/api/calls/{the.call.id}/session"
        wanted = (
            b'{"instructions": "Be brief.", "temperature": 0.8, "include_segments": true, "voice": "nova",'
            b' "noise_reduction": {"type": "custom"}, "foo": 1, "greeting": "Hi."}'
        )
        for _ in range(2):  # said each time
            answer = await it.ask("POST", path, headers=[JSON], body=wanted)
            assert answer.status == 200
            names = [warning.split()[0].strip('"') for warning in answer.json()["warnings"]]
            assert sorted(names) == sorted(
                ["temperature", "include_segments", "voice", "noise_reduction.type", "foo", "greeting"]
            )
        config = one.session.config
        assert config["instructions"] == "Be brief."
        assert "temperature" not in str(one.session.received[-1].event)
        for body, says in (
            (b"", "The body is empty"), (b"\n", "The body is empty"), (b"null", "not null"), (b"true", "not true"),
            (b"[]", "not a list"), (b'"x"', "not a text"), (b"5", "not a number"), (b"{", "it breaks off"),
            (b"\xff", "JSON"), (b'{"speed": NaN}', "JSON"), (b'{"speed": 1e999}', "JSON"),
            (b'{"instructions": "\\udc00"}', "surrogate"), (b'{"speed": 1, "speed": 1}', "twice"),
            (b'{"instructions": "' + b"x" * 200_000 + b'"}', "40000 characters at most: it has 200000"),
            (b'{"a":' * 100 + b"1" + b"}" * 100, "nested"), (b'{"speed": ' + b"9" * 5000 + b"}", ""),
            (b'{"instructions": "a\\u0000"}', "NUL"), (b'{"speed": -0.5}', "from 0.25 to 1.5, not -0.5"),
        ):  # fmt: skip
            answer = await it.ask("POST", path, headers=[JSON], body=body)
            refused(answer, 400, says, "POST")
        for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"", b"\xff", b"multipart/form-data"):
            answer = await it.ask("POST", path, headers=[(b"Content-Type", kind)], body=b'{"speed": 1}')
            refused(answer, 415, "Content-Type: application/json", "POST")
        await one.call.hang_up()
        await the.quiet()
