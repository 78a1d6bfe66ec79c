"""Reads a picture that an operator sends, and makes of it what the model and the page are shown.

The content decides what it is, whatever its name and its type say. Everything is decoded and encoded anew: what the
model gets has no more bytes than it can make use of, neither place nor camera stand in it, and nothing that is broken
or only pretends to be a picture goes on. Another process does that: see `image_worker.py`. All that is here takes a
thread, never the event loop.

The API takes PNG and JPEG: https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from werkzeug.formparser import FormDataParser

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import BadRequest, OutOfBounds


log = logging.getLogger(__name__)

MOST_BYTES: Final = 15 << 20
"""Of all pictures of one call, as they are sent."""
_MOST_JSON: Final = 2 << 20
"""Bytes of a request in JSON, which is read in one go while nothing else runs."""
_SECONDS: Final = 15.0
"""How long a picture may take."""
_WORKER: Final = Path(__file__).with_name("image_worker.py")
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMPDIR", "PYTHONHOME")
"""Variables of the environment without which a program may not find its libraries."""
_DATA_URL: Final = re.compile(r"data:[\w/+.-]*;base64,([A-Za-z0-9+/=\s]*)")
_EXAMPLE: Final = '{"url": "data:image/png;base64,…", "text": "Our menu."}'
_FORM: Final = ("text", "now")


@dataclass(frozen=True, slots=True)
class Upload:
    """What was sent."""

    file: IO[bytes]
    text: str = ""
    now: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown of it."""

    mime: str
    """Of what the model gets."""
    url: str
    """The same as a data URL."""
    width: int
    height: int
    """As it was sent, in pixels, once it stands upright."""
    size: int
    """As it was sent, in bytes."""
    shown: bytes
    """What the model gets, not as text."""
    thumbnail: bytes
    """A JPEG."""


def read_upload(body: io.BytesIO, mimetype: str, options: dict[str, str]) -> Upload:
    """Read the body of a request: a form with a file, JSON with a data URL, or the picture itself. Raises
    BadRequest."""
    if mimetype == "multipart/form-data":
        return _of_form(body, mimetype, options)
    if mimetype == "application/json":
        return _of_json(body)
    return Upload(body)


def _of_form(body: io.BytesIO, mimetype: str, options: dict[str, str]) -> Upload:
    parser = FormDataParser(max_form_memory_size=1 << 20, max_form_parts=10, silent=False)
    size = body.tell()
    body.seek(0)
    try:
        _, form, files = parser.parse(body, mimetype, size, options)
    except Exception:  # whatever the parser stumbles over is in the body
        raise BadRequest(400, "The form cannot be read.") from None
    sent = [file for _, file in files.items(multi=True)]
    if len(sent) != 1 or any(name not in _FORM for name in form):
        for file in sent:
            file.close()
        raise BadRequest(400, "The form must have one file, and nothing beside it but text and now.")
    return Upload(sent[0].stream, form.get("text", ""), _flag(form.get("now", "")))


def _of_json(body: io.BytesIO) -> Upload:
    if body.tell() > _MOST_JSON:
        raise BadRequest(413, f"JSON may have {_MOST_JSON >> 20} MB: send a larger picture as it is, or in a form.")
    try:
        told = read(body.getvalue())
    except OutOfBounds as error:
        raise BadRequest(400, f"The body cannot be read as JSON: {error}.") from None
    if not isinstance(told, dict) or not isinstance(told.get("url"), str) or told.keys() - {"url", "text", "now"}:
        raise BadRequest(400, f"The body must be an object such as {_EXAMPLE}.")
    text, now = told.get("text", ""), told.get("now", False)
    if not isinstance(text, str) or not isinstance(now, bool):
        raise BadRequest(400, f"text must be a text, and now true or false, such as {_EXAMPLE}.")
    found = _DATA_URL.fullmatch(told["url"])
    if found is None:
        raise BadRequest(400, f"url must be a data URL, such as {_EXAMPLE}: nothing is loaded from other servers.")
    try:
        return Upload(io.BytesIO(base64.b64decode("".join(found[1].split()), validate=True)), text, now)
    except (binascii.Error, ValueError):
        raise BadRequest(400, "What stands behind base64, in url is no base64.") from None


def _flag(text: str) -> bool:
    if text not in ("", "true", "false", "on"):
        raise BadRequest(400, "now must be true or false.")
    return text in ("true", "on")


def read_picture(file: IO[bytes]) -> Picture:
    """Make what is shown of a picture, and close its file. Raises BadRequest (413 or 415)."""
    with file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if not size:
            raise BadRequest(400, "There is no picture in the request.")
        if size > MOST_BYTES:
            raise too_large()
        data = file.getvalue() if isinstance(file, io.BytesIO) else file.read()
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_WORKER)], input=data, capture_output=True, timeout=_SECONDS, check=True,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the server
        )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        log.warning("a picture cannot be read: %s", type(error).__name__)
        raise BadRequest(415, "The picture cannot be decoded in time, or it is broken.") from None
    head, _, pictures = done.stdout.partition(b"\n")
    told = json.loads(head)
    if why := told.get("refused"):
        raise BadRequest(int(told["status"]), why)
    shown, thumbnail = pictures[: told["shown"]], pictures[told["shown"] :]
    url = f"data:{told['mime']};base64,{base64.b64encode(shown).decode()}"
    return Picture(told["mime"], url, told["width"], told["height"], size, shown, thumbnail)


def _environment() -> dict[str, str]:
    """Return what the worker needs of the environment, which may hold our keys: it reads strangers' data."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def too_large() -> BadRequest:
    """Make the refusal of more than a call may have."""
    return BadRequest(413, f"The pictures of a call may have {MOST_BYTES >> 20} MB in all.")
