"""Requests and answers of the operators' listener, in JSON that is safe to print. Every error has one shape,
`{"error": "one sentence"}`, with `"problems": [...]` where there are several."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import itertools
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, cast

from quart import Quart, Response, current_app, has_websocket_context, request, websocket
from quart.json.provider import JSONProvider
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from werkzeug.datastructures import Accept
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.http import parse_accept_header

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import BadQuery, BadRequest, OutOfBounds
from callflow.contracts.json_slices import json_pieces
from callflow.contracts.printable import json_of, line, quoted, to_json


log = logging.getLogger(__name__)

_LONGEST: Final = 300
"""Characters of an error: it may quote the request."""
_MOST_PROBLEMS: Final = 50
_SHARE: Final = "/share/"
_INTERNAL: Final = "An internal error; the server's log says which."
_SOCKET_FAILED: Final = 1011
"""The code of a WebSocket that ends because of an internal error. Browsers' pages connect again."""
_AWAY: Final = (OperationalError, InterfaceError, OSError, TimeoutError)
_SENTENCES: Final = {
    404: "There is nothing at this path; GET / shows what there is.",
    416: "There is no such range: write Range: bytes=0-999.",
}


def json_response(body: Any, status: int = 200) -> Response:
    """Make an answer with this JSON body."""
    return Response(to_json(body), status, content_type="application/json")


async def large_json_response(make: Callable[[], Any]) -> Response:
    """Make an answer with the JSON body that `make` returns, in another thread and in slices; it is sent in pieces, as
    fast as the client takes them."""
    return pieces_response(await asyncio.to_thread(lambda: json_pieces(make(), to_json)))


def pieces_response(pieces: Sequence[bytes]) -> Response:
    """Make an answer with a JSON body in pieces, which are sent as fast as the client takes them."""
    if len(pieces) == 1:
        return Response(pieces[0], content_type="application/json")

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)  # frames come between, also while the client takes all that there is

    response = Response(body(), content_type="application/json")
    response.content_length = sum(map(len, pieces))
    return response


def error_body(sentence: str, problems: Sequence[str] = ()) -> bytes:
    """Make the body of an error. `problems`: the problems of the request, if there are several."""
    told: dict[str, Any] = {"error": line(sentence)[:_LONGEST]}
    if len(problems) > 1:
        told["problems"] = [line(each)[:_LONGEST] for each in problems[:_MOST_PROBLEMS]]
    return json_of(told)


def error_response(status: int, sentence: str, problems: Sequence[str] = (), **headers: str) -> Response:
    """Make the answer to a request that failed. `headers`: by their names, with `_` in place of `-`; "": none.
    Whoever gets 503 may ask again in a second, unless `Retry_After` says otherwise."""
    response = Response(error_body(sentence, problems), status, content_type="application/json")
    if status == 503:
        headers = {"Retry_After": "1", **headers}
    for name, value in headers.items():
        if value:
            response.headers[name.replace("_", "-")] = value
    return response


def history_not_open() -> Response:
    """Make the answer for requests after the start that come before the history can be read."""
    return error_response(503, "The history is not open yet: try again in a second; the server's log says why.")


# Requests

View = TypeVar("View", bound=Callable[..., Any])
AcceptT = TypeVar("AcceptT", bound=Accept)
_KINDS: Final = {list: "a list", str: "a text", int: "a number", float: "a number"}
_LARGE: Final = 64 << 10
"""Bytes of a body; a larger body is parsed in another thread."""
_LONGEST_SHOWN: Final = 40
_MOST_GUESSES: Final = 20
_MOST_ACCEPTED: Final = 1000
"""Characters of an `Accept…` header that are looked at; Werkzeug takes the square of their number to read blanks."""


def accepted(header: str, form: type[AcceptT]) -> AcceptT:
    """Return what an `Accept…` header of the request says, such as `MIMEAccept` for `Accept`."""
    return parse_accept_header(request.headers.get(header, "")[:_MOST_ACCEPTED], form)


def query_parameters(*names: str) -> Callable[[View], View]:
    """Mark a handler whose query may have these parameters, each once, and no others. Place this decorator below the
    route decorator."""

    def mark(view: View) -> View:
        cast(Any, view).query_parameters = names
        return view

    return mark


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: `: did you mean limit?`, or the known names."""
    known = list(names)
    near = difflib.get_close_matches(name[:_LONGEST_SHOWN].lower(), known, n=1)
    if near:
        return f": did you mean {near[0]}?"
    return f": there is {', '.join(known)}." if known else ": this path takes none."


def unknown_names(body: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return a sentence for each name of a body that is not known, for so many as are looked for in no time."""
    unknown = itertools.islice((name for name in body if name not in known), _MOST_GUESSES)
    return [f"There is no {quoted(name)} in this body{suggestion(name, known)}" for name in unknown]


def parameter_problems() -> list[str]:
    """Return the problems with the names in the request's query, a sentence each."""
    if request.url_rule is None or request.method == "OPTIONS":
        return []
    known = getattr(current_app.view_functions.get(request.url_rule.endpoint), "query_parameters", ())
    found = []
    for name in request.args:
        if name in known:
            if len(request.args.getlist(name)) > 1:
                found.append(f"{name} must be given once.")
        elif len(found) < _MOST_GUESSES:
            found.append(f"There is no parameter {quoted(name)} here{suggestion(name, known)}")
    return found


async def json_object(example: str, *, may_be_empty: bool = False) -> dict[str, Any]:
    """Return the JSON object in the body of the request. `example`: a valid object, quoted in errors. `may_be_empty`:
    an empty body counts as an empty object.

    Raises BadRequest, or OutOfBounds for JSON that is too deep or has numbers that are too large.
    """
    body = cast(bytes, await request.get_data())
    if not body.strip():
        if may_be_empty:
            return {}
        raise BadRequest(400, f"The body is empty: send a JSON object, such as {example}.")
    if not request.is_json:
        given = f"not {quoted(request.mimetype)}" if request.mimetype else "and says nothing of the kind"
        raise BadRequest(415, f"The body must be sent with Content-Type: application/json, {given}.")
    value, twice = await asyncio.to_thread(_read, body) if len(body) > _LARGE else _read(body)
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value)) or json.dumps(value)
        raise BadRequest(400, f"The body must be a JSON object, such as {example}, not {kind}.")
    if twice:
        raise BadRequest(400, *(f"{quoted(name)} stands in the body twice." for name in twice))
    return value


def _read(body: bytes) -> tuple[Any, list[str]]:
    """Return the value of a body, and the names that it contains twice. Raises NotPlain."""
    value = read(body)
    return value, _twice(body) if isinstance(value, dict) else []


def _twice(body: bytes) -> list[str]:
    """Return the names that the outermost object contains more than once: their value is ambiguous."""
    outermost: list[tuple[str, Any]] = []

    def pairs(found: list[tuple[str, Any]]) -> None:
        outermost[:] = found  # the outermost object comes last

    json.loads(body, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    counted = Counter(name for name, _ in outermost)
    return [name for name, times in counted.items() if times > 1][:_MOST_GUESSES]


# Answers of an app


def _named(path: str) -> str:
    """Return a path as it may stand in the log: not the link with which anybody reads a call."""
    return f"{_SHARE}…" if path.lstrip("/").startswith(_SHARE[1:]) else line(path)[:200]


class Printable(JSONProvider):
    """Encodes the dicts that handlers return."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """Return a value as JSON."""
        return to_json(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Read a JSON value. Raises ValueError."""
        return json.loads(s)


async def _socket_failed(error: Exception) -> Response:
    """End the present WebSocket. The framework would end it as one that has done its work: with 1000."""
    log.error("the WebSocket %s ended because of an internal error", _named(websocket.path), exc_info=error)
    with contextlib.suppress(RuntimeError):  # the handler has closed it
        await websocket.accept()
        await websocket.close(_SOCKET_FAILED, _INTERNAL)
    return error_response(500, _INTERNAL)


def without_content_type(response: Response) -> Response:
    """Turn the framework's empty HTML answer to OPTIONS into 204 without a content type."""
    if request.method == "OPTIONS" and response.status_code == 200:
        response.status_code = 204
        for name in ("Content-Type", "Content-Length"):
            response.headers.pop(name, None)
    return response


def install_error_handlers(app: Quart, trouble: Callable[[BaseException], str]) -> None:
    """Give every error of the app this shape, and check the parameters of every query. `trouble`: words an error of the
    database, fit to be shown."""
    app.json = Printable(app)

    @app.before_request
    async def known_parameters() -> None:
        if problems := parameter_problems():
            raise BadRequest(400, *problems)

    @app.errorhandler(BadRequest)
    async def unfit(error: BadRequest) -> Response:
        several = f"{len(error.problems)} things are wrong with this request."
        return error_response(error.status, error.problems[0] if len(error.problems) == 1 else several, error.problems)

    @app.errorhandler(BadQuery)
    async def bad_query(error: BadQuery) -> Response:
        sentence = str(error)
        return error_response(400, sentence if sentence.endswith((".", "?")) else f"{sentence}.")

    @app.errorhandler(OutOfBounds)
    async def not_plain(error: OutOfBounds) -> Response:
        return error_response(400, f"The body cannot be read as JSON: {error}.")

    @app.errorhandler(HTTPException)
    async def http(error: HTTPException) -> Response:
        status = error.code or 400
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return error_response(405, f"{request.method[:20]} is not possible here, but {allowed}.", Allow=allowed)
        return error_response(status, _SENTENCES.get(status, f"{error.name}."))

    @app.after_request
    async def plain(response: Response) -> Response:
        """Let no cache keep an answer."""
        response.headers.setdefault("Cache-Control", "no-store")
        return without_content_type(response)

    async def no_history(error: Exception) -> Response:
        if has_websocket_context():
            return await _socket_failed(error)
        # A fault of our statements has to be found; a database that is away, locked or full is so for all of them.
        fault = None if isinstance(error, _AWAY) else error
        log.error(
            "%s %s: the history could not be read or changed (%s: %s)",
            request.method, _named(request.path), type(error).__name__, trouble(error), exc_info=fault,
        )  # fmt: skip
        sentence = "The history cannot be used at the moment: try again; the server's log says why."
        return error_response(503, sentence, Retry_After="2")

    for kind in (SQLAlchemyError, OSError, TimeoutError):
        app.register_error_handler(kind, no_history)

    @app.errorhandler(Exception)
    async def our_fault(error: Exception) -> Response:
        if has_websocket_context():
            return await _socket_failed(error)
        log.error("%s %s failed because of an internal error", request.method, _named(request.path), exc_info=error)
        return error_response(500, _INTERNAL)
