"""An object store that speaks S3, as recordings need it: objects by name, whole or in ranges.

obstore does the work, in threads of its own, so that neither files nor sockets are touched on the event loop. It is
imported with the first bucket, and only where RECORDINGS_URL is set. What it says of an error holds addresses; we say
in words of our own what is wrong.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from callflow.config.recording_settings import LIBRARY
from callflow.config.settings import Settings
from callflow.contracts.errors import StoreAway
from callflow.history.recording_store import Stored


_ANSWER_SECONDS: Final = 8.0
"""For a question, its retries included, and for each piece of an object."""
_REQUEST_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 4.0
_RETRIES: Final = 2
_SLOWEST: Final = 250_000
"""Bytes in a second; what is put slower than that is given up, and tried again later."""
_LAST_SECONDS: Final = 0.1
_PIECE: Final = 64 << 10
_MOST_SMALL: Final = 16 << 20
_AT_ONCE: Final = 2
"""Parts of an object that are sent at the same time, of 5 MiB each."""
_STATUS: Final = re.compile(r"status code: ([0-9]{3})")
_REFUSED: Final = re.compile(r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken")


@cache
def _library() -> Any:
    """Load the library. Raises ImportError."""
    # Its threads hand over an answer, and let go of the interpreter a moment later: an end of the process in between
    # would be an abort (exit status 134 in one of seven).
    atexit.register(time.sleep, _LAST_SECONDS)
    return importlib.import_module(LIBRARY)


async def trouble_of(settings: Settings) -> str:
    """Return why the bucket that settings name cannot be used; "": it can, or there is none."""
    if not settings.recordings_url or settings.recording_problems():
        return ""
    bucket = Bucket(settings)
    try:
        await bucket.check()
    except StoreAway as error:
        return f"{bucket.name}: {error}"
    return ""


class Bucket:
    """A bucket, or what begins with a prefix in it. No connection is made before the first question."""

    def __init__(self, settings: Settings) -> None:
        """Raises ImportError."""
        self._library: Any = _library()
        self._errors: Any = importlib.import_module(f"{LIBRARY}.exceptions")
        where = urlsplit(settings.recordings_url)
        self.name = settings.recordings_url
        """Its address, which holds no key."""
        given = {
            "endpoint": settings.aws_endpoint_url,
            "region": settings.aws_region,
            "access_key_id": settings.aws_access_key_id.get_secret_value(),
            "secret_access_key": settings.aws_secret_access_key.get_secret_value(),
            "session_token": settings.aws_session_token.get_secret_value(),
        }
        self._store = importlib.import_module(f"{LIBRARY}.store").S3Store(
            where.netloc,
            prefix=where.path.removeprefix("/") or None,
            config={name: value for name, value in given.items() if value},
            client_options={
                "allow_http": settings.aws_endpoint_url.startswith("http://"),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_REQUEST_SECONDS)},
        )

    async def check(self) -> None:
        """Ask for a page of names. Raises StoreAway."""
        await self._asked(self._library.list_with_delimiter_async(self._store))

    async def head(self, name: str) -> Stored | None:
        """Return what is known of an object; None: it is not there. Raises StoreAway."""
        try:
            found = await self._asked(self._library.head_async(self._store, name))
        except FileNotFoundError:
            return None
        tag = str(found["e_tag"] or "").strip('"') or str(found["size"])
        return Stored(found["size"], found["last_modified"].timestamp(), tag)

    @asynccontextmanager
    async def open(self, name: str, begin: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open these bytes of an object. Raises StoreAway, also because it is not there."""
        if begin >= end:
            yield _nothing()
            return
        asked = self._library.get_async(self._store, name, options={"range": (begin, end)})
        try:
            found = await self._asked(asked)
        except FileNotFoundError:
            raise StoreAway("it is gone") from None
        yield self._pieces(found.stream(min_chunk_size=_PIECE))

    async def _pieces(self, stream: Any) -> AsyncIterator[bytes]:
        pieces = aiter(stream)
        while True:
            try:
                piece = await self._asked(anext(pieces))
            except StopAsyncIteration:
                return
            yield bytes(piece)

    async def read(self, name: str) -> bytes | None:
        """Return a small object whole, at most 16 MiB of it; None: it is not there. Raises StoreAway."""
        known = await self.head(name)
        if known is None:
            return None
        async with self.open(name, 0, min(known.size, _MOST_SMALL)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def put(self, name: str, file: Path, size: int, kind: str) -> None:
        """Put a file there, whole, in place of what has that name. `size`: its bytes. `kind`: its media type. Raises
        StoreAway or OSError."""
        sending = self._library.put_async(
            self._store, name, file, attributes={"Content-Type": kind}, max_concurrency=_AT_ONCE
        )
        await self._asked(sending, _REQUEST_SECONDS + size / _SLOWEST)

    async def delete(self, name: str) -> None:
        """Delete an object, if it is there. Raises StoreAway."""
        try:
            await self._asked(self._library.delete_async(self._store, name))
        except FileNotFoundError:
            return

    async def _asked(self, question: Any, seconds: float = _ANSWER_SECONDS) -> Any:
        """Wait for an answer. Raises StoreAway or FileNotFoundError."""
        try:
            async with asyncio.timeout(seconds):
                return await question
        except TimeoutError:
            raise StoreAway(f"it does not answer within {seconds:g} s") from None
        except (self._errors.BaseError, PermissionError) as error:
            raise StoreAway(self._told(error)) from None

    def _told(self, error: Exception) -> str:
        """Return what is wrong, without what the library has said: that may hold addresses, and whatever a server
        puts into an answer."""
        said = str(error)
        if "NoSuchBucket" in said:
            return "there is no such bucket"
        refusals = (self._errors.PermissionDeniedError, self._errors.UnauthenticatedError, PermissionError)
        if isinstance(error, refusals) or _REFUSED.search(said):
            return "it refuses the key (AWS_ACCESS_KEY_ID), or what it is to be used for"
        if status := _STATUS.search(said):
            return f"it answers with HTTP {status[1]}"
        return "it does not answer"


async def _nothing() -> AsyncIterator[bytes]:
    for piece in tuple[bytes, ...]():
        yield piece
