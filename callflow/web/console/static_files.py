"""The operators' page and all that it loads: read and hashed once, and served from memory. A file is compressed, by a
thread, when it is first asked for: until somebody looks at the page that would only make the start longer.

Under `/static/<digest>/…` every file may be kept for ever, because the digest is that of all files together: with any
change there is another one, and the page names the present one. Under `/static/…` the same files are asked for anew
each time, with an ETag. No file is touched while calls are carried.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quart import Quart, Response, request
from werkzeug.datastructures import Accept

from callflow.web.console.headers import page_headers
from callflow.web.responses import accepted, error_response


_FOLDER: Final = Path(__file__).parent / "static"
_PAGE: Final = "index.html"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}
"""By suffix; files with another one are not served. Licences and lists of sums have none."""
_IMPORT_MAP: Final = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)
_STATIC: Final = b"{{static}}"
"""In the page: where its files are."""
_NONCE: Final = b"{{nonce}}"
"""In the page: what lets the library that draws sound add its one style. Nothing else is filled in."""
_FOR_EVER: Final = "private, max-age=31536000, immutable"
_NOT_THERE: Final = "There is no such file."


class StaticFile:
    """One file of the page, plain and compressed, with its type and its ETag."""

    def __init__(self, content_type: str, plain: bytes) -> None:
        """Hash a file."""
        self.content_type, self.plain = content_type, plain
        self.etag = f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
        """With its quotes."""
        self._gzipped = b""

    @property
    def gzipped(self) -> bytes:
        """Compress it, the first time: as long as 5 ms."""
        if not self._gzipped:
            self._gzipped = gzip.compress(self.plain, 9, mtime=0)
        return self._gzipped

    async def compress(self) -> None:
        """Let a thread compress it, so that nobody's audio waits for that."""
        if not self._gzipped:
            await asyncio.to_thread(lambda: self.gzipped)


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All files of the page, in memory."""

    files: Mapping[str, StaticFile]
    """By path below `/static/`; the page is not among them."""
    digest: str
    """Of all of them."""
    page: bytes
    """With a place for its nonce."""
    maps: tuple[str, ...]
    """Its import maps."""

    def filled(self, nonce: str, connects: str = "") -> tuple[StaticFile, Mapping[str, str]]:
        """Return the page with this nonce, and its headers."""
        page = StaticFile(_TYPES[".html"], self.page.replace(_NONCE, nonce.encode()))
        return page, page_headers(scripts=self.maps, style_nonce=nonce, connects=connects)


@functools.cache
def load(folder: Path = _FOLDER) -> StaticFiles:
    """Read all files of the folder, once for the process."""
    found = {
        path.relative_to(folder).as_posix(): StaticFile(_TYPES[path.suffix], path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }
    page = found.pop(_PAGE).plain
    whole = hashlib.sha256(page)
    for name, file in found.items():
        whole.update(name.encode() + b"\0" + file.etag.encode())
    digest = whole.hexdigest()[:16]
    page = page.replace(_STATIC, f"/static/{digest}".encode())
    maps = tuple(each.decode() for each in _IMPORT_MAP.findall(page))
    return StaticFiles(found, digest, page, maps)


def add_static_files(app: Quart) -> None:
    """Add the route of the files to the app."""
    known = load()

    @app.get("/static/<path:name>")
    async def static_file(name: str) -> Response:
        """Answer a file that the page loads."""
        first, _, rest = name.partition("/")
        is_named = first == known.digest
        file = known.files.get(rest if is_named else name)
        if file is None:
            return error_response(404, _NOT_THERE)
        await file.compress()
        response = answer(file)
        response.headers["Cache-Control"] = _FOR_EVER if is_named else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def page(connects: str = "") -> Response:
    """Answer the page itself, which no cache keeps: it has another nonce each time. `connects`: see `page_headers`."""
    file, headers = load().filled(secrets.token_urlsafe(16), connects)
    response = answer(file)
    response.headers.update(headers)
    return response


def answer(file: StaticFile) -> Response:
    """Answer a file, compressed for those who take that; 304 for those who have it."""
    if request.if_none_match.contains_weak(file.etag.strip('"')):
        response = Response(b"", 304)
        response.headers.pop("Content-Type", None)
    elif accepted("Accept-Encoding", Accept)["gzip"] > 0:
        response = Response(file.gzipped, content_type=file.content_type)
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = Response(file.plain, content_type=file.content_type)
    response.headers["ETag"] = file.etag
    response.headers["Vary"] = "Accept-Encoding"
    return response
