"""What the operators' listener answers: JSON that is safe to be printed, and every error in one shape,
`{"error": "one sentence"}`, with `"problems": [...]` where there are several."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from quart import Quart, Response, request
from quart.json.provider import JSONProvider
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from callflow.history.store import BadQuery
from callflow.plain_json import NotPlain
from callflow.printable import json_of, line


log = logging.getLogger(__name__)

_LONGEST: Final = 300
"""Characters of a sentence: it may quote what somebody sent."""
_MOST_PROBLEMS: Final = 50
_SENTENCES: Final = {
    404: "There is nothing at this path.",
    416: "There is no such range: write Range: bytes=0-999.",
}


def encoded(value: Any) -> bytes:
    """As JSON; what was recorded with half a surrogate pair in it is told with it."""
    try:
        return json_of(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f").encode()


def answered(body: Any, status: int = 200) -> Response:
    return Response(encoded(body), status, content_type="application/json")


def error_body(sentence: str, problems: Sequence[str] = ()) -> bytes:
    told: dict[str, Any] = {"error": line(sentence)[:_LONGEST]}
    if len(problems) > 1:
        told["problems"] = [line(each)[:_LONGEST] for each in problems[:_MOST_PROBLEMS]]
    return json_of(told)


def refused(status: int, sentence: str, problems: Sequence[str] = (), **headers: str) -> Response:
    """`headers` by their names with `_` for `-`."""
    response = Response(error_body(sentence, problems), status, content_type="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def not_open() -> Response:
    return refused(
        503, "The record is not open yet: try again in a second; the server's log says why.", Retry_After="1"
    )


class Printable(JSONProvider):
    """How the app encodes what a handler returns as a dict."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return encoded(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return json.loads(s)


def answer_errors(app: Quart) -> None:
    """Every one of the app's, in that shape."""
    app.json = Printable(app)

    @app.errorhandler(BadQuery)
    async def bad_query(error: BadQuery) -> Response:
        return refused(400, str(error))

    @app.errorhandler(NotPlain)
    async def not_plain(error: NotPlain) -> Response:
        return refused(400, f"The body cannot be read as JSON: {error}.")

    @app.errorhandler(HTTPException)
    async def http(error: HTTPException) -> Response:
        status = error.code or 400
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return refused(405, f"{request.method[:20]} is not possible here; these are: {allowed}.", Allow=allowed)
        return refused(status, _SENTENCES.get(status, f"{error.name}."))

    async def no_record(error: Exception) -> Response:
        log.error("the record could not be read or changed", exc_info=error)
        sentence = "The record cannot be used at the moment: try again; the server's log says why."
        return refused(503, sentence, Retry_After="2")

    for kind in (SQLAlchemyError, OSError, TimeoutError):
        app.register_error_handler(kind, no_record)

    @app.errorhandler(Exception)
    async def our_fault(error: Exception) -> Response:
        log.error("%s %s failed through a fault of our own", request.method, line(request.path)[:200], exc_info=error)
        return refused(500, "A fault of ours; the server's log says which.")
