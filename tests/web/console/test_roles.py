"""What the roles of operators may do: one table, for every way of asking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect, Rule

from callflow.web.console.identity import CONFIGURE, NOBODY, VIEW
from callflow.web.console.roles import LEAST, READING, least_role, numbers_asked_for, query_asks_for_numbers
from tests.web.asgi import Answer
from tests.web.console.stage import CALL, Stage, play


ALL, VIEWER, DESK = (f"the-token-number-{each}-of-all" for each in range(3))
NAMED = f"eye:view:{VIEWER},desk:operate:{DESK}"
CONFIGURING = {
    ("PATCH", "/api/session"), ("DELETE", "/api/session"), ("DELETE", "/api/conversations"),
    ("POST", "/api/events/dead/<name>/again"), ("DELETE", "/api/conversations/stream/<sid>"),
    ("DELETE", "/api/calls/<call>"), ("POST", "/api/calls/<call>/restore"),
    ("POST", "/api/conversations/stream/<sid>/items"), ("PUT", "/api/profiles/<name>"),
    ("PATCH", "/api/profiles/<name>"), ("DELETE", "/api/profiles/<name>"),
    ("POST", "/api/profiles/<name>/versions/<int:version>/restore"), ("POST", "/tools/<name>/try"),
    ("POST", "/api/doctor"),
    ("POST", "/api/session/versions/<int:version>/restore"), ("POST", "/api/tools/own"), ("POST", "/api/tools/check"),
    ("PUT", "/api/tools/own/<name>"),
    ("DELETE", "/api/tools/own/<name>"),
    ("POST", "/api/realtime-token"), ("POST", "/api/realtime/control/settings"),
    ("POST", "/api/nodes/<node>/drain"), ("POST", "/api/nodes/<node>/resume"),
}  # fmt: skip
"""What is not in the table, and is for those who configure."""


def as_(the: Stage, token: str) -> Stage:
    the.headers = {"authorization": f"Bearer {token}"}
    return the


def path_of(rule: str) -> str:
    for part, value in (("path:number", "+15550100001"), ("int:version", "1"), ("call", CALL), ("sid", CALL)):
        rule = rule.replace(f"<{part}>", value)
    return rule.replace("<", "").replace(">", "")


async def send(the: Stage, method: str, path: str, **body: Any) -> Answer:
    return await the.send(method, path, json.dumps(body).encode())


def test_every_route_that_changes_something_has_the_role_that_somebody_has_thought_of(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        found = {(method, rule.rule) for rule in the.app.url_map.iter_rules() for method in rule.methods or ()}
        changing = {each for each in found if each[0] not in READING}
        assert {each for each in changing if each not in LEAST} == CONFIGURING
        for method, rule in found | set(LEAST):
            usual = VIEW if method in READING else CONFIGURE
            key = ("GET", rule) if method == "HEAD" else (method, rule)
            assert least_role(method, path_of(rule)) == LEAST.get(key, usual), (method, rule)

    play(tmp_path, main)


RULES = [(method, rule) for (method, rule), role in LEAST.items() if role != NOBODY and method == "GET"]


@pytest.mark.exhaustive
@settings(max_examples=300)
@given(st.sampled_from(RULES), st.data())
def test_no_other_spelling_that_the_router_takes_needs_less(which: tuple[str, str], data: st.DataObject) -> None:
    method, rule = which
    path, odd = path_of(rule), st.sampled_from(["", "", "", "", "/", "//", "/.", " ", "\n", ";", "%", "é", "\u2028"])
    path = "".join(data.draw(odd) + each for each in path) + data.draw(odd)
    try:
        Map([Rule(rule, methods=[method])], merge_slashes=False).bind("localhost").match(path, method)
    except (HTTPException, RequestRedirect):
        return
    assert least_role(method, path) == LEAST[which]
    assert least_role("HEAD", path) == LEAST[which]


def test_who_may_only_view_changes_nothing(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        call = the.live(CALL)
        for rule in the.app.url_map.iter_rules():
            for method in (rule.methods or set()) - READING:
                if LEAST.get((method, rule.rule)) != NOBODY:
                    refused = await as_(the, VIEWER).send(method, path_of(rule.rule), b"{}")
                    assert refused.status == 403, (method, rule.rule)
        refused = await send(the, "POST", f"/api/calls/{CALL}/hangup", when="now")
        assert refused.json() == {"error": "This needs the role operate: eye has the role view."}
        assert (await the.get("/api/calls/live")).status == 200
        assert call.hung_up == []

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_who_operates_acts_on_calls_and_configures_nothing(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        call = the.live(CALL)
        assert (await send(as_(the, DESK), "POST", f"/api/calls/{CALL}/hangup", when="now")).status == 200
        assert call.hung_up == [("now", "token desk")]
        assert (await send(the, "POST", "/api/do-not-call", number="+12025550111")).status in (200, 201)
        for method, rule in CONFIGURING:
            assert (await the.send(method, path_of(rule), b"{}")).status == 403, (method, rule)
        refused = (await send(the, "PATCH", "/api/session", voice="cedar")).json()
        assert refused == {"error": "This needs the role configure: desk has the role operate."}
        assert (await send(as_(the, ALL), "PATCH", "/api/session", voice="cedar")).status == 200

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


# Telephone numbers


@pytest.mark.exhaustive
def test_who_may_only_view_sees_no_whole_number_anywhere(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        the.live("live")
        await send(as_(the, ALL), "POST", "/api/do-not-call", number="+15550100001")
        whole = masked = 0
        for rule in the.app.url_map.iter_rules():
            if "GET" not in (rule.methods or ()):
                continue
            for query in ("", "?format=csv", f"?sid={CALL}"):
                path = path_of(rule.rule) + query
                for headers in ({}, {"accept": "text/html", "accept_encoding": "gzip"}):
                    seen = await as_(the, VIEWER).get(path, **headers)
                    assert b"5550100001" not in seen.body, path
                    masked += "+1555•••0001" in seen.body.decode()
                    whole += b"+15550100001" in (await as_(the, DESK).get(path, **headers)).body
        assert masked >= 10
        assert whole >= masked

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_a_number_without_a_plus_is_masked_in_an_export_too(tmp_path: Path, format_: str) -> None:
    """An earlier system may have written it so."""

    async def main(the: Stage) -> None:
        await the.write_call(from_number="15550100001", to_number="5550100002")
        path = f"/api/conversations/export?format={format_}"
        seen = (await as_(the, VIEWER).get(path)).body.decode()
        assert ("1555•••0001" in seen, "555•••0002" in seen) == (True, True), seen
        assert "5550100001" not in seen
        assert "5550100002" not in seen
        assert "15550100001" in (await as_(the, DESK).get(path)).body.decode()

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/conversations?number=%2B15550100001", 403), ("/api/conversations?caller=0001", 403),
        ("/api/conversations?n%75mber=0001", 403), ("/api/conversations/export?callerNumber=1", 403),
        ("/api/conversations?called=1", 403), ("/api/conversations?phoneNumber=1", 403),
        ("/api/conversations/phone/+15550100001", 403), ("/api/do-not-call/+15550100001", 403),
        ("/api/conversations?text=boat", 200), ("/api/conversations?number=", 200), ("/api/conversations", 200),
    ],
)  # fmt: skip
def test_to_search_for_a_number_is_for_those_who_operate(tmp_path: Path, path: str, status: int) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        seen = await as_(the, VIEWER).get(path)
        assert seen.status == status
        assert status == 200 or "role operate: eye has the role view" in seen.json()["error"]
        assert (await as_(the, DESK).get(path)).status in (200, 404)

    play(tmp_path, main, token=ALL, named_tokens=NAMED)


def test_a_query_and_a_body_that_ask_for_a_number_are_found() -> None:
    assert query_asks_for_numbers(b"limit=1&caller=%2B1")
    assert not query_asks_for_numbers(b"limit=1&text=number")
    assert numbers_asked_for([{"params": {"arguments": {"callerNumber": "1"}}}])
    assert not numbers_asked_for({"params": {"arguments": {"callerNumber": "", "query": "number"}}})


def mcp(tool: str, **arguments: Any) -> bytes:
    asked = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}).encode()


@pytest.mark.exhaustive
def test_a_model_with_a_token_to_view_reads_with_masks_and_searches_for_no_number(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        accept = {"accept": "application/json, text/event-stream"}
        listing, search = mcp("get_conversations"), mcp("search_conversations_by_caller", callerNumber="0001")
        seen = await as_(the, VIEWER).send("POST", "/mcp", listing, **accept)
        assert (seen.status, "1555•••0001" in seen.body.decode()) == (200, True), seen.body
        assert b"5550100001" not in seen.body
        assert (await the.send("POST", "/mcp", search, **accept)).status == 403
        assert (await the.send("POST", "/mcp", search.replace(b"caller", b"c\\u0061ller"), **accept)).status == 403
        assert (await the.send("POST", "/mcp", b" " * (65 << 10) + search, **accept)).status == 413
        for asked in (listing, search):
            assert (await as_(the, DESK).send("POST", "/mcp", asked, **accept)).status == 200

    play(tmp_path, main, token=ALL, named_tokens=NAMED)
