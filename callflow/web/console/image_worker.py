"""A program of its own: decodes the picture on its standard input, and writes what is made of it to its output.

Not in the server: encoding holds Python's interpreter for hundreds of milliseconds, while the audio of all calls would
wait; and what a stranger's picture does to a decoder, it does here. It imports nothing of ours.

The output is a line of JSON (`mime`, `width`, `height`, `shown` and `thumbnail`: sizes in bytes; or `refused`, with a
`status`), and behind it the two pictures.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from typing import Any, Final

from PIL import Image, ImageOps


_MAGIC: Final = (
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")), ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("WEBP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
)  # fmt: skip
_MOST_PIXELS: Final = 50_000_000
_ORIENTATION: Final = 0x0112
_ON_ITS_SIDE: Final = (5, 6, 7, 8)
"""Values of the EXIF orientation of a picture that is turned by 90 degrees before it is shown."""
_LONGEST: Final = 1536
"""Pixels of a side that the model gets: it looks at no more."""
_MOST_SHOWN: Final = 256 << 10
"""Bytes that the model gets: they wait in front of the caller's audio."""
_SMALLER: Final = ((_LONGEST, 88), (_LONGEST, 75), (_LONGEST, 60), (1024, 60), (768, 50), (512, 50))
"""What is tried one after another, until it fits: pixels and quality. The last one always does."""
_THUMBNAIL: Final = 320
_MOST_MEMORY: Final = 2 << 30
_CPU_SECONDS: Final = 12


class Refused(Exception):
    """The picture cannot be shown. `status`: of the HTTP answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def reduced(data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """Return `mime`, `width` and `height` (pixels) of a picture, what the model gets of it, and a thumbnail. Raises
    Refused."""
    kind = next((name for name, form in _MAGIC if form.match(data)), None)
    if kind is None:
        raise Refused(415, "This is no picture, whatever its name is: a picture must be PNG, JPEG or WebP.")
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as opened:
            width, height = opened.size
            if width * height > _MOST_PIXELS:
                raise _too_many_pixels()
            if opened.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE:
                width, height = height, width
            opened.draft("RGB", (_LONGEST, _LONGEST))  # a large JPEG is decoded to a smaller size
            opened.load()
            picture = ImageOps.exif_transpose(opened)
        picture.thumbnail((_LONGEST, _LONGEST))
        mime, shown = _encoded(picture, kind)
        small = _flat(picture)
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        return {"mime": mime, "width": width, "height": height}, shown, _saved(small, "JPEG", quality=75)
    except Refused:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, which it looks at first
        raise _too_many_pixels() from None
    except Exception:  # whatever the decoder stumbles over is in the data
        raise Refused(415, f"This {kind} is broken and cannot be read as a picture.") from None


def _too_many_pixels() -> Refused:
    return Refused(413, f"The picture has more than {_MOST_PIXELS // 1_000_000} million pixels.")


def _encoded(picture: Image.Image, kind: str) -> tuple[str, bytes]:
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


def _flat(picture: Image.Image) -> Image.Image:
    """Return the picture in three colours, on white where it is transparent."""
    if picture.mode in ("RGBA", "LA", "PA", "P"):
        over = picture.convert("RGBA")
        ground = Image.new("RGB", over.size, "white")
        ground.paste(over, mask=over.getchannel("A"))
        return ground
    return picture.copy() if picture.mode == "RGB" else picture.convert("RGB")


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode without anything but the picture: no place, no camera, no comment."""
    for name in list(picture.info):
        del picture.info[name]
    into = io.BytesIO()
    picture.save(into, kind, **options)
    return into.getvalue()


def main() -> int:
    """Read a picture from the standard input, and write what is made of it. Returns 0."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    try:
        told, shown, thumbnail = reduced(sys.stdin.buffer.read())
        told |= {"shown": len(shown), "thumbnail": len(thumbnail)}
    except Refused as refused:
        told, shown, thumbnail = {"refused": str(refused), "status": refused.status}, b"", b""
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + shown + thumbnail)
    return 0


if __name__ == "__main__":
    sys.exit(main())
