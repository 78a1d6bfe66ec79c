"""The routes for pictures: show one to the model in a live call, and look at those of a call."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from quart import Quart, Response, request

from callflow.call.step_in import MOST_WHISPER
from callflow.contracts.engine import ContextImage
from callflow.contracts.errors import BadRequest
from callflow.history import image_rows
from callflow.history.history import History
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.image_uploads import MOST_BYTES, Upload, read_picture, read_upload, too_large
from callflow.web.console.live_call import live_call, taken
from callflow.web.console.requested_by import requester
from callflow.web.responses import error_response, history_not_open, json_response, query_parameters


_NOT_THERE: Final = "There is no such picture."
_RECORD_SECONDS: Final = 2.0
_JUST_BEGUN: Final = "The call has only just begun, and is not in the history yet: try again in a second."


def add_images(app: Quart, switchboard: Callable[[], Switchboard], history: History, *, has_token: bool) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""
    one_at_a_time = asyncio.Lock()

    @app.post("/api/calls/<call>/images")
    @query_parameters("text", "now")
    async def show_image(call: str) -> Response:
        """Show the model a picture, while the phone rings or later: the body itself, a form with a file, or
        `{"url": "data:…"}`. With `text`: what it shows; with `now`: it speaks about it at once."""
        live, by = live_call(switchboard(), call), requester(has_token=has_token)
        if not history.is_readable:
            return history_not_open()
        if why := live.requests.step_in.why_blind():
            return error_response(409, why)
        async with one_at_a_time:  # decoding takes a core, and the calls need the others
            upload = await _upload()
            picture = await asyncio.to_thread(read_picture, upload.file)
            fields = {
                "mime": picture.mime, "width": picture.width, "height": picture.height, "size": picture.size,
            }  # fmt: skip
            pictures = {"shown": picture.shown, "thumbnail": picture.thumbnail}
            number = await image_rows.add(history.database, call, fields, pictures, by, most=MOST_BYTES)
            if number is None and await _is_written(history):  # of a call that has only just been dialled
                number = await image_rows.add(history.database, call, fields, pictures, by, most=MOST_BYTES)
        if number is None:
            return error_response(409, _JUST_BEGUN)
        if number == 0:
            raise too_large()
        image = ContextImage(picture.url, upload.text)
        why = live.requests.step_in.show(image, by, number=number, fields=fields, now=upload.now)
        if why:
            await image_rows.remove(history.database, call, number)
        told = {"number": number, "url": f"/api/calls/{call}/images/{number}", **fields}
        return taken(why, call, **told)

    @app.get("/api/calls/<call>/images")
    async def list_images(call: str) -> Response:
        """List the pictures that the model was shown in a call."""
        conversation = await _conversation(call)
        found = await image_rows.of_conversation(history.database, conversation)
        return json_response([{**row, "url": f"/api/calls/{call}/images/{row['number']}"} for row in found])

    @app.get("/api/calls/<call>/images/<int:number>")
    async def image(call: str, number: int) -> Response:
        """Answer a small copy of one of them."""
        conversation = await _conversation(call)
        found = await image_rows.thumbnail(history.database, conversation, number) if number < 1 << 31 else None
        if found is None:
            return error_response(404, _NOT_THERE)
        answer = Response(found, content_type="image/jpeg")
        answer.headers["Cache-Control"] = "private, max-age=600"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Content-Security-Policy"] = "default-src 'none'"
        return answer

    async def _conversation(call: str) -> int:
        """Return the row of a call. Raises BadRequest (404 or 503)."""
        if not history.is_readable:
            raise BadRequest(503, "The history is not open yet: try again in a second.")
        row = await history.store.conversation(call)
        if row is None:
            raise BadRequest(404, "There is no such call.")
        return int(row["id"])


async def _is_written(history: History) -> bool:
    """Wait until what calls have written down so far is in the history. Returns False if that takes too long."""
    try:
        async with asyncio.timeout(_RECORD_SECONDS):
            await history.journal.flushed()
    except TimeoutError:
        return False
    return True


async def _upload() -> Upload:
    """Read the request. Raises BadRequest."""
    body = io.BytesIO()
    async for some in request.body:  # never in one piece: copies of 15 MB take longer than a frame of audio
        body.write(some)
    mimetype, options = request.mimetype, dict(request.mimetype_params)
    upload = await asyncio.to_thread(read_upload, body, mimetype, options)
    if mimetype not in ("multipart/form-data", "application/json"):
        now = request.args.get("now", "false")
        if now not in ("true", "false"):
            raise BadRequest(400, "now must be true or false.")
        upload = replace(upload, text=request.args.get("text", ""), now=now == "true")
    if len(upload.text) > MOST_WHISPER:
        raise BadRequest(400, f"text must have {MOST_WHISPER} characters at most.")
    return replace(upload, text=upload.text.strip())
