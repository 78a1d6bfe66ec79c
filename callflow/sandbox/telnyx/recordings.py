"""The API's recordings: list, one, delete; and their files, behind links that expire.

Vendor: developers.telnyx.com, List all call recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qs

from callflow.sandbox.common.http_server import Request, Response
from callflow.sandbox.common.recordings import Recording, send_file
from callflow.sandbox.telnyx.call import Call
from callflow.sandbox.telnyx.errors import ApiError
from callflow.sandbox.telnyx.exchange import Exchange
from callflow.sandbox.telnyx.recorder import shown


FILES: Final = "/files/"
_FILTERS: Final = ("call_leg_id", "call_session_id", "call_control_id", "connection_id", "from", "to")


def one(exchange: Exchange[Call], name: str) -> dict[str, Any]:
    """Answer GET /recordings/{id}. Raises ApiError (404) for one that does not exist or is not ready."""
    recording = exchange.recordings.get(name)
    if recording is None or recording.state != "ready":
        raise ApiError(404, "10005", "Resource not found", "The requested recording does not exist.")
    return {"data": shown(recording, exchange)}


def delete(exchange: Exchange[Call], name: str) -> dict[str, Any]:
    """Answer DELETE /recordings/{id}. Raises ApiError (404)."""
    answer = one(exchange, name)
    del exchange.recordings[name]
    return answer


def page(exchange: Exchange[Call], query: str) -> dict[str, Any]:
    """Answer GET /recordings: newest first, page[number] from 1, page[size] 20. Returns `{"data": […], "meta": {…}}`.
    Raises ApiError for an odd query."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    size, number = _number(asked, "page[size]", "20"), _number(asked, "page[number]", "1")
    filters = {name: asked.pop(f"filter[{name}]") for name in _FILTERS if f"filter[{name}]" in asked}
    if asked:
        detail = f"The sandbox knows no {next(iter(asked))} here."
        raise ApiError(400, "10015", "Bad Request", detail)
    found = [each for each in exchange.recordings.values() if each.state == "ready" and _fits(each, filters)][::-1]
    data = [shown(each, exchange) for each in found[(number - 1) * size : number * size]]
    pages = -(-len(found) // size)
    meta = {"page_number": number, "page_size": size, "total_pages": pages, "total_results": len(found)}
    return {"data": data, "meta": meta}


def _number(asked: dict[str, str], name: str, usual: str) -> int:
    text = asked.pop(name, usual)
    if not text.isdecimal() or not 1 <= int(text) <= 250:
        raise ApiError(422, "10033", "Value outside of range", "The value is outside of allowed range 1 to 250")
    return int(text)


def _fits(recording: Recording, filters: Mapping[str, str]) -> bool:
    return all(recording.about[name] == value for name, value in filters.items())


def file(exchange: Exchange[Call], request: Request) -> Response:
    """Answer a link as an object store does: 403 when it is not valid (any more), 400 for a second authentication."""
    exchange.downloads.append(request)
    if "authorization" in request.headers:
        return Response(
            400, b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
        )
    key = parse_qs(request.query).get("X-Amz-Signature", [""])[-1]
    name, form, until = exchange.links.get(key, ("", "", 0.0))
    if request.method != "GET" or request.path != f"{FILES}{name}.{form}" or monotonic() > until:
        return Response(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
    recording = exchange.recordings.get(name)
    if recording is None:
        return Response(404, b"<Error><Code>NoSuchKey</Code></Error>")
    return send_file(request, recording.file(form), form)
