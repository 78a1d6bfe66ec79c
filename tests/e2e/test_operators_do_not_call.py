"""The do-not-call list of a running server: over HTTP, from the command line, and past the end of the calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.operators_port import JSON, Answer, Port, faults_of
from tests.e2e.test_operators_port import ended, port


PATH = "/api/do-not-call"
NUMBER = "+15550100001"


async def put(it: Port, **body: Any) -> Answer:
    answer = await it.ask("POST", PATH, headers=[JSON], body=json.dumps(body).encode())
    assert faults_of("POST", PATH, answer) == []
    return answer


@pytest.mark.carrier("telnyx")
async def test_a_number_stays_on_the_list_when_all_calls_are_deleted(database_url: str) -> None:
    async with port(database_url=database_url) as (the, it):
        await ended(the)
        made = await put(it, number=NUMBER, reason="asked us")
        assert (made.status, made.json()["added_by"]) == (201, "console")
        assert (await put(it, number=NUMBER)).status == 200
        assert (await it.ask("DELETE", "/api/conversations?all=true")).json()["deleted"] == 1
        assert (await it.ask("GET", PATH)).json() == [made.json()]
        for written in (NUMBER, "%2B15550100001"):
            assert (await it.ask("GET", f"{PATH}/{written}")).json() == made.json()
        assert await the.app.history.do_not_call.find(NUMBER) == made.json()
        assert (await it.ask("DELETE", f"{PATH}/%2B15550100001")).status == 200
        answer = await it.ask("DELETE", f"{PATH}/{NUMBER}")
        assert (answer.status, faults_of("DELETE", PATH, answer)) == (404, [])
        assert (await it.ask("GET", PATH)).json() == []


@pytest.mark.carrier("telnyx")
async def test_it_is_behind_the_checks_of_every_other_path() -> None:
    async with port() as (_, it):
        for method, path in (("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/{NUMBER}")):
            assert (await it.ask(method, path, tokens=())).status == 401
        other = [(b"Origin", b"http://elsewhere.example"), JSON]
        assert (await it.ask("POST", PATH, headers=other, body=b'{"number": "+15550100001"}')).status == 403
        answer = await it.ask("POST", PATH, headers=[(b"Content-Type", b"text/plain")], body=b'{"number": "x"}')
        assert answer.status == 415
        assert (await it.ask("GET", PATH)).json() == []
