"""What requests to the operators' listener may look like, and the one shape of its errors."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from quart import Quart, Response
from sqlalchemy.exc import OperationalError, ProgrammingError
from werkzeug.datastructures import MIMEAccept

from callflow.contracts.errors import BadQuery, BadRequest
from callflow.contracts.printable import to_json
from callflow.web import responses
from callflow.web.responses import accepted, json_object, json_response, query_parameters, suggestion
from tests.web.asgi import Answer, ask


EXAMPLE = '{"speed": 0.9}'


def app(error: Exception | None = None) -> Quart:
    made = Quart("test")
    responses.install_error_handlers(made, lambda error: f"as the database words a {type(error).__name__}")

    @made.get("/list")
    @query_parameters("limit", "before")
    async def find() -> dict[str, Any]:
        return {"found": "\x1b[31m"}

    @made.post("/change")
    async def change() -> Response:
        if error is not None:
            raise error
        return json_response({"read": await json_object(EXAMPLE)})

    @made.post("/maybe")
    async def maybe() -> Response:
        return json_response(await json_object(EXAMPLE, may_be_empty=True))

    return made


def asked(method: str, path: str, body: bytes = b"", error: Exception | None = None, **headers: str) -> Answer:
    return asyncio.run(ask(app(error), method, path, body=body, **headers))


def change(body: bytes, kind: str = "application/json") -> Answer:
    return asked("POST", "/change", body, content_type=kind)


def test_answers_hold_nothing_that_a_terminal_would_obey_and_no_cache_keeps_them() -> None:
    answer = asked("GET", "/list?limit=1")
    assert (answer.status, answer.json()) == (200, {"found": "\x1b[31m"})
    assert b"\x1b" not in answer.body
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [(503, {}, "1"), (503, {"Retry_After": "5"}, "5"), (503, {"Retry_After": ""}, None), (409, {}, None)],
)
def test_whoever_may_ask_again_is_told_when(status: int, headers: dict[str, str], wait: str | None) -> None:
    """Some that could not be answered for a moment were told so without a time."""
    answer = responses.error_response(status, "Not now.", **headers)
    assert answer.headers.get("Retry-After") == wait


def test_a_refusal_for_a_moment_says_when_to_ask_again() -> None:
    answer = asked("POST", "/change", b"{}", BadRequest(503, "The history is not open yet."))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_half_of_a_surrogate_pair_can_be_answered() -> None:
    assert to_json({"text": "\ud83d"}) == b'{"text":"\\ud83d"}'


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/list?limt=1", 'There is no parameter "limt" here: did you mean limit?'),
        ("/list?limit=1&limit=2", "limit must be given once."),
        ("/list?zzz=1", 'There is no parameter "zzz" here: there is limit, before.'),
    ],
)
def test_a_query_has_the_parameters_of_its_path_each_once(path: str, sentence: str) -> None:
    answer = asked("GET", path)
    assert (answer.status, answer.json()) == (400, {"error": sentence})


def test_several_things_that_are_wrong_are_told_apart() -> None:
    told = asked("GET", "/list?limt=1&befor=2").json()
    assert told["error"] == "2 things are wrong with this request."
    assert len(told["problems"]) == 2


def test_a_path_without_parameters_says_so() -> None:
    assert suggestion("x", []) == ": this path takes none."


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"", "application/json", 400, "The body is empty"),
        (b"{}", "text/plain", 415, 'not "text/plain"'),
        (b"[1]", "application/json", 400, "not a list"),
        (b"null", "application/json", 400, "not null"),
        (b'{"speed": 1, "speed": 2}', "application/json", 400, "stands in the body twice"),
        (b'{"speed": ', "application/json", 400, "cannot be read as JSON"),
        (b"[" * 100 + b"]" * 100, "application/json", 400, "cannot be read as JSON"),
    ],
)
def test_a_body_must_be_one_plain_json_object(body: bytes, kind: str, status: int, words: str) -> None:
    answer = change(body, kind)
    assert answer.status == status
    assert words in answer.json()["error"]


def test_a_body_is_read_also_if_it_is_large() -> None:
    large = b'{"text": "' + b"x" * 100_000 + b'"}'
    assert len(change(large).json()["read"]["text"]) == 100_000
    assert change(b'{"speed": 0.9}').json() == {"read": {"speed": 0.9}}
    assert asked("POST", "/maybe").json() == {}


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (BadRequest(422, "Not so."), 422, "Not so."),
        (BadQuery("limit is odd"), 400, "limit is odd."),
        (OperationalError("SELECT", {}, Exception("secret")), 503, "The history cannot be used at the moment"),
        (OSError("disk"), 503, "The history cannot be used at the moment"),
        (ZeroDivisionError("secret"), 500, "An internal error"),
    ],
)
def test_every_error_is_one_sentence_that_tells_nothing_of_the_inside(
    error: Exception, status: int, words: str
) -> None:
    answer = asked("POST", "/change", b"{}", error, content_type="application/json")
    assert (answer.status, list(answer.json())) == (status, ["error"])
    assert words in answer.json()["error"]
    assert "secret" not in answer.body.decode()


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [
        (OperationalError("SELECT", {}, Exception("database is locked\nand more")), False),
        (OSError("database is locked"), False),
        (ProgrammingError("SELECT", {}, Exception("database is locked")), True),
    ],
)
def test_a_history_that_is_away_is_one_line_of_the_log_and_a_fault_of_ours_has_its_place(
    error: Exception, has_traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asked("POST", "/change", b"{}", error, content_type="application/json")
    (said,) = [each for each in caplog.records if each.name == "callflow.web.responses"]
    kind = type(error).__name__
    assert said.getMessage() == (
        f"POST /change: the history could not be read or changed ({kind}: as the database words a {kind})"
    ), "the driver's own line may hold what is secret of DATABASE_URL"
    assert bool(said.exc_info) == has_traceback


def test_other_methods_and_paths_are_told_what_there_is() -> None:
    answer = asked("DELETE", "/list")
    assert (answer.status, "GET" in answer.headers["allow"]) == (405, True)
    assert asked("GET", "/nothing").json() == {"error": "There is nothing at this path; GET / shows what there is."}
    options = asked("OPTIONS", "/list")
    assert (options.status, options.body, options.headers.get("content-type")) == (204, b"", None)


async def test_an_accept_header_is_looked_at_in_a_bounded_time() -> None:
    app = Quart("test")
    seconds: list[float] = []
    for blanks in (100, 60_000):
        headers = {"Accept": f"text/html{' ' * blanks};q"}
        async with app.test_request_context("/", headers=headers):
            began = time.process_time()
            for _ in range(20):
                accepted("Accept", MIMEAccept)
            seconds.append(time.process_time() - began)
    assert seconds[1] < 200 * seconds[0] + 0.2, "Werkzeug takes the square of its length: 5 s each"
