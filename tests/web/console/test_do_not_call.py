"""The do-not-call list over HTTP: what is taken, what is refused, and what is logged of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.web.console.stage import Stage, play


PATH = "/api/do-not-call"
NUMBER = "+15550100001"


def body(**given: object) -> bytes:
    return json.dumps(given).encode()


def test_a_number_is_put_on_the_list_and_taken_off(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.get(PATH)).json() == []
        made = await the.send("POST", PATH, body(number=NUMBER, reason=" asked us "))
        assert (made.status, made.json()["reason"], made.json()["added_by"]) == (201, "asked us", "operator")
        again = await the.send("POST", PATH, body(number=NUMBER))
        assert (again.status, again.json()) == (200, made.json())
        assert (await the.get(PATH)).json() == [made.json()]
        assert (await the.get(f"{PATH}/{NUMBER}")).json() == made.json()
        gone = await the.send("DELETE", f"{PATH}/{NUMBER}")
        assert (gone.status, gone.json()) == (200, {"success": True})
        for method in ("DELETE", "GET"):
            answer = await the.send(method, f"{PATH}/{NUMBER}")
            assert (answer.status, "not on the do-not-call list" in answer.json()["error"]) == (404, True)

    play(tmp_path, main)


def test_who_asked_is_kept(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.send("POST", PATH, body(number=NUMBER))).json()["added_by"] == "console"
        line = await the.send("POST", PATH, body(number="+15550100002"), callflow_asked_by="command line")
        assert line.json()["added_by"] == "command line"

    play(tmp_path, main, token="a-token-of-24-characters")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"", "The body is empty"), (b"[]", "must be a JSON object"), (b"{}", "number must be a text"),
        (body(number=15550100001), "number must be a text"), (body(number=None), "number must be a text"),
        (body(number="15550100001"), "E.164"), (body(number=""), "E.164"), (body(number="+1 555 010 0001"), "E.164"),
        (body(number="+4901701234567"), "the 0 of"), (body(number="+1555010000"), "fewer digits"),
        (body(number="+9991234567"), "No country"), (body(number="+1911"), "never dialled"),
        (b'{"number": "\\ud800"}', "surrogate"), (body(number=NUMBER, reason=1), "reason must be a text"),
        (body(number=NUMBER, reason="x" * 501), "at most 500"),
        (body(number=NUMBER, resaon=""), "did you mean reason?"),
        (body(number=NUMBER, business="a b"), "business must be"),
        (body(number=NUMBER, busines="b"), '"busines"'),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_in_a_sentence(tmp_path: Path, given: bytes, says: str) -> None:
    async def main(the: Stage) -> None:
        answer = await the.send("POST", PATH, given)
        assert (answer.status, says in answer.json()["error"]) == (400, True), answer.json()
        assert (await the.get(PATH)).json() == []

    play(tmp_path, main)


def test_pages_lead_to_the_next(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        numbers = [f"+1555010{number:04}" for number in range(5)]
        for number in numbers:
            assert (await the.send("POST", PATH, body(number=number))).status == 201
        found, path = [], f"{PATH}?limit=2"
        while path:
            answer = await the.get(path)
            found += [entry["number"] for entry in answer.json()]
            path = answer.headers.get("link", "").partition(">")[0].lstrip("<")
        assert found == numbers[::-1]
        for wrong in ("limit=0", "limit=501", "before=-1", "before=x", "offset=1"):
            assert (await the.get(f"{PATH}?{wrong}")).status == 400

    play(tmp_path, main)


def test_a_reason_is_redacted_and_the_log_holds_no_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(the: Stage) -> None:
        with caplog.at_level(logging.DEBUG):
            made = await the.send("POST", PATH, body(number=NUMBER, reason="card 4111 1111 1111 1111\0"))
            await the.send("DELETE", f"{PATH}/{NUMBER}")
        assert "4111" not in made.json()["reason"]
        assert "\0" not in made.json()["reason"]
        said = [record.getMessage() for record in caplog.records if "do-not-call" in record.getMessage()]
        assert [each.partition(" is on")[0] for each in said] == ["a number that ends in 01"] * 2
        assert "5550100001" not in caplog.text

    play(tmp_path, main)


def test_without_the_database_it_says_so(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.get(PATH)).status == 503
        assert (await the.send("POST", PATH, body(number=NUMBER))).status == 503
        assert (await the.send("DELETE", f"{PATH}/{NUMBER}")).status == 503

    play(tmp_path, main, opened=False)
