"""Reads a picture that an operator sends, and makes of it what the model and the page are shown.

The content decides what it is, whatever its name and its type say. Everything is decoded and encoded anew: what the
model gets has no more bytes than it can make use of, neither place nor camera stand in it, and nothing that is broken
or only pretends to be a picture goes on. All of this takes a thread, never the event loop.

The API takes PNG and JPEG: https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from werkzeug.formparser import FormDataParser

from callflow.contracts.bounded_json import read
from callflow.contracts.errors import BadRequest, OutOfBounds


if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES: Final = 15 << 20
"""Of all pictures of one call, as they are sent."""
_MAGIC: Final = (
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")), ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("WEBP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
)  # fmt: skip
_MOST_PIXELS: Final = 50_000_000
_LONGEST: Final = 1536
"""Pixels of a side that the model gets: it looks at no more."""
_MOST_SHOWN: Final = 256 << 10
"""Bytes that the model gets: they wait in front of the caller's audio."""
_SMALLER: Final = ((_LONGEST, 88), (_LONGEST, 75), (_LONGEST, 60), (1024, 60), (768, 50), (512, 50))
"""What is tried one after another, until it fits: pixels and quality. The last one always does."""
_THUMBNAIL: Final = 320
_DATA_URL: Final = re.compile(r"data:[\w/+.-]*;base64,([A-Za-z0-9+/=\s]*)")
_KINDS: Final = "a picture must be PNG, JPEG or WebP"
_EXAMPLE: Final = '{"url": "data:image/png;base64,…", "text": "Our menu."}'
_FORM: Final = ("text", "now")


@dataclass(frozen=True, slots=True)
class Upload:
    """What was sent."""

    data: bytes
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
    """As it was sent, in pixels."""
    size: int
    """As it was sent, in bytes."""
    shown: bytes
    """What the model gets, not as text."""
    thumbnail: bytes
    """A JPEG."""


def read_upload(body: bytes, mimetype: str, options: dict[str, str]) -> Upload:
    """Read the body of a request: a form with a file, JSON with a data URL, or the picture itself. Raises
    BadRequest."""
    if mimetype == "multipart/form-data":
        return _of_form(body, mimetype, options)
    if mimetype == "application/json":
        return _of_json(body)
    return Upload(body)


def _of_form(body: bytes, mimetype: str, options: dict[str, str]) -> Upload:
    parser = FormDataParser(max_form_memory_size=64 << 10, max_form_parts=10, silent=False)
    try:
        _, form, files = parser.parse(io.BytesIO(body), mimetype, len(body), options)
    except Exception:  # whatever the parser stumbles over is in the body
        raise BadRequest(400, "The form cannot be read.") from None
    sent = [file for _, file in files.items(multi=True)]
    if len(sent) != 1 or any(name not in _FORM for name in form):
        for file in sent:
            file.close()
        raise BadRequest(400, "The form must have one file, and nothing beside it but text and now.")
    with sent[0].stream as stream:
        return Upload(stream.read(), form.get("text", ""), _flag(form.get("now", "")))


def _of_json(body: bytes) -> Upload:
    try:
        told = read(body)
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
        return Upload(base64.b64decode("".join(found[1].split()), validate=True), text, now)
    except (binascii.Error, ValueError):
        raise BadRequest(400, "What stands behind base64, in url is no base64.") from None


def _flag(text: str) -> bool:
    if text not in ("", "true", "false", "on"):
        raise BadRequest(400, "now must be true or false.")
    return text in ("true", "on")


def read_picture(data: bytes) -> Picture:
    """Decode a picture and make what is shown of it. Raises BadRequest (413 or 415)."""
    if not data:
        raise BadRequest(400, "There is no picture in the request.")
    if len(data) > MOST_BYTES:
        raise too_large()
    kind = next((name for name, form in _MAGIC if form.match(data)), None)
    if kind is None:
        raise BadRequest(415, f"This is no picture, whatever its name is: {_KINDS}.")
    from PIL import Image, ImageOps  # only where it is needed: it is heavy

    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as opened:
            width, height = opened.size
            if width * height > _MOST_PIXELS:
                raise BadRequest(413, f"The picture has more than {_MOST_PIXELS // 1_000_000} million pixels.")
            opened.draft("RGB", (_LONGEST, _LONGEST))  # a large JPEG is decoded to a smaller size
            opened.load()
            picture = ImageOps.exif_transpose(opened)
        picture.thumbnail((_LONGEST, _LONGEST))
        mime, shown = _encoded(picture, kind)
        small = _flat(picture)
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        thumbnail = _saved(small, "JPEG", quality=75, optimize=True)
    except BadRequest:
        raise
    except Exception:  # whatever the decoder stumbles over is in the data
        raise BadRequest(415, f"This {kind} is broken and cannot be read as a picture.") from None
    url = f"data:{mime};base64,{base64.b64encode(shown).decode()}"
    return Picture(mime, url, width, height, len(data), shown, thumbnail)


def too_large() -> BadRequest:
    """Make the refusal of more than a call may have."""
    return BadRequest(413, f"The pictures of a call may have {MOST_BYTES >> 20} MB in all.")


def _encoded(picture: Image, kind: str) -> tuple[str, bytes]:
    """Return the type and the bytes of what the model gets: PNG for what was PNG and is small, else JPEG."""
    if kind == "PNG":
        plain = picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else picture.convert("RGB")
        shown = _saved(plain, "PNG")
        if len(shown) <= _MOST_SHOWN:
            return "image/png", shown
    flat, shown = _flat(picture), b""
    for longest, quality in _SMALLER:
        flat.thumbnail((longest, longest))
        shown = _saved(flat, "JPEG", quality=quality)
        if len(shown) <= _MOST_SHOWN:
            break
    return "image/jpeg", shown


def _flat(picture: Image) -> Image:
    """Return the picture in three colours, on white where it is transparent."""
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA", "P"):
        over = picture.convert("RGBA")
        ground = Image.new("RGB", over.size, "white")
        ground.paste(over, mask=over.getchannel("A"))
        return ground
    return picture.copy() if picture.mode == "RGB" else picture.convert("RGB")


def _saved(picture: Image, kind: str, **options: Any) -> bytes:
    """Encode without anything but the picture: no place, no camera, no comment."""
    for name in list(picture.info):
        del picture.info[name]
    into = io.BytesIO()
    picture.save(into, kind, **options)
    return into.getvalue()
